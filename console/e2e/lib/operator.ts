// An operator without a browser: sets the stage, and checks what the console did.
import type { Credentials } from './relay';
import { WAIT_MS } from './wait';

/** 503 says that nothing was done, and to ask again: there is no leader at the moment. */
export async function answered(ask: () => Promise<Response>): Promise<Response> {
  const end = Date.now() + WAIT_MS;
  for (;;) {
    const answer = await ask();
    if (answer.status !== 503 || Date.now() > end) return answer;
    await answer.body?.cancel();
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

export class Operator {
  private constructor(
    private readonly url: string,
    private readonly token: string,
  ) {}

  static async signIn(url: string, { fleet_name, email, password }: Credentials): Promise<Operator> {
    const answer = await answered(() =>
      fetch(`${url}/v1/operator/login`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ fleet_name, email, password }),
      }),
    );
    const body = (await answer.json()) as { token?: string };
    if (!answer.ok || !body.token) throw new Error(`login: ${answer.status} ${JSON.stringify(body)}`);
    return new Operator(url, body.token);
  }

  async ask<Answer>(method: string, path: string, body?: unknown, at = this.url): Promise<Answer> {
    const answer = await answered(() =>
      fetch(`${at}${path}`, {
        method,
        headers: {
          authorization: `Bearer ${this.token}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      }),
    );
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return JSON.parse(text) as Answer;
  }

  get<Answer>(path: string): Promise<Answer> {
    return this.ask('GET', path);
  }

  post<Answer>(path: string, body?: unknown): Promise<Answer> {
    return this.ask('POST', path, body);
  }

  put<Answer>(path: string, body: unknown): Promise<Answer> {
    return this.ask('PUT', path, body);
  }
}
