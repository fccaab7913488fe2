// Counts over long times, with a licence for it.
import { useQuery } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';
import { useMemo } from 'react';
import { api, needJson } from '../../api/client';
import { ApiError } from '../../api/error';
import type { AnalyticsPoint } from '../../api/types';
import { AgentLink } from '../../links/links';
import { text } from '../../text';
import { ANALYTICS_BY, RANGES } from '../../url/searches';
import { Chart } from '../../ui/Chart';
import { FilterSelect, Segments } from '../../ui/Field';
import { formatBytes, formatDuration, formatNumber, formatShort } from '../../ui/format';
import { Icon } from '../../ui/Icon';
import { PageHead, Panel } from '../../ui/Page';
import { Empty, Loaded } from '../../ui/State';

const route = getRouteApi('/app/analytics');
const t = text.analytics;
const HOURS: Record<(typeof RANGES)[number], number> = {
  '24h': 24,
  '7d': 168,
  '30d': 720,
  '90d': 2_160,
  '365d': 8_760,
};
const HOUR_MS = 3_600_000;

export function AnalyticsPage() {
  const { range = '7d', by = 'sent' } = route.useSearch();
  const navigate = route.useNavigate();
  // Whole hours, so that the same page asks the same question for an hour.
  const hour = Math.floor(Date.now() / HOUR_MS);
  const time = useMemo(
    () => ({
      from: new Date((hour + 1 - HOURS[range]) * HOUR_MS).toISOString(),
      to: new Date((hour + 1) * HOUR_MS).toISOString(),
    }),
    [hour, range],
  );
  const throughput = useQuery({
    queryKey: ['analytics', 'throughput', time],
    queryFn: ({ signal }) => needJson(api.GET('/v1/operator/analytics', { params: { query: time }, signal })),
  });
  const locked = throughput.error instanceof ApiError && throughput.error.code === 'license_required';
  const csv = (path: string) =>
    `/v1/operator/analytics${path}?${new URLSearchParams({ ...time, format: 'csv' }).toString()}`;
  return (
    <>
      <PageHead
        title={t.title}
        about={t.about}
        actions={
          <Segments
            label={t.range}
            value={range}
            choices={RANGES.map((value) => ({ value, label: t.ranges[value] ?? value }))}
            onChange={(value) =>
              void navigate({
                search: (before) => ({ ...before, range: value === '7d' ? undefined : value }),
                replace: true,
              })
            }
          />
        }
      />
      {locked ? (
        <div className="panel">
          <Empty title={t.locked}>
            <p>{t.lockedAbout}</p>
            <span className="row">
              <Link to="/" className="button">
                {t.toOverview}
              </Link>
              <Link to="/licence" className="button primary">
                {t.toLicence}
              </Link>
            </span>
          </Empty>
        </div>
      ) : (
        <div className="stack">
          <Loaded query={throughput} lines={10}>
            {(data) => <Charts points={data.points} csv={csv('')} />}
          </Loaded>
          <div className="grid-2">
            <TopAgents
              time={time}
              by={by}
              csv={`${csv('/agents')}&by=${by}`}
              onBy={(value) =>
                void navigate({
                  search: (before) => ({ ...before, by: value === 'sent' ? undefined : value }),
                  replace: true,
                  resetScroll: false,
                })
              }
            />
            <Pairs time={time} csv={csv('/pairs')} />
          </div>
        </div>
      )}
    </>
  );
}

function CsvLink({ href }: { href: string }) {
  return (
    <a className="button small" href={href} download>
      <Icon name="download" size={14} />
      {t.exportCsv}
    </a>
  );
}

