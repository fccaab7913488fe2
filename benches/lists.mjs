#!/usr/bin/env node
// How long the operator API's lists take on a relay that holds much, beside one that is empty:
// starts both, fills one with `ekho bench`, and asks them in turn, so that both meet the same
// machine. Prints a markdown table. Nothing here fails because a figure is high.
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
const work = mkdtempSync(join(process.env.BENCH_WORK_DIR ?? cache, "lists."));
const firstPort = Number(process.env.BENCH_PORT ?? 4181);
const say = (text) => process.stderr.write(`${text}\n`);
const wait = (ms) => new Promise((done) => setTimeout(done, ms));

/** A relay of our own, its owner signed in. */
class Relay {
  constructor(name, port) {
    this.url = `http://127.0.0.1:${port}`;
    this.data = join(work, name);
    this.env = {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      EKHO_DATA_DIR: this.data,
      EKHO_PORT: String(port),
      EKHO_BASE_URL: this.url,
      EKHO_LOG: "warn",
      EKHO_RATE_LIMIT_MAX_MESSAGES: "1000000000",
      EKHO_LOGIN_FAILURES_PER_ADDRESS: "1000000",
    };
    this.agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  }

  async start() {
    const set = spawnSync(ekho, ["setup", "--non-interactive"], { env: this.env, encoding: "utf8" });
    if (set.status !== 0) throw new Error(set.stderr);
    const stdio = ["ignore", "ignore", "inherit"];
    this.process = spawn(ekho, ["serve"], { env: this.env, stdio });
    for (let tries = 0; ; tries += 1) {
      try {
        await this.json("GET", "/readyz");
        break;
      } catch (error) {
        if (tries > 300) throw error;
        await wait(100);
      }
    }
    const owner = JSON.parse(readFileSync(join(this.data, "credentials.json"), "utf8"));
    const { fleet_name, email, password } = owner;
    const login = { fleet_name, email, password };
    this.token = (await this.json("POST", "/v1/operator/login", login)).token;
  }

  async stop() {
    this.agent.destroy();
    if (!this.process) return;
    const ended = new Promise((done) => this.process.on("exit", done));
    this.process.kill("SIGTERM");
    await ended;
  }

  call(method, path, body) {
    return new Promise((done, failed) => {
      const headers = { "content-type": "application/json" };
      if (this.token) headers.authorization = `Bearer ${this.token}`;
      const options = { method, headers, agent: this.agent };
      const request = http.request(this.url + path, options, (answer) => {
        const chunks = [];
        answer.on("data", (chunk) => chunks.push(chunk));
        answer.on("end", () => {
          const text = Buffer.concat(chunks).toString();
          if (answer.statusCode >= 300) failed(new Error(`${path}: ${answer.statusCode} ${text}`));
          else done(text);
        });
      });
      request.on("error", failed);
      request.end(body ? JSON.stringify(body) : undefined);
    });
  }

  async json(method, path, body) {
    return JSON.parse(await this.call(method, path, body));
  }

  async timed(path) {
    const begun = process.hrtime.bigint();
    await this.call("GET", path);
    return Number(process.hrtime.bigint() - begun) / 1e6;
  }
}

/** Median times of a path, the relays asked in turn. */
async function medians(relays, path) {
  const times = relays.map(() => []);
  for (let round = 0; round < rounds; round += 1) {
    for (const [place, relay] of relays.entries()) times[place].push(await relay.timed(path));
  }
  return times.map((all) => all.sort((a, b) => a - b)[Math.floor(all.length / 2)]);
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

async function fill(relay) {
  say(`enrolling ${agents} agents, then messages until there are ${events} events`);
  const file = join(work, "bench-agents.json");
  const bench = (...more) => {
    const args = ["bench", "--url", relay.url, "--agents-file", file, "-q", ...more];
    const done = spawnSync(ekho, args, { env: relay.env, encoding: "utf8" });
    if (done.status !== 0) throw new Error(`ekho ${args.join(" ")}: ${done.stderr}`);
  };
  // Some messages that are received and acked, then many that wait.
  const received = ["--mode", "mixed", "-c", "64", "--payload-bytes", "64"];
  bench("--agents", String(agents), ...received, "--duration-seconds", "10");
  let head = 0;
  while (head < events) {
    const load = ["-c", "8", "--batch", "100", "--payload-bytes", "64", "--duration-seconds", "5"];
    bench("--agents", String(agents), ...load);
    head = (await relay.json("GET", "/v1/operator/audit")).head_seq;
    say(`  ${head} events`);
  }
  // What people search by is worked out behind the load.
  for (let last = -1, count = 0; count !== last; ) {
    last = count;
    await wait(5000);
    const { spans } = await relay.json("GET", "/v1/operator/activity?window_minutes=60");
    count = spans.reduce((sum, span) => sum + span.accepted + span.acked, 0);
  }
  return head;
}

async function main() {
  const relays = [new Relay("empty", firstPort), new Relay("full", firstPort + 1)];
  const [empty, full] = relays;
  try {
    await empty.start();
    await full.start();
    const head = await fill(full);
    const { total } = await full.json("GET", "/v1/operator/agents?limit=1");
    say(`timing with ${total} agents and ${head} events`);
    await medians(relays, paths[0]);
    console.log(`| GET | empty, ms | ${total} agents and ${head} events, ms | ratio |`);
    console.log("| --- | ---: | ---: | ---: |");
    for (const path of paths) {
      const [a, b] = await medians(relays, path);
      console.log(`| \`${path}\` | ${a.toFixed(2)} | ${b.toFixed(2)} | ${(b / a).toFixed(1)} |`);
    }
  } finally {
    for (const relay of relays) await relay.stop();
    rmSync(work, { recursive: true, force: true });
  }
}

await main();
