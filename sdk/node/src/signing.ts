// The signature of a request (docs/agent-api.md, Signing). WebCrypto only, so that it runs on Node,
// Deno, Bun and in browsers alike. Test vectors: sdk/vectors/signing.json.

import { EkhoArgumentError } from './errors.js';

const utf8 = new TextEncoder();

/** Bytes as WebCrypto and fetch take them. */
export type Bytes = Uint8Array<ArrayBuffer>;

export const NO_BODY: Bytes = new Uint8Array(0);

/** The headers of one signed try. */
export interface SignatureHeaders {
  'x-ekho-agent-id': string;
  'x-ekho-timestamp': string;
  'x-ekho-nonce': string;
  'x-ekho-signature': string;
}

/** What is signed: five lines. The query string is left out, percent-encoding stays as sent. */
export async function canonicalRequest(
  method: string,
  target: string,
  timestamp: string,
  nonce: string,
  body: Bytes,
): Promise<string> {
  const path = target.split('?', 1)[0] ?? target;
  return `${method}\n${path}\n${timestamp}\n${nonce}\n${await sha256Hex(body)}`;
}

/** Signs requests of one agent. The secret is kept as a key that cannot be read back. */
export class Signer {
  readonly agentId: string;
  readonly #key: Promise<CryptoKey>;

  constructor(agentId: string, secret: string) {
    if (!/^[\x21-\x7e]+$/.test(agentId)) {
      throw new EkhoArgumentError('agentId is missing, or no visible ASCII');
    }
    if (typeof secret !== 'string' || secret === '') {
      throw new EkhoArgumentError('secret is missing');
    }
    this.agentId = agentId;
    this.#key = crypto.subtle.importKey(
      'raw',
      utf8.encode(secret),
      { name: 'HMAC', hash: 'SHA-256' },
      false,
      ['sign'],
    );
    // Whoever signs first hears of a failure; without this it would also end the process.
    this.#key.catch(() => undefined);
  }

  /** Signs one try. `now` and `nonce` are for tests: each try needs fresh ones. */
  async sign(
    method: string,
    target: string,
    body: Bytes = NO_BODY,
    { timestamp = new Date().toISOString(), nonce = crypto.randomUUID() as string } = {},
  ): Promise<SignatureHeaders> {
    const canonical = await canonicalRequest(method, target, timestamp, nonce, body);
    const mac = await crypto.subtle.sign('HMAC', await this.#key, utf8.encode(canonical));
    return {
      'x-ekho-agent-id': this.agentId,
      'x-ekho-timestamp': timestamp,
      'x-ekho-nonce': nonce,
      'x-ekho-signature': hex(new Uint8Array(mac)),
    };
  }
}

export async function sha256Hex(bytes: Bytes): Promise<string> {
  return hex(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)));
}

export function hex(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += byte.toString(16).padStart(2, '0');
  return text;
}

export function encodeUtf8(text: string): Bytes {
  return utf8.encode(text);
}
