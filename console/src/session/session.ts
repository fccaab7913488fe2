// Who is signed in. The session itself is a cookie that no script can read.
import { type QueryClient, queryOptions, useSuspenseQuery } from '@tanstack/react-query';
import { api, need } from '../api/client';
import type { Me, Scope } from '../api/types';

export const meQuery = queryOptions({
  queryKey: ['me'],
  queryFn: ({ signal }) => need(api.GET('/v1/operator/me', { signal })),
  staleTime: 60_000,
});

export function useMe(): Me {
  return useSuspenseQuery(meQuery).data;
}

/** Whether the role allows it. The relay decides; this only keeps buttons away that would be refused. */
export function useMay(scope: Scope): boolean {
  return useMe().scopes.includes(scope);
}

export async function signOut(client: QueryClient): Promise<void> {
  await need(api.POST('/v1/operator/logout'));
  client.clear();
}
