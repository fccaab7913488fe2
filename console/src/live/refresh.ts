// Asking again for what is on screen, without reading a list of 10,000 rows anew every second.
import type { Query, QueryClient } from '@tanstack/react-query';
import { isLong } from '../api/lists';

/** Queries that are asked again as soon as their first answer is there. */
const askedTwice = new WeakSet<Query>();

/** Marks answers as old, those whose keys begin with one of `keys` (or all); short ones are read again. */
export function refresh(client: QueryClient, keys: Set<string> | null): void {
  const isMeant = (query: Query) => keys === null || keys.has(String(query.queryKey[0]));
  void client.invalidateQueries({ predicate: (query) => isMeant(query) && !isLong(query.state.data) });
  void client.invalidateQueries({
    refetchType: 'none',
    predicate: (query) => isMeant(query) && isLong(query.state.data),
  });
  againOnceThere(client, isMeant);
}

/** What was read before `at` may lack what happened since. */
export function refreshOlder(client: QueryClient, at: number): void {
  void client.invalidateQueries({
    predicate: (query) =>
      query.state.dataUpdatedAt > 0 && query.state.dataUpdatedAt < at && !isLong(query.state.data),
  });
}

/** Reads again what is on screen, by its own measure old, and was last read before `at`. */
export function refetchStale(client: QueryClient, at: number): void {
  void client.refetchQueries(
    {
      type: 'active',
      stale: true,
      predicate: (query) =>
        query.state.dataUpdatedAt > 0 && query.state.dataUpdatedAt < at && !isLong(query.state.data),
    },
    { cancelRefetch: false },
  );
}

/**
 * A first answer that is on its way may have been read before the change, and to mark it as old
 * now has no effect: it counts as new once it is there.
 */
export function againOnceThere(client: QueryClient, isMeant: (query: Query) => boolean): void {
  const underWay = client.getQueryCache().findAll({
    fetchStatus: 'fetching',
    predicate: (query) => query.state.data === undefined && isMeant(query),
  });
  for (const query of underWay) {
    if (askedTwice.has(query)) continue;
    askedTwice.add(query);
    const again = () => {
      askedTwice.delete(query);
      void client.invalidateQueries({ queryKey: query.queryKey, exact: true });
    };
    query.promise?.then(again, () => askedTwice.delete(query));
  }
}
