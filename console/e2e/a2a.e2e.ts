// A2A: tasks as they move, cards, clients and their tokens, agents elsewhere.
import { expect, inject, it } from 'vitest';
import { browserSuite, looksRight, textOf } from './lib/browser';

const suite = browserSuite();
interface Tasks {
  tasks: { id: string; state: string }[];
}

it('is fit to be seen: a task', async () => {
  const { tasks } = await suite.operator().get<Tasks>('/v1/operator/a2a/tasks?state=completed');
  await looksRight(suite, 'a2a', `/a2a?selected=${tasks[0]?.id}`, (page) =>
    page.getByText('Clear and short.').first().waitFor(),
  );
});
it('is fit to be seen: cards', () =>
  looksRight(suite, 'a2a-cards', '/a2a?tab=cards', (page) => page.getByText('Card of the fleet').waitFor()));
it('is fit to be seen: clients', () =>
  looksRight(suite, 'a2a-clients', '/a2a?tab=clients', (page) =>
    page.getByRole('link', { name: 'planner-app' }).waitFor(),
  ));
it('is fit to be seen: remote agents', () =>
  looksRight(suite, 'a2a-remotes', '/a2a?tab=remotes', (page) =>
    page.getByText('No remote agents').waitFor(),
  ));
it('is fit to be seen: pushes', () =>
  looksRight(suite, 'a2a-pushes', '/a2a?tab=pushes', (page) =>
    page.getByText('No push failed for good').waitFor(),
  ));

it('filters tasks by state', async () => {
  const { page, context, faults } = await suite.open('/a2a');
  await page.getByLabel('State', { exact: true }).selectOption('input-required');
  await page.waitForURL(/state=input-required/);
  await expect.poll(() => page.locator('tbody tr').count()).toBe(1);
  await page.locator('tbody tr').getByRole('link').first().click();
  await page.getByRole('complementary').getByText('Which version do you mean?').waitFor();
  expect(faults).toEqual([]);
  await context.close();
});

it('shows a task moving while one looks', async () => {
  const made = await suite
    .operator()
    .post<{ token: string }>('/v1/operator/a2a/clients', { name: 'live-client' });
  const agent = inject('seeded').agents['Writer'];
  const ask = async (method: string, params: unknown) =>
    (
      await fetch(`${inject('url')}/agents/${agent}/a2a`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${made.token}`,
          'a2a-version': '1.0',
          'content-type': 'application/json',
        },
        body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }),
      })
    ).json() as Promise<{ result: { task: { id: string } } }>;
  const { result } = await ask('SendMessage', {
    message: { messageId: 'live-1', role: 'ROLE_USER', parts: [{ text: 'Look at me.' }] },
    configuration: { returnImmediately: true },
  });
  const { page, context } = await suite.open(`/a2a?selected=${result.task.id}`);
  const aside = page.getByRole('complementary');
  await aside.getByText('Submitted').waitFor();
  await page.locator('.live[data-state=live]').waitFor();
  await ask('CancelTask', { id: result.task.id });
  await aside.getByText('Called off').first().waitFor();
  await context.close();
});

it('makes a client whose token works, and takes the token back', async () => {
  const { page, context, faults } = await suite.open('/a2a?tab=clients');
  await page.getByRole('button', { name: 'New client' }).click();
  await page.getByLabel('Name').fill('e2e-client');
  await page.getByRole('button', { name: 'Create' }).click();
  const token = await textOf(page.getByLabel('Token', { exact: true }), /^\S{16,}$/);
  const card = () =>
    fetch(`${inject('url')}/agents/${inject('seeded').agents['Reviewer']}/a2a`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'a2a-version': '1.0', 'content-type': 'application/json' },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'ListTasks', params: {} }),
    });
  expect((await card()).status).toBe(200);
  await page.getByRole('dialog').getByRole('button', { name: 'Close' }).click();
  await page.getByRole('link', { name: 'e2e-client' }).click();
  await page.getByRole('button', { name: 'Take back' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Take back' }).click();
  await page.getByText('Token taken back').waitFor();
  expect((await card()).status).toBe(401);
  expect(faults).toEqual([]);
  await context.close();
});

it('registers an agent elsewhere, changes what it is shown, and says why where it may not', async () => {
  const { page, context, faults } = await suite.open('/a2a?tab=remotes');
  await page.getByRole('button', { name: 'Register' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Name').fill('Abroad');
  await dialog.getByLabel('Address of its card').fill('http://192.168.0.1/card.json');
  await dialog.getByLabel('Scheme').fill('Bearer');
  await dialog.getByLabel('Credentials (optional)').fill('first-secret');
  await dialog.getByRole('button', { name: 'Register' }).click();
  await dialog.getByText('validation_failed').waitFor();
  await dialog.getByLabel('Address of its card').fill('https://agent.example.org/card.json');
  await dialog.getByRole('button', { name: 'Register' }).click();
  await page.getByText('Registered', { exact: true }).waitFor();
  const row = page.locator('tbody tr', { hasText: 'Abroad' });
  await row.getByText('https://agent.example.org/card.json').waitFor();
  await row.getByText('Bearer given').waitFor();

  const remote = async () =>
    (
      await suite.operator().get<{ remotes: Record<string, unknown>[] }>('/v1/operator/a2a/remotes')
    ).remotes.find((one) => one['name'] === 'Abroad');
  await row.getByRole('button', { name: 'Change' }).click();
  await dialog.getByText('They cannot be read back.').waitFor();
  await dialog.getByLabel('Address of its card').fill('https://agent.example.org/v2/card.json');
  await dialog.getByLabel('Credentials (optional)').fill('second-secret');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await row.getByText('https://agent.example.org/v2/card.json').waitFor();
  expect(await remote()).toMatchObject({ scheme: 'Bearer', has_credentials: true });
  await row.getByRole('link', { name: 'Abroad' }).click();
  await page.getByRole('heading', { name: 'Abroad' }).waitFor();
  const id = String((await remote())?.['id']);
  await suite.operator().post(`/v1/operator/agents/${id}/revoke`, { reason: 'the test is over' });
  expect(faults).toEqual([]);
  await context.close();
});
