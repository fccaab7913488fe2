// Conditions of a policy in words, with names for ids.
import type { Policy, Rule } from '../../api/types';
import { AgentLink } from '../../links/links';
import { text } from '../../text';
import { Badge } from '../../ui/Badge';

const t = text.policies;
const SHOWN_MAX = 3;

export function ActionBadge({ action }: { action: Rule['action'] }) {
  const tone =
    action === 'deny' || action === 'quarantine'
      ? 'bad'
      : action === 'allow'
        ? 'ok'
        : action === 'require_approval'
          ? 'warn'
          : 'info';
  return <Badge tone={tone}>{t.actions[action] ?? action}</Badge>;
}

export function PolicyState({ policy }: { policy: Pick<Policy, 'enabled' | 'dry_run'> }) {
  if (!policy.enabled) return <Badge tone="idle">{t.states.off}</Badge>;
  return policy.dry_run ? <Badge tone="info">{t.states.dry}</Badge> : <Badge tone="ok">{t.states.on}</Badge>;
}

export function Conditions({ rule }: { rule: Rule }) {
  const order = Object.keys(t.condition);
  const given = Object.entries(rule.conditions ?? {})
    .filter(([, value]) => value !== null && value !== undefined)
    .sort(([one], [other]) => order.indexOf(one) - order.indexOf(other));
  if (given.length === 0) return <span className="muted">{t.always}</span>;
  return (
    <span className="row wrap" style={{ gap: '6px 14px' }}>
      {given.map(([name, value]) => (
        <span key={name} className="row" style={{ gap: 6 }}>
          <span className="muted">{t.condition[name] ?? name}</span>
          <Values name={name} value={value} />
        </span>
      ))}
    </span>
  );
}

function Values({ name, value }: { name: string; value: unknown }) {
  const list = Array.isArray(value) ? value : typeof value === 'string' ? [value] : null;
  if (!list || list.some((one) => typeof one !== 'string'))
    return <code className="small">{JSON.stringify(value)}</code>;
  const shown = list.slice(0, SHOWN_MAX) as string[];
  return (
    <span className="row" style={{ gap: 6 }}>
      {shown.map((one) =>
        name.endsWith('_agent_id') ? (
          <AgentLink key={one} id={one} />
        ) : (
          <span key={one} className="strong">
            {one}
          </span>
        ),
      )}
      {list.length > SHOWN_MAX && (
        <span className="faint">{text.conversations.more(list.length - SHOWN_MAX)}</span>
      )}
    </span>
  );
}
