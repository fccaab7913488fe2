// What an example needs besides the SDK: agents to enrol, and an operator's part. The relay is the
// one that examples/run.sh started (sdk/scenarios/rig.py).

import { EkhoAgentClient } from '@ekho/sdk';

const began = performance.now();
export const relays = (process.env.EKHO_RELAY_URL ?? '').split(',');
export const fleetId = process.env.EKHO_FLEET_ID;

async function ask(path, body = {}) {
  const answer = await fetch(`${process.env.EKHO_RIG}${path}`, {
    method: 'POST',
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`the rig: ${await answer.text()}`);
  return answer.json();
}

/** Credentials of a new agent. */
export async function enrol(display_name) {
  const { token } = await ask('/token');
  const { agent_id, secret } = await EkhoAgentClient.enroll(relays, {
    fleet_id: fleetId,
    token,
    display_name,
  });
  return { agentId: agent_id, secret, relayBaseUrl: relays };
}

/** A request of the operator API, in the owner's name. */
export async function operator(method, path, body, headers) {
  const { status, body: answer } = await ask('/operator', { method, path, body, headers });
  if (status >= 300) throw new Error(`${method} ${path}: ${status} ${JSON.stringify(answer)}`);
  return answer;
}

/** One line of the transcript. */
export function tell(who, what) {
  console.log(`${who.padStart(9)}  ${what}`);
}

export function done() {
  tell('done', `in ${((performance.now() - began) / 1000).toFixed(1)} s`);
}

/** A promise and what resolves it. */
export function signal() {
  let resolve;
  const promise = new Promise((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
