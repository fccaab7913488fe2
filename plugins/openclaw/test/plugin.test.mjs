// The plugin as it is installed, below a rig: registered by a host that does what OpenClaw does with
// a plugin, against a real relay.

import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { EkhoAgentClient } from '@ekho/sdk';
import plugin from '@ekho/openclaw-plugin';

const relays = process.env.EKHO_RELAY_URL.split(',');
const fleetId = process.env.EKHO_FLEET_ID;

async function rig(path, body = {}) {
  const answer = await fetch(process.env.EKHO_RIG + path, {
    method: 'POST',
    body: JSON.stringify(body),
  });
  return answer.json();
}

/** A host with the plugin in it: its tools by name, its service started. */
async function host(pluginConfig) {
  const tools = {};
  const services = [];
  plugin.register({
    pluginConfig,
    logger: { warn: () => undefined },
    registerTool: (tool) => (tools[tool.name] = tool),
    registerService: (service) => services.push(service),
  });
  for (const service of services) await service.start();
  after(() => Promise.all(services.map((service) => service.stop())));
  let calls = 0;
  const call = async (name, params, id = `call-${(calls += 1)}-${crypto.randomUUID()}`) =>
    (await tools[name].execute(id, params)).details;
  return { tools, services, call };
}

async function peer() {
  const { token } = await rig('/token');
  const enrolled = await EkhoAgentClient.enroll(relays, {
    fleet_id: fleetId,
    token,
    display_name: 'Peer',
  });
  return new EkhoAgentClient({
    agentId: enrolled.agent_id,
    secret: enrolled.secret,
    relayBaseUrl: relays,
  });
}

async function config() {
  const folder = await mkdtemp(join(tmpdir(), 'ekho-openclaw-'));
  const { token } = await rig('/token');
  const credentialsPath = join(folder, 'below', 'credentials.json');
  return { relayBaseUrl: relays, fleetId, enrollmentToken: token, credentialsPath };
}

test('the manifest names what is registered', async () => {
  const { tools } = await host(await config());
  const url = new URL(import.meta.resolve('@ekho/openclaw-plugin'));
  const manifest = JSON.parse(readFileSync(new URL('../openclaw.plugin.json', url), 'utf8'));
  assert.deepEqual(manifest.contracts.tools, Object.keys(tools));
  assert.equal(manifest.id, plugin.id);
  for (const tool of Object.values(tools)) assert.equal(tool.parameters.type, 'object');
});

test('an agent is asked and answers, by tools', async () => {
  const settings = await config();
  const { call } = await host(settings);
  const other = await peer();
  const { agentId } = JSON.parse(readFileSync(settings.credentialsPath, 'utf8'));
  assert.equal(statSync(settings.credentialsPath).mode & 0o777, 0o600);

  await other.sendMessage({
    recipient: { kind: 'agent', id: agentId },
    message_type: 'handoff',
    body: { text: 'Will it rain in Zürich?' },
    conversation_id: 'c-1',
  });
  const { messages } = await call('ekho_inbox', { wait_seconds: 20 });
  assert.equal(messages.length, 1);
  assert.equal(messages[0].body.text, 'Will it rain in Zürich?');
  assert.deepEqual((await call('ekho_inbox', {})).messages, [], 'each is given once');

  const answer = { to: messages[0].from, text: 'No.', conversation_id: 'c-1' };
  const sent = await call('ekho_send', answer, 'tool-call-7');
  const again = await call('ekho_send', answer, 'tool-call-7');
  assert.equal(again.message_id, sent.message_id, 'a call that is made twice is one message');
  const inbox = await other.getInbox({ waitSeconds: 20 });
  assert.deepEqual(inbox.messages.map(({ body }) => body.text), ['No.']);
});

test('rooms, and all at once', async () => {
  const { call } = await host(await config());
  const other = await peer();
  const room = await call('ekho_open_room', { name: 'Weather', agent_ids: [other.agentId] });
  assert.equal(room.members.length, 2);
  await call('ekho_send', { to: room.room_id, text: 'Hello room' });
  await call('ekho_send', { to: 'all', text: 'Hello all' });
  const { messages } = await other.getInbox({ waitSeconds: 20 });
  assert.deepEqual(messages.map(({ body }) => body.text), ['Hello room', 'Hello all']);
  assert.equal(messages[1].message_type, 'broadcast');
});

test('what the agent did not ask for goes back to the relay', async () => {
  const settings = await config();
  const { services } = await host(settings);
  const other = await peer();
  const { agentId } = JSON.parse(readFileSync(settings.credentialsPath, 'utf8'));
  const { message_id } = await other.sendMessage({
    recipient: { kind: 'agent', id: agentId },
    message_type: 'direct',
    body: { text: 'later' },
    conversation_id: 'c-2',
  });
  const state = async () => (await other.getMessage(message_id)).status;
  const until = async (status) => {
    const ends = performance.now() + 20_000;
    while ((await state()) !== status && performance.now() < ends) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    assert.equal(await state(), status);
  };
  await until('delivered');
  await services[0].stop();
  await until('queued');
  // The next run enrols no second time: it has the credentials.
  const { call } = await host({ ...settings, enrollmentToken: undefined });
  const { messages } = await call('ekho_inbox', { wait_seconds: 20 });
  assert.deepEqual(messages.map(({ body }) => body.text), ['later']);
});

test('what is wrong is said', async () => {
  const { call } = await host({ relayBaseUrl: relays, credentialsPath: '/nonexistent/x.json' });
  await assert.rejects(call('ekho_inbox', {}), /configure agentId and agentSecret/);
  await assert.rejects((await host({})).call('ekho_inbox', {}), /relayBaseUrl is not configured/);
  await assert.rejects((await host(await config())).call('ekho_send', { to: 'all' }), /text is missing/);
});
