// @vitest-environment node
import { QueryClient, QueryObserver } from '@tanstack/react-query';
import { expect, it } from 'vitest';
import { refetchStale, refresh } from './refresh';

/** A query whose answers come when the test says so. */
function watched(client: QueryClient, name: string) {
  const asked: ((value: string) => void)[] = [];
  const observer = new QueryObserver(client, {
    queryKey: [name],
    queryFn: () => new Promise<string>((resolve) => asked.push(resolve)),
    staleTime: 5_000,
  });
  observer.subscribe(() => undefined);
  return { asked, value: () => client.getQueryData<string>([name]) };
}

it('reads again what was on its way for the first time when it changed', async () => {
  const client = new QueryClient();
  const { asked, value } = watched(client, 'agents');
  refresh(client, new Set(['agents']));
  refresh(client, new Set(['agents']));
  expect(asked).toHaveLength(1);
  asked[0]?.('before the change');
  await expect.poll(() => asked.length).toBe(2);
  asked[1]?.('after the change');
  await expect.poll(value).toBe('after the change');
  expect(asked).toHaveLength(2);
  client.clear();
});

it('leaves alone what is on its way and did not change', async () => {
  const client = new QueryClient();
  const { asked, value } = watched(client, 'policies');
  refresh(client, new Set(['agents']));
  asked[0]?.('as it is');
  await expect.poll(value).toBe('as it is');
  expect(asked).toHaveLength(1);
  client.clear();
});

it('reads again what is old by its own measure, and nothing that is fresh', async () => {
  const client = new QueryClient();
  const { asked, value } = watched(client, 'settings');
  asked[0]?.('first');
  await expect.poll(value).toBe('first');
  refetchStale(client, Date.now() + 1);
  expect(asked).toHaveLength(1);
  client.setQueryData(['settings'], 'first', { updatedAt: Date.now() - 6_000 });
  refetchStale(client, Date.now() - 10_000);
  expect(asked).toHaveLength(1);
  refetchStale(client, Date.now());
  await expect.poll(() => asked.length).toBe(2);
  client.clear();
});
