// The test vectors that every language shares.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

export function vectors(name) {
  const url = new URL(`../../../vectors/${name}`, import.meta.url);
  return JSON.parse(readFileSync(url, 'utf8'));
}

/** The cases of a kind; a test of none would pass whatever is wrong. */
export function cases(all, kind) {
  assert.ok(all[kind].length > 0, `there are no vectors: ${kind}`);
  return all[kind];
}
