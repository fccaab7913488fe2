// When a try is repeated, where, and after how long.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EkhoConnectionError, EkhoRequestError } from '../../dist/esm/errors.js';
import { Backoff, judge, run, Targets } from '../../dist/esm/retry.js';

const FAST = { maxRounds: 3, baseDelayMs: 1, maxDelayMs: 2, maxRetryAfterMs: 1000 };
const refusal = (status, code, retryAfter) =>
  new EkhoRequestError('/v1/messages', status, JSON.stringify({ error: 'no', code }), {
    retryAfter,
  });
const broken = (unsent) =>
  new EkhoConnectionError('connection_failed', '/v1/messages', 'no answer', { unsent });

test('verdicts', () => {
  const kinds = (error) => ['harmless', 'only_if_undone'].map((how) => judge(error, how).kind);
  assert.deepEqual(kinds(refusal(429)), ['later', 'later']);
  assert.deepEqual(kinds(refusal(503, 'no_leader')), ['elsewhere', 'elsewhere']);
  assert.deepEqual(kinds(refusal(503, 'outcome_unknown')), ['elsewhere', 'give_up']);
  assert.deepEqual(kinds(refusal(401, 'timestamp_before_leadership')), ['later', 'later']);
  for (const status of [502, 504]) {
    assert.deepEqual(kinds(refusal(status)), ['elsewhere', 'give_up']);
  }
  for (const status of [302, 400, 401, 403, 404, 409, 413, 500]) {
    assert.deepEqual(kinds(refusal(status)), ['give_up', 'give_up'], String(status));
  }
  assert.deepEqual(kinds(broken(true)), ['elsewhere', 'elsewhere']);
  assert.deepEqual(kinds(broken(false)), ['elsewhere', 'give_up']);
  assert.deepEqual(kinds(new Error('of the program itself')), ['give_up', 'give_up']);
  assert.equal(judge(refusal(429, 'rate_limited', '7'), 'harmless').waitMs, 7000);
});

test('delays grow, are bounded, and are never below what the relay asks', () => {
  const most = new Backoff(100, 2000, () => 1);
  const bounds = Array.from({ length: 8 }, () => most.nextDelayMs());
  assert.deepEqual(bounds, [100, 200, 400, 800, 1600, 2000, 2000, 2000]);
  most.reset();
  assert.equal(most.nextDelayMs(5000), 5100);
  assert.equal(new Backoff(100, 2000, () => 0).nextDelayMs(5000), 5000);
  for (let i = 0; i < 2000; i += 1) assert.ok(most.nextDelayMs() <= 2000);
});

test('a round tries every address once, then all again', async () => {
  const targets = new Targets(3);
  const tried = [];
  const failing = run(FAST, targets, 'harmless', async (target) => {
    tried.push(target);
    throw refusal(503, 'no_leader');
  });
  await assert.rejects(failing, { code: 'no_leader' });
  assert.deepEqual(tried, [0, 1, 2, 0, 1, 2, 0, 1, 2]);
});

test('calls stay with the address that answered', async () => {
  const targets = new Targets(2);
  const answer = await run(FAST, targets, 'harmless', async (target) => {
    if (target === 0) throw broken(false);
    return target;
  });
  assert.equal(answer, 1);
  assert.equal(targets.current, 1);
  targets.leave(0);
  assert.equal(targets.current, 1, 'another call had moved on already');
});

test('a Retry-After that is too long is thrown at once', async () => {
  let tries = 0;
  const failing = run(FAST, new Targets(1), 'harmless', async () => {
    tries += 1;
    throw refusal(429, 'rate_limited', '3600');
  });
  await assert.rejects(failing, { code: 'rate_limited', retryAfterSeconds: 3600 });
  assert.equal(tries, 1);
});

test('an abort ends the waiting, with its own reason', async () => {
  const controller = new AbortController();
  const slow = { ...FAST, maxRounds: 100, baseDelayMs: 60_000, maxDelayMs: 60_000 };
  const reason = new Error('not needed any more');
  const waiting = run(slow, new Targets(1), 'harmless', async () => {
    setImmediate(() => controller.abort(reason));
    throw refusal(503, 'overloaded');
  }, controller.signal);
  await assert.rejects(waiting, reason);
});
