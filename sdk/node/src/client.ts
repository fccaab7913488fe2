// The client of one agent: one method an agent call (docs/agent-api.md). Signing, retries and
// failover are the transport's.
//
// A call throws EkhoRequestError where the relay refuses, EkhoConnectionError where no usable answer
// comes, EkhoArgumentError where nothing was sent, and the signal's reason where it was aborted.

import { downloaded, type Downloaded, uploadBody } from './attachments.js';
import { type CallOptions, jsonBody, segment } from './caller.js';
import { DirectoryClient } from './directory.js';
import { EkhoArgumentError, EkhoRequestError } from './errors.js';
import { type ClientOptions, settingsOf } from './options.js';
import { signEncryptionKey } from './identity/encryption-keys.js';
import { prepareMessage } from './prepare.js';
import { openStream, type StreamEvent, type StreamQuery } from './stream.js';
import { Transport } from './transport.js';
import type * as T from './types.js';

/** The relay's own limits. */
const MAX_BATCH = 100;
const MAX_KEY_BYTES = 255;

export interface SendOptions extends CallOptions {
  /** Yours where the same message might be sent again later; else the client makes one a call. */
  idempotencyKey?: string;
}

export class EkhoAgentClient extends DirectoryClient {
  /**
   * Makes an agent of an enrolment token. The first request that arrives claims the token, so this
   * is repeated only where no relay was reached or nothing was done.
   */
  static enroll(
    relayBaseUrl: string | readonly string[],
    input: T.EnrollInput,
    options: ClientOptions & CallOptions = {},
  ): Promise<T.EnrollResponse> {
    const transport = new Transport(relayBaseUrl, settingsOf(options, ''));
    const body = { runtime: 'custom', ...input };
    return transport.json(
      { method: 'POST', target: '/v1/enroll', body: jsonBody(body), repeat: 'only_if_undone' },
      options.signal,
    );
  }

  // --- sending --------------------------------------------------------------------------------

  /** However often it has to be tried, the relay stores one message. */
  async sendMessage(
    payload: T.SendMessagePayload,
    options: SendOptions = {},
  ): Promise<T.SendMessageResult> {
    const { message, key } = await this.#prepare(payload, options.idempotencyKey);
    const call = this._post('/v1/messages', message);
    call.headers = { 'idempotency-key': key };
    call.rateLimited = true;
    return this._transport.json(call, options.signal);
  }

  /** Up to 100 messages in one request, each with an outcome of its own, in the order given. */
  async sendBatch(
    payloads: readonly (T.SendMessagePayload & { idempotency_key?: string })[],
    options: CallOptions = {},
  ): Promise<T.BatchResult[]> {
    if (payloads.length < 1 || payloads.length > MAX_BATCH) {
      throw new EkhoArgumentError(`a batch holds 1 to ${MAX_BATCH} messages`);
    }
    const messages = await Promise.all(
      payloads.map(async ({ idempotency_key, ...payload }) => {
        const { message, key } = await this.#prepare(payload, idempotency_key);
        return { ...message, idempotency_key: key };
      }),
    );
    const call = this._post('/v1/messages/batch', { messages });
    call.rateLimited = true;
    const answer = await this._transport.json<{ results: T.BatchResult[] }>(call, options.signal);
    return answer.results;
  }

  /** What became of a message this agent sent. */
  async getMessage(messageId: string, options?: CallOptions): Promise<T.MessageState> {
    return this.call('GET', `/v1/messages/${segment(messageId)}`, undefined, 'harmless', options);
  }

  /** Takes back what was not handed out yet. Taking it back twice is a success. */
  async cancelMessage(messageId: string, options?: CallOptions): Promise<T.CancelResult> {
    const target = `/v1/messages/${segment(messageId)}`;
    try {
      return await this.call('DELETE', target, undefined, 'harmless', options);
    } catch (error) {
      if (!isConflict(error)) throw error;
      // Perhaps an earlier try took it back, and its answer was lost.
      const { message_id, status } = await this.getMessage(messageId, options);
      if (status !== 'cancelled') throw error;
      return { message_id, status };
    }
  }

  // --- receiving ------------------------------------------------------------------------------

