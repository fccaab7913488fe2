import { describe, expect, it } from 'vitest';
import { linePath, lonely, niceCeiling, ticksOf } from './scale';

describe('niceCeiling', () => {
  it.each([
    [1, 1],
    [3, 4],
    [7, 8],
    [11, 20],
    [23, 25],
    [340, 400],
    [999, 1000],
    [1001, 2000],
  ])('%d ends at %d', (value, end) => expect(niceCeiling(value)).toBe(end));
});

it('has whole ticks', () => {
  for (const top of [1, 2, 4, 5, 8, 10, 25, 50, 400]) {
    for (const tick of ticksOf(top)) expect(Number.isInteger(tick)).toBe(true);
  }
});

describe('linePath', () => {
  const x = (index: number) => index * 10;
  const y = (value: number) => 100 - value;
  it('draws a line', () => expect(linePath([1, 2], x, y)).toBe('M0 99L10 98'));
  it('breaks at gaps', () => expect(linePath([1, 2, null, 3, 4], x, y)).toBe('M0 99L10 98M30 97L40 96'));
  it('closes areas part by part', () =>
    expect(linePath([1, null, 3], x, y, 100)).toBe('M0 99L0 100L0 100ZM20 97L20 100L20 100Z'));
  it('knows lone values', () => expect(lonely([null, 5, null, 1, 2, null, 0])).toEqual([1, 6]));
});
