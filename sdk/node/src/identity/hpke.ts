// HPKE (RFC 9180) in the one form that is used here: base mode, DHKEM(X25519, HKDF-SHA256),
// HKDF-SHA256, AES-128-GCM, one message a context. On WebCrypto, which has all primitives of it.

import { EkhoArgumentError } from '../errors.js';
import { type Bytes, encodeUtf8 } from '../signing.js';
import { type KeyPair, keyPairOf } from './raw.js';

const HASH_BYTES = 32;
export const KEY_BYTES = 16;
const NONCE_BYTES = 12;
const KEM = concat(encodeUtf8('KEM'), twoBytes(0x0020));
const HPKE = concat(encodeUtf8('HPKE'), twoBytes(0x0020), twoBytes(0x0001), twoBytes(0x0001));
const VERSION = encodeUtf8('HPKE-v1');
const NONE: Bytes = new Uint8Array(0);
const BASE_MODE: Bytes = new Uint8Array([0]);

/** What was to be opened is not what was sealed, or not for this key. */
export class OpenError extends Error {}

export function concat(...parts: readonly Uint8Array[]): Bytes {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function twoBytes(number: number): Bytes {
  return new Uint8Array([number >> 8, number & 0xff]);
}

async function hmac(key: Bytes, data: Bytes): Promise<Bytes> {
  const algorithm = { name: 'HMAC', hash: 'SHA-256' };
  const imported = await crypto.subtle.importKey('raw', key, algorithm, false, ['sign']);
  return new Uint8Array(await crypto.subtle.sign('HMAC', imported, data));
}

/** HKDF-Extract with SHA-256 (RFC 5869). No salt is one of zeros, which WebCrypto wants to see. */
export function extract(salt: Bytes, ikm: Bytes): Promise<Bytes> {
  return hmac(salt.length === 0 ? new Uint8Array(HASH_BYTES) : salt, ikm);
}

/** HKDF-Expand with SHA-256, up to one block (RFC 5869). */
export async function expand(prk: Bytes, info: Bytes, length: number): Promise<Bytes> {
  return (await hmac(prk, concat(info, new Uint8Array([1])))).slice(0, length);
}

function labeledExtract(suite: Bytes, salt: Bytes, label: string, ikm: Bytes): Promise<Bytes> {
  return extract(salt, concat(VERSION, suite, encodeUtf8(label), ikm));
}

function labeledExpand(
  suite: Bytes,
  prk: Bytes,
  label: string,
  info: Bytes,
  length: number,
): Promise<Bytes> {
  return expand(prk, concat(twoBytes(length), VERSION, suite, encodeUtf8(label), info), length);
}

export function keyPair(secret: Bytes): Promise<KeyPair> {
  return keyPairOf('X25519', secret);
}

/** DeriveKeyPair (section 7.1.3), the private half. */
export async function deriveSecret(ikm: Bytes): Promise<Bytes> {
  return labeledExpand(KEM, await labeledExtract(KEM, NONE, 'dkp_prk', ikm), 'sk', NONE, 32);
}

/** Fails for the few keys with which the outcome would be no secret. */
async function exchange(privateKey: CryptoKey, publicKey: Bytes): Promise<Bytes> {
  const peer = await crypto.subtle.importKey('raw', publicKey, 'X25519', true, []);
  const algorithm = { name: 'X25519', public: peer };
  const shared = new Uint8Array(await crypto.subtle.deriveBits(algorithm, privateKey, 256));
  if (shared.every((byte) => byte === 0)) throw new OpenError();
  return shared;
}

/** Key and nonce of the first message. */
async function context(
  shared: Bytes,
  enc: Bytes,
  publicKey: Bytes,
  info: Bytes,
): Promise<{ key: Bytes; nonce: Bytes }> {
  const kemPrk = await labeledExtract(KEM, NONE, 'eae_prk', shared);
  const secret = await labeledExpand(KEM, kemPrk, 'shared_secret', concat(enc, publicKey), 32);
  const pskIdHash = await labeledExtract(HPKE, NONE, 'psk_id_hash', NONE);
  const infoHash = await labeledExtract(HPKE, NONE, 'info_hash', info);
  const schedule = concat(BASE_MODE, pskIdHash, infoHash);
  const prk = await labeledExtract(HPKE, secret, 'secret', NONE);
  return {
    key: await labeledExpand(HPKE, prk, 'key', schedule, KEY_BYTES),
    nonce: await labeledExpand(HPKE, prk, 'base_nonce', schedule, NONCE_BYTES),
  };
}

/** The encapsulated key and the ciphertext. The ephemeral key is made of `ephemeralIkm`. */
export async function seal(
  publicKey: Bytes,
  info: Bytes,
  aad: Bytes,
  plaintext: Bytes,
  ephemeralIkm: Bytes,
): Promise<{ enc: Bytes; ciphertext: Bytes }> {
  const ephemeral = await keyPair(await deriveSecret(ephemeralIkm));
  let shared: Bytes;
  try {
    shared = await exchange(ephemeral.privateKey, publicKey);
  } catch {
    throw new EkhoArgumentError('this is no key to encrypt to');
  }
  const enc = ephemeral.publicKey;
  const { key, nonce } = await context(shared, enc, publicKey, info);
  return { enc, ciphertext: await gcm('encrypt', key, nonce, aad, plaintext) };
}

/** Throws OpenError. */
export async function open(
  { privateKey, publicKey }: KeyPair,
  enc: Bytes,
  info: Bytes,
  aad: Bytes,
  ciphertext: Bytes,
): Promise<Bytes> {
  try {
    const shared = await exchange(privateKey, enc);
    const { key, nonce } = await context(shared, enc, publicKey, info);
    return await gcm('decrypt', key, nonce, aad, ciphertext);
  } catch {
    throw new OpenError();
  }
}

/** AES-128-GCM under a key that seals nothing else, so that its nonce is zero. */
export function sealOnce(key: Bytes, aad: Bytes, plaintext: Bytes): Promise<Bytes> {
  return gcm('encrypt', key, new Uint8Array(NONCE_BYTES), aad, plaintext);
}

/** Throws OpenError. */
export async function openOnce(key: Bytes, aad: Bytes, ciphertext: Bytes): Promise<Bytes> {
  try {
    return await gcm('decrypt', key, new Uint8Array(NONCE_BYTES), aad, ciphertext);
  } catch {
    throw new OpenError();
  }
}

async function gcm(
  does: 'encrypt' | 'decrypt',
  key: Bytes,
  nonce: Bytes,
  aad: Bytes,
  text: Bytes,
): Promise<Bytes> {
  const imported = await crypto.subtle.importKey('raw', key, 'AES-GCM', false, [does]);
  const algorithm = { name: 'AES-GCM', iv: nonce, additionalData: aad };
  return new Uint8Array(await crypto.subtle[does](algorithm, imported, text));
}
