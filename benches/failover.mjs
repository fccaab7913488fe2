#!/usr/bin/env node
// How long after the leader's death the first write is accepted: three nodes on this machine, the
// leader is killed, an agent asks the other two in turn until one accepts, the dead node comes
// back; again and again. Prints a markdown table of the distribution. Nothing here fails because a
// figure is high.
//
//   benches/failover.mjs [--rounds 50]
import { spawn, spawnSync } from "node:child_process";
import { createHash, createHmac, randomUUID } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

const { values: options } = parseArgs({ options: { rounds: { type: "string", default: "50" } } });
const rounds = Number(options.rounds);
const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "ekho");
const target = process.env.CARGO_TARGET_DIR ?? join(cache, "target");
const ekho = process.env.EKHO_BIN ?? join(target, "release/ekho");
const base = Number(process.env.BENCH_PORT ?? 4290);
const work = mkdtempSync(join(process.env.BENCH_WORK_DIR ?? cache, "failover."));
const say = (text) => process.stderr.write(`${text}\n`);
const wait = (ms) => new Promise((done) => setTimeout(done, ms));

const nodes = [0, 1, 2].map((at) => ({
  url: `http://127.0.0.1:${base + at}`,
  env: {
    PATH: process.env.PATH,
    HOME: process.env.HOME,
    EKHO_DATA_DIR: join(work, String(at + 1)),
    EKHO_PORT: String(base + at),
    EKHO_NODE_ADDRESS: `127.0.0.1:${base + 10 + at}`,
    EKHO_LOG: "error",
    EKHO_RATE_LIMIT_MAX_MESSAGES: "1000000000",
    EKHO_DISK_FREE_MIN_BYTES: "1048576",
  },
  process: null,
}));

function start(node, ...args) {
  const stdio = ["ignore", "ignore", "inherit"];
  node.process = spawn(ekho, ["serve", ...args], { env: node.env, stdio });
}

async function call(url, method, path, body, headers = {}) {
  const answer = await fetch(url + path, {
    method,
    headers: { "content-type": "application/json", ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
    signal: AbortSignal.timeout(10_000),
  });
  return { status: answer.status, json: await answer.json().catch(() => ({})) };
}

async function until(what, seconds, condition) {
  const end = Date.now() + seconds * 1000;
  while (Date.now() < end) {
    const found = await condition().catch(() => undefined);
    if (found !== undefined) return found;
    await wait(20);
  }
  throw new Error(`not within ${seconds} s: ${what}`);
}

function signed(agent, method, path, body) {
  const timestamp = new Date().toISOString();
  const nonce = randomUUID();
  const text = JSON.stringify(body);
  const hash = createHash("sha256").update(text).digest("hex");
  const canonical = [method, path, timestamp, nonce, hash].join("\n");
  return {
    "x-ekho-agent-id": agent.agent_id,
    "x-ekho-timestamp": timestamp,
    "x-ekho-nonce": nonce,
    "x-ekho-signature": createHmac("sha256", agent.secret).update(canonical).digest("hex"),
  };
}

async function send(agent, node, key) {
  const body = {
    recipient: { kind: "agent", id: agent.to },
    message_type: "direct",
    body: { text: "still there?" },
    conversation_id: "failover",
    correlation_id: "failover",
  };
  const headers = { ...signed(agent, "POST", "/v1/messages", body), "idempotency-key": key };
  return call(node.url, "POST", "/v1/messages", body, headers);
}

async function main() {
  const set = spawnSync(ekho, ["setup", "--non-interactive"], { env: nodes[0].env, encoding: "utf8" });
  if (set.status !== 0) throw new Error(set.stderr);
  start(nodes[0]);
  const owner = JSON.parse(readFileSync(join(nodes[0].env.EKHO_DATA_DIR, "credentials.json"), "utf8"));
  const { fleet_name, email, password } = owner;
  const login = { fleet_name, email, password };
  const session = await until("the first node", 30, async () => {
    const answer = await call(nodes[0].url, "POST", "/v1/operator/login", login);
    return answer.status === 200 ? answer.json : undefined;
  });
  const bearer = { authorization: `Bearer ${session.token}` };
  const operator = (node, method, path, body) => call(node.url, method, path, body, bearer);
  for (const node of nodes.slice(1)) {
    const made = await operator(nodes[0], "POST", "/v1/operator/cluster/tokens", {});
    start(node, "--join", nodes[0].env.EKHO_NODE_ADDRESS, "--token", made.json.token);
  }
  const whole = (asked) =>
    until("three voters", 60, async () => {
      const { json } = await operator(asked, "GET", "/v1/operator/cluster");
      const good = json.nodes.filter((one) => one.voter && one.health === "ok");
      return good.length === 3 && json.leader && !json.changing ? json : undefined;
    });
  await whole(nodes[0]);
  const enrol = async (name) => {
    const token = await operator(nodes[0], "POST", "/v1/operator/enrollment-tokens", {});
    const request = {
      fleet_id: session.fleet_id,
      token: token.json.token,
      display_name: name,
      runtime: "custom",
    };
    return (await call(nodes[0].url, "POST", "/v1/enroll", request)).json;
  };
  const agent = await enrol("sender");
  agent.to = (await enrol("receiver")).agent_id;

  const times = [];
  for (let round = 0; round < rounds; round += 1) {
    const status = await whole(nodes[round % 3]);
    const leader = status.leader - 1;
    const others = nodes.filter((_, at) => at !== leader);
    const sent = await send(agent, nodes[leader], randomUUID());
    if (sent.status !== 200) throw new Error(`before the kill: ${JSON.stringify(sent)}`);
    nodes[leader].process.kill("SIGKILL");
    const began = process.hrtime.bigint();
    const key = randomUUID();
    let turn = 0;
    await until("an accepted write", 60, async () => {
      const answer = await send(agent, others[turn++ % 2], key);
      return answer.status === 200 ? true : undefined;
    });
    times.push(Number(process.hrtime.bigint() - began) / 1e6);
    say(`  ${round + 1}: ${times.at(-1).toFixed(0)} ms`);
    start(nodes[leader]);
  }
  times.sort((a, b) => a - b);
  const at = (part) => times[Math.min(times.length - 1, Math.floor(times.length * part))].toFixed(0);
  console.log(`| rounds | min, ms | p50, ms | p90, ms | p99, ms | max, ms |`);
  console.log("| ---: | ---: | ---: | ---: | ---: | ---: |");
  console.log(`| ${times.length} | ${at(0)} | ${at(0.5)} | ${at(0.9)} | ${at(0.99)} | ${at(1)} |`);
}

try {
  await main();
} finally {
  for (const node of nodes) node.process?.kill("SIGKILL");
  await wait(200);
  rmSync(work, { recursive: true, force: true });
}
