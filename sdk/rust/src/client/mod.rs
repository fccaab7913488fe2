//! The client of one agent: how it is built, and the plumbing that its calls share. The calls
//! themselves are in `calls`, those about A2A tasks in
//! `tasks`, the live stream in `stream`.

mod builder;
mod calls;
mod directory;
mod prepare;
mod readers;
mod stream;
mod tasks;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

pub use builder::ClientBuilder;
pub use stream::StreamEvent;
pub use tasks::Task;

use prepare::Extras;

use crate::call::SignerCell;
use crate::error::EkhoError;
use crate::transport::Transport;

/// Makes signed calls for one agent. Cloning is cheap, and clones share connections, the relay
/// address in use and the signing key.
#[derive(Debug, Clone)]
pub struct EkhoAgentClient {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    agent_id: String,
    signer: SignerCell,
    transport: Transport,
    extras: Extras,
    poll_interval: Duration,
    heartbeat_interval: Duration,
}

impl EkhoAgentClient {
    /// Starts a client for an agent that has enrolled; add at least one relay address.
    pub fn builder(agent_id: impl Into<String>, secret: impl Into<String>) -> ClientBuilder {
        ClientBuilder::new(agent_id.into(), secret.into())
    }

    /// The agent this client speaks for.
    pub fn agent_id(&self) -> &str {
        &self.inner.agent_id
    }

    /// How often an adapter polls where the relay does not hold long polls open.
    pub fn poll_interval(&self) -> Duration {
        self.inner.poll_interval
    }

    /// How often an adapter sends heartbeats.
    pub fn heartbeat_interval(&self) -> Duration {
        self.inner.heartbeat_interval
    }
}

fn json_body(value: &impl Serialize) -> Result<Bytes, EkhoError> {
    serde_json::to_vec(value)
        .map(Bytes::from)
        .map_err(|error| EkhoError::invalid(format!("the request cannot be JSON: {error}")))
}

/// Puts an id into a path. Ids are opaque, so every byte but the unreserved ones is escaped.
///
/// Errors: an id that is empty or made of dots only, which a URL cannot carry as a segment.
fn path_segment(id: &str) -> Result<String, EkhoError> {
    if id.is_empty() || matches!(id, "." | "..") {
        return Err(EkhoError::invalid(format!("{id:?} cannot be an id")));
    }
    Ok(percent_encoded(id))
}

fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push_str(&hex::encode_upper([byte]));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::path_segment;

    #[test]
    fn ids_in_paths_are_escaped() {
        assert_eq!(path_segment("msg_0-a.~").unwrap(), "msg_0-a.~");
        assert_eq!(
            path_segment("team/red one?#%").unwrap(),
            "team%2Fred%20one%3F%23%25"
        );
        assert_eq!(path_segment("ü").unwrap(), "%C3%BC");
    }

    #[test]
    fn ids_that_would_change_the_path_are_refused() {
        for id in ["", ".", ".."] {
            assert!(path_segment(id).is_err(), "{id:?}");
        }
    }
}
