// End-to-end signatures and encryption: what needs neither a relay nor an agent's secret, so that it also serves in
// a browser. `import { … } from '@ekho/sdk/identity'`.

export {
  decryptBody,
  type DecryptionFailure,
  encryptBody,
  type EncryptedMessage,
  type Encryption,
  encryptionContext,
  isEncrypted,
  type Reader,
  type RoutedMessage,
} from './encrypt.js';
export {
  chosenKey,
  EncryptionKey,
  encryptionKeyStatement,
  PublicEncryptionKey,
  signEncryptionKey,
} from './encryption-keys.js';
export { envelopeText, signMessage, type EnvelopeFields, type SignedMessage } from './envelope.js';
export { canonicalJson } from './jcs.js';
export { KeyRing, type KeyRingJson } from './keyring.js';
export { AgentIdentity, PublicKey } from './keys.js';
export {
  Verifier,
  type VerifiableMessage,
  type Verification,
  type VerificationReason,
} from './verify.js';
