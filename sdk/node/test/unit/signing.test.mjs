// Request signatures, against the vectors that every language and the relay share.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canonicalRequest, encodeUtf8, Signer } from '../../dist/esm/signing.js';
import { cases, vectors } from '../support/vectors.mjs';

for (const vector of cases(vectors('signing.json'), 'cases')) {
  test(`signature: ${vector.name}`, async () => {
    const body = encodeUtf8(vector.body_utf8);
    const { method, target, timestamp, nonce } = vector;
    const canonical = await canonicalRequest(method, target, timestamp, nonce, body);
    assert.equal(canonical, vector.canonical);
    const signer = new Signer('agent_1', vector.secret);
    const headers = await signer.sign(method, target, body, { timestamp, nonce });
    assert.equal(headers['x-ekho-signature'], vector.signature);
  });
}

test('every try has a nonce and a time of its own, and no secret', async () => {
  const signer = new Signer('agent_1', 'very-secret');
  const [first, second] = await Promise.all([signer.sign('GET', '/'), signer.sign('GET', '/')]);
  assert.notEqual(first['x-ekho-nonce'], second['x-ekho-nonce']);
  assert.match(first['x-ekho-timestamp'], /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  assert.ok(!JSON.stringify(first).includes('very-secret'));
});
