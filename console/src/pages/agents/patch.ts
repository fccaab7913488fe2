// One agent, read anew and put into every list that shows it.
import type { InfiniteData, QueryClient } from '@tanstack/react-query';
import { api, need } from '../../api/client';
import type { Agent } from '../../api/types';

interface Page {
  rows: Agent[];
  last: unknown;
}

const GATHER_MS = 500;
let due = new Set<string>();

/** Many events about one agent, or about many, become one request. */
export async function patchAgent(client: QueryClient, id: string): Promise<void> {
  const first = due.size === 0;
  due.add(id);
  if (!first) return;
  await new Promise((resolve) => setTimeout(resolve, GATHER_MS));
  const ids = [...due].slice(0, 100);
  due = new Set();
  try {
    const { agents } = await need(
      api.GET('/v1/operator/agents', { params: { query: { ids: ids.join(',') } } }),
    );
    const byId = new Map(agents.map((agent) => [agent.id, agent]));
    client.setQueriesData<InfiniteData<Page>>({ queryKey: ['agents'] }, (data) =>
      data && 'pages' in data ? replaced(data, byId) : data,
    );
  } catch {
    // The lists are read again anyway: this only brings it forward.
  }
}

export function replaced(data: InfiniteData<Page>, byId: Map<string, Agent>): InfiniteData<Page> {
  const pages = data.pages.map((page) =>
    page.rows.some((agent) => byId.has(agent.id))
      ? { ...page, rows: page.rows.map((agent) => byId.get(agent.id) ?? agent) }
      : page,
  );
  return { ...data, pages };
}