  /** What is waiting, oldest first; with `waitSeconds` as a long poll. */
  async getInbox(
    query: number | T.InboxQuery = 25,
    options: CallOptions = {},
  ): Promise<T.InboxResponse> {
    const { limit = 25, waitSeconds, types } = typeof query === 'number' ? { limit: query } : query;
    let target = `/v1/inbox?limit=${limit}`;
    if (waitSeconds !== undefined) target += `&wait=${waitSeconds}`;
    if (types?.length) target += `&types=${types.map(encodeURIComponent).join(',')}`;
    const call = this._call('GET', target);
    call.relayWaitMs = (waitSeconds ?? 0) * 1000;
    const inbox = await this._transport.json<T.InboxResponse>(call, options.signal);
    const messages: T.InboxMessage[] = [];
    // In order, so that of two messages with one nonce the later is the one found out.
    for (const message of inbox.messages) messages.push(await this._read(message));
    return { ...inbox, messages };
  }

  /** The inbox as it fills, over one connection that is opened anew when it breaks. */
  inboxStream(query: StreamQuery = {}): AsyncGenerator<StreamEvent, void, undefined> {
    return openStream(
      {
        transport: this._transport,
        idleMs: this.settings.streamIdleTimeoutMs,
        call: (target, headers) => ({ ...this._call('GET', target), headers }),
        readMessage: (message) => this._read(message),
      },
      query,
    );
  }

  /** Done with these; messages of the inbox will do. Acking twice is harmless. */
  ackMessages(acks: readonly T.AckInput[], options?: CallOptions): Promise<{ updated: number }> {
    const now = new Date().toISOString();
    // Field by field, so that messages of the inbox can be given as they are.
    const full = acks.map(({ message_id, received_at = now }) => ({
      message_id,
      status: 'received',
      received_at,
    }));
    return this.call('POST', '/v1/acks', { acks: full }, 'harmless', options);
  }

  /** Hands messages back, to come again after `delay_seconds`, or after the relay's own delay. */
  nackMessages(nacks: readonly T.NackInput[], options?: CallOptions): Promise<{ updated: number }> {
    return this.call('POST', '/v1/nacks', { nacks }, 'harmless', options);
  }

  /** Keeps messages longer than the delivery timeout. */
  extendLeases(leases: readonly T.LeaseInput[], options?: CallOptions): Promise<T.LeasesResult> {
    return this.call('POST', '/v1/leases', { leases }, 'harmless', options);
  }

  // --- actions, rooms, conversations ----------------------------------------------------------

  /** Not repeated where it may have arrived: that would ask the operator twice. */
  proposeAction(
    payload: T.ProposeActionPayload,
    options?: CallOptions,
  ): Promise<T.ActionDecision> {
    return this.call('POST', '/v1/actions/propose', payload, 'only_if_undone', options);
  }

  async getApproval(approvalId: string, options?: CallOptions): Promise<T.ApprovalStatus> {
    return this.call('GET', `/v1/actions/${segment(approvalId)}`, undefined, 'harmless', options);
  }

  /** What came of an approved action. Reporting the same again is a success. */
  async actionResult(
    payload: T.ActionResultPayload,
    options?: CallOptions,
  ): Promise<{ ok: boolean }> {
    const body = { completed_at: new Date().toISOString(), ...payload };
    try {
      return await this.call('POST', '/v1/actions/result', body, 'harmless', options);
    } catch (error) {
      if (!isConflict(error)) throw error;
      const { status } = await this.getApproval(payload.approval_id, options);
      if (status !== payload.result) throw error;
      return { ok: true };
    }
  }

  /** Not repeated where it may have arrived: that would open two. */
  createRoom(
    payload: { name: string; member_agent_ids?: string[] },
    options?: CallOptions,
  ): Promise<T.Room> {
    const body = { name: payload.name, member_agent_ids: payload.member_agent_ids ?? [] };
    return this.call('POST', '/v1/rooms', body, 'only_if_undone', options);
  }

  /** A conversation is stuck and a person should look. */
  raiseNotice(
    payload: { conversation_id: string; reason?: string; pending_count?: number; budget?: unknown },
    options?: CallOptions,
  ): Promise<{ ok: boolean; recorded: boolean }> {
    const body = { reason: 'stalled', pending_count: 0, ...payload };
    return this.call('POST', '/v1/notices', body, 'harmless', options);
  }

