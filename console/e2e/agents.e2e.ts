// Agents: found, held, let go, enrolled.
import { execFile } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { promisify } from 'node:util';
import { expect, inject, it } from 'vitest';
import { Agent } from './lib/agent';
import { browserSuite, focused, looksRight, textOf } from './lib/browser';

const suite = browserSuite();
const run = promisify(execFile);
const agent = (name: string): string => inject('seeded').agents[name] ?? '';

it('is fit to be seen: the list', () =>
  looksRight(suite, 'agents', '/agents', (page) => page.getByRole('link', { name: 'Watcher' }).waitFor()));
it('is fit to be seen: one agent', () =>
  looksRight(suite, 'agent', `/agents/${agent('Writer')}`, (page) =>
    page.getByText('writer.example.org').waitFor(),
  ));

it('finds, filters and sorts, all of it in the address', async () => {
  const { page, context, faults } = await suite.open('/agents');
  await page.getByLabel('Search by name, or a whole id').fill('er');
  await page.waitForURL('**/ui/agents?search=er');
  await page.getByLabel('Status', { exact: true }).selectOption('degraded');
  await page.waitForURL('**/ui/agents?search=er&status=degraded');
  await page.getByText('Nothing matches these filters').waitFor();
  await page.getByLabel('Status', { exact: true }).selectOption('healthy');
  await page.getByRole('link', { name: 'Writer' }).waitFor();
  await page.getByRole('button', { name: 'Name' }).click();
  await page.waitForURL(/sortOrder=desc/);
  const there = page.url();
  const names = () => page.locator('tbody a.strong').allTextContents();
  const descending = (all: string[]) =>
    [...all].sort((one, other) => other.toLowerCase().localeCompare(one.toLowerCase()));
  let shown: string[] = [];
  await expect
    .poll(async () => {
      shown = await names();
      return shown.length > 1 && shown.join() === descending(shown).join();
    })
    .toBe(true);
  await page.goto(there);
  await expect.poll(names).toEqual(shown);
  expect(faults).toEqual([]);
  await context.close();
});

it('is held with a reason, and let go, by keyboard alone', async () => {
  const { page, context, faults } = await suite.open(`/agents/${agent('Researcher')}`);
  await page.getByRole('button', { name: 'Pause' }).press('Enter');
  const dialog = page.getByRole('dialog');
  await dialog.getByText('Pause Researcher?').waitFor();
  // The reason has the focus; without one it cannot be done.
  await focused(dialog.getByLabel('Reason'));
  const pause = dialog.getByRole('button', { name: 'Pause' });
  await expect.poll(() => pause.isDisabled()).toBe(true);
  await page.keyboard.type('Looks into something odd');
  await expect.poll(() => pause.isDisabled()).toBe(false);
  await page.keyboard.press('Tab');
  await page.keyboard.press('Tab');
  await focused(pause);
  await page.keyboard.press('Enter');
  await page.getByText('Researcher is paused').waitFor();
  const { agent: now } = await suite
    .operator()
    .get<{ agent: { status: string; status_reason: string } }>(`/v1/operator/agents/${agent('Researcher')}`);
  expect(now).toMatchObject({ status: 'paused', status_reason: 'Looks into something odd' });
  await page.getByRole('link', { name: 'Controls' }).click();
  await page.getByRole('cell', { name: 'Looks into something odd' }).waitFor();
  await page.getByRole('button', { name: 'Resume' }).click();
  await page.getByLabel('Reason').fill('It was nothing');
  await page.getByRole('dialog').getByRole('button', { name: 'Resume' }).click();
  await page.getByText('Researcher may send again').waitFor();
  expect(faults).toEqual([]);
  await context.close();
});

it.each(['messages', 'events', 'holds', 'rate', 'keys', 'card'])('shows its %s', async (tab) => {
  const { page, context, faults } = await suite.open(
    `/agents/${agent(tab === 'rate' ? 'Watcher' : 'Reviewer')}?tab=${tab}`,
  );
  const expected: Record<string, string | RegExp> = {
    messages: 'Messages sent and received',
    events: 'Agent enrolled',
    holds: 'Controls sent to this agent',
    rate: /messages in 1 min are allowed/,
    keys: 'No identity key',
    card: 'Reviews drafts and says what is missing.',
  };
  await page
    .getByText(expected[tab] ?? '')
    .first()
    .waitFor();
  expect(faults).toEqual([]);
  await context.close();
});

