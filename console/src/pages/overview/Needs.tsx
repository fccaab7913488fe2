// What needs somebody, each with the way to where it is done.
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import type { Overview } from '../../api/types';
import { clusterQuery } from '../../layout/ClusterWatch';
import { countsQuery } from '../../layout/Shell';
import { useMe } from '../../session/session';
import { text } from '../../text';
import { Badge, type Tone } from '../../ui/Badge';
import { Panel } from '../../ui/Page';
import { Empty, Skeleton } from '../../ui/State';

const t = text.overview.needs;

interface Need {
  key: string;
  tone: Tone;
  says: string;
  link: ReactNode;
}

export function Needs({ overview }: { overview: Overview | undefined }) {
  const me = useMe();
  const counts = useQuery(countsQuery).data;
  const cluster = useQuery({ ...clusterQuery, enabled: me.first_fleet }).data;
  const needs: Need[] = [];
  const count = (name: string): number => counts?.[name] ?? 0;
  const button = 'button small';
  if (count('approvals_pending') > 0) {
    needs.push({
      key: 'approvals',
      tone: 'warn',
      says: t.approvals(count('approvals_pending')),
      link: (
        <Link to="/approvals" className={button}>
          {t.decide}
        </Link>
      ),
    });
  }
  if (count('agents_quarantined') > 0) {
    needs.push({
      key: 'quarantined',
      tone: 'bad',
      says: t.quarantined(count('agents_quarantined')),
      link: (
        <Link to="/agents" search={{ status: 'quarantined' }} className={button}>
          {t.look}
        </Link>
      ),
    });
  }
  if (count('dead_letters') > 0) {
    needs.push({
      key: 'dead',
      tone: 'bad',
      says: t.dead(count('dead_letters')),
      link: (
        <Link to="/dead-letters" className={button}>
          {t.look}
        </Link>
      ),
    });
  }
  if (count('agents_degraded') > 0) {
    needs.push({
      key: 'degraded',
      tone: 'warn',
      says: t.degraded(count('agents_degraded')),
      link: (
        <Link to="/agents" search={{ status: 'degraded' }} className={button}>
          {t.look}
        </Link>
      ),
    });
  }
  if (cluster && !cluster.can_decide) {
    needs.push({
      key: 'leader',
      tone: 'bad',
      says: t.noLeader,
      link: (
        <Link to="/cluster" className={button}>
          {t.look}
        </Link>
      ),
    });
  }
  for (const node of cluster?.nodes ?? []) {
    if (node.health === 'ok') continue;
    needs.push({
      key: `node-${node.node_id}`,
      tone: node.health === 'unreachable' || node.health === 'disk_full' ? 'bad' : 'warn',
      says: t.node(node.node_id, (text.statuses.health[node.health] ?? node.health).toLowerCase()),
      link: (
        <Link to="/cluster" className={button}>
          {t.look}
        </Link>
      ),
    });
  }
  for (const problem of overview?.license.problems ?? []) {
    needs.push({
      key: problem.code,
      tone: 'warn',
      says: problem.text,
      link: (
        <Link to="/licence" className={button}>
          {t.look}
        </Link>
      ),
    });
  }
  return (
    <Panel title={t.title} flush>
      {!counts ? (
        <Skeleton lines={3} />
      ) : needs.length === 0 ? (
        <Empty title={t.none} compact>
          <p>{t.noneAbout}</p>
        </Empty>
      ) : (
        <ul className="plain-rows">
          {needs.map((need) => (
            <li key={need.key} className="row apart">
              <span className="row">
                <Badge tone={need.tone}>{''}</Badge>
                <span className="break">{need.says}</span>
              </span>
              {need.link}
            </li>
          ))}
        </ul>
      )}
    </Panel>
  );
}
