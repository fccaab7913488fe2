// One HTTP call to a relay: signed anew for every try, answered with its bytes or with the error of
// the last try. Knows fetch and nothing of the domain.

import { EkhoArgumentError, EkhoConnectionError, EkhoRequestError } from './errors.js';
import { type Repeat, type RetryPolicy, run, sleep, Targets } from './retry.js';
import { type Bytes, NO_BODY, type Signer } from './signing.js';
import { USER_AGENT } from './version.js';

/** Error answers are short; a page from some proxy is cut here. */
const MAX_ERROR_BYTES = 64 * 1024;

export type FetchLike = (input: string, init: RequestInit) => Promise<Response>;

/** One call, as often as it has to be tried. */
export interface Call {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Path and query string, percent-encoded, from the first slash. */
  target: string;
  body?: Bytes;
  /** Not signed where there is none. */
  signer?: () => Signer;
  headers?: Record<string, string>;
  repeat: Repeat;
  /** How long the relay may take on purpose, on top of the request timeout. */
  relayWaitMs?: number;
  /** Sends share the agent's rate window, so one 429 holds all of them back. */
  rateLimited?: boolean;
}

export interface TransportOptions {
  retry: RetryPolicy;
  requestTimeoutMs: number;
  maxAnswerBytes: number;
  fetch: FetchLike;
}

/** An answer whose body is still to be read; `close` ends its connection. */
export interface OpenAnswer {
  response: Response;
  close(): void;
}

export class Transport {
  readonly #relays: string[];
  readonly #targets: Targets;
  readonly #options: TransportOptions;
  /** No send leaves before this time, on performance.now()'s clock. */
  #sendsHeldUntil = 0;

  constructor(relayBaseUrl: string | readonly string[], options: TransportOptions) {
    const given = typeof relayBaseUrl === 'string' ? [relayBaseUrl] : relayBaseUrl;
    if (!Array.isArray(given) || given.length === 0) {
      throw new EkhoArgumentError('relayBaseUrl is missing');
    }
    this.#relays = given.map(checkedBaseUrl);
    this.#targets = new Targets(this.#relays.length);
    this.#options = options;
  }

  get retryPolicy(): RetryPolicy {
    return this.#options.retry;
  }

  /** Makes the call and reads its answer as JSON. */
  async json<T>(call: Call, signal?: AbortSignal): Promise<T> {
    const { bytes } = await this.whole(call, signal);
    try {
      return JSON.parse(new TextDecoder().decode(bytes)) as T;
    } catch (cause) {
      const path = call.target;
      throw new EkhoConnectionError('answer_not_understood', path, 'the answer is not JSON', {
        cause,
      });
    }
  }

  /** Makes the call and reads its answer whole. */
  whole(call: Call, signal?: AbortSignal): Promise<{ bytes: Bytes; headers: Headers }> {
    const timeoutMs = this.#options.requestTimeoutMs + (call.relayWaitMs ?? 0);
    return this.#run(call, signal, async (relay) => {
      const attempt = new Attempt(call.target, timeoutMs, signal);
      try {
        const response = await this.#attempt(relay, call, attempt);
        const bytes = await readUpTo(response, this.#options.maxAnswerBytes);
        if (bytes) return { bytes, headers: response.headers };
        throw new EkhoConnectionError(
          'answer_too_large',
          call.target,
          `the answer has more than ${this.#options.maxAnswerBytes} bytes`,
        );
      } catch (error) {
        throw attempt.explain(error);
      } finally {
        attempt.end();
      }
    });
  }

  /** Makes the call and hands over the answer once its head is here. */
  open(call: Call, signal?: AbortSignal): Promise<OpenAnswer> {
    return this.#run(call, signal, async (relay) => {
      const attempt = new Attempt(call.target, this.#options.requestTimeoutMs, signal);
      try {
        const response = await this.#attempt(relay, call, attempt);
        attempt.stopClock();
        return { response, close: () => attempt.end(true) };
      } catch (error) {
        attempt.end();
        throw attempt.explain(error);
      }
    });
  }

  #run<T>(
    call: Call,
    signal: AbortSignal | undefined,
    attempt: (relay: number) => Promise<T>,
  ): Promise<T> {
    return run(this.#options.retry, this.#targets, call.repeat, attempt, signal);
  }

  /** One try: signs now, sends, and turns every status but 2xx into an error. */
  async #attempt(relay: number, call: Call, attempt: Attempt): Promise<Response> {
    if (call.rateLimited) await this.#waitForRateWindow(attempt);
    const headers: Record<string, string> = { 'user-agent': USER_AGENT, ...call.headers };
    if (call.signer) {
      Object.assign(
        headers,
        await call.signer().sign(call.method, call.target, call.body ?? NO_BODY),
      );
    }
    const init: RequestInit = {
      method: call.method,
      headers,
      signal: attempt.signal,
      // A signature is for one path on one relay: a redirect could only be misread.
      redirect: 'manual',
    };
    if (call.body) {
      headers['content-type'] = 'application/json';
      init.body = call.body;
    }
    const response = await this.#options.fetch(`${this.#relays[relay] ?? ''}${call.target}`, init);
    if (response.ok) return response;
    const bytes = await readUpTo(response, MAX_ERROR_BYTES).catch(() => undefined);
    const refusal = new EkhoRequestError(
      call.target,
      response.status,
      new TextDecoder().decode(bytes ?? NO_BODY),
      {
        retryAfter: response.headers.get('retry-after'),
        requestId: response.headers.get('x-request-id'),
      },
    );
    if (call.rateLimited && response.status === 429) {
      this.#holdSends((refusal.retryAfterSeconds ?? 0) * 1000);
    }
    throw refusal;
  }

  /**
   * Every refused send counts towards the agent's quarantine, so after one refusal no other send of
   * this client is tried before the window opens again.
   */
  #holdSends(waitMs: number): void {
    if (waitMs > this.#options.retry.maxRetryAfterMs) return;
    this.#sendsHeldUntil = Math.max(this.#sendsHeldUntil, performance.now() + waitMs);
  }

  async #waitForRateWindow(attempt: Attempt): Promise<void> {
    const waitMs = this.#sendsHeldUntil - performance.now();
    if (waitMs > 0) await attempt.withoutClock(() => sleep(waitMs, attempt.signal));
  }
}

