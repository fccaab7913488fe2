//! End-to-end signatures (docs/signatures.md) and encryption (docs/encryption.md): an agent signs what
//! it sends with a key of its own, and its recipients find out whether a message is what was signed;
//! bodies that only their readers can read. No network, no clock.

mod encrypt;
mod encryption_keys;
mod envelope;
mod hpke;
mod jcs;
mod keyring;
mod keys;
mod learn;
mod verify;

pub use encrypt::{
    DecryptionFailure, Encryption, EncryptionStatus, Reader, RoutedMessage, decrypt_body,
    encrypt_body, encryption_context, is_encrypted,
};
pub use encryption_keys::{
    EncryptionKey, PublicEncryptionKey, chosen_key, encryption_key_statement, sign_encryption_key,
};
pub use envelope::{Envelope, SignedMessage, envelope_text, sign_message};
pub use jcs::canonical_json;
pub use keyring::{KeyRing, KeyRingData};
pub use keys::{AgentIdentity, PublicKey};
pub use verify::{Verification, VerificationReason, VerificationStatus, Verifier};

pub(crate) use envelope::wire_recipient;
pub(crate) use learn::KeyLearner;

#[cfg(test)]
mod encryption_tests;
#[cfg(test)]
mod tests;
