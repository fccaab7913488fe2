// What needs a licence: analytics and many fleets, before and after it is installed.
import { afterAll, expect, inject, it } from 'vitest';
import { browserSuite, looksRight } from './lib/browser';

const suite = browserSuite();
/** Other files find the relay as it was: one fleet in use, no licence. */
afterAll(async () => {
  const { fleets } = await suite
    .operator()
    .get<{ fleets: { id: string; name: string; archived_at: string | null }[] }>('/v1/operator/fleets');
  for (const fleet of fleets.filter((one) => one.name.startsWith('Second') && !one.archived_at)) {
    await suite.operator().post(`/v1/operator/fleets/${fleet.id}/archive`, { name: fleet.name });
  }
  await suite
    .operator()
    .ask('DELETE', '/v1/operator/license')
    .catch(() => undefined);
});

it('says what is locked, and where the key is', async () => {
  const { page, context, faults } = await suite.open('/analytics');
  await page.getByText('Needs a licence with analytics').waitFor();
  await page.getByRole('link', { name: 'Licence' }).last().click();
  await page.waitForURL('**/ui/licence');
  expect(faults).toEqual([]);
  await context.close();
});

it('installs a licence, after it refused one that is none', async () => {
  const { page, context, faults } = await suite.open('/licence');
  const install = async (key: string) => {
    await page.getByRole('button', { name: 'Install a licence' }).first().click();
    await page.getByLabel('Licence').last().fill(key);
    await page.getByRole('dialog').getByRole('button', { name: 'Install a licence' }).click();
  };
  await install('not a licence');
  await page.getByText('validation_failed').waitFor();
  await page.getByRole('button', { name: 'Cancel' }).click();
  await install(inject('licence'));
  await page.getByText('Example Ltd').waitFor();
  await expect.poll(() => page.getByText('Included', { exact: true }).count()).toBe(3);
  expect(faults).toEqual([]);
  await context.close();
});

it('is fit to be seen: licence', () =>
  looksRight(suite, 'licence', '/licence', (page) => page.getByText('Example Ltd').waitFor()));
it('is fit to be seen: analytics', () =>
  looksRight(suite, 'analytics', '/analytics?range=24h', (page) =>
    page.getByRole('img', { name: /^Messages\./ }).waitFor(),
  ));

it('makes, renames, archives and restores a fleet', async () => {
  const { page, context, faults } = await suite.open('/fleets');
  await page.getByRole('button', { name: 'New fleet' }).click();
  await page.getByLabel('Name', { exact: true }).fill('Second');
  await page.getByLabel('Email of its owner').fill('owner@second.example.org');
  await page.getByLabel('Password of its owner').fill('a long password');
  await page.getByRole('button', { name: 'Create' }).click();
  const row = page.locator('tbody tr', { hasText: 'Second' });
  await row.waitFor();
  const choose = async (name: string) => {
    await row.getByRole('button', { name: /^Actions/ }).click();
    await page.getByRole('menuitem', { name }).click();
  };
  await choose('Rename');
  await page.getByLabel('Name', { exact: true }).fill('Second fleet');
  await page.getByRole('dialog').getByRole('button', { name: 'Rename' }).click();
  await page.locator('tbody tr', { hasText: 'Second fleet' }).waitFor();
  await choose('Archive');
  await page.getByLabel('Type Second fleet to confirm').fill('Second fleet');
  await page.getByRole('dialog').getByRole('button', { name: 'Archive' }).click();
  await row.getByText('Archived').waitFor();
  await choose('Restore');
  await page.getByRole('dialog').getByRole('button', { name: 'Restore' }).click();
  await row.getByText('In use').waitFor();
  expect(faults).toEqual([]);
  await context.close();
});

it('is fit to be seen: fleets', () =>
  looksRight(suite, 'fleets', '/fleets', (page) => page.getByText('First fleet').waitFor()));

it('shows another fleet nothing of the relay', async () => {
  const { page, context } = await suite.open('/');
  await context.clearCookies();
  const answer = await context.request.post('/v1/operator/login', {
    data: {
      fleet_name: 'Second fleet',
      email: 'owner@second.example.org',
      password: 'a long password',
      cookie: true,
    },
  });
  expect(answer.ok()).toBe(true);
  await page.goto(`${inject('url')}/ui/`);
  await page.getByText('No agents yet').waitFor();
  const pages = page.getByRole('navigation', { name: 'Pages' }).getByRole('link');
  await pages.filter({ hasText: 'Agents' }).waitFor();
  for (const name of ['Cluster', 'Fleets'])
    await expect.poll(() => pages.filter({ hasText: name }).count()).toBe(0);
  await context.close();
});
