//! Sending: POST /v1/messages, POST /v1/messages/batch, DELETE /v1/messages/{id}.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::{InboxMessage, open_enum};
use crate::error::{EkhoError, EkhoRequestError};
use crate::identity::EncryptionStatus;

open_enum! {
    /// What a message is for.
    MessageType {
        /// From one agent to another.
        Direct = "direct",
        /// To every agent of the fleet.
        Broadcast = "broadcast",
        /// Something needs attention.
        Alert = "alert",
        /// Work is passed on.
        Handoff = "handoff",
        /// The sender takes work on.
        Claim = "claim",
        /// Work is done.
        Complete = "complete",
        /// A sign of life between agents.
        Heartbeat = "heartbeat",
        /// An instruction between agents; still handed out while an adapter is paused.
        Control = "control",
        /// The backing message of an A2A task.
        A2a = "a2a.message",
    }
}

open_enum! {
    /// How urgent a message is.
    Priority {
        /// Below normal.
        Low = "low",
        /// The relay's default.
        Normal = "normal",
        /// Above normal.
        High = "high",
        /// Above everything.
        Urgent = "urgent",
    }
}

/// To whom a message goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Recipient {
    /// One agent.
    Agent {
        /// Its id.
        id: String,
    },
    /// The members of a room but the sender.
    Group {
        /// The room's id.
        id: String,
    },
    /// Every live agent of the fleet but the sender.
    Broadcast,
}

impl Recipient {
    /// One agent.
    pub fn agent(id: impl Into<String>) -> Self {
        Self::Agent { id: id.into() }
    }

    /// The members of a room.
    pub fn group(room_id: impl Into<String>) -> Self {
        Self::Group { id: room_id.into() }
    }
}

/// A message to send. Make it with [`SendMessage::new`] or [`SendMessage::reply_to`] and set what
/// should differ from the relay's defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SendMessage {
    /// To whom.
    pub recipient: Recipient,
    /// What for.
    pub message_type: MessageType,
    /// How urgent; None: normal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// Seconds until it expires undelivered, 1 to 86400; None: 900.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u32>,
    /// Whether an operator has to approve it first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub requires_approval: bool,
    /// The content: a JSON object.
    pub body: Value,
    /// Data about the content: a JSON object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Value>,
    /// Which conversation it belongs to.
    pub conversation_id: String,
    /// Which exchange within the conversation it belongs to.
    #[serde(default = "fresh_id")]
    pub correlation_id: String,
    /// Ids of attachments that go with it: this agent's own, or ones that it was sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachment_ids: Vec<String>,
    /// Not to be delivered before this time. Not together with `delay_seconds`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deliver_at: Option<String>,
    /// Not to be delivered before this many seconds have passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_seconds: Option<u64>,
    /// Encrypts the body end to end, so that only these agents, by their ids, can read it. None:
    /// it goes as it is. Kept where a message is written down to be sent later; the client takes it
    /// off what it sends. Read as JSON, `null` is refused: who names readers means to encrypt.
    #[serde(
        default,
        deserialize_with = "named_readers",
        skip_serializing_if = "Option::is_none"
    )]
    pub encrypt_for: Option<Vec<String>>,
    /// The agent's own Ed25519 signature of the envelope.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_sig: Option<String>,
    /// Which identity key made `agent_sig`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// The text that `agent_sig` signs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sig_canonical: Option<String>,
    /// Two sends with the same key are one message; the relay remembers a key for 24 h. None: the
    /// client makes one for each call, so that its own retries stay one message.
    #[serde(skip)]
    pub idempotency_key: Option<String>,
}

/// Only called where the field is there.
fn named_readers<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<String>>, D::Error> {
    Vec::deserialize(deserializer).map(Some)
}

fn fresh_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

