// The overview tells at a glance, and tells at once.
import { expect, inject, it } from 'vitest';
import { browserSuite, looksRight, textOf } from './lib/browser';

const suite = browserSuite();

it('is fit to be seen', () =>
  looksRight(suite, 'overview', '/', async (page) => {
    await page.getByText(/approvals? waits? for a decision/).waitFor();
    // Two samples make a rate and a line.
    await page.locator('.stat-value', { hasText: '/s' }).waitFor();
  }));

it('shows what needs somebody, and leads there', async () => {
  const { page, context, faults } = await suite.open('/');
  await page.getByRole('heading', { name: 'Needs you' }).waitFor();
  // Some may be given up just now: what is shown is what there is, once both are asked again.
  await expect
    .poll(async () => {
      const { counts } = await suite
        .operator()
        .get<{ counts: Record<string, number> }>('/v1/operator/fleet-health');
      const dead = counts['dead_letters'] ?? 0;
      const says = dead === 1 ? '1 message was given up' : `${dead} messages were given up`;
      return dead > 0 && (await page.getByText(says).count()) === 1;
    })
    .toBe(true);
  await page.getByText('1 agent says that it is degraded').waitFor();
  await page.getByRole('img', { name: /Throughput.*Accepted: \d+/ }).waitFor();
  await page.getByRole('img', { name: /Queue depth.*Waiting: \d+/ }).waitFor();
  await page.getByRole('link', { name: 'Decide' }).click();
  await page.waitForURL('**/ui/approvals');
  expect(faults).toEqual([]);
  await context.close();
});

it('changes as things happen, without being asked', async () => {
  const { page, context } = await suite.open('/');
  await page.locator('.live[data-state=live]').waitFor();
  const id = inject('seeded').agents['Reviewer'];
  const quarantined = page.locator('.stat', { hasText: 'Quarantined' }).locator('.stat-value');
  // A dash stands there until the counts have come.
  const before = Number(await textOf(quarantined, /^\d+$/));
  await suite.operator().post(`/v1/operator/agents/${id}/quarantine`, { reason: 'shown live' });
  await expect.poll(() => quarantined.textContent()).toBe(String(before + 1));
  await page.getByText('shown live').first().waitFor();
  await suite.operator().post(`/v1/operator/agents/${id}/resume`, { reason: 'seen' });
  await expect.poll(() => quarantined.textContent()).toBe(String(before));
  await context.close();
});

it('keeps the range in the address', async () => {
  const { page, context } = await suite.open('/');
  await page.getByRole('button', { name: '6 hours' }).click();
  await page.waitForURL('**/ui/?window=360');
  await page.reload();
  await expect
    .poll(() => page.getByRole('button', { name: '6 hours' }).getAttribute('aria-pressed'))
    .toBe('true');
  await context.close();
});
