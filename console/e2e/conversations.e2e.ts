// Conversations: what was said, what became of it, and why one message followed another.
import { readFile } from 'node:fs/promises';
import { expect, inject, it } from 'vitest';
import { Agent } from './lib/agent';
import { browserSuite, looksRight } from './lib/browser';
import { DRAFT } from './lib/seed';

const suite = browserSuite();
const conversation = (): string => inject('seeded').conversation;

it('is fit to be seen: the list', () =>
  looksRight(suite, 'conversations', '/conversations', (page) =>
    page.getByRole('link', { name: 'draft-release-notes' }).waitFor(),
  ));
it('is fit to be seen: one conversation', () =>
  looksRight(suite, 'conversation', `/conversations/${conversation()}`, (page) =>
    page.getByText('Please draft the release notes').waitFor(),
  ));
it('is fit to be seen: rooms', () =>
  looksRight(suite, 'rooms', '/rooms', (page) => page.getByRole('link', { name: 'Release 2.4' }).waitFor()));

it('explains why B acted after A wrote', async () => {
  const { page, context, faults } = await suite.open(`/conversations/${conversation()}`);
  const item = page.locator('.timeline-item', { hasText: 'Here is a draft' });
  await item.getByText(/Wrote this [\d.]+ m?s after it was handed/).waitFor();
  await item.getByText(/handed out after [\d.]+ m?s, acked after [\d.]+ m?s/).waitFor();
  await expect.poll(() => item.locator('.timeline-why a').last().textContent()).toBe('Planner');
  expect(faults).toEqual([]);
  await context.close();
});

it('shows the files that a message binds, to be saved', async () => {
  const { page, context, faults } = await suite.open(`/conversations/${conversation()}`);
  const item = page.locator('.timeline-item', { hasText: 'Here is a draft' });
  const file = item.getByRole('list', { name: 'Attachments' }).getByRole('link', { name: DRAFT.filename });
  await file.getByText(`${DRAFT.mime}, ${DRAFT.bytes.length} B`).waitFor();
  const [download] = await Promise.all([page.waitForEvent('download'), file.click()]);
  expect(download.suggestedFilename()).toBe(DRAFT.filename);
  expect(await readFile(await download.path())).toEqual(DRAFT.bytes);
  await item
    .getByRole('link')
    .filter({ has: page.locator('time') })
    .click();
  await page.getByRole('heading', { name: 'Message', level: 1 }).waitFor();
  await page.getByRole('link', { name: DRAFT.filename }).waitFor();
  expect(faults).toEqual([]);
  await context.close();
});

it('shows what a policy kept away, in its place in time', async () => {
  const { page, context } = await suite.open(`/conversations/${inject('seeded').deniedConversation}`);
  const items = page.locator('.timeline-item');
  await items.nth(1).waitFor();
  await expect.poll(() => items.first().textContent()).toContain('Is the fix good?');
  const denied = items.filter({ hasText: 'Denied by a policy' });
  await denied.getByText('kept its message away from').waitFor();
  await denied.getByRole('link', { name: 'researchers do not deploy' }).click();
  await page.waitForURL(`**/ui/policies/${inject('seeded').policy}`);
  await context.close();
});

it('finds messages by their words', async () => {
  const { page, context } = await suite.open('/conversations');
  await page.getByRole('button', { name: 'Messages', exact: true }).click();
  await page.getByLabel('Find words in messages, or a whole id').fill('migration section');
  await page.getByText('The migration has its own section now.').waitFor();
  await page.waitForURL(/search=migration/);
  await context.close();
});

