#!/usr/bin/env node
// How fast A2A is beside the native API, on one relay that it starts: reads and sends by the same
// client over the same number of connections, how long an update takes to a stream, and what
// streams that wait cost in memory. Prints a markdown table. Nothing here fails because a figure is
// high.
//
//   benches/a2a.mjs [--seconds 8] [--connections 32] [--streams 2000] [--rounds 5]
import { spawn, spawnSync } from "node:child_process";
import { createHash, createHmac, randomUUID } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import http from "node:http";
import { homedir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

const { values: options } = parseArgs({
  options: {
    seconds: { type: "string", default: "8" },
    connections: { type: "string", default: "32" },
    streams: { type: "string", default: "2000" },
    rounds: { type: "string", default: "5" },
  },
});
const [seconds, connections, streams, rounds] = [
  options.seconds,
  options.connections,
  options.streams,
  options.rounds,
].map(Number);
const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "ekho");
const target = process.env.CARGO_TARGET_DIR ?? join(cache, "target");
const ekho = process.env.EKHO_BIN ?? join(target, "release/ekho");
const data = mkdtempSync(join(process.env.BENCH_WORK_DIR ?? cache, "a2a."));
const port = process.env.BENCH_PORT ?? "4185";
const url = `http://127.0.0.1:${port}`;
const env = {
  PATH: process.env.PATH,
  HOME: process.env.HOME,
  EKHO_DATA_DIR: data,
  EKHO_PORT: port,
  EKHO_BASE_URL: url,
  EKHO_LOG: "warn",
  EKHO_MAX_CONNECTIONS: String(streams + 1000),
  EKHO_RATE_LIMIT_MAX_MESSAGES: "1000000000",
};
const say = (text) => process.stderr.write(`${text}\n`);
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const pool = new http.Agent({ keepAlive: true, maxSockets: connections });

function call(method, path, headers, body) {
  return new Promise((done, failed) => {
    const request = http.request(url + path, { method, headers, agent: pool }, (answer) => {
      const chunks = [];
      answer.on("data", (chunk) => chunks.push(chunk));
      answer.on("end", () => {
        const text = Buffer.concat(chunks).toString();
        if (answer.statusCode >= 300) failed(new Error(`${path}: ${answer.statusCode} ${text}`));
        else done(text);
      });
    });
    request.on("error", failed);
    request.end(body);
  });
}

/** A call that an agent signs. */
function signed(agent, method, path, body = "") {
  const hash = createHash("sha256").update(body).digest("hex");
  const [timestamp, nonce] = [new Date().toISOString(), randomUUID()];
  const text = [method, path.split("?")[0], timestamp, nonce, hash].join("\n");
  const headers = {
    "content-type": "application/json",
    "x-ekho-agent-id": agent.id,
    "x-ekho-timestamp": timestamp,
    "x-ekho-nonce": nonce,
    "x-ekho-signature": createHmac("sha256", agent.secret).update(text).digest("hex"),
  };
  return call(method, path, headers, body);
}

let bearer;
let number = 0;

function rpc(path, method, params) {
  const body = JSON.stringify({ jsonrpc: "2.0", id: (number += 1), method, params });
  const headers = {
    "content-type": "application/json",
    authorization: `Bearer ${bearer}`,
    "a2a-version": "1.0",
  };
  return call("POST", path, headers, body);
}

/** Seconds of a core that a process has used. */
function used(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

const costs = {};

/**
 * Calls a second, by as many at once as there are connections. The client may be what is slower, so
 * what a call costs the relay is noted as well.
 */
async function rate(name, one) {
  const until = Date.now() + seconds * 1000;
  const before = used(relay.pid);
  let count = 0;
  const work = async () => {
    while (Date.now() < until) {
      await one();
      count += 1;
    }
  };
  await Promise.all(Array.from({ length: connections }, work));
  const cost = (1e6 * (used(relay.pid) - before)) / count;
  (costs[name] ??= []).push(cost);
  say(`${name}: ${Math.round(count / seconds)}/s, ${Math.round(cost)} µs of a core each`);
  return count / seconds;
}

const middle = (all) => [...all].sort((a, b) => a - b)[Math.floor(all.length / 2)];
const resident = (pid) =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]) / 1024;

/** A stream that follows a task: calls back for each event. */
function follow(task, heard) {
  const body = JSON.stringify({
    jsonrpc: "2.0",
    id: 1,
    method: "SubscribeToTask",
    params: { id: task },
  });
  const headers = {
    "content-type": "application/json",
    authorization: `Bearer ${bearer}`,
    "a2a-version": "1.0",
  };
  return new Promise((open, failed) => {
    const request = http.request(`${url}/a2a`, { method: "POST", headers, agent: false });
    request.on("response", (answer) => {
      answer.once("data", () => open(request));
      answer.on("data", (chunk) => heard?.(chunk.toString()));
      answer.on("error", () => {});
    });
    request.on("error", failed);
    request.end(body);
  });
}

