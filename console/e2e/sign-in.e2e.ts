// Signing in and out: password, second factor, a lost session, and where one lands afterwards.
import { createHmac } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import type { Browser, BrowserContext } from 'playwright-core';
import decodeQR from 'qr/decode.js';
import { accessible, launch, shoot, textOf, visit } from './lib/browser';
import { Operator } from './lib/operator';

let browser: Browser;
beforeAll(async () => {
  browser = await launch();
});
afterAll(() => browser.close());

/** RFC 6238 with SHA-1, six digits, 30 seconds. */
function totp(secret: string, step: number): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
  const bits = [...secret.replace(/=+$/, '')]
    .map((char) => alphabet.indexOf(char).toString(2).padStart(5, '0'))
    .join('');
  const key = Buffer.from(bits.match(/.{8}/g)?.map((byte) => Number.parseInt(byte, 2)) ?? []);
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(step));
  const digest = createHmac('sha1', key).update(counter).digest();
  const offset = (digest[19] ?? 0) & 15;
  return String((digest.readUInt32BE(offset) & 0x7fffffff) % 1_000_000).padStart(6, '0');
}
/** What a camera would read off a picture. */
async function readQr(context: BrowserContext, png: Buffer): Promise<string> {
  const page = await context.newPage();
  const image = await page.evaluate(async (base64) => {
    const bitmap = await createImageBitmap(await (await fetch(`data:image/png;base64,${base64}`)).blob());
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    const drawing = canvas.getContext('2d');
    drawing?.drawImage(bitmap, 0, 0);
    const data = drawing?.getImageData(0, 0, bitmap.width, bitmap.height).data ?? [];
    return { width: bitmap.width, height: bitmap.height, data: [...data] };
  }, png.toString('base64'));
  await page.close();
  return decodeQR({ ...image, data: Uint8ClampedArray.from(image.data) });
}
const stepNow = () => Math.floor(Date.now() / 30_000);

describe('signing in', () => {
  it('asks first, then goes where the link led, and forgets at sign-out', async () => {
    const { page, context, faults } = await visit(browser, null);
    const { fleet_name, email, password } = inject('credentials');
    await page.goto('/ui/agents?status=paused');
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    expect(await page.getByText('Your session was over.').count()).toBe(0);
    await accessible(page);
    await page.getByLabel('Fleet').fill(fleet_name);
    await page.getByLabel('Email').fill(email);
    await page.getByLabel('Password').fill('not the password');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('Fleet, email or password is wrong.').waitFor();
    await page.getByLabel('Password').fill(password);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.waitForURL('**/ui/agents?status=paused');
    await page.getByRole('link', { name: 'Archivist' }).waitFor();

    // The session is out of reach of scripts, and nothing but choices is kept in the browser.
    const cookie = (await context.cookies()).find((one) => one.name === 'ekho_session');
    expect(cookie).toMatchObject({ httpOnly: true, sameSite: 'Strict' });
    expect(
      await page.evaluate(() =>
        [document.cookie, JSON.stringify(localStorage), JSON.stringify(sessionStorage)].join(),
      ),
    ).not.toContain(cookie?.value);

    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    await page.goto('/ui/agents');
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    expect(faults).toEqual([]);
    await context.close();
  });

  it('is asked for again when the session ends elsewhere, and goes on where it was', async () => {
    const credentials = inject('credentials');
    const { page, context } = await visit(browser, credentials);
    await page.goto('/ui/policies');
    await page.getByRole('link', { name: 'researchers do not deploy' }).waitFor();
    const session = (
      (await (await context.request.get('/v1/operator/me')).json()) as { session: { id: string } }
    ).session.id;
    const operator = await Operator.signIn(inject('url'), credentials);
    await operator.ask('DELETE', `/v1/operator/sessions/${session}`);
    // Nobody clicks: the page learns of it by its stream.
    await page.getByText('Your session was over.').waitFor();
    await page.getByLabel('Fleet').fill(credentials.fleet_name);
    await page.getByLabel('Email').fill(credentials.email);
    await page.getByLabel('Password').fill(credentials.password);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.waitForURL('**/ui/policies');
    await page.getByRole('link', { name: 'researchers do not deploy' }).waitFor();
    await context.close();
  });

  it('asks for the second factor, which the account page sets up', async () => {
    const owner = await Operator.signIn(inject('url'), inject('credentials'));
    const person = {
      fleet_name: inject('credentials').fleet_name,
      fleet_id: '',
      email: 'second.factor@example.org',
      password: 'correct horse battery',
    };
    await owner.post('/v1/operator/operators', {
      email: person.email,
      password: person.password,
      role: 'operator',
    });
    const { page, context, faults } = await visit(browser, person);
    await page.goto('/ui/account?tab=security');
    await page.getByRole('button', { name: 'Set up' }).click();
    await page.getByLabel('Your password, to begin').fill(person.password);
    await page.getByRole('dialog').getByRole('button', { name: 'Set up' }).click();
    const secret = await textOf(page.getByLabel('Secret, to type in'), /^[A-Z2-7]{16,}=*$/);
    const code = page.getByRole('img', { name: 'QR code of the secret' });
    await expect
      .poll(async () => readQr(context, await code.screenshot()))
      .toMatch(new RegExp(`^otpauth://totp/.*secret=${secret}(&|$)`));
    await accessible(page);
    await shoot(page, 'account-second-factor-light');
    await page.getByLabel('Code', { exact: true }).fill(totp(secret, stepNow()));
    await page.getByRole('button', { name: 'Turn on' }).click();
    const ten = /^\s*(\S+\n){9}\S+\s*$/;
    const shown = await textOf(page.getByLabel('Keep these recovery codes').last(), ten);
    const codes = shown.trim().split('\n');
    await page.getByRole('button', { name: 'I have kept them' }).click();
    await page.getByText('On. 10 recovery codes left.').waitFor();
    await page.getByRole('button', { name: 'Sign out' }).click();

    const fill = async () => {
      await page.getByLabel('Fleet').fill(person.fleet_name);
      await page.getByLabel('Email').fill(person.email);
      await page.getByLabel('Password').fill(person.password);
      await page.getByRole('button', { name: 'Sign in' }).click();
    };
    await fill();
    await page.getByLabel('Code of your authenticator').fill('000000');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('The code is not right').waitFor();
    // The step of now was used to turn it on; the next one is good as well.
    await page.getByLabel('Code of your authenticator').fill(totp(secret, stepNow() + 1));
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('heading', { name: 'Overview' }).waitFor();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    await fill();
    await page.getByRole('button', { name: 'Use a recovery code' }).click();
    await page.getByLabel('Recovery code').fill(codes[0] ?? '');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('heading', { name: 'Overview' }).waitFor();
    expect(faults).toEqual([]);
    await context.close();
  });

  it.each([
    ['light', {}],
    ['dark', { theme: 'dark' as const }],
    ['phone', { phone: true }],
  ])('is fit to be seen: %s', async (name, options) => {
    const { page, context } = await visit(browser, null, options);
    await page.goto('/ui/');
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    await page.evaluate(() => document.fonts.ready.then(() => undefined));
    await shoot(page, `sign-in-${name}`);
    await accessible(page);
    await context.close();
  });
});
