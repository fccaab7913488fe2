import { describe, expect, it } from 'vitest';
import { compact, flag, moment, numberOf, oneOf, word } from './search';

describe('what an address says', () => {
  it('keeps what fits', () => {
    expect(word({ search: 'writer' }, 'search')).toBe('writer');
    expect(word({ search: 42 }, 'search')).toBe('42');
    expect(oneOf({ status: 'paused' }, 'status', ['paused', 'healthy'])).toBe('paused');
    expect(numberOf({ window: '60' }, 'window', [15, 60])).toBe(60);
    expect(flag({ live: 'true' }, 'live')).toBe(true);
    expect(moment({ from: '2026-01-31T12:00:00+01:00' }, 'from')).toBe('2026-01-31T11:00:00.000Z');
  });

  it('leaves out what does not', () => {
    expect(word({ search: '' }, 'search')).toBeUndefined();
    expect(word({ search: { a: 1 } }, 'search')).toBeUndefined();
    expect(oneOf({ status: 'gone' }, 'status', ['paused'])).toBeUndefined();
    expect(numberOf({ window: '61' }, 'window', [15, 60])).toBeUndefined();
    expect(moment({ from: 'yesterday' }, 'from')).toBeUndefined();
    expect(flag({ live: 'no' }, 'live')).toBeUndefined();
  });

  it('is short', () => expect(compact({ a: undefined, b: '', c: 'x' })).toEqual({ c: 'x' }));
});
