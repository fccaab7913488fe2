// Names for ids. Everything but lists of agents and rooms names them by id only; what is on screen
// is asked for together, once, and kept.
import {
  type QueryClient,
  useQueries,
  useQuery,
  useQueryClient,
  type UseQueryResult,
} from '@tanstack/react-query';
import { useEffect } from 'react';
import { api, need } from '../api/client';
import type { Agent } from '../api/types';

const GATHER_MS = 20;
const IDS_MAX = 100;
const KEPT_MS = 10 * 60_000;

interface Waiting<Item> {
  resolve: (item: Item | null) => void;
  reject: (thrown: unknown) => void;
}

/** Ids asked for one by one, within a moment, become one request. */
function gathered<Item extends { id: string }>(
  ask: (ids: string) => Promise<Item[]>,
): (id: string) => Promise<Item | null> {
  let waiting = new Map<string, Waiting<Item>[]>();
  const answer = async (batch: Map<string, Waiting<Item>[]>): Promise<void> => {
    const ids = [...batch.keys()];
    for (let at = 0; at < ids.length; at += IDS_MAX) {
      const some = ids.slice(at, at + IDS_MAX);
      try {
        const found = new Map((await ask(some.join(','))).map((item) => [item.id, item]));
        for (const id of some) batch.get(id)?.forEach((one) => one.resolve(found.get(id) ?? null));
      } catch (thrown) {
        for (const id of some) batch.get(id)?.forEach((one) => one.reject(thrown));
      }
    }
  };
  return (id) =>
    new Promise((resolve, reject) => {
      if (waiting.size === 0) {
        setTimeout(() => {
          const batch = waiting;
          waiting = new Map();
          void answer(batch);
        }, GATHER_MS);
      }
      waiting.set(id, [...(waiting.get(id) ?? []), { resolve, reject }]);
    });
}

const agentOf = gathered(
  async (ids) => (await need(api.GET('/v1/operator/agents', { params: { query: { ids } } }))).agents,
);
const roomOf = gathered(
  async (ids) => (await need(api.GET('/v1/operator/rooms', { params: { query: { ids } } }))).rooms,
);

const nameQuery = (id: string) => ({
  queryKey: ['agent-name', id],
  queryFn: () => agentOf(id),
  staleTime: KEPT_MS,
  gcTime: KEPT_MS,
});

/** The name of an agent, null where there is none (any more), undefined while it is asked for. */
export function useAgentName(id: string | null | undefined): string | null | undefined {
  const known = useQuery({ ...nameQuery(id ?? ''), enabled: id?.startsWith('agent_') ?? false });
  return known.data === undefined ? undefined : (known.data?.display_name ?? null);
}

/** Whether an id is one of a room; a conversation may be called "room_service". */
export const isRoom = (id: string | null | undefined): boolean => /^room_[0-9a-f]{32}$/.test(id ?? '');

/** The name of a room; null and undefined as for agents. */
export function useRoomName(id: string | null | undefined): string | null | undefined {
  const known = useQuery({
    queryKey: ['room-name', id],
    queryFn: () => roomOf(id ?? ''),
    staleTime: KEPT_MS,
    gcTime: KEPT_MS,
    enabled: isRoom(id),
  });
  return known.data === undefined ? undefined : (known.data?.name ?? null);
}

/** Remembers the names of agents that were read anyway. */
export function useSeedNames(agents: Agent[]): void {
  const client = useQueryClient();
  useEffect(() => seedNames(client, agents), [client, agents]);
}

function seedNames(client: QueryClient, agents: Agent[]): void {
  for (const agent of agents) {
    if (client.getQueryData(['agent-name', agent.id]) === undefined)
      client.setQueryData(['agent-name', agent.id], agent);
  }
}

/** The names of several agents, as far as they are known by now. */
export function useAgentNames(ids: string[]): Map<string, string> {
  return useQueries({ queries: ids.map(nameQuery), combine: namesIn });
}

const namesIn = (known: UseQueryResult<Agent | null>[]): Map<string, string> =>
  new Map(known.flatMap(({ data: agent }) => (agent ? [[agent.id, agent.display_name]] : [])));

/** The emails of operators by id; a fleet has few of them. */
export function useOperatorEmail(id: string | null | undefined): string | undefined {
  const all = useQuery({
    queryKey: ['operators', 'names'],
    queryFn: ({ signal }) =>
      need(api.GET('/v1/operator/operators', { params: { query: { limit: IDS_MAX } }, signal })),
    staleTime: KEPT_MS,
    enabled: id?.startsWith('opr_') ?? false,
    select: (list) => new Map(list.operators.map((operator) => [operator.id, operator.email])),
  });
  return id ? all.data?.get(id) : undefined;
}
