// What keys of both kinds are made of: base64, and key pairs of 32 bytes through WebCrypto.

import { EkhoArgumentError } from '../errors.js';
import type { Bytes } from '../signing.js';

const KEY_BYTES = 32;
/** What tells the algorithms apart in a PKCS #8 (RFC 8410), and what its private half does. */
const ALGORITHMS = {
  Ed25519: { oid: 0x70, usages: ['sign'] },
  X25519: { oid: 0x6e, usages: ['deriveBits'] },
} as const;

export function toBase64(bytes: Uint8Array): string {
  let binary = '';
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}

/** Base64 or base64url, padded or not; undefined where it is neither. */
export function fromBase64(text: string): Bytes | undefined {
  try {
    const binary = atob(text.replaceAll('-', '+').replaceAll('_', '/').replace(/=+$/, ''));
    return Uint8Array.from(binary, (char) => char.charCodeAt(0));
  } catch {
    return undefined;
  }
}

/** A key pair; the private half cannot be read back. */
export interface KeyPair {
  privateKey: CryptoKey;
  publicKey: Bytes;
}

/** The key pair of a secret of 32 bytes. */
export async function keyPairOf(
  name: keyof typeof ALGORITHMS,
  secret: Bytes,
): Promise<KeyPair> {
  const { oid, usages } = ALGORITHMS[name];
  const pkcs8 = new Uint8Array([
    ...[0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, oid, 0x04, 0x22, 0x04, 0x20],
    ...secret,
  ]);
  // Its public half is only told by an export; what is kept cannot be exported.
  const readable = await crypto.subtle.importKey('pkcs8', pkcs8, name, true, usages);
  const publicKey = fromBase64((await crypto.subtle.exportKey('jwk', readable)).x ?? '');
  if (publicKey?.length !== KEY_BYTES) throw new EkhoArgumentError(`the seed gives no ${name} key`);
  const privateKey = await crypto.subtle.importKey('pkcs8', pkcs8, name, false, usages);
  return { privateKey, publicKey };
}
