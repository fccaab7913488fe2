// Three nodes: how they are shown, and the walk: the leader, which serves the page, is drained from
// the console and stopped while agents send. The page goes on at another node; no send fails.
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it, onTestFinished, vi } from 'vitest';
import { Agent } from './lib/agent';
import { accessible, launch, settled, shoot, textOf, visit } from './lib/browser';
import { Operator } from './lib/operator';
import { type Credentials, Node, threeNodes, until } from './lib/relay';

// Each wait has a deadline of its own; this is for many that are long.
vi.setConfig({ testTimeout: 480_000, hookTimeout: 480_000 });

let browser: Browser;
let nodes: Node[] = [];
let credentials: Credentials;
interface View {
  leader: number | null;
  nodes: { node_id: number; base_url: string | null; voter: boolean; health: string }[];
}

beforeAll(async () => {
  browser = await launch();
  ({ nodes, credentials } = await threeNodes({ EKHO_RATE_LIMIT_MAX_MESSAGES: '1000000' }));
});
afterAll(async () => {
  await browser?.close();
  for (const node of nodes) await node.remove();
});

/** Between one request of an agent and the next: they share the process with what drives the browser. */
const rest = () => new Promise((resolve) => setTimeout(resolve, 50));

const origins = () => nodes.map((node) => node.url);
const viewAt = async (node: Node): Promise<View> =>
  (await Operator.signIn(node.url, credentials)).get<View>('/v1/operator/cluster');

async function leader(): Promise<{ id: number; node: Node }> {
  return until('a leader', async () => {
    for (const node of nodes) {
      const view = await viewAt(node).catch(() => null);
      const url = view?.nodes.find((one) => one.node_id === view.leader)?.base_url;
      const found = nodes.find((one) => one.url === url);
      if (view?.leader && found) return { id: view.leader, node: found };
    }
    return null;
  });
}

/** What the command that is shown says. */
async function joinBy(page: Page): Promise<{ join: string; token: string }> {
  const says = /--join (\S+) --token (\S+)/;
  const command = await textOf(page.getByLabel('Command for the new node'), says);
  const [, join, token] = says.exec(command) ?? [];
  if (!join || !token) throw new Error(command);
  return { join, token };
}

it.each([
  ['light', {}],
  ['dark', { theme: 'dark' as const }],
  ['phone', { phone: true }],
])('is fit to be seen: %s', async (name, options) => {
  const { page, context, faults } = await visit(browser, credentials, {
    url: nodes[0]?.url ?? '',
    others: origins(),
    ...options,
  });
  await page.goto('/ui/cluster');
  await page.getByText('Node 3').first().waitFor();
  await settled(page);
  await shoot(page, `cluster-${name}`);
  await accessible(page);
  expect(faults).toEqual([]);
  await context.close();
});

