// Bodies that only their readers can read (docs/encryption.md): a content key encrypts the body, HPKE
// encrypts the content key to each reader. Both are bound to who says it to whom, in which
// conversation. Test vectors: sdk/vectors/encryption.json.

import { EkhoArgumentError, EkhoEncryptionError, isObject } from '../errors.js';
import { type Bytes, encodeUtf8, hex, sha256Hex } from '../signing.js';
import type { JsonObject, Recipient } from '../types.js';
import type { EncryptionKey, PublicEncryptionKey } from './encryption-keys.js';
import { KEY_BYTES, OpenError, openOnce, seal, sealOnce } from './hpke.js';
import { canonicalJson } from './jcs.js';
import { fromBase64, toBase64 } from './raw.js';

const FORM = 'ekho-encrypted-v1';
const FIELD = 'ekho_encrypted';
export const MAX_READERS = 64;
const UTF_8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** What of a message an encrypted body is bound to. */
export interface RoutedMessage {
  recipient: Recipient;
  message_type: string;
  conversation_id: string;
  correlation_id: string;
}

/** Whom a body is encrypted to. */
export interface Reader {
  agentId: string;
  key: PublicEncryptionKey;
}

/** `none`: the body was not encrypted. `decrypted`: it is what its sender encrypted.
 * `decryption_failed`: it is as it came, and `reason` says why. */
export interface Encryption {
  status: 'none' | 'decrypted' | 'decryption_failed';
  reason?: DecryptionFailure;
  keyId?: string;
}

export type DecryptionFailure = keyof typeof WHY;

const WHY = {
  unknown_form: 'it has a form that this version does not know',
  no_key: 'this client has no encryption key',
  not_a_reader: 'it was not encrypted to this agent',
  unknown_key: 'it was encrypted to a key that this client does not have',
  altered: 'it is not what its sender encrypted, or was said by or to somebody else',
};

/** What both encryptions are bound to: canonical JSON of what routes the message. */
export function encryptionContext(message: RoutedMessage, senderId: string): string {
  const { kind, id } = message.recipient;
  return canonicalJson({
    type: FORM,
    sender_id: senderId,
    recipient: kind === 'broadcast' ? { kind } : { kind, id },
    message_type: message.message_type,
    conversation_id: message.conversation_id,
    correlation_id: message.correlation_id,
  });
}

/**
 * The body to send in place of `message.body`. With a `nonce` that is the caller's own, the same
 * message under it is the same bytes, so that it can be sent again; otherwise no two are the same.
 */
export async function encryptBody(
  message: RoutedMessage & { body: JsonObject },
  senderId: string,
  key: EncryptionKey,
  readers: readonly Reader[],
  nonce?: string,
): Promise<JsonObject> {
  if (readers.length < 1 || readers.length > MAX_READERS) {
    throw new EkhoArgumentError(`a message is encrypted to 1 to ${MAX_READERS} readers`);
  }
  if (!isObject(message.body)) throw new EkhoArgumentError('a body is an object');
  const text = JSON.stringify(message.body);
  // Its readers would not take it otherwise.
  canonicalJson(JSON.parse(text));
  const context = encryptionContext(message, senderId);
  const info = encodeUtf8(context);
  const plaintext = encodeUtf8(text);
  const derive = await derivation(context, plaintext, key, readers, nonce);
  const contentKey = await derive('content key', KEY_BYTES);
  const ciphertext = await sealOnce(contentKey, info, plaintext);
  const about = new Uint8Array(await crypto.subtle.digest('SHA-256', ciphertext));
  const sealed: JsonObject[] = [];
  for (const { agentId, key: reader } of readers) {
    const ikm = await derive(`ephemeral key\n${agentId}\n${reader.keyId}`, 32);
    const wrapped = await seal(reader.raw, info, about, contentKey, ikm);
    sealed.push({
      agent_id: agentId,
      key_id: reader.keyId,
      enc: toBase64(wrapped.enc),
      key: toBase64(wrapped.ciphertext),
    });
  }
  return {
    [FIELD]: {
      type: FORM,
      recipient: message.recipient,
      readers: sealed,
      ciphertext: toBase64(ciphertext),
    },
  };
}

