// The keys that an agent believes: other agents', and operators' by endorsement from a root. The
// relay's word alone adds no root; a revoked key never comes back. Small enough to be kept as JSON.

import { EkhoArgumentError } from '../errors.js';
import { encodeUtf8 } from '../signing.js';
import type { OperatorKeyEntry } from '../types.js';
import { PublicKey } from './keys.js';

/** Limits of the relay: keys remembered of an agent, keys of operators, steps of endorsement. */
const MAX_AGENT_KEYS = 20;
const MAX_OPERATOR_KEYS = 500;
const MAX_KEYS = 100_000;

export interface KeyRingJson {
  fleetId: string;
  agents: Record<string, string[]>;
  operators: string[];
  /** Key id and since when; null where that is not known, so that nothing of it counts. */
  revoked: Record<string, string | null>;
}

export class KeyRing {
  readonly fleetId: string;
  readonly #agents = new Map<string, Map<string, PublicKey>>();
  readonly #operators = new Map<string, PublicKey>();
  readonly #revoked = new Map<string, string | null>();

  constructor(fleetId: string) {
    if (!fleetId) throw new EkhoArgumentError('a key ring needs the id of its fleet');
    this.fleetId = fleetId;
  }

  /** Believes that this key is the agent's. Its earlier keys go on counting until revoked. */
  async trustAgent(agentId: string, publicKey: string): Promise<string> {
    const key = await PublicKey.parse(publicKey);
    const keys = this.#agents.get(agentId) ?? new Map<string, PublicKey>();
    if (!keys.has(key.keyId) && keys.size >= MAX_AGENT_KEYS) {
      throw new EkhoArgumentError(`more than ${MAX_AGENT_KEYS} keys of one agent`);
    }
    if (this.#agents.size >= MAX_KEYS) throw new EkhoArgumentError('the key ring is full');
    this.#agents.set(agentId, keys.set(key.keyId, key));
    return key.keyId;
  }

  /** Believes that this key is an operator's: a root that others can be endorsed from. */
  async trustOperator(publicKey: string): Promise<string> {
    const key = await PublicKey.parse(publicKey);
    if (!this.#operators.has(key.keyId) && this.#operators.size >= MAX_OPERATOR_KEYS) {
      throw new EkhoArgumentError(`more than ${MAX_OPERATOR_KEYS} keys of operators`);
    }
    this.#operators.set(key.keyId, key);
    return key.keyId;
  }

  /**
   * Takes those keys of `entries` that a key believed already vouches for, however often the chain
   * has to be followed; gives back the ids of those it took.
   */
  async takeEndorsed(entries: readonly OperatorKeyEntry[]): Promise<string[]> {
    const taken: string[] = [];
    for (let found = true; found; ) {
      found = false;
      for (const entry of entries) {
        const by = entry.endorsed_by_key_id ? this.operatorKey(entry.endorsed_by_key_id) : undefined;
        if (!by || !entry.endorsement_sig || this.isRevoked(by.keyId)) continue;
        const key = await PublicKey.parse(entry.public_key).catch(() => undefined);
        if (!key || this.#operators.has(key.keyId) || this.isRevoked(key.keyId)) continue;
        const statement = endorsement(this.fleetId, by.keyId, key);
        if (!(await by.verify(entry.endorsement_sig, encodeUtf8(statement)))) continue;
        taken.push(await this.trustOperator(entry.public_key));
        found = true;
      }
    }
    return taken;
  }

  /** For good. Messages that the relay accepted before `since` go on counting; without it, none. */
  revoke(keyId: string, since?: string): void {
    if (this.#revoked.size >= MAX_KEYS) throw new EkhoArgumentError('the key ring is full');
    const known = this.#revoked.get(keyId);
    if (known === undefined || (known !== null && (!since || since < known))) {
      this.#revoked.set(keyId, since ?? null);
    }
  }

  /** Whether the key was revoked at that time (ISO 8601), or at all. */
  isRevoked(keyId: string, at?: string): boolean {
    const since = this.#revoked.get(keyId);
    if (since === undefined) return false;
    return since === null || at === undefined || !(Date.parse(at) < Date.parse(since));
  }

  agentKeys(agentId: string): PublicKey[] {
    return [...(this.#agents.get(agentId)?.values() ?? [])];
  }

  operatorKey(keyId: string): PublicKey | undefined {
    return this.#operators.get(keyId);
  }

  hasOperators(): boolean {
    return this.#operators.size > 0;
  }

  toJSON(): KeyRingJson {
    return {
      fleetId: this.fleetId,
      agents: Object.fromEntries(
        [...this.#agents].map(([id, keys]) => [id, [...keys.values()].map(String)]),
      ),
      operators: [...this.#operators.values()].map(String),
      revoked: Object.fromEntries(this.#revoked),
    };
  }

  static async fromJSON(json: KeyRingJson): Promise<KeyRing> {
    const ring = new KeyRing(json.fleetId);
    for (const [agentId, keys] of Object.entries(json.agents)) {
      for (const key of keys) await ring.trustAgent(agentId, key);
    }
    for (const key of json.operators) await ring.trustOperator(key);
    for (const [keyId, since] of Object.entries(json.revoked)) {
      ring.revoke(keyId, since ?? undefined);
    }
    return ring;
  }
}

/** What an operator signs who vouches for a key (docs/operator-api.md, Signing keys). */
export function endorsement(fleetId: string, byKeyId: string, key: PublicKey): string {
  return ['ekho-operator-key-v1', 'endorse', fleetId, byKeyId, key.keyId, String(key)].join('\n');
}
