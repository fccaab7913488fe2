// Links by id: an agent by its name, a message, a conversation, whatever an event is about.
import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { text } from '../text';
import { shortId } from '../ui/format';
import { isRoom, useAgentName, useOperatorEmail, useRoomName } from './names';

export function AgentLink({ id }: { id: string | null | undefined }) {
  const name = useAgentName(id);
  if (!id) return <span className="muted">{text.common.operator}</span>;
  return (
    <Link
      to="/agents/$id"
      params={{ id }}
      title={id}
      className={name ? 'cut' : 'cut mono small'}
      style={{ display: 'inline-block', maxWidth: '100%', verticalAlign: 'bottom' }}
    >
      {name ?? shortId(id)}
    </Link>
  );
}

export function OperatorName({ id }: { id: string }) {
  const email = useOperatorEmail(id);
  return (
    <span title={id} className={email ? undefined : 'id'}>
      {email ?? shortId(id)}
    </span>
  );
}

/** Who did something: an agent, an operator by email, or the relay itself. */
export function Actor({ kind, id }: { kind: string; id: string | null | undefined }) {
  if (id?.startsWith('agent_')) return <AgentLink id={id} />;
  if (id?.startsWith('opr_')) return <OperatorName id={id} />;
  if (kind === 'operator') return <span className="muted">{text.common.operator}</span>;
  return (
    <span className="muted">
      {kind === 'relay' || kind === 'system' || !id ? text.common.relay : shortId(id)}
    </span>
  );
}

/** A policy by its name, where the name is known. */
export function PolicyLink({ id, name }: { id: string; name: string }) {
  return (
    <Link to="/policies/$id" params={{ id }} title={id}>
      {name}
    </Link>
  );
}

export function MessageLink({ id, children }: { id: string; children?: ReactNode }) {
  return (
    <Link to="/messages/$id" params={{ id }} title={id} className={children ? undefined : 'mono small'}>
      {children ?? shortId(id)}
    </Link>
  );
}

/** What was said in a conversation: a room by its name, any other by its id. */
export function ConversationLink({ id }: { id: string }) {
  const name = useRoomName(id);
  return (
    <Link
      to="/conversations/$id"
      params={{ id }}
      title={id}
      className={name ? 'cut' : 'cut mono small'}
      style={{ display: 'inline-block', maxWidth: '100%', verticalAlign: 'bottom' }}
    >
      {name ?? shortId(id)}
    </Link>
  );
}

/** Whom a message was meant for. */
export function Recipient({ kind, id }: { kind: string; id: string | null | undefined }) {
  if (kind === 'agent') return <AgentLink id={id} />;
  return id ? <ConversationLink id={id} /> : text.timeline.everybody;
}

/** What an id of any kind leads to. */
export function ResourceLink({ kind, id }: { kind: string; id: string }) {
  if (id.startsWith('agent_')) return <AgentLink id={id} />;
  if (id.startsWith('opr_')) return <OperatorName id={id} />;
  if (id.startsWith('msg_')) return <MessageLink id={id} />;
  const shown = <span className="mono small">{shortId(id)}</span>;
  const delivered = /^dly_([0-9a-z]+)_\d+$/i.exec(id);
  if (delivered) return <MessageLink id={`msg_${delivered[1]}`} />;
  if (id.startsWith('apr_'))
    return (
      <Link to="/approvals" search={{ selected: id }} title={id}>
        {shown}
      </Link>
    );
  if (id.startsWith('pol_'))
    return (
      <Link to="/policies/$id" params={{ id }} title={id}>
        {shown}
      </Link>
    );
  if (id.startsWith('dl_'))
    return (
      <Link to="/dead-letters" search={{ selected: id }} title={id}>
        {shown}
      </Link>
    );
  if (id.startsWith('task_'))
    return (
      <Link to="/a2a" search={{ selected: id }} title={id}>
        {shown}
      </Link>
    );
  if (id.startsWith('hook_'))
    return (
      <Link to="/hooks" search={{ selected: id }} title={id}>
        {shown}
      </Link>
    );
  if (kind === 'node') return <Link to="/cluster">{`${kind} ${id}`}</Link>;
  if (kind === 'conversation' || isRoom(id)) return <ConversationLink id={id} />;
  return (
    <span className="id" title={`${kind} ${id}`}>
      {shortId(id)}
    </span>
  );
}
