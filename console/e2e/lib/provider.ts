// An OpenID provider that says yes to everybody who asks: discovery, keys, authorization code with
// PKCE, an ID token signed with RS256. It stands outside of the relay, as a real one would.
import { createHash, createSign, generateKeyPairSync, randomUUID } from 'node:crypto';
import { createServer, type Server } from 'node:http';

const CLIENT = 'ekho-e2e';
const base64url = (value: string | Buffer): string => Buffer.from(value).toString('base64url');

export class Provider {
  readonly clientId = CLIENT;
  private readonly keys = generateKeyPairSync('rsa', { modulusLength: 2_048 });
  private readonly asked = new Map<string, { nonce: string; challenge: string }>();

  private constructor(
    private readonly server: Server,
    private readonly email: string,
  ) {}

  static async start(email: string): Promise<Provider> {
    const server = createServer();
    const provider = new Provider(server, email);
    server.on('request', (request, response) => {
      let body = '';
      request.on('data', (data: Buffer) => (body += data.toString()));
      request.on('end', () => {
        const { status, headers, text } = provider.answer(request.url ?? '', body);
        response.writeHead(status, headers);
        response.end(text);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
    return provider;
  }

  get issuer(): string {
    const address = this.server.address();
    return `http://127.0.0.1:${address && typeof address === 'object' ? address.port : 0}`;
  }

  stop(): Promise<void> {
    this.server.closeAllConnections();
    return new Promise((resolve) => this.server.close(() => resolve()));
  }

  private answer(
    target: string,
    body: string,
  ): { status: number; headers: Record<string, string>; text: string } {
    const url = new URL(target, this.issuer);
    const json = (value: unknown, status = 200) => ({
      status,
      headers: { 'content-type': 'application/json' },
      text: JSON.stringify(value),
    });
    switch (url.pathname) {
      case '/.well-known/openid-configuration':
        return json({
          issuer: this.issuer,
          authorization_endpoint: `${this.issuer}/authorize`,
          token_endpoint: `${this.issuer}/token`,
          jwks_uri: `${this.issuer}/keys`,
          response_types_supported: ['code'],
          subject_types_supported: ['public'],
          id_token_signing_alg_values_supported: ['RS256'],
          code_challenge_methods_supported: ['S256'],
        });
      case '/keys':
        return json({
          keys: [{ ...this.keys.publicKey.export({ format: 'jwk' }), kid: 'one', alg: 'RS256', use: 'sig' }],
        });
      case '/authorize': {
        const code = randomUUID();
        const given = (name: string) => url.searchParams.get(name) ?? '';
        this.asked.set(code, { nonce: given('nonce'), challenge: given('code_challenge') });
        const back = new URL(given('redirect_uri'));
        back.searchParams.set('code', code);
        back.searchParams.set('state', given('state'));
        return { status: 302, headers: { location: back.toString() }, text: '' };
      }
      case '/token': {
        const form = new URLSearchParams(body);
        const asked = this.asked.get(form.get('code') ?? '');
        const verifier = createHash('sha256')
          .update(form.get('code_verifier') ?? '')
          .digest('base64url');
        if (!asked || verifier !== asked.challenge) return json({ error: 'invalid_grant' }, 400);
        return json({
          access_token: randomUUID(),
          token_type: 'Bearer',
          expires_in: 60,
          id_token: this.idToken(asked.nonce),
        });
      }
      default:
        return json({ error: 'not_found' }, 404);
    }
  }

  private idToken(nonce: string): string {
    const now = Math.floor(Date.now() / 1_000);
    const head = base64url(JSON.stringify({ alg: 'RS256', kid: 'one', typ: 'JWT' }));
    const claims = base64url(
      JSON.stringify({
        iss: this.issuer,
        aud: CLIENT,
        sub: 'person-1',
        iat: now,
        exp: now + 60,
        nonce,
        email: this.email,
        email_verified: true,
      }),
    );
    const signature = createSign('RSA-SHA256').update(`${head}.${claims}`).sign(this.keys.privateKey);
    return `${head}.${claims}.${base64url(signature)}`;
  }
}
