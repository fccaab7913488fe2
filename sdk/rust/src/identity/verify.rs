//! What a recipient can say of an end-to-end signature: verified, failed, or unchecked.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use serde_json::Value;

use super::envelope::{ENVELOPE_TYPE, body_hash};
use super::keyring::KeyRing;
use crate::types::InboxMessage;

/// Nonces remembered, so that a message told twice is found out.
const MAX_NONCES: usize = 10_000;

/// What was found out about a message's signature.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct Verification {
    /// Whether it holds.
    pub status: VerificationStatus,
    /// Why it does not, or was not looked at.
    pub reason: Option<VerificationReason>,
    /// The key that is said to have made it.
    pub key_id: Option<String>,
}

/// Whether a signature holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum VerificationStatus {
    /// Signed by a key that is believed to be the sender's, and about this message.
    Verified,
    /// There is a signature, and it does not hold; do not act on the message.
    Failed,
    /// No signature, no key to check it with, or one of another kind.
    #[default]
    Unchecked,
}

/// Why a signature does not hold, or was not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum VerificationReason {
    /// The client has no key ring.
    NoKeyRing,
    /// There is no signature.
    Unsigned,
    /// No key of the sender's with this id is believed.
    UnknownKey,
    /// What was signed has a form that this version does not know.
    UnknownForm,
    /// The key was revoked before the relay accepted the message.
    KeyRevoked,
    /// The signature is not this key's.
    BadSignature,
    /// It was said in another fleet.
    FleetMismatch,
    /// Somebody else said it.
    SenderMismatch,
    /// It was said to another agent.
    RecipientMismatch,
    /// It was said in another conversation, or as something else.
    MessageMismatch,
    /// Something else was said.
    BodyMismatch,
    /// It came before, in another message.
    Replayed,
}

/// Checks messages for one agent, against one ring of keys.
#[derive(Debug)]
pub struct Verifier {
    ring: KeyRing,
    self_agent_id: String,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    message_ids: HashMap<String, String>,
    oldest_first: VecDeque<String>,
}

impl Verifier {
    /// For the agent with this id.
    pub fn new(ring: KeyRing, self_agent_id: impl Into<String>) -> Self {
        Self {
            ring,
            self_agent_id: self_agent_id.into(),
            seen: Mutex::default(),
        }
    }

    /// Looks at a message's signature.
    pub fn verify(&self, message: &InboxMessage) -> Verification {
        use VerificationReason as Reason;
        let unchecked = |reason, key_id| Verification {
            status: VerificationStatus::Unchecked,
            reason: Some(reason),
            key_id,
        };
        let by_operator = message.sender_kind.as_deref() == Some("operator");
        let signature = if by_operator {
            message.operator_sig.as_deref()
        } else {
            message.agent_sig.as_deref()
        };
        let Some(signature) = signature else {
            return unchecked(Reason::Unsigned, None);
        };
        let text = message.sig_canonical.as_ref().and_then(Value::as_str);
        let Some((text, statement)) = text.and_then(|text| Some((text, read_statement(text)?)))
        else {
            return unchecked(Reason::UnknownForm, None);
        };
        let sender = message.sender_agent_id.as_deref().unwrap_or_default();
        let key_id = statement["key_id"].as_str().unwrap_or_default().to_owned();
        let key = if by_operator {
            self.ring.operator_key(&key_id)
        } else {
            self.ring.agent_key(sender, &key_id)
        };
        let Some(key) = key else {
            return unchecked(Reason::UnknownKey, Some(key_id));
        };
        let created_at = message.created_at.as_deref();
        let wrong = if self.ring.is_revoked(&key_id, created_at) {
            Some(Reason::KeyRevoked)
        } else if !key.verify(signature, text.as_bytes()) {
            Some(Reason::BadSignature)
        } else {
            self.mismatch(message, &statement).or_else(|| {
                let nonce = format!("{key_id} {}", statement["nonce"]);
                self.replayed(nonce, &message.message_id)
                    .then_some(Reason::Replayed)
            })
        };
        Verification {
            status: match wrong {
                None => VerificationStatus::Verified,
                Some(_) => VerificationStatus::Failed,
            },
            reason: wrong,
            key_id: Some(key_id),
        }
    }

    /// The first field in which the signed statement is about another message.
    fn mismatch(&self, message: &InboxMessage, statement: &Value) -> Option<VerificationReason> {
        use VerificationReason as Reason;
        if statement["fleet_id"] != self.ring.fleet_id() {
            return Some(Reason::FleetMismatch);
        }
        if statement["sender_id"].as_str() != message.sender_agent_id.as_deref() {
            return Some(Reason::SenderMismatch);
        }
        let recipient = &statement["recipient"];
        if !recipient.is_object()
            || (recipient["kind"] == "agent" && recipient["id"] != self.self_agent_id.as_str())
        {
            return Some(Reason::RecipientMismatch);
        }
        let same = statement["message_type"] == message.message_type.as_str()
            && statement["conversation_id"] == message.conversation_id.as_str()
            && statement["correlation_id"] == message.correlation_id.as_str();
        if !same {
            return Some(Reason::MessageMismatch);
        }
        let hash = body_hash(&message.body).ok();
        (statement["body_sha256"].as_str() != hash.as_deref()).then_some(Reason::BodyMismatch)
    }

    /// The same message may come again, another one with its nonce may not.
    fn replayed(&self, nonce: String, message_id: &str) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(first) = seen.message_ids.get(&nonce) {
            return first != message_id;
        }
        if seen.oldest_first.len() >= MAX_NONCES
            && let Some(oldest) = seen.oldest_first.pop_front()
        {
            seen.message_ids.remove(&oldest);
        }
        seen.oldest_first.push_back(nonce.clone());
        seen.message_ids.insert(nonce, message_id.to_owned());
        false
    }
}

fn read_statement(text: &str) -> Option<Value> {
    let statement: Value = serde_json::from_str(text).ok()?;
    (statement["type"] == ENVELOPE_TYPE).then_some(statement)
}
