// The package as CommonJS: the same things under the same names, and one kind of error.

const assert = require('node:assert/strict');
const sdk = require('@ekho/sdk');
const identity = require('@ekho/sdk/identity');

import('@ekho/sdk').then((esm) => {
  assert.deepEqual(Object.keys(sdk).sort(), Object.keys(esm).sort());
  assert.equal(identity.KeyRing, sdk.KeyRing);
  assert.throws(() => new sdk.EkhoAgentClient({}), sdk.EkhoArgumentError);
  console.log(`CommonJS: ${Object.keys(sdk).length} names`);
});
