// The browser: Debian's Chromium, signed in, watched for everything that must not happen.
import { mkdir } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { type Browser, type BrowserContext, chromium, type Locator, type Page } from 'playwright-core';
import { afterAll, beforeAll, expect, inject } from 'vitest';
import { Operator } from './operator';
import { type Credentials, until } from './relay';
import { WAIT_MS } from './wait';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const SHOTS = process.env['EKHO_SCREENSHOTS'] ?? join(import.meta.dirname, '..', 'screenshots');
const WIDE = { width: 1_440, height: 900 };
const PHONE = { width: 390, height: 844 };

const ARGUMENTS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export function launch(): Promise<Browser> {
  return chromium.launch({
    executablePath: process.env['EKHO_CHROMIUM'] ?? '/usr/bin/chromium',
    args: ARGUMENTS,
  });
}

export interface Options {
  url?: string;
  theme?: 'light' | 'dark';
  phone?: boolean;
  /** Origins beside the relay's own that may be asked: other nodes. */
  others?: string[];
  /** The test takes a node or its leader away: 503 is then the right answer. */
  unavailable?: boolean;
}

/** A page of the console and what went wrong on it. */
export interface Visit {
  page: Page;
  context: BrowserContext;
  /** Errors of scripts and of the relay, broken rules of the content security policy, requests to elsewhere. */
  faults: string[];
}

/**
 * What a page asks for and may be refused: that is the relay's answer, not a fault of the page. Of
 * answers from 500 on, which are faults, the response tells more than the console.
 */
const EXPECTED =
  /the server responded with a status of [45]\d\d|net::ERR_(CONNECTION_|EMPTY_RESPONSE|INCOMPLETE_CHUNKED|ABORTED|NETWORK_)/;

export async function visit(
  browser: Browser,
  credentials: Credentials | null,
  options: Options = {},
): Promise<Visit> {
  const url = options.url ?? inject('url');
  const context = await browser.newContext({
    baseURL: url,
    viewport: options.phone ? PHONE : WIDE,
    colorScheme: options.theme ?? 'light',
    reducedMotion: 'reduce',
    timezoneId: 'Europe/Berlin',
    locale: 'en-GB',
  });
  context.setDefaultTimeout(WAIT_MS);
  if (credentials) {
    const { fleet_name, email, password } = credentials;
    const data = { fleet_name, email, password, cookie: true };
    // A node without a leader says so, and a moment later it has one.
    const answer = await until('an answer to the login', async () => {
      const got = await context.request.post('/v1/operator/login', { data });
      if (got.status() === 503) throw new Error(await got.text());
      return got;
    });
    if (!answer.ok()) throw new Error(`login: ${answer.status()} ${await answer.text()}`);
  }
  const page = await context.newPage();
  const faults: string[] = [];
  const allowed = [url, ...(options.others ?? [])];
  page.on('pageerror', (error) => faults.push(`script: ${error.message}`));
  page.on('console', (message) => {
    if (message.type() === 'error' && !EXPECTED.test(message.text()))
      faults.push(`console: ${message.text()}`);
  });
  page.on('response', (answer) => {
    const status = answer.status();
    if (status >= 500 && !(status === 503 && options.unavailable))
      faults.push(`${status} to ${answer.request().method()} ${answer.url()}`);
  });
  page.on('requestfailed', (request) => {
    // Whoever makes network namespaces on the same machine makes Chromium give up what is on its way.
    const why = request.failure()?.errorText ?? '';
    if (why.includes('NETWORK_CHANGED')) console.error(`lost: ${request.method()} ${request.url()}: ${why}`);
  });
  page.on('request', (request) => {
    const asked = request.url();
    if (
      !asked.startsWith('blob:') &&
      !asked.startsWith('data:') &&
      !allowed.some((origin) => asked.startsWith(origin))
    )
      faults.push(`request to ${asked}`);
  });
  return { page, context, faults };
}

interface AxeResult {
  violations: { id: string; help: string; nodes: { html: string; failureSummary?: string }[] }[];
}

