// What all calls of one agent share: who it is, the settings, signing, and the check of what comes in.
// The calls themselves are in directory.ts and client.ts.

import { EkhoArgumentError, EkhoEncryptionError, isObject } from './errors.js';
import { decryptBody, type Encryption, isEncrypted } from './identity/encrypt.js';
import { KeyLearner } from './identity/learn.js';
import { type ClientOptions, type Settings, settingsOf } from './options.js';
import { ReaderKeys } from './readers.js';
import type { Repeat } from './retry.js';
import { encodeUtf8, Signer } from './signing.js';
import { type Call, Transport } from './transport.js';
import type * as T from './types.js';

const DEFAULT_POLL_INTERVAL_SECONDS = 5;
const DEFAULT_HEARTBEAT_INTERVAL_SECONDS = 30;
const LEARNING_MS = 5000;

export interface CallOptions {
  /** Ends the call, its retries included; it throws the signal's reason. */
  signal?: AbortSignal;
}

export abstract class Caller {
  readonly agentId: string;
  readonly pollIntervalSeconds: number;
  readonly heartbeatIntervalSeconds: number;
  readonly settings: Readonly<Settings>;
  /** @internal */
  protected readonly _transport: Transport;
  /** @internal */
  protected readonly _readerKeys: ReaderKeys;
  readonly #learner: KeyLearner | undefined;
  #signer: Signer;

  constructor(credentials: T.AgentCredentials, options: ClientOptions = {}) {
    if (!isObject(credentials)) throw new EkhoArgumentError('credentials are missing');
    this.#signer = new Signer(credentials.agentId, credentials.secret);
    this.agentId = credentials.agentId;
    this.pollIntervalSeconds = interval(
      'pollIntervalSeconds',
      credentials.pollIntervalSeconds ?? DEFAULT_POLL_INTERVAL_SECONDS,
    );
    this.heartbeatIntervalSeconds = interval(
      'heartbeatIntervalSeconds',
      credentials.heartbeatIntervalSeconds ?? DEFAULT_HEARTBEAT_INTERVAL_SECONDS,
    );
    this.settings = settingsOf(options, this.agentId);
    this._transport = new Transport(credentials.relayBaseUrl, this.settings);
    const { keyRing, learnKeys, encryptionKeys } = this.settings;
    if (keyRing && learnKeys) {
      // Not for long: messages wait for it.
      const ask = <Answer>(target: string): Promise<Answer> =>
        this.call('GET', target, undefined, 'harmless', { signal: AbortSignal.timeout(LEARNING_MS) });
      this.#learner = new KeyLearner(keyRing, {
        agentKeys: (agentId) => ask(`/v1/agents/${segment(agentId)}/identity-keys`),
        operatorKeys: () => ask('/v1/operator-keys'),
      });
    }
    this._readerKeys = new ReaderKeys(encryptionKeys, keyRing, this.#learner, {
      encryptionKeys: (agentId) => {
        const target = `/v1/agents/${segment(agentId)}/encryption-keys`;
        return this.call('GET', target, undefined, 'harmless');
      },
    });
  }

  /** A signed call of the agent API that has no method here. */
  call<Answer>(
    method: Call['method'],
    target: string,
    body: unknown,
    repeat: Repeat,
    options: CallOptions = {},
  ): Promise<Answer> {
    const call = body === undefined ? this._call(method, target) : this._post(target, body);
    return this._transport.json({ ...call, method, repeat }, options.signal);
  }

  /** @internal */
  protected _call(method: Call['method'], target: string): Call {
    return { method, target, signer: () => this.#signer, repeat: 'harmless' };
  }

  /** @internal */
  protected _post(target: string, body: unknown): Call {
    return { ...this._call('POST', target), body: jsonBody(body) };
  }

  /** @internal */
  protected _signWith(secret: string): void {
    this.#signer = new Signer(this.agentId, secret);
  }

  /** @internal */
  protected async _read(message: T.InboxMessage): Promise<T.InboxMessage> {
    const { verifier } = this.settings;
    await this.#learner?.before(message);
    const verification = verifier
      ? await verifier.verify(message)
      : ({ status: 'unchecked', reason: 'no_key_ring' } as const);
    return { ...message, ...(await this.#decrypted(message)), verification };
  }

  /** A body that cannot be decrypted comes as it is: its reader says what is to become of it. */
  async #decrypted(
    message: T.InboxMessage,
  ): Promise<{ body?: T.JsonObject; encryption: Encryption }> {
    if (!isEncrypted(message.body)) return { encryption: { status: 'none' } };
    try {
      const keys = this.settings.encryptionKeys;
      const { body, keyId } = await decryptBody(message, this.agentId, keys);
      return { body, encryption: { status: 'decrypted', keyId } };
    } catch (error) {
      if (!(error instanceof EkhoEncryptionError)) throw error;
      const { reason } = error;
      return { encryption: { status: 'decryption_failed', ...(reason && { reason }) } };
    }
  }
}

export function jsonBody(value: unknown): Uint8Array<ArrayBuffer> {
  const text = JSON.stringify(value) as string | undefined;
  if (text === undefined) throw new EkhoArgumentError('the request cannot be JSON');
  return encodeUtf8(text);
}

/** Ids are opaque, so whatever would end a segment of the path is escaped. */
export function segment(id: string): string {
  if (typeof id !== 'string' || ['', '.', '..'].includes(id)) {
    throw new EkhoArgumentError(`${JSON.stringify(id)} cannot be an id`);
  }
  return encodeURIComponent(id);
}

function interval(name: string, seconds: number): number {
  if (!(seconds > 0)) throw new EkhoArgumentError(`${name} must be longer than zero`);
  return seconds;
}
