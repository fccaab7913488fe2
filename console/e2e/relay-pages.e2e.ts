// Pages about the relay itself: settings, metrics, about, hooks, cluster of one.
import { createServer } from 'node:http';
import { expect, inject, it } from 'vitest';
import { browserSuite, looksRight, textOf } from './lib/browser';

const suite = browserSuite();

it('is fit to be seen: settings', () =>
  looksRight(suite, 'settings', '/settings', (page) => page.getByLabel('Delivery timeout').waitFor()));
it('is fit to be seen: metrics', () =>
  looksRight(suite, 'metrics', '/metrics', (page) =>
    page.getByRole('heading', { name: 'Scrape configuration' }).waitFor(),
  ));
it('is fit to be seen: about', () =>
  looksRight(suite, 'about', '/about', (page) => page.getByText('API, to browse').waitFor()));
it('is fit to be seen: hooks', () =>
  looksRight(suite, 'hooks', '/hooks', (page) => page.getByText('No hooks yet').waitFor()));
it('is fit to be seen: a cluster of one', () =>
  looksRight(suite, 'cluster-one', '/cluster', (page) => page.getByText('Serves this page').waitFor()));

it('changes settings, says what is wrong, and what the relay refuses', async () => {
  const { page, context, faults } = await suite.open('/settings');
  await page.getByLabel('Delivery timeout').fill('soon');
  await page.getByText('A time such as 90 s, 5 min, 2 h or 7 d.').waitFor();
  await expect.poll(() => page.getByRole('button', { name: 'Save changes' }).isDisabled()).toBe(true);
  await page.getByLabel('Delivery timeout').fill('90 s');
  await page
    .getByRole('group', { name: 'Risks for two operators' })
    .getByRole('button', { name: 'critical' })
    .click();
  await page.getByText('2 changes').waitFor();
  await page.getByRole('button', { name: 'Save changes' }).click();
  await page.getByText('Settings saved.').waitFor();
  expect(await suite.operator().get('/v1/operator/settings')).toMatchObject({
    delivery_timeout_ms: 90_000,
    approval_two_person_risks: ['critical'],
  });
  await page.getByLabel('Delivery timeout').fill('1 ms');
  await page.getByRole('button', { name: 'Save changes' }).click();
  await page.getByText('validation_failed').waitFor();
  await page.getByRole('button', { name: 'Discard' }).click();
  await expect.poll(() => page.getByLabel('Delivery timeout').inputValue()).toBe('1 min 30 s');
  await suite
    .operator()
    .put('/v1/operator/settings', { delivery_timeout_ms: 120_000, approval_two_person_risks: [] });
  expect(faults).toEqual([]);
  await context.close();
});

it('keeps what is typed while the rest is being saved', async () => {
  const { page, context, faults } = await suite.open('/settings');
  let release = () => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  await context.route('**/v1/operator/settings', async (route) => {
    if (route.request().method() === 'PUT') await held;
    await route.continue();
  });
  await page.getByLabel('Delivery timeout').fill('100 s');
  await page.getByRole('button', { name: 'Save changes' }).click();
  await page.getByRole('button', { name: 'Working' }).waitFor();
  await page.getByLabel('Delivery timeout').fill('110 s');
  release();
  await page.getByText('Settings saved.').waitFor();
  await page.getByText('1 change').waitFor();
  expect(await suite.operator().get('/v1/operator/settings')).toMatchObject({ delivery_timeout_ms: 100_000 });
  await page.getByRole('button', { name: 'Save changes' }).click();
  await expect
    .poll(() => suite.operator().get('/v1/operator/settings'))
    .toMatchObject({ delivery_timeout_ms: 110_000 });
  await suite.operator().put('/v1/operator/settings', { delivery_timeout_ms: 120_000 });
  expect(faults).toEqual([]);
  await context.close();
});

it('changes what decides about attachments', async () => {
  const { page, context, faults } = await suite.open('/settings');
  const largest = page.getByLabel('Largest file');
  await expect.poll(() => largest.inputValue()).toBe('25 MiB');
  await largest.fill('25 megabytes');
  await page.getByText('A size such as 512 KiB, 25 MiB or 10 GiB.').waitFor();
  await largest.fill('30 MiB');
  await page.getByRole('button', { name: 'Save changes' }).click();
  await page.getByText('Settings saved.').waitFor();
  const path = '/v1/operator/settings/attachments';
  expect(await suite.operator().get(path)).toMatchObject({ attachment_max_bytes: 30 * 2 ** 20 });
  await suite.operator().put(path, { attachment_max_bytes: 25 * 2 ** 20 });
  await expect.poll(() => largest.inputValue()).toBe('25 MiB');
  expect(faults).toEqual([]);
  await context.close();
});

