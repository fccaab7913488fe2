// Policies: written, checked, previewed before they count, run dry, taken back.
import { readFile } from 'node:fs/promises';
import { expect, inject, it } from 'vitest';
import { Agent } from './lib/agent';
import { browserSuite, looksRight } from './lib/browser';

const suite = browserSuite();
const agent = (name: string): string => inject('seeded').agents[name] ?? '';

it('is fit to be seen: the list', () =>
  looksRight(suite, 'policies', '/policies', (page) =>
    page.getByRole('link', { name: 'no urgent alerts at all' }).waitFor(),
  ));
it('is fit to be seen: a policy', () =>
  looksRight(suite, 'policy', `/policies/${inject('seeded').policy}`, (page) =>
    page.getByRole('button', { name: 'Save' }).waitFor(),
  ));
it('is fit to be seen: its history', () =>
  looksRight(suite, 'policy-history', `/policies/${inject('seeded').policy}?tab=history`, (page) =>
    page.getByText('Version 2').waitFor(),
  ));

it('is made, previewed while it is not saved yet, saved, and counts', async () => {
  const { page, context, faults } = await suite.open('/policies/new');
  await page.getByRole('button', { name: 'Make the policy' }).click();
  await page.getByText('It needs a name.').waitFor();
  await page.getByLabel('Name').fill('nobody claims');
  await page.getByLabel('Dry run').uncheck();
  await page.getByRole('button', { name: 'claim', exact: true }).click();
  await page.getByLabel('Tests of the body, as JSON').fill('not json');
  await page.getByRole('button', { name: 'Make the policy' }).click();
  await page.getByText('This is not JSON.').waitFor();
  await page.getByLabel('Tests of the body, as JSON').fill('');

  await page.getByRole('link', { name: 'Preview' }).click();
  await page.getByText('Not saved yet.').waitFor();
  await page.getByLabel('From agent').fill('Writer');
  await page.getByLabel('Type').selectOption('claim');
  await page.getByRole('button', { name: 'Preview' }).click();
  await page.getByText('It would be refused.').waitFor();
  await page.getByLabel('Type').selectOption('direct');
  await page.getByRole('button', { name: 'Preview' }).click();
  await page.getByText('It would be accepted.').waitFor();
  await page.getByRole('button', { name: 'Judge the newest messages' }).click();
  await page.locator('.plain-rows .badge', { hasText: 'Accepted' }).first().waitFor();

  await page.getByRole('link', { name: 'Rule' }).click();
  await page.getByRole('button', { name: 'Make the policy' }).click();
  await page.getByRole('heading', { name: 'nobody claims' }).waitFor();
  const sender = await Agent.enrol(
    [inject('url')],
    suite.operator(),
    inject('credentials').fleet_id,
    'Claimant',
  );
  const refused = await sender.ask('POST', '/v1/messages', {
    recipient: { kind: 'agent', id: agent('Writer') },
    message_type: 'claim',
    conversation_id: 'claims',
    correlation_id: 'x',
    body: { text: 'mine' },
  });
  expect(refused).toMatchObject({ status: 403, body: { code: 'policy_denied', policy: 'nobody claims' } });

  await page.getByRole('button', { name: 'Switch off' }).click();
  await page.getByText('Policy saved.').first().waitFor();
  await page.getByRole('button', { name: 'Switch on' }).waitFor();
  await page.getByRole('link', { name: 'History' }).click();
  await page.getByText('Changed: on or off').waitFor();
  await page.getByRole('button', { name: 'Go back to this' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Go back to this' }).click();
  await page.getByText('Version 3').waitFor();
  await page.getByRole('button', { name: 'Remove' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Remove' }).click();
  await page.waitForURL('**/ui/policies');
  await expect.poll(() => page.getByRole('link', { name: 'nobody claims' }).count()).toBe(0);
  expect(faults).toEqual([]);
  await context.close();
});

it('shows what a dry run would have done', async () => {
  const { policies } = await suite
    .operator()
    .get<{ policies: { id: string; dry_run: boolean }[] }>('/v1/operator/policies');
  const dry = policies.find((policy) => policy.dry_run)?.id ?? '';
  await looksRight(suite, 'policy-dry-run', `/policies/${dry}?tab=dry-run`, (page) =>
    page.getByRole('cell', { name: 'Watcher' }).first().waitFor(),
  );
});

it('takes a file, first dry, then all of it', async () => {
  const { page, context } = await suite.open('/policies');
  await page.getByRole('button', { name: 'Import' }).click();
  const dialog = page.getByRole('dialog');
  await dialog
    .getByLabel('Policies, as YAML or JSON')
    .fill(
      'policies:\n  - name: imported\n    scope_kind: fleet\n    enabled: false\n    rule:\n      action: deny\n',
    );
  await dialog.getByRole('button', { name: 'Check' }).click();
  await dialog.getByText('It would be: 1 made').waitFor();
  await dialog.getByRole('button', { name: 'Import' }).click();
  await dialog.getByText('Imported: 1 made').waitFor();
  await dialog.getByRole('button', { name: 'Close' }).last().click();
  await page.getByRole('link', { name: 'imported' }).waitFor();
  await context.close();
});

it('gives all policies out as a file that it takes back unchanged', async () => {
  const { page, context, faults } = await suite.open('/policies');
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('link', { name: 'Export' }).click(),
  ]);
  expect(download.suggestedFilename()).toBe('policies.yaml');
  const file = await readFile(await download.path(), 'utf8');
  expect(file).toContain('name: researchers do not deploy');
  const { total } = await suite.operator().get<{ total: number }>('/v1/operator/policies');
  await page.getByRole('button', { name: 'Import' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Policies, as YAML or JSON').fill(file);
  await dialog.getByRole('button', { name: 'Check' }).click();
  await dialog.getByText(`It would be: 0 made, 0 changed, ${total} as they were, 0 removed`).waitFor();
  expect(faults).toEqual([]);
  await context.close();
});
