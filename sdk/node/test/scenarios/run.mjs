// Runs the scenario suite (sdk/scenarios) with the installed package, against the relays of a rig:
// `rig.py EKHO_BINARY -- node run.mjs SUITE_FOLDER`. This file reads steps; agent.mjs does them.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Agent, signAsOperator } from './agent.mjs';
import { fill, mismatch } from './match.mjs';

const rigUrl = process.env.EKHO_RIG;
const relays = process.env.EKHO_RELAY_URL.split(',');
const fleetId = process.env.EKHO_FLEET_ID;
const POLL_MS = 50;

async function rig(path, body = {}) {
  const answer = await fetch(`${rigUrl}${path}`, { method: 'POST', body: JSON.stringify(body) });
  const value = await answer.json();
  if (!answer.ok) throw new Error(`the rig: ${JSON.stringify(value)}`);
  return value;
}

async function enrol(step, agents) {
  const { token } = await rig('/token');
  const trusted = (step.trusts ?? []).map((name) => agents.get(name));
  return Agent.enrol({ relays, fleetId, token, trusted, ...step });
}

/** What a step gives; thrown errors are its own business. */
async function perform(step, agents) {
  const agent = agents.get(step.as);
  if (step.call) return agent.call(step.call, step.with ?? {});
  if (step.adapter) return agent.adapterStep(step);
  if (step.stream) return agent.streamStep(step);
  if (step.sign) return signAsOperator(step.sign, fleetId);
  if (step.relay) return rig(`/${step.relay}`);
  if (step.operator) {
    const [method, path] = step.operator.split(' ');
    return rig('/operator', { method, path, body: step.body, headers: step.headers });
  }
  throw new Error(`unknown step ${JSON.stringify(step)}`);
}

function failure(error) {
  return {
    code: error.code,
    status_code: error.statusCode,
    has_request_id: error.requestId !== undefined,
    fields: Object.keys(error.validation?.fieldErrors ?? {}),
  };
}

async function once(step, agents) {
  let outcome;
  try {
    outcome = await perform(step, agents);
  } catch (error) {
    if (!step.fails) throw error;
    const wrong = mismatch(step.fails, failure(error), 'error');
    return { wrong: wrong && `${wrong}: ${error.stack}` };
  }
  if (step.fails) return { wrong: `it succeeded: ${JSON.stringify(outcome)}` };
  // As it would go over the wire: without what is undefined.
  const value = outcome === undefined ? null : JSON.parse(JSON.stringify(outcome));
  const wrong = step.expect === undefined ? undefined : mismatch(step.expect, value, 'answer');
  return { wrong: wrong && `${wrong} in ${JSON.stringify(value)}`, value };
}

async function runStep(raw, agents, known) {
  const step = fill(raw, known);
  if (step.agent) {
    const agent = await enrol(step, agents);
    agents.set(step.agent, agent);
    known[step.agent] = {
      agent_id: agent.agentId,
      key_id: agent.keyId,
      encryption_key_id: agent.encryptionKeyId,
    };
    return;
  }
  const ends = performance.now() + (step.eventually ?? 0) * 1000;
  for (;;) {
    const { wrong, value } = await once(step, agents);
    if (!wrong) {
      if (step.save) known[step.save] = value;
      return;
    }
    if (performance.now() >= ends) throw new Error(wrong);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

async function runScenario(scenario) {
  const agents = new Map();
  const known = { run: crypto.randomUUID() };
  try {
    for (const [index, step] of scenario.steps.entries()) {
      try {
        await runStep(step, agents, known);
      } catch (error) {
        const shown = JSON.stringify(step).slice(0, 300);
        throw new Error(`step ${index + 1} ${shown}\n      ${error.message}`, { cause: error });
      }
    }
  } finally {
    for (const agent of agents.values()) await agent.close();
  }
}

async function main(folder, only) {
  const { paths } = await (await fetch(`${relays[0]}/openapi.json`)).json();
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for (const file of readdirSync(folder).sort()) {
    const scenario = JSON.parse(readFileSync(join(folder, file), 'utf8'));
    if (only && file !== `${only}.json`) continue;
    if (scenario.nodes !== undefined && scenario.nodes !== relays.length) continue;
    if (scenario.needs && !(scenario.needs in paths)) {
      console.log(`  skipped ${scenario.name}: the relay does not offer ${scenario.needs}`);
      counts.skipped += 1;
      continue;
    }
    const began = performance.now();
    try {
      await runScenario(scenario);
      counts.passed += 1;
      console.log(`  ok      ${scenario.name} (${Math.round(performance.now() - began)} ms)`);
    } catch (error) {
      counts.failed += 1;
      console.log(`  FAILED  ${scenario.name} (${file})\n      ${error.message}`);
    }
  }
  const { passed, failed, skipped } = counts;
  console.log(`${passed} passed, ${failed} failed, ${skipped} skipped, on ${relays.length} node(s)`);
  if (failed > 0 || passed === 0) process.exitCode = 1;
}

await main(process.argv[2], process.argv[3]);
