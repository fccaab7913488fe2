// A writer hands a draft to a reviewer, the reviewer sends a critique back, the writer says that the
// text is complete. `./dev example writer-reviewer.node`

import { EkhoAgentAdapter } from '@ekho/sdk';
import { done, enrol, signal, tell } from './shared/rig.mjs';

const completed = signal();

const reviewer = new EkhoAgentAdapter(await enrol('Reviewer'), {
  onMessage: async (message, _, { reply }) => {
    if (message.message_type === 'handoff') {
      tell('reviewer', `reads the draft: ${message.body.text}`);
      const text = 'A frog should jump. Let it.';
      tell('reviewer', `sends a critique: ${text}`);
      await reply({ text, verdict: 'revise' });
    }
    if (message.message_type === 'complete') {
      tell('reviewer', `reads the complete text: ${message.body.text}`);
      completed.resolve();
    }
  },
});

const writer = new EkhoAgentAdapter(await enrol('Writer'), {
  onMessage: async (message, _, { reply }) => {
    tell('writer', `reads the critique: ${message.body.text}`);
    const text = 'An old silent pond / a frog jumps into the pond / splash! Silence again.';
    tell('writer', `sends the complete text: ${text}`);
    await reply({ text, revision: 2 }, { message_type: 'complete' });
  },
});

await Promise.all([reviewer.start(), writer.start()]);
const text = 'An old silent pond / a frog sits by the pond / it is very quiet.';
tell('writer', `sends a draft: ${text}`);
await writer.send({
  recipient: { kind: 'agent', id: reviewer.agentId },
  message_type: 'handoff',
  body: { text, revision: 1 },
  conversation_id: 'conv-haiku',
});
await completed.promise;
// Stopping lets the last handlers finish, so that everything is acked afterwards.
await Promise.all([reviewer.stop(), writer.stop()]);
done();