it('writes as operator, and shows the message as it goes its way', async () => {
  const { page, context, faults } = await suite.open(`/conversations/${conversation()}`);
  await page.getByRole('button', { name: 'Write as operator' }).click();
  const dialog = page.getByRole('dialog');
  // Faster than the suggestions come: whom the name names is known once they are there.
  await dialog.getByLabel('To agent').fill('Reviewer');
  await dialog.getByLabel('Text').fill('Thank you, all.');
  await dialog.getByRole('button', { name: 'Send' }).click();
  await page.getByText('Message accepted').first().waitFor();
  const item = page.locator('.timeline-item', { hasText: 'Thank you, all.' });
  await item.getByText('Waits to be handed out').waitFor();
  await item
    .getByRole('link')
    .filter({ has: page.locator('time') })
    .click();
  await page.getByRole('heading', { name: 'Message', level: 1 }).waitFor();
  await page.getByRole('button', { name: 'Take back' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Take back' }).click();
  await page.getByText('Message taken back').waitFor();
  expect(faults).toEqual([]);
  await context.close();
});

it('sends on what was not handed out yet', async () => {
  const enrol = (name: string) =>
    Agent.enrol([inject('url')], suite.operator(), inject('credentials').fleet_id, name);
  const [asleep, awake] = [await enrol('Asleep'), await enrol('Awake')];
  const { message_id: id } = await suite.operator().post<{ message_id: string }>('/v1/operator/messages', {
    recipient_agent_id: asleep.id,
    text: 'Whoever is there.',
    conversation_id: 'sent-on',
  });
  const { page, context, faults } = await suite.open(`/messages/${id}`);
  await page.getByRole('button', { name: 'Send on' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('To agent').fill('Awake');
  await dialog.getByLabel('Reason').fill('Nobody is home');
  await dialog.getByRole('button', { name: 'Send on' }).click();
  await page.getByText('Message sent on').waitFor();
  await page.locator('tbody tr', { hasText: 'Awake' }).getByText('Waiting').waitFor();
  const [got] = await awake.receiveAll();
  expect(got?.message_id).toBe(id);
  expect(await asleep.inbox()).toEqual([]);
  // What became of it is shown without a reload, and nothing is left to send on.
  await page.locator('tbody tr', { hasText: 'Awake' }).getByText('Acked').waitFor();
  await expect.poll(() => page.getByRole('button', { name: 'Send on' }).count()).toBe(0);
  expect(faults).toEqual([]);
  await context.close();
});

it('calls rooms by their names', async () => {
  const { page, context, faults } = await suite.open('/conversations');
  await page.getByRole('link', { name: 'Release 2.4' }).click();
  await page.getByRole('heading', { name: 'Release 2.4', level: 1 }).waitFor();
  const item = page.locator('.timeline-item', { hasText: 'We ship on Friday.' });
  await item.locator('.timeline-head').getByRole('link', { name: 'Release 2.4' }).waitFor();
  await page.goto(
    `${inject('url')}/ui/agents/${inject('seeded').agents['Planner']}?tab=messages&direction=sent`,
  );
  await page.getByRole('link', { name: 'Release 2.4' }).first().waitFor();
  await page.goto(`${inject('url')}/ui/events?type=room`);
  await page.locator('tbody').getByRole('link', { name: 'Release 2.4' }).first().waitFor();
  expect(faults).toEqual([]);
  await context.close();
});

it('writes into a room', async () => {
  const { page, context } = await suite.open('/rooms');
  await page.getByRole('button', { name: 'Write' }).click();
  await page.getByRole('dialog').getByText('Write to Release 2.4').waitFor();
  await page.getByLabel('Text').fill('Lunch first.');
  await page.getByRole('dialog').getByRole('button', { name: 'Send' }).click();
  await page.getByText('Message accepted').waitFor();
  await page.getByRole('link', { name: 'Release 2.4' }).click();
  await page.locator('.timeline-item', { hasText: 'Lunch first.' }).waitFor();
  await context.close();
});

it('is fit to be seen: a message', async () => {
  const { items } = await suite
    .operator()
    .get<{ items: { kind: string; message?: { id: string } }[] }>(
      `/v1/operator/conversations/${conversation()}`,
    );
  const id = items.find((item) => item.kind === 'message')?.message?.id ?? '';
  await looksRight(suite, 'message', `/messages/${id}`, (page) =>
    page.getByText('Please draft the release notes').waitFor(),
  );
});