/** No fault of accessibility; one that stands there only while the page is being drawn is none. */
export async function accessible(page: Page, what = 'the page'): Promise<void> {
  await expect.poll(() => axe(page), { message: `axe: ${what}` }).toEqual([]);
}

/** Faults of accessibility by axe, WCAG 2.2 up to AA. */
async function axe(page: Page): Promise<string[]> {
  await page.evaluate(AXE);
  const result = (await page.evaluate(
    `axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22a', 'wcag22aa', 'best-practice'] })`,
  )) as AxeResult;
  return result.violations.map((violation) => {
    const nodes = violation.nodes
      .slice(0, 3)
      .map(
        (node) =>
          `    ${node.html.slice(0, 180)}\n      ${(node.failureSummary ?? '').replaceAll('\n', ' ').slice(0, 260)}`,
      );
    return `${violation.id}: ${violation.help}\n${nodes.join('\n')}`;
  });
}

/** What an element says, once that is as expected: it may be there before its text is. */
export async function textOf(element: Locator, expected: RegExp): Promise<string> {
  let shown = '';
  await expect.poll(async () => (shown = (await element.textContent()) ?? '')).toMatch(expected);
  return shown;
}

/** Until keys that are pressed go to this element. */
export async function focused(element: Locator): Promise<void> {
  await expect.poll(() => element.evaluate((one) => one === document.activeElement)).toBe(true);
}

export async function shoot(page: Page, name: string): Promise<void> {
  await mkdir(SHOTS, { recursive: true });
  await page.screenshot({ path: join(SHOTS, `${name}.png`), animations: 'disabled' });
}

export interface Suite {
  /** A page of the signed-in owner; ask anew in each test. */
  open: (path: string, options?: Options) => Promise<Visit>;
  operator: () => Operator;
  credentials: () => Credentials;
}

/** A browser for the tests of one file, closed at its end. */
export function browserSuite(): Suite {
  let browser: Browser;
  let operator: Operator;
  const contexts: BrowserContext[] = [];
  beforeAll(async () => {
    browser = await launch();
    operator = await Operator.signIn(inject('url'), inject('credentials'));
  });
  afterAll(async () => {
    for (const context of contexts) await context.close();
    await browser?.close();
  });
  return {
    operator: () => operator,
    credentials: () => inject('credentials'),
    open: async (path, options = {}) => {
      const opened = await visit(browser, inject('credentials'), options);
      contexts.push(opened.context);
      await opened.page.goto(`${options.url ?? inject('url')}/ui${path}`);
      return opened;
    },
  };
}

const LOOKS = [
  { name: 'light', options: { theme: 'light' } },
  { name: 'dark', options: { theme: 'dark' } },
  { name: 'phone', options: { theme: 'light', phone: true } },
] as const;

/** What every page has to stand: no faults of accessibility in light, in dark and on a phone; no fault at all; and a picture of each. */
export async function looksRight(
  suite: Suite,
  name: string,
  path: string,
  ready: (page: Page) => Promise<unknown>,
): Promise<void> {
  for (const look of LOOKS) {
    const { page, context, faults } = await suite.open(path, look.options);
    await ready(page);
    await settled(page);
    await shoot(page, `${name}-${look.name}`);
    await accessible(page, `${name}, ${look.name}`);
    await expect
      .poll(
        () =>
          page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth),
        { message: `${name} is no wider than a ${look.name} screen` },
      )
      .toBeLessThanOrEqual(0);
    expect(faults).toEqual([]);
    await context.close();
  }
}

/** No skeleton is left, and names have come for ids. */
export async function settled(page: Page): Promise<void> {
  await page.waitForFunction(() => document.querySelector('.skeleton') === null);
  await page.waitForFunction(
    () => document.querySelector('.live')?.getAttribute('data-state') !== 'connecting',
  );
  await page.evaluate(() => document.fonts.ready.then(() => undefined));
  await page
    .waitForFunction(
      () => ![...document.querySelectorAll('a')].some((link) => /^agent_…/.test(link.textContent ?? '')),
      undefined,
      { timeout: 5_000 },
    )
    .catch(() => undefined);
}
