// The own account, other operators, signing keys.
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { expect, inject, it } from 'vitest';
import { accessible, browserSuite, focused, looksRight, settled, shoot, textOf } from './lib/browser';
import { Operator } from './lib/operator';

const suite = browserSuite();

it('is fit to be seen: sessions', () =>
  looksRight(suite, 'account', '/account', (page) => page.getByText('This one').waitFor()));
it('is fit to be seen: security', () =>
  looksRight(suite, 'account-security', '/account?tab=security', (page) =>
    page.getByText('Off. With it').waitFor(),
  ));
it('is fit to be seen: tokens', () =>
  looksRight(suite, 'account-tokens', '/account?tab=tokens', (page) =>
    page.getByText('No API tokens').waitFor(),
  ));
it('is fit to be seen: operators', () =>
  looksRight(suite, 'operators', '/operators', (page) =>
    page.locator('tbody').getByText(inject('credentials').email).waitFor(),
  ));
it('is fit to be seen: keys', () =>
  looksRight(suite, 'keys', '/keys', (page) => page.getByText('No signing keys').waitFor()));

it('ends another session, not this one', async () => {
  const other = await suite.open('/');
  await other.page.getByRole('heading', { name: 'Overview' }).waitFor();
  const { page, context } = await suite.open('/account');
  await page.getByRole('button', { name: 'End', exact: true }).first().waitFor();
  await page.getByRole('button', { name: 'End all others' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'End all others' }).click();
  await expect.poll(() => page.getByRole('button', { name: 'End', exact: true }).count()).toBe(0);
  await page.getByText('This one').waitFor();
  // The other browser learns of it by itself, without a click.
  await other.page.getByText('Your session was over.').waitFor();
  await other.context.close();
  await context.close();
});

it('makes an API token that may what it says and no more, and takes it back', async () => {
  const { page, context, faults } = await suite.open('/account?tab=tokens');
  await page.getByRole('button', { name: 'New token' }).click();
  await page.getByLabel('Name').fill('ci');
  await page.getByRole('button', { name: 'Create' }).click();
  const token = await textOf(page.getByLabel('Token', { exact: true }), /^\S{16,}$/);
  const ask = (method: string, path: string) =>
    fetch(`${inject('url')}${path}`, { method, headers: { authorization: `Bearer ${token}` } });
  expect((await ask('GET', '/v1/operator/overview')).status).toBe(200);
  expect((await ask('POST', '/v1/operator/enrollment-tokens')).status).toBe(403);
  await page.getByRole('dialog').getByRole('button', { name: 'Close' }).click();
  await page.getByRole('button', { name: 'Take back' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Take back' }).click();
  await page.getByText('No API tokens').waitFor();
  expect((await ask('GET', '/v1/operator/overview')).status).toBe(401);
  expect(faults).toEqual([]);
  await context.close();
});

it('adds an operator, changes the role, and removes them', async () => {
  const { page, context, faults } = await suite.open('/operators');
  await page.getByRole('button', { name: 'Add operator' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Email').fill('new@example.org');
  await dialog.getByLabel('Role').selectOption('viewer');
  await dialog.getByLabel('First password').fill('long enough');
  await dialog.getByRole('button', { name: 'Add operator' }).click();
  const row = page.locator('tbody tr', { hasText: 'new@example.org' });
  await row.getByText('Viewer').waitFor();
  await row.getByRole('button', { name: /^Actions/ }).click();
  await page.getByRole('menuitem', { name: 'Change role' }).click();
  await page.getByRole('dialog').getByLabel('Role').selectOption('operator');
  await page.getByRole('dialog').getByRole('button', { name: 'Save' }).click();
  await row.getByText('Operator', { exact: true }).waitFor();
  await row.getByRole('button', { name: /^Actions/ }).press('Enter');
  await focused(page.getByRole('menuitem').first());
  await page.keyboard.press('End');
  await focused(page.getByRole('menuitem').last());
  await page.keyboard.press('Enter');
  await page.getByText('Remove new@example.org?').waitFor();
  await page.getByRole('dialog').getByRole('button', { name: 'Remove' }).click();
  await expect.poll(() => row.count()).toBe(0);
  // The last owner stays, and the relay's reason is shown.
  const own = page.locator('tbody tr', { hasText: inject('credentials').email });
  await own.getByRole('button', { name: /^Actions/ }).click();
  await page.getByRole('menuitem', { name: 'Change role' }).click();
  await page.getByRole('dialog').getByLabel('Role').selectOption('viewer');
  await page.getByRole('dialog').getByRole('button', { name: 'Save' }).click();
  await page.getByRole('dialog').getByText('conflict').waitFor();
  expect(faults).toEqual([]);
  await context.close();
});

/** Registers a signing key as `ekho keys` does: the private half stays here. */
async function registerKey(
  operator: Operator,
  name: string,
  root: boolean,
): Promise<{ id: string; spki: string; key: KeyObject }> {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const spki = publicKey.export({ type: 'spki', format: 'der' }).toString('base64');
  const me = await operator.get<{ operator_id: string; fleet_id: string }>('/v1/operator/me');
  const statement = ['ekho-operator-key-v1', 'register', me.fleet_id, me.operator_id, spki].join('\n');
  const proof = sign(null, Buffer.from(statement), privateKey).toString('base64');
  const { key_id } = await operator.post<{ key_id: string }>('/v1/operator/keys', {
    name,
    public_key: spki,
    proof,
    root,
  });
  return { id: key_id, spki, key: privateKey };
}

it('shows which signing keys are trusted, and revokes one with what hung on it', async () => {
  // A test before this one ended all sessions but the browser's.
  const operator = await Operator.signIn(inject('url'), inject('credentials'));
  const root = await registerKey(operator, 'root of trust', true);
  const other = await registerKey(operator, 'laptop', false);
  const { fleet_id } = inject('credentials');
  const statement = ['ekho-operator-key-v1', 'endorse', fleet_id, root.id, other.id, other.spki].join('\n');
  await operator.post(`/v1/operator/keys/${other.id}/endorse`, {
    endorsed_by_key_id: root.id,
    signature: sign(null, Buffer.from(statement), root.key).toString('base64'),
  });
  const { page, context, faults } = await suite.open('/keys');
  const row = (name: string) => page.locator('tbody tr', { hasText: name });
  await row('root of trust').getByText('Trusted', { exact: true }).waitFor();
  await row('laptop').getByText('Trusted', { exact: true }).waitFor();
  await settled(page);
  await shoot(page, 'keys-trusted-light');
  await accessible(page);
  await row('root of trust').getByRole('button', { name: 'Revoke' }).click();
  await page.getByRole('dialog').getByLabel('Reason').fill('The safe was opened');
  await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click();
  await page.getByText('Key revoked; another one is not trusted any more').waitFor();
  await row('laptop').getByText('Not trusted').waitFor();
  await page.getByRole('heading', { name: 'Revoked keys' }).waitFor();
  await row('The safe was opened').waitFor();
  await row('laptop').getByRole('button', { name: 'Revoke' }).click();
  await page.getByRole('dialog').getByLabel('Reason').fill('Of no use alone');
  await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click();
  await page.getByText('Key revoked', { exact: true }).waitFor();
  await page.getByText('No signing keys').waitFor();
  expect(faults).toEqual([]);
  await context.close();
});
