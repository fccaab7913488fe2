// Ed25519 keys of agents and operators: how they are written, what their ids are, and signing with
// one (RFC 8032, through WebCrypto).

import { EkhoArgumentError } from '../errors.js';
import { type Bytes, hex } from '../signing.js';
import { fromBase64, keyPairOf, toBase64 } from './raw.js';

const KEY_BYTES = 32;
/** What stands before the 32 bytes in a SubjectPublicKeyInfo. */
const SPKI_HEAD = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/** A public key, however it was written: base64 of its SubjectPublicKeyInfo or of the 32 bytes. */
export class PublicKey {
  readonly #raw: Bytes;
  /** `key_` and the first 16 bytes of SHA-256 of the 32 bytes, in hex. */
  readonly keyId: string;
  #imported: Promise<CryptoKey> | undefined;

  private constructor(raw: Bytes, keyId: string) {
    this.#raw = raw;
    this.keyId = keyId;
  }

  static async parse(text: string): Promise<PublicKey> {
    const bytes = fromBase64(text);
    const head = SPKI_HEAD.length;
    if (bytes?.length === KEY_BYTES) return PublicKey.ofBytes(bytes);
    if (
      bytes?.length === head + KEY_BYTES &&
      SPKI_HEAD.every((byte, index) => bytes[index] === byte)
    ) {
      return PublicKey.ofBytes(bytes.slice(head));
    }
    throw new EkhoArgumentError('no Ed25519 public key in base64');
  }

  static async ofBytes(raw: Bytes): Promise<PublicKey> {
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', raw));
    return new PublicKey(raw, `key_${hex(digest.subarray(0, 16))}`);
  }

  /** Base64 of the SubjectPublicKeyInfo. */
  toString(): string {
    return toBase64(new Uint8Array([...SPKI_HEAD, ...this.#raw]));
  }

  async verify(signature: string, bytes: Bytes): Promise<boolean> {
    const raw = fromBase64(signature);
    if (raw?.length !== 64) return false;
    this.#imported ??= crypto.subtle.importKey('raw', this.#raw, 'Ed25519', true, ['verify']);
    try {
      return await crypto.subtle.verify('Ed25519', await this.#imported, raw, bytes);
    } catch {
      return false;
    }
  }
}

/** An agent's identity: a key pair whose public half is registered with the relay. */
export class AgentIdentity {
  readonly publicKey: PublicKey;
  readonly #key: CryptoKey;

  private constructor(publicKey: PublicKey, key: CryptoKey) {
    this.publicKey = publicKey;
    this.#key = key;
  }

  get keyId(): string {
    return this.publicKey.keyId;
  }

  /** A new identity, and the seed to keep: whoever has it can sign as this agent. */
  static async generate(): Promise<{ identity: AgentIdentity; seed: string }> {
    const seed = crypto.getRandomValues(new Uint8Array(KEY_BYTES));
    return { identity: await AgentIdentity.#ofSeed(seed), seed: toBase64(seed) };
  }

  /** The identity of a seed: 32 bytes in base64. */
  static async fromSeed(seed: string): Promise<AgentIdentity> {
    const bytes = fromBase64(seed);
    if (bytes?.length !== KEY_BYTES) {
      throw new EkhoArgumentError('the seed of an identity is 32 bytes in base64');
    }
    return AgentIdentity.#ofSeed(bytes);
  }

  static async #ofSeed(seed: Bytes): Promise<AgentIdentity> {
    const { privateKey, publicKey } = await keyPairOf('Ed25519', seed);
    return new AgentIdentity(await PublicKey.ofBytes(publicKey), privateKey);
  }

  /** The signature in base64. */
  async sign(bytes: Bytes): Promise<string> {
    return toBase64(new Uint8Array(await crypto.subtle.sign('Ed25519', this.#key, bytes)));
  }
}
