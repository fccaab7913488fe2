#!/usr/bin/env node
// How long after the leader's death the first write is accepted: three nodes on this machine, the
// leader is killed, an agent asks the other two in turn until one accepts, the dead node comes
// back; again and again. Prints a markdown table of the distribution. Nothing here fails because a
// figure is high.
//
//   benches/failover.mjs [--rounds 50]
import { createHash, createHmac, randomUUID } from "node:crypto";
import { parseArgs } from "node:util";
import { Cluster, call, say, until } from "./three.mjs";

const { values: options } = parseArgs({ options: { rounds: { type: "string", default: "50" } } });
const rounds = Number(options.rounds);
const cluster = new Cluster("failover", Number(process.env.BENCH_PORT ?? 4290));
const nodes = cluster.nodes;

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

async function enrol(name) {
  const token = await cluster.operator(nodes[0], "POST", "/v1/operator/enrollment-tokens", {});
  const request = {
    fleet_id: cluster.session.fleet_id,
    token: token.json.token,
    display_name: name,
    runtime: "custom",
  };
  return (await call(nodes[0].url, "POST", "/v1/enroll", request)).json;
}

async function main() {
  await cluster.form();
  const agent = await enrol("sender");
  agent.to = (await enrol("receiver")).agent_id;

  const times = [];
  for (let round = 0; round < rounds; round += 1) {
    const status = await cluster.whole(nodes[round % 3]);
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
    cluster.start(nodes[leader]);
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
  await cluster.end();
}
