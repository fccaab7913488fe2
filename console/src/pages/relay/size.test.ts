import { expect, it } from 'vitest';
import { parseSize, writeSize } from './size';

it.each([
  ['25 MiB', 26_214_400],
  ['1.5kib', 1_536],
  ['10 GiB', 10_737_418_240],
  [' 4096 ', 4_096],
  ['0', 0],
])('reads %s', (text, bytes) => expect(parseSize(text)).toBe(bytes));
it.each(['', 'large', '5 MB', '-1 KiB', '0.3 B', '1 GiB x'])('does not read "%s"', (text) =>
  expect(parseSize(text)).toBeNull(),
);
it('writes what it reads', () => {
  for (const bytes of [0, 1, 1_023, 1_024, 1_500, 26_214_400, 2 ** 50])
    expect(parseSize(writeSize(bytes))).toBe(bytes);
});
