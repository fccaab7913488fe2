// When a failed try is repeated, where, and after how long: the only place that decides it.
//
// A call goes in rounds. In one round each relay address is tried at most once, one after the other
// without delay; between rounds the call waits a random time between zero and baseDelayMs * 2^round,
// capped at maxDelayMs, on top of what Retry-After asks for.

import { EkhoConnectionError, EkhoRequestError } from './errors.js';

export interface RetryPolicy {
  /** Rounds before the call gives up; 1 means no retry. */
  maxRounds: number;
  /** Upper bound of the first delay. */
  baseDelayMs: number;
  /** Upper bound of every delay that the relay did not ask for. */
  maxDelayMs: number;
  /** A Retry-After longer than this is thrown at once instead of waited for. */
  maxRetryAfterMs: number;
}

export const DEFAULT_RETRY: Readonly<RetryPolicy> = {
  maxRounds: 6,
  baseDelayMs: 200,
  maxDelayMs: 10_000,
  maxRetryAfterMs: 60_000,
};

/** Whether a call may be repeated when it is unknown if the relay carried it out. */
export type Repeat = 'harmless' | 'only_if_undone';

/** Give up; or another relay may answer now; or every relay would say the same for a while. */
export type Verdict =
  | { kind: 'give_up' }
  | { kind: 'elsewhere'; waitMs: number }
  | { kind: 'later'; waitMs: number };

/** Judges one failed try. */
export function judge(error: unknown, repeat: Repeat): Verdict {
  const giveUp: Verdict = { kind: 'give_up' };
  const harmless = repeat === 'harmless';
  if (error instanceof EkhoConnectionError) {
    const broken = error.code === 'connection_failed' || error.code === 'timeout';
    return broken && (harmless || error.unsent) ? { kind: 'elsewhere', waitMs: 0 } : giveUp;
  }
  if (!(error instanceof EkhoRequestError)) return giveUp;
  const waitMs = (error.retryAfterSeconds ?? 0) * 1000;
  switch (error.statusCode) {
    case 429:
      return { kind: 'later', waitMs };
    case 503:
      // In all other cases of 503 nothing was done.
      return harmless || error.code !== 'outcome_unknown' ? { kind: 'elsewhere', waitMs } : giveUp;
    case 502:
    case 504:
      // A gateway's word: the relay behind it may have carried the call out.
      return harmless ? { kind: 'elsewhere', waitMs } : giveUp;
    default:
      return error.code === 'timestamp_before_leadership' ? { kind: 'later', waitMs } : giveUp;
  }
}

/** The growing delays of one run of failures, with full jitter. */
export class Backoff {
  readonly #baseMs: number;
  readonly #maxMs: number;
  readonly #random: () => number;
  #failures = 0;

  constructor(baseMs: number, maxMs: number, random: () => number = Math.random) {
    this.#baseMs = baseMs;
    this.#maxMs = maxMs;
    this.#random = random;
  }

  reset(): void {
    this.#failures = 0;
  }

  /** `atLeastMs`, plus a random share of a bound that doubles with each failure. */
  nextDelayMs(atLeastMs = 0): number {
    const bound = Math.min(this.#maxMs, this.#baseMs * 2 ** Math.min(this.#failures, 50));
    this.#failures += 1;
    return atLeastMs + this.#random() * bound;
  }
}

/** Which relay address is in use: all calls stay with one until it fails. */
export class Targets {
  readonly count: number;
  #current = 0;

  constructor(count: number) {
    this.count = count;
  }

  get current(): number {
    return this.#current;
  }

  /** Moves on from `failed`, unless another call already did. */
  leave(failed: number): void {
    if (this.#current === failed) this.#current = (failed + 1) % this.count;
  }
}

/** Runs `attempt` with the index of a relay address until it succeeds or is judged hopeless. */
export async function run<T>(
  policy: RetryPolicy,
  targets: Targets,
  repeat: Repeat,
  attempt: (target: number) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const backoff = new Backoff(policy.baseDelayMs, policy.maxDelayMs);
  let round = 1;
  let hop = 1;
  for (;;) {
    signal?.throwIfAborted();
    const target = targets.current;
    let waitMs: number;
    try {
      return await attempt(target);
    } catch (error) {
      signal?.throwIfAborted();
      const verdict = judge(error, repeat);
      if (verdict.kind === 'give_up') throw error;
      waitMs = verdict.waitMs;
      if (verdict.kind === 'elsewhere') {
        targets.leave(target);
        if (hop < targets.count) {
          hop += 1;
          continue;
        }
      }
      if (round >= policy.maxRounds || waitMs > policy.maxRetryAfterMs) throw error;
    }
    await sleep(backoff.nextDelayMs(waitMs), signal);
    round += 1;
    hop = 1;
  }
}

/** Waits; rejects with the signal's reason where it is aborted meanwhile. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    }, ms);
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
