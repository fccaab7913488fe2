// Learns keys from the relay: an agent's where a message names one that the ring lacks, and every so
// often which operators are endorsed and which keys were revoked. What is learned so is as good as
// the relay's word: it finds forgery among agents, not a relay that lies. Pinned keys are better.

import { EkhoArgumentError, isObject } from '../errors.js';
import type { AgentKeys, OperatorKeys } from '../types.js';
import type { KeyRing } from './keyring.js';
import type { VerifiableMessage } from './verify.js';

/** How long an answer is good for. */
const GOOD_FOR_MS = 60_000;
/** Senders whose keys were asked for lately. */
const MAX_ASKED = 10_000;

export interface KeySource {
  agentKeys(agentId: string): Promise<AgentKeys>;
  operatorKeys(): Promise<OperatorKeys>;
}

export class KeyLearner {
  readonly #ring: KeyRing;
  readonly #source: KeySource;
  readonly #asked = new Map<string, number>();
  #refreshedAt = -Infinity;

  constructor(ring: KeyRing, source: KeySource) {
    this.#ring = ring;
    this.#source = source;
  }

  /** Before a message is checked. Where the relay does not say, the ring stays as it is. */
  async before(message: VerifiableMessage): Promise<void> {
    if (!message.agent_sig && !message.operator_sig) return;
    if (performance.now() - this.#refreshedAt >= GOOD_FOR_MS) {
      this.#refreshedAt = performance.now();
      await this.#refresh().catch(() => undefined);
    }
    const sender = message.sender_agent_id;
    if (message.agent_sig && sender && this.#lacks(sender, message.sig_canonical)) {
      await this.#learnOnce(sender).catch(() => undefined);
    }
  }

  /** Takes what the relay says of operators' keys and of what was revoked. */
  async #refresh(): Promise<void> {
    const { operator_keys, revoked } = await this.#source.operatorKeys();
    for (const { key_id, revoked_at } of revoked) this.#ring.revoke(key_id, revoked_at);
    await this.#ring.takeEndorsed(operator_keys);
  }

  async #learnOnce(agentId: string): Promise<void> {
    const last = this.#asked.get(agentId);
    if (last !== undefined && performance.now() - last < GOOD_FOR_MS) return;
    if (this.#asked.size >= MAX_ASKED) this.#asked.clear();
    this.#asked.set(agentId, performance.now());
    await this.learn(agentId);
  }

  /** Takes what the relay says of an agent's keys. */
  async learn(agentId: string): Promise<void> {
    const { keys } = await this.#source.agentKeys(agentId);
    // First, so that they count whatever becomes of the keys.
    for (const { key_id, revoked_at } of keys) {
      if (revoked_at) this.#ring.revoke(key_id, revoked_at);
    }
    for (const { public_key } of keys) {
      try {
        await this.#ring.trustAgent(agentId, public_key);
      } catch (error) {
        // Agents may register keys of another kind, which say nothing about their other keys.
        if (!(error instanceof EkhoArgumentError)) throw error;
      }
    }
  }

  #lacks(agentId: string, text: unknown): boolean {
    let statement: unknown;
    try {
      statement = JSON.parse(String(text));
    } catch {
      return false;
    }
    const keyId = isObject(statement) ? statement['key_id'] : undefined;
    return !this.#ring.agentKeys(agentId).some((key) => key.keyId === keyId);
  }
}
