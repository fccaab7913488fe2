// The heartbeat loop: says that the agent lives, and keeps the leases of messages whose handlers
// take longer than the delivery timeout.

import { sleep } from '../retry.js';
import type { State } from './state.js';

const LEAST_LEASE_SECONDS = 120;

export async function heartbeatLoop(state: State): Promise<void> {
  const intervalMs = state.adapter.client.heartbeatIntervalSeconds * 1000;
  const signal = state.draining.signal;
  while (state.running) {
    await tell(state, 'heartbeat failed', () => beat(state));
    if (!state.running) return;
    await tell(state, 'leases were not extended', () => keepLeases(state, intervalMs));
    // A tenth of spread keeps a fleet that was started at once from beating at once.
    await sleep(intervalMs * (0.9 + 0.1 * Math.random()), signal).catch(() => undefined);
  }
}

async function beat(state: State): Promise<void> {
  const { paused } = state.controls;
  const busy = state.free <= 0;
  await state.adapter.client.heartbeat(
    {
      status: paused ? 'degraded' : busy ? 'busy' : 'healthy',
      active_conversation_ids: state.lanes.activeConversations(),
      metrics: { paused },
    },
    { signal: state.draining.signal },
  );
}

async function keepLeases(state: State, intervalMs: number): Promise<void> {
  const ids = state.lanes.takenBefore(performance.now() - intervalMs);
  if (ids.length === 0) return;
  // Long enough that two lost calls in a row do no harm.
  const extend_seconds = Math.max(LEAST_LEASE_SECONDS, Math.ceil((intervalMs / 1000) * 4));
  const leases = ids.map((message_id) => ({ message_id, extend_seconds }));
  await state.adapter.client.extendLeases(leases, { signal: state.draining.signal });
}

async function tell(state: State, what: string, call: () => Promise<void>): Promise<void> {
  try {
    await call();
  } catch (error) {
    if (state.running) state.settings.onError(error, what);
  }
}
