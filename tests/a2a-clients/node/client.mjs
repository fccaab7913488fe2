// The official SDK for JavaScript as a client of a relay, on one binding.
//
//   node client.mjs DIRECTORY {"url", "token", "agent", "sleeper", "binding"}
//
// DIRECTORY holds node_modules with the SDK in it. Prints `ok OPERATION` for each that did what it
// should; fails at the first that did not. What the agents answer to which text is scripted in
// tests/api/a2a/real_clients.rs.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { json } from 'node:stream/consumers';
import { pathToFileURL } from 'node:url';

const directory = resolve(process.argv[2]);
const given = JSON.parse(process.argv[3]);
const require = createRequire(pathToFileURL(`${directory}/package.json`));
// The modules for `import`, beside those for `require`.
const load = (name) => import(pathToFileURL(require.resolve(name).replace(/\.cjs$/, '.js')));
const { Role, StreamResponse, TaskState, taskStateToJSON, verifyAgentCardSignature } =
  await load('@a2a-js/sdk');
const {
  ClientFactory,
  ClientFactoryOptions,
  DefaultAgentCardResolver,
  JsonRpcTransportFactory,
  RestTransportFactory,
} = await load('@a2a-js/sdk/client');
const { GrpcTransportFactory } = await load('@a2a-js/sdk/client/grpc');
const { importJWK } = await load('jose');

const cardPath = (agent) => `/agents/${agent}/.well-known/agent-card.json`;

/** Puts a token into every call, and a version where it is not to be the SDK's own. */
const marks = (token, version) => ({
  async before(call) {
    const more = { Authorization: `Bearer ${token}`, ...(version && { 'A2A-Version': version }) };
    const known = call.options?.serviceParameters;
    call.options = { ...call.options, serviceParameters: { ...known, ...more } };
  },
  async after() {},
});

const JSONRPC = JsonRpcTransportFactory;
const TRANSPORTS = { JSONRPC, 'HTTP+JSON': RestTransportFactory, GRPC: GrpcTransportFactory };

function factory({ token = given.token, version, polling = false, options } = {}) {
  return new ClientFactory(
    ClientFactoryOptions.createFrom(ClientFactoryOptions.default, {
      transports: [new TRANSPORTS[given.binding](options)],
      preferredTransports: [given.binding],
      cardResolver: new DefaultAgentCardResolver(options),
      clientConfig: { polling, interceptors: [marks(token, version)] },
    }),
  );
}

const clientOf = (agent, more) => factory(more).createFromUrl(given.url, cardPath(agent));

function request(text, more = {}) {
  return {
    tenant: '',
    message: {
      messageId: randomUUID(),
      contextId: '',
      taskId: '',
      role: Role.ROLE_USER,
      parts: [
        {
          content: { $case: 'text', value: text },
          metadata: undefined,
          filename: '',
          mediaType: '',
        },
      ],
      metadata: undefined,
      extensions: [],
      referenceTaskIds: [],
      ...more,
    },
    configuration: undefined,
    metadata: undefined,
  };
}

const state = (of) => taskStateToJSON(of.status.state);
const textOf = (parts) => parts.map((part) => part.content.value).join('');
const byId = (id) => ({ tenant: '', id });

async function all(stream) {
  const told = [];
  for await (const event of stream) told.push(event.payload);
  return told;
}

const only = (told, kind) => told.filter((one) => one.$case === kind).map((one) => one.value);

async function refused(name, call) {
  await assert.rejects(call, (error) => {
    assert.equal(error.name, name, error.stack);
    return true;
  });
}

const verify = verifyAgentCardSignature(async (kid, jku) => {
  const { keys } = await (await fetch(jku)).json();
  return importJWK(keys.find((key) => key.kid === kid));
});
const fetchCard = async (path) => (await fetch(`${given.url}${path}`)).json();

