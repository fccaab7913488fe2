// Real relays for the tests: sets up, starts, stops and kills nodes of the binary that EKHO_BIN names.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { WAIT_MS } from './wait';

const run = promisify(execFile);
const START_MS = 120_000;
const STOP_MS = 20_000;

export interface Credentials {
  fleet_name: string;
  fleet_id: string;
  email: string;
  password: string;
}

export function binary(): string {
  const path = process.env['EKHO_BIN'];
  if (!path) throw new Error('EKHO_BIN has to name the binary of the relay, built with the console');
  return path;
}

/** Below what Linux gives to connections that go out: one of those would have a node's port while it is away. */
const PORTS = { first: 12_000, count: 20_000 };

/** A port that nobody listens on at the moment. */
export function freePort(): Promise<number> {
  return until('a free port', () => {
    const port = PORTS.first + randomInt(PORTS.count);
    return new Promise<number | null>((resolve) => {
      const server = createServer();
      server.once('error', () => resolve(null));
      server.listen(port, '127.0.0.1', () => server.close(() => resolve(port)));
    });
  });
}

/** Polls until it is there; never a fixed time. */
export async function until<Value>(
  what: string,
  ask: () => Promise<Value | null | undefined | false>,
  withinMs = WAIT_MS,
): Promise<Value> {
  const end = Date.now() + withinMs;
  let last: unknown = null;
  for (;;) {
    try {
      const got = await ask();
      if (got) return got;
    } catch (thrown) {
      last = thrown;
    }
    if (Date.now() > end)
      throw new Error(`${what}: not within ${withinMs} ms${last ? `; last: ${String(last)}` : ''}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

export class Node {
  private child: ChildProcess | null = null;
  private log = '';

  private constructor(
    readonly dir: string,
    readonly port: number,
    readonly nodePort: number,
    private readonly env: NodeJS.ProcessEnv,
  ) {}

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get nodeAddress(): string {
    return `127.0.0.1:${this.nodePort}`;
  }

  static async make(env: NodeJS.ProcessEnv = {}): Promise<Node> {
    const dir = await mkdtemp(join(tmpdir(), 'ekho-console-'));
    return new Node(dir, await freePort(), await freePort(), env);
  }

  private environment(): NodeJS.ProcessEnv {
    return {
      PATH: process.env['PATH'],
      HOME: process.env['HOME'],
      EKHO_DATA_DIR: this.dir,
      EKHO_PORT: String(this.port),
      EKHO_NODE_ADDRESS: this.nodeAddress,
      EKHO_NODE_LISTEN: this.nodeAddress,
      EKHO_DISK_FREE_MIN_BYTES: '0',
      ...this.env,
    };
  }

  async setup(): Promise<Credentials> {
    await run(binary(), ['setup', '--non-interactive', '--data-dir', this.dir], { env: this.environment() });
    return JSON.parse(await readFile(join(this.dir, 'credentials.json'), 'utf8')) as Credentials;
  }

  async start(...args: string[]): Promise<void> {
    const child = spawn(binary(), ['serve', ...args], {
      env: this.environment(),
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child = child;
    const keep = (data: Buffer) => {
      this.log = (this.log + data.toString()).slice(-8_000);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    await until(
      `node at ${this.url} ready`,
      async () => {
        if (child.exitCode !== null) throw new Error(`it stopped: ${this.log}`);
        const answer = await fetch(`${this.url}/readyz`).catch(() => null);
        return answer?.ok;
      },
      START_MS,
    );
  }

  /** Power cut, as far as a process can have one. */
  async kill(): Promise<void> {
    await this.end('SIGKILL');
  }

  async stop(): Promise<void> {
    await this.end('SIGTERM');
  }

  private async end(signal: NodeJS.Signals): Promise<void> {
    const child = this.child;
    this.child = null;
    if (!child || child.exitCode !== null) return;
    const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill(signal);
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
    await gone;
    clearTimeout(timer);
  }

  async remove(): Promise<void> {
    await this.kill();
    await rm(this.dir, { recursive: true, force: true });
  }
}

/** Three nodes: one begins, two join it by a token each. */
export async function threeNodes(
  env: NodeJS.ProcessEnv = {},
): Promise<{ nodes: Node[]; credentials: Credentials }> {
  const first = await Node.make(env);
  const credentials = await first.setup();
  await first.start();
  const { Operator } = await import('./operator');
  const operator = await Operator.signIn(first.url, credentials);
  const nodes = [first];
  for (let count = 2; count <= 3; count += 1) {
    const { token, join: address } = await operator.post<{ token: string; join: string }>(
      '/v1/operator/cluster/tokens',
      {},
    );
    const node = await Node.make(env);
    await node.start('--join', address, '--token', token);
    nodes.push(node);
    await until(
      `${count} voters`,
      async () => {
        const cluster = await operator.get<{ nodes: { voter: boolean; health: string }[] }>(
          '/v1/operator/cluster',
        );
        return cluster.nodes.filter((one) => one.voter && one.health === 'ok').length === count;
      },
      120_000,
    );
  }
  return { nodes, credentials };
}
