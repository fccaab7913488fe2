// The timeline of a conversation, drawn.
import type { Event } from '../../api/types';
import { EventLine } from '../../links/EventLine';
import { Actor, AgentLink, MessageLink, PolicyLink, Recipient } from '../../links/links';
import { text } from '../../text';
import { Badge, Tag } from '../../ui/Badge';
import { formatDuration } from '../../ui/format';
import { Icon } from '../../ui/Icon';
import { Time } from '../../ui/Time';
import { Attachments } from './Attachments';
import { Body } from './Body';
import type { Entry, Outcome } from './timeline';

const t = text.timeline;

export function Timeline({ entries, item }: { entries: Entry[]; item: string | undefined }) {
  return (
    <ol className="timeline">
      {entries.map((entry) =>
        entry.kind === 'message' ? (
          <MessageEntry key={entry.message.id} entry={entry} selected={entry.message.id === item} />
        ) : (
          <EventEntry key={entry.event.id} event={entry.event} selected={entry.event.id === item} />
        ),
      )}
    </ol>
  );
}

function MessageEntry({
  entry,
  selected,
}: {
  entry: Extract<Entry, { kind: 'message' }>;
  selected: boolean;
}) {
  const { message, attachments, outcomes, cause } = entry;
  const ofOperator = message.sender_kind === 'operator';
  return (
    <li id={message.id} className={selected ? 'timeline-item selected' : 'timeline-item'}>
      <span className="timeline-mark" data-kind={ofOperator ? 'operator' : 'message'}>
        <Icon name={ofOperator ? 'account' : 'send'} size={12} />
      </span>
      <div className="timeline-card">
        <div className="timeline-head">
          <span className="strong">
            <Actor kind={message.sender_kind} id={message.sender_id} />
          </span>
          <span className="faint">{t.to}</span>
          <span className="strong">
            <Recipient kind={message.recipient_kind} id={message.recipient_id} />
          </span>
          {message.message_type !== 'direct' && <Tag>{message.message_type}</Tag>}
          {message.priority !== 'normal' && (
            <Badge tone={message.priority === 'low' ? 'idle' : 'warn'}>{message.priority}</Badge>
          )}
          {message.tags.map((tag) => (
            <span key={tag} className="chip">
              {tag}
            </span>
          ))}
          <span className="timeline-when">
            <MessageLink id={message.id}>
              <Time at={message.created_at} as="clock" />
            </MessageLink>
          </span>
        </div>
        <Body body={message.body} />
        <Attachments of={attachments} />
        {cause && (
          <p className="timeline-why">
            <Icon name="right" size={12} />
            <span>
              {cause.sameCorrelation
                ? t.causeSame
                : `${t.causeBefore} ${t.cause(formatDuration(cause.afterMs))}`}{' '}
              <a href={`#${cause.message.id}`}>{t.causeMessage}</a> {t.causeOf}{' '}
              <Actor kind={cause.message.sender_kind} id={cause.message.sender_id} />
            </span>
          </p>
        )}
        <Outcomes outcomes={outcomes} since={message.created_at} />
      </div>
    </li>
  );
}

function Outcomes({ outcomes, since }: { outcomes: Outcome[]; since: string }) {
  if (outcomes.length === 0)
    return (
      <p className="timeline-outcome">
        <Badge tone="info">{t.nobodyYet}</Badge>
      </p>
    );
  return (
    <ul>
      {outcomes.map((outcome) => (
        <li key={outcome.deliveryId} className="timeline-outcome">
          <OutcomeBadge outcome={outcome} />
          <span>
            {outcome.agentId ? (
              <AgentLink id={outcome.agentId} />
            ) : (
              <span className="muted">{t.somebody}</span>
            )}
            <span className="faint">{outcomeWords(outcome, since)}</span>
          </span>
        </li>
      ))}
    </ul>
  );
}

function OutcomeBadge({ outcome }: { outcome: Outcome }) {
  if (outcome.end === 'acked') return <Badge tone="ok">{t.acked}</Badge>;
  if (outcome.end === 'dead_lettered') return <Badge tone="bad">{t.deadLettered}</Badge>;
  if (outcome.end === 'expired') return <Badge tone="bad">{t.expired}</Badge>;
  if (outcome.end === 'cancelled') return <Badge tone="idle">{t.cancelled}</Badge>;
  return <Badge tone="info">{outcome.handedAt ? t.handedOut : t.waits}</Badge>;
}

function outcomeWords(outcome: Outcome, since: string): string {
  const span = (at: string) => t.after(formatDuration(Math.max(0, Date.parse(at) - Date.parse(since))));
  const parts: string[] = [];
  if (outcome.handedAt && outcome.end !== null) parts.push(`${t.handedOut} ${span(outcome.handedAt)}`);
  if (outcome.handedAt && outcome.end === null) parts.push(span(outcome.handedAt));
  if (outcome.ackedAt) parts.push(`${t.acked} ${span(outcome.ackedAt)}`);
  if (outcome.tries > 1) parts.push(t.tries(outcome.tries));
  if (outcome.why) parts.push(outcome.why);
  return parts.length > 0 ? `, ${parts.join(', ')}` : '';
}

const fieldOf = (payload: unknown, field: string): string | null => {
  const value =
    typeof payload === 'object' && payload !== null ? (payload as Record<string, unknown>)[field] : null;
  return typeof value === 'string' ? value : null;
};

function EventEntry({ event, selected }: { event: Event; selected: boolean }) {
  const policy = fieldOf(event.payload, 'policy');
  const recipient = fieldOf(event.payload, 'recipient');
  const decided = event.event_type.startsWith('message.policy_') && policy !== null;
  return (
    <li id={event.id} className={selected ? 'timeline-item selected' : 'timeline-item'}>
      <span className="timeline-mark" data-kind="event">
        <Icon
          name={decided ? 'policies' : event.event_type.startsWith('approval') ? 'approvals' : 'dot'}
          size={12}
        />
      </span>
      <div className="timeline-event">
        <EventLine event={event} brief={decided} />
        <span className="timeline-when">
          <Time at={event.created_at} as="clock" />
        </span>
        {decided && (
          <p className="timeline-why timeline-wide">
            <span>
              <PolicyLink id={event.resource_id} name={policy} /> {explain(event)}{' '}
              {recipient ? <AgentLink id={recipient} /> : t.everybody}.
            </span>
          </p>
        )}
      </div>
    </li>
  );
}

function explain(event: Event): string {
  const action = fieldOf(event.payload, 'action') ?? '';
  if (event.event_type === 'message.policy_dry_run')
    return t.wouldHave((text.policies.actions[action] ?? action).toLowerCase());
  return action === 'quarantine' ? t.quarantinedBy : t.denied;
}