const setup = spawnSync(ekho, ["setup", "--non-interactive"], { env, encoding: "utf8" });
if (setup.status !== 0) throw new Error(setup.stderr);
const relay = spawn(ekho, ["serve"], { env, stdio: ["ignore", "ignore", "inherit"] });
try {
  for (let tries = 0; ; tries += 1) {
    try {
      await call("GET", "/readyz", {});
      break;
    } catch (error) {
      if (tries > 300) throw error;
      await wait(100);
    }
  }
  const owner = JSON.parse(readFileSync(join(data, "credentials.json"), "utf8"));
  const plain = { "content-type": "application/json" };
  const { fleet_name, email, password } = owner;
  const login = JSON.stringify({ fleet_name, email, password });
  const session = JSON.parse(await call("POST", "/v1/operator/login", plain, login));
  const asOwner = { ...plain, authorization: `Bearer ${session.token}` };
  const enrol = async (display_name) => {
    const token = JSON.parse(
      await call("POST", "/v1/operator/enrollment-tokens", asOwner, "{}"),
    ).token;
    const request = { fleet_id: session.fleet_id, token, display_name, runtime: "custom" };
    const made = JSON.parse(await call("POST", "/v1/enroll", plain, JSON.stringify(request)));
    return { id: made.agent_id, secret: made.secret };
  };
  const [sender, receiver, worker] = [await enrol("a"), await enrol("b"), await enrol("c")];
  const made = await call("POST", "/v1/operator/a2a/clients", asOwner, '{"name":"bench"}');
  bearer = JSON.parse(made).token;

  const direct = () =>
    signed(
      sender,
      "POST",
      "/v1/messages",
      JSON.stringify({
        recipient: { kind: "agent", id: receiver.id },
        message_type: "direct",
        body: { text: "x".repeat(200) },
        conversation_id: randomUUID(),
        correlation_id: randomUUID(),
      }),
    );
  const send = (to = receiver) =>
    rpc(`/agents/${to.id}/a2a`, "SendMessage", {
      message: {
        messageId: randomUUID(),
        role: "ROLE_USER",
        parts: [{ text: "x".repeat(200) }],
      },
      configuration: { returnImmediately: true },
    });
  const sent = JSON.parse(await direct());
  const task = JSON.parse(await send(worker)).result.task.id;
  // A young leader refuses reads that were signed before it began.
  for (let tries = 0; tries < 100; tries += 1) {
    try {
      await signed(sender, "GET", `/v1/messages/${sent.message_id}`);
      break;
    } catch {
      await wait(100);
    }
  }
  const pairs = [];
  for (let round = 0; round < rounds; round += 1) {
    pairs.push({
      get: await rate("signed GET", () =>
        signed(sender, "GET", `/v1/messages/${sent.message_id}`),
      ),
      getTask: await rate("GetTask", () => rpc("/a2a", "GetTask", { id: task })),
      native: await rate("native send", direct),
      sendMessage: await rate("SendMessage", () => send()),
    });
  }

  const delays = [];
  let began;
  let told;
  const stream = await follow(task, () => told?.());
  for (let round = 0; round < 300; round += 1) {
    const heard = new Promise((done) => {
      told = () => {
        delays.push(Number(process.hrtime.bigint() - began) / 1e6);
        told = undefined;
        done();
      };
    });
    began = process.hrtime.bigint();
    await signed(
      worker,
      "POST",
      `/v1/tasks/${task}/status`,
      JSON.stringify({ state: "working", message: `step ${round}` }),
    );
    await heard;
  }
  stream.destroy();

  const before = resident(relay.pid);
  const open = [];
  for (let count = 0; count < streams; count += 100) {
    const some = Array.from({ length: Math.min(100, streams - count) }, () => follow(task));
    open.push(...(await Promise.all(some)));
  }
  await wait(2000);
  const grown = resident(relay.pid) - before;
  for (const one of open) one.destroy();

  const rates = (name) => middle(pairs.map((pair) => pair[name]));
  const cost = (name) => `${Math.round(middle(costs[name]))} µs of a core`;
  const share = (one, of) =>
    middle(pairs.map((pair) => (100 * pair[one]) / pair[of])).toFixed(0);
  console.log(`| ${connections} connections, ${rounds} rounds of ${seconds} s | |`);
  console.log("| --- | --- |");
  console.log(`| signed GET of a message | ${Math.round(rates("get"))}/s, ${cost("signed GET")} |`);
  console.log(
    `| GetTask | ${Math.round(rates("getTask"))}/s, ${share("getTask", "get")} % of that, ${cost("GetTask")} |`,
  );
  console.log(`| native send | ${Math.round(rates("native"))}/s, ${cost("native send")} |`);
  console.log(
    `| SendMessage, non-blocking | ${Math.round(rates("sendMessage"))}/s, ${share("sendMessage", "native")} % of that, ${cost("SendMessage")} |`,
  );
  console.log(`| update to stream, p50 from the request | ${middle(delays).toFixed(2)} ms |`);
  console.log(`| ${streams} idle streams | ${grown.toFixed(0)} MB more resident |`);
} finally {
  relay.kill("SIGTERM");
  await new Promise((done) => relay.on("exit", done));
  rmSync(data, { recursive: true, force: true });
}
process.exit(0);
