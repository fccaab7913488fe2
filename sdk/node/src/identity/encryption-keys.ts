// X25519 keys that agents encrypt to: what their ids are, how an identity key vouches for one, and
// which one of an agent to believe (docs/encryption.md).

import { EkhoArgumentError, EkhoEncryptionError } from '../errors.js';
import { type Bytes, encodeUtf8, hex } from '../signing.js';
import type { EncryptionKeyEntry } from '../types.js';
import { deriveSecret, expand, extract, keyPair, open } from './hpke.js';
import type { KeyRing } from './keyring.js';
import type { AgentIdentity } from './keys.js';
import { fromBase64, type KeyPair, toBase64 } from './raw.js';

const KEY_BYTES = 32;
const FORM = 'ekho-encryption-key-v1';
/** Salt of what else is derived of a seed; see encrypt.ts. */
const DERIVATION_SALT = encodeUtf8('ekho-encrypted-v1');

/** The public half: base64 of 32 bytes. */
export class PublicEncryptionKey {
  readonly raw: Bytes;
  /** `xkey_` and the first 16 bytes of SHA-256 of the 32 bytes, in hex. */
  readonly keyId: string;

  private constructor(raw: Bytes, keyId: string) {
    this.raw = raw;
    this.keyId = keyId;
  }

  static async parse(text: string): Promise<PublicEncryptionKey> {
    const raw = fromBase64(text);
    if (raw?.length !== KEY_BYTES) throw new EkhoArgumentError('no X25519 public key in base64');
    return PublicEncryptionKey.ofBytes(raw);
  }

  static async ofBytes(raw: Bytes): Promise<PublicEncryptionKey> {
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', raw));
    return new PublicEncryptionKey(raw, `xkey_${hex(digest.subarray(0, 16))}`);
  }

  toString(): string {
    return toBase64(this.raw);
  }
}

/** An agent's key pair to encrypt to, whose public half is published through the relay. */
export class EncryptionKey {
  readonly publicKey: PublicEncryptionKey;
  readonly #pair: KeyPair;
  /** What keys are derived of that only this agent can derive. */
  readonly #derivation: Bytes;

  private constructor(publicKey: PublicEncryptionKey, pair: KeyPair, derivation: Bytes) {
    this.publicKey = publicKey;
    this.#pair = pair;
    this.#derivation = derivation;
  }

  /** @internal Throws OpenError. */
  _open(enc: Bytes, info: Bytes, aad: Bytes, ciphertext: Bytes): Promise<Bytes> {
    return open(this.#pair, enc, info, aad, ciphertext);
  }

  /** @internal */
  _derive(what: string, length: number): Promise<Bytes> {
    return expand(this.#derivation, encodeUtf8(what), length);
  }

  get keyId(): string {
    return this.publicKey.keyId;
  }

  /** A new key, and the seed to keep: whoever has it can read what is encrypted to it. */
  static async generate(): Promise<{ key: EncryptionKey; seed: string }> {
    const seed = crypto.getRandomValues(new Uint8Array(KEY_BYTES));
    return { key: await EncryptionKey.#ofSeed(seed), seed: toBase64(seed) };
  }

  /** The key of a seed: 32 bytes in base64. */
  static async fromSeed(seed: string): Promise<EncryptionKey> {
    const bytes = fromBase64(seed);
    if (bytes?.length !== KEY_BYTES) {
      throw new EkhoArgumentError('the seed of an encryption key is 32 bytes in base64');
    }
    return EncryptionKey.#ofSeed(bytes);
  }

  static async #ofSeed(seed: Bytes): Promise<EncryptionKey> {
    const pair = await keyPair(await deriveSecret(seed));
    const publicKey = await PublicEncryptionKey.ofBytes(pair.publicKey);
    return new EncryptionKey(publicKey, pair, await extract(DERIVATION_SALT, seed));
  }
}

/** What an agent signs with its identity key to say that this key is its own. */
export function encryptionKeyStatement(
  fleetId: string,
  agentId: string,
  byKeyId: string,
  key: PublicEncryptionKey,
): string {
  return [FORM, fleetId, agentId, byKeyId, key.keyId, String(key)].join('\n');
}

/** The fields that go with the key when it is published. */
export async function signEncryptionKey(
  key: PublicEncryptionKey,
  { fleetId, agentId, identity }: { fleetId: string; agentId: string; identity: AgentIdentity },
): Promise<{ signed_by_key_id: string; signature: string }> {
  const statement = encryptionKeyStatement(fleetId, agentId, identity.keyId, key);
  const signature = await identity.sign(encodeUtf8(statement));
  return { signed_by_key_id: identity.keyId, signature };
}

/**
 * The key to encrypt to, of those that the relay names. With a ring, one of the agent's identity keys
 * in it has to vouch for the key; without one, the relay's word counts.
 */
export async function chosenKey(
  agentId: string,
  entries: readonly EncryptionKeyEntry[],
  keyRing: KeyRing | undefined,
): Promise<PublicEncryptionKey> {
  const current = entries.find((entry) => entry.current);
  if (!current || current.revoked_at) {
    const text = `${agentId} has published no encryption key`;
    throw new EkhoEncryptionError('no_encryption_key', text);
  }
  const key = await PublicEncryptionKey.parse(current.public_key);
  if (keyRing && !(await vouchedFor(agentId, key, current, keyRing))) {
    const text = `no identity key of ${agentId} that is believed signed its encryption key`;
    throw new EkhoEncryptionError('encryption_key_not_trusted', text);
  }
  return key;
}

async function vouchedFor(
  agentId: string,
  key: PublicEncryptionKey,
  { signed_by_key_id: byKeyId, signature }: EncryptionKeyEntry,
  ring: KeyRing,
): Promise<boolean> {
  if (!byKeyId || !signature || ring.isRevoked(byKeyId)) return false;
  const by = ring.agentKeys(agentId).find(({ keyId }) => keyId === byKeyId);
  const statement = encryptionKeyStatement(ring.fleetId, agentId, byKeyId, key);
  return (await by?.verify(signature, encodeUtf8(statement))) ?? false;
}