it('enrols: the command that is shown works as pasted, and the dialog notices', async () => {
  const { page, context, faults } = await suite.open('/agents');
  await page.getByRole('button', { name: 'Enrol agent' }).click();
  await page.getByLabel('Name of the agent').fill("The Editor's cousin");
  await page.getByRole('button', { name: 'Make a token' }).click();
  const command = await textOf(page.getByLabel('Command for curl'), /curl [^]*"token":/);
  await page.getByText('Waiting for the agent to appear').waitFor();
  const { stdout } = await run('bash', ['-c', command]);
  expect(JSON.parse(stdout)).toHaveProperty('secret');
  await page.getByText("The Editor's cousin has enrolled.").waitFor();
  for (const sdk of ['Node', 'Python', 'Rust']) {
    await page.getByRole('button', { name: sdk, exact: true }).click();
    await page.getByLabel(`Command for ${sdk}`).waitFor();
  }
  await page.getByRole('link', { name: 'Open it' }).click();
  await page.getByRole('heading', { name: "The Editor's cousin" }).waitFor();
  expect(faults).toEqual([]);

  // Revoked for good, which has to be typed.
  await page.getByRole('button', { name: 'Revoke' }).click();
  await page.getByLabel('Reason').fill('Only a test');
  const revoke = page.getByRole('dialog').getByRole('button', { name: 'Revoke' });
  await expect.poll(() => revoke.isDisabled()).toBe(true);
  await page.getByLabel(/^Type .* to confirm$/).fill("The Editor's cousin");
  await revoke.click();
  await page.getByText('is revoked').first().waitFor();
  await context.close();
});

it('changes labels', async () => {
  const { page, context } = await suite.open(`/agents/${agent('Planner')}`);
  await page.getByRole('button', { name: 'Edit labels' }).click();
  await page.getByLabel('Labels, separated by commas').fill('team-red, lead, team-red');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.locator('.chip', { hasText: 'team-red' }).waitFor();
  await page.locator('.chip', { hasText: 'lead' }).waitFor();
  await context.close();
});

it('shows all messages of an agent, page by page, and one direction alone', async () => {
  const MESSAGES = 120;
  const enrolled = await Agent.enrol(
    [inject('url')],
    suite.operator(),
    inject('credentials').fleet_id,
    'Busy one',
  );
  for (let number = 0; number < MESSAGES; number += 1) {
    await suite.operator().post('/v1/operator/messages', {
      recipient_agent_id: enrolled.id,
      text: `Note ${number}`,
      conversation_id: 'notes',
    });
  }
  await enrolled.send({
    recipient: { kind: 'agent', id: agent('Reviewer') },
    conversation_id: 'notes',
    body: { text: 'That is a lot.' },
  });
  const { page, context, faults } = await suite.open(`/agents/${enrolled.id}?tab=messages`);
  // The newest is what it sent itself.
  await page.locator('tbody tr').first().getByText('Sent').waitFor();
  const foot = page.locator('.table-foot');
  await expect
    .poll(async () => {
      await page.evaluate(() => window.scrollTo(0, document.documentElement.scrollHeight));
      return foot.textContent();
    })
    .toContain(`${MESSAGES + 1} rows`);
  await page.getByRole('button', { name: 'Sent', exact: true }).click();
  await page.waitForURL(/direction=sent/);
  await expect.poll(() => page.locator('tbody tr').count()).toBe(1);
  await page.locator('tbody tr').getByRole('link', { name: 'Reviewer' }).waitFor();
  // It is live: what the other does with it is seen here.
  await page.locator('tbody tr').getByText('Waiting').waitFor();
  const { id } = (
    await suite
      .operator()
      .get<{ messages: { id: string }[] }>(`/v1/operator/messages?agent_id=${enrolled.id}&direction=sent`)
  ).messages[0] ?? { id: '' };
  await suite.operator().post(`/v1/operator/messages/${id}/cancel`);
  await page.locator('tbody tr').getByText('Cancelled').waitFor();
  expect(faults).toEqual([]);
  await context.close();
});

it('revokes an identity key for good, with a reason', async () => {
  const { publicKey } = generateKeyPairSync('ed25519');
  const enrolled = await Agent.enrol(
    [inject('url')],
    suite.operator(),
    inject('credentials').fleet_id,
    'Signing one',
    { identity_public_key: publicKey.export({ type: 'spki', format: 'der' }).toString('base64') },
  );
  const { page, context, faults } = await suite.open(`/agents/${enrolled.id}?tab=keys`);
  const row = page.locator('tbody tr');
  await row.getByText('Current').waitFor();
  await row.getByRole('button', { name: 'Revoke' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Reason').fill('The machine was lost');
  await dialog.getByRole('button', { name: 'Revoke' }).click();
  await row.getByText('Revoked').waitFor();
  await expect.poll(() => row.getByRole('button', { name: 'Revoke' }).count()).toBe(0);
  const { keys } = await suite
    .operator()
    .get<{ keys: { revoked_at: string | null }[] }>(`/v1/operator/agents/${enrolled.id}/keys`);
  expect(keys[0]?.revoked_at).toBeTruthy();
  expect(faults).toEqual([]);
  await context.close();
});
