import { describe, expect, it } from 'vitest';
import { formatAge, formatBytes, formatDuration, formatUtc, readable, shortId } from './format';

describe('formatDuration', () => {
  it.each([
    [0, '0 ms'],
    [12, '12 ms'],
    [1_000, '1 s'],
    [90_000, '1 min 30 s'],
    [120_000, '2 min'],
    [7_500_000, '2 h 5 min'],
    [604_800_000, '7 d'],
    [3_600_500, '1 h'],
    [1_500, '1.5 s'],
    [9_960, '10 s'],
    [10_400, '10 s'],
  ])('%d ms is %s', (ms, shown) => expect(formatDuration(ms)).toBe(shown));
});

describe('formatBytes', () => {
  it.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1.0 KiB'],
    [65_498_251_264, '61.0 GiB'],
    [250 * 1024 ** 2, '250 MiB'],
  ])('%d is %s', (bytes, shown) => expect(formatBytes(bytes)).toBe(shown));
});

it('says how long ago, and how long until', () => {
  const now = Date.parse('2026-01-31T12:00:00.000Z');
  expect(formatAge('2026-01-31T11:57:00.000Z', now)).toBe('3 min ago');
  expect(formatAge('2026-01-31T12:59:00.000Z', now)).toBe('in 59 min');
  expect(formatAge('2026-01-31T11:59:58.000Z', now)).toBe('just now');
});

it('shows UTC without fractions', () =>
  expect(formatUtc('2026-01-31T12:00:00.123Z')).toBe('2026-01-31 12:00:00 UTC'));
it('shortens ids to what tells them apart', () => {
  expect(shortId('agent_01a21b4612f873048eec7b6a94fa525d')).toBe('agent_…fa525d');
  expect(shortId('deploy-7')).toBe('deploy-7');
  expect(shortId('draft-release-notes')).toBe('draft-release-notes');
});
it('makes names readable', () => expect(readable('dead_lettered')).toBe('Dead lettered'));
