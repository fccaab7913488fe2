//! Client for the Ekho message relay.
//!
//! [`EkhoAgentClient`] makes one agent call a method: it signs every try afresh, fails over
//! between relay addresses and retries what is safe to repeat. [`EkhoAgentAdapter`] runs an agent
//! on top of it: long poll, handlers with bounded concurrency, acks, heartbeats and operator
//! controls. [`identity`] signs and encrypts messages end to end, and checks them. [`signing`] is the signature scheme alone, for callers with a transport of their own.
//!
//! ```no_run
//! use ekho_client::{EkhoAgentClient, Recipient, MessageType, SendMessage};
//!
//! # async fn run() -> Result<(), ekho_client::EkhoError> {
//! let client = EkhoAgentClient::builder("agent_1", "secret_1")
//!     .relay("http://127.0.0.1:4000")
//!     .build()?;
//! let message = SendMessage::new(
//!     Recipient::agent("agent_2"),
//!     MessageType::Direct,
//!     "conversation-1",
//!     serde_json::json!({"text": "hello"}),
//! );
//! let answer = client.send_message(&message).await?;
//! println!("queued as {}", answer.message_id);
//! # Ok(())
//! # }
//! ```

mod adapter;
mod call;
mod client;
mod error;
pub mod identity;
mod retry;
pub mod signing;
pub mod sse;
mod time;
mod trace;
mod transport;
pub mod types;

pub use adapter::{
    ActionOutcome, AdapterBuilder, AdapterStatus, AgentHandle, AgentHooks, EkhoAgentAdapter,
    HandlerError, StopReport,
};
pub use client::{ClientBuilder, EkhoAgentClient, StreamEvent, Task};
pub use error::{EkhoError, EkhoRequestError};
pub use retry::{Backoff, RetryPolicy};
pub use time::now_iso8601;
pub use trace::TraceContext;
pub use types::*;
