// @vitest-environment node
import { afterEach, expect, it, vi } from 'vitest';
import { eventsBehind, oneAtATime } from './poll';

interface Query {
  limit: number;
  cursor?: string;
}
const page = vi.hoisted(() => vi.fn<(query: Query) => unknown>());
vi.mock('../api/client', () => ({
  api: { GET: (_: string, { params }: { params: { query: Query } }) => Promise.resolve(page(params.query)) },
  need: (answer: Promise<unknown>) => answer,
}));
afterEach(() => page.mockReset());

/** A log that ends with this number, read on behind a cursor. */
function logUntil(end: number): void {
  page.mockImplementation(({ cursor, limit }) => {
    const first = cursor === undefined ? end : Number(cursor.slice('evt_'.length)) + 1;
    const last = Math.min(end, first + limit - 1);
    const events = Array.from({ length: last - first + 1 }, (_, index) => ({ id: `evt_${first + index}` }));
    return { events, next_cursor: last < end ? `evt_${last}` : null };
  });
}
const signal = new AbortController().signal;

it('begins where the log ends', async () => {
  logUntil(7);
  expect(await eventsBehind(null, signal)).toEqual({ events: [], lastId: 'evt_7', gap: false });
});

it('tells of all that happened since', async () => {
  logUntil(250);
  const { events, lastId, gap } = await eventsBehind('evt_0', signal);
  expect(events.map((event) => event.id)).toEqual(
    Array.from({ length: 250 }, (_, index) => `evt_${index + 1}`),
  );
  expect({ lastId, gap }).toEqual({ lastId: 'evt_250', gap: false });
});

it('says where events were left out', async () => {
  logUntil(10_000);
  const { events, lastId, gap } = await eventsBehind('evt_0', signal);
  expect(events).toHaveLength(500);
  expect({ lastId, gap }).toEqual({ lastId: 'evt_10000', gap: true });
});

it('does one thing at a time', async () => {
  const ends: (() => void)[] = [];
  const act = vi.fn(() => new Promise<void>((resolve) => ends.push(resolve)));
  const once = oneAtATime(act);
  once();
  once();
  expect(act).toHaveBeenCalledTimes(1);
  ends[0]?.();
  await expect.poll(() => (once(), act.mock.calls.length)).toBe(2);
});
