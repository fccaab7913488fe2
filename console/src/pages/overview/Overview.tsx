// At a glance: who is alive, what waits, what failed, what needs somebody, how much and how fast.
import { useQuery } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';
import { api, need } from '../../api/client';
import type { Activity, Event } from '../../api/types';
import { clusterQuery } from '../../layout/ClusterWatch';
import { countsQuery } from '../../layout/Shell';
import { EventLine } from '../../links/EventLine';
import { StateBadge } from '../../links/status';
import { useMe } from '../../session/session';
import { text } from '../../text';
import { WINDOWS, type WindowMinutes } from '../../url/searches';
import { Chart } from '../../ui/Chart';
import { Segments } from '../../ui/Field';
import { formatDuration, formatNumber, formatShort } from '../../ui/format';
import { PageHead, Panel } from '../../ui/Page';
import { Empty, Loaded } from '../../ui/State';
import { Time } from '../../ui/Time';
import { EnrolButton } from '../agents/Enrol';
import { Needs } from './Needs';
import { useRate } from './samples';

const route = getRouteApi('/app/');
const t = text.overview;
const ACTIVITY_EVERY_MS = 10_000;

export function OverviewPage() {
  const window = route.useSearch().window ?? 60;
  const navigate = route.useNavigate();
  const overview = useQuery({
    queryKey: ['overview'],
    queryFn: ({ signal }) => need(api.GET('/v1/operator/overview', { signal })),
  });
  const activity = useQuery({
    queryKey: ['activity', window],
    queryFn: ({ signal }) =>
      need(api.GET('/v1/operator/activity', { params: { query: { window_minutes: window } }, signal })),
    refetchInterval: ACTIVITY_EVERY_MS,
  });
  const choose = (value: WindowMinutes) =>
    void navigate({ search: value === 60 ? {} : { window: value }, replace: true });
  const isNew = overview.data?.agents.length === 0;
  return (
    <>
      <PageHead
        title={t.title}
        actions={
          <Segments
            label={t.window}
            value={window}
            onChange={choose}
            choices={WINDOWS.map((value) => ({ value, label: t.windows[value] ?? String(value) }))}
          />
        }
      />
      <div className="stack wide">
        <Stats />
        {isNew && (
          <div className="panel">
            <Empty title={t.welcome}>
              <p>{t.welcomeAbout}</p>
              <EnrolButton primary />
            </Empty>
          </div>
        )}
        <div className="grid-main">
          <div className="stack">
            <Panel title={t.throughput} about={t.throughputAbout}>
              <Loaded query={activity} lines={5}>
                {(data) => <Throughput activity={data} />}
              </Loaded>
            </Panel>
            <div className="grid-2">
              <Panel title={t.latency} about={t.latencyAbout}>
                <Loaded query={activity} lines={5}>
                  {(data) => <Latency activity={data} />}
                </Loaded>
              </Panel>
              <Panel title={t.queue} about={t.queueAbout}>
                <Loaded query={activity} lines={5}>
                  {(data) => <Queue activity={data} />}
                </Loaded>
              </Panel>
            </div>
          </div>
          <div className="stack">
            <Needs overview={overview.data} />
            <Nodes />
          </div>
        </div>
        <Panel
          title={t.recent}
          flush
          actions={
            <Link to="/events" className="button small">
              {t.allEvents}
            </Link>
          }
        >
          <Loaded query={overview}>{(data) => <Recent events={data.recentEvents} />}</Loaded>
        </Panel>
      </div>
    </>
  );
}

function Stats() {
  const counts = useQuery(countsQuery).data;
  const rate = useRate();
  const of = (name: string): number => counts?.[name] ?? 0;
  const shown = (name: string): string => (counts ? formatShort(of(name)) : '–');
  const all = ['agents_healthy', 'agents_degraded', 'agents_paused', 'agents_quarantined'].reduce(
    (sum, name) => sum + of(name),
    0,
  );
  return (
    <div className="stats">
      <Link to="/agents" search={{ status: 'healthy' }} className="stat">
        <span className="stat-name">{t.stats.alive}</span>
        <div className="stat-value">{shown('agents_healthy')}</div>
        <span className="stat-note">{t.stats.aliveOf(counts ? formatNumber(all) : '–')}</span>
      </Link>
      <Link to="/events" search={{ type: 'message.queued' }} className="stat">
        <span className="stat-name">{t.stats.accepted}</span>
        <div className="stat-value">
          {rate === null
            ? '–'
            : t.stats.perSecond(rate > 0 && rate < 10 ? rate.toFixed(1) : formatShort(Math.round(rate)))}
        </div>
        <span className="stat-note">{t.stats.acceptedNote(shown('messages_accepted'))}</span>
      </Link>
      <Link to="/topology" className="stat">
        <span className="stat-name">{t.stats.queued}</span>
        <div className="stat-value">{shown('queued')}</div>
        <span className="stat-note">{t.stats.queuedNote(shown('delivered'))}</span>
      </Link>
      <Link to="/approvals" className="stat" data-tone={of('approvals_pending') > 0 ? 'warn' : undefined}>
        <span className="stat-name">{t.stats.approvals}</span>
        <div className="stat-value">{shown('approvals_pending')}</div>
        <span className="stat-note">{t.stats.approvalsNote}</span>
      </Link>
      <Link to="/dead-letters" className="stat" data-tone={of('dead_letters') > 0 ? 'bad' : undefined}>
        <span className="stat-name">{t.stats.dead}</span>
        <div className="stat-value">{shown('dead_letters')}</div>
        <span className="stat-note">{t.stats.deadNote}</span>
      </Link>
      <Link
        to="/agents"
        search={{ status: 'quarantined' }}
        className="stat"
        data-tone={of('agents_quarantined') > 0 ? 'bad' : undefined}
      >
        <span className="stat-name">{t.stats.quarantined}</span>
        <div className="stat-value">{shown('agents_quarantined')}</div>
        <span className="stat-note">{t.stats.quarantinedNote(shown('agents_paused'))}</span>
      </Link>
      <Link
        to="/events"
        search={{ type: 'agent.rate_limit_exceeded' }}
        className="stat"
        data-tone={of('rate_violations_24h') > 0 ? 'warn' : undefined}
      >
        <span className="stat-name">{t.stats.rate}</span>
        <div className="stat-value">{shown('rate_violations_24h')}</div>
        <span className="stat-note">{t.stats.rateNote}</span>
      </Link>
    </div>
  );
}

