// What a real relay cannot be made to do at will: gateways that fail, answers that are no answers.
// And what goes over the wire. Everything else is tested against a relay, see sdk/scenarios.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { inspect } from 'node:util';
import { test } from 'node:test';
import {
  EkhoAgentClient,
  EkhoConnectionError,
  EkhoRequestError,
  EncryptionKey,
  isTransient,
  openTelemetry,
  VERSION,
} from '../../dist/esm/index.js';

const CREDENTIALS = { agentId: 'agent_1', secret: 'very-secret', relayBaseUrl: 'http://a.test' };
const MESSAGE = {
  recipient: { kind: 'agent', id: 'agent_2' },
  message_type: 'direct',
  body: { text: 'Zürich — 東京 🛰' },
  conversation_id: 'c',
};
const FAST = { baseDelayMs: 1, maxDelayMs: 2 };

const json = (status, value, headers = {}) =>
  new Response(JSON.stringify(value), { status, headers });

/** A client whose fetch answers with these, one after the other, and keeps what was asked. */
function client(answers, options = {}, credentials = CREDENTIALS) {
  const asked = [];
  const fetch = async (url, init) => {
    asked.push({ url, ...init, text: init.body && new TextDecoder().decode(init.body) });
    const answer = answers.shift();
    if (answer instanceof Error) throw answer;
    return typeof answer === 'function' ? answer(init) : answer;
  };
  return { asked, client: new EkhoAgentClient(credentials, { fetch, retry: FAST, ...options }) };
}

const sent = () => json(200, { message_id: 'msg_1', status: 'queued', queued_at: 'now' });
const refused = () => Object.assign(new Error('fetch failed'), {
  cause: Object.assign(new Error('connect'), { code: 'ECONNREFUSED' }),
});

test('a send keeps its key and its bytes over all tries, and signs each anew', async () => {
  const busy = json(503, { error: 'no leader', code: 'no_leader' });
  const { client: agent, asked } = client([busy, new Error('reset'), json(502, {}), sent()]);
  const answer = await agent.sendMessage(MESSAGE);
  assert.equal(answer.message_id, 'msg_1');
  assert.equal(asked.length, 4);
  const different = (of) => new Set(asked.map(of)).size;
  assert.equal(different(({ headers }) => headers['idempotency-key']), 1);
  assert.equal(different(({ text }) => text), 1);
  assert.equal(different(({ headers }) => headers['x-ekho-nonce']), 4);
  assert.equal(different(({ headers }) => headers['x-ekho-signature']), 4);
  assert.ok(!JSON.stringify(asked).includes('very-secret'), 'the secret does not travel');
});

test('what is meant to be encrypted is not sent where it is not said to whom', async () => {
  const { key } = await EncryptionKey.generate();
  const { client: agent, asked } = client([], { encryptionKeys: [key] });
  for (const encrypt_for of [undefined, null, [], 'agent_2', [1], ['agent_3']]) {
    const message = { ...MESSAGE, encrypt_for };
    await assert.rejects(agent.sendMessage(message), { code: 'invalid_argument' });
    await assert.rejects(agent.sendBatch([message]), { code: 'invalid_argument' });
  }
  assert.deepEqual(asked, []);
});

test('the relay does not say what the client finds out', async () => {
  const message = {
    message_id: 'msg_1',
    body: {},
    verification: { status: 'verified' },
    encryption: { status: 'decrypted' },
  };
  const { client: agent } = client([json(200, { messages: [message], controls: [] })]);
  const { messages } = await agent.getInbox();
  assert.deepEqual(messages[0].verification, { status: 'unchecked', reason: 'no_key_ring' });
  assert.deepEqual(messages[0].encryption, { status: 'none' });
});

test('the next address takes over, and is stayed with', async () => {
  const relayBaseUrl = ['http://a.test', 'http://b.test/'];
  const { client: agent, asked } = client([refused(), sent(), sent()], {}, {
    ...CREDENTIALS,
    relayBaseUrl,
  });
  await agent.sendMessage(MESSAGE);
  await agent.sendMessage(MESSAGE);
  assert.deepEqual(asked.map(({ url }) => new URL(url).host), ['a.test', 'b.test', 'b.test']);
});

