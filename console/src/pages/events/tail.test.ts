import { expect, it } from 'vitest';
import type { Event } from '../../api/types';
import { passes } from './tail';

const event = {
  id: 'evt_1',
  event_type: 'agent.pause',
  actor_kind: 'operator',
  actor_id: 'opr_1',
  resource_kind: 'agent',
  resource_id: 'agent_1',
  conversation_id: 'c-1',
  payload: { reason: 'Loop with the Reviewer' },
  request_id: null,
  created_at: '2026-01-31T12:00:00.000Z',
} as Event;

it.each([
  [{}, true],
  [{ type: 'agent' }, true],
  [{ type: 'agent.pause' }, true],
  [{ type: 'agent.pa' }, false],
  [{ type: 'message' }, false],
  [{ actor_id: 'opr_1', resource_id: 'agent_1' }, true],
  [{ actor_id: 'opr_2' }, false],
  [{ conversation_id: 'c-2' }, false],
  [{ search: 'reviewer' }, true],
  [{ search: 'AGENT_1' }, true],
  [{ search: 'writer' }, false],
])('%j lets it pass: %s', (filter, expected) => expect(passes(event, filter)).toBe(expected));