it('explains every metric', async () => {
  const { page, context } = await suite.open('/metrics');
  await page.locator('tbody tr').first().waitFor();
  const rows = () =>
    page
      .locator('tbody tr')
      .evaluateAll((all) =>
        all.map((row) => [...row.querySelectorAll('td')].map((cell) => cell.textContent ?? '')),
      );
  await expect.poll(async () => (await rows()).length).toBeGreaterThan(30);
  const unexplained = async () =>
    (await rows()).filter(
      ([name, means]) => !/^(ekho|process)_/.test(name ?? '') || (means ?? '').trim() === '',
    );
  await expect.poll(unexplained).toEqual([]);
  await context.close();
});

it('makes a hook, tries it, and removes it', async () => {
  const program = createServer((request, response) => {
    request.resume();
    request.on('end', () => {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end('{}');
    });
  });
  await new Promise<void>((resolve) => program.listen(0, '127.0.0.1', () => resolve()));
  const address = program.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  const { page, context, faults } = await suite.open('/hooks');
  await page.getByRole('button', { name: 'New hook' }).first().click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Name').fill('e2e-hook');
  await dialog.getByLabel('Address').fill(`http://127.0.0.1:${port}/ekho`);
  await dialog.getByLabel('Before a message').uncheck();
  await dialog.getByLabel('After a message').check();
  await dialog.getByRole('button', { name: 'Create' }).click();
  await textOf(page.getByLabel('Secret', { exact: true }), /^whsec_/);
  await page.getByRole('dialog').getByRole('button', { name: 'Close' }).click();
  await page.getByRole('link', { name: 'e2e-hook' }).click();
  await page.getByRole('button', { name: 'Try it out' }).click();
  await page.getByText(/It answered 200 within [\d.]+ m?s/).waitFor();
  const closed = new Promise((resolve) => program.close(resolve));
  program.closeAllConnections();
  await closed;
  await page.getByRole('button', { name: 'Try it out' }).click();
  await page.getByText('It did not answer as it should').waitFor();
  await page.getByRole('button', { name: 'Remove' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Remove' }).click();
  await page.getByText('No hooks yet').waitFor();
  expect(faults).toEqual([]);
  await context.close();
});

it('backs up, to a file that holds the relay', async () => {
  const { page, context, faults } = await suite.open('/cluster');
  await page.getByRole('button', { name: 'Back up now' }).click();
  await page.getByLabel('Label (optional)').fill('from the console');
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('link', { name: 'Download the backup' }).click(),
  ]);
  expect(download.suggestedFilename()).toMatch(/^ekho-.*\.tar$/);
  expect(await download.failure()).toBeNull();
  await page.getByText('from the console').waitFor();
  expect(faults).toEqual([]);
  await context.close();
});

it('gives a viewer nothing to change', async () => {
  await suite.operator().post('/v1/operator/operators', {
    email: 'viewer@example.org',
    password: 'only looking',
    role: 'viewer',
  });
  const { page, context, faults } = await suite.open('/');
  await context.clearCookies();
  const answer = await context.request.post('/v1/operator/login', {
    data: {
      fleet_name: inject('credentials').fleet_name,
      email: 'viewer@example.org',
      password: 'only looking',
      cookie: true,
    },
  });
  expect(answer.ok()).toBe(true);
  for (const path of [
    '/agents',
    '/approvals',
    '/policies',
    '/dead-letters',
    '/cluster',
    '/hooks',
    '/operators',
    '/rooms',
    '/a2a?tab=clients',
  ]) {
    await page.goto(`${inject('url')}/ui${path}`);
    await page.locator('h1').waitFor();
    await page.waitForFunction(() => document.querySelector('.skeleton') === null);
    await expect
      .poll(() => page.locator('main .button.primary, main .button.danger').allTextContents(), {
        message: path,
      })
      .toEqual([]);
  }
  expect(faults).toEqual([]);
  await context.close();
});
