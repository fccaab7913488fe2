// What this is, of which release, and where to read on.
import { useQuery } from '@tanstack/react-query';
import { api, need } from '../../api/client';
import { clusterQuery } from '../../layout/ClusterWatch';
import { useMe } from '../../session/session';
import { text } from '../../text';
import { Id } from '../../ui/Copy';
import { Facts, PageHead, Panel } from '../../ui/Page';
import { Loaded } from '../../ui/State';

const t = text.about;

export function AboutPage() {
  const me = useMe();
  const root = useQuery({ queryKey: ['root'], queryFn: ({ signal }) => need(api.GET('/', { signal })) });
  const cluster = useQuery({ ...clusterQuery, enabled: me.first_fleet });
  return (
    <>
      <PageHead title={t.title} about={t.about} />
      <div className="grid-2">
        <Panel title={text.common.product}>
          <Loaded query={root} lines={4}>
            {(data) => (
              <Facts
                of={[
                  [t.version, data.version],
                  [t.tier, text.licence.tiers[data.tier] ?? data.tier],
                  ...(cluster.data
                    ? ([
                        [t.node, text.cluster.nodeName(cluster.data.node_id)],
                        [t.cluster, <Id key="c" id={cluster.data.cluster_id} />],
                        [t.level, String(cluster.data.feature_level)],
                      ] as [string, React.ReactNode][])
                    : []),
                  [
                    text.signIn.fleet,
                    <span key="f" className="row">
                      {me.fleet_name} <Id id={me.fleet_id} />
                    </span>,
                  ],
                ]}
              />
            )}
          </Loaded>
        </Panel>
        <Panel title={t.links}>
          <ul className="stack tight">
            <li>
              <a href="/docs/">{t.apiDocs}</a>
            </li>
            <li>
              <a href="/openapi.json">{t.openapi}</a>
            </li>
            <li>
              <a href="/metrics">{text.metrics.title}</a>
            </li>
          </ul>
        </Panel>
        <Panel title={t.keys}>
          <dl className="facts">
            {t.keysList.map(([key, what]) => (
              <div key={key} style={{ display: 'contents' }}>
                <dt>
                  <kbd style={{ margin: 0 }}>{key}</kbd>
                </dt>
                <dd>{what}</dd>
              </div>
            ))}
          </dl>
        </Panel>
        <Panel title={t.console}>
          <div className="stack tight">
            <p>{t.consoleAbout}</p>
            <p className="small muted">{t.licences}</p>
          </div>
        </Panel>
      </div>
    </>
  );
}
