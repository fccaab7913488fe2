// Settings of a client and their defaults, checked once.

import { EkhoArgumentError } from './errors.js';
import type { EncryptionKey } from './identity/encryption-keys.js';
import type { KeyRing } from './identity/keyring.js';
import type { AgentIdentity } from './identity/keys.js';
import { Verifier } from './identity/verify.js';
import { DEFAULT_RETRY, type RetryPolicy } from './retry.js';
import type { Telemetry } from './telemetry.js';
import type { FetchLike } from './transport.js';

const MIN_NODE_MAJOR = 20;

export interface ClientOptions {
  /** How failed tries are repeated. */
  retry?: Partial<RetryPolicy>;
  /** Longest time of one try, on top of what a long poll asks to wait. Default: 30 s. */
  requestTimeoutMs?: number;
  /** A stream on which nothing comes for so long, keep-alives included, is opened anew. Default: 60 s. */
  streamIdleTimeoutMs?: number;
  /** The largest answer to hold in memory. Default: 128 MiB. */
  maxAnswerBytes?: number;
  /** In place of the global one, for a proxy or certificates of your own. */
  fetch?: FetchLike;
  /** Puts trace contexts into messages: `openTelemetry(await import('@opentelemetry/api'))`. */
  telemetry?: Telemetry;
  /** Signs every message end to end; needs `fleetId`, or a key ring. */
  identity?: AgentIdentity;
  fleetId?: string;
  /** Checks the end-to-end signatures of what comes in. */
  keyRing?: KeyRing;
  /** Takes into the ring what the relay says of keys: who has which, and which were revoked. */
  learnKeys?: boolean;
  /** Decrypts bodies that come in with any of these, and encrypts with the first. */
  encryptionKeys?: readonly EncryptionKey[];
}

export interface Settings {
  retry: RetryPolicy;
  requestTimeoutMs: number;
  streamIdleTimeoutMs: number;
  maxAnswerBytes: number;
  fetch: FetchLike;
  telemetry: Telemetry | undefined;
  identity: AgentIdentity | undefined;
  fleetId: string | undefined;
  keyRing: KeyRing | undefined;
  verifier: Verifier | undefined;
  learnKeys: boolean;
  encryptionKeys: readonly EncryptionKey[];
}

export function settingsOf(options: ClientOptions, agentId: string): Settings {
  checkRuntime();
  const fleetId = options.fleetId ?? options.keyRing?.fleetId;
  if (options.identity && !fleetId) {
    throw new EkhoArgumentError('an identity needs fleetId, which is part of what is signed');
  }
  if (options.learnKeys && !options.keyRing) {
    throw new EkhoArgumentError('learnKeys needs a keyRing to learn into');
  }
  return {
    retry: { ...DEFAULT_RETRY, ...options.retry },
    requestTimeoutMs: positive('requestTimeoutMs', options.requestTimeoutMs ?? 30_000),
    streamIdleTimeoutMs: positive('streamIdleTimeoutMs', options.streamIdleTimeoutMs ?? 60_000),
    maxAnswerBytes: positive('maxAnswerBytes', options.maxAnswerBytes ?? 128 * 1024 * 1024),
    // Looked up at each call, so that a test or a tracer can put another in its place.
    fetch: options.fetch ?? ((input, init) => globalThis.fetch(input, init)),
    telemetry: options.telemetry,
    identity: options.identity,
    fleetId,
    keyRing: options.keyRing,
    learnKeys: options.learnKeys ?? false,
    encryptionKeys: options.encryptionKeys ?? [],
    verifier: options.keyRing && new Verifier(options.keyRing, agentId),
  };
}

/** Node only; Deno and Bun also say they are one, and newer. */
function checkRuntime(): void {
  const runtime = globalThis as { process?: { versions?: { node?: string } } };
  const major = Number(runtime.process?.versions?.node?.split('.', 1)[0] ?? MIN_NODE_MAJOR);
  if (major < MIN_NODE_MAJOR) {
    throw new EkhoArgumentError(`Node ${MIN_NODE_MAJOR} or newer is needed, this is ${major}`);
  }
}

function positive(name: string, value: number): number {
  if (!(value > 0) || !Number.isFinite(value)) {
    throw new EkhoArgumentError(`${name} must be a number above zero`);
  }
  return value;
}
