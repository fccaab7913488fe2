// A language model's host, as the official MCP SDK has it: `ekho mcp` over standard input and
// output, or over streamable HTTP. Prints `ok NAME` for each thing that it did.
//
//   node client.mjs MODULES GIVEN
//
// GIVEN is JSON: `command` with `args` and `env` to start and `files`, its folder for files, in which
// there is notes.txt, or `url` with `token`; `agent`, `peer` (id and name of another agent, which
// answers as the test says).
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [modules, text] = process.argv.slice(2);
const require = createRequire(join(modules, "package.json"));
const load = (name) => import(pathToFileURL(require.resolve(`@modelcontextprotocol/sdk/${name}`)));
const { Client } = await load("client/index.js");
const { StdioClientTransport } = await load("client/stdio.js");
const { StreamableHTTPClientTransport } = await load("client/streamableHttp.js");
const given = JSON.parse(text);

function transport(token = given.token) {
  if (given.command) {
    const { command, args, env } = given;
    return new StdioClientTransport({ command, args, env, stderr: "inherit" });
  }
  const headers = { authorization: `Bearer ${token}` };
  return new StreamableHTTPClientTransport(new URL(given.url), { requestInit: { headers } });
}

const client = new Client({ name: "a host", version: "1" });
await client.connect(transport());

/** Calls a tool that must succeed; what it says. */
async function call(name, args = {}) {
  const result = await client.callTool({ name, arguments: args });
  assert.ok(!result.isError, `${name}: ${result.content[0]?.text}`);
  assert.deepEqual(JSON.parse(result.content[0].text), result.structuredContent);
  return result.structuredContent;
}

/** Calls a tool that must say what is wrong. */
async function refused(name, args) {
  const result = await client.callTool({ name, arguments: args });
  assert.ok(result.isError, `${name}: ${result.content[0].text}`);
  return result.structuredContent;
}

/** Reads until a message comes. */
async function next() {
  for (let tries = 0; tries < 20; tries += 1) {
    const { messages } = await call("read_inbox", { wait_seconds: 5 });
    if (messages.length > 0) return messages[0];
  }
  throw new Error("no message came");
}

