#!/usr/bin/env node
// A node that was away while messages passed catches up by a snapshot, while more of them come:
// three nodes on this machine; one is stopped, messages are sent through the others, half of them
// handed out and acknowledged; load goes on, the node comes back, and the time is taken until it
// is a healthy follower again. Prints a markdown table; --json FILE keeps the figures. Nothing
// here fails because a figure is high.
//
//   benches/catch-up.mjs [--messages 1000000] [--payload-bytes 512] [--connections 16]
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Cluster, ekho, say, until, wait } from "./three.mjs";

const { values: options } = parseArgs({
  options: {
    messages: { type: "string", default: "1000000" },
    "payload-bytes": { type: "string", default: "512" },
    connections: { type: "string", default: "16" },
    seconds: { type: "string", default: "20" },
    json: { type: "string" },
  },
});
const messages = Number(options.messages);
const payload_bytes = Number(options["payload-bytes"]);
const payload = ["--payload-bytes", options["payload-bytes"]];
const cluster = new Cluster("catch-up", Number(process.env.BENCH_PORT ?? 4390), "info");
const [first, second, away] = cluster.nodes;
const agents = join(cluster.work, "agents.json");

// Sends through the second node, which follows; what it says at its end.
function bench(...args) {
  const common = ["--url", second.url, "--credentials", cluster.credentials, "--agents-file", agents];
  const child = spawn(ekho, ["bench", "--json", "--quiet", ...common, ...args], {
    env: { PATH: process.env.PATH, HOME: process.env.HOME },
    stdio: ["ignore", "pipe", "ignore"],
  });
  let text = "";
  child.stdout.on("data", (part) => (text += part));
  const result = new Promise((done, failed) => {
    child.on("close", () => {
      try {
        const { operations, measures, failed: refused } = JSON.parse(text);
        done({ ...operations[measures], refused });
      } catch (error) {
        failed(new Error(`ekho bench ${args.join(" ")}: ${error.message}`));
      }
    });
  });
  return { child, result };
}

const load = (...args) =>
  bench("-c", options.connections, ...payload, "--warmup-seconds", "0", ...args);

function memory(node) {
  const status = readFileSync(`/proc/${node.process.pid}/status`, "utf8");
  const kilobytes = (name) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)[1]);
  return { now: kilobytes("VmRSS") * 1024, peak: kilobytes("VmHWM") * 1024 };
}

// The peak counts from here on.
function forgetPeak(node) {
  writeFileSync(`/proc/${node.process.pid}/clear_refs`, "5");
}

function lines(node, message) {
  const all = readFileSync(node.log, "utf8").split("\n").filter(Boolean);
  const parsed = all.flatMap((line) => {
    try {
      return [JSON.parse(line)];
    } catch {
      return [];
    }
  });
  return parsed.map((line) => ({ ...line, ...line.fields })).filter((line) => line.message === message);
}

async function stop(node) {
  const ended = new Promise((done) => node.process.on("exit", done));
  node.process.kill("SIGTERM");
  await ended;
}

async function main() {
  await cluster.form();
  const receiver = { before: memory(away).now };
  await stop(away);
  say(`  node 3 is away; ${messages} messages`);
  const half = Math.floor(messages / 2);
  const batch = Math.max(1, Math.min(50, Math.floor(200_000 / payload_bytes)));
  const pass = async () => {
    const sent = await bench("--messages", String(half), "--batch", String(batch), "-c", "8", ...payload).result;
    if (sent.succeeded < half) throw new Error(`only ${sent.succeeded} of ${half} were accepted`);
  };
  await pass();
  await bench("--mode", "receive", "-c", "16").result;
  await pass();
  const { leader } = await cluster.status(first);
  const leading = cluster.nodes[leader - 1];
  if (leading.log === away.log) throw new Error("node 3 leads and is away");
  // A short run writes less log than calls for a snapshot by itself; a backup takes one.
  if (lines(leading, "built a snapshot").length === 0) {
    const taken = await fetch(`${leading.url}/v1/operator/backup`, {
      headers: { authorization: `Bearer ${cluster.session.token}` },
    });
    for await (const _ of taken.body);
  }

  say("  load alone");
  const before = await load("--duration-seconds", options.seconds).result;
  const sender = { before: memory(leading).now };
  forgetPeak(leading);
  const during = load("--duration-seconds", "3600");
  await wait(1000);
  say("  node 3 comes back");
  const missed = (await cluster.status(first)).nodes[leader - 1].log_index;
  const began = Date.now();
  cluster.start(away);
  // All that it missed, and what came since but for a few entries.
  const caughtUp = async () => {
    const node = (await cluster.status(first)).nodes[2];
    const good = node.health === "ok" && node.role === "follower";
    return good && node.applied_index >= missed && node.lag_entries < 20 ? true : undefined;
  };
  await until("node 3 has caught up", 1800, caughtUp, 100);
  const seconds = (Date.now() - began) / 1000;
  during.child.kill("SIGINT");
  const meanwhile = await during.result;
  sender.peak = memory(leading).peak;
  receiver.peak = memory(away).peak;
  const transfers = lines(away, "a snapshot is on its way here");
  const installed = lines(away, "installed a snapshot").length;
  const sum = (name) => transfers.reduce((all, line) => all + line[name], 0);
  const result = {
    messages,
    seconds,
    snapshots_installed: installed,
    transfers: transfers.length,
    transferred_bytes: sum("missing_bytes"),
    sender_rss_bytes: sender,
    receiver_rss_bytes: receiver,
    sends_per_s: { before: before.per_s, during: meanwhile.per_s },
    send_max_ms: { before: before.latency_ms.max, during: meanwhile.latency_ms.max },
    refused: before.refused + meanwhile.refused,
  };
  if (installed === 0) say("  node 3 needed no snapshot: more messages, or larger ones");
  if (options.json) writeFileSync(options.json, `${JSON.stringify(result, null, 2)}\n`);
  const mib = (bytes) => (bytes / 2 ** 20).toFixed(0);
  const row = (cells) => console.log(`| ${cells.join(" | ")} |`);
  row(["passed", "snapshots", "sent, MiB", "until healthy, s", "sender, MiB", "receiver, MiB", "sends/s before", "during", "slowest send, ms"]);
  row(Array(9).fill("---:"));
  row([
    messages,
    installed,
    mib(result.transferred_bytes),
    seconds.toFixed(1),
    `${mib(sender.before)} → ${mib(sender.peak)}`,
    `${mib(receiver.before)} → ${mib(receiver.peak)}`,
    before.per_s.toFixed(0),
    meanwhile.per_s.toFixed(0),
    `${before.latency_ms.max.toFixed(0)} → ${meanwhile.latency_ms.max.toFixed(0)}`,
  ]);
}

try {
  await main();
} finally {
  await cluster.end();
}
