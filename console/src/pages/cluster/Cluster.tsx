// The nodes of the relay: how they are, and everything that is done with them.
import { useQuery } from '@tanstack/react-query';
import { getRouteApi } from '@tanstack/react-router';
import { useState } from 'react';
import type { Cluster, ClusterNode } from '../../api/types';
import { clusterQuery } from '../../layout/ClusterWatch';
import { StateBadge } from '../../links/status';
import { useMay } from '../../session/session';
import { text } from '../../text';
import { Badge, Tag } from '../../ui/Badge';
import { formatBytes, formatDuration, formatNumber } from '../../ui/format';
import { Icon } from '../../ui/Icon';
import { PageHead, Panel } from '../../ui/Page';
import { ErrorBox, Loaded } from '../../ui/State';
import { AddNodeDialog } from './AddNode';
import { Backups } from './Backups';
import { JoinTokens } from './JoinTokens';
import { NodeActions } from './NodeActions';
import { Progress } from './Progress';
import { type Operation, spare } from './progress';

const route = getRouteApi('/app/cluster');
const t = text.cluster;
/** While somebody looks at it, and twice a second while something is under way. */
const LOOKED_AT_MS = 2_000;
const UNDER_WAY_MS = 500;

export function ClusterPage() {
  const { op, node, above } = route.useSearch();
  const navigate = route.useNavigate();
  const may = useMay('cluster');
  const [adding, setAdding] = useState(false);
  const operation: Operation | null = op && node ? { op, node, above: above ?? node } : null;
  const query = useQuery({
    ...clusterQuery,
    refetchInterval: operation ? UNDER_WAY_MS : LOOKED_AT_MS,
    retry: false,
  });
  const begin = (next: Operation) => {
    void navigate({ search: { op: next.op, node: next.node, above: next.above }, replace: true });
    // The row of the node is gone by then; what takes its place is added from here.
    if (next.op === 'replace') setAdding(true);
  };
  return (
    <>
      <PageHead
        title={t.title}
        about={t.about}
        actions={
          may && (
            <button type="button" className="button primary" onClick={() => setAdding(true)}>
              <Icon name="plus" />
              {t.add}
            </button>
          )
        }
      />
      <div className="stack">
        {query.error && query.data && <ErrorBox error={query.error} />}
        <Loaded query={query} lines={10}>
          {(cluster) => (
            <>
              {operation && (
                <Progress
                  operation={operation}
                  cluster={cluster}
                  onDismiss={() => void navigate({ search: {}, replace: true })}
                />
              )}
              <Stats cluster={cluster} />
              <Panel title={t.nodes} about={cluster.cluster_id} flush>
                <Nodes cluster={cluster} onBegin={begin} />
              </Panel>
            </>
          )}
        </Loaded>
        <div className="grid-2">
          <Backups />
          {may && <JoinTokens />}
        </div>
      </div>
      {adding && query.data && <AddNodeDialog cluster={query.data} onClose={() => setAdding(false)} />}
    </>
  );
}

function Stats({ cluster }: { cluster: Cluster }) {
  const s = t.stats;
  return (
    <div className="stats">
      <div className="stat" data-tone={cluster.can_decide ? undefined : 'bad'}>
        <span className="stat-name">{s.canDecide}</span>
        <div className="stat-value">{cluster.can_decide ? s.yes : s.no}</div>
        <span className="stat-note">{s.votersOf(cluster.reachable_voters, cluster.needed_voters)}</span>
      </div>
      <div className="stat" data-tone={cluster.leader ? undefined : 'bad'}>
        <span className="stat-name">{s.leader}</span>
        <div className="stat-value">{cluster.leader ? t.nodeName(cluster.leader) : text.common.none}</div>
        <span className="stat-note">{s.term(cluster.term)}</span>
      </div>
      <div className="stat" data-tone={cluster.nodes.length > 1 && spare(cluster) === 0 ? 'warn' : undefined}>
        <span className="stat-name">{s.spare}</span>
        <div className="stat-value">{spare(cluster)}</div>
        <span className="stat-note">{s.spareNote}</span>
      </div>
      <div className="stat">
        <span className="stat-name">{s.level}</span>
        <div className="stat-value">{cluster.feature_level}</div>
        <span className="stat-note">{cluster.changing ? s.changing : s.settled}</span>
      </div>
    </div>
  );
}

