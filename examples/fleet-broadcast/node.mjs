// One agent tells the whole fleet something; every other agent gets it, also one that was away, and
// the sender sees who has acked. `./dev example fleet-broadcast`

import { EkhoAgentAdapter, EkhoAgentClient } from '@ekho/sdk';
import { done, enrol, tell } from './shared/rig.mjs';

const names = ['Alpha', 'Beta', 'Gamma'];
const answers = new Set();

function member(name, credentials) {
  return new EkhoAgentAdapter(credentials, {
    onMessage: async (message, _, { reply }) => {
      tell(name.toLowerCase(), `hears: ${message.body.text}`);
      // However often the message comes, this is one answer.
      await reply({ from: name }, {}, { idempotencyKey: `answer-${message.message_id}` });
    },
  });
}

const credentials = await Promise.all(names.map(enrol));
const members = names.map((name, index) => member(name, credentials[index]));
// Gamma is away for now.
await Promise.all(members.slice(0, 2).map((one) => one.start()));

const caller = new EkhoAgentClient(await enrol('Caller'));
const { message_id } = await caller.sendMessage({
  recipient: { kind: 'broadcast' },
  message_type: 'broadcast',
  body: { text: 'Maintenance at noon.' },
  conversation_id: 'conv-notice',
  ttl_seconds: 3600,
});
tell('caller', `tells the fleet: ${message_id}`);

const ends = performance.now() + 30_000;
while (answers.size < names.length && performance.now() < ends) {
  const { messages } = await caller.getInbox({ waitSeconds: 5 });
  for (const message of messages) answers.add(message.body.from);
  if (messages.length > 0) await caller.ackMessages(messages);
  if (answers.size >= 2 && !members[2].running) {
    tell('gamma', 'comes back');
    await members[2].start();
  }
}
await Promise.all(members.map((one) => one.stop()));
const { deliveries } = await caller.getMessage(message_id);
const acked = deliveries.filter(({ status }) => status === 'acked').length;
tell('caller', `has answers of ${[...answers].sort().join(', ')}; ${acked} acked`);
if (answers.size !== names.length || acked !== names.length) process.exit(1);
done();
