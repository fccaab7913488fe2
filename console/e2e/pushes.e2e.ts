// A push notification that was given up, after all its tries in almost eight hours, and is tried
// again from the console. The relay's clock is put forward between tries; all else is as it is.
import { createServer, type Server } from 'node:http';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Agent } from './lib/agent';
import { accessible, launch, settled, shoot, visit } from './lib/browser';
import { Clock } from './lib/clock';
import { Operator } from './lib/operator';
import { type Credentials, Node, until } from './lib/relay';

/** Seconds until the next try after each failed one; after the last it is given up. */
const RETRY_SECONDS = [1, 5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400];

/**
 * The relay reads the clock anew once a second, and counts from when it recorded the failure: where
 * that was after the clock was put forward, it is put forward once more.
 */
const FORWARD_EVERY_MS = 5_000;

let browser: Browser;
let node: Node;
let credentials: Credentials;
let dir: string;
let clock: Clock;
let client: Server;
let works = false;
let tries = 0;

beforeAll(async () => {
  browser = await launch();
  client = createServer((request, response) => {
    request.resume();
    request.on('end', () => {
      tries += 1;
      response.writeHead(works ? 200 : 500);
      response.end();
    });
  });
  await new Promise<void>((resolve) => client.listen(0, '127.0.0.1', () => resolve()));
  dir = await mkdtemp(join(tmpdir(), 'ekho-console-clock-'));
  clock = new Clock(join(dir, 'clock'));
  await clock.forward(0);
  node = await Node.make({ ...clock.env, EKHO_OUTBOUND_ALLOWED_NETWORKS: '127.0.0.0/8' });
  credentials = await node.setup();
  await node.start();
});
afterAll(async () => {
  await browser?.close();
  await node?.remove();
  client?.closeAllConnections();
  await new Promise((resolve) => client?.close(resolve));
  if (dir) await rm(dir, { recursive: true, force: true });
});

/** A task that ends at once, of a client that wants to be told of it. */
async function taskToBeTold(operator: Operator, url: string): Promise<void> {
  const agent = await Agent.enrol([node.url], operator, credentials.fleet_id, 'Worker');
  const { token } = await operator.post<{ token: string }>('/v1/operator/a2a/clients', { name: 'app' });
  const answer = await fetch(`${node.url}/agents/${agent.id}/a2a`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${token}`,
      'a2a-version': '1.0',
      'content-type': 'application/json',
    },
    body: JSON.stringify({
      jsonrpc: '2.0',
      id: 1,
      method: 'SendMessage',
      params: {
        message: { messageId: 'm-1', role: 'ROLE_USER', parts: [{ text: 'Tell me when it is done.' }] },
        configuration: { returnImmediately: true, taskPushNotificationConfig: { url } },
      },
    }),
  });
  const { result } = (await answer.json()) as { result?: { task?: { id: string } } };
  if (!result?.task) throw new Error(`A2A: ${answer.status} ${JSON.stringify(result)}`);
  await agent.receiveAll();
  await agent.call('POST', `/v1/tasks/${result.task.id}/status`, { state: 'completed', message: 'Done.' });
}

it('shows what was given up, and has it tried again', async () => {
  const operator = await Operator.signIn(node.url, credentials);
  // Hours pass: nobody shall be signed out or held for that.
  await operator.put('/v1/operator/settings', { session_ms: 604_800_000, heartbeat_timeout_ms: 604_800_000 });
  const address = client.address();
  const url = `http://127.0.0.1:${address && typeof address === 'object' ? address.port : 0}/told`;
  await taskToBeTold(operator, url);
  await until('the first try', () => Promise.resolve(tries > 0));
  for (const [index, seconds] of RETRY_SECONDS.entries()) {
    let forwardAt = 0;
    await until(`try ${index + 2}`, async () => {
      if (tries > index + 1) return true;
      if (Date.now() > forwardAt) {
        await clock.forward(seconds + 1);
        forwardAt = Date.now() + FORWARD_EVERY_MS;
      }
      return false;
    });
  }
  await until('the push to be given up', async () => {
    const { pushes } = await operator.get<{ pushes: unknown[] }>('/v1/operator/a2a/pushes');
    return pushes.length === 1;
  });

  const { page, context, faults } = await visit(browser, credentials, { url: node.url });
  await page.goto('/ui/a2a?tab=pushes');
  const row = page.locator('tbody tr', { hasText: url });
  await row.getByRole('cell', { name: String(RETRY_SECONDS.length + 1), exact: true }).waitFor();
  expect(tries).toBe(RETRY_SECONDS.length + 1);
  await settled(page);
  await shoot(page, 'a2a-push-given-up-light');
  await accessible(page);
  works = true;
  const before = tries;
  await row.getByRole('button', { name: 'Try again' }).click();
  await page.getByText('It is tried again').waitFor();
  await page.getByText('No push failed for good').waitFor();
  await until('the client to be told', () => Promise.resolve(tries > before));
  expect(faults).toEqual([]);
  await context.close();
});