function Nodes({ cluster, onBegin }: { cluster: Cluster; onBegin: (operation: Operation) => void }) {
  const c = t.columns;
  const may = useMay('cluster');
  return (
    <table className="table">
      <thead>
        <tr>
          <th scope="col" style={{ width: '24%' }}>
            {c.node}
          </th>
          <th scope="col" style={{ width: 190 }}>
            {c.role}
          </th>
          <th scope="col" style={{ width: 130 }}>
            {c.health}
          </th>
          <th scope="col" className="right low" style={{ width: 110 }}>
            {c.lag}
          </th>
          <th scope="col" className="right low" style={{ width: 110 }}>
            {c.disk}
          </th>
          <th scope="col" className="right lowest low" style={{ width: 110 }}>
            {c.trip}
          </th>
          <th scope="col" className="lowest low" style={{ width: 90 }}>
            {c.version}
          </th>
          {may && (
            <th scope="col" className="right" style={{ width: 96 }}>
              {t.actions}
            </th>
          )}
        </tr>
      </thead>
      <tbody>
        {cluster.nodes.map((node) => (
          <tr key={node.node_id}>
            <td>
              <span className="row wrap" style={{ gap: '0 8px' }}>
                <span className="strong">{t.nodeName(node.node_id)}</span>
                {node.node_id === cluster.node_id && <Tag>{t.here}</Tag>}
              </span>
              <span className="cut small faint" title={node.address}>
                {node.base_url ?? node.address}
              </span>
            </td>
            <td>
              <Role node={node} />
            </td>
            <td>
              <StateBadge state={node.health} />
              {node.failure && (
                <span className="cut small faint" title={node.failure}>
                  {node.failure}
                </span>
              )}
              <Outbox node={node} />
              {(node.missing_files ?? 0) > 0 && (
                <span className="cut small warn-text" title={t.missingAbout}>
                  {t.missing(node.missing_files ?? 0)}
                </span>
              )}
            </td>
            <td className="right low">
              {node.lag_entries === 0 ? (
                <span className="faint">{t.noLag}</span>
              ) : (
                t.entries(formatNumber(node.lag_entries))
              )}
            </td>
            <td className="right low">
              {typeof node.disk_free_bytes === 'number' ? formatBytes(node.disk_free_bytes) : '–'}
            </td>
            <td className="right lowest low">
              {typeof node.round_trip_ms === 'number' ? `${node.round_trip_ms.toFixed(1)} ms` : '–'}
            </td>
            <td className="lowest low">{node.version}</td>
            {may && (
              <td className="right">
                <NodeActions node={node} cluster={cluster} onBegin={onBegin} />
              </td>
            )}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Role({ node }: { node: ClusterNode }) {
  return (
    <span className="row wrap" style={{ gap: '0 8px' }}>
      {node.role === 'leader' ? (
        <Badge tone="accent">{t.roles['leader']}</Badge>
      ) : (
        <span>{t.roles[node.role] ?? node.role}</span>
      )}
      <span className="muted small">{t.parts[node.part] ?? node.part}</span>
    </span>
  );
}

function Outbox({ node }: { node: ClusterNode }) {
  if (!node.outbox_entries) return null;
  return (
    <span className="cut small faint">
      {t.columns.outbox}:{' '}
      {t.outboxOf(
        formatNumber(node.outbox_entries),
        formatDuration((node.outbox_oldest_seconds ?? 0) * 1_000),
      )}
    </span>
  );
}
