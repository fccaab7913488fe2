// End-to-end encryption, against the vectors that every language shares.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  chosenKey,
  decryptBody,
  EncryptionKey,
  encryptBody,
  encryptionContext,
  encryptionKeyStatement,
  AgentIdentity,
  isEncrypted,
  KeyRing,
  PublicEncryptionKey,
  signEncryptionKey,
} from '../../dist/esm/identity/index.js';
import { deriveSecret, keyPair, open, seal } from '../../dist/esm/identity/hpke.js';
import { cases, vectors } from '../support/vectors.mjs';

const all = vectors('encryption.json');
const hex = (text) => Uint8Array.from(Buffer.from(text, 'hex'));
const toHex = (bytes) => Buffer.from(bytes).toString('hex');

for (const vector of cases(all, 'hpke')) {
  test(`HPKE: ${vector.name}`, async () => {
    const [info, aad, plaintext] = [vector.info, vector.aad, vector.pt].map(hex);
    assert.equal(toHex(await deriveSecret(hex(vector.ikmE))), vector.skEm);
    assert.equal(toHex(await deriveSecret(hex(vector.ikmR))), vector.skRm);
    const pair = await keyPair(hex(vector.skRm));
    assert.equal(toHex(pair.publicKey), vector.pkRm);
    const sealed = await seal(pair.publicKey, info, aad, plaintext, hex(vector.ikmE));
    assert.deepEqual([toHex(sealed.enc), toHex(sealed.ciphertext)], [vector.enc, vector.ct]);
    const opened = await open(pair, hex(vector.enc), info, aad, hex(vector.ct));
    assert.equal(toHex(opened), vector.pt);
    await assert.rejects(open(pair, hex(vector.enc), aad, aad, hex(vector.ct)));
  });
}

test('keys with which nothing would be secret are refused', async () => {
  for (const text of cases(all, 'weak_public_keys')) {
    const { raw } = await PublicEncryptionKey.parse(text);
    const none = new Uint8Array(0);
    await assert.rejects(seal(raw, none, none, none, new Uint8Array(32)), {
      code: 'invalid_argument',
    });
  }
});

test('a key and its id', async () => {
  for (const { seed, public_key, key_id } of cases(all, 'keys')) {
    const key = await EncryptionKey.fromSeed(seed);
    assert.deepEqual([String(key.publicKey), key.keyId], [public_key, key_id]);
    assert.ok(!JSON.stringify(key).includes(seed));
  }
  const { key, seed } = await EncryptionKey.generate();
  assert.equal((await EncryptionKey.fromSeed(seed)).keyId, key.keyId);
  await assert.rejects(EncryptionKey.fromSeed('AAAA'), { code: 'invalid_argument' });
  await assert.rejects(PublicEncryptionKey.parse('AAAA'), { code: 'invalid_argument' });
});

test('an identity key vouches for an encryption key', async () => {
  const vector = all.key_statement;
  const identity = await AgentIdentity.fromSeed(vector.identity_seed);
  const key = await PublicEncryptionKey.parse(vector.public_key);
  const { fleet_id: fleetId, agent_id: agentId } = vector;
  const statement = encryptionKeyStatement(fleetId, agentId, identity.keyId, key);
  assert.equal(statement, vector.statement);
  const { signed_by_key_id, signature } = vector;
  const signed = await signEncryptionKey(key, { fleetId, agentId, identity });
  assert.deepEqual(signed, { signed_by_key_id, signature });
});

for (const { name, agent_id, keys, key_id, code, no_ring, revoked } of cases(all, 'choosing')) {
  test(`which key to encrypt to: ${name}`, async () => {
    const ring = no_ring ? undefined : await KeyRing.fromJSON(all.key_ring);
    for (const keyId of revoked ?? []) ring.revoke(keyId);
    const chosen = chosenKey(agent_id, keys, ring);
    if (code) await assert.rejects(chosen, { code });
    else assert.equal((await chosen).keyId, key_id);
  });
}

async function readersOf(vector) {
  const keys = vector.readers.map(({ public_key }) => PublicEncryptionKey.parse(public_key));
  const found = await Promise.all(keys);
  return vector.readers.map(({ agent_id: agentId }, index) => ({ agentId, key: found[index] }));
}

for (const vector of cases(all, 'encrypting')) {
  test(`encrypting: ${vector.name}`, async () => {
    const { message, sender_id, nonce, encrypted } = vector;
    assert.equal(encryptionContext(message, sender_id), vector.context);
    const key = await EncryptionKey.fromSeed(vector.seed);
    const readers = await readersOf(vector);
    assert.deepEqual(await encryptBody(message, sender_id, key, readers, nonce), encrypted);
    const [one, two] = await Promise.all(
      [1, 2].map(() => encryptBody(message, sender_id, key, readers)),
    );
    assert.notDeepEqual(one, two, 'without a nonce no two are the same');
    assert.ok(!JSON.stringify(one).includes('"text"'));
  });
}

test('what cannot be encrypted is refused', async () => {
  const [vector] = all.encrypting;
  const key = await EncryptionKey.fromSeed(vector.seed);
  const [reader] = await readersOf(vector);
  for (const readers of [[], Array(65).fill(reader)]) {
    const sealed = encryptBody(vector.message, 'agent_a', key, readers);
    await assert.rejects(sealed, { code: 'invalid_argument' });
  }
  for (const a of ['\ud800', JSON.parse('['.repeat(110) + ']'.repeat(110))]) {
    const sealed = encryptBody({ ...vector.message, body: { a } }, 'agent_a', key, [reader]);
    await assert.rejects(sealed, { code: 'invalid_argument' });
  }
});

for (const { name, message, status, reason, key_id, body } of cases(all, 'decrypting')) {
  test(`decrypting: ${name}`, async () => {
    assert.equal(isEncrypted(message.body), status !== 'none');
    if (status === 'none') return;
    const key = await EncryptionKey.fromSeed(all.self_seed);
    const opened = decryptBody(message, all.self_agent_id, [key]);
    if (status === 'decrypted') assert.deepEqual(await opened, { body, keyId: key_id });
    else await assert.rejects(opened, { code: 'decryption_failed', reason });
  });
}

test('an older key still opens what was encrypted to it', async () => {
  const [{ message, body }] = all.decrypting;
  const { key: newer } = await EncryptionKey.generate();
  const older = await EncryptionKey.fromSeed(all.self_seed);
  const self = all.self_agent_id;
  assert.deepEqual((await decryptBody(message, self, [newer, older])).body, body);
  await assert.rejects(decryptBody(message, self, [newer]), { reason: 'unknown_key' });
  await assert.rejects(decryptBody(message, self, []), { reason: 'no_key' });
});
