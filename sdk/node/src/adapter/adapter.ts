// Runs an agent: takes messages by long poll, works on them with bounded concurrency, acks and hands
// back, sends heartbeats, obeys operators, waits for their decisions.

import { EkhoAgentClient, type SendOptions } from '../client.js';
import { EkhoActionError, EkhoArgumentError, isTransient } from '../errors.js';
import type { ClientOptions } from '../options.js';
import { Backoff, sleep } from '../retry.js';
import type {
  ActionDecision,
  ActionResultPayload,
  AgentCredentials,
  ProposeActionPayload,
  SendMessagePayload,
  SendMessageResult,
} from '../types.js';
import { heartbeatLoop } from './heartbeat.js';
import type { AdapterHooks, AdapterOptions, StopReport } from './hooks.js';
import { inboxLoop } from './poll.js';
import { type Settings, State } from './state.js';
import { handBack } from './work.js';

const APPROVAL_POLL_MS = 1500;
const LONGEST_PAUSE_MS = 30_000;
const STOP_DEADLINE_MS = 10_000;

export interface AdapterStatus {
  running: boolean;
  paused: boolean;
  messagesInWork: number;
  /** Polls that failed since the last that did not. */
  consecutiveFailures: number;
  lastError: string | undefined;
}

export class EkhoAgentAdapter {
  readonly client: EkhoAgentClient;
  readonly #hooks: AdapterHooks;
  readonly #settings: Settings;
  #state: State | undefined;

  constructor(
    credentials: AgentCredentials | EkhoAgentClient,
    hooks: AdapterHooks = {},
    options: AdapterOptions & ClientOptions = {},
  ) {
    this.client =
      credentials instanceof EkhoAgentClient
        ? credentials
        : new EkhoAgentClient(credentials, options);
    this.#hooks = hooks;
    this.#settings = {
      concurrency: within('concurrency', options.concurrency ?? 8, 1, 100),
      waitSeconds: within('waitSeconds', options.waitSeconds ?? 25, 0, 60),
      handlerTimeoutMs: within(
        'handlerTimeoutMs',
        options.handlerTimeoutMs ?? 3_600_000,
        1,
        2 ** 31 - 1,
      ),
      onError: quiet(
        options.onError ??
          ((error, doing) => console.error(`[ekho-adapter] ${doing}: ${describe(error)}`)),
      ),
    };
  }

  get agentId(): string {
    return this.client.agentId;
  }

  get running(): boolean {
    return this.#state !== undefined && !this.#state.draining.signal.aborted;
  }

  /** Whether an operator's pause or quarantine is in force. */
  get paused(): boolean {
    return this.#state?.controls.paused ?? false;
  }

  status(): AdapterStatus {
    return {
      running: this.running,
      paused: this.paused,
      messagesInWork: this.#state?.lanes.size ?? 0,
      consecutiveFailures: this.#state?.consecutiveFailures ?? 0,
      lastError: this.#state?.lastError,
    };
  }

  /** Begins; once stopped it can begin again. */
  async start(): Promise<void> {
    if (this.running) return;
    const state = new State(this, this.#hooks, this.#settings);
    this.#state = state;
    // Waited for as work is: a hook that never returns must not keep a stop from ending.
    state.addWorker(heartbeatLoop(state));
    state.addWorker(inboxLoop(state));
  }

  /**
   * Takes no more messages, lets running handlers finish until the deadline, and hands back what is
   * left, to be delivered again at once.
   */
  async stop({ deadlineMs = STOP_DEADLINE_MS } = {}): Promise<StopReport> {
    const state = this.#state;
    if (!state || state.draining.signal.aborted) return { finished: true, handedBack: [] };
    const reason = new EkhoActionError('adapter_stopped', 'the adapter was stopped');
    state.draining.abort(reason);
    const finished = await state.workersDone(deadlineMs);
    state.close(reason);
    const handedBack = state.lanes.takeAll();
    if (handedBack.length > 0) await handBack(state, handedBack);
    return { finished, handedBack };
  }

  async send(payload: SendMessagePayload, options?: SendOptions): Promise<SendMessageResult> {
    this.#state?.lanes.touch(payload.conversation_id);
    return this.client.sendMessage(payload, options);
  }

  /**
   * Resolves when the action may be taken. Throws EkhoActionError where it may not: the policy denies
   * it, the operator does, the agent is paused, or the adapter stops before it is decided.
   */
  async proposeAction(action: ProposeActionPayload): Promise<ActionDecision> {
    await this.#hooks.beforeAction?.(action, this);
    if (this.paused) {
      throw new EkhoActionError('agent_paused', 'agent is paused by control plane');
    }
    const decision = await this.client.proposeAction(action);
    if (decision.decision === 'allow') return decision;
    if (decision.decision !== 'pending_approval') {
      throw new EkhoActionError('action_denied', 'action denied by Ekho policy');
    }
    await this.#hooks.onApprovalPending?.(decision.approval_id, this);
    const { approval_id } = decision;
    const state = this.#state;
    if (!state) throw stopped(approval_id);
    await state.withController(({ signal }) => this.#untilDecided(approval_id, signal));
    return decision;
  }

  reportActionResult(payload: ActionResultPayload): Promise<{ ok: boolean }> {
    return this.client.actionResult(payload);
  }

  async #untilDecided(approvalId: string, signal: AbortSignal): Promise<void> {
    const backoff = new Backoff(APPROVAL_POLL_MS, LONGEST_PAUSE_MS);
    let pauseMs = APPROVAL_POLL_MS;
    while (this.running) {
      try {
        const { status } = await this.client.getApproval(approvalId, { signal });
        if (status === 'approved' || status === 'executed') return;
        if (status !== 'pending' && status !== 'pending_approval') {
          const message = `action ${status} by operator`;
          throw new EkhoActionError(`action_${status}`, message, approvalId);
        }
        backoff.reset();
        pauseMs = APPROVAL_POLL_MS;
      } catch (error) {
        if (!isTransient(error)) throw error;
        pauseMs = backoff.nextDelayMs(APPROVAL_POLL_MS);
      }
      await sleep(pauseMs, signal);
    }
    throw stopped(approvalId);
  }
}

function stopped(approvalId: string): EkhoActionError {
  const message = 'adapter stopped while waiting for approval';
  return new EkhoActionError('adapter_stopped', message, approvalId);
}

/** What is told of a failure must not fail itself: nobody would be there to hear of it. */
function quiet(tell: Settings['onError']): Settings['onError'] {
  return (error, doing) => {
    try {
      tell(error, doing);
    } catch (failure) {
      console.error(`[ekho-adapter] onError failed: ${describe(failure)}`);
    }
  };
}

function within(name: string, value: number, least: number, most: number): number {
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new EkhoArgumentError(`${name} must be a whole number from ${least} to ${most}`);
  }
  return value;
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
