//! Whom a message is to be encrypted to, and with which key: the keys of readers as the relay tells
//! them and, with a ring, as an identity key vouches for them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::EkhoAgentClient;
use crate::error::EkhoError;
use crate::identity::{Reader, chosen_key};
use crate::types::{EncryptionKeyEntry, Recipient, SendMessage};

/// How long an answer is good for.
const GOOD_FOR: Duration = Duration::from_secs(60);
/// Agents whose keys are kept.
const MAX_KEPT: usize = 10_000;

/// Keys of readers as the relay told them, and when.
#[derive(Debug, Default)]
pub(super) struct ReaderKeys(Mutex<HashMap<String, (Instant, Vec<EncryptionKeyEntry>)>>);

impl ReaderKeys {
    fn get(&self, agent_id: &str) -> Option<Vec<EncryptionKeyEntry>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (asked, keys) = known.get(agent_id)?;
        (asked.elapsed() < GOOD_FOR).then(|| keys.clone())
    }

    fn put(&self, agent_id: &str, keys: Vec<EncryptionKeyEntry>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_KEPT {
            known.clear();
        }
        known.insert(agent_id.to_owned(), (Instant::now(), keys));
    }
}

impl EkhoAgentClient {
    /// The readers of a message with their keys.
    pub(super) async fn readers(&self, agent_ids: &[String]) -> Result<Vec<Reader>, EkhoError> {
        let ring = self.inner.extras.key_ring.as_ref();
        let mut readers = Vec::with_capacity(agent_ids.len());
        for agent_id in agent_ids {
            let entries = match self.inner.extras.reader_keys.get(agent_id) {
                Some(known) => known,
                None => self.ask_for_keys(agent_id).await?,
            };
            readers.push(Reader {
                agent_id: agent_id.clone(),
                key: chosen_key(agent_id, &entries, ring)?,
            });
        }
        Ok(readers)
    }

    async fn ask_for_keys(&self, agent_id: &str) -> Result<Vec<EncryptionKeyEntry>, EkhoError> {
        let found = self.get_encryption_keys(agent_id).await?;
        if let Some(learner) = &self.inner.extras.learner {
            learner.take_agent(&self.get_identity_keys(agent_id).await?);
        }
        let reader_keys = &self.inner.extras.reader_keys;
        reader_keys.put(agent_id, found.keys.clone());
        Ok(found.keys)
    }
}

/// Ids of the agents that a message is to be encrypted to, each once.
pub(super) fn readers_of(message: &SendMessage) -> Result<Option<Vec<String>>, EkhoError> {
    let Some(given) = &message.encrypt_for else {
        return Ok(None);
    };
    let mut readers: Vec<String> = Vec::with_capacity(given.len());
    for agent_id in given {
        if !readers.contains(agent_id) {
            readers.push(agent_id.clone());
        }
    }
    let wrong = match &message.recipient {
        Recipient::Agent { id } if !readers.contains(id) => {
            "encrypt_for lacks the recipient, who could not read the message"
        }
        _ if readers.is_empty() => "encrypt_for is empty: nobody could read the message",
        _ if message.agent_sig.is_some() => {
            "an encrypted message is signed by the client, after it encrypted"
        }
        _ => return Ok(Some(readers)),
    };
    Err(EkhoError::invalid(wrong))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::readers_of;
    use crate::types::{MessageType, Recipient, SendMessage};

    #[test]
    fn whom_it_is_for_has_to_fit() {
        let to = |recipient, readers: &[&str]| {
            let mut message = SendMessage::new(recipient, MessageType::Direct, "c", json!({}));
            message.encrypt_for = Some(readers.iter().map(ToString::to_string).collect());
            message
        };
        let agent = || Recipient::agent("agent_b");
        let room = || Recipient::group("room_1");
        assert!(readers_of(&to(agent(), &["agent_c"])).is_err());
        assert!(readers_of(&to(agent(), &[])).is_err());
        assert!(readers_of(&to(room(), &[])).is_err());
        let mut signed = to(agent(), &["agent_b"]);
        signed.agent_sig = Some("x".into());
        assert!(readers_of(&signed).is_err());
        let both = readers_of(&to(room(), &["agent_c", "agent_b", "agent_c"])).unwrap();
        assert_eq!(both.unwrap(), ["agent_c", "agent_b"]);
        let plain = SendMessage::new(agent(), MessageType::Direct, "c", json!({}));
        assert_eq!(readers_of(&plain).unwrap(), None);
    }

    #[test]
    fn a_message_that_was_written_down_is_still_to_be_encrypted() {
        let plain = SendMessage::new(
            Recipient::agent("agent_b"),
            MessageType::Direct,
            "c",
            json!({}),
        );
        let mut secret = plain.clone();
        secret.encrypt_for = Some(vec!["agent_b".into()]);
        for message in [&plain, &secret] {
            let mut written = serde_json::to_value(message).unwrap();
            let again: SendMessage = serde_json::from_value(written.clone()).unwrap();
            assert_eq!(&again, message);
            written["encrypt_for"] = json!(null);
            assert!(serde_json::from_value::<SendMessage>(written).is_err());
        }
    }
}
