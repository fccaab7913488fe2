// @vitest-environment node
import { expect, it } from 'vitest';
import { firstOfEach } from './lists';

it('shows a row once, at its newest place', () => {
  const rows = [
    { id: 'a', at: 5 },
    { id: 'b', at: 4 },
    { id: 'a', at: 3 },
    { id: 'c', at: 2 },
    { id: 'b', at: 1 },
  ];
  expect(firstOfEach(rows, (row) => row.id).map((row) => row.at)).toEqual([5, 4, 2]);
});
