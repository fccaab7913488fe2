// Renders the results that run.sh left in a directory as one markdown table and a list of facts.
// Reads files, prints text; needs nothing but Node.
//
//   node benches/table.mjs DIRECTORY

import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

const directory = process.argv[2];
if (!directory) {
  console.error("usage: node table.mjs DIRECTORY");
  process.exit(2);
}

const MIB = 1024 * 1024;
const grouped = (value, digits = 0) =>
  value === null || value === undefined
    ? ""
    : value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
// Three significant places are all a latency is worth.
const milliseconds = (value) => (value === undefined ? "" : grouped(value, value < 1 ? 3 : value < 100 ? 2 : 0));

function describe(config) {
  const parts = [config.mode, `c=${config.connections}`];
  if (config.rate) parts.push(`${config.rate}/s offered`);
  if (config.batch > 1) parts.push(`batches of ${config.batch}`);
  if (config.receivers) parts.push(`${config.receivers} long polls`);
  if (config.mode !== "idle-poll" && config.mode !== "receive") parts.push(`${config.payload_bytes} B`);
  return parts.join(", ");
}

function row(name, what, operation, result) {
  const latency = operation?.corrected_latency_ms ?? operation?.latency_ms ?? {};
  const relay = result.relay ?? {};
  const written =
    relay.write_bytes !== null && relay.write_bytes !== undefined && operation?.succeeded
      ? relay.write_bytes / operation.succeeded
      : undefined;
  return [
    name,
    what,
    grouped(operation?.per_s),
    ...["p50", "p90", "p99", "p999", "max"].map((key) => milliseconds(latency[key])),
    grouped(relay.cpu_percent, 1),
    grouped(result.generator?.cpu_percent, 1),
    relay.rss_bytes ? grouped(relay.rss_bytes / MIB) : "",
    grouped(written),
    grouped(result.failed + result.unsent_calls + (result.undelivered ?? 0)),
  ];
}

const header = [
  "run", "what", "per s", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms",
  "relay CPU %", "generator CPU %", "relay RSS MiB", "disk bytes each", "failed",
];
const rows = [];
const notes = [];
for (const file of readdirSync(directory).filter((file) => file.endsWith(".json")).sort()) {
  const result = JSON.parse(readFileSync(join(directory, file), "utf8"));
  const name = file.replace(/\.json$/, "");
  const main = result.operations[result.measures];
  rows.push(row(name, `${describe(result.config)}: ${result.measures}`, main, result));
  if (result.config.mode === "mixed") {
    // The other half of a mixed run; what the process used is in the row above.
    const delivery = row("", "delivery, send to poll answer", result.operations.delivery, { ...result, relay: {}, generator: {} });
    rows.push(delivery.with(delivery.length - 1, ""));
  }
  if (result.config.mode === "idle-poll" && result.relay) {
    const { cpu_percent, write_bytes } = result.relay;
    notes.push(
      `${grouped(result.config.agents)} idle long polls for ${grouped(result.elapsed_seconds)} s: ` +
        `${grouped(cpu_percent, 1)} % of a core, ${grouped(write_bytes)} bytes written in all`,
    );
  }
}

const line = (cells) => `| ${cells.join(" | ")} |`;
console.log(line(header));
console.log(line(header.map((_, at) => (at < 2 ? "---" : "---:"))));
for (const cells of rows) console.log(line(cells));

const facts = join(directory, "facts.jsonl");
if (existsSync(facts)) {
  console.log("");
  for (const text of readFileSync(facts, "utf8").split("\n").filter(Boolean)) {
    const { name, value, unit } = JSON.parse(text);
    const shown = unit === "bytes" ? `${grouped(value / MIB, 1)} MiB` : `${grouped(value)} ${unit}`.trim();
    console.log(`- ${name}: ${shown}`);
  }
}

for (const note of notes) console.log(`- ${note}`);

const empty = rows.find(([name]) => name === "01-send-64");
const full = rows.find(([name]) => name === "08-send-64-full");
if (empty && full) {
  const number = (cells) => Number(cells[2].replaceAll(",", ""));
  console.log(`- throughput full against empty: ${grouped((100 * number(full)) / number(empty))} %`);
}
