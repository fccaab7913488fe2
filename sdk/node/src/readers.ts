// Whom a message is to be encrypted to, and with which key: the keys of readers as the relay tells
// them and, with a ring, as an identity key vouches for them.

import { EkhoArgumentError } from './errors.js';
import type { Reader } from './identity/encrypt.js';
import { chosenKey, type EncryptionKey } from './identity/encryption-keys.js';
import type { KeyRing } from './identity/keyring.js';
import type { KeyLearner } from './identity/learn.js';
import type { AgentEncryptionKeys, EncryptionKeyEntry, SendMessagePayload } from './types.js';

/** How long an answer is good for. */
const GOOD_FOR_MS = 60_000;
/** Agents whose keys are kept. */
const MAX_KEPT = 10_000;

export interface ReaderSource {
  encryptionKeys(agentId: string): Promise<AgentEncryptionKeys>;
}

export class ReaderKeys {
  readonly own: readonly EncryptionKey[];
  readonly #ring: KeyRing | undefined;
  readonly #learner: KeyLearner | undefined;
  readonly #source: ReaderSource;
  readonly #known = new Map<string, { at: number; keys: Promise<EncryptionKeyEntry[]> }>();

  constructor(
    own: readonly EncryptionKey[],
    ring: KeyRing | undefined,
    learner: KeyLearner | undefined,
    source: ReaderSource,
  ) {
    this.own = own;
    this.#ring = ring;
    this.#learner = learner;
    this.#source = source;
  }

  /** The readers of a message with their keys, and the own one; undefined where it goes as it is. */
  async of(
    payload: SendMessagePayload,
  ): Promise<{ own: EncryptionKey; readers: Reader[] } | undefined> {
    const wanted = readersOf(payload);
    if (!wanted) return undefined;
    const [own] = this.own;
    if (!own) {
      throw new EkhoArgumentError('encrypt_for needs encryptionKeys, of which the first is used');
    }
    const readers: Reader[] = [];
    for (const agentId of wanted) {
      readers.push({ agentId, key: await chosenKey(agentId, await this.#ask(agentId), this.#ring) });
    }
    return { own, readers };
  }

  /** Asks once for all messages that wait for the answer. */
  #ask(agentId: string): Promise<EncryptionKeyEntry[]> {
    const known = this.#known.get(agentId);
    if (known && performance.now() - known.at < GOOD_FOR_MS) return known.keys;
    const keys = this.#fetch(agentId);
    keys.catch(() => this.#known.delete(agentId));
    if (this.#known.size >= MAX_KEPT) this.#known.clear();
    this.#known.set(agentId, { at: performance.now(), keys });
    return keys;
  }

  async #fetch(agentId: string): Promise<EncryptionKeyEntry[]> {
    const { keys } = await this.#source.encryptionKeys(agentId);
    await this.#learner?.learn(agentId);
    return keys;
  }
}

/** Ids of the agents that a message is to be encrypted to; undefined where it is not encrypted. */
function readersOf(payload: SendMessagePayload): string[] | undefined {
  // Who names readers means to encrypt: what turned out to be nothing is not sent for all to read.
  if (!('encrypt_for' in payload)) return undefined;
  const given: unknown = payload.encrypt_for;
  if (!Array.isArray(given) || !given.every((id): id is string => typeof id === 'string')) {
    throw new EkhoArgumentError('encrypt_for is a list of ids of agents');
  }
  const readers = [...new Set(given)];
  const { kind, id } = payload.recipient;
  if (kind === 'agent' && !readers.includes(id ?? '')) {
    throw new EkhoArgumentError(
      'encrypt_for lacks the recipient, who could not read the message',
    );
  }
  if (readers.length === 0) {
    throw new EkhoArgumentError('encrypt_for is empty: nobody could read the message');
  }
  if (payload.agent_sig !== undefined) {
    throw new EkhoArgumentError('an encrypted message is signed by the client, after it encrypted');
  }
  return readers;
}