test('what cannot be done twice is repeated only where nothing was done', async () => {
  const room = { id: 'room_1', name: 'n', created_at: 'now', members: [] };
  const undone = client([refused(), json(503, { code: 'overloaded' }), json(201, room)]);
  assert.equal((await undone.client.createRoom({ name: 'n' })).id, 'room_1');
  for (const answer of [new Error('reset'), json(502, {}), json(503, { code: 'outcome_unknown' })]) {
    const perhaps = client([answer, json(201, room)]);
    await assert.rejects(perhaps.client.createRoom({ name: 'n' }));
    assert.equal(perhaps.asked.length, 1);
  }
});

test('after a 429 no other send leaves before the window opens', async () => {
  const limited = json(429, { error: 'rate limit exceeded', code: 'rate_limited' }, {
    'retry-after': '1',
  });
  const { client: agent } = client([limited, sent()], { retry: { ...FAST, maxRounds: 1 } });
  await assert.rejects(agent.sendMessage(MESSAGE), { code: 'rate_limited' });
  const began = performance.now();
  await agent.sendMessage(MESSAGE);
  assert.ok(performance.now() - began >= 990);
});

test('a stream goes on after the last event seen', async () => {
  const events = (text) => new Response(text, { headers: { 'content-type': 'text/event-stream' } });
  const message = (n) => `id: ${n}\nevent: message\ndata: {"message_id":"msg_${n}"}\n\n`;
  const { client: agent, asked } = client([
    events(message(7)),
    json(503, { code: 'stopping' }),
    events(`id: 8\nevent: unheard-of\ndata: {}\n\n${message(9)}`),
    events('event: error\ndata: {"status_code": 503, "error": "no", "code": "no_leader"}\n\n'),
    events('event: error\ndata: {"status_code": 401, "error": "no", "code": "revoked"}\n\n'),
  ]);
  const seen = [];
  const reading = async () => {
    for await (const event of agent.inboxStream({ types: ['direct', 'ä'] })) seen.push(event.eventId);
  };
  await assert.rejects(reading(), { code: 'revoked', statusCode: 401 });
  assert.deepEqual(seen, ['7', '9']);
  const told = asked.map(({ headers }) => headers['last-event-id']);
  assert.deepEqual(told, [undefined, '7', '7', '9', '9']);
  assert.ok(asked.every(({ url }) => url.endsWith('/v1/inbox/stream?types=direct,%C3%A4')));
});

test('a refusal says what, where and under which id', async () => {
  const error = { formErrors: [], fieldErrors: { ttl_seconds: ['a whole number'] } };
  const { client: agent } = client([
    json(400, { error, code: 'validation_failed', request_id: 'req_1' }),
  ]);
  await assert.rejects(agent.sendMessage(MESSAGE), (refusal) => {
    assert.ok(refusal instanceof EkhoRequestError);
    assert.equal(refusal.code, 'validation_failed');
    assert.equal(refusal.path, '/v1/messages');
    assert.equal(refusal.statusCode, 400);
    assert.equal(refusal.requestId, 'req_1');
    assert.deepEqual(refusal.validation, error);
    assert.match(refusal.message, /^Ekho request failed for \/v1\/messages: 400 /);
    assert.ok(!isTransient(refusal));
    return true;
  });
});

test('a page of some proxy is an error with its status', async () => {
  const { client: agent } = client([new Response('<html>'.repeat(50_000), { status: 418 })]);
  await assert.rejects(agent.getInbox(), { code: 'http_418', statusCode: 418 });
});

test('answers that are none', async () => {
  const { client: agent } = client([new Response('no JSON')]);
  await assert.rejects(agent.getInbox(), { code: 'answer_not_understood' });
  const large = client([new Response('x'.repeat(100))], { maxAnswerBytes: 50 });
  await assert.rejects(large.client.getInbox(), { code: 'answer_too_large' });
});

