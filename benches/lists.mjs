#!/usr/bin/env node
// How long the operator API's lists take on a relay that just started and on one that holds much:
// starts a relay of its own, times every list, fills it with `ekho bench`, and times them again.
// Prints a markdown table. Nothing here fails because a figure is high.
//
//   benches/lists.mjs [--agents 10000] [--events 1000000] [--rounds 200]
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import http from "node:http";
import { homedir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

const { values: options } = parseArgs({
  options: {
    agents: { type: "string", default: "10000" },
    events: { type: "string", default: "1000000" },
    rounds: { type: "string", default: "200" },
  },
});
const [agents, events, rounds] = [options.agents, options.events, options.rounds].map(Number);
const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "ekho");
const target = process.env.CARGO_TARGET_DIR ?? join(cache, "target");
const ekho = process.env.EKHO_BIN ?? join(target, "release/ekho");
const port = Number(process.env.BENCH_PORT ?? 4181);
const url = `http://127.0.0.1:${port}`;
const data = mkdtempSync(join(process.env.BENCH_WORK_DIR ?? cache, "lists."));
const env = {
  PATH: process.env.PATH,
  HOME: process.env.HOME,
  EKHO_DATA_DIR: data,
  EKHO_PORT: String(port),
  EKHO_BASE_URL: url,
  EKHO_LOG: "warn",
  EKHO_RATE_LIMIT_MAX_MESSAGES: "1000000000",
  EKHO_LOGIN_FAILURES_PER_ADDRESS: "1000000",
};
const say = (text) => process.stderr.write(`${text}\n`);
const wait = (ms) => new Promise((done) => setTimeout(done, ms));

const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
let token = "";

function call(method, path, body) {
  return new Promise((done, failed) => {
    const headers = { "content-type": "application/json" };
    if (token) headers.authorization = `Bearer ${token}`;
    const request = http.request(url + path, { method, headers, agent }, (answer) => {
      const chunks = [];
      answer.on("data", (chunk) => chunks.push(chunk));
      answer.on("end", () => {
        const text = Buffer.concat(chunks).toString();
        if (answer.statusCode >= 300) failed(new Error(`${path}: ${answer.statusCode} ${text}`));
        else done(JSON.parse(text));
      });
    });
    request.on("error", failed);
    request.end(body ? JSON.stringify(body) : undefined);
  });
}

async function median(path) {
  const times = [];
  for (let round = 0; round < rounds; round += 1) {
    const begun = process.hrtime.bigint();
    await call("GET", path);
    times.push(Number(process.hrtime.bigint() - begun) / 1e6);
  }
  times.sort((a, b) => a - b);
  return times[Math.floor(times.length / 2)];
}

const paths = [
  "overview",
  "agents",
  "agents?sortBy=display_name",
  "agents?sortBy=last_seen_at&sortOrder=desc",
  "agents?status=healthy",
  "agents?search=bench",
  "events",
  "events?type=agent",
  "events?type=message",
  "events?type=message.queued",
  "events?sortOrder=asc",
  "approvals",
  "approvals?status=pending&sortBy=risk_level",
  "dead-letters",
  "policies",
  "conversations",
  "search?q=nothing",
  "rooms",
  "operators",
  "sessions",
  "activity",
  "topology",
  "fleet-health",
  "audit",
].map((path) => `/v1/operator/${path}`);

async function measure() {
  const found = new Map();
  for (const path of paths) found.set(path, await median(path));
  return found;
}

async function main() {
  const set = spawnSync(ekho, ["setup", "--non-interactive"], { env, encoding: "utf8" });
  if (set.status !== 0) throw new Error(set.stderr);
  const relay = spawn(ekho, ["serve"], { env, stdio: ["ignore", "ignore", "inherit"] });
  try {
    for (let tries = 0; ; tries += 1) {
      try {
        await call("GET", "/readyz");
        break;
      } catch (error) {
        if (tries > 300) throw error;
        await wait(100);
      }
    }
    const owner = JSON.parse(readFileSync(join(data, "credentials.json"), "utf8"));
    const { fleet_name, email, password } = owner;
    token = (await call("POST", "/v1/operator/login", { fleet_name, email, password })).token;
    await median(paths[0]);
    say("timing an empty relay");
    const empty = await measure();

    say(`enrolling ${agents} agents, then messages until there are ${events} events`);
    const file = join(data, "bench-agents.json");
    const bench = (...more) => {
      const args = ["bench", "--url", url, "--agents-file", file, "-q", ...more];
      const done = spawnSync(ekho, args, { env, encoding: "utf8" });
      if (done.status !== 0) throw new Error(`ekho ${args.join(" ")}: ${done.stderr}`);
    };
    // Some messages that are received and acked, then many that wait.
    const received = ["--mode", "mixed", "-c", "64", "--payload-bytes", "64"];
    bench("--agents", String(agents), ...received, "--duration-seconds", "10");
    let head = 0;
    for (; head < events; head = (await call("GET", "/v1/operator/audit")).head_seq) {
      const load = ["-c", "8", "--batch", "100", "--payload-bytes", "64", "--duration-seconds", "5"];
      bench("--agents", String(agents), ...load);
      say(`  ${head} events`);
    }
    // What people search by is worked out behind the load.
    for (let last = -1, count = 0; count !== last; ) {
      last = count;
      await wait(5000);
      const { spans } = await call("GET", "/v1/operator/activity?window_minutes=60");
      count = spans.reduce((sum, span) => sum + span.accepted + span.acked, 0);
    }
    const { total } = await call("GET", "/v1/operator/agents?limit=1");
    say(`timing with ${total} agents and ${head} events`);
    const full = await measure();

    console.log(`| GET | empty, ms | ${total} agents and ${head} events, ms | ratio |`);
    console.log("| --- | ---: | ---: | ---: |");
    for (const path of paths) {
      const [a, b] = [empty.get(path), full.get(path)];
      console.log(`| \`${path}\` | ${a.toFixed(2)} | ${b.toFixed(2)} | ${(b / a).toFixed(1)} |`);
    }
  } finally {
    relay.kill("SIGTERM");
    await new Promise((done) => relay.on("exit", done));
    rmSync(data, { recursive: true, force: true });
    agent.destroy();
  }
}

await main();
