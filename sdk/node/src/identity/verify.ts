// What a recipient can say of an end-to-end signature: verified, failed, or unchecked.

import { isObject } from '../errors.js';
import { encodeUtf8 } from '../signing.js';
import { bodyHash, ENVELOPE_TYPE } from './envelope.js';
import type { KeyRing } from './keyring.js';
import type { PublicKey } from './keys.js';

/** Nonces remembered, so that a message told twice is found out. */
const MAX_NONCES = 10_000;

/**
 * `verified`: signed by a key that is believed to be the sender's, and about this message.
 * `failed`: there is a signature, and it does not hold; do not act on the message.
 * `unchecked`: no signature, no key to check it with, or one of another kind.
 */
export interface Verification {
  status: 'verified' | 'failed' | 'unchecked';
  reason?: VerificationReason;
  keyId?: string;
}

export type VerificationReason =
  | 'no_key_ring'
  | 'unsigned'
  | 'unknown_key'
  | 'unknown_form'
  | 'key_revoked'
  | 'bad_signature'
  | 'fleet_mismatch'
  | 'sender_mismatch'
  | 'recipient_mismatch'
  | 'message_mismatch'
  | 'body_mismatch'
  | 'replayed';

/** What is looked at of a message in the inbox. */
export interface VerifiableMessage {
  message_id: string;
  sender_agent_id: string | null;
  sender_kind?: string;
  conversation_id: string;
  correlation_id: string;
  message_type: string;
  body: unknown;
  created_at?: string;
  agent_sig?: string | null;
  operator_sig?: string | null;
  sig_canonical?: unknown;
}

/** Checks messages for one agent, against one ring of keys. */
export class Verifier {
  readonly #ring: KeyRing;
  readonly #selfAgentId: string;
  readonly #seen = new Map<string, string>();

  constructor(ring: KeyRing, selfAgentId: string) {
    this.#ring = ring;
    this.#selfAgentId = selfAgentId;
  }

  async verify(message: VerifiableMessage): Promise<Verification> {
    const byOperator = message.sender_kind === 'operator';
    const signature = byOperator ? message.operator_sig : message.agent_sig;
    const text = message.sig_canonical;
    if (!signature) return { status: 'unchecked', reason: 'unsigned' };
    const statement = readStatement(text);
    if (typeof text !== 'string' || !statement) {
      return { status: 'unchecked', reason: 'unknown_form' };
    }
    const keyId = String(statement['key_id']);
    const key = this.#keyOf(message, byOperator, keyId);
    if (!key) return { status: 'unchecked', reason: 'unknown_key', keyId };
    const failed = (reason: VerificationReason): Verification => ({
      status: 'failed',
      reason,
      keyId,
    });
    if (this.#ring.isRevoked(keyId, message.created_at)) return failed('key_revoked');
    if (!(await key.verify(signature, encodeUtf8(text)))) return failed('bad_signature');
    const wrong = await this.#mismatch(message, statement);
    if (wrong) return failed(wrong);
    if (this.#replayed(`${keyId} ${String(statement['nonce'])}`, message.message_id)) {
      return failed('replayed');
    }
    return { status: 'verified', keyId };
  }

  #keyOf(message: VerifiableMessage, byOperator: boolean, keyId: string): PublicKey | undefined {
    if (byOperator) return this.#ring.operatorKey(keyId);
    const keys = this.#ring.agentKeys(message.sender_agent_id ?? '');
    return keys.find((key) => key.keyId === keyId);
  }

  /** The first field in which the signed statement is about another message. */
  async #mismatch(
    message: VerifiableMessage,
    statement: Record<string, unknown>,
  ): Promise<VerificationReason | undefined> {
    if (statement['fleet_id'] !== this.#ring.fleetId) return 'fleet_mismatch';
    if (statement['sender_id'] !== message.sender_agent_id) return 'sender_mismatch';
    const recipient = statement['recipient'];
    if (!isObject(recipient)) return 'recipient_mismatch';
    if (recipient['kind'] === 'agent' && recipient['id'] !== this.#selfAgentId) {
      return 'recipient_mismatch';
    }
    const bound = ['message_type', 'conversation_id', 'correlation_id'] as const;
    if (bound.some((field) => statement[field] !== message[field])) return 'message_mismatch';
    try {
      if (statement['body_sha256'] !== (await bodyHash(message.body))) return 'body_mismatch';
    } catch {
      return 'body_mismatch';
    }
    return undefined;
  }

  /** The same message may come again, another one with its nonce may not. */
  #replayed(nonce: string, messageId: string): boolean {
    const first = this.#seen.get(nonce);
    if (first !== undefined) return first !== messageId;
    if (this.#seen.size >= MAX_NONCES) {
      const oldest = this.#seen.keys().next();
      if (!oldest.done) this.#seen.delete(oldest.value);
    }
    this.#seen.set(nonce, messageId);
    return false;
  }
}

function readStatement(text: unknown): Record<string, unknown> | undefined {
  if (typeof text !== 'string') return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) && value['type'] === ENVELOPE_TYPE ? value : undefined;
  } catch {
    return undefined;
  }
}
