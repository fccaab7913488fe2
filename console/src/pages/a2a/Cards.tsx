// The card of the fleet, and the way to those of its agents.
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { text } from '../../text';
import { CopyButton, Json } from '../../ui/Copy';
import { Panel } from '../../ui/Page';
import { Empty, Loaded } from '../../ui/State';
import { readCard } from '../agents/Card';

const t = text.a2a.cards;

export function Cards() {
  const card = useQuery({ queryKey: ['card', 'fleet'], queryFn: ({ signal }) => readCard(null, signal) });
  const address = `${window.location.origin}/.well-known/agent-card.json`;
  return (
    <Loaded query={card} lines={8}>
      {(data) => (
        <div className="grid-2">
          <div className="stack">
            <Panel title={t.fleet} about={t.about}>
              <span className="row">
                <code className="break">{address}</code>
                <CopyButton value={address} />
              </span>
            </Panel>
            <Panel title={t.agents} flush>
              {(data.skills ?? []).length === 0 ? (
                <Empty title={text.agents.none} compact />
              ) : (
                <ul className="plain-rows">
                  {(data.skills ?? []).map((skill) => (
                    <li key={skill.id} className="row apart">
                      <span className="grow">
                        <span className="strong">{skill.name}</span>
                        <span className="small muted cut">{skill.description}</span>
                      </span>
                      {skill.id?.startsWith('agent_') && (
                        <Link
                          to="/agents/$id"
                          params={{ id: skill.id }}
                          search={{ tab: 'card' }}
                          className="button small"
                        >
                          {t.open}
                        </Link>
                      )}
                    </li>
                  ))}
                </ul>
              )}
            </Panel>
          </div>
          <Panel title={t.json}>
            <Json value={data} label={t.json} />
          </Panel>
        </div>
      )}
    </Loaded>
  );
}
