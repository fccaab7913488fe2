// The statement that an end-to-end signature covers (docs/signatures.md): who says what to whom, in
// which conversation. Test vectors: sdk/vectors/envelopes.json.

import { EkhoArgumentError } from '../errors.js';
import { encodeUtf8, sha256Hex } from '../signing.js';
import type { JsonObject, Recipient } from '../types.js';
import { canonicalJson } from './jcs.js';
import type { AgentIdentity } from './keys.js';

export const ENVELOPE_TYPE = 'ekho-message-v1';

/** What of a message is signed. `metadata` is not: hooks of the relay may change it. */
export interface SignedMessage {
  recipient: Recipient;
  message_type: string;
  conversation_id: string;
  correlation_id: string;
  body: JsonObject;
}

export interface EnvelopeFields {
  agent_sig: string;
  key_id: string;
  sig_canonical: string;
}

/** The text that is signed. `nonce` is said once: two messages under one nonce are one replayed. */
export async function envelopeText(
  message: SignedMessage,
  who: { fleetId: string; senderId: string; keyId: string },
  nonce: string,
): Promise<string> {
  const { kind, id } = message.recipient;
  return canonicalJson({
    type: ENVELOPE_TYPE,
    fleet_id: who.fleetId,
    sender_id: who.senderId,
    key_id: who.keyId,
    recipient: kind === 'broadcast' ? { kind } : { kind, id },
    message_type: message.message_type,
    conversation_id: message.conversation_id,
    correlation_id: message.correlation_id,
    body_sha256: await bodyHash(message.body),
    nonce,
  });
}

/** Hex of SHA-256 of the body's canonical JSON. */
export function bodyHash(body: unknown): Promise<string> {
  return sha256Hex(encodeUtf8(canonicalJson(body)));
}

/** Signs a message as an agent; the fields go into the message as they are. */
export async function signMessage(
  message: SignedMessage,
  who: { fleetId: string; agentId: string; identity: AgentIdentity },
  nonce: string,
): Promise<EnvelopeFields> {
  if (!who.fleetId) throw new EkhoArgumentError('fleetId is needed to sign messages');
  const { keyId } = who.identity;
  const text = await envelopeText(
    message,
    { fleetId: who.fleetId, senderId: who.agentId, keyId },
    nonce,
  );
  return {
    agent_sig: await who.identity.sign(encodeUtf8(text)),
    key_id: keyId,
    sig_canonical: text,
  };
}
