// End-to-end signatures and encryption in a browser: `node run.mjs CHROMIUM DIST VECTORS_FOLDER`. Serves
// the package's ES modules and a page that checks the vectors, and reads what the page says.

import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join, normalize } from 'node:path';

const [chromium, dist, vectors] = process.argv.slice(2);
const DEADLINE_MS = 60_000;

const PAGE = `<!doctype html><title>wait</title><script type="module">
  import {
    decryptBody, EncryptionKey, encryptBody, isEncrypted, KeyRing, PublicEncryptionKey, Verifier,
    canonicalJson,
  } from '/identity/index.js';
  const say = (text) => { document.body.textContent = text; };
  try {
    const read = async (name) => (await fetch('/vectors/' + name)).json();
    const vectors = await read('envelopes.json');
    const encryption = await read('encryption.json');
    let right = 0;
    for (const { json, canonical } of vectors.canonical_json) {
      right += canonicalJson(JSON.parse(json)) === canonical;
    }
    const verifier = new Verifier(await KeyRing.fromJSON(vectors.key_ring), vectors.self_agent_id);
    for (const { message, status, reason } of vectors.verifying) {
      const found = await verifier.verify(message);
      right += found.status === status && found.reason === reason;
    }
    for (const { seed, sender_id, message, readers, nonce, encrypted } of encryption.encrypting) {
      const to = await Promise.all(readers.map(async ({ agent_id, public_key }) => (
        { agentId: agent_id, key: await PublicEncryptionKey.parse(public_key) })));
      const key = await EncryptionKey.fromSeed(seed);
      const body = await encryptBody(message, sender_id, key, to, nonce);
      right += canonicalJson(body) === canonicalJson(encrypted);
    }
    const own = [await EncryptionKey.fromSeed(encryption.self_seed)];
    const opened = encryption.decrypting.filter(({ message }) => isEncrypted(message.body));
    for (const { message, body, reason } of opened) {
      const found = await decryptBody(message, encryption.self_agent_id, own).catch((error) => error);
      right += reason ? found.reason === reason : canonicalJson(found.body) === canonicalJson(body);
    }
    const all = [vectors.canonical_json, vectors.verifying, encryption.encrypting, opened];
    if (all.some(({ length }) => length === 0)) throw new Error('vectors of a kind are missing');
    say('RIGHT ' + right + ' OF ' + all.reduce((sum, { length }) => sum + length, 0));
  } catch (error) { say('ERROR ' + error); }
</script><body></body>`;

const server = createServer(async ({ url }, answer) => {
  try {
    const script = url.endsWith('.js');
    const type = script ? 'text/javascript' : url === '/' ? 'text/html' : 'application/json';
    const name = /^\/vectors\/([a-z]+\.json)$/.exec(url)?.[1];
    const file = name ? join(vectors, name) : join(dist, normalize(url));
    const content = url === '/' ? PAGE : await readFile(file);
    answer.writeHead(200, { 'content-type': type }).end(content);
  } catch {
    answer.writeHead(404).end();
  }
});
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const profile = await mkdtemp(join(tmpdir(), 'ekho-browser-'));
const flags = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
  `--user-data-dir=${profile}`, '--virtual-time-budget=20000', '--dump-dom',
];
const page = `http://127.0.0.1:${server.address().port}/`;
const shown = await new Promise((resolve) => {
  execFile(chromium, [...flags, page], { timeout: DEADLINE_MS }, (_, stdout) => resolve(stdout));
});
server.close();
await rm(profile, { recursive: true, force: true });
const said = /RIGHT (\d+) OF (\d+)/.exec(shown);
console.log(said ? `browser: ${said[1]} of ${said[2]} vectors` : `browser: ${shown.slice(-300)}`);
if (!said || said[1] !== said[2]) process.exit(1);
