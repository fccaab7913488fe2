// An agent cannot work on a message until its back end is mended. After its last try the message is
// a dead letter; an operator reads why, and sends it on its way again once things are mended.
// `./dev example dead-letter-redrive`

import { EkhoAgentAdapter, EkhoAgentClient } from '@ekho/sdk';
import { done, enrol, operator, signal, tell } from './shared/rig.mjs';

let mended = false;
const handled = signal();

const worker = new EkhoAgentAdapter(
  await enrol('Worker'),
  {
    onMessage: (message) => {
      tell('worker', `tries order ${message.body.order}, attempt ${message.attempt}`);
      if (!mended) throw new Error('the back end is away');
      handled.resolve();
    },
  },
  { onError: () => undefined },
);
await worker.start();

const client = new EkhoAgentClient(await enrol('Shop'));
const { message_id } = await client.sendMessage({
  recipient: { kind: 'agent', id: worker.agentId },
  message_type: 'direct',
  body: { order: 42 },
  conversation_id: 'conv-orders',
  ttl_seconds: 3600,
});

async function until(status) {
  const ends = performance.now() + 30_000;
  for (;;) {
    const state = await client.getMessage(message_id);
    if (state.status === status) return state;
    if (performance.now() > ends) throw new Error(`${message_id} is ${state.status}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

await until('dead_lettered');
const path = `/v1/operator/dead-letters?recipient_agent_id=${worker.agentId}`;
const [letter] = (await operator('GET', path)).dead_letters;
tell('operator', `reads ${letter.id}: ${letter.failure_reason}`);
mended = true;
tell('operator', 'has the back end mended, and redrives it');
await operator('POST', '/v1/operator/dead-letters/redrive', { ids: [letter.id] });
await handled.promise;
await worker.stop();
await until('acked');
tell('shop', `${message_id} is acked`);
done();
