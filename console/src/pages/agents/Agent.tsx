// One agent: what it is, what it sends and gets, what was decided about it, and the means to hold it.
import { useQuery } from '@tanstack/react-query';
import { getRouteApi, Link } from '@tanstack/react-router';
import { api, need } from '../../api/client';
import type { Agent } from '../../api/types';
import { AgentBadge } from '../../links/status';
import { text } from '../../text';
import { AGENT_TABS } from '../../url/searches';
import { Id } from '../../ui/Copy';
import { Facts, PageHead, Panel } from '../../ui/Page';
import { Empty, Loaded } from '../../ui/State';
import { Tabs } from '../../ui/Tabs';
import { Time } from '../../ui/Time';
import { AgentActions, LabelsButton } from './Actions';
import { AgentCard } from './Card';
import { AgentEvents } from './AgentEvents';
import { AgentKeys } from './AgentKeys';
import { AgentMessages, Inbox } from './Messages';
import { AgentRate } from './Rate';

const route = getRouteApi('/app/agents/$id');
const t = text.agents;

export function AgentPage() {
  const { id } = route.useParams();
  const { tab = 'overview', direction } = route.useSearch();
  const navigate = route.useNavigate();
  const detail = useQuery({
    queryKey: ['agent', id],
    queryFn: ({ signal }) => need(api.GET('/v1/operator/agents/{id}', { params: { path: { id } }, signal })),
  });
  const agent = detail.data?.agent;
  return (
    <>
      <PageHead
        title={agent?.display_name ?? t.identity}
        above={<Link to="/agents">{text.common.back(t.title)}</Link>}
        badge={agent && <AgentBadge status={agent.status} reason={agent.status_reason} />}
        about={<Id id={id} whole />}
        actions={agent && <AgentActions agent={agent} />}
      />
      <Tabs
        label={t.identity}
        current={tab}
        tabs={AGENT_TABS.map((value) => ({
          value,
          label: t.tabs[value],
          to: '/agents/$id',
          params: { id },
          search: value === 'overview' ? {} : { tab: value },
        }))}
      />
      <Loaded query={detail} lines={8}>
        {(data) => (
          <>
            {tab === 'overview' && (
              <div className="grid-2">
                <Identity agent={data.agent} />
                <div className="stack">
                  <Inbox agent={data.agent} />
                </div>
              </div>
            )}
            {tab === 'messages' && (
              <AgentMessages
                agent={data.agent}
                direction={direction}
                onDirection={(next) =>
                  void navigate({ search: (before) => ({ ...before, direction: next }), replace: true })
                }
              />
            )}
            {tab === 'events' && <AgentEvents id={id} />}
            {tab === 'holds' && <Holds controls={data.controls} />}
            {tab === 'rate' && <AgentRate id={id} />}
            {tab === 'keys' && <AgentKeys id={id} />}
            {tab === 'card' && <AgentCard id={id} />}
          </>
        )}
      </Loaded>
    </>
  );
}

function Identity({ agent }: { agent: Agent }) {
  const none = <span className="faint">–</span>;
  const chips = (values: string[]) =>
    values.length === 0 ? (
      none
    ) : (
      <span className="chips">
        {values.map((value) => (
          <span key={value} className="chip">
            {value}
          </span>
        ))}
      </span>
    );
  return (
    <Panel title={t.identity} actions={<LabelsButton agent={agent} />}>
      <Facts
        of={[
          [t.facts.status, <AgentBadge key="s" status={agent.status} />],
          ...(agent.status_reason
            ? [
                [t.facts.reason, text.statuses.reasons[agent.status_reason] ?? agent.status_reason] as [
                  string,
                  string,
                ],
              ]
            : []),
          [t.facts.reported, agent.reported_status ?? none],
          [t.facts.seen, <Time key="t" at={agent.last_seen_at} none={t.neverSeen} />],
          [t.facts.enrolled, <Time key="e" at={agent.created_at} as="full" />],
          [t.facts.runtime, agent.runtime],
          [t.facts.host, agent.hostname ?? none],
          [t.facts.capabilities, chips(agent.capabilities)],
          [t.facts.labels, chips(agent.labels)],
        ]}
      />
    </Panel>
  );
}

interface Control {
  control_id: string;
  action: string;
  reason: string;
  created_at: string;
  expires_at?: string | null;
}

function Holds({ controls }: { controls: Control[] }) {
  return (
    <Panel title={t.holds.title} flush>
      {controls.length === 0 ? (
        <Empty title={t.holds.none} compact>
          <p>{t.holds.noneAbout}</p>
        </Empty>
      ) : (
        <table className="table">
          <thead>
            <tr>
              <th scope="col" style={{ width: 120 }}>
                {t.holds.columns.when}
              </th>
              <th scope="col" style={{ width: 140 }}>
                {t.holds.columns.action}
              </th>
              <th scope="col">{t.holds.columns.reason}</th>
              <th scope="col" className="low" style={{ width: 160 }}>
                {t.holds.columns.until}
              </th>
            </tr>
          </thead>
          <tbody>
            {controls.map((control) => (
              <tr key={control.control_id}>
                <td>
                  <Time at={control.created_at} />
                </td>
                <td className="strong">{control.action}</td>
                <td title={control.reason}>{control.reason}</td>
                <td className="low">
                  <Time at={control.expires_at} none={t.holds.untilLifted} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </Panel>
  );
}
