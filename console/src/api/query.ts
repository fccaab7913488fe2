// The cache of answers: what is retried, when it is asked again, and what a lost session means.
import { MutationCache, QueryCache, QueryClient } from '@tanstack/react-query';
import { ApiError, asApiError } from './error';

const TRIES_MAX = 4;

function worthRetrying(failures: number, thrown: unknown): boolean {
  const error = asApiError(thrown);
  if (failures >= TRIES_MAX - 1) return false;
  return error.worthRetrying || error.code === 'unreachable';
}

function retryDelay(failures: number, thrown: unknown): number {
  const wait = thrown instanceof ApiError ? thrown.retryAfterSeconds : null;
  return wait === null ? Math.min(400 * 2 ** failures, 4_000) : Math.min(wait * 1_000, 5_000);
}

export function makeQueryClient(onSignedOut: () => void): QueryClient {
  const watch = (thrown: unknown) => {
    if (thrown instanceof ApiError && thrown.code === 'not_signed_in') onSignedOut();
  };
  return new QueryClient({
    queryCache: new QueryCache({ onError: watch }),
    mutationCache: new MutationCache({ onError: watch }),
    defaultOptions: {
      queries: {
        retry: worthRetrying,
        retryDelay,
        staleTime: 5_000,
        refetchOnWindowFocus: true,
        // "Online" of the browser says nothing about a relay on this machine or this network.
        networkMode: 'always',
      },
      mutations: {
        // Those codes say that nothing was done.
        retry: (failures, thrown) =>
          failures < TRIES_MAX && thrown instanceof ApiError && thrown.worthRetrying,
        retryDelay,
        networkMode: 'always',
      },
    },
  });
}
