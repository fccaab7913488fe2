// From the raw items of a conversation to what a person reads: each message with what became of
// it at each recipient, and with the message that its sender had been handed before, which is why
// it wrote. Everything is worked out from the items; nothing is asked for.
import type { BoundAttachment, Event, Message, TimelineItem } from '../../api/types';

export interface Outcome {
  deliveryId: string;
  agentId: string | null;
  handedAt: string | null;
  tries: number;
  ackedAt: string | null;
  end: 'acked' | 'expired' | 'cancelled' | 'dead_lettered' | null;
  endedAt: string | null;
  why: string | null;
}

export interface Cause {
  message: Message;
  /** Between the handing out and the answer. */
  afterMs: number;
  sameCorrelation: boolean;
}

export type Entry =
  | {
      kind: 'message';
      message: Message;
      attachments: BoundAttachment[];
      outcomes: Outcome[];
      cause: Cause | null;
    }
  | { kind: 'event'; event: Event };

/** `dly_X_7` is the delivery of `msg_X` to the agent of number 7. */
export function messageOfDelivery(deliveryId: string): string | null {
  const match = /^dly_([0-9a-z]+)_\d+$/i.exec(deliveryId);
  return match ? `msg_${match[1]}` : null;
}

const textOf = (payload: unknown, field: string): string | null => {
  const value =
    typeof payload === 'object' && payload !== null ? (payload as Record<string, unknown>)[field] : null;
  return typeof value === 'string' ? value : null;
};

export function readTimeline(items: TimelineItem[]): Entry[] {
  const entries: Entry[] = [];
  const outcomes = new Map<string, Outcome[]>();
  const messages = new Map<string, Message>();
  /** What each agent was handed last, and when. */
  const handed = new Map<string, { message: Message; at: string }[]>();

  for (const item of items) {
    if (item.kind === 'message') {
      const { message, attachments } = item;
      messages.set(message.id, message);
      const own: Outcome[] = [];
      outcomes.set(message.id, own);
      entries.push({
        kind: 'message',
        message,
        attachments,
        outcomes: own,
        cause: causeOf(message, handed.get(message.sender_id) ?? []),
      });
      continue;
    }
    const { event } = item;
    const messageId = event.resource_kind === 'delivery' ? messageOfDelivery(event.resource_id) : null;
    const known = messageId ? outcomes.get(messageId) : undefined;
    if (!messageId || !known) {
      entries.push({ kind: 'event', event });
      continue;
    }
    const message = messages.get(messageId);
    if (event.event_type === 'message.delivered' && event.actor_id && message) {
      const of = handed.get(event.actor_id) ?? [];
      of.push({ message, at: event.created_at });
      handed.set(event.actor_id, of);
    }
    note(known, event);
  }
  return entries;
}

/** The message that its sender was handed last before it wrote; one of the same correlation counts more. */
function causeOf(message: Message, handed: { message: Message; at: string }[]): Cause | null {
  const same = handed.findLast(
    (one) => one.message.correlation_id === message.correlation_id && one.message.id !== message.id,
  );
  const last = same ?? handed[handed.length - 1];
  if (!last) return null;
  return {
    message: last.message,
    afterMs: Math.max(0, Date.parse(message.created_at) - Date.parse(last.at)),
    sameCorrelation: same !== undefined,
  };
}

function note(outcomes: Outcome[], event: Event): void {
  let outcome = outcomes.find((one) => one.deliveryId === event.resource_id);
  if (!outcome) {
    outcome = {
      deliveryId: event.resource_id,
      agentId: null,
      handedAt: null,
      tries: 0,
      ackedAt: null,
      end: null,
      endedAt: null,
      why: null,
    };
    outcomes.push(outcome);
  }
  // Only the recipient hands out to itself and acks; other events are the relay's or an operator's.
  if (event.actor_id?.startsWith('agent_')) outcome.agentId ??= event.actor_id;
  switch (event.event_type) {
    case 'message.delivered':
      outcome.handedAt ??= event.created_at;
      outcome.tries += 1;
      outcome.end = null;
      break;
    case 'message.acked':
      outcome.ackedAt = event.created_at;
      outcome.end = 'acked';
      break;
    case 'message.expired':
      outcome.end = 'expired';
      break;
    case 'message.cancelled':
      outcome.end = 'cancelled';
      break;
    case 'message.dead_lettered':
      outcome.end = 'dead_lettered';
      outcome.why = textOf(event.payload, 'reason');
      break;
    case 'message.retry_requeued':
      outcome.why = textOf(event.payload, 'reason') ?? outcome.why;
      break;
    case 'message.redriven':
      outcome.end = null;
      outcome.why = null;
      break;
  }
  if (outcome.end) outcome.endedAt = event.created_at;
}
