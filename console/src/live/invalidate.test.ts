// @vitest-environment node
import { QueryClient } from '@tanstack/react-query';
import { expect, it } from 'vitest';
import { outdatedBy } from './invalidate';
import { refresh } from './refresh';

it.each([
  ['agent.pause', ['events', 'agents', 'agent', 'overview']],
  ['message.dead_lettered', expect.arrayContaining(['dead-letters', 'conversation', 'overview'])],
  ['message.acked', expect.not.arrayContaining(['dead-letters', 'overview'])],
  ['something.new', ['events']],
])('%s makes old %j', (type, keys) => expect(outdatedBy(type)).toEqual(keys));

it('reads short lists again and only marks long ones', async () => {
  const client = new QueryClient();
  const asked: string[] = [];
  const watch = (name: string, pages: number) => {
    client.setQueryData(['agents', name], {
      pages: Array.from({ length: pages }, () => ({ rows: [] })),
      pageParams: [],
    });
    return client.getQueryCache().build(client, {
      queryKey: ['agents', name],
      queryFn: () => {
        asked.push(name);
        return Promise.resolve({ pages: [], pageParams: [] });
      },
    });
  };
  const queries = [watch('short', 1), watch('long', 50), watch('other', 1)];
  refresh(client, new Set(['agents']));
  await Promise.resolve();
  expect(queries.map((query) => query.state.isInvalidated)).toEqual([true, true, true]);
  // Nobody looks at any of them, so nothing is asked for at once; the long one would not be either.
  expect(asked).toEqual([]);
  refresh(client, new Set(['policies']));
  expect(asked).toEqual([]);
});
