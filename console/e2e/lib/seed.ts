// Data for every page, made by real agents and operators as they would make it.
import { Agent } from './agent';
import type { Operator } from './operator';
import { type Credentials, until } from './relay';

export interface Seeded {
  agents: Record<string, string>;
  conversation: string;
  approval: string;
  policy: string;
  deniedConversation: string;
}

/** What the draft of the conversation comes with. */
export const DRAFT = {
  filename: 'release-notes-2.4.md',
  mime: 'text/markdown',
  bytes: Buffer.from('# 2.4\n\n- Failover within two seconds\n- A console\n'),
};
const TABLE = Buffer.from('item,shelf\n2,north\n');

const NAMES = [
  'Writer',
  'Reviewer',
  'Planner',
  'Researcher',
  'Deployer',
  'Translator',
  'Archivist',
  'Watcher',
] as const;

export async function seed(url: string, operator: Operator, { fleet_id }: Credentials): Promise<Seeded> {
  await operator.put('/v1/operator/settings', {
    rate_max_messages: 40,
    retry_backoff_ms: [100, 100],
    heartbeat_timeout_ms: 86_400_000,
  });
  const by: Record<string, Agent> = {};
  for (const name of NAMES) {
    by[name] = await Agent.enrol([url], operator, fleet_id, name, {
      hostname: `${name.toLowerCase()}.example.org`,
      capabilities: name === 'Deployer' ? ['deploy', 'rollback'] : ['text'],
    });
  }
  const agent = (name: (typeof NAMES)[number]): Agent => {
    const found = by[name];
    if (!found) throw new Error(name);
    return found;
  };
  const [writer, reviewer, planner, researcher, deployer, translator, archivist, watcher] = NAMES.map(
    agent,
  ) as [Agent, Agent, Agent, Agent, Agent, Agent, Agent, Agent];
  for (const one of Object.values(by))
    await one.heartbeat(one === translator ? 'degraded' : one === writer ? 'busy' : 'healthy');
  await operator.put(`/v1/operator/agents/${deployer.id}/labels`, { labels: ['production', 'team-blue'] });
  await operator.put(`/v1/operator/agents/${researcher.id}/labels`, { labels: ['external'] });

  // A conversation with a beginning, a middle and an end.
  const conversation = 'draft-release-notes';
  await planner.sendTo(writer, conversation, 'Please draft the release notes for 2.4.');
  await writer.receiveAll();
  await writer.sendTo(
    reviewer,
    conversation,
    'Here is a draft: faster failover, a new console, fewer surprises.',
    { attachment_ids: [await writer.upload(DRAFT.filename, DRAFT.mime, DRAFT.bytes)] },
  );
  await reviewer.receiveAll();
  await reviewer.sendTo(writer, conversation, 'Shorter, please. And what about the migration?', {
    priority: 'high',
  });
  await writer.receiveAll();
  await writer.sendTo(planner, conversation, 'Done. The migration has its own section now.', {
    message_type: 'complete',
  });
  await planner.receiveAll();

  // Traffic between several, some of it still waiting.
  for (let round = 0; round < 6; round += 1) {
    await researcher.sendTo(writer, `research-${round % 3}`, `Finding ${round}: queues grow on Mondays.`);
    await writer.sendTo(translator, `translate-${round % 2}`, `Section ${round} for translation.`);
    await translator.sendTo(archivist, 'archive', `Translated section ${round}.`);
    await watcher.sendTo(planner, 'alerts', `Latency ${120 + round} ms.`, { message_type: 'alert' });
    if (round % 2 === 0) for (const one of [writer, translator, archivist, planner]) await one.receiveAll();
  }
  await watcher.send({
    recipient: { kind: 'broadcast' },
    message_type: 'broadcast',
    conversation_id: 'announcements',
    body: { text: 'Maintenance tonight at 22:00.' },
  });
  for (const one of [reviewer, deployer, researcher]) await one.receiveAll();

  // A room.
  const room = (await planner.call('POST', '/v1/rooms', {
    name: 'Release 2.4',
    member_agent_ids: [writer.id, reviewer.id, deployer.id],
  })) as { id: string };
  await planner.send({
    recipient: { kind: 'group', id: room.id },
    conversation_id: room.id,
    body: { text: 'We ship on Friday.' },
  });
  for (const one of [writer, reviewer, deployer]) await one.receiveAll();

  // Policies: one that denies, one that would, one of an agent.
  const denies = await operator.post<{ policyId: string }>('/v1/operator/policies', {
    name: 'researchers do not deploy',
    scope_kind: 'fleet',
    priority: 10,
    rule: { action: 'deny', conditions: { sender_agent_id: researcher.id, recipient_agent_id: deployer.id } },
  });
  await operator.post('/v1/operator/policies', {
    name: 'no urgent alerts at all',
    scope_kind: 'fleet',
    dry_run: true,
    priority: 50,
    rule: { action: 'deny', conditions: { message_type: 'alert', priority: ['high', 'urgent'] } },
  });
  await operator.post('/v1/operator/policies', {
    name: 'archivist takes direct messages only',
    scope_kind: 'agent',
    scope_id: archivist.id,
    enabled: false,
    rule: { action: 'deny', conditions: { message_type: ['broadcast', 'alert'] } },
  });
  await operator.put(`/v1/operator/policies/${denies.policyId}`, {
    name: 'researchers do not deploy',
    scope_kind: 'fleet',
    priority: 20,
    rule: {
      action: 'deny',
      conditions: { sender_agent_id: [researcher.id, translator.id], recipient_agent_id: deployer.id },
    },
  });
  const deniedConversation = 'ship-it';
  await planner.sendTo(researcher, deniedConversation, 'Is the fix good? Then have it deployed.');
  await researcher.receiveAll();
  await researcher.ask('POST', '/v1/messages', {
    recipient: { kind: 'agent', id: deployer.id },
    message_type: 'handoff',
    conversation_id: deniedConversation,
    correlation_id: 'r-1',
    body: { text: 'Deploy build 7.' },
  });
  await watcher.sendTo(planner, 'alerts', 'Disk at 91 %.', { message_type: 'alert', priority: 'urgent' });

  // Actions and a message that wait for somebody.
  const proposed = (await deployer.call('POST', '/v1/actions/propose', {
    conversation_id: 'release-2.4',
    action_type: 'deploy',
    risk_level: 'high',
    summary: 'Deploy build 2.4.0-rc3 to production',
    payload: {
      build: '2.4.0-rc3',
      target: 'production',
      strategy: 'canary',
      percent: 10,
      checks: ['smoke', 'latency'],
    },
  })) as { approval_id: string };
  await deployer.call('POST', '/v1/actions/propose', {
    conversation_id: 'release-2.4',
    action_type: 'drop_table',
    risk_level: 'critical',
    summary: 'Drop the table sessions_old after the migration',
    payload: { table: 'sessions_old', rows: 1_204_331 },
  });
  const decided = (await deployer.call('POST', '/v1/actions/propose', {
    conversation_id: 'release-2.4',
    action_type: 'restart',
    risk_level: 'high',
    summary: 'Restart the translation workers',
    payload: { workers: 4 },
  })) as { approval_id: string };
  await operator.post(`/v1/operator/approvals/${decided.approval_id}/approve`, {
    reason: 'Agreed in the morning round',
  });
  await deployer.call('POST', '/v1/actions/result', {
    approval_id: decided.approval_id,
    result: 'executed',
    output: { restarted: 4 },
  });
  await writer.send({
    recipient: { kind: 'agent', id: deployer.id },
    conversation_id: 'release-2.4',
    requires_approval: true,
    body: { text: 'Publish the notes with the release.' },
  });

  // Dead letters: given back until there are no more tries.
  for (const [index, why] of ['model overloaded', 'model overloaded', 'cannot parse the table'].entries()) {
    const files = index === 2 ? [await planner.upload('table.csv', 'text/csv', TABLE)] : [];
    const id = await planner.sendTo(archivist, 'archive', `Archive item ${index}.`, {
      attachment_ids: files,
    });
    await exhaust(operator, archivist, id, why);
  }

  // One that sends too much, one that is held.
  for (let sent = 0; sent < 46; sent += 1) {
    await watcher.ask('POST', '/v1/messages', {
      recipient: { kind: 'agent', id: planner.id },
      message_type: 'alert',
      conversation_id: 'alerts',
      correlation_id: `n-${sent}`,
      body: { text: `Noise ${sent}` },
    });
  }
  await operator.post(`/v1/operator/agents/${archivist.id}/pause`, { reason: 'Storage is being moved' });
  await operator.post('/v1/operator/messages', {
    recipient_agent_id: writer.id,
    text: 'Please hold the draft until Friday.',
    conversation_id: conversation,
  });

  await a2aTasks(url, operator, reviewer);
  await operator.put('/v1/operator/settings', { rate_max_messages: 30 });
  return {
    agents: Object.fromEntries(Object.entries(by).map(([name, one]) => [name, one.id])),
    conversation,
    approval: proposed.approval_id,
    policy: denies.policyId,
    deniedConversation,
  };
}

