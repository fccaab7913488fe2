// What all pages share: keyboard, quick search, theme, the live stream and its fallback, errors,
// the content security policy, and that every page of the navigation opens.
import { expect, inject, it } from 'vitest';
import { browserSuite, focused, settled, shoot } from './lib/browser';

const suite = browserSuite();

it('opens every page of the navigation without a fault', async () => {
  const { page, context, faults } = await suite.open('/');
  const links = page.getByRole('navigation', { name: 'Pages' }).getByRole('link');
  await links.nth(5).waitFor();
  const paths = await links.evaluateAll((all) => all.map((link) => link.getAttribute('href') ?? ''));
  expect(paths.length).toBeGreaterThan(20);
  for (const path of paths) {
    // The heading of the page before is marked: one without the mark is the next page's.
    if (new URL(page.url()).pathname.replace(/\/$/, '') !== path.replace(/\/$/, ''))
      await page.locator('h1').evaluate((heading) => heading.setAttribute('data-before', ''));
    await page.locator(`nav.nav a[href="${path}"]`).last().click();
    await page.locator('h1:not([data-before])').waitFor();
    await page.waitForFunction(() => document.querySelector('.skeleton') === null);
    await expect
      .poll(() => page.locator('main .notice.tone-bad').allTextContents(), { message: path })
      .toEqual([]);
    await expect.poll(() => page.title(), { message: path }).toMatch(/ · Ekho$/);
  }
  expect(faults).toEqual([]);
  await context.close();
});

it('is served with a strict policy, and asset names that may be kept for ever', async () => {
  const answer = await fetch(`${inject('url')}/ui/agents/agent_x`);
  const policy = answer.headers.get('content-security-policy') ?? '';
  expect(policy).toContain("default-src 'none'");
  expect(policy).toContain("script-src 'self'");
  expect(policy).not.toMatch(/unsafe|\*|https?:\/\/(?!127\.0\.0\.1)/);
  const asset = /src="(\/ui\/assets\/[^"]+)"/.exec(await answer.text())?.[1] ?? '';
  const script = await fetch(`${inject('url')}${asset}`);
  expect(script.headers.get('cache-control')).toContain('immutable');
  expect((await fetch(`${inject('url')}/ui/assets/missing.js`)).status).toBe(404);
  // An id may hold a dot: that is a place, not a file.
  expect(
    (await fetch(`${inject('url')}/ui/conversations/release-2.4`)).headers.get('content-type'),
  ).toContain('text/html');
});

it('goes anywhere by keyboard', async () => {
  const { page, context, faults } = await suite.open('/');
  await page.getByRole('heading', { name: 'Overview' }).waitFor();
  // What listens to keys is there when the stream is: both begin after the first drawing.
  await page.locator('.live[data-state=live]').waitFor();
  await page.keyboard.press('Control+k');
  await focused(page.getByRole('combobox'));
  await page.keyboard.type('dead');
  await page.getByRole('option', { name: /Dead letters/, selected: true }).waitFor();
  await shoot(page, 'quick-search-light');
  await page.keyboard.press('Enter');
  await page.waitForURL('**/ui/dead-letters');
  await page.getByRole('heading', { name: 'Dead letters' }).waitFor();
  await page.keyboard.press('/');
  await focused(page.getByRole('combobox'));
  await page.keyboard.type('transl');
  await page.getByRole('option', { name: /Translator/, selected: true }).waitFor();
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'Translator' }).waitFor();
  // The first stop of the keyboard leads past the navigation.
  await page.goto(`${inject('url')}/ui/agents`);
  await page.getByRole('link', { name: 'Writer' }).waitFor();
  await page.keyboard.press('Tab');
  await focused(page.getByRole('link', { name: 'Skip to the page' }));
  await page.keyboard.press('Enter');
  await focused(page.locator('#page'));
  // From row to row with the arrows.
  await page.getByRole('link', { name: 'Archivist' }).press('ArrowDown');
  await focused(
    page.locator('tbody tr', { hasText: 'Archivist' }).locator('xpath=following-sibling::tr[1]//a').first(),
  );
  expect(faults).toEqual([]);
  await context.close();
});

it('keeps the choice of colours', async () => {
  const { page, context } = await suite.open('/about');
  await page.getByRole('heading', { name: 'About' }).waitFor();
  const ground = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  const light = await ground();
  await page.getByRole('button', { name: /^Colours: As the system/ }).click();
  await page.getByRole('button', { name: /^Colours: Light/ }).click();
  await page.getByRole('button', { name: /^Colours: Dark/ }).waitFor();
  await expect.poll(ground).not.toBe(light);
  const dark = await ground();
  await page.reload();
  await page.getByRole('heading', { name: 'About' }).waitFor();
  await expect.poll(ground).toBe(dark);
  await context.close();
});