const operations = {
  async card(client) {
    const own = await new DefaultAgentCardResolver().resolve(given.url, cardPath(given.agent));
    assert.equal(own.name, 'awake');
    assert.equal(client.transport.protocolName, given.binding);
    const fleet = await new DefaultAgentCardResolver().resolve(given.url);
    assert(fleet.skills.some((skill) => skill.id === given.agent));
  },

  async signature() {
    // As it came: what the SDK's own resolver makes of a card cannot be verified by the SDK.
    const own = await fetchCard(cardPath(given.agent));
    await verify(own);
    await assert.rejects(verify({ ...own, description: 'forged' }));
    await verify(await fetchCard('/.well-known/agent-card.json'));
  },

  async extended_card() {
    const shown = await (await clientOf(given.agent)).getAgentCard();
    assert.equal(shown.capabilities.extensions.length, 2);
  },

  async blocking(client) {
    const task = await client.sendMessage(request('echo hello'));
    assert.equal(state(task), 'TASK_STATE_COMPLETED');
    assert.equal(textOf(task.artifacts[0].parts), 'hello');
    assert.equal(textOf(task.status.message.parts), 'done');
  },

  async not_blocking(_, quick) {
    const task = await quick.sendMessage(request('wait'));
    assert(['TASK_STATE_SUBMITTED', 'TASK_STATE_WORKING'].includes(state(task)), state(task));
  },

  async streaming(client) {
    const told = await all(client.sendMessageStream(request('steps')));
    assert.equal(told[0].$case, 'task');
    const pieces = only(told, 'artifactUpdate');
    assert.deepEqual(pieces.map((piece) => textOf(piece.artifact.parts)), ['a', 'b']);
    assert.deepEqual(pieces.map((piece) => piece.append), [false, true]);
    assert.deepEqual(pieces.map((piece) => piece.lastChunk), [false, true]);
    const states = only(told, 'statusUpdate').map(state);
    assert.equal(states[0], 'TASK_STATE_WORKING');
    assert.equal(states.at(-1), 'TASK_STATE_COMPLETED');
  },

  async get(client) {
    const sent = await client.sendMessage(request('echo again'));
    const task = await client.getTask(byId(sent.id));
    assert.equal(textOf(task.artifacts[0].parts), 'again');
    assert.equal(textOf(task.history[0].parts), 'echo again');
    const bare = await client.getTask({ ...byId(sent.id), historyLength: 0 });
    assert.equal(bare.history.length, 0);
  },

  async listing(client) {
    const contextId = randomUUID();
    const made = [];
    for (let number = 0; number < 3; number += 1) {
      made.push((await client.sendMessage(request(`echo ${number}`, { contextId }))).id);
    }
    const wanted = {
      tenant: '',
      contextId,
      status: TaskState.TASK_STATE_UNSPECIFIED,
      pageSize: 2,
      pageToken: '',
      historyLength: undefined,
      statusTimestampAfter: undefined,
      includeArtifacts: undefined,
    };
    const first = await client.listTasks(wanted);
    assert.equal(first.tasks.length, 2);
    assert.equal(first.totalSize, 3);
    const second = await client.listTasks({ ...wanted, pageToken: first.nextPageToken });
    assert.equal(second.nextPageToken, '');
    const found = [...first.tasks, ...second.tasks].map((task) => task.id);
    assert.deepEqual(found.sort(), made.sort());
    const done = { ...wanted, status: TaskState.TASK_STATE_COMPLETED, includeArtifacts: true };
    const page = await client.listTasks({ ...done, pageSize: 10 });
    assert.equal(page.tasks.length, 3);
    assert.equal(page.tasks[0].artifacts.length, 1);
  },

  async cancel(client, quick) {
    const sent = await quick.sendMessage(request('wait'));
    const task = await client.cancelTask({ ...byId(sent.id), metadata: undefined });
    assert.equal(state(task), 'TASK_STATE_CANCELED');
  },

  async subscribe(client) {
    const stream = client.sendMessageStream(request('wait'));
    const task = (await stream.next()).value.payload.value;
    await stream.return();
    const told = [];
    for await (const { payload } of client.resubscribeTask(byId(task.id))) {
      told.push(payload);
      // It follows again: now the agent may go on.
      if (payload.$case === 'task') await client.sendMessage(request(`go on ${task.id}`));
    }
    const texts = only(told, 'artifactUpdate').map((piece) => textOf(piece.artifact.parts));
    assert.deepEqual(texts, ['late']);
    assert.equal(state(told.at(-1).value), 'TASK_STATE_COMPLETED');
  },

  async input_required(client) {
    const asked = await client.sendMessage(request('ask'));
    assert.equal(state(asked), 'TASK_STATE_INPUT_REQUIRED');
    assert.equal(textOf(asked.status.message.parts), 'which?');
    const answer = request('echo this', { taskId: asked.id, contextId: asked.contextId });
    const task = await client.sendMessage(answer);
    assert.equal(task.id, asked.id);
    assert.equal(state(task), 'TASK_STATE_COMPLETED');
    assert.equal(textOf(task.artifacts[0].parts), 'this');
  },

  async offline(client) {
    const sleeper = await clientOf(given.sleeper);
    const stream = sleeper.sendMessageStream(request('echo good morning'));
    const first = (await stream.next()).value.payload;
    assert.equal(state(first.value), 'TASK_STATE_SUBMITTED');
    await client.sendMessage(request('wake'));
    const told = await all(stream);
    const texts = only(told, 'artifactUpdate').map((piece) => textOf(piece.artifact.parts));
    assert.deepEqual(texts, ['good morning']);
    assert.equal(state(told.at(-1).value), 'TASK_STATE_COMPLETED');
  },

  async push(client, quick) {
    const heard = [];
    let over;
    const complete = new Promise((done) => {
      over = done;
    });
    const receiver = createServer(async (asked, answer) => {
      assert.equal(asked.headers['x-a2a-notification-token'], 'secret');
      const event = StreamResponse.fromJSON(await json(asked)).payload;
      heard.push(event);
      answer.writeHead(204).end();
      const ended = event.$case === 'statusUpdate' && state(event.value);
      if (ended === 'TASK_STATE_COMPLETED') over();
    });
    await once(receiver.listen(0, '127.0.0.1'), 'listening');
    const task = await quick.sendMessage(request('wait'));
    const config = {
      tenant: '',
      id: 'mine',
      taskId: task.id,
      url: `http://127.0.0.1:${receiver.address().port}/told`,
      token: 'secret',
      authentication: undefined,
    };
    const named = { tenant: '', taskId: task.id, id: 'mine' };
    const ofTask = { tenant: '', taskId: task.id, pageSize: 0, pageToken: '' };
    const made = await client.createTaskPushNotificationConfig(config);
    // Over gRPC the SDK names the tenant of the card.
    assert.deepEqual({ ...made, tenant: '' }, config);
    assert.deepEqual(await client.getTaskPushNotificationConfig(named), made);
    await client.sendMessage(request(`go on ${task.id}`));
    await complete;
    const texts = only(heard, 'artifactUpdate').map((piece) => textOf(piece.artifact.parts));
    assert.deepEqual(texts, ['late']);
    const listed = await client.listTaskPushNotificationConfig(ofTask);
    assert.deepEqual(listed.configs, [made]);
    await client.deleteTaskPushNotificationConfig(named);
    const left = await client.listTaskPushNotificationConfig(ofTask);
    assert.equal(left.configs.length, 0);
    receiver.close();
  },

  async failures(client) {
    const none = 'task_00000000000000000000000000000000';
    await refused('TaskNotFoundError', client.getTask(byId(none)));
    const task = await client.sendMessage(request('echo x'));
    await refused('TaskNotCancelableError', client.cancelTask(byId(task.id)));
    const empty = request('x', { parts: [] });
    await refused('RequestMalformedError', client.sendMessage(empty));
    const more = client.sendMessage(request('more', { taskId: task.id }));
    await refused('UnsupportedOperationError', more);
    await refused('UnsupportedOperationError', all(client.resubscribeTask(byId(task.id))));
    const stranger = await clientOf(given.agent, { token: 'no such token' });
    await assert.rejects(stranger.getTask(byId(task.id)));
  },

  async versions() {
    const newest = await clientOf(given.agent, { version: '9.9' });
    await refused('VersionNotSupportedError', newest.getTask(byId('task_x')));
    if (given.binding !== 'JSONRPC') return;
    // The same client on the interface of 0.3 that the card lists.
    const options = { legacyCompat: { enabled: true } };
    const card = await new DefaultAgentCardResolver().resolve(given.url, cardPath(given.agent));
    card.supportedInterfaces = card.supportedInterfaces.filter(
      (one) => one.protocolVersion === '0.3',
    );
    const legacy = await factory({ options }).createFromAgentCard(card);
    assert.equal(legacy.protocolVersion, '0.3');
    const task = await legacy.sendMessage(request('echo of old'));
    assert.equal(state(task), 'TASK_STATE_COMPLETED');
    assert.equal(textOf(task.artifacts[0].parts), 'of old');
    const told = await all(legacy.sendMessageStream(request('steps')));
    assert.equal(state(told.at(-1).value), 'TASK_STATE_COMPLETED');
  },
};

const client = await clientOf(given.agent);
const quick = await clientOf(given.agent, { polling: true });
for (const [name, operation] of Object.entries(operations)) {
  const late = new Promise((_, refuse) => {
    setTimeout(refuse, 30_000, new Error(`${name} takes too long`)).unref();
  });
  await Promise.race([operation(client, quick), late]);
  console.log('ok', name);
}
// Channels of gRPC would keep the process going.
process.exit(0);
