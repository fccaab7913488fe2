// States as badges: of agents, messages, approvals, nodes, A2A tasks.
import type { AgentStatus } from '../api/types';
import { text } from '../text';
import { Badge, type Tone } from '../ui/Badge';
import { readable } from '../ui/format';

const AGENTS: Record<AgentStatus, Tone> = {
  healthy: 'ok',
  degraded: 'warn',
  paused: 'idle',
  quarantined: 'bad',
  revoked: 'idle',
};

export function AgentBadge({ status, reason }: { status: AgentStatus; reason?: string | null | undefined }) {
  return (
    <Badge tone={AGENTS[status]} title={reason ? (text.statuses.reasons[reason] ?? reason) : undefined}>
      {text.statuses[status]}
    </Badge>
  );
}

const OTHERS: Record<string, Tone> = {
  // messages and deliveries
  pending_approval: 'warn',
  rejected: 'bad',
  cancelled: 'idle',
  queued: 'info',
  delivered: 'info',
  dead_lettered: 'bad',
  expired: 'bad',
  acked: 'ok',
  // approvals
  pending: 'warn',
  approved: 'ok',
  executed: 'ok',
  failed: 'bad',
  // nodes
  ok: 'ok',
  draining: 'warn',
  disk_full: 'bad',
  behind: 'warn',
  unreachable: 'bad',
  // A2A tasks
  submitted: 'info',
  working: 'info',
  'input-required': 'warn',
  'auth-required': 'warn',
  completed: 'ok',
  canceled: 'idle',
};

export function StateBadge({ state, label }: { state: string; label?: string | undefined }) {
  return (
    <Badge tone={OTHERS[state] ?? 'idle'} title={state}>
      {label ??
        text.statuses.messages[state] ??
        text.statuses.health[state] ??
        readable(state.replaceAll('-', ' '))}
    </Badge>
  );
}

const RISKS: Record<string, Tone> = { low: 'idle', medium: 'info', high: 'warn', critical: 'bad' };

export function RiskBadge({ risk }: { risk: string }) {
  return <Badge tone={RISKS[risk] ?? 'idle'}>{readable(risk)}</Badge>;
}