test('a silent relay is a timeout, an abort is the caller\'s own reason', async () => {
  const silent = ({ signal }) =>
    new Promise((_, reject) => {
      if (signal.aborted) reject(signal.reason);
      signal.addEventListener('abort', () => reject(signal.reason));
    });
  const retry = { ...FAST, maxRounds: 1 };
  const { client: agent } = client([silent], { requestTimeoutMs: 20, retry });
  await assert.rejects(agent.getInbox(), (error) => {
    assert.ok(error instanceof EkhoConnectionError);
    assert.equal(error.code, 'timeout');
    assert.ok(isTransient(error));
    return true;
  });
  const controller = new AbortController();
  const waiting = client([silent]).client.getInbox(25, { signal: controller.signal });
  setImmediate(() => controller.abort(new Error('enough')));
  await assert.rejects(waiting, { message: 'enough' });
});

test('taking back and reporting twice are successes', async () => {
  const conflict = () => json(409, { error: 'too late', code: 'conflict' });
  const state = { message_id: 'msg_1', status: 'cancelled' };
  const cancelled = client([conflict(), json(200, state)]);
  assert.equal((await cancelled.client.cancelMessage('msg_1')).status, 'cancelled');
  const delivered = client([conflict(), json(200, { ...state, status: 'delivered' })]);
  await assert.rejects(delivered.client.cancelMessage('msg_1'), { code: 'conflict' });
  const reported = client([conflict(), json(200, { status: 'executed' })]);
  const report = { approval_id: 'apr_1', result: 'executed' };
  assert.deepEqual(await reported.client.actionResult(report), { ok: true });
});

test('a trace goes into the metadata, but not beside a key of the caller\'s own', async () => {
  const api = {
    context: { active: () => 'now', with: (_, run) => run() },
    propagation: {
      inject: (context, carrier) => Object.assign(carrier, { traceparent: `00-${context}` }),
      extract: (context) => context,
    },
  };
  const { client: agent, asked } = client([sent(), sent(), sent()], {
    telemetry: openTelemetry(api),
  });
  await agent.sendMessage({ ...MESSAGE, metadata: { a: 1 } });
  await agent.sendMessage(MESSAGE, { idempotencyKey: 'k' });
  await agent.sendMessage(MESSAGE, { idempotencyKey: 'k' });
  const bodies = asked.map(({ text }) => text);
  assert.deepEqual(JSON.parse(bodies[0]).metadata, { a: 1, traceparent: '00-now' });
  assert.equal(bodies[1], bodies[2], 'the same key has the same bytes');
});

test('unusable settings are refused, and no error shows the secret', () => {
  const make = (credentials, options) => () =>
    new EkhoAgentClient({ ...CREDENTIALS, ...credentials }, options);
  const argument = { code: 'invalid_argument' };
  assert.throws(() => new EkhoAgentClient(), argument);
  for (const relayBaseUrl of [
    undefined, '', [], 'relay.example', 'ftp://a.test', 'http://u:p@a.test', 'http://a.test/?q=1',
  ]) {
    assert.throws(make({ relayBaseUrl }), argument, String(relayBaseUrl));
  }
  assert.throws(make({ secret: '' }), argument);
  assert.throws(make({ agentId: 'a b' }), argument);
  assert.throws(make({ pollIntervalSeconds: 0 }), argument);
  assert.throws(make({}, { requestTimeoutMs: -1 }), argument);
  assert.throws(make({}, { identity: {} }), argument);
  const agent = make({})();
  assert.ok(!inspect(agent, { depth: 9, showHidden: true }).includes('very-secret'));
  assert.ok(!JSON.stringify(agent).includes('very-secret'));
});

test('ids that would change the path are refused or escaped', async () => {
  const { client: agent, asked } = client([json(200, { released: true })]);
  for (const id of ['', '.', '..']) {
    await assert.rejects(agent.getApproval(id), { code: 'invalid_argument' });
  }
  await agent.releaseFloor('team/red one?#%');
  assert.ok(asked[0].url.endsWith('/v1/conversations/team%2Fred%20one%3F%23%25/floor'));
  assert.equal(asked[0].body, undefined);
});

test('the version is the package\'s', () => {
  const url = new URL('../../package.json', import.meta.url);
  assert.equal(VERSION, JSON.parse(readFileSync(url, 'utf8')).version);
});