/** The time limit and the caller's signal of one try, as one signal. */
class Attempt {
  readonly #controller = new AbortController();
  readonly #outer: AbortSignal | undefined;
  readonly #path: string;
  readonly #timeoutMs: number;
  readonly #onAbort: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #timedOut = false;

  constructor(path: string, timeoutMs: number, outer: AbortSignal | undefined) {
    this.#path = path;
    this.#timeoutMs = timeoutMs;
    this.#outer = outer;
    this.#onAbort = () => this.#controller.abort(outer?.reason);
    if (outer?.aborted) this.#onAbort();
    outer?.addEventListener('abort', this.#onAbort, { once: true });
    this.#startClock();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  #startClock(): void {
    this.#timer = setTimeout(() => {
      this.#timedOut = true;
      this.#controller.abort(new Error('timeout'));
    }, this.#timeoutMs);
  }

  stopClock(): void {
    clearTimeout(this.#timer);
  }

  async withoutClock(wait: () => Promise<void>): Promise<void> {
    this.stopClock();
    await wait();
    this.#startClock();
  }

  end(abort = false): void {
    this.stopClock();
    this.#outer?.removeEventListener('abort', this.#onAbort);
    if (abort) this.#controller.abort();
  }

  /** What fetch threw, as one of ours; our own errors and the caller's abort stay as they are. */
  explain(error: unknown): unknown {
    if (error instanceof EkhoRequestError || error instanceof EkhoConnectionError) return error;
    if (this.#outer?.aborted) return this.#outer.reason;
    if (this.#timedOut) {
      const message = `nothing from the relay for ${this.#timeoutMs} ms`;
      return new EkhoConnectionError('timeout', this.#path, message, { cause: error });
    }
    return new EkhoConnectionError('connection_failed', this.#path, 'no answer from the relay', {
      cause: error,
      unsent: neverConnected(error),
    });
  }
}

/** Errors that say that no connection came about, as Node, Bun and Deno word them. */
const NEVER_CONNECTED =
  /ECONNREFUSED|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|UND_ERR_CONNECT_TIMEOUT|ConnectionRefused|FailedToOpenSocket|connection refused|dns error|tcp connect error/i;

function neverConnected(error: unknown): boolean {
  for (let at = error, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth += 1) {
    const code = 'code' in at && typeof at.code === 'string' ? at.code : '';
    if (NEVER_CONNECTED.test(`${code} ${at.message}`)) return true;
    if (at instanceof AggregateError && at.errors.length > 0) return at.errors.every(neverConnected);
  }
  return false;
}

/** The body, or undefined where it is larger. */
async function readUpTo(response: Response, limitBytes: number): Promise<Bytes | undefined> {
  if (!response.body) return NO_BODY;
  const reader = response.body.getReader();
  const chunks: Uint8Array[] = [];
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    size += value.byteLength;
    if (size > limitBytes) {
      await reader.cancel();
      return undefined;
    }
    chunks.push(value);
  }
  const whole = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.byteLength;
  }
  return whole;
}

/** Takes http and https; a path prefix is kept for proxies that strip it, and is not signed. */
function checkedBaseUrl(given: unknown): string {
  const refuse = (why: string): never => {
    throw new EkhoArgumentError(`relayBaseUrl: ${why}, such as "https://relay.example:4000"`);
  };
  if (typeof given !== 'string' || !URL.canParse(given)) return refuse('not a URL');
  const url = new URL(given);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return refuse('not http or https');
  if (url.username || url.password) return refuse('must not hold a user name or password');
  if (url.search || url.hash) return refuse('must have neither query nor fragment');
  return url.href.replace(/\/+$/, '');
}
