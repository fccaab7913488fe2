import { expect, it } from 'vitest';
import { parseDuration, writeDuration } from './duration';

it.each([
  ['90 s', 90_000],
  ['5min', 300_000],
  ['1 h 30 min', 5_400_000],
  ['7 d', 604_800_000],
  ['250 ms', 250],
  ['1.5 h', 5_400_000],
  ['  2   h ', 7_200_000],
])('reads %s', (text, ms) => expect(parseDuration(text)).toBe(ms));
it.each(['', '5', 'soon', '5 weeks', '-1 s', '1 h x'])('does not read "%s"', (text) =>
  expect(parseDuration(text)).toBeNull(),
);
it('writes what it reads', () => {
  for (const ms of [0, 1, 999, 90_500, 3_600_000, 604_800_000, 123_456_789])
    expect(parseDuration(writeDuration(ms))).toBe(ms);
});
