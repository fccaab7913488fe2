// Fails the build when the first load grows beyond its budget: the entry script, what it imports
// at once, and the style sheet, compressed.
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

const SCRIPT_MAX_BYTES = 300 * 1024;
const dist = new URL('../dist/', import.meta.url).pathname;
const html = readFileSync(join(dist, 'index.html'), 'utf8');
const size = (path) => gzipSync(readFileSync(join(dist, path)), { level: 9 }).length;
const named = [...html.matchAll(/(?:src|href)="\/ui\/(assets\/[^"]+)"/g)].map((match) => match[1]);
const scripts = named.filter((path) => path.endsWith('.js'));
const styles = named.filter((path) => path.endsWith('.css'));
const sum = (paths) => paths.reduce((bytes, path) => bytes + size(path), 0);
const kib = (bytes) => `${(bytes / 1024).toFixed(1)} KiB`;

const all = readdirSync(join(dist, 'assets')).map((name) => statSync(join(dist, 'assets', name)).size);
console.log(
  `summary: console: first load ${kib(sum(scripts))} script, ${kib(sum(styles))} style (gzip); ` +
    `${all.length} assets, ${kib(all.reduce((a, b) => a + b, 0))} in all`,
);
if (/<script(?![^>]*\ssrc=)|\sstyle=|<style/.test(html)) {
  console.error('index.html holds something inline, which the content security policy forbids');
  process.exit(1);
}
if (sum(scripts) > SCRIPT_MAX_BYTES) {
  console.error(`the first load is more than ${kib(SCRIPT_MAX_BYTES)} of script`);
  process.exit(1);
}
