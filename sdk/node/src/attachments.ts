// Attachments: how a file goes up, as base64 within JSON, and comes down, as bytes.

import { EkhoArgumentError } from './errors.js';
import type { Bytes } from './signing.js';
import type { AttachmentUploadInput, JsonObject } from './types.js';

export interface Downloaded {
  /** A Buffer on Node. */
  bytes: Uint8Array;
  filename: string;
  mime: string;
}

const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

export function uploadBody(input: AttachmentUploadInput): JsonObject {
  const { filename, mime, dataBase64 } = input;
  if (dataBase64.length % 4 !== 0 || !BASE64.test(dataBase64)) {
    throw new EkhoArgumentError('dataBase64 is no base64');
  }
  const padding = dataBase64.endsWith('==') ? 2 : dataBase64.endsWith('=') ? 1 : 0;
  // The relay holds it against what it decoded.
  const size_bytes = (dataBase64.length / 4) * 3 - padding;
  return { filename, mime, size_bytes, data_base64: dataBase64 };
}

export function downloaded(id: string, answer: { bytes: Bytes; headers: Headers }): Downloaded {
  const disposition = answer.headers.get('content-disposition') ?? '';
  const runtime = globalThis as { Buffer?: { from(bytes: ArrayBuffer): Uint8Array } };
  return {
    bytes: runtime.Buffer?.from(answer.bytes.buffer) ?? answer.bytes,
    filename: /filename="([^"]+)"/.exec(disposition)?.[1] ?? id,
    mime: answer.headers.get('content-type') ?? 'application/octet-stream',
  };
}
