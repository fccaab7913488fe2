// Who wrote to whom: drawn, and in rows.
import { useQuery } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';
import { useMemo } from 'react';
import { api, need } from '../../api/client';
import type { ListState } from '../../api/lists';
import type { Edge } from '../../api/types';
import { AgentLink } from '../../links/links';
import { useAgentName } from '../../links/names';
import { text } from '../../text';
import { WINDOWS, type WindowMinutes } from '../../url/searches';
import { type Column, DataTable } from '../../ui/DataTable';
import { Segments } from '../../ui/Field';
import { formatNumber } from '../../ui/format';
import { PageHead, Panel } from '../../ui/Page';
import { Empty, Loaded } from '../../ui/State';
import { Drawing } from './Drawing';
import { OPERATORS } from './layout';

const route = getRouteApi('/app/topology');
const t = text.topology;
const EVERY_MS = 10_000;

export function TopologyPage() {
  const { window = 60, agent, view } = route.useSearch();
  const navigate = route.useNavigate();
  const query = useQuery({
    queryKey: ['topology', window],
    queryFn: ({ signal }) =>
      need(api.GET('/v1/operator/topology', { params: { query: { window_minutes: window } }, signal })),
    refetchInterval: EVERY_MS,
  });
  const focus = (id: string | undefined) =>
    void navigate({ search: (before) => ({ ...before, agent: id }), replace: true, resetScroll: false });
  return (
    <>
      <PageHead
        title={t.title}
        about={t.about}
        actions={
          <>
            <Segments
              label={t.view}
              value={view ?? 'graph'}
              choices={[
                { value: 'graph', label: t.graph },
                { value: 'table', label: t.table },
              ]}
              onChange={(value) =>
                void navigate({
                  search: (before) => ({
                    ...before,
                    view: value === 'table' ? ('table' as const) : undefined,
                  }),
                  replace: true,
                })
              }
            />
            <Segments
              label={text.overview.window}
              value={window}
              choices={WINDOWS.map((value) => ({
                value,
                label: text.overview.windows[value] ?? String(value),
              }))}
              onChange={(value: WindowMinutes) =>
                void navigate({
                  search: (before) => ({ ...before, window: value === 60 ? undefined : value }),
                  replace: true,
                })
              }
            />
          </>
        }
      />
      <Loaded query={query} lines={10}>
        {({ edges }) =>
          edges.length === 0 ? (
            <div className="panel">
              <Empty title={t.none}>
                <p>{t.noneAbout}</p>
              </Empty>
            </div>
          ) : view === 'table' ? (
            <Table edges={edges} />
          ) : (
            <Graph edges={edges} agent={agent} onFocus={focus} />
          )
        }
      </Loaded>
    </>
  );
}

const idOf = (edge: Edge): string => `${edge.sender_agent_id ?? OPERATORS}>${edge.recipient_agent_id}`;

const columns: Column<Edge>[] = [
  { id: 'from', header: t.from, cell: (edge) => <AgentLink id={edge.sender_agent_id} /> },
  { id: 'to', header: t.to, cell: (edge) => <AgentLink id={edge.recipient_agent_id} /> },
  {
    id: 'messages',
    header: t.messages,
    width: '120px',
    right: true,
    cell: (edge) => formatNumber(edge.messages),
  },
  {
    id: 'failed',
    header: t.failed,
    width: '120px',
    right: true,
    cell: (edge) =>
      edge.failed > 0 ? (
        <Link
          to="/dead-letters"
          search={{
            recipient_agent_id: edge.recipient_agent_id,
            sender_agent_id: edge.sender_agent_id ?? undefined,
          }}
        >
          {formatNumber(edge.failed)}
        </Link>
      ) : (
        <span className="faint">0</span>
      ),
  },
];

function Table({ edges }: { edges: Edge[] }) {
  const list: ListState<Edge> = {
    rows: edges,
    total: edges.length,
    loading: false,
    error: null,
    more: false,
    loadingMore: false,
    loadMore: () => undefined,
    reload: () => undefined,
    outdated: false,
  };
  return (
    <DataTable label={t.title} columns={columns} list={list} idOf={idOf} empty={<Empty title={t.none} />} />
  );
}

function Graph({
  edges,
  agent,
  onFocus,
}: {
  edges: Edge[];
  agent: string | undefined;
  onFocus: (id: string | undefined) => void;
}) {
  const shown = useMemo(
    () =>
      agent === undefined
        ? edges
        : edges.filter(
            (edge) => (edge.sender_agent_id ?? OPERATORS) === agent || edge.recipient_agent_id === agent,
          ),
    [edges, agent],
  );
  return (
    <div className="split" data-open={agent !== undefined}>
      <Drawing edges={edges} chosen={agent} onChoose={onFocus} />
      {agent !== undefined && <Chosen id={agent} edges={shown} onClose={() => onFocus(undefined)} />}
    </div>
  );
}

function Chosen({ id, edges, onClose }: { id: string; edges: Edge[]; onClose: () => void }) {
  const name = useAgentName(id === OPERATORS ? null : id);
  const title = id === OPERATORS ? text.operators.title : (name ?? id);
  return (
    <Panel
      title={title}
      flush
      actions={
        <>
          {id !== OPERATORS && (
            <Link to="/agents/$id" params={{ id }} className="button small">
              {t.open}
            </Link>
          )}
          <button type="button" className="button small" onClick={onClose}>
            {t.everybody}
          </button>
        </>
      }
    >
      {edges.length === 0 ? (
        <Empty title={t.none} compact />
      ) : (
        <table className="table">
          <thead>
            <tr>
              <th scope="col">{t.from}</th>
              <th scope="col">{t.to}</th>
              <th scope="col" className="right" style={{ width: 92 }}>
                {t.messages}
              </th>
              <th scope="col" className="right" style={{ width: 72 }}>
                {t.failed}
              </th>
            </tr>
          </thead>
          <tbody>
            {edges.map((edge) => (
              <tr key={idOf(edge)}>
                <td>
                  <AgentLink id={edge.sender_agent_id} />
                </td>
                <td>
                  <AgentLink id={edge.recipient_agent_id} />
                </td>
                <td className="right">{formatNumber(edge.messages)}</td>
                <td className="right">
                  {edge.failed > 0 ? (
                    <strong>{formatNumber(edge.failed)}</strong>
                  ) : (
                    <span className="faint">0</span>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </Panel>
  );
}
