// What an adapter survives, with a relay that only exists here: many handlers that hang, hooks that
// throw. Everything else is tested against a relay, see sdk/scenarios.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EkhoAgentAdapter, EkhoAgentClient } from '../../dist/esm/index.js';

/** A client of a relay that hands out these messages once, then waits, and keeps what it is told. */
function client(messages, controls = []) {
  const told = { acks: [], nacks: [] };
  const fetch = async (url, { body, signal }) => {
    const { pathname } = new URL(url);
    const given = body && JSON.parse(new TextDecoder().decode(body));
    if (pathname === '/v1/inbox') {
      const taken = messages.splice(0);
      if (taken.length > 0 || !told.polled) {
        told.polled = true;
        return Response.json({ messages: taken, controls });
      }
      return new Promise((_, reject) => {
        if (signal.aborted) reject(signal.reason);
        signal.addEventListener('abort', () => reject(signal.reason));
      });
    }
    if (pathname === '/v1/acks') told.acks.push(...given.acks);
    if (pathname === '/v1/nacks') told.nacks.push(...given.nacks);
    return Response.json({ updated: 1, ok: true, leases: [] });
  };
  const credentials = { agentId: 'agent_1', secret: 's', relayBaseUrl: 'http://a.test' };
  return { told, client: new EkhoAgentClient(credentials, { fetch }) };
}

const message = (n) => ({
  message_id: `msg_${n}`,
  conversation_id: `c-${n}`,
  message_type: 'direct',
  metadata: {},
  body: {},
});

async function until(what, condition) {
  const ends = performance.now() + 10_000;
  while (!condition()) {
    assert.ok(performance.now() < ends, what);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

test('many handlers that hang are ended, their messages handed back, and nothing warns', async () => {
  const warnings = [];
  process.on('warning', ({ name }) => warnings.push(name));
  const { client: relay, told } = client(Array.from({ length: 40 }, (_, n) => message(n)));
  let aborted = 0;
  const adapter = new EkhoAgentAdapter(relay, {
    onMessage: (_, __, { signal }) =>
      new Promise((resolve) => {
        signal.addEventListener('abort', () => resolve((aborted += 1)));
      }),
  }, { concurrency: 50, onError: () => undefined });
  await adapter.start();
  await until('all in work', () => adapter.status().messagesInWork === 40);
  const { finished, handedBack } = await adapter.stop({ deadlineMs: 0 });
  assert.equal(finished, false);
  assert.equal(handedBack.length, 40);
  assert.equal(told.nacks.length, 40);
  await until('all ended', () => aborted === 40);
  assert.equal(told.acks.length, 0, 'what was handed back is not acked as well');
  assert.deepEqual(warnings, []);
});

test('hooks that fail, onError too, end neither the loops nor the stop', async () => {
  const { client: relay, told } = client(
    [message(1), message(2)],
    [{ control_id: 'ctl_1', action: 'resume', reason: '' }],
  );
  const errors = [];
  const consoleError = console.error;
  console.error = (text) => errors.push(text);
  const adapter = new EkhoAgentAdapter(relay, {
    onMessage: ({ message_id }) => {
      if (message_id === 'msg_1') throw 'not even an Error';
    },
    onControl: () => {
      throw new Error('in onControl');
    },
  }, {
    onError: () => {
      throw new Error('in onError');
    },
  });
  await adapter.start();
  await until('both dealt with', () => told.acks.length + told.nacks.length === 2);
  assert.deepEqual(told.nacks.map(({ reason }) => reason), ['not even an Error']);
  assert.deepEqual(told.acks.map(({ message_id }) => message_id), ['msg_2']);
  assert.deepEqual(await adapter.stop(), { finished: true, handedBack: [] });
  console.error = consoleError;
  assert.ok(errors.length >= 2 && errors.every((text) => text.includes('in onError')));
});

test('a handler that takes too long is told so, and its message handed back', async () => {
  const { client: relay, told } = client([message(1)]);
  let reason;
  const adapter = new EkhoAgentAdapter(relay, {
    onMessage: (_, __, { signal }) =>
      new Promise(() => signal.addEventListener('abort', () => (reason = signal.reason.message))),
  }, { handlerTimeoutMs: 20, onError: () => undefined });
  await adapter.start();
  await until('handed back', () => told.nacks.length === 1);
  assert.equal(reason, 'the handler took too long');
  assert.equal(told.nacks[0].reason, reason);
  assert.deepEqual(await adapter.stop(), { finished: true, handedBack: [] });
});
