// Signing in by an OpenID provider, where one is configured.
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { accessible, launch, shoot, visit } from './lib/browser';
import { Provider } from './lib/provider';
import { Node } from './lib/relay';

let browser: Browser;
let node: Node;
let provider: Provider;

beforeAll(async () => {
  browser = await launch();
  provider = await Provider.start('owner@localhost');
  node = await Node.make({ EKHO_OIDC_ISSUER: provider.issuer, EKHO_OIDC_CLIENT_ID: provider.clientId });
  await node.setup();
  await node.start();
});
afterAll(async () => {
  await browser?.close();
  await node?.remove();
  await provider?.stop();
});

it('goes to the provider and back to where the link led', async () => {
  const { page, context, faults } = await visit(browser, null, { url: node.url, others: [provider.issuer] });
  await page.goto('/ui/events?type=agent');
  const button = page.getByRole('link', { name: 'Sign in with your organisation' });
  await button.waitFor();
  await shoot(page, 'sign-in-oidc-light');
  await accessible(page);
  await button.click();
  await page.waitForURL(`${node.url}/ui/events?type=agent`);
  await page.getByRole('heading', { name: 'Events' }).waitFor();
  await page.goto(`${node.url}/ui/account`);
  await page.getByRole('cell', { name: 'oidc' }).waitFor();
  expect(faults).toEqual([]);
  await context.close();
});
