// An agent without a library: signs its requests as docs/agent-api.md says.
import { createHash, createHmac, randomUUID } from 'node:crypto';
import { answered, type Operator } from './operator';
import { until } from './relay';

export interface InboxMessage {
  message_id: string;
  conversation_id: string;
  correlation_id: string;
  sender_agent_id: string;
  sender_kind: string;
  message_type: string;
  body: Record<string, unknown>;
  metadata: Record<string, unknown>;
}

export interface Answer {
  status: number;
  body: Record<string, unknown>;
}

/** As long as a client library keeps trying: an election on a busy machine takes seconds. */
const TRY_FOR_MS = 30_000;

export class Agent {
  constructor(
    readonly urls: string[],
    readonly id: string,
    private readonly secret: string,
    readonly name: string,
  ) {}

  static async enrol(
    urls: string[],
    operator: Operator,
    fleetId: string,
    name: string,
    more: Record<string, unknown> = {},
  ): Promise<Agent> {
    const { token } = await operator.post<{ token: string }>('/v1/operator/enrollment-tokens');
    const answer = await answered(() =>
      fetch(`${urls[0]}/v1/enroll`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ fleet_id: fleetId, token, display_name: name, runtime: 'custom', ...more }),
      }),
    );
    const body = (await answer.json()) as { agent_id?: string; secret?: string };
    if (!body.agent_id || !body.secret) throw new Error(`enrol: ${answer.status} ${JSON.stringify(body)}`);
    return new Agent(urls, body.agent_id, body.secret, name);
  }

  private headers(method: string, path: string, body: string): Record<string, string> {
    const timestamp = new Date().toISOString();
    const nonce = randomUUID();
    const digest = createHash('sha256').update(body).digest('hex');
    const canonical = [method, path, timestamp, nonce, digest].join('\n');
    const signature = createHmac('sha256', this.secret).update(canonical).digest('hex');
    return {
      'x-ekho-agent-id': this.id,
      'x-ekho-timestamp': timestamp,
      'x-ekho-nonce': nonce,
      'x-ekho-signature': signature,
    };
  }

  /** One try at one node. */
  async once(
    url: string,
    method: string,
    target: string,
    body?: unknown,
    extra: Record<string, string> = {},
  ): Promise<Answer> {
    const text = body === undefined ? '' : JSON.stringify(body);
    const path = target.split('?', 1)[0] ?? target;
    const answer = await fetch(`${url}${target}`, {
      method,
      headers: {
        ...this.headers(method, path, text),
        ...extra,
        ...(text ? { 'content-type': 'application/json' } : {}),
      },
      ...(text ? { body: text } : {}),
    });
    return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
  }

  /** As a client library does it: another node and another moment, until it is answered. */
  async ask(
    method: string,
    target: string,
    body?: unknown,
    extra: Record<string, string> = {},
  ): Promise<Answer> {
    const end = Date.now() + TRY_FOR_MS;
    for (let tries = 0; ; tries += 1) {
      const url = this.urls[tries % this.urls.length] ?? '';
      const answer = await this.once(url, method, target, body, extra).catch(() => null);
      const again =
        answer === null || answer.status === 503 || answer.body['code'] === 'timestamp_before_leadership';
      if (answer && !again) return answer;
      if (Date.now() > end) throw new Error(`${method} ${target}: ${JSON.stringify(answer)}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  private async done(
    method: string,
    target: string,
    body?: unknown,
    extra: Record<string, string> = {},
  ): Promise<Record<string, unknown>> {
    const answer = await this.ask(method, target, body, extra);
    if (answer.status >= 300)
      throw new Error(`${this.name} ${method} ${target}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  }

  /** Never a second message, however often it has to be tried. */
  async send(message: Record<string, unknown>): Promise<string> {
    const whole = {
      message_type: 'direct',
      conversation_id: 'c-1',
      correlation_id: randomUUID(),
      ttl_seconds: 3_600,
      ...message,
    };
    const body = await this.done('POST', '/v1/messages', whole, { 'idempotency-key': randomUUID() });
    return String(body['message_id']);
  }

  sendTo(
    agent: Agent,
    conversation: string,
    text: string,
    more: Record<string, unknown> = {},
  ): Promise<string> {
    return this.send({
      recipient: { kind: 'agent', id: agent.id },
      conversation_id: conversation,
      body: { text },
      ...more,
    });
  }

  async inbox(limit = 25): Promise<InboxMessage[]> {
    return (await this.done('GET', `/v1/inbox?limit=${limit}`))['messages'] as InboxMessage[];
  }

  async ack(...ids: string[]): Promise<void> {
    await this.done('POST', '/v1/acks', { acks: ids.map((message_id) => ({ message_id })) });
  }

  async nack(id: string, reason: string): Promise<void> {
    await this.done('POST', '/v1/nacks', { nacks: [{ message_id: id, delay_seconds: 0, reason }] });
  }

  async receiveAll(): Promise<InboxMessage[]> {
    const all = await this.inbox(100);
    if (all.length > 0) await this.ack(...all.map((message) => message.message_id));
    return all;
  }

  async heartbeat(status = 'healthy'): Promise<void> {
    await this.done('POST', '/v1/heartbeats', { status });
  }

  /** Uploads a file; its id. Right after a start the nodes have to agree that there are attachments. */
  async upload(filename: string, mime: string, bytes: Buffer): Promise<string> {
    const body = { filename, mime, size_bytes: bytes.length, data_base64: bytes.toString('base64') };
    return until('an upload', async () => {
      const answer = await this.ask('POST', '/v1/attachments', body);
      return answer.status === 201 && String(answer.body['id']);
    });
  }

  call(method: string, target: string, body?: unknown): Promise<Record<string, unknown>> {
    return this.done(method, target, body);
  }
}
