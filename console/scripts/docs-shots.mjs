// Makes the pictures of docs/console.md from those that the browser tests took: the ones named
// below, scaled down by the browser itself, so that no image tool is needed.
//
//     npm run docs-shots                          (after npm run e2e)
//     npm run docs-shots -- conversation-light    (that one alone)
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { palettePng } from './png.mjs';

const WIDTH = 1_080;
const PHONE_WIDTH = 300;
const SHOWN = [
  'overview-light',
  'overview-dark',
  'agents-light',
  'agent-dark',
  'conversation-light',
  'approvals-light',
  'policy-light',
  'policy-dry-run-dark',
  'dead-letters-light',
  'a2a-dark',
  'events-light',
  'topology-light',
  'cluster-drained-light',
  'cluster-continued-light',
  'settings-light',
  'quick-search-light',
  'overview-phone',
  'approvals-phone',
  'conversation-phone',
];

const here = new URL('..', import.meta.url).pathname;
const from = process.env.EKHO_SCREENSHOTS ?? join(here, 'e2e/screenshots');
const to = join(here, '../docs/console');

const browser = await chromium.launch({
  executablePath: process.env.EKHO_CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
});
const page = await browser.newPage();
await mkdir(to, { recursive: true });
const named = process.argv.slice(2);
for (const name of SHOWN.filter((one) => named.length === 0 || named.includes(one))) {
  const source = `data:image/png;base64,${(await readFile(join(from, `${name}.png`))).toString('base64')}`;
  const width = name.endsWith('-phone') ? PHONE_WIDTH : WIDTH;
  const scaled = await page.evaluate(
    async ({ source, width }) => {
      const image = new Image();
      image.src = source;
      await image.decode();
      const height = Math.round((image.height * width) / image.width);
      const canvas = Object.assign(document.createElement('canvas'), { width, height });
      const context = canvas.getContext('2d');
      context.imageSmoothingQuality = 'high';
      context.drawImage(image, 0, 0, width, height);
      const { data } = context.getImageData(0, 0, width, height);
      let bytes = '';
      for (let at = 0; at < data.length; at += 32_768)
        bytes += String.fromCharCode(...data.subarray(at, at + 32_768));
      return { height, pixels: btoa(bytes) };
    },
    { source, width },
  );
  const picture = palettePng(Buffer.from(scaled.pixels, 'base64'), width, scaled.height);
  await writeFile(join(to, `${name}.png`), picture);
  console.log(`${name}.png ${(picture.length / 1024).toFixed(0)} KiB`);
}
await browser.close();