function Throughput({ activity }: { activity: Activity }) {
  const { spans, total } = activity;
  if (total.accepted + total.acked + total.expired + total.dead_lettered + total.denied === 0) {
    return (
      <Empty title={t.noTraffic} compact>
        <p>{t.noTrafficAbout}</p>
      </Empty>
    );
  }
  return (
    <Chart
      label={t.throughput}
      times={spans.map((span) => span.from)}
      format={formatShort}
      summary="sum"
      height={190}
      series={[
        {
          name: t.series.accepted,
          colour: 'var(--series-1)',
          values: spans.map((span) => span.accepted),
          filled: true,
        },
        { name: t.series.acked, colour: 'var(--series-2)', values: spans.map((span) => span.acked) },
        {
          name: t.series.failed,
          colour: 'var(--series-4)',
          values: spans.map((span) => span.expired + span.dead_lettered + span.denied + span.rate_limited),
        },
      ]}
    />
  );
}

function Latency({ activity }: { activity: Activity }) {
  const { spans, total } = activity;
  if (total.latency_ms.p50 === null || total.latency_ms.p50 === undefined) {
    return (
      <Empty title={t.noTraffic} compact>
        <p>{t.noTrafficAbout}</p>
      </Empty>
    );
  }
  return (
    <Chart
      label={t.latency}
      times={spans.map((span) => span.from)}
      format={formatDuration}
      height={140}
      series={[
        {
          name: t.series.p50,
          colour: 'var(--series-2)',
          values: spans.map((span) => span.latency_ms.p50 ?? null),
        },
        {
          name: t.series.p95,
          colour: 'var(--series-1)',
          values: spans.map((span) => span.latency_ms.p95 ?? null),
        },
        {
          name: t.series.p99,
          colour: 'var(--series-3)',
          values: spans.map((span) => span.latency_ms.p99 ?? null),
        },
      ]}
    />
  );
}

function Queue({ activity }: { activity: Activity }) {
  const now = useQuery(countsQuery).data?.['queued'];
  const { spans } = activity;
  const values = spans.map((span, index) => {
    const isLast = index === spans.length - 1;
    // Of the span that is under way the counts know more than the last answer.
    return isLast && now !== undefined ? Math.max(now, span.queued ?? 0) : (span.queued ?? null);
  });
  return (
    <Chart
      label={t.queue}
      times={spans.map((span) => span.from)}
      format={formatShort}
      height={140}
      series={[{ name: t.series.queued, colour: 'var(--series-1)', values, filled: true }]}
    />
  );
}

function Nodes() {
  const me = useMe();
  const cluster = useQuery({ ...clusterQuery, enabled: me.first_fleet });
  if (!me.first_fleet) return null;
  return (
    <Panel
      title={t.nodes}
      flush
      actions={
        <Link to="/cluster" className="button small">
          {t.needs.look}
        </Link>
      }
    >
      <Loaded query={cluster} lines={3}>
        {(data) => (
          <ul className="plain-rows">
            {data.nodes.map((node) => (
              <li key={node.node_id} className="row apart">
                <span>
                  {text.cluster.nodeName(node.node_id)}{' '}
                  <span className="muted">{text.cluster.roles[node.role] ?? node.role}</span>
                </span>
                <StateBadge state={node.health} />
              </li>
            ))}
          </ul>
        )}
      </Loaded>
    </Panel>
  );
}

function Recent({ events }: { events: Event[] }) {
  if (events.length === 0)
    return (
      <Empty title={text.events.none} compact>
        <p>{text.events.noneAbout}</p>
      </Empty>
    );
  return (
    <ul className="events-list">
      {events.slice(0, 12).map((event) => (
        <li key={event.id}>
          <span className="faint">
            <Time at={event.created_at} />
          </span>
          <EventLine event={event} />
        </li>
      ))}
    </ul>
  );
}
