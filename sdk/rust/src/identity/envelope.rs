//! The statement that an end-to-end signature covers: who says what to whom, in which conversation.
//! Test vectors: sdk/vectors/envelopes.json.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::jcs::canonical_json;
use super::keys::AgentIdentity;
use crate::error::EkhoError;
use crate::types::{Recipient, SendMessage};

pub(super) const ENVELOPE_TYPE: &str = "ekho-message-v1";

/// What of a message is signed. `metadata` is not: hooks of the relay may change it.
#[derive(Debug, Clone, Copy)]
pub struct SignedMessage<'a> {
    /// To whom.
    pub recipient: &'a Recipient,
    /// What for.
    pub message_type: &'a str,
    /// Which conversation it belongs to.
    pub conversation_id: &'a str,
    /// Which exchange within the conversation it belongs to.
    pub correlation_id: &'a str,
    /// The content.
    pub body: &'a Value,
}

impl<'a> From<&'a SendMessage> for SignedMessage<'a> {
    fn from(message: &'a SendMessage) -> Self {
        Self {
            recipient: &message.recipient,
            message_type: message.message_type.as_str(),
            conversation_id: &message.conversation_id,
            correlation_id: &message.correlation_id,
            body: &message.body,
        }
    }
}

/// A signature and what belongs to it, as the fields of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Envelope {
    /// The signature, in base64.
    pub signature: String,
    /// Which key made it.
    pub key_id: String,
    /// The text that was signed.
    pub sig_canonical: String,
}

/// The text that is signed. `nonce` is said once: two messages under one nonce are one replayed.
///
/// Errors: [`EkhoError::InvalidArgument`] for a body that cannot be signed.
pub fn envelope_text(
    message: SignedMessage<'_>,
    fleet_id: &str,
    sender_id: &str,
    key_id: &str,
    nonce: &str,
) -> Result<String, EkhoError> {
    canonical_json(&json!({
        "type": ENVELOPE_TYPE,
        "fleet_id": fleet_id,
        "sender_id": sender_id,
        "key_id": key_id,
        "recipient": wire_recipient(message.recipient),
        "message_type": message.message_type,
        "conversation_id": message.conversation_id,
        "correlation_id": message.correlation_id,
        "body_sha256": body_hash(message.body)?,
        "nonce": nonce,
    }))
}

/// To whom, as it is on the wire.
pub(crate) fn wire_recipient(recipient: &Recipient) -> Value {
    match recipient {
        Recipient::Agent { id } => json!({"kind": "agent", "id": id}),
        Recipient::Group { id } => json!({"kind": "group", "id": id}),
        Recipient::Broadcast => json!({"kind": "broadcast"}),
    }
}

/// Signs a message as an agent, or as an operator.
///
/// Errors: [`EkhoError::InvalidArgument`] for a body that cannot be signed.
pub fn sign_message(
    message: SignedMessage<'_>,
    fleet_id: &str,
    sender_id: &str,
    identity: &AgentIdentity,
    nonce: &str,
) -> Result<Envelope, EkhoError> {
    let key_id = identity.public_key().key_id();
    let text = envelope_text(message, fleet_id, sender_id, &key_id, nonce)?;
    Ok(Envelope {
        signature: identity.sign(text.as_bytes()),
        key_id,
        sig_canonical: text,
    })
}

/// Hex of SHA-256 of the body's canonical JSON.
pub(super) fn body_hash(body: &Value) -> Result<String, EkhoError> {
    Ok(hex::encode(Sha256::digest(canonical_json(body)?)))
}
