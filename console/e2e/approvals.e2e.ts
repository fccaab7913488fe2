// Approvals: seen, understood, decided with the keyboard, told to the desktop.
import { expect, inject, it } from 'vitest';
import { Agent } from './lib/agent';
import { browserSuite, focused, looksRight } from './lib/browser';

const suite = browserSuite();

it('is fit to be seen', () =>
  looksRight(suite, 'approvals', `/approvals?selected=${inject('seeded').approval}`, (page) =>
    page.getByText('"canary"').waitFor(),
  ));

async function deployerWith(summaries: string[], conversation: string): Promise<Agent> {
  const agent = await Agent.enrol(
    [inject('url')],
    suite.operator(),
    inject('credentials').fleet_id,
    `Deployer of ${conversation}`,
  );
  for (const summary of summaries) {
    await agent.call('POST', '/v1/actions/propose', {
      conversation_id: conversation,
      action_type: 'deploy',
      risk_level: 'high',
      summary,
      payload: { summary },
    });
  }
  return agent;
}

it('is decided by keys alone, with a reason that the agent reads', async () => {
  const agent = await deployerWith(['Keys one', 'Keys two'], 'keys');
  const { page, context, faults } = await suite.open('/approvals?search=Keys');
  await page.getByRole('link', { name: 'Keys two' }).waitFor();
  await page.locator('h1').click();
  await page.keyboard.press('j');
  await page.waitForURL(/selected=apr_/);
  await page.getByRole('complementary').getByText('Keys two').first().waitFor();
  await page.keyboard.press('j');
  await page.getByRole('complementary').getByText('Keys one').first().waitFor();
  await page.keyboard.press('a');
  const dialog = page.getByRole('dialog');
  await dialog.getByText('Approve this?').waitFor();
  await focused(dialog.getByRole('textbox'));
  await page.keyboard.type('Go ahead');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Tab');
  await focused(dialog.getByRole('button', { name: 'Approve' }));
  await page.keyboard.press('Enter');
  await page.getByText('Approved', { exact: true }).first().waitFor();
  await expect.poll(() => page.getByRole('link', { name: 'Keys one' }).count()).toBe(0);
  // The dialog goes when all that it changed was read anew; until then the keys are the dialog's.
  await dialog.waitFor({ state: 'detached' });
  await page.keyboard.press('j');
  await page.getByRole('complementary').getByText('Keys two').first().waitFor();
  await page.keyboard.press('r');
  await dialog.getByText('Reject this?').waitFor();
  await focused(dialog.getByRole('textbox'));
  await page.keyboard.type('Not on a Friday');
  await dialog.getByRole('button', { name: 'Reject' }).click();
  await expect
    .poll(async () => (await agent.call('GET', '/v1/inbox')).controls)
    .toEqual(
      expect.arrayContaining([
        expect.objectContaining({ action: 'approval.approved', reason: 'Go ahead' }),
        expect.objectContaining({ action: 'approval.rejected', reason: 'Not on a Friday' }),
      ]),
    );
  expect(faults).toEqual([]);
  await context.close();
});

it('appears while one looks, and on the desktop where that is wanted', async () => {
  const { page, context } = await suite.open('/approvals');
  await context.grantPermissions(['notifications']);
  await page.addInitScript(() => {
    const shown: string[] = [];
    Object.defineProperty(window, 'shown', { value: shown });
    class Fake {
      static permission = 'granted';
      static requestPermission = () => Promise.resolve('granted');
      onclick: (() => void) | null = null;
      constructor(title: string, options: { body: string }) {
        shown.push(`${title}: ${options.body}`);
      }
      close() {
        /* nothing to close */
      }
    }
    Object.defineProperty(window, 'Notification', { value: Fake });
  });
  await page.reload();
  await page.getByRole('button', { name: 'Notify me' }).click();
  await page.getByRole('button', { name: 'Notifying' }).waitFor();
  await page.locator('.live[data-state=live]').waitFor();
  await deployerWith(['Appears by itself'], 'live');
  await page.getByRole('link', { name: 'Appears by itself' }).waitFor();
  await expect
    .poll(() => page.evaluate(() => (window as unknown as { shown: string[] }).shown))
    .toContain('Approval needed (high risk): Appears by itself');
  await context.close();
});

it('says plainly that nothing waits', async () => {
  const { page, context } = await suite.open('/approvals?search=nothing-like-this');
  await page.getByText('No approvals of this kind').waitFor();
  await page.getByRole('link', { name: 'Clear filters' }).click();
  await page.getByRole('link', { name: 'Deploy build 2.4.0-rc3 to production' }).waitFor();
  await context.close();
});
