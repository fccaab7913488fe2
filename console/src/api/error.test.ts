// @vitest-environment node
import { describe, expect, it } from 'vitest';
import { ApiError, asApiError, errorOf } from './error';
import { makeQueryClient } from './query';

const answer = (status: number, headers: Record<string, string> = {}) =>
  new Response(null, { status, headers });

describe('errorOf', () => {
  it('keeps code, request id and how long to wait', () => {
    const error = errorOf(
      { error: 'no leader', code: 'no_leader', request_id: 'req_1', retry_after_seconds: 2 },
      answer(503, { 'retry-after': '1' }),
    );
    expect(error).toMatchObject({ code: 'no_leader', status: 503, requestId: 'req_1', retryAfterSeconds: 2 });
    expect(error.worthRetrying).toBe(true);
  });

  it('reads what is wrong with which field', () => {
    const error = errorOf(
      {
        error: { formErrors: ['too few'], fieldErrors: { 'rule.action': ['unknown', 'empty'] } },
        code: 'validation_failed',
      },
      answer(400),
    );
    expect(error.fields).toEqual({ 'rule.action': 'unknown; empty' });
    expect(error.message).toBe('too few. rule.action: unknown; empty');
  });

  it('names the scope or the feature that is missing', () => {
    expect(errorOf({ error: 'no', code: 'forbidden', scope: 'cluster' }, answer(403)).detail).toBe('cluster');
    expect(errorOf({ error: 'no', code: 'license_required', feature: 'analytics' }, answer(403)).detail).toBe(
      'analytics',
    );
  });

  it('says of anything else that it is not understood, with the request id of its header', () => {
    const error = errorOf('<html>', answer(502, { 'x-request-id': 'req_2', 'retry-after': '3' }));
    expect(error).toMatchObject({ code: 'unexpected_answer', requestId: 'req_2', retryAfterSeconds: 3 });
  });
});

it('tells apart what kept an answer from coming', () => {
  expect(asApiError(new TypeError('Failed to fetch')).code).toBe('unreachable');
  expect(asApiError(new DOMException('late', 'TimeoutError')).code).toBe('no_answer_in_time');
  expect(asApiError(new Error('odd')).code).toBe('unexpected_answer');
});

describe('what is tried again', () => {
  const error = (code: ApiError['code']) => new ApiError(code, '', 503, null, null);
  const options = makeQueryClient(() => undefined).getDefaultOptions();
  const retriesQuery = options.queries?.retry as (failures: number, thrown: unknown) => boolean;
  const retriesChange = options.mutations?.retry as (failures: number, thrown: unknown) => boolean;

  it('asks again where nothing was done, a few times', () => {
    expect(retriesQuery(0, error('no_leader'))).toBe(true);
    expect(retriesQuery(0, new TypeError('Failed to fetch'))).toBe(true);
    expect(retriesQuery(3, error('no_leader'))).toBe(false);
    expect(retriesQuery(0, error('forbidden'))).toBe(false);
  });

  it('never repeats a change whose outcome is not known', () => {
    expect(retriesChange(0, error('no_leader'))).toBe(true);
    expect(retriesChange(0, error('outcome_unknown'))).toBe(false);
    expect(retriesChange(0, error('unreachable'))).toBe(false);
    expect(retriesChange(0, new TypeError('Failed to fetch'))).toBe(false);
  });
});

it('tells of a lost session once it is lost, and of nothing else', async () => {
  let told = 0;
  const client = makeQueryClient(() => (told += 1));
  const fail = (code: ApiError['code']) =>
    client
      .fetchQuery({
        queryKey: [code],
        queryFn: () => Promise.reject(new ApiError(code, '', 401, null)),
        retry: false,
      })
      .catch(() => undefined);
  await fail('forbidden');
  expect(told).toBe(0);
  await fail('not_signed_in');
  expect(told).toBe(1);
});