function Charts({ points, csv }: { points: AnalyticsPoint[]; csv: string }) {
  const times = points.map((point) => point.from);
  const pick = (of: (point: AnalyticsPoint) => number | null | undefined) =>
    points.map((point) => of(point) ?? null);
  return (
    <>
      <Panel title={t.throughput} actions={<CsvLink href={csv} />}>
        <Chart
          label={t.throughput}
          times={times}
          format={formatShort}
          summary="sum"
          height={200}
          series={[
            {
              name: t.series.accepted,
              colour: 'var(--series-1)',
              values: pick((point) => point.accepted),
              filled: true,
            },
            { name: t.series.acked, colour: 'var(--series-2)', values: pick((point) => point.acked) },
            { name: t.series.retried, colour: 'var(--series-3)', values: pick((point) => point.retried) },
          ]}
        />
      </Panel>
      <div className="grid-2">
        <Panel title={t.failures}>
          <Chart
            label={t.failures}
            times={times}
            format={formatShort}
            summary="sum"
            series={[
              {
                name: t.series.timeout,
                colour: 'var(--series-4)',
                values: pick((point) => point.failures.timeout),
                filled: true,
              },
              {
                name: t.series.given_back,
                colour: 'var(--series-3)',
                values: pick((point) => point.failures.given_back),
              },
              {
                name: t.series.expired,
                colour: 'var(--series-1)',
                values: pick((point) => point.failures.expired),
              },
              {
                name: t.series.policy,
                colour: 'var(--series-2)',
                values: pick((point) => point.failures.policy),
              },
              { name: t.series.rate, colour: 'var(--idle)', values: pick((point) => point.failures.rate) },
            ]}
          />
        </Panel>
        <Panel title={t.latency}>
          <Chart
            label={t.latency}
            times={times}
            format={formatDuration}
            series={[
              {
                name: t.series.p50,
                colour: 'var(--series-2)',
                values: pick((point) => point.latency_ms.p50),
              },
              {
                name: t.series.p95,
                colour: 'var(--series-1)',
                values: pick((point) => point.latency_ms.p95),
              },
              {
                name: t.series.p99,
                colour: 'var(--series-3)',
                values: pick((point) => point.latency_ms.p99),
              },
            ]}
          />
        </Panel>
      </div>
    </>
  );
}

interface Time {
  from: string;
  to: string;
}

function TopAgents({
  time,
  by,
  csv,
  onBy,
}: {
  time: Time;
  by: (typeof ANALYTICS_BY)[number];
  csv: string;
  onBy: (by: (typeof ANALYTICS_BY)[number]) => void;
}) {
  const query = useQuery({
    queryKey: ['analytics', 'agents', time, by],
    queryFn: ({ signal }) =>
      needJson(
        api.GET('/v1/operator/analytics/agents', { params: { query: { ...time, by, limit: 12 } }, signal }),
      ),
  });
  const value = (count: number) => (by === 'sent_bytes' ? formatBytes(count) : formatNumber(count));
  return (
    <Panel
      title={t.top}
      flush
      actions={
        <>
          <FilterSelect
            label={t.top}
            value={by}
            choices={ANALYTICS_BY.map((one) => ({ value: one, label: t.byName[one] ?? one }))}
            onChange={(one) => onBy(ANALYTICS_BY.find((name) => name === one) ?? 'sent')}
          />
          <CsvLink href={csv} />
        </>
      }
    >
      <Loaded query={query}>
        {(data) => (
          <Bars
            rows={data.agents.map((agent) => ({
              key: agent.agent_id ?? 'operators',
              label: <AgentLink id={agent.agent_id} />,
              count: agent[by],
              shown: value(agent[by]),
            }))}
          />
        )}
      </Loaded>
    </Panel>
  );
}

function Pairs({ time, csv }: { time: Time; csv: string }) {
  const query = useQuery({
    queryKey: ['analytics', 'pairs', time],
    queryFn: ({ signal }) =>
      needJson(
        api.GET('/v1/operator/analytics/pairs', { params: { query: { ...time, limit: 12 } }, signal }),
      ),
  });
  return (
    <Panel title={t.pairs} flush actions={<CsvLink href={csv} />}>
      <Loaded query={query}>
        {(data) => (
          <Bars
            rows={data.pairs.map((pair) => ({
              key: `${pair.sender_agent_id ?? ''}>${pair.recipient_agent_id}`,
              count: pair.messages,
              shown: formatNumber(pair.messages),
              label: (
                <span className="row">
                  <AgentLink id={pair.sender_agent_id} />
                  <span className="faint">→</span>
                  <AgentLink id={pair.recipient_agent_id} />
                </span>
              ),
            }))}
          />
        )}
      </Loaded>
    </Panel>
  );
}

function Bars({ rows }: { rows: { key: string; label: React.ReactNode; count: number; shown: string }[] }) {
  const most = Math.max(1, ...rows.map((row) => row.count));
  if (rows.every((row) => row.count === 0)) return <Empty title={t.nothing} compact />;
  return (
    <ul className="plain-rows">
      {rows.map((row) => (
        <li key={row.key} className="bar-row">
          <span className="cut">{row.label}</span>
          <span className="meter" aria-hidden="true">
            <span style={{ width: `${(row.count / most) * 100}%` }} />
          </span>
          <span className="num strong right">{row.shown}</span>
        </li>
      ))}
    </ul>
  );
}