/**
 * Keys that are random to everybody else, and the same again for the same message: of the sender's
 * seed and all that is sealed, so that no key ever seals two different things.
 */
async function derivation(
  context: string,
  plaintext: Bytes,
  key: EncryptionKey,
  readers: readonly Reader[],
  nonce: string | undefined,
): Promise<(what: string, length: number) => Promise<Bytes>> {
  const transcript = canonicalJson({
    context,
    plaintext_sha256: await sha256Hex(plaintext),
    readers: readers.map(({ agentId, key: { keyId } }) => [agentId, keyId]),
    nonce: nonce ?? hex(crypto.getRandomValues(new Uint8Array(32))),
    fresh: nonce === undefined,
  });
  const digest = await sha256Hex(encodeUtf8(transcript));
  return (what, length) => key._derive(`${what}\n${digest}`, length);
}

/** Whether a body is an encrypted one, of whatever form. */
export function isEncrypted(body: unknown): body is Record<typeof FIELD, unknown> {
  return isObject(body) && FIELD in body && Object.keys(body).length === 1;
}

/** What is looked at of a message in the inbox. */
export interface EncryptedMessage {
  sender_agent_id: string | null;
  message_type: string;
  conversation_id: string;
  correlation_id: string;
  body: unknown;
}

/**
 * The body as it was before it was encrypted, and the id of the key that opened it. Throws
 * EkhoEncryptionError.
 */
export async function decryptBody(
  message: EncryptedMessage,
  selfAgentId: string,
  keys: readonly EncryptionKey[],
): Promise<{ body: JsonObject; keyId: string }> {
  const sealed = isEncrypted(message.body) ? message.body[FIELD] : undefined;
  if (!isObject(sealed) || sealed['type'] !== FORM) throw failed('unknown_form');
  const { recipient, readers } = sealed;
  const ciphertext = bytes(sealed['ciphertext']);
  if (!isObject(recipient) || !Array.isArray(readers) || !ciphertext) throw failed('unknown_form');
  if (keys.length === 0) throw failed('no_key');
  const mine = readers
    .slice(0, MAX_READERS)
    .filter((reader): reader is JsonObject => isObject(reader) && reader['agent_id'] === selfAgentId);
  if (mine.length === 0) throw failed('not_a_reader');
  const held = (reader: JsonObject): EncryptionKey | undefined =>
    keys.find(({ keyId }) => keyId === reader['key_id']);
  const reader = mine.find(held);
  const key = reader && held(reader);
  if (!key) throw failed('unknown_key');
  let plaintext: Bytes;
  try {
    const routed = { ...message, recipient: recipient as unknown as Recipient };
    const info = encodeUtf8(encryptionContext(routed, message.sender_agent_id ?? ''));
    const about = new Uint8Array(await crypto.subtle.digest('SHA-256', ciphertext));
    const [enc, wrapped] = [bytes(reader['enc']), bytes(reader['key'])];
    if (!enc || !wrapped) throw new OpenError();
    const contentKey = await key._open(enc, info, about, wrapped);
    plaintext = await openOnce(contentKey, info, ciphertext);
  } catch (error) {
    if (error instanceof OpenError || error instanceof EkhoArgumentError) throw failed('altered');
    throw error;
  }
  return { body: readBody(plaintext), keyId: key.keyId };
}

/**
 * A sender may have encrypted what the relay would not have let pass, and what others read otherwise:
 * what is no UTF-8, begins with a byte order mark, or has no canonical form.
 */
function readBody(plaintext: Bytes): JsonObject {
  let body: unknown;
  try {
    body = JSON.parse(UTF_8.decode(plaintext));
    canonicalJson(body);
  } catch {
    throw failed('unknown_form');
  }
  if (!isObject(body)) throw failed('unknown_form');
  return body;
}

function failed(reason: DecryptionFailure): EkhoEncryptionError {
  return new EkhoEncryptionError('decryption_failed', WHY[reason], reason);
}

function bytes(text: unknown): Bytes | undefined {
  return typeof text === 'string' ? fromBase64(text) : undefined;
}
