// What programs write, as the compiler sees it: read against the installed package, as an ES module
// and as CommonJS, with the types of Node and without those of a browser. Nothing here is run.

import {
  type AdapterHooks,
  AgentIdentity,
  EkhoAgentAdapter,
  EkhoAgentClient,
  EkhoEncryptionError,
  EkhoRequestError,
  type Encryption,
  EncryptionKey,
  type InboxMessage,
  KeyRing,
  openTelemetry,
  type SendMessagePayload,
  type SendMessageResult,
  type Verification,
} from '@ekho/sdk';
import { Verifier } from '@ekho/sdk/identity';

type Equal<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function holds<_T extends true>(): void {}

const credentials = { agentId: 'agent_1', secret: 's', relayBaseUrl: 'http://a.test' };

export async function calls(client: EkhoAgentClient): Promise<void> {
  const message: SendMessagePayload = {
    recipient: { kind: 'agent', id: 'agent_2' },
    message_type: 'direct',
    body: { text: 'hi' },
    conversation_id: 'c',
  };
  const sent = await client.sendMessage(message, {
    idempotencyKey: 'k',
    signal: AbortSignal.timeout(5),
  });
  holds<Equal<typeof sent, SendMessageResult>>();
  const inbox = await client.getInbox({ limit: 10, waitSeconds: 30, types: ['direct'] });
  holds<Equal<(typeof inbox.messages)[number], InboxMessage>>();
  holds<Equal<InboxMessage['verification'], Verification>>();
  await client.getInbox(25);
  const [first] = await client.sendBatch([message, { ...message, idempotency_key: 'b' }]);
  if (first && first.code === undefined) holds<Equal<typeof first.message_id, string>>();
  const decision = await client.proposeAction({
    conversation_id: 'c',
    action_type: 'deploy',
    summary: 'Deploy',
    risk_level: 'high',
  });
  if (decision.decision === 'pending_approval') {
    holds<Equal<typeof decision.approval_id, string>>();
  }
  for await (const event of client.inboxStream()) {
    if (event.kind === 'message') holds<Equal<typeof event.message, InboxMessage>>();
  }
  const { bytes } = await client.downloadAttachment('att_1');
  holds<Equal<typeof bytes, Uint8Array>>();

  await client.sendMessage({ ...message, encrypt_for: ['agent_2'] });
  holds<Equal<InboxMessage['encryption'], Encryption>>();
  const { key } = await EncryptionKey.generate();
  const encrypts = new EkhoAgentClient(credentials, { encryptionKeys: [key] });
  const { key_id } = await encrypts.publishEncryptionKey();
  holds<Equal<typeof key_id, string>>();
  const { revoked_key_id } = await encrypts.revokeEncryptionKey();
  holds<Equal<typeof revoked_key_id, string | null>>();
  const [found] = (await client.getEncryptionKeys('agent_2')).keys;
  if (found) holds<Equal<typeof found.signature, string | null>>();
  // @ts-expect-error readers are ids
  await client.sendMessage({ ...message, encrypt_for: true });
  // @ts-expect-error a list of keys
  new EkhoAgentClient(credentials, { encryptionKeys: key });

  // @ts-expect-error no such kind of recipient
  await client.sendMessage({ ...message, recipient: { kind: 'nobody' } });
  // @ts-expect-error a body is an object
  await client.sendMessage({ ...message, body: 'text' });
  // @ts-expect-error seconds are a number
  await client.getInbox({ waitSeconds: '1' });
  // @ts-expect-error there is no such field
  sent.no_such_field;
}

export async function adapters(): Promise<void> {
  const { identity, seed } = await AgentIdentity.generate();
  holds<Equal<typeof seed, string>>();
  const keyRing = new KeyRing('flt_1');
  const hooks: AdapterHooks = {
    onMessage: async (message, adapter, { task, signal, reply }) => {
      await task?.complete('done');
      if (!signal.aborted) await reply({ echo: message.body }, { message_type: 'complete' });
      await adapter.send({
        recipient: { kind: 'broadcast' },
        message_type: 'alert',
        body: {},
        conversation_id: message.conversation_id,
      });
    },
    onControl: (control) => console.log(control.action),
  };
  const adapter = new EkhoAgentAdapter(credentials, hooks, { identity, keyRing, concurrency: 4 });
  await adapter.start();
  const report = await adapter.stop({ deadlineMs: 100 });
  holds<Equal<typeof report.handedBack, string[]>>();
  new EkhoAgentAdapter(new EkhoAgentClient(credentials), {}).status();
  // @ts-expect-error a hook takes a message first
  new EkhoAgentAdapter(credentials, { onMessage: async (message: number) => void message });
  // @ts-expect-error there is no such setting
  new EkhoAgentClient(credentials, { retries: 3 });
  void new Verifier(keyRing, 'agent_1');
}

export function failures(error: unknown): string | undefined {
  if (error instanceof EkhoEncryptionError) return error.reason;
  return error instanceof EkhoRequestError ? (error.requestId ?? error.code) : undefined;
}

export function traces(api: {
  context: { active(): symbol; with<T>(context: symbol, run: () => T): T };
  propagation: {
    inject(context: symbol, carrier: Record<string, string>): void;
    extract(context: symbol, carrier: Record<string, string>): symbol;
  };
}): EkhoAgentClient {
  return new EkhoAgentClient(credentials, { telemetry: openTelemetry(api) });
}