impl SendMessage {
    /// A message with the relay's defaults and a random correlation id.
    pub fn new(
        recipient: Recipient,
        message_type: MessageType,
        conversation_id: impl Into<String>,
        body: Value,
    ) -> Self {
        Self {
            recipient,
            message_type,
            priority: None,
            ttl_seconds: None,
            requires_approval: false,
            body,
            metadata: None,
            conversation_id: conversation_id.into(),
            correlation_id: fresh_id(),
            deliver_at: None,
            attachment_ids: Vec::new(),
            delay_seconds: None,
            encrypt_for: None,
            agent_sig: None,
            key_id: None,
            sig_canonical: None,
            idempotency_key: None,
        }
    }

    /// An answer to the sender of `message`, with its conversation and correlation id; encrypted,
    /// where that one was.
    ///
    /// Errors: [`EkhoError::InvalidArgument`] where the message names no sending agent.
    pub fn reply_to(
        message: &InboxMessage,
        message_type: MessageType,
        body: Value,
    ) -> Result<Self, EkhoError> {
        let sender = message
            .sender_agent_id
            .clone()
            .ok_or_else(|| EkhoError::invalid("the message was not sent by an agent"))?;
        let conversation = message.conversation_id.clone();
        let encrypt_for = (message.encryption.status == EncryptionStatus::Decrypted)
            .then(|| vec![sender.clone()]);
        let mut reply = Self::new(Recipient::agent(sender), message_type, conversation, body);
        reply.encrypt_for = encrypt_for;
        reply.correlation_id.clone_from(&message.correlation_id);
        Ok(reply)
    }
}

/// One message of a batch as it goes over the wire.
#[derive(Debug, Serialize)]
pub(crate) struct BatchItem<'a> {
    #[serde(flatten)]
    pub(crate) message: std::borrow::Cow<'a, SendMessage>,
    pub(crate) idempotency_key: String,
}

/// The relay holds the message on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SendAnswer {
    /// Its id.
    pub message_id: String,
    /// "queued", or "stored_at_edge": see [`SendAnswer::is_stored_at_edge`].
    pub status: String,
    /// When it was accepted.
    #[serde(default)]
    pub queued_at: Option<String>,
    /// When it will be delivered at the earliest, for a scheduled message.
    #[serde(default)]
    pub deliver_at: Option<String>,
    /// Whether an earlier send with the same idempotency key is the one that counts.
    #[serde(default)]
    pub idempotent_replay: bool,
}

impl SendAnswer {
    /// Whether an edge node that was cut off stored the message. It forwards it when it reaches
    /// the others again; should the message be refused then, a control `send.refused` says so.
    pub fn is_stored_at_edge(&self) -> bool {
        self.status == "stored_at_edge"
    }
}

/// Outcomes of a batch, in the order sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BatchAnswer {
    /// One for each message.
    pub results: Vec<BatchItemAnswer>,
}

/// Outcome of one message of a batch: the fields of a single answer, or those of an error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BatchItemAnswer {
    /// The status that a send of its own would have had.
    pub status_code: u16,
    /// The other fields.
    #[serde(flatten)]
    pub fields: serde_json::Map<String, Value>,
}

impl BatchItemAnswer {
    /// The outcome as a single send would have reported it.
    ///
    /// Errors: [`EkhoError::Request`] with the item's status, [`EkhoError::Decode`] where a success
    /// lacks its fields.
    pub fn into_result(self) -> Result<SendAnswer, EkhoError> {
        const PATH: &str = "/v1/messages/batch";
        let body = Value::Object(self.fields);
        if (200..300).contains(&self.status_code) {
            return serde_json::from_value(body).map_err(|source| EkhoError::Decode {
                path: PATH.to_owned(),
                source,
            });
        }
        let body = body.to_string();
        let refusal =
            EkhoRequestError::from_answer(PATH, self.status_code, body.as_bytes(), None, None);
        Err(Box::new(refusal).into())
    }
}

/// A scheduled message was taken back.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CancelAnswer {
    /// Its id.
    #[serde(default)]
    pub message_id: Option<String>,
    /// What became of it, such as "cancelled".
    #[serde(default)]
    pub status: Option<String>,
}
