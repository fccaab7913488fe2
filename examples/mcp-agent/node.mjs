// A language model as an agent: `ekho mcp`, driven by the official MCP client as a model's host would
// drive it. In place of the model stands a function of what it has seen to its next tool call, so that
// the example is the same every time: it answers a question by asking a colleague, and deploys only
// what an operator agreed to. `./dev example mcp-agent`

import { EkhoAgentAdapter, EkhoAgentClient } from '@ekho/sdk';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { done, enrol, operator, relays, tell } from './shared/rig.mjs';

const MAX_STEPS = 40;
const PRICES = { 'build 7': '12 credits', 'build 8': '90 credits' };

/** Knows what things cost, and is asked by A2A. */
const librarian = new EkhoAgentAdapter(await enrol('Librarian'), {
  onMessage: async (message, _, { task }) => {
    const about = message.body.parts[0].text;
    tell('librarian', `looks up ${about}`);
    await task.artifact(PRICES[about] ?? 'unknown');
    await task.complete();
  },
});
await librarian.start();

// The host: starts the server, and shows the model which tools there are.
const credentials = await enrol('Assistant');
const host = new Client({ name: 'example-host', version: '1.0.0' });
await host.connect(
  new StdioClientTransport({
    command: process.env.EKHO_BINARY,
    args: ['mcp'],
    env: {
      EKHO_AGENT_ID: credentials.agentId,
      EKHO_AGENT_SECRET: credentials.secret,
      EKHO_RELAY_URL: relays.join(','),
    },
    stderr: 'inherit',
  }),
);
const { tools } = await host.listTools();
const offered = new Set(tools.map(({ name }) => name));

/** The next tool call, of the message at hand and what tools said of it so far. */
function model({ message, results }) {
  if (!message) return ['read_inbox', { limit: 1, wait_seconds: 20 }];
  const { message_id, body } = message;
  const [last] = results.slice(-1);
  const answer = (text) => ['reply', { message_id, text }];
  const question = /^what does (.+) cost\?$/.exec(body.text);
  if (question) {
    if (!last) return ['ask_agent', { agent: 'Librarian', text: question[1], wait_seconds: 30 }];
    return answer(`${question[1]} costs ${last.artifacts[0].parts[0].text}`);
  }
  const order = /^deploy (.+)$/.exec(body.text);
  if (!order) return answer('I answer what things cost, and I deploy builds.');
  const [, build] = order;
  if (results.length === 0) {
    const action = { action_type: 'deploy', summary: `Deploy ${build}`, risk_level: 'high' };
    return ['propose_action', { ...action, payload: { build }, wait_seconds: 60 }];
  }
  if (results.length === 1 && last.allowed) {
    const report = { approval_id: last.approval_id, result: 'executed', output: { build } };
    return ['report_action', report];
  }
  return answer(last.allowed === false ? `${build} may not be deployed` : `${build} is deployed`);
}

/** The host's loop: calls what the model wants, and lets it see what came of it. */
async function runModel(messages) {
  let settled = 0;
  let state = { results: [] };
  for (let step = 0; step < MAX_STEPS && settled < messages; step += 1) {
    const [name, given] = model(state);
    if (!offered.has(name)) throw new Error(`there is no tool ${name}`);
    const { isError, structuredContent } = await host.callTool({ name, arguments: given });
    if (isError) throw new Error(`${name}: ${JSON.stringify(structuredContent)}`);
    if (name === 'read_inbox') {
      state = { message: structuredContent.messages[0], results: [] };
      continue;
    }
    tell('model', `${name} ${JSON.stringify(given).slice(0, 90)}`);
    if (name === 'reply') {
      settled += 1;
      state = { results: [] };
    } else {
      state.results.push(structuredContent);
    }
  }
  if (settled < messages) throw new Error(`only ${settled} of ${messages} messages were answered`);
}

/** An operator, who agrees to what is cheap. */
async function decide(count) {
  const decided = new Set();
  while (decided.size < count) {
    const { approvals } = await operator('GET', '/v1/operator/approvals?limit=20');
    for (const { id, status, summary } of approvals) {
      if (status !== 'pending' || decided.has(id)) continue;
      decided.add(id);
      const word = summary.endsWith('build 7') ? 'approve' : 'reject';
      tell('operator', `reads ${JSON.stringify(summary)}: ${word}`);
      await operator('POST', `/v1/operator/approvals/${id}/${word}`, { reason: 'budget' });
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

// A person's client, which asks the assistant by its name and waits for the answers.
const person = new EkhoAgentClient(await enrol('Person'));
const wishes = ['what does build 7 cost?', 'deploy build 7', 'deploy build 8', 'hello'];
const recipient = await person.whom('Assistant');
for (const [index, text] of wishes.entries()) {
  await person.sendMessage({
    recipient,
    message_type: 'direct',
    body: { text },
    conversation_id: `conv-${index}`,
  });
}

async function answers() {
  const found = new Map();
  while (found.size < wishes.length) {
    const { messages } = await person.getInbox({ waitSeconds: 20 });
    if (messages.length === 0) throw new Error(`only ${found.size} answers came`);
    for (const { conversation_id, body } of messages) {
      tell('person', `is told: ${body.text}`);
      found.set(conversation_id, body.text);
    }
    await person.ackMessages(messages);
  }
  return wishes.map((_, index) => found.get(`conv-${index}`));
}

const [told] = await Promise.all([answers(), runModel(wishes.length), decide(2)]);
const expected = [
  'build 7 costs 12 credits',
  'build 7 is deployed',
  'build 8 may not be deployed',
  'I answer what things cost, and I deploy builds.',
];
if (JSON.stringify(told) !== JSON.stringify(expected)) {
  throw new Error(`expected ${JSON.stringify(expected)}, got ${JSON.stringify(told)}`);
}
await host.close();
await librarian.stop();
done();
