// Dead letters: grouped, looked at, sent again, thrown away.
import { expect, inject, it } from 'vitest';
import { Agent } from './lib/agent';
import { browserSuite, launch, looksRight, visit } from './lib/browser';
import { Operator } from './lib/operator';
import { Node, until } from './lib/relay';

const suite = browserSuite();

it('is fit to be seen', () =>
  looksRight(suite, 'dead-letters', '/dead-letters', (page) =>
    page.getByRole('link', { name: 'max_retries_exceeded: model overloaded' }).waitFor(),
  ));

it('groups by reason, and a reason filters', async () => {
  const { page, context, faults } = await suite.open('/dead-letters');
  await page.getByRole('link', { name: 'max_retries_exceeded: cannot parse the table' }).click();
  await page.waitForURL(/reason=max_retries_exceeded/);
  await expect.poll(() => page.getByRole('checkbox', { name: /^Select dl_/ }).count()).toBe(1);
  await page.locator('tbody tr').first().getByRole('link').first().click();
  const aside = page.getByRole('complementary');
  await aside.getByText('Archive item 2.').waitFor();
  await aside.getByRole('link', { name: 'table.csv' }).waitFor();
  expect(faults).toEqual([]);
  await context.close();
});

it('purges one, redrives many', async () => {
  const { page, context, faults } = await suite.open('/dead-letters');
  const boxes = page.getByRole('checkbox', { name: /^Select dl_/ });
  const { total: before } = await suite
    .operator()
    .get<{ total: number }>('/v1/operator/dead-letters?limit=1');
  await expect.poll(() => boxes.count()).toBe(before);
  await page.locator('tbody tr').first().getByRole('link').first().click();
  await page.getByRole('complementary').getByRole('button', { name: 'Purge' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Purge' }).click();
  await page.getByText('1 purged').waitFor();
  await expect.poll(() => boxes.count()).toBe(before - 1);
  await boxes.nth(0).check();
  await boxes.nth(1).check();
  await page.getByText('2 selected').waitFor();
  await page.getByRole('button', { name: 'Redrive', exact: true }).click();
  await page.getByText('Redrive 2 dead letters?').waitFor();
  await page.getByRole('dialog').getByRole('button', { name: 'Redrive' }).click();
  await page.getByText('2 redriven').waitFor();
  await expect.poll(() => boxes.count()).toBe(before - 3);
  expect(faults).toEqual([]);
  await context.close();
});

interface At {
  url: string;
  operator: Operator;
  fleet: string;
}
const seededRelay = (): At => ({
  url: inject('url'),
  operator: suite.operator(),
  fleet: inject('credentials').fleet_id,
});

/** Messages that their recipient gives back until they are given up. */
async function giveUp(name: string, count: number, at = seededRelay()): Promise<Agent> {
  const enrol = (who: string) => Agent.enrol([at.url], at.operator, at.fleet, who);
  const [sender, refuser] = [await enrol(`${name} sender`), await enrol(name)];
  for (let sent = 0; sent < count; sent += 1)
    await sender.sendTo(refuser, `c-${name}`, `Nobody wants ${sent}.`);
  await until('the messages to be given up', async () => {
    for (const message of await refuser.inbox()) await refuser.nack(message.message_id, `${name} refuses`);
    return (await lettersOf(refuser, at)) === count;
  });
  return refuser;
}

async function lettersOf(agent: Agent, at = seededRelay()): Promise<number> {
  const path = `/v1/operator/dead-letters?recipient_agent_id=${agent.id}&limit=100`;
  return (await at.operator.get<{ dead_letters: unknown[] }>(path)).dead_letters.length;
}

it('redrives or purges all that match, and leaves the others', async () => {
  const [chosen, other] = [await giveUp('Chosen', 3), await giveUp('Bystander', 1)];
  const { page, context, faults } = await suite.open(`/dead-letters?recipient_agent_id=${chosen.id}`);
  const boxes = page.getByRole('checkbox', { name: /^Select dl_/ });
  await expect.poll(() => boxes.count()).toBe(3);
  await page.getByRole('button', { name: 'Redrive all that match' }).click();
  await page.getByText('Redrive all that match?').waitFor();
  await page.getByRole('dialog').getByRole('button', { name: 'Redrive' }).click();
  await page.getByText('3 redriven').waitFor();
  await page.getByText('Nothing matches these filters').waitFor();
  // They are handed out once more, and what was not meant is still there.
  const again = new Set<string>();
  await until('the messages to come again', async () => {
    for (const message of await chosen.receiveAll()) again.add(message.message_id);
    return again.size === 3;
  });
  expect(await lettersOf(other)).toBe(1);
  await page.goto(`${inject('url')}/ui/dead-letters?recipient_agent_id=${other.id}`);
  await page.getByRole('button', { name: 'Purge all that match' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Purge' }).click();
  await page.getByText('1 purged').waitFor();
  await page.getByText('Nothing matches these filters').waitFor();
  expect(await lettersOf(other)).toBe(0);
  const { counts } = await suite
    .operator()
    .get<{ counts: Record<string, number> }>('/v1/operator/fleet-health');
  expect(counts['dead_letters']).toBeGreaterThan(0);
  expect(faults).toEqual([]);
  await context.close();
});

it('redrives all, then purges all, of a relay of its own', async () => {
  const node = await Node.make();
  const browser = await launch();
  try {
    const credentials = await node.setup();
    await node.start();
    const at = {
      url: node.url,
      operator: await Operator.signIn(node.url, credentials),
      fleet: credentials.fleet_id,
    };
    await at.operator.put('/v1/operator/settings', { retry_backoff_ms: [100] });
    const [one, two] = [await giveUp('First', 2, at), await giveUp('Second', 1, at)];
    const { page, faults } = await visit(browser, credentials, { url: node.url });
    await page.goto('/ui/dead-letters');
    await page.getByRole('button', { name: 'Redrive all', exact: true }).click();
    await page.getByText('Redrive all dead letters?').waitFor();
    await page.getByRole('dialog').getByRole('button', { name: 'Redrive' }).click();
    await page.getByText('3 redriven').waitFor();
    await page.getByText('No dead letters').waitFor();
    await until('both to have theirs again', async () => {
      for (const agent of [one, two])
        for (const message of await agent.inbox()) await agent.nack(message.message_id, 'Still not wanted');
      return (await lettersOf(one, at)) + (await lettersOf(two, at)) === 3;
    });
    // They are here again without a reload.
    await page.getByRole('button', { name: 'Purge all', exact: true }).click();
    await page.getByText('Purge all dead letters?').waitFor();
    await page.getByRole('dialog').getByRole('button', { name: 'Purge' }).click();
    await page.getByText('3 purged').waitFor();
    await page.getByText('No dead letters').waitFor();
    expect((await lettersOf(one, at)) + (await lettersOf(two, at))).toBe(0);
    expect(faults).toEqual([]);
  } finally {
    await browser.close();
    await node.remove();
  }
});