it('moves leadership, and shows that it moved', async () => {
  const { id } = await leader();
  const target = id === 2 ? 3 : 2;
  const { page, context, faults } = await visit(browser, credentials, {
    url: nodes[0]?.url ?? '',
    others: origins(),
    unavailable: true,
  });
  await page.goto('/ui/cluster');
  await page.getByRole('button', { name: `Actions for node ${target}` }).click();
  await page.getByRole('menuitem', { name: 'Make it lead' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Make it lead' }).click();
  await page.getByText('It leads').waitFor();
  await page
    .locator('.panel', { hasText: 'Moving leadership' })
    .getByText('Done', { exact: true })
    .first()
    .waitFor();
  await expect.poll(async () => (await leader()).id).toBe(target);
  await page.getByRole('button', { name: 'Dismiss' }).click();
  expect(faults).toEqual([]);
  await context.close();
});

it('makes a token, notices the node that joins by it, gives it a vote, takes that, and removes it', async () => {
  const { page, context, faults } = await visit(browser, credentials, {
    url: nodes[0]?.url ?? '',
    others: origins(),
    unavailable: true,
  });
  await page.goto('/ui/cluster');
  await page.getByRole('button', { name: 'Add a node' }).click();
  await page.getByLabel('What it becomes').selectOption('learner');
  await page.getByRole('button', { name: 'Make the token' }).click();
  const { join, token } = await joinBy(page);
  const fourth = await Node.make();
  nodes.push(fourth);
  await fourth.start('--join', join, '--token', token);
  await page.getByText('Node 4 has joined.').waitFor();
  await page.getByRole('dialog').getByRole('button', { name: 'Close' }).click();
  const row = page.locator('tbody tr', { hasText: 'Node 4' });
  await row.getByText('Learner').waitFor();
  const change = async (action: string, title: string, step: string, part: string) => {
    await page.getByRole('button', { name: 'Actions for node 4' }).click();
    await page.getByRole('menuitem', { name: action }).click();
    await page.getByRole('dialog').getByRole('button', { name: action }).click();
    const progress = page.locator('.panel', { hasText: `${title} node 4` });
    await progress.getByText(step).waitFor();
    await progress.locator('.badge', { hasText: 'Done' }).waitFor();
    await row.getByText(part).waitFor();
    const votes = async () =>
      (await viewAt(nodes[0] ?? fourth)).nodes.find((one) => one.node_id === 4)?.voter;
    await expect.poll(votes).toBe(part === 'Voter');
  };
  await change('Let it vote', 'Promoting', 'It votes', 'Voter');
  await change('Take its vote', 'Demoting', 'It does not vote', 'Learner');
  await fourth.stop();
  await row.locator('.badge', { hasText: 'Unreachable' }).waitFor();
  await page.getByRole('button', { name: 'Actions for node 4' }).click();
  await page.getByRole('menuitem', { name: 'Remove' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Remove' }).click();
  await page.getByText('It is not of the cluster any more').waitFor();
  await expect.poll(() => row.count()).toBe(0);
  nodes.splice(nodes.indexOf(fourth), 1);
  await fourth.remove();
  expect(faults).toEqual([]);
  await context.close();
});

it('replaces a node that does not come back, step by step', async () => {
  const lost = nodes.pop();
  if (!lost) throw new Error('no node');
  const id = await until(
    'the id of the node',
    async () => (await viewAt(nodes[0] ?? lost)).nodes.find((one) => one.base_url === lost.url)?.node_id,
  );
  await lost.remove();
  const { page, context, faults } = await visit(browser, credentials, {
    url: nodes[0]?.url ?? '',
    others: [...origins(), lost.url],
    unavailable: true,
  });
  await page.goto('/ui/cluster');
  await page
    .locator('tbody tr', { hasText: `Node ${id}` })
    .locator('.badge', { hasText: 'Unreachable' })
    .waitFor();
  await page.getByRole('button', { name: `Actions for node ${id}` }).click();
  await page.getByRole('menuitem', { name: 'Replace' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Replace' }).click();
  await page.getByRole('button', { name: 'Make the token' }).click();
  const { join, token } = await joinBy(page);
  const next = await Node.make({ EKHO_RATE_LIMIT_MAX_MESSAGES: '1000000' });
  nodes.push(next);
  await next.start('--join', join, '--token', token);
  await page.getByText(/Node \d has joined\./).waitFor();
  await page.getByRole('dialog').getByRole('button', { name: 'Close' }).click();
  const progress = page.locator('.panel', { hasText: `Replacing node ${id}` });
  await progress.getByText('The replacement votes and has caught up').waitFor();
  await progress.locator('.badge', { hasText: 'Done' }).waitFor();
  expect(faults).toEqual([]);
  await context.close();
});

it('drains and stops the leader while agents send: the page goes on elsewhere, no send fails', async () => {
  const before = await leader();
  const operator = await Operator.signIn(before.node.url, credentials);
  const urls = origins();
  const sender = await Agent.enrol(urls, operator, credentials.fleet_id, 'Sender');
  const receiver = await Agent.enrol(urls, operator, credentials.fleet_id, 'Receiver');

  let sending = true;
  // Whatever becomes of the test: who goes on for ever is in the way of all that come after.
  onTestFinished(() => {
    sending = false;
  });
  const sent: string[] = [];
  const failed: string[] = [];
  const sends = (async () => {
    for (let number = 0; sending; number += 1) {
      await sender.sendTo(receiver, 'walk', `Message ${number}`).then(
        (id) => sent.push(id),
        (thrown: unknown) => failed.push(String(thrown)),
      );
      await rest();
    }
  })();
  const got = new Set<string>();
  // What was handed out counts as received, whether or not the ack gets through.
  const receive = async () => {
    const ids = (await receiver.inbox(100)).map((message) => message.message_id);
    ids.forEach((id) => got.add(id));
    if (ids.length > 0) await receiver.ack(...ids);
  };
  const receives = (async () => {
    while (sending) {
      await receive().catch(() => undefined);
      await rest();
    }
  })();
  await until('some messages', () => Promise.resolve(sent.length > 20));

  const { page, context, faults } = await visit(browser, credentials, {
    url: before.node.url,
    others: urls,
    unavailable: true,
  });
  await page.goto(`${before.node.url}/ui/cluster`);
  await page.locator('.live[data-state=live]').waitFor();
  await page.getByRole('button', { name: `Actions for node ${before.id}` }).click();
  await page.getByRole('menuitem', { name: 'Drain' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Drain' }).click();
  const progress = page.locator('.panel', { hasText: `Draining node ${before.id}` });
  await progress.locator('.badge', { hasText: 'Done' }).waitFor();
  await progress.getByText('It may be stopped now').waitFor();
  await page.getByText('This node is being drained').waitFor();
  await shoot(page, 'cluster-drained-light');
  await expect.poll(async () => (await leader()).id).not.toBe(before.id);

  // The node that serves the page goes away; the same page goes on at another, with the same operation.
  const began = Date.now();
  await before.node.stop();
  await page.waitForURL((url) => url.origin !== before.node.url && url.pathname === '/ui/cluster');
  const moved = Date.now() - began;
  await expect.poll(() => new URL(page.url()).searchParams.get('op')).toBe('drain');
  await page
    .locator('.panel', { hasText: `Draining node ${before.id}` })
    .getByText('It is stopped')
    .waitFor();
  await page
    .locator('tbody tr', { hasText: `Node ${before.id}` })
    .locator('.badge', { hasText: 'Unreachable' })
    .waitFor();
  await settled(page);
  await shoot(page, 'cluster-continued-light');
  const sentUntilThen = sent.length;
  await until('messages go on', () => Promise.resolve(sent.length > sentUntilThen + 20));

  // The node comes back, and nothing was lost or doubled.
  await before.node.start();
  await page
    .locator('tbody tr', { hasText: `Node ${before.id}` })
    .locator('.badge', { hasText: 'Ok' })
    .waitFor();
  sending = false;
  await Promise.all([sends, receives]);
  await until('all to arrive', async () => {
    await receive();
    return got.size >= sent.length;
  });
  expect(failed).toEqual([]);
  expect(new Set(sent).size).toBe(sent.length);
  expect([...got].sort()).toEqual([...sent].sort());
  expect(faults).toEqual([]);
  console.error(
    `summary: console: ${sent.length} sends while the leader was drained and stopped from the console, none failed; page on another node after ${moved} ms`,
  );
  await context.close();
});

it('goes on elsewhere when the node dies without a word', async () => {
  const victim = nodes[0];
  if (!victim) throw new Error('no node');
  const { page, context } = await visit(browser, credentials, { url: victim.url, others: origins() });
  // The page has to know the other nodes before it can go there.
  const knows = page.waitForResponse((answer) => answer.ok() && answer.url().endsWith('/operator/cluster'));
  await page.goto('/ui/agents?search=Send');
  await page.getByRole('link', { name: 'Sender' }).waitFor();
  await page.locator('.live[data-state=live]').waitFor();
  await (await knows).finished();
  await victim.kill();
  await page.waitForURL((url) => url.origin !== victim.url);
  await expect
    .poll(() => new URL(page.url()).pathname + new URL(page.url()).search)
    .toBe('/ui/agents?search=Send');
  await page.getByRole('link', { name: 'Sender' }).waitFor();
  await context.close();
});