  /** The turn to speak. Asking again while holding it extends it. */
  async acquireFloor(
    conversationId: string,
    ttlSeconds?: number,
    options?: CallOptions,
  ): Promise<T.FloorResult> {
    const body = ttlSeconds === undefined ? {} : { ttl_seconds: ttlSeconds };
    return this.call('POST', floorOf(conversationId), body, 'harmless', options);
  }

  async releaseFloor(conversationId: string, options?: CallOptions): Promise<{ released: boolean }> {
    return this.call('DELETE', floorOf(conversationId), undefined, 'harmless', options);
  }

  // --- the agent itself -----------------------------------------------------------------------

  heartbeat(payload: T.HeartbeatPayload, options?: CallOptions): Promise<T.HeartbeatResult> {
    return this.call('POST', '/v1/heartbeats', payload, 'harmless', options);
  }

  /** The Ed25519 key with which this agent signs messages end to end. */
  registerIdentityKey(publicKey: string, options?: CallOptions): Promise<{ key_id: string }> {
    const body = { public_key: publicKey };
    return this.call('POST', '/v1/identity-key', body, 'harmless', options);
  }

  /**
   * Publishes the first of `encryptionKeys` for others to encrypt to, in place of the one before;
   * where the client has an identity, that vouches for it.
   */
  async publishEncryptionKey(options?: CallOptions): Promise<{ key_id: string }> {
    const { encryptionKeys, identity, fleetId } = this.settings;
    const key = encryptionKeys[0]?.publicKey;
    if (!key) {
      throw new EkhoArgumentError('the client has no encryptionKeys, of which to publish the first');
    }
    const { agentId } = this;
    const signed =
      identity && fleetId ? await signEncryptionKey(key, { fleetId, agentId, identity }) : {};
    const body = { public_key: String(key), ...signed };
    return this.call('PUT', '/v1/encryption-key', body, 'harmless', options);
  }

  /** Revokes for good the key that others encrypt to now. */
  revokeEncryptionKey(options?: CallOptions): Promise<{ revoked_key_id: string | null }> {
    return this.call('DELETE', '/v1/encryption-key', undefined, 'harmless', options);
  }

  /**
   * A new secret; this client signs with it at once. Store it before the program ends: the old one
   * works for `overlapSeconds` more (300). Where the answer was lost, rotate again meanwhile.
   */
  async rotateCredentials(
    overlapSeconds?: number,
    options?: CallOptions,
  ): Promise<T.RotateResult> {
    const body = overlapSeconds === undefined ? {} : { overlap_seconds: overlapSeconds };
    const target = '/v1/credentials/rotate';
    const answer = await this.call<T.RotateResult>('POST', target, body, 'only_if_undone', options);
    this._signWith(answer.secret);
    return answer;
  }

  uploadAttachment(
    input: T.AttachmentUploadInput,
    options?: CallOptions,
  ): Promise<T.AttachmentMeta & { created_at: string }> {
    const body = uploadBody(input);
    return this.call('POST', '/v1/attachments', body, 'only_if_undone', options);
  }

  async downloadAttachment(id: string, options: CallOptions = {}): Promise<Downloaded> {
    const call = this._call('GET', `/v1/attachments/${segment(id)}`);
    return downloaded(id, await this._transport.whole(call, options.signal));
  }

  #prepare(
    payload: T.SendMessagePayload,
    idempotencyKey: string | undefined,
  ): Promise<{ message: T.SendMessagePayload; key: string }> {
    if (idempotencyKey !== undefined && !isKey(idempotencyKey)) {
      throw new EkhoArgumentError(`an idempotency key is 1 to ${MAX_KEY_BYTES} visible ASCII`);
    }
    const { agentId, settings, _readerKeys } = this;
    return prepareMessage(payload, idempotencyKey, agentId, settings, _readerKeys);
  }
}

function floorOf(conversationId: string): string {
  return `/v1/conversations/${segment(conversationId)}/floor`;
}

function isConflict(error: unknown): boolean {
  return error instanceof EkhoRequestError && error.statusCode === 409;
}

function isKey(key: string): boolean {
  return key.length <= MAX_KEY_BYTES && /^[\x21-\x7e]+$/.test(key);
}
