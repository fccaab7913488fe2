// All agents: search, filter, sort, live status.
import { useQueryClient } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';
import { useCallback } from 'react';
import { api, need } from '../../api/client';
import { useList } from '../../api/lists';
import type { Agent } from '../../api/types';
import { AgentBadge } from '../../links/status';
import { useSeedNames } from '../../links/names';
import { useLiveEvents } from '../../live/live';
import { text } from '../../text';
import { AGENT_STATUSES } from '../../url/searches';
import { type Column, DataTable } from '../../ui/DataTable';
import { FilterSelect } from '../../ui/Field';
import { PageHead } from '../../ui/Page';
import { SearchField } from '../../ui/Search';
import { Empty } from '../../ui/State';
import { Time } from '../../ui/Time';
import { EnrolButton } from './Enrol';
import { patchAgent } from './patch';

const route = getRouteApi('/app/agents');
const t = text.agents;

const columns: Column<Agent>[] = [
  {
    id: 'name',
    header: t.columns.name,
    sortBy: 'display_name',
    width: '26%',
    cell: (agent) => (
      <Link to="/agents/$id" params={{ id: agent.id }} className="strong" title={agent.id}>
        {agent.display_name}
      </Link>
    ),
  },
  {
    id: 'status',
    header: t.columns.status,
    sortBy: 'status',
    width: '132px',
    cell: (agent) => <AgentBadge status={agent.status} reason={agent.status_reason} />,
  },
  {
    id: 'reported',
    header: t.columns.reported,
    width: '100px',
    when: 'lowest',
    cell: (agent) => <span className="muted">{agent.reported_status ?? '–'}</span>,
  },
  {
    id: 'runtime',
    header: t.columns.runtime,
    width: '110px',
    when: 'low',
    cell: (agent) => <span className="muted">{agent.runtime}</span>,
  },
  {
    id: 'labels',
    header: t.columns.labels,
    when: 'lowest',
    cell: (agent) =>
      agent.labels.length === 0 ? (
        <span className="faint">–</span>
      ) : (
        <span className="chips" style={{ flexWrap: 'nowrap' }}>
          {agent.labels.slice(0, 3).map((label) => (
            <span key={label} className="chip">
              {label}
            </span>
          ))}
        </span>
      ),
  },
  {
    id: 'seen',
    header: t.columns.seen,
    sortBy: 'last_seen_at',
    width: '120px',
    cell: (agent) => <Time at={agent.last_seen_at} />,
  },
  {
    id: 'enrolled',
    header: t.columns.enrolled,
    sortBy: 'created_at',
    width: '120px',
    when: 'low',
    cell: (agent) => <Time at={agent.created_at} />,
  },
];

export function AgentsPage() {
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const client = useQueryClient();
  const list = useList({
    key: ['agents', search],
    fetchPage: (cursor, signal) =>
      need(
        api.GET('/v1/operator/agents', {
          params: { query: { sortBy: 'display_name', ...search, cursor, limit: 100 } },
          signal,
        }),
      ),
    rowsOf: (page) => page.agents,
    totalOf: (page) => page.total,
  });
  useSeedNames(list.rows);
  // Long lists are not read again on every change; the agent that changed is.
  useLiveEvents((event) => {
    if (event.event_type.startsWith('agent.')) void patchAgent(client, event.resource_id);
  });
  const onSearch = useCallback(
    (value: string) =>
      void navigate({ search: (before) => ({ ...before, search: value || undefined }), replace: true }),
    [navigate],
  );
  const filtered = search.status !== undefined || search.search !== undefined;
  return (
    <>
      <PageHead title={t.title} about={t.about} actions={<EnrolButton primary />} />
      <div className="filters">
        <SearchField label={t.search} value={search.search ?? ''} onChange={onSearch} />
        <FilterSelect
          label={t.status}
          value={search.status ?? ''}
          choices={[
            { value: '', label: `${t.status}: ${text.common.any.toLowerCase()}` },
            ...AGENT_STATUSES.map((status) => ({ value: status, label: text.statuses[status] })),
          ]}
          onChange={(value) =>
            void navigate({
              search: (before) => ({ ...before, status: AGENT_STATUSES.find((one) => one === value) }),
              replace: true,
            })
          }
        />
      </div>
      <DataTable
        label={t.title}
        columns={columns}
        list={list}
        idOf={(agent) => agent.id}
        onOpen={(agent) => void navigate({ to: '/agents/$id', params: { id: agent.id } })}
        sorting={{
          by: search.sortBy ?? 'display_name',
          order: search.sortOrder ?? 'asc',
          onSort: (by, order) =>
            void navigate({
              search: (before) => ({ ...before, sortBy: by as typeof search.sortBy, sortOrder: order }),
              replace: true,
            }),
        }}
        empty={
          filtered ? (
            <Empty title={text.common.nothingMatches}>
              <p>{t.noneMatch}</p>
              <Link to="/agents" className="button">
                {text.common.clearFilters}
              </Link>
            </Empty>
          ) : (
            <Empty title={t.none}>
              <p>{t.noneAbout}</p>
              <EnrolButton primary />
            </Empty>
          )
        }
      />
    </>
  );
}