const steps = {
  async tools() {
    const { tools } = await client.listTools();
    const names = tools.map((tool) => tool.name).sort();
    assert.deepEqual(names, given.tools);
    for (const tool of tools) {
      assert.ok(tool.description.length > 20, `${tool.name} says what it does`);
      for (const [name, field] of Object.entries(tool.inputSchema.properties ?? {})) {
        assert.ok(field.description, `${tool.name}.${name} says what it is`);
      }
    }
    assert.match(client.getInstructions(), /read_inbox/);
    assert.equal(client.getServerVersion().name, "ekho");
  },

  async peers() {
    assert.equal((await call("whoami")).agent_id, given.agent);
    const { agents } = await call("list_peers", { search: given.peer.name });
    assert.deepEqual(agents.map((agent) => agent.id), [given.peer.id]);
  },

  async conversation() {
    const sent = await call("send_message", { to: given.peer.name, text: "echo hello" });
    assert.equal(sent.status, "queued");
    const message = await next();
    assert.equal(message.sender, given.peer.id);
    assert.equal(message.conversation_id, sent.conversation_id);
    assert.deepEqual(message.body, { text: "hello" });
    const answer = await call("reply", { message_id: message.message_id, text: "thanks" });
    assert.equal(answer.conversation_id, sent.conversation_id);
    const settled = await refused("reply", { message_id: message.message_id, text: "again" });
    assert.match(settled.error, /was not read here, or is settled/);
    const { status } = await call("message_status", { message_id: sent.message_id });
    assert.equal(status, "acked");

    const { resources } = await client.listResources();
    const resource = resources.find((one) => one.name === sent.conversation_id);
    const { contents } = await client.readResource({ uri: resource.uri });
    const said = JSON.parse(contents[0].text).map((message) => message.body.text);
    assert.deepEqual(said, ["echo hello", "hello", "thanks"]);
    const { resourceTemplates } = await client.listResourceTemplates();
    assert.equal(resourceTemplates[0].uriTemplate, "ekho://conversations/{conversation_id}");
    await assert.rejects(client.readResource({ uri: "ekho://conversations/none" }));
  },

  async hand_off() {
    await call("send_message", { to: given.peer.id, body: { text: "echo take this" } });
    const message = await next();
    const passed = await call("hand_off", {
      message_id: message.message_id, to: given.peer.id, note: "yours",
    });
    assert.equal(passed.conversation_id, message.conversation_id);
  },

  async returned() {
    await call("send_message", { to: given.peer.id, text: "echo twice" });
    const first = await next();
    const { returned } = await call("return_message", {
      message_id: first.message_id, reason: "not now", delay_seconds: 0,
    });
    assert.equal(returned, 1);
    const again = await next();
    assert.equal(again.message_id, first.message_id);
    const { acked } = await call("ack_messages", { message_ids: [again.message_id] });
    assert.equal(acked, 1);
  },

  async attachments() {
    if (!given.files) {
      const to = given.peer.id;
      const without = await refused("send_message", { to, text: "x", files: ["notes.txt"] });
      assert.match(without.error, /no folder for files/);
      return;
    }
    const content = "Hello, Zürich!";
    await call("send_message", { to: given.peer.id, text: "echo see", files: ["notes.txt"] });
    const message = await next();
    const [file] = message.attachments;
    assert.deepEqual([file.filename, file.mime, file.size_bytes], ["notes.txt", "text/plain", 15]);
    const { attachment_id } = file;
    assert.equal((await call("read_attachment", { attachment_id })).text, content);
    await call("read_attachment", { attachment_id, save_to: "saved.txt" });
    assert.equal(readFileSync(join(given.files, "saved.txt"), "utf8"), content);
    const again = await refused("read_attachment", { attachment_id, save_to: "saved.txt" });
    assert.match(again.error, /exists/);
    const outside = await refused("read_attachment", { attachment_id, save_to: "../saved.txt" });
    assert.match(outside.error, /not in the folder/);
    const secret = { to: given.peer.id, text: "x", files: ["/etc/hostname"] };
    assert.match((await refused("send_message", secret)).error, /not in the folder/);

    // The same answer, given again, is one message.
    const { message_id } = message;
    const answer = { message_id, text: "thanks", idempotency_key: `once-${message_id}` };
    const first = await call("reply", { ...answer, attachment_ids: [attachment_id], ack: false });
    const second = await call("reply", { ...answer, attachment_ids: [attachment_id] });
    assert.equal(second.message_id, first.message_id);
    const unknown = await refused("read_attachment", { attachment_id: "att_unknown" });
    assert.equal(unknown.code, "not_found");
  },

  async decision() {
    const action = { action_type: "deploy", summary: "Deploy it", payload: { version: 2 } };
    const low = await call("propose_action", { ...action, risk_level: "low" });
    assert.deepEqual([low.allowed, low.decision], [true, "allow"]);
    const high = await call("propose_action", { ...action, risk_level: "high", wait_seconds: 0 });
    assert.deepEqual([high.allowed, high.decision], [false, "pending"]);
    // The test approves it meanwhile.
    await call("send_message", { to: given.peer.id, text: `approve ${high.approval_id}` });
    const decided = await call("get_decision", {
      approval_id: high.approval_id, wait_seconds: 60,
    });
    assert.deepEqual([decided.allowed, decided.decision], [true, "approved"]);
    const output = { url: "https://example.com" };
    const report = { approval_id: high.approval_id, result: "executed", output };
    assert.deepEqual(await call("report_action", report), { ok: true });
  },

  async task_asked_for() {
    const task = await call("ask_agent", { agent: given.peer.name, text: "echo a task" });
    assert.equal(task.status.state, "TASK_STATE_COMPLETED");
    assert.equal(task.artifacts[0].parts[0].text, "a task");
    assert.equal((await call("get_task", { task_id: task.id })).id, task.id);
  },

  async task_worked_on() {
    await call("send_message", { to: given.peer.id, text: "ask me" });
    const message = await next();
    assert.equal(message.message_type, "a2a.message");
    const task_id = message.task_id;
    await call("ack_messages", { message_ids: [message.message_id] });
    const made = await call("add_artifact", { task_id, text: "here", name: "Result" });
    assert.equal(made.state, "working");
    await call("update_task", { task_id, state: "completed", message: "done" });
    const late = await refused("update_task", { task_id, state: "working" });
    assert.equal(late.code, "conflict");
  },

  async refusals() {
    const nobody = await refused("send_message", { to: "nobody at all", text: "x" });
    assert.match(nobody.error, /no agent is called/);
    const neither = await refused("send_message", { to: given.peer.id });
    assert.match(neither.error, /give text or body/);
    const unknown = await refused("send_message", { to: "agent_nobody", text: "x" });
    assert.equal(unknown.code, "unknown_recipient");
    assert.match(unknown.request_id, /^req_/);
    const risk = await refused("propose_action", {
      action_type: "a", summary: "s", risk_level: "some",
    });
    assert.equal(risk.code, "validation_failed");
    await assert.rejects(client.callTool({ name: "nothing", arguments: {} }));
    if (given.url) {
      const stranger = new Client({ name: "a stranger", version: "1" });
      await assert.rejects(stranger.connect(transport("mcp_of_somebody_else")), { code: 401 });
    }
  },
};

for (const [name, step] of Object.entries(steps)) {
  await step();
  console.log(`ok ${name}`);
}
await client.close();
