// An agent of a scenario: the calls, the adapter and the stream by the names that scenarios use.

import {
  AgentIdentity,
  EkhoAgentAdapter,
  EkhoAgentClient,
  EncryptionKey,
  KeyRing,
  signMessage,
} from '@ekho/sdk';

const CALLS = {
  send_message: (client, { message, idempotency_key }) =>
    client.sendMessage(message, idempotency_key ? { idempotencyKey: idempotency_key } : {}),
  send_batch: (client, { messages }) => client.sendBatch(messages),
  get_message: (client, { message_id }) => client.getMessage(message_id),
  cancel_message: (client, { message_id }) => client.cancelMessage(message_id),
  get_inbox: (client, { limit, wait_seconds, types }) =>
    client.getInbox({ limit, waitSeconds: wait_seconds, types }).then(readable),
  ack_messages: (client, { acks }) => client.ackMessages(acks),
  nack_messages: (client, { nacks }) => client.nackMessages(nacks),
  extend_leases: (client, { leases }) => client.extendLeases(leases),
  heartbeat: (client, { heartbeat }) => client.heartbeat(heartbeat),
  propose_action: (client, { action }) => client.proposeAction(action),
  get_approval: (client, { approval_id }) => client.getApproval(approval_id),
  action_result: (client, { result }) => client.actionResult(result),
  create_room: (client, { room }) => client.createRoom(room),
  raise_notice: (client, { notice }) => client.raiseNotice(notice),
  acquire_floor: (client, { conversation_id, ttl_seconds }) =>
    client.acquireFloor(conversation_id, ttl_seconds),
  release_floor: (client, { conversation_id }) => client.releaseFloor(conversation_id),
  register_identity_key: (client, { public_key }) => client.registerIdentityKey(public_key),
  get_identity_keys: (client, { agent_id }) => client.getIdentityKeys(agent_id),
  publish_encryption_key: (client) => client.publishEncryptionKey(),
  revoke_encryption_key: (client) => client.revokeEncryptionKey(),
  get_encryption_keys: (client, { agent_id }) => client.getEncryptionKeys(agent_id),
  get_operator_keys: (client) => client.getOperatorKeys(),
  list_peers: (client, { search, limit, cursor }) => client.listPeers({ search, limit, cursor }),
  whom: (client, { named }) => client.whom(named),
  get_conversation: (client, { conversation_id, limit, cursor }) =>
    client.getConversation(conversation_id, { limit, cursor }),
  a2a: (client, { agent_id, method, params }) => client.a2a(agent_id, method, params),
  rotate_credentials: (client, { overlap_seconds }) => client.rotateCredentials(overlap_seconds),
  put_agent_card: (client, { card }) => client.putAgentCard(card),
  task_get: (client, { task_id }) => client.task(task_id).get(),
  task_working: (client, { task_id }) => client.task(task_id).working(),
  task_require_input: (client, { task_id, message }) => client.task(task_id).requireInput(message),
  task_artifact: (client, { task_id, artifact }) => client.task(task_id).artifact(artifact),
  task_append_artifact: (client, { task_id, artifact }) =>
    client.task(task_id).appendArtifact(artifact),
  task_complete: (client, { task_id, message }) => client.task(task_id).complete(message),
  task_fail: (client, { task_id, message }) => client.task(task_id).fail(message),
  task_reject: (client, { task_id }) => client.task(task_id).reject(),
  upload_attachment: (client, { filename, mime, data_base64 }) =>
    client.uploadAttachment({ filename, mime, dataBase64: data_base64 }),
  download_attachment: async (client, { id }) => {
    const { bytes } = await client.downloadAttachment(id);
    return { base64: Buffer.from(bytes).toString('base64') };
  },
};

/** The names of scenarios for what is spelled otherwise here. */
function readableMessage(message) {
  const { status, reason, keyId } = message.verification;
  const { keyId: openedBy, ...encryption } = message.encryption;
  return {
    ...message,
    verification: { status, reason, key_id: keyId },
    encryption: { ...encryption, key_id: openedBy },
  };
}

function readable(inbox) {
  return { ...inbox, messages: inbox.messages.map(readableMessage) };
}

