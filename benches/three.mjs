// Three nodes on this machine, and what the measurements here ask of them.
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "ekho");
const target = process.env.CARGO_TARGET_DIR ?? join(cache, "target");
export const ekho = process.env.EKHO_BIN ?? join(target, "release/ekho");
export const say = (text) => process.stderr.write(`${text}\n`);
export const wait = (ms) => new Promise((done) => setTimeout(done, ms));

export async function call(url, method, path, body, headers = {}) {
  const answer = await fetch(url + path, {
    method,
    headers: { "content-type": "application/json", ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
    signal: AbortSignal.timeout(10_000),
  });
  return { status: answer.status, json: await answer.json().catch(() => ({})) };
}

export async function until(what, seconds, condition, every_ms = 20) {
  const end = Date.now() + seconds * 1000;
  while (Date.now() < end) {
    const found = await condition().catch(() => undefined);
    if (found !== undefined) return found;
    await wait(every_ms);
  }
  throw new Error(`not within ${seconds} s: ${what}`);
}

export class Cluster {
  // Clients from port `base` on, nodes from ten above.
  constructor(name, base, log = "error") {
    this.work = mkdtempSync(join(process.env.BENCH_WORK_DIR ?? cache, `${name}.`));
    this.nodes = [0, 1, 2].map((at) => ({
      url: `http://127.0.0.1:${base + at}`,
      env: {
        PATH: process.env.PATH,
        HOME: process.env.HOME,
        EKHO_DATA_DIR: join(this.work, String(at + 1)),
        EKHO_PORT: String(base + at),
        EKHO_NODE_ADDRESS: `127.0.0.1:${base + 10 + at}`,
        EKHO_LOG: log,
        EKHO_LOG_FORMAT: "json",
        EKHO_RATE_LIMIT_MAX_MESSAGES: "1000000000",
        EKHO_DISK_FREE_MIN_BYTES: "1048576",
      },
      log: join(this.work, `${at + 1}.log`),
      process: null,
    }));
  }

  start(node, ...args) {
    const log = openSync(node.log, "a");
    node.process = spawn(ekho, ["serve", ...args], { env: node.env, stdio: ["ignore", log, log] });
  }

  // Three voters, and the owner signed in.
  async form() {
    const [first, ...others] = this.nodes;
    const set = spawnSync(ekho, ["setup", "--non-interactive"], { env: first.env, encoding: "utf8" });
    if (set.status !== 0) throw new Error(set.stderr);
    this.start(first);
    this.credentials = join(first.env.EKHO_DATA_DIR, "credentials.json");
    const { fleet_name, email, password } = JSON.parse(readFileSync(this.credentials, "utf8"));
    this.session = await until("the first node", 30, async () => {
      const answer = await call(first.url, "POST", "/v1/operator/login", { fleet_name, email, password });
      return answer.status === 200 ? answer.json : undefined;
    });
    for (const node of others) {
      const made = await this.operator(first, "POST", "/v1/operator/cluster/tokens", {});
      this.start(node, "--join", first.env.EKHO_NODE_ADDRESS, "--token", made.json.token);
      // One after the other, so that their numbers are those of their places.
      await until("a node that joined", 30, async () => {
        const { nodes: known } = await this.status(first);
        return known.some((one) => one.address === node.env.EKHO_NODE_ADDRESS) || undefined;
      });
    }
    await this.whole(first);
  }

  operator(node, method, path, body) {
    return call(node.url, method, path, body, { authorization: `Bearer ${this.session.token}` });
  }

  async status(asked) {
    return (await this.operator(asked, "GET", "/v1/operator/cluster")).json;
  }

  whole(asked, seconds = 60) {
    return until("three voters", seconds, async () => {
      const status = await this.status(asked);
      const good = status.nodes.filter((one) => one.voter && one.health === "ok");
      return good.length === 3 && status.leader && !status.changing ? status : undefined;
    });
  }

  async end() {
    for (const node of this.nodes) node.process?.kill("SIGKILL");
    await wait(200);
    rmSync(this.work, { recursive: true, force: true });
  }
}
