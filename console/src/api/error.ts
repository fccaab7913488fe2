// What goes wrong between the console and the relay, in one shape: a stable code, a sentence for
// people, and the request id by which the relay's log finds it.
import type { components } from './schema';

type ErrorBody = components['schemas']['ErrorBody'];
/** The relay's codes, and two of the console's own where no answer came. */
export type ErrorCode = ErrorBody['code'] | 'unreachable' | 'no_answer_in_time' | 'unexpected_answer';

/** Fields by name, each with what is wrong with it. */
export type FieldProblems = Record<string, string>;

export class ApiError extends Error {
  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly status: number,
    readonly requestId: string | null,
    readonly retryAfterSeconds: number | null = null,
    readonly fields: FieldProblems = {},
    readonly detail: string | null = null,
  ) {
    super(message);
    this.name = 'ApiError';
  }

  /** Nothing was done and the same request may succeed in a moment. */
  get worthRetrying(): boolean {
    return ['no_leader', 'overloaded', 'stopping', 'extension_unavailable', 'too_many_connections'].includes(
      this.code,
    );
  }
}

function isErrorBody(body: unknown): body is ErrorBody {
  return typeof body === 'object' && body !== null && 'code' in body && 'error' in body;
}

/** Reads an answer that is not 2xx. */
export function errorOf(body: unknown, response: Response): ApiError {
  const headerId = response.headers.get('x-request-id');
  const headerWait = Number(response.headers.get('retry-after'));
  const wait = Number.isFinite(headerWait) && headerWait > 0 ? headerWait : null;
  if (!isErrorBody(body)) {
    return new ApiError('unexpected_answer', `HTTP ${response.status}`, response.status, headerId, wait);
  }
  const requestId = body.request_id ?? headerId;
  const retry = body.retry_after_seconds ?? wait;
  const detail = body.scope ?? body.feature ?? body.policy ?? body.extension ?? null;
  if (typeof body.error === 'string') {
    return new ApiError(body.code, body.error, response.status, requestId, retry, {}, detail);
  }
  const fields: FieldProblems = {};
  for (const [name, problems] of Object.entries(body.error.fieldErrors)) fields[name] = problems.join('; ');
  const parts = [
    ...body.error.formErrors,
    ...Object.entries(fields).map(([name, what]) => `${name}: ${what}`),
  ];
  return new ApiError(body.code, parts.join('. '), response.status, requestId, retry, fields, detail);
}

/** Anything thrown, as an error that can be shown. */
export function asApiError(thrown: unknown): ApiError {
  if (thrown instanceof ApiError) return thrown;
  if (thrown instanceof DOMException && thrown.name === 'TimeoutError') {
    return new ApiError('no_answer_in_time', thrown.message, 0, null);
  }
  // fetch throws TypeError for everything that kept an answer from coming.
  if (thrown instanceof TypeError && /fetch|network|load/i.test(thrown.message)) {
    return new ApiError('unreachable', thrown.message, 0, null);
  }
  return new ApiError(
    'unexpected_answer',
    thrown instanceof Error ? thrown.message : String(thrown),
    0,
    null,
  );
}
