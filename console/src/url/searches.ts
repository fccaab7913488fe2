// The query of each page, read into types.
import { compact, flag, moment, numberOf, oneOf, word } from './search';

type Raw = Record<string, unknown>;
const ORDERS = ['asc', 'desc'] as const;

/** Ranges of time that counts are shown over, in minutes. */
export const WINDOWS = [15, 60, 360, 1_440] as const;
export type WindowMinutes = (typeof WINDOWS)[number];

/** Where to go after signing in: only a path of the console, never an address of elsewhere. */
export const signIn = (raw: Raw) => {
  const to = word(raw, 'to');
  return compact({
    to: to?.startsWith('/') && !to.startsWith('//') ? to : undefined,
    again: flag(raw, 'again'),
  });
};

export const overview = (raw: Raw) => compact({ window: numberOf(raw, 'window', WINDOWS) });

export const AGENT_STATUSES = ['healthy', 'degraded', 'paused', 'quarantined', 'revoked'] as const;
const AGENT_SORTS = ['created_at', 'display_name', 'last_seen_at', 'status'] as const;
export const agents = (raw: Raw) =>
  compact({
    status: oneOf(raw, 'status', AGENT_STATUSES),
    search: word(raw, 'search'),
    sortBy: oneOf(raw, 'sortBy', AGENT_SORTS),
    sortOrder: oneOf(raw, 'sortOrder', ORDERS),
  });

export const AGENT_TABS = ['overview', 'messages', 'events', 'holds', 'rate', 'keys', 'card'] as const;
export const DIRECTIONS = ['sent', 'received'] as const;
export const agent = (raw: Raw) =>
  compact({
    tab: oneOf(raw, 'tab', AGENT_TABS),
    direction: oneOf(raw, 'direction', DIRECTIONS),
  });

export const conversations = (raw: Raw) =>
  compact({ search: word(raw, 'search'), view: oneOf(raw, 'view', ['messages']) });
export const conversation = (raw: Raw) =>
  compact({ show: oneOf(raw, 'show', ['messages']), item: word(raw, 'item') });

export const APPROVAL_STATUSES = [
  'pending',
  'approved',
  'rejected',
  'executed',
  'cancelled',
  'failed',
  'expired',
  'all',
] as const;
export const RISKS = ['low', 'medium', 'high', 'critical'] as const;
const APPROVAL_SORTS = ['requested_at', 'risk_level', 'summary'] as const;
export const approvals = (raw: Raw) =>
  compact({
    status: oneOf(raw, 'status', APPROVAL_STATUSES),
    risk: oneOf(raw, 'risk', RISKS),
    search: word(raw, 'search'),
    sortBy: oneOf(raw, 'sortBy', APPROVAL_SORTS),
    sortOrder: oneOf(raw, 'sortOrder', ORDERS),
    selected: word(raw, 'selected'),
  });

export const policies = (raw: Raw) => compact({ search: word(raw, 'search') });
export const POLICY_TABS = ['rule', 'preview', 'dry-run', 'history'] as const;
export const policy = (raw: Raw) => compact({ tab: oneOf(raw, 'tab', POLICY_TABS) });

export const deadLetters = (raw: Raw) =>
  compact({
    reason: word(raw, 'reason'),
    recipient_agent_id: word(raw, 'recipient_agent_id'),
    sender_agent_id: word(raw, 'sender_agent_id'),
    search: word(raw, 'search'),
    from: moment(raw, 'from'),
    until: moment(raw, 'until'),
    sortOrder: oneOf(raw, 'sortOrder', ORDERS),
    selected: word(raw, 'selected'),
  });

export const A2A_TABS = ['tasks', 'cards', 'clients', 'remotes', 'pushes'] as const;
export const TASK_STATES = [
  'submitted',
  'working',
  'input-required',
  'auth-required',
  'completed',
  'failed',
  'canceled',
  'rejected',
] as const;
export const a2a = (raw: Raw) =>
  compact({
    tab: oneOf(raw, 'tab', A2A_TABS),
    state: oneOf(raw, 'state', TASK_STATES),
    agent_id: word(raw, 'agent_id'),
    context_id: word(raw, 'context_id'),
    selected: word(raw, 'selected'),
  });

export const events = (raw: Raw) =>
  compact({
    type: word(raw, 'type'),
    actor_id: word(raw, 'actor_id'),
    resource_id: word(raw, 'resource_id'),
    conversation_id: word(raw, 'conversation_id'),
    search: word(raw, 'search'),
    from: moment(raw, 'from'),
    until: moment(raw, 'until'),
    live: flag(raw, 'live'),
    selected: word(raw, 'selected'),
  });

export const topology = (raw: Raw) =>
  compact({
    window: numberOf(raw, 'window', WINDOWS),
    agent: word(raw, 'agent'),
    view: oneOf(raw, 'view', ['table']),
  });

export const RANGES = ['24h', '7d', '30d', '90d', '365d'] as const;
export const ANALYTICS_BY = ['sent', 'received', 'sent_bytes', 'failed', 'denied', 'rate_limited'] as const;
export const analytics = (raw: Raw) =>
  compact({ range: oneOf(raw, 'range', RANGES), by: oneOf(raw, 'by', ANALYTICS_BY) });

export const selected = (raw: Raw) => compact({ selected: word(raw, 'selected') });
export const metrics = (raw: Raw) => compact({ search: word(raw, 'search') });
export const operators = (raw: Raw) => compact({ search: word(raw, 'search') });
export const ACCOUNT_TABS = ['sessions', 'security', 'tokens'] as const;
export const account = (raw: Raw) => compact({ tab: oneOf(raw, 'tab', ACCOUNT_TABS) });

export const CLUSTER_OPERATIONS = ['drain', 'transfer', 'remove', 'replace', 'promote', 'demote'] as const;
const count = (raw: Raw, name: string): number | undefined => {
  const value = Number(raw[name]);
  return Number.isSafeInteger(value) && value > 0 ? value : undefined;
};
export const cluster = (raw: Raw) =>
  compact({ op: oneOf(raw, 'op', CLUSTER_OPERATIONS), node: count(raw, 'node'), above: count(raw, 'above') });
