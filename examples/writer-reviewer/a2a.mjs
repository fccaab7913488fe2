// The same over A2A: the writer is no agent of the fleet but any A2A client, here with nothing but
// fetch; the reviewer answers its tasks. `./dev example writer-reviewer.a2a`

import { randomUUID } from 'node:crypto';
import { EkhoAgentAdapter } from '@ekho/sdk';
import { done, enrol, operator, relays, tell } from './shared/rig.mjs';

const reviewer = new EkhoAgentAdapter(await enrol('Reviewer'), {
  onMessage: async (message, _, { task }) => {
    const text = message.body.message.parts[0].text;
    if (!text.includes('jumps')) {
      tell('reviewer', `reads the draft: ${text}`);
      await task.requireInput('A frog should jump. Let it.');
      return;
    }
    tell('reviewer', `reads the revision: ${text}`);
    await task.artifact({ artifactId: 'review', parts: [{ text: 'Print it.' }] });
    await task.complete('A fine haiku.');
  },
});
await reviewer.start();
await reviewer.client.putAgentCard({
  description: 'Reviews haiku.',
  skills: [{ id: 'review', name: 'Review', description: 'Reviews a haiku', tags: ['text'] }],
});

// An operator gives the writer a bearer token.
const { token } = await operator('POST', '/v1/operator/a2a/clients', { name: `Writer ${randomUUID()}` });

async function send(text, taskId) {
  const message = { messageId: randomUUID(), role: 'ROLE_USER', parts: [{ text }], ...(taskId && { taskId }) };
  const answer = await fetch(`${relays[0]}/agents/${reviewer.agentId}/a2a`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${token}`,
      'a2a-version': '1.0',
      'content-type': 'application/json',
    },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'SendMessage', params: { message } }),
  });
  const { result, error } = await answer.json();
  if (error) throw new Error(JSON.stringify(error));
  return result.task;
}

// A request blocks until the task is over, or its agent asks back.
const draft = 'An old silent pond / a frog sits by the pond / it is very quiet.';
tell('writer', `sends a draft: ${draft}`);
const asked = await send(draft);
tell('writer', `is asked back: ${asked.status.message.parts[0].text}`);
const revision = 'An old silent pond / a frog jumps into the pond / splash! Silence again.';
tell('writer', `sends a revision: ${revision}`);
const reviewed = await send(revision, asked.id);
tell('writer', `reads the review: ${reviewed.artifacts[0].parts[0].text}`);
tell('relay', `${reviewed.id} is ${reviewed.status.state}`);
await reviewer.stop();
if (reviewed.status.state !== 'TASK_STATE_COMPLETED') process.exit(1);
done();