/** What an operator sends along who signs with this seed. */
export async function signAsOperator({ seed, operator_id, message }, fleetId) {
  const identity = await AgentIdentity.fromSeed(seed);
  const signer = { fleetId, agentId: operator_id, identity };
  const { agent_sig, ...rest } = await signMessage(message, signer, crypto.randomUUID());
  return { operator_sig: agent_sig, ...rest };
}

export class Agent {
  static async enrol({ relays, fleetId, token, trusted, agent: name, identity, ...step }) {
    const agent = new Agent();
    const enrolled = await EkhoAgentClient.enroll(relays, {
      fleet_id: fleetId,
      token,
      display_name: name,
    });
    const options = { fleetId };
    if (identity) options.identity = (await AgentIdentity.generate()).identity;
    if (step.encrypts) options.encryptionKeys = [(await EncryptionKey.generate()).key];
    if (trusted.length > 0 || step.learns || step.trusts_operators) {
      options.keyRing = new KeyRing(fleetId);
      options.learnKeys = step.learns ?? false;
      for (const key of step.trusts_operators ?? []) await options.keyRing.trustOperator(key);
      for (const other of trusted) await options.keyRing.trustAgent(other.agentId, other.publicKey);
    }
    agent.agentId = enrolled.agent_id;
    agent.client = new EkhoAgentClient(
      { agentId: enrolled.agent_id, secret: enrolled.secret, relayBaseUrl: relays },
      options,
    );
    if (identity) {
      agent.publicKey = String(options.identity.publicKey);
      agent.keyId = (await agent.client.registerIdentityKey(agent.publicKey)).key_id;
    }
    if (step.encrypts) {
      agent.encryptionKeyId = (await agent.client.publishEncryptionKey()).key_id;
    }
    return agent;
  }

  call(name, given) {
    const call = CALLS[name];
    if (!call) throw new Error(`unknown call ${name}`);
    return call(this.client, given);
  }

  adapterStep(step) {
    switch (step.adapter) {
      case 'start':
        return this.#startAdapter(step.does);
      case 'stop':
        return this.#stopAdapter(step.deadline_ms);
      case 'propose':
        this.outcome = undefined;
        this.adapter.proposeAction(step.with.action).then(
          () => (this.outcome = { ok: true }),
          ({ code }) => (this.outcome = { ok: false, code }),
        );
        return undefined;
      default:
        // seen, controls, pending, outcome
        return this[step.adapter];
    }
  }

  async #startAdapter(does) {
    this.seen = [];
    this.controls = [];
    this.pending = [];
    const behaviours = {
      collect: () => undefined,
      reply: (message, context) => context.reply({ echo: message.body }),
      fail_once: (message) => {
        if (message.attempt === 1) throw new Error('failed on purpose');
      },
      // Until it is not waited for any more.
      hang: (_, context) =>
        new Promise((resolve) => context.signal.addEventListener('abort', resolve)),
      complete_task: async (_, { task }) => {
        await task.artifact('done');
        await task.complete();
      },
    };
    this.adapter = new EkhoAgentAdapter(
      this.client,
      {
        onMessage: async (message, _, context) => {
          this.seen.push(readableMessage(message));
          await behaviours[does](message, context);
        },
        onControl: ({ action }) => void this.controls.push(action),
        onApprovalPending: (approvalId) => void this.pending.push(approvalId),
      },
      { onError: () => undefined },
    );
    await this.adapter.start();
  }

  async #stopAdapter(deadlineMs) {
    const report = await this.adapter.stop(deadlineMs === undefined ? {} : { deadlineMs });
    return { finished: report.finished, handed_back: report.handedBack };
  }

  streamStep(step) {
    switch (step.stream) {
      case 'start':
        this.events = [];
        this.abort = new AbortController();
        this.reading = this.#readStream(this.abort.signal);
        return undefined;
      case 'stop':
        this.abort.abort();
        return this.reading;
      default:
        return this.events;
    }
  }

  async #readStream(signal) {
    try {
      for await (const event of this.client.inboxStream({ signal })) this.events.push(event);
    } catch (error) {
      if (!signal.aborted) this.events.push({ kind: 'failed', error: String(error) });
    }
  }

  async close() {
    this.abort?.abort();
    await this.adapter?.stop({ deadlineMs: 1000 });
  }
}
