// Events and the audit log: filtered, followed, exported, proved.
import { expect, inject, it } from 'vitest';
import { browserSuite, looksRight } from './lib/browser';

const suite = browserSuite();

it('is fit to be seen: events', () =>
  looksRight(suite, 'events', '/events?type=agent', (page) =>
    page.locator('tbody .badge', { hasText: 'Agent enrolled' }).first().waitFor(),
  ));
it('is fit to be seen: the audit log', () =>
  looksRight(suite, 'audit', '/audit', (page) =>
    page.getByRole('heading', { name: 'Hash of the newest row' }).waitFor(),
  ));

it('filters in the address, and shows one event in full', async () => {
  const { page, context, faults } = await suite.open(
    `/events?type=policy.updated&resource_id=${inject('seeded').policy}`,
  );
  await page.locator('tbody tr').first().getByRole('link').first().click();
  const aside = page.getByRole('complementary');
  await aside.getByText('"priority": 20').first().waitFor();
  await page.waitForURL(/selected=evt_/);
  // The link alone shows it, also where the list does not hold it.
  const id = new URL(page.url()).searchParams.get('selected') ?? 'none';
  await page.goto(`${inject('url')}/ui/events?type=backup&selected=${id}`);
  await page.getByRole('complementary').getByText('"priority": 20').first().waitFor();
  expect(faults).toEqual([]);
  await context.close();
});

it('follows live, from the moment it says so', async () => {
  const { page, context } = await suite.open('/events');
  await page.locator('.live[data-state=live]').waitFor();
  // The tail wants more than the pages before it: its stream is opened anew, and that may take long.
  let release = () => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  await context.route('**/v1/operator/stream*', async (route) => {
    await held;
    await route.continue();
  });
  const anew = page.waitForRequest((request) => request.url().includes('/v1/operator/stream'));
  await page.getByRole('button', { name: 'Live tail' }).click();
  await page.waitForURL(/live=true/);
  await page.getByText('Waiting for the next event').waitFor();
  await anew;
  await suite
    .operator()
    .put(`/v1/operator/agents/${inject('seeded').agents['Translator']}/labels`, { labels: ['seen-live'] });
  release();
  // By the stream, not because the list below was read again.
  await page.getByText('appear at the top as they happen').waitFor();
  await page.locator('tbody tr', { hasText: 'Labels changed' }).first().waitFor();
  await page.getByRole('button', { name: 'Stop the tail' }).click();
  await context.close();
});

it('exports what is shown', async () => {
  const { page, context } = await suite.open('/events?type=room');
  await page.getByText('Room made').first().waitFor();
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: 'Export as CSV' }).click(),
  ]);
  expect(download.suggestedFilename()).toBe('ekho-events.csv');
  await context.close();
});

it('checks the chain, and finds a hash that was kept', async () => {
  const { head_hash } = await suite.operator().get<{ head_hash: string }>('/v1/operator/audit');
  const { page, context, faults } = await suite.open('/audit');
  await page.getByLabel('A hash kept from before (optional)').fill(head_hash);
  await page.getByRole('button', { name: 'Check the chain now' }).click();
  await page.getByText(/The chain holds: [\d,]+ rows/).waitFor();
  await page.getByText('The hash you kept is that of row').waitFor();
  await page.getByLabel('A hash kept from before (optional)').fill('0'.repeat(64));
  await page.getByRole('button', { name: 'Check the chain now' }).click();
  await page.getByText('The hash you kept does not appear in the log.').waitFor();
  expect(faults).toEqual([]);
  await context.close();
});
