// The card by which clients of A2A know an agent.
import { useQuery } from '@tanstack/react-query';
import { ApiError, asApiError, errorOf } from '../../api/error';
import { text } from '../../text';
import { CopyButton, Json } from '../../ui/Copy';
import { Facts, Panel } from '../../ui/Page';
import { Empty, ErrorBox, Skeleton } from '../../ui/State';

const t = text.agents.card;

interface CardShape {
  name?: string;
  description?: string;
  version?: string;
  skills?: { id?: string; name?: string; description?: string; tags?: string[] }[];
}

/** Cards are of the A2A specification; the relay's description of itself leaves them to it. */
export async function readCard(id: string | null, signal: AbortSignal): Promise<CardShape> {
  const path =
    id === null
      ? '/.well-known/agent-card.json'
      : `/agents/${encodeURIComponent(id)}/.well-known/agent-card.json`;
  try {
    const response = await fetch(path, { signal, credentials: 'same-origin' });
    const body: unknown = await response.json();
    if (!response.ok) throw errorOf(body, response);
    return body as CardShape;
  } catch (thrown) {
    throw asApiError(thrown);
  }
}

export function AgentCard({ id }: { id: string }) {
  const card = useQuery({ queryKey: ['card', id], queryFn: ({ signal }) => readCard(id, signal) });
  const address = `${window.location.origin}/agents/${id}/.well-known/agent-card.json`;
  if (card.error instanceof ApiError && card.error.status === 404) {
    return (
      <div className="panel">
        <Empty title={t.none}>
          <p>{t.noneAbout}</p>
        </Empty>
      </div>
    );
  }
  if (card.error) return <ErrorBox error={card.error} onRetry={() => void card.refetch()} />;
  if (!card.data) return <Skeleton lines={8} />;
  const skills = card.data.skills ?? [];
  return (
    <div className="grid-2">
      <Panel title={t.title} about={t.about}>
        <div className="stack">
          <Facts
            of={[
              [text.agents.columns.name, card.data.name ?? '–'],
              [
                t.address,
                <span key="a" className="row">
                  <code className="break">{address}</code>
                  <CopyButton value={address} />
                </span>,
              ],
              ...(card.data.description ? [[t.description, card.data.description] as [string, string]] : []),
            ]}
          />
          <h3>{t.skills}</h3>
          <ul className="stack tight">
            {skills.map((skill) => (
              <li key={skill.id ?? skill.name}>
                <span className="strong">{skill.name ?? skill.id}</span>{' '}
                <span className="muted">{skill.description}</span>
              </li>
            ))}
          </ul>
        </div>
      </Panel>
      <Panel title={t.json}>
        <Json value={card.data} label={t.json} />
      </Panel>
    </div>
  );
}
