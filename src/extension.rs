//! Extensions: code that is asked before a message is accepted and told what happened after.
//!
//! A program that runs a relay as a library gives it extensions of its own when it opens it
//! ([`Relay::open_with`](crate::relay::Relay::open_with)). Hooks that operators register are the
//! same thing over HTTP: both are asked in the same places, with the same deadlines and breakers.
//! None of this is called while commands are applied: what an extension says travels in the
//! command, so that all nodes come to the same.
//!
//! ```
//! use ekho::extension::{Answer, Call, Decision, Extension, HookEvent, Message};
//!
//! /// Keeps shouting out.
//! struct Quiet;
//!
//! impl Extension for Quiet {
//!     fn name(&self) -> &str {
//!         "quiet"
//!     }
//!
//!     fn wants(&self, event: HookEvent) -> bool {
//!         event == HookEvent::BeforeMessage
//!     }
//!
//!     fn on_before_message<'a>(
//!         &'a self,
//!         _call: &'a Call,
//!         message: &'a Message,
//!     ) -> Answer<'a, Decision> {
//!         Box::pin(async move {
//!             if message.body.get().contains("!!!") {
//!                 return Ok(Decision::block("no shouting"));
//!             }
//!             Ok(Decision::allow().with_tag("calm"))
//!         })
//!     }
//! }
//!
//! # fn main() {
//! let extensions: Vec<std::sync::Arc<dyn Extension>> = vec![std::sync::Arc::new(Quiet)];
//! assert_eq!(extensions[0].name(), "quiet");
//! # }
//! ```

use std::future::ready;
use std::time::Duration;

use ekho_storage::tables::TimeMs;
use futures::future::BoxFuture;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use thiserror::Error;

pub use ekho_storage::tables::hook::{HookEvent, OnFailure};

use crate::clock::Iso;

/// What an extension comes to, sooner or later.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, Failure>>;

/// Something that is asked and told. Everything has a default that does nothing.
pub trait Extension: Send + Sync + 'static {
    /// A short name of lower case letters, digits and hyphens, unique in the relay. Senders of
    /// blocked messages are told it.
    fn name(&self) -> &str;

    /// Whether it is called for these at all.
    fn wants(&self, _event: HookEvent) -> bool {
        true
    }

    /// How long it may take; longer is a failure.
    fn timeout(&self) -> Duration {
        Duration::from_secs(1)
    }

    /// What becomes of a message when it fails before the message is accepted.
    fn on_failure(&self) -> OnFailure {
        OnFailure::Closed
    }

    /// How long, after it happened, something is told again to an extension that failed to hear
    /// it. It is tried once in any case.
    fn retry_for(&self) -> Duration {
        Duration::from_secs(3600)
    }

    /// A message is about to be accepted. Called on the node that took it in.
    fn on_before_message<'a>(
        &'a self,
        _call: &'a Call,
        _message: &'a Message,
    ) -> Answer<'a, Decision> {
        Box::pin(ready(Ok(Decision::allow())))
    }

    /// A message was accepted. Called on the leader, in the order of the audit log, at least once.
    fn on_after_message<'a>(&'a self, _call: &'a Call, _message: &'a Message) -> Answer<'a, ()> {
        Box::pin(ready(Ok(())))
    }

    /// A fleet was made. Called like [`Extension::on_after_message`].
    fn on_fleet_created<'a>(&'a self, _call: &'a Call, _fleet: &'a NewFleet) -> Answer<'a, ()> {
        Box::pin(ready(Ok(())))
    }

    /// An operator looks at the overview. What is returned is shown there under the extension's
    /// name.
    fn on_overview<'a>(&'a self, _call: &'a Call) -> Answer<'a, Value> {
        Box::pin(ready(Ok(Value::Null)))
    }
}

/// What every call comes with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Of this call; the same when it is tried again.
    pub id: String,
    /// The fleet's public id.
    pub fleet_id: String,
    /// When it happened.
    pub at_ms: TimeMs,
}

/// A message as extensions see it.
#[derive(Clone, Debug, Serialize)]
pub struct Message {
    /// Public id, `msg_…`; before it is accepted, the one that it is going to have.
    pub id: String,
    /// `agent` or `operator`.
    pub sender_kind: &'static str,
    /// Public id of the sender.
    pub sender_id: String,
    /// `agent`, `group` or `broadcast`.
    pub recipient_kind: &'static str,
    /// Public id of the agent or room; none for a broadcast.
    pub recipient_id: Option<String>,
    /// direct, broadcast, alert, handoff, …
    pub message_type: String,
    /// low, normal, high or urgent.
    pub priority: &'static str,
    /// The conversation.
    pub conversation_id: String,
    /// Chosen by the sender to match answers.
    pub correlation_id: String,
    /// Whether the sender wants an operator to agree.
    pub requires_approval: bool,
    /// How long it is worth something.
    pub ttl_seconds: u64,
    /// What it says, as sent.
    pub body: Box<RawValue>,
    /// Free data beside the body, as earlier extensions left it.
    pub metadata: Option<Box<RawValue>>,
    /// What policies and extensions call it.
    pub tags: Vec<String>,
    /// When it was accepted; none before.
    pub created_at: Option<Iso>,
}

/// A fleet that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NewFleet {
    /// Public id, `flt_…`.
    pub id: String,
    /// Its name; none where the fleet is gone again.
    pub name: Option<String>,
    /// When it was made.
    pub created_at: Iso,
}

/// What an extension says of a message that is about to be accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may go on, perhaps changed.
    Allow {
        /// Put to its tags.
        tags: Vec<String>,
        /// Takes the place of its metadata: a JSON object.
        metadata: Option<String>,
    },
    /// It is refused.
    Block {
        /// Why; the sender is told.
        reason: String,
    },
}

impl Decision {
    /// It may go on as it is.
    pub fn allow() -> Self {
        Decision::Allow {
            tags: Vec::new(),
            metadata: None,
        }
    }

    /// It is refused, for this reason.
    pub fn block(reason: impl Into<String>) -> Self {
        Decision::Block {
            reason: reason.into(),
        }
    }

    /// With one more tag, unless it is refused.
    pub fn with_tag(mut self, tag: impl Into<String>) -> Self {
        if let Decision::Allow { tags, .. } = &mut self {
            tags.push(tag.into());
        }
        self
    }

    /// With other metadata, unless it is refused.
    pub fn with_metadata(mut self, object: &serde_json::Map<String, Value>) -> Self {
        if let Decision::Allow { metadata, .. } = &mut self {
            *metadata = serde_json::to_string(object).ok();
        }
        self
    }
}

/// Why an extension did not answer.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Failure {
    /// Not in time.
    #[error("no answer in time")]
    Timeout,
    /// It cannot be reached.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// It answered with another status than 2xx.
    #[error("answered with status {0}")]
    Status(u16),
    /// It answered something else than it may.
    #[error("answered what it may not: {0}")]
    BadAnswer(String),
    /// It failed too often in a row, and is left alone for a while.
    #[error("left alone for a while, after too many failures")]
    LeftAlone,
    /// It failed for a reason of its own.
    #[error("{0}")]
    Failed(String),
}