/** Gives back all that comes until this message, and whatever came with it, is given up. */
async function exhaust(operator: Operator, agent: Agent, id: string, why: string): Promise<void> {
  const refused = new Set([id]);
  await until('the deliveries to be given up', async () => {
    for (const message of await agent.inbox()) {
      refused.add(message.message_id);
      await agent.nack(message.message_id, why);
    }
    const { dead_letters } = await operator.get<{ dead_letters: { original_message_id: string }[] }>(
      `/v1/operator/dead-letters?recipient_agent_id=${agent.id}&limit=100`,
    );
    const given = new Set(dead_letters.map((letter) => letter.original_message_id));
    return [...refused].every((one) => given.has(one));
  });
}

/** A client of A2A asks; the agent answers one task, asks back on another, and leaves a third. */
async function a2aTasks(url: string, operator: Operator, agent: Agent): Promise<void> {
  await agent.call('PUT', '/v1/agent-card', {
    description: 'Reviews drafts and says what is missing.',
    skills: [
      { id: 'review', name: 'Review', description: 'Reads a draft and comments on it.', tags: ['text'] },
    ],
  });
  const client = await operator.post<{ token: string }>('/v1/operator/a2a/clients', {
    name: 'planner-app',
    rate_max_messages: 60,
  });
  const ask = async (text: string) => {
    const answer = await fetch(`${url}/agents/${agent.id}/a2a`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${client.token}`,
        'a2a-version': '1.0',
        'content-type': 'application/json',
      },
      body: JSON.stringify({
        jsonrpc: '2.0',
        id: 1,
        method: 'SendMessage',
        params: {
          message: { messageId: `m-${text.length}-${Date.now()}`, role: 'ROLE_USER', parts: [{ text }] },
          configuration: { returnImmediately: true },
        },
      }),
    });
    if (!answer.ok) throw new Error(`A2A: ${answer.status} ${await answer.text()}`);
  };
  await ask('Review the announcement of 2.4.');
  await ask('Review the migration guide, please.');
  for (const [index, message] of (await agent.inbox())
    .filter((one) => one.message_type === 'a2a.message')
    .entries()) {
    await agent.ack(message.message_id);
    const task = String(message.metadata['a2a_task_id']);
    if (index === 0) {
      await agent.call('POST', `/v1/tasks/${task}/artifacts`, {
        artifact: {
          artifactId: 'review',
          name: 'Review',
          parts: [{ text: 'Clear and short. The third paragraph repeats the first.' }],
        },
      });
      await agent.call('POST', `/v1/tasks/${task}/status`, { state: 'completed', message: 'Reviewed.' });
    } else {
      await agent.call('POST', `/v1/tasks/${task}/status`, {
        state: 'input-required',
        message: 'Which version do you mean?',
      });
    }
  }
  await ask('And the changelog?');
}
