// The topology: drawn, walked through by keyboard, and the same in rows.
import { expect, inject, it } from 'vitest';
import { browserSuite, looksRight } from './lib/browser';

const suite = browserSuite();

it('is fit to be seen', () =>
  looksRight(suite, 'topology', '/topology?window=1440', (page) =>
    page.getByRole('button', { name: /^Writer: \d+ sent/ }).waitFor(),
  ));

it('shows one agent alone, by keyboard, in the address', async () => {
  const { page, context, faults } = await suite.open('/topology');
  const spot = page.getByRole('button', { name: /^Archivist: \d+ sent, \d+ received/ });
  await spot.press('Enter');
  await page.waitForURL(new RegExp(`agent=${inject('seeded').agents['Archivist']}`));
  await page.getByRole('heading', { name: 'Archivist' }).waitFor();
  await page.reload();
  await page.getByRole('button', { name: 'Show everybody' }).click();
  await expect.poll(() => new URL(page.url()).searchParams.get('agent')).toBeNull();
  expect(faults).toEqual([]);
  await context.close();
});

it('has the same in rows, with the way to what failed', async () => {
  const { page, context } = await suite.open('/topology?view=table');
  const row = page.locator('tbody tr', { hasText: 'Planner' }).filter({ hasText: 'Archivist' });
  await row.getByRole('link').last().click();
  await page.waitForURL(/dead-letters\?.*recipient_agent_id=/);
  await context.close();
});