it('polls where the stream cannot be had, and says so', async () => {
  const { page, context } = await suite.open('/about');
  await context.route('**/v1/operator/stream*', (route) =>
    route.fulfill({
      status: 503,
      contentType: 'application/json',
      body: '{"error":"too much is under way","code":"overloaded"}',
    }),
  );
  await page.goto(`${inject('url')}/ui/agents/${inject('seeded').agents['Planner']}`);
  await page.locator('.live[data-state=polling]').waitFor();
  await page.getByText('Every 5 s').waitFor();
  await suite
    .operator()
    .post(`/v1/operator/agents/${inject('seeded').agents['Planner']}/pause`, { reason: 'seen by polling' });
  await page.locator('h1 ~ .badge', { hasText: 'Paused' }).waitFor();
  await suite
    .operator()
    .post(`/v1/operator/agents/${inject('seeded').agents['Planner']}/resume`, { reason: 'seen' });
  // What looks out for single events hears of them as well.
  const asked = page.waitForResponse((answer) => answer.url().endsWith('/v1/operator/events?limit=1'));
  await page.goto(`${inject('url')}/ui/events?live=true&type=agent.labelled`);
  await page.locator('.live[data-state=polling]').waitFor();
  await page.getByText('Waiting for the next event').waitFor();
  await asked;
  await suite
    .operator()
    .put(`/v1/operator/agents/${inject('seeded').agents['Planner']}/labels`, { labels: ['seen-polled'] });
  await page.getByText('appear at the top as they happen').waitFor();
  await page.locator('tbody tr', { hasText: 'Planner' }).first().waitFor();
  await context.close();
});

it.each([
  ['its style', '**/ui/assets/index-*.css'],
  ['a script', '**/ui/assets/index-*.js'],
])('gets %s once more where the network lost it', async (_, files) => {
  const { page, context } = await suite.open('/about');
  await page.getByRole('heading', { name: 'About' }).waitFor();
  let lost = 0;
  await context.route(files, (route) => {
    lost += 1;
    return lost <= 2 ? route.abort('connectionreset') : route.continue();
  });
  await page.goto(`${inject('url')}/ui/agents?search=Writer`);
  await page.getByRole('link', { name: 'Writer' }).waitFor();
  await expect
    .poll(() =>
      page.evaluate(() => getComputedStyle(document.querySelector('nav') ?? document.body).position),
    )
    .toBe('sticky');
  expect(lost).toBeGreaterThan(2);
  await expect.poll(() => new URL(page.url()).search).toBe('?search=Writer');
  await context.close();
});

it('shows errors with code and request id, and a way on', async () => {
  const { page, context } = await suite.open('/agents/agent_01a21c74f3a9706b9475d430da8905da');
  await page.getByText('It does not exist, or is not of your fleet.').waitFor();
  await page.locator('code', { hasText: 'not_found' }).waitFor();
  await page.locator('code', { hasText: /^req_/ }).waitFor();
  await page.goto(`${inject('url')}/ui/no-such-page`);
  await page.getByText('There is no such page').waitFor();
  await page.getByRole('link', { name: 'Go to the overview' }).click();
  await page.getByRole('heading', { name: 'Overview' }).waitFor();
  await context.close();
});

it('has its menu at phone width, and closes it', async () => {
  const { page, context, faults } = await suite.open('/', { phone: true });
  await page.getByRole('button', { name: 'Open the menu' }).click();
  await page.getByRole('link', { name: 'Agents', exact: true }).waitFor();
  await shoot(page, 'menu-phone');
  await page.getByRole('link', { name: 'Agents', exact: true }).click();
  await page.getByRole('heading', { name: 'Agents' }).waitFor();
  await expect.poll(() => page.locator('.nav').getAttribute('data-open')).toBe('false');
  expect(faults).toEqual([]);
  await context.close();
});

it('shows times in the zone of the reader, with UTC on hover', async () => {
  const { page, context } = await suite.open(`/agents/${inject('seeded').agents['Writer']}`);
  await page.locator('dd time').last().waitFor();
  await settled(page);
  const clock = new Intl.DateTimeFormat('en-GB', {
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    timeZone: 'Europe/Berlin',
  });
  await expect
    .poll(async () => {
      // All of it at once: what is last may change while the page is filled.
      const time = await page.locator('dd time').evaluateAll((all) => {
        const last = all[all.length - 1];
        return {
          at: last?.getAttribute('datetime') ?? '',
          title: last?.getAttribute('title'),
          text: last?.textContent ?? '',
        };
      });
      const at = new Date(time.at);
      const utc = at
        .toISOString()
        .replace('T', ' ')
        .replace(/\.\d+Z$/, '');
      return { inBerlin: time.text.includes(clock.format(at)), inUtc: time.title === `${utc} UTC` };
    })
    .toEqual({ inBerlin: true, inUtc: true });
  await context.close();
});
