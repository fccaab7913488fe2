// Who else is in the fleet, what was said, whose keys are whose, and A2A: the agent's own tasks, and
// other agents asked by it.

import { Caller, type CallOptions, segment } from './caller.js';
import { EkhoArgumentError, EkhoRequestError, isObject } from './errors.js';
import { EkhoTask } from './tasks.js';
import type * as T from './types.js';

export abstract class DirectoryClient extends Caller {
  /** Agents of the fleet by their names, this one among them; those with `search` in their name. */
  listPeers(query: T.PageQuery & { search?: string } = {}, options?: CallOptions): Promise<T.Peers> {
    return this.call('GET', paged('/v1/agents', query), undefined, 'harmless', options);
  }

  /**
   * Whom a person means: an agent's or a room's id, `all`, or the name of one agent. Throws
   * EkhoArgumentError where no agent or several have that name.
   */
  async whom(named: string, options?: CallOptions): Promise<T.Recipient> {
    if (named === 'all') return { kind: 'broadcast' };
    if (named.startsWith('room_')) return { kind: 'group', id: named };
    if (named.startsWith('agent_')) return { kind: 'agent', id: named };
    const ids: string[] = [];
    let cursor: string | null | undefined;
    do {
      const query = { search: named, limit: 100, ...(cursor && { cursor }) };
      const peers = await this.listPeers(query, options);
      for (const peer of peers.agents) if (peer.display_name === named) ids.push(peer.id);
      cursor = peers.next_cursor;
    } while (cursor);
    const [id] = ids;
    if (id === undefined) {
      throw new EkhoArgumentError(`no agent is called ${JSON.stringify(named)}`);
    }
    if (ids.length > 1) {
      throw new EkhoArgumentError(
        `${ids.length} agents are called ${JSON.stringify(named)}: use an id`,
      );
    }
    return { kind: 'agent', id };
  }

  /** What this agent sent and was handed out in a conversation, newest first. */
  async getConversation(
    conversationId: string,
    query: T.PageQuery = {},
    options?: CallOptions,
  ): Promise<T.Said> {
    const target = paged(`/v1/conversations/${segment(conversationId)}/messages`, query);
    return this.call('GET', target, undefined, 'harmless', options);
  }

  /** The keys that an agent of the fleet registered, to check what it signs. */
  async getIdentityKeys(agentId: string, options?: CallOptions): Promise<T.AgentKeys> {
    const target = `/v1/agents/${segment(agentId)}/identity-keys`;
    return this.call('GET', target, undefined, 'harmless', options);
  }

  /** The keys that an agent of the fleet published to be encrypted to. */
  async getEncryptionKeys(agentId: string, options?: CallOptions): Promise<T.AgentEncryptionKeys> {
    const target = `/v1/agents/${segment(agentId)}/encryption-keys`;
    return this.call('GET', target, undefined, 'harmless', options);
  }

  getOperatorKeys(options?: CallOptions): Promise<T.OperatorKeys> {
    return this.call('GET', '/v1/operator-keys', undefined, 'harmless', options);
  }

  // --- A2A ------------------------------------------------------------------------------------

  task(taskId: string): EkhoTask {
    return new EkhoTask(this, taskId);
  }

  /** The task that a message of the inbox belongs to; undefined where it belongs to none. */
  taskOf(message: Pick<T.InboxMessage, 'message_type' | 'metadata'>): EkhoTask | undefined {
    const id = message.metadata?.['a2a_task_id'];
    return message.message_type === 'a2a.message' && typeof id === 'string'
      ? this.task(id)
      : undefined;
  }

  /** What the agent's A2A card says, in place of what it said before. */
  putAgentCard(card: T.AgentCard, options?: CallOptions): Promise<{ ok: boolean }> {
    return this.call('PUT', '/v1/agent-card', card, 'harmless', options);
  }

  /**
   * Asks another agent by A2A 1.0: calls `method` and gives its `result`. Repeated where an answer
   * was lost: a message with the same `messageId` is sent once. What the method refuses is an
   * EkhoRequestError with status 200 and the JSON-RPC error in `field('rpc_error')`.
   */
  async a2a(
    agentId: string,
    method: string,
    params: T.JsonObject,
    options: CallOptions = {},
  ): Promise<unknown> {
    const target = `/agents/${segment(agentId)}/a2a`;
    const id = crypto.randomUUID();
    const call = this._post(target, { jsonrpc: '2.0', id, method, params });
    call.headers = { 'a2a-version': '1.0' };
    const answer = await this._transport.json<T.JsonObject>(call, options.signal);
    const error = answer['error'];
    if (!isObject(error)) return answer['result'];
    const details: unknown = Array.isArray(error['data']) ? error['data'][0] : undefined;
    const reason = isObject(details) ? details['reason'] : undefined;
    const code = typeof reason === 'string' ? { code: reason.toLowerCase() } : {};
    const body = { error: error['message'], ...code, rpc_error: error };
    throw new EkhoRequestError(target, 200, JSON.stringify(body));
  }
}

function paged(path: string, query: T.PageQuery & { search?: string }): string {
  const { limit, cursor, search } = query;
  const found = Object.entries({ limit, cursor, search })
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${encodeURIComponent(String(value))}`);
  return found.length === 0 ? path : `${path}?${found.join('&')}`;
}
