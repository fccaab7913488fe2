// A relay that is for its tailnet only: whoever comes by the proxy signs in without a password, and
// whoever comes around it is told what is wrong.
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { accessible, launch, shoot, visit } from './lib/browser';
import { TailnetProxy } from './lib/proxy';
import { type Credentials, Node } from './lib/relay';

const ADDRESS = '100.64.0.7';
let browser: Browser;
let node: Node;
let proxy: TailnetProxy;
let credentials: Credentials;

beforeAll(async () => {
  browser = await launch();
  node = await Node.make({
    EKHO_TRUSTED_PROXIES: '127.0.0.1',
    EKHO_OPERATOR_REQUIRE_TAILNET: '1',
    EKHO_OPERATOR_TAILNET_LOGIN: '1',
  });
  credentials = await node.setup();
  await node.start();
  proxy = await TailnetProxy.start(node.port, credentials.email, ADDRESS);
});
afterAll(async () => {
  await browser?.close();
  await proxy?.stop();
  await node?.remove();
});

it('signs in whom the tailnet names, and goes where the link led', async () => {
  const { page, context, faults } = await visit(browser, null, { url: proxy.url });
  await page.goto('/ui/events?type=session');
  const button = page.getByRole('button', { name: `Sign in as ${credentials.email} (tailnet)` });
  await button.waitFor();
  await shoot(page, 'sign-in-tailnet-light');
  await accessible(page);
  await button.click();
  await page.waitForURL(`${proxy.url}/ui/events?type=session`);
  await page.locator('.live[data-state=live]').waitFor();
  await page.goto('/ui/account');
  const own = page.locator('tbody tr', { hasText: 'This one' });
  await own.getByText('tailnet').waitFor();
  await own.getByText(ADDRESS).waitFor();
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByRole('heading', { name: 'Sign in' }).waitFor();
  expect(faults).toEqual([]);
  await context.close();
});

it('tells whoever comes around the proxy where to go', async () => {
  const { page, context } = await visit(browser, null, { url: node.url });
  await page.goto('/ui/');
  await page.getByText('This relay is for its tailnet only.').waitFor();
  await page.locator('code', { hasText: 'tailnet_required' }).waitFor();
  await accessible(page);
  await context.close();
});
