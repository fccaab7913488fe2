// 10,000 agents and 100,000 events: lists draw what is in sight, ask for pages as one comes to
// them, and stay smooth. What is measured is printed and fails nothing; what is drawn is bounded.
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Agent } from './lib/agent';
import { launch, textOf, visit } from './lib/browser';
import { Operator } from './lib/operator';
import { type Credentials, Node, until } from './lib/relay';

const AGENTS = Number(process.env['EKHO_SCALE_AGENTS'] ?? 10_000);
const EVENTS = Number(process.env['EKHO_SCALE_EVENTS'] ?? 100_000);
const AT_ONCE = 24;
/** More rows than this on a screen of 900 pixels would mean that all are drawn. */
const DRAWN_MAX = 120;

let browser: Browser;
let node: Node;
let credentials: Credentials;

/** So many at once until all are done. */
async function parallel(count: number, one: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      while (next < count) await one(next++);
    }),
  );
}

beforeAll(async () => {
  browser = await launch();
  node = await Node.make({ EKHO_RATE_LIMIT_MAX_MESSAGES: '1000000' });
  credentials = await node.setup();
  await node.start();
  const operator = await Operator.signIn(node.url, credentials);
  const enrol = (name: string) => Agent.enrol([node.url], operator, credentials.fleet_id, name);
  const [sender, receiver] = [await enrol('Sender'), await enrol('Receiver')];
  await parallel(AGENTS - 2, (index) => enrol(`Agent ${String(index).padStart(5, '0')}`));
  // A message that is accepted is an event; so were the tokens and the enrolments before.
  const batch = Array.from({ length: 100 }, (_, index) => ({
    recipient: { kind: 'agent', id: receiver.id },
    message_type: 'direct',
    conversation_id: 'load',
    correlation_id: `${index}`,
    body: { text: 'x' },
  }));
  await parallel(Math.ceil(Math.max(0, EVENTS - 2 * AGENTS) / 100), () =>
    sender.call('POST', '/v1/messages/batch', { messages: batch }),
  );
  await until(
    'all events to be counted',
    async () => (await operator.get<{ total: number }>('/v1/operator/events?limit=1')).total > EVENTS * 0.95,
    120_000,
  );
}, 1_200_000);
afterAll(async () => {
  await browser?.close();
  await node?.remove();
});

it('shows 10,000 agents', async () => {
  const { page, context, faults } = await visit(browser, credentials, { url: node.url });
  const began = Date.now();
  await page.goto('/ui/agents');
  await page.getByRole('link', { name: 'Agent 00000' }).waitFor();
  const first = Date.now() - began;
  // To the very end, page by page.
  const walk = Date.now();
  await expect
    .poll(
      async () => {
        await page.evaluate(() => window.scrollTo(0, document.documentElement.scrollHeight));
        return page.getByRole('link', { name: 'Sender' }).count();
      },
      { timeout: 180_000, interval: 60 },
    )
    .toBe(1);
  const walked = Date.now() - walk;
  await expect.poll(() => page.locator('tbody tr').count()).toBeLessThan(DRAWN_MAX);
  const frames = await page.evaluate(async () => {
    const times: number[] = [];
    let last = performance.now();
    for (let step = 0; step < 120; step += 1) {
      window.scrollBy(0, step < 60 ? -700 : 700);
      await new Promise((resolve) => requestAnimationFrame(resolve));
      const now = performance.now();
      times.push(now - last);
      last = now;
    }
    return times.sort((one, other) => one - other);
  });
  const found = Date.now();
  // The first of a hundred, near the end.
  const late = `Agent ${String(Math.floor(AGENTS * 0.009) * 100).padStart(5, '0')}`;
  await page.getByLabel('Search by name, or a whole id').fill(late.slice(0, -2));
  await page.getByRole('link', { name: late }).waitFor();
  console.error(
    `summary: console: ${AGENTS} agents: first rows after ${first} ms, to the last row in ${walked} ms, frame p50 ${frames[60]?.toFixed(0)} ms p95 ${frames[114]?.toFixed(0)} ms, found one in ${Date.now() - found} ms`,
  );
  expect(faults).toEqual([]);
  await context.close();
}, 360_000);

it('shows 100,000 events', async () => {
  const { page, context, faults } = await visit(browser, credentials, { url: node.url });
  const began = Date.now();
  await page.goto('/ui/events');
  await page.locator('tbody tr').nth(20).waitFor();
  const first = Date.now() - began;
  const rows = async () =>
    Number(
      /^([\d,]+) of/
        .exec((await page.locator('.table-foot').textContent()) ?? '')?.[1]
        ?.replaceAll(',', '') ?? 0,
    );
  const walk = Date.now();
  await expect
    .poll(
      async () => {
        await page.evaluate(() => window.scrollTo(0, document.documentElement.scrollHeight));
        return rows();
      },
      { timeout: 180_000, interval: 40 },
    )
    .toBeGreaterThan(5_000);
  await expect.poll(() => page.locator('tbody tr').count()).toBeLessThan(DRAWN_MAX);
  const says = /of ([\d,]+) loaded/;
  const total = says.exec(await textOf(page.locator('.table-foot'), says))?.[1];
  expect(Number(total?.replaceAll(',', ''))).toBeGreaterThan(EVENTS * 0.95);
  console.error(
    `summary: console: ${total} events: first rows after ${first} ms, 5,000 rows walked in ${Date.now() - walk} ms`,
  );
  expect(faults).toEqual([]);
  await context.close();
}, 360_000);
