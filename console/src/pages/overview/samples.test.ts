import { expect, it } from 'vitest';
import { rateOf } from './samples';

const at = (seconds: number, accepted: number) => ({ at: seconds * 1_000, accepted });

it('knows no rate from one sample', () => expect(rateOf([at(1, 5)], 1_000)).toBeNull());
it('counts what came within the last ten seconds', () => {
  expect(rateOf([at(0, 0), at(20, 1_000), at(25, 1_500)], 25_000)).toBe(100);
});
it('is never below zero, also after a restore', () => expect(rateOf([at(0, 50), at(5, 10)], 5_000)).toBe(0));
