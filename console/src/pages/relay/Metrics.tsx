// Every metric with what it means and its value now, and how to have them collected.
import { useQuery } from '@tanstack/react-query';
import { getRouteApi } from '@tanstack/react-router';
import { useCallback } from 'react';
import { api, need } from '../../api/client';
import { clusterQuery } from '../../layout/ClusterWatch';
import { useMe } from '../../session/session';
import { text } from '../../text';
import { CopyBox } from '../../ui/Copy';
import { formatBytes, formatDuration, formatShort } from '../../ui/format';
import { PageHead, Panel } from '../../ui/Page';
import { SearchField } from '../../ui/Search';
import { Empty, Loaded } from '../../ui/State';
import { type Metric, parseMetrics } from './prometheus';

const route = getRouteApi('/app/metrics');
const t = text.metrics;
const EVERY_MS = 5_000;
const SAMPLES_SHOWN = 6;

export function MetricsPage() {
  const { search } = route.useSearch();
  const navigate = route.useNavigate();
  const me = useMe();
  const query = useQuery({
    queryKey: ['metrics'],
    queryFn: async ({ signal }) =>
      parseMetrics((await need(api.GET('/metrics', { signal, parseAs: 'text' }))) as string),
    refetchInterval: EVERY_MS,
  });
  const cluster = useQuery({ ...clusterQuery, enabled: me.first_fleet });
  const onSearch = useCallback(
    (value: string) => void navigate({ search: value ? { search: value } : {}, replace: true }),
    [navigate],
  );
  const targets = (cluster.data?.nodes ?? []).flatMap((node) =>
    node.base_url ? [new URL(node.base_url).host] : [],
  );
  const hosts = targets.length > 0 ? targets : [window.location.host];
  const words = search?.toLowerCase() ?? '';
  return (
    <>
      <PageHead title={t.title} about={t.about} />
      <div className="stack">
        <Panel title={t.scrape} about={t.scrapeAbout}>
          <CopyBox
            label={t.scrape}
            value={`scrape_configs:\n  - job_name: ekho\n    scheme: ${window.location.protocol.replace(':', '')}\n    static_configs:\n      - targets: [${hosts.map((host) => `"${host}"`).join(', ')}]`}
          />
        </Panel>
        <div className="filters" style={{ marginBottom: 0 }}>
          <SearchField label={t.search} value={search ?? ''} onChange={onSearch} />
        </div>
        <Loaded query={query} lines={12}>
          {(all) => {
            const found = all.filter(
              (metric) => metric.name.includes(words) || metric.help.toLowerCase().includes(words),
            );
            return found.length === 0 ? (
              <div className="panel">
                <Empty title={t.none} />
              </div>
            ) : (
              <Table metrics={found} />
            );
          }}
        </Loaded>
      </div>
    </>
  );
}

function Table({ metrics }: { metrics: Metric[] }) {
  return (
    <div className="table-box">
      <table className="table wraps">
        <caption className="hidden-visually">{t.title}</caption>
        <thead>
          <tr>
            <th scope="col" style={{ width: '34%' }}>
              {t.columns.name}
            </th>
            <th scope="col">{t.columns.means}</th>
            <th scope="col" style={{ width: '26%' }}>
              {t.columns.value}
            </th>
            <th scope="col" className="low" style={{ width: 96 }}>
              {t.columns.kind}
            </th>
          </tr>
        </thead>
        <tbody>
          {metrics.map((metric) => (
            <tr key={metric.name}>
              <td className="mono small">{metric.name}</td>
              <td>{metric.help}</td>
              <td>
                <Values metric={metric} />
              </td>
              <td className="low muted">{metric.kind}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Values({ metric }: { metric: Metric }) {
  const only = metric.samples.length === 1 ? metric.samples[0] : undefined;
  if (only && only.labels === '') return <span className="num strong">{formatValue(metric.name, only)}</span>;
  return (
    <span className="stack" style={{ gap: 0 }}>
      {metric.samples.slice(0, SAMPLES_SHOWN).map((sample) => (
        <span key={sample.labels} className="small">
          <span className="num strong">{formatValue(metric.name, sample)}</span>{' '}
          <span className="faint mono">{sample.labels}</span>
        </span>
      ))}
      {metric.samples.length > SAMPLES_SHOWN && (
        <span className="small faint">{t.series(metric.samples.length)}</span>
      )}
    </span>
  );
}

/** Names say their unit, by the conventions of Prometheus. */
function formatValue(name: string, { labels, value }: { labels: string; value: number }): string {
  if (/(^|\s)count(\s|$)/.test(labels)) return formatShort(value);
  if (/_bytes(_total)?$/.test(name)) return formatBytes(value);
  if (/_seconds(_total)?$/.test(name))
    return value < 0.001 ? `${value.toPrecision(2)} s` : formatDuration(value * 1_000);
  return Number.isInteger(value) ? formatShort(value) : value.toPrecision(3);
}
