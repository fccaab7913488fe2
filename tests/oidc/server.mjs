// A real OpenID provider (node-oidc-provider) on loopback, for the tests of sign-in by OIDC.
//
//   node server.mjs DIRECTORY   DIRECTORY holds node_modules with oidc-provider in it
//
// It prints `issuer URL` when it listens and ends when its standard input does. Whom it vouches for
// is put in by tests: PUT /test/accounts/LOGIN {"claims": {…}, "forge"?: {…}}. Anybody may sign in
// as anybody with its development forms. With `forge`, the ID token of that account is replaced by
// another one, to be what no good provider would send:
//
//   claims      put over the ones of the real token; null takes one away
//   algorithm   RS256 (default), ES256, HS256 (keyed with the client's secret) or none
//   key         published (default); fresh: from now on published; unpublished

import { createHmac, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const directory = resolve(process.argv[2] ?? '.');
const require = createRequire(pathToFileURL(`${directory}/package.json`));
const load = (name) => import(pathToFileURL(require.resolve(name)));
const { Provider } = await load('oidc-provider');
const { SignJWT, base64url, decodeJwt, exportJWK, generateKeyPair, importJWK } = await load('jose');

const SECRET = 'a-secret-of-the-test-client-only';
const CALLBACK = '/v1/operator/oidc/callback';

async function newKey(alg) {
  const { privateKey } = await generateKeyPair(alg, { extractable: true });
  const kid = `${alg}-${randomBytes(4).toString('hex')}`;
  return { ...(await exportJWK(privateKey)), alg, kid, use: 'sig' };
}

const keys = { RS256: await newKey('RS256'), ES256: await newKey('ES256') };
const fresh = [];
const accounts = new Map();

function client(client_id, more) {
  return {
    client_id,
    client_secret: SECRET,
    // Native ones may come back to any port of this machine (RFC 8252, section 7.3).
    application_type: 'native',
    redirect_uris: [`http://127.0.0.1${CALLBACK}`],
    grant_types: ['authorization_code'],
    response_types: ['code'],
    token_endpoint_auth_method: 'client_secret_basic',
    ...more,
  };
}

const configuration = {
  clients: [
    client('ekho', {}),
    client('ekho es256', { id_token_signed_response_alg: 'ES256' }),
    client('ekho-public', { client_secret: undefined, token_endpoint_auth_method: 'none' }),
  ],
  jwks: { keys: [keys.RS256, keys.ES256] },
  claims: { openid: ['sub'], email: ['email', 'email_verified'], groups: ['groups'] },
  cookies: { keys: [randomBytes(16).toString('hex')] },
  pkce: { required: () => true },
  features: { devInteractions: { enabled: true } },
  findAccount: (_, login) => ({
    accountId: login,
    claims: () => ({ sub: login, ...accounts.get(login)?.claims }),
  }),
};

function publicPart({ kty, n, e, crv, x, y, alg, kid, use }) {
  return { kty, n, e, crv, x, y, alg, kid, use };
}

async function forged(idToken, { claims = {}, algorithm = 'RS256', key = 'published' }) {
  const payload = { ...decodeJwt(idToken), ...claims };
  for (const name of Object.keys(payload)) {
    if (payload[name] === null) delete payload[name];
  }
  if (algorithm === 'none' || algorithm === 'HS256') {
    const part = (value) => base64url.encode(JSON.stringify(value));
    const signed = `${part({ alg: algorithm, typ: 'JWT' })}.${part(payload)}`;
    if (algorithm === 'none') return `${signed}.`;
    return `${signed}.${createHmac('sha256', SECRET).update(signed).digest('base64url')}`;
  }
  let jwk = keys[algorithm];
  if (key !== 'published') jwk = await newKey(algorithm);
  if (key === 'fresh') fresh.push(publicPart(jwk));
  const { kid } = jwk;
  const header = { alg: algorithm, typ: 'JWT', kid };
  return new SignJWT(payload).setProtectedHeader(header).sign(await importJWK(jwk, algorithm));
}

async function control(ctx) {
  const login = decodeURIComponent(ctx.path.slice('/test/accounts/'.length));
  const chunks = [];
  for await (const chunk of ctx.req) chunks.push(chunk);
  accounts.set(login, JSON.parse(Buffer.concat(chunks).toString()));
  ctx.body = { ok: true };
}

async function around(ctx, next) {
  if (ctx.path.startsWith('/test/accounts/')) return control(ctx);
  await next();
  if (ctx.path === '/jwks') ctx.body = { keys: [...ctx.body.keys, ...fresh] };
  const { forge } = accounts.get(ctx.oidc?.account?.accountId) ?? {};
  if (ctx.path === '/token' && ctx.status === 200 && forge) {
    ctx.body = { ...ctx.body, id_token: await forged(ctx.body.id_token, forge) };
  }
  return undefined;
}

const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, configuration);
  provider.use(around);
  server.on('request', provider.callback());
  console.log(`issuer ${issuer}`);
});

process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
