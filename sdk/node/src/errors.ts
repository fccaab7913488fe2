// The one family of errors. Everything that a call of this package throws is an EkhoError with a
// `code`, but for an abort, which throws the reason that the caller's signal gives.

import type { DecryptionFailure } from './identity/encrypt.js';

/** What a validation failure (400 `validation_failed`) says of each field. */
export interface ValidationFailure {
  formErrors: string[];
  fieldErrors: Record<string, string[]>;
}

/** Longest text of an answer that goes into a message. */
const MAX_TEXT_CHARS = 500;

export class EkhoError extends Error {
  override readonly name: string = 'EkhoError';
  /** Stable name of what went wrong. For a refusal it is the relay's own code. */
  readonly code: string;

  constructor(code: string, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

/** Input that cannot be sent; nothing was. Code: `invalid_argument`. */
export class EkhoArgumentError extends EkhoError {
  override readonly name = 'EkhoArgumentError';

  constructor(message: string) {
    super('invalid_argument', message);
  }
}

/** The relay answered, and the answer is a refusal: any status but 2xx. */
export class EkhoRequestError extends EkhoError {
  override readonly name = 'EkhoRequestError';
  /** Path of the call, with its query string. */
  readonly path: string;
  readonly statusCode: number;
  /** The text of the answer, cut after 64 KiB. */
  readonly body: string;
  /** Id under which the relay logged the request. */
  readonly requestId: string | undefined;
  /** How long the relay asks to wait: Retry-After, else the field of that name. */
  readonly retryAfterSeconds: number | undefined;
  /** Which fields are wrong, for a validation failure. */
  readonly validation: ValidationFailure | undefined;
  readonly #fields: Record<string, unknown>;

  constructor(
    path: string,
    statusCode: number,
    body: string,
    headers: { retryAfter?: string | null; requestId?: string | null } = {},
  ) {
    const fields = readObject(body);
    const code = fields['code'];
    super(
      typeof code === 'string' ? code : `http_${statusCode}`,
      `Ekho request failed for ${path}: ${statusCode} ${body.slice(0, MAX_TEXT_CHARS)}`,
    );
    this.path = path;
    this.statusCode = statusCode;
    this.body = body;
    this.requestId = text(fields['request_id']) ?? headers.requestId ?? undefined;
    this.retryAfterSeconds = seconds(headers.retryAfter) ?? seconds(fields['retry_after_seconds']);
    this.validation = readValidation(fields['error']);
    this.#fields = fields;
  }

  /** A further field of the answer, such as `policy`, `extension` or `state`. */
  field(name: string): unknown {
    return this.#fields[name];
  }
}

/**
 * No usable answer came. Codes: `connection_failed`, `timeout`, `answer_too_large`,
 * `answer_not_understood`.
 */
export class EkhoConnectionError extends EkhoError {
  override readonly name = 'EkhoConnectionError';
  readonly path: string;
  /** True where the request surely never left: no connection came about. */
  readonly unsent: boolean;

  constructor(
    code: 'connection_failed' | 'timeout' | 'answer_too_large' | 'answer_not_understood',
    path: string,
    message: string,
    options: { cause?: unknown; unsent?: boolean } = {},
  ) {
    super(code, `${path}: ${message}`, options.cause === undefined ? {} : { cause: options.cause });
    this.path = path;
    this.unsent = options.unsent ?? false;
  }
}

/**
 * An action may not be taken, or an adapter cannot go on. Codes: `action_denied`,
 * `action_rejected`, `action_cancelled`, `action_expired`, `action_failed`, `agent_paused`,
 * `adapter_stopped`.
 */
export class EkhoActionError extends EkhoError {
  override readonly name = 'EkhoActionError';
  readonly approvalId: string | undefined;

  constructor(code: string, message: string, approvalId?: string) {
    super(code, message);
    this.approvalId = approvalId;
  }
}

/**
 * A body cannot be encrypted or decrypted. Codes: `no_encryption_key`, `encryption_key_not_trusted`;
 * nothing was sent. `decryption_failed` with a `reason`.
 */
export class EkhoEncryptionError extends EkhoError {
  override readonly name = 'EkhoEncryptionError';
  readonly reason: DecryptionFailure | undefined;

  constructor(
    code: 'no_encryption_key' | 'encryption_key_not_trusted' | 'decryption_failed',
    message: string,
    reason?: DecryptionFailure,
  ) {
    super(code, message);
    this.reason = reason;
  }
}

/** Whether the same call may succeed later without any change of it. */
export function isTransient(error: unknown): boolean {
  if (error instanceof EkhoRequestError) {
    return (
      [429, 502, 503, 504].includes(error.statusCode) || error.code === 'timestamp_before_leadership'
    );
  }
  return (
    error instanceof EkhoConnectionError &&
    (error.code === 'connection_failed' || error.code === 'timeout')
  );
}

function readObject(body: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(body);
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function seconds(value: unknown): number | undefined {
  if (value === null || value === undefined || value === '') return undefined;
  const number = Number(value);
  return Number.isFinite(number) && number >= 0 ? number : undefined;
}

function readValidation(error: unknown): ValidationFailure | undefined {
  if (!isObject(error)) return undefined;
  const { formErrors, fieldErrors } = error;
  if (!Array.isArray(formErrors) || !isObject(fieldErrors)) return undefined;
  return {
    formErrors: formErrors.map(String),
    fieldErrors: Object.fromEntries(
      Object.entries(fieldErrors).map(([field, texts]) => [
        field,
        Array.isArray(texts) ? texts.map(String) : [String(texts)],
      ]),
    ),
  };
}
