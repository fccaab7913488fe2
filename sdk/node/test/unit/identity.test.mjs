// End-to-end signatures, against the vectors that every language shares.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  AgentIdentity,
  canonicalJson,
  envelopeText,
  KeyRing,
  PublicKey,
  signMessage,
  Verifier,
} from '../../dist/esm/identity/index.js';
import { KeyLearner } from '../../dist/esm/identity/learn.js';
import { cases, vectors } from '../support/vectors.mjs';

const envelopes = vectors('envelopes.json');

for (const { name, json, canonical } of cases(envelopes, 'canonical_json')) {
  test(`canonical JSON: ${name}`, () => {
    assert.equal(canonicalJson(JSON.parse(json)), canonical);
  });
}

test('what is no JSON is refused', () => {
  const deep = JSON.parse('['.repeat(200) + ']'.repeat(200));
  for (const value of [NaN, Infinity, '\ud800', deep, () => 1, 10n]) {
    assert.throws(() => canonicalJson(value), { code: 'invalid_argument' });
  }
});

for (const vector of cases(envelopes, 'signing')) {
  test(`signing: ${vector.name}`, async () => {
    const identity = await AgentIdentity.fromSeed(vector.seed);
    assert.equal(String(identity.publicKey), vector.public_key);
    assert.equal(identity.keyId, vector.key_id);
    const who = { fleetId: vector.fleet_id, senderId: vector.sender_id, keyId: vector.key_id };
    assert.equal(await envelopeText(vector.message, who, vector.nonce), vector.sig_canonical);
    const signer = { fleetId: vector.fleet_id, agentId: vector.sender_id, identity };
    const fields = await signMessage(vector.message, signer, vector.nonce);
    assert.equal(fields.agent_sig, vector.agent_sig);
  });
}

test('verifying', async () => {
  const ring = await KeyRing.fromJSON(envelopes.key_ring);
  assert.deepEqual(JSON.parse(JSON.stringify(ring)), envelopes.key_ring);
  const verifier = new Verifier(ring, envelopes.self_agent_id);
  for (const { name, message, status, reason } of cases(envelopes, 'verifying')) {
    const found = await verifier.verify(message);
    assert.deepEqual([found.status, found.reason], [status, reason], name);
  }
});

test('a key is the same however it is written', async () => {
  const { publicKey } = await AgentIdentity.fromSeed(envelopes.signing[0].seed);
  const raw = Buffer.from(String(publicKey), 'base64').subarray(12);
  for (const text of [raw.toString('base64'), raw.toString('base64url'), String(publicKey)]) {
    assert.equal((await PublicKey.parse(text)).keyId, publicKey.keyId);
  }
  for (const text of ['', 'AAAA', '!!', `${String(publicKey)}AA`]) {
    await assert.rejects(PublicKey.parse(text), { code: 'invalid_argument' });
  }
});

test('operators are believed along endorsements, and not by the word of the relay', async () => {
  const { cases: keys } = vectors('operator-keys.json');
  const good = keys.find(({ kind, holds }) => kind === 'endorse' && holds);
  const bad = keys.find(({ kind, holds }) => kind === 'endorse' && !holds);
  const ring = new KeyRing(good.fleet_id);
  const rootId = await ring.trustOperator(good.by_public_key);
  const entry = ({ key_id, public_key, signature }) => ({
    key_id,
    public_key,
    endorsed_by_key_id: rootId,
    endorsement_sig: signature,
  });
  assert.deepEqual(await ring.takeEndorsed([entry(bad)]), []);
  const bare = { ...entry(good), endorsed_by_key_id: null, endorsement_sig: null };
  assert.deepEqual(await ring.takeEndorsed([bare]), [], 'a root is pinned, not told');
  assert.deepEqual(await ring.takeEndorsed([entry(good)]), [good.key_id]);

  const revoked = new KeyRing(good.fleet_id);
  await revoked.trustOperator(good.by_public_key);
  revoked.revoke(good.key_id);
  assert.deepEqual(await revoked.takeEndorsed([entry(good)]), [], 'revoked keys stay revoked');
});

test('keys of another kind are passed over', async () => {
  const { cases: keys } = vectors('operator-keys.json');
  const good = keys.find(({ kind, holds }) => kind === 'endorse' && holds);
  const ring = new KeyRing(good.fleet_id);
  const endorsed_by_key_id = await ring.trustOperator(good.by_public_key);
  const { publicKey } = (await AgentIdentity.generate()).identity;
  const revoked_at = '2026-01-02T00:00:00.000Z';
  const learner = new KeyLearner(ring, {
    operatorKeys: async () => ({
      revoked: [],
      operator_keys: [
        { key_id: 'key_0', public_key: 'another kind', endorsed_by_key_id, endorsement_sig: 'AAAA' },
        { ...good, endorsed_by_key_id, endorsement_sig: good.signature },
      ],
    }),
    agentKeys: async () => ({
      keys: [
        { key_id: 'key_0', public_key: 'another kind', revoked_at },
        { key_id: publicKey.keyId, public_key: String(publicKey), revoked_at },
      ],
    }),
  });
  await learner.before({ agent_sig: 'x', sender_agent_id: 'agent_a', sig_canonical: '{}' });
  assert.ok(ring.operatorKey(good.key_id));
  assert.deepEqual(ring.agentKeys('agent_a').map(String), [String(publicKey)]);
  for (const keyId of ['key_0', publicKey.keyId]) assert.ok(ring.isRevoked(keyId));
});

test('a revocation only ever reaches further back', () => {
  const ring = new KeyRing('flt_1');
  ring.revoke('key_1', '2026-01-02T00:00:00.000Z');
  ring.revoke('key_1', '2026-01-03T00:00:00.000Z');
  assert.ok(ring.isRevoked('key_1', '2026-01-02T12:00:00.000Z'));
  assert.ok(!ring.isRevoked('key_1', '2026-01-01T00:00:00.000Z'));
  ring.revoke('key_1');
  assert.ok(ring.isRevoked('key_1', '2026-01-01T00:00:00.000Z'));
  assert.ok(ring.isRevoked('key_1', 'no time'));
});
