// Once for all files: a relay with data for every page, and a licence for what needs one.
import { execFile } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { TestProject } from 'vitest/node';
import { Operator } from './operator';
import { binary, type Credentials, Node } from './relay';
import { seed, type Seeded } from './seed';

const run = promisify(execFile);

declare module 'vitest' {
  interface ProvidedContext {
    url: string;
    credentials: Credentials;
    seeded: Seeded;
    licence: string;
  }
}

/** A vendor for the tests: a key pair, and a licence made with it. */
async function makeLicence(dir: string): Promise<{ licence: string; publicKey: string }> {
  const pair = generateKeyPairSync('rsa', {
    modulusLength: 3_072,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  const paths = { secret: join(dir, 'vendor.pem'), public: join(dir, 'vendor.pub.pem') };
  await writeFile(paths.secret, pair.privateKey, { mode: 0o600 });
  await writeFile(paths.public, pair.publicKey);
  const { stdout } = await run(binary(), [
    'license',
    'issue',
    '--private-key',
    paths.secret,
    '--org',
    'Example Ltd',
    '--max-fleets',
    '3',
    '--days',
    '300',
  ]);
  return { licence: stdout.trim().split('\n').at(-1) ?? '', publicKey: paths.public };
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const dir = await mkdtemp(join(tmpdir(), 'ekho-console-vendor-'));
  const { licence, publicKey } = await makeLicence(dir);
  const node = await Node.make({ EKHO_LICENSE_PUBLIC_KEY_PATH: publicKey });
  const credentials = await node.setup();
  await node.start();
  const page = await fetch(`${node.url}/ui/`);
  if (!page.ok) throw new Error(`EKHO_BIN was built without the console: ${await page.text()}`);
  const operator = await Operator.signIn(node.url, credentials);
  project.provide('url', node.url);
  project.provide('credentials', credentials);
  project.provide('seeded', await seed(node.url, operator, credentials));
  project.provide('licence', licence);
  return async () => {
    await node.remove();
    await rm(dir, { recursive: true, force: true });
  };
}
