import { describe, expect, it } from 'vitest';
import type { Event, Message, TimelineItem } from '../../api/types';
import { messageOfDelivery, readTimeline } from './timeline';

const at = (seconds: number): string => new Date(Date.UTC(2026, 0, 31, 12, 0, seconds)).toISOString();
const message = (
  id: string,
  from: string,
  to: string,
  seconds: number,
  more: Partial<Message> = {},
): TimelineItem => ({
  kind: 'message',
  attachments: [],
  message: {
    id: `msg_${id}`,
    sender_kind: 'agent',
    sender_id: `agent_${from}`,
    recipient_kind: 'agent',
    recipient_id: `agent_${to}`,
    message_type: 'direct',
    priority: 'normal',
    conversation_id: 'c',
    correlation_id: id,
    tags: [],
    created_at: at(seconds),
    deadline_at: at(59),
    body: { text: id },
    ...more,
  },
});
const event = (
  type: string,
  id: string,
  number: number,
  by: string | null,
  seconds: number,
  payload: unknown = null,
): TimelineItem => ({
  kind: 'event',
  event: {
    id: `evt_${seconds}`,
    event_type: type,
    actor_kind: by ? 'agent' : 'system',
    actor_id: by ? `agent_${by}` : null,
    resource_kind: 'delivery',
    resource_id: `dly_${id}_${number}`,
    conversation_id: 'c',
    payload,
    created_at: at(seconds),
  } as Event,
});

describe('readTimeline', () => {
  const items = [
    message('1', 'a', 'b', 0),
    event('message.delivered', '1', 2, 'b', 1),
    event('message.acked', '1', 2, 'b', 2),
    message('2', 'b', 'a', 5),
    event('message.delivered', '2', 1, 'a', 6),
    event('message.retry_requeued', '2', 1, null, 7, { reason: 'busy' }),
    event('message.delivered', '2', 1, 'a', 8),
    event('message.dead_lettered', '2', 1, null, 9, { reason: 'max_retries_exceeded: busy' }),
  ];

  it('puts what became of a message beside it', () => {
    const [first, second] = readTimeline(items);
    expect(first?.kind === 'message' && first.outcomes).toEqual([
      {
        deliveryId: 'dly_1_2',
        agentId: 'agent_b',
        handedAt: at(1),
        tries: 1,
        ackedAt: at(2),
        end: 'acked',
        endedAt: at(2),
        why: null,
      },
    ]);
    expect(second?.kind === 'message' && second.outcomes).toEqual([
      {
        deliveryId: 'dly_2_1',
        agentId: 'agent_a',
        handedAt: at(6),
        tries: 2,
        ackedAt: null,
        end: 'dead_lettered',
        endedAt: at(9),
        why: 'max_retries_exceeded: busy',
      },
    ]);
  });

  it('says after which message an agent wrote', () => {
    const [first, second] = readTimeline(items);
    expect(first?.kind === 'message' && first.cause).toBeNull();
    expect(second?.kind === 'message' && second.cause).toMatchObject({
      message: { id: 'msg_1' },
      afterMs: 4_000,
      sameCorrelation: false,
    });
  });

  it('prefers the message of the same correlation', () => {
    const entries = readTimeline([
      message('1', 'a', 'b', 0),
      event('message.delivered', '1', 2, 'b', 1),
      message('2', 'c', 'b', 2),
      event('message.delivered', '2', 2, 'b', 3),
      message('3', 'b', 'a', 4, { correlation_id: '1' }),
    ]);
    expect(entries[2]?.kind === 'message' && entries[2].cause).toMatchObject({
      message: { id: 'msg_1' },
      sameCorrelation: true,
    });
  });

  it('does not explain a message by what came to somebody else', () => {
    const entries = readTimeline([
      message('1', 'a', 'b', 0),
      event('message.delivered', '1', 2, 'b', 1),
      message('2', 'c', 'a', 2),
    ]);
    expect(entries[1]?.kind === 'message' && entries[1].cause).toBeNull();
  });

  it('keeps events of their own, and those of messages that were removed', () => {
    const denied = { ...event('message.policy_denied', 'x', 1, 'a', 3) } as TimelineItem;
    if (denied.kind === 'event')
      Object.assign(denied.event, { resource_kind: 'policy', resource_id: 'pol_1' });
    const entries = readTimeline([denied, event('message.acked', 'gone', 1, 'b', 4)]);
    expect(entries.map((entry) => entry.kind)).toEqual(['event', 'event']);
  });
});

it('knows the message of a delivery', () => {
  expect(messageOfDelivery('dly_01a21c_7')).toBe('msg_01a21c');
  expect(messageOfDelivery('pol_1')).toBeNull();
});
