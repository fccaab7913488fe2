//! A message as it goes over the wire: its trace context is put into the metadata, it is encrypted
//! and signed end to end. Done once for all tries, which must be the same bytes. And what comes in,
//! checked and decrypted.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::EkhoAgentClient;
use super::calls::idempotency_key;
use super::readers::{ReaderKeys, readers_of};
use crate::error::EkhoError;
use crate::identity::{
    AgentIdentity, Encryption, EncryptionKey, EncryptionStatus, KeyLearner, KeyRing, RoutedMessage,
    Verification, VerificationReason, Verifier, decrypt_body, encrypt_body, is_encrypted,
    sign_message, wire_recipient,
};
use crate::trace::{self, TraceContext};
use crate::types::{InboxMessage, SendMessage};

/// Not for long: messages wait for it.
const LEARNING: Duration = Duration::from_secs(5);

/// What a client does with messages besides sending and receiving them.
#[derive(Default)]
pub(super) struct Extras {
    pub(super) trace_context: Option<Arc<dyn Fn() -> TraceContext + Send + Sync>>,
    pub(super) identity: Option<(AgentIdentity, String)>,
    pub(super) verifier: Option<Verifier>,
    pub(super) learner: Option<KeyLearner>,
    pub(super) key_ring: Option<KeyRing>,
    pub(super) encryption_keys: Vec<EncryptionKey>,
    pub(super) reader_keys: ReaderKeys,
}

impl std::fmt::Debug for Extras {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Extras")
            .field("identity", &self.identity)
            .field("verifier", &self.verifier)
            .finish_non_exhaustive()
    }
}

impl EkhoAgentClient {
    /// The message to send, and its idempotency key.
    ///
    /// A caller's own key may come again in a later run, and the relay wants the same bytes with it
    /// then: with one, nothing is added that would be different the next time.
    pub(super) async fn prepare<'a>(
        &self,
        message: &'a SendMessage,
    ) -> Result<(Cow<'a, SendMessage>, String), EkhoError> {
        let key = idempotency_key(message)?;
        let mut message = Cow::Borrowed(message);
        let extras = &self.inner.extras;
        if let Some(context) = &extras.trace_context
            && message.idempotency_key.is_none()
        {
            trace::put(message.to_mut(), &context());
        }
        if let Some(readers) = readers_of(&message)? {
            // What is signed is what is sent, so that it can be checked by who cannot read it.
            let body = self.encrypted(&message, &readers).await?;
            let message = message.to_mut();
            message.body = body;
            message.encrypt_for = None;
        }
        if let Some((identity, fleet_id)) = &extras.identity
            && message.agent_sig.is_none()
        {
            let signed = sign_message(
                message.as_ref().into(),
                fleet_id,
                &self.inner.agent_id,
                identity,
                &key,
            )?;
            let message = message.to_mut();
            message.agent_sig = Some(signed.signature);
            message.key_id = Some(signed.key_id);
            message.sig_canonical = Some(signed.sig_canonical);
        }
        Ok((message, key))
    }

    async fn encrypted(
        &self,
        message: &SendMessage,
        readers: &[String],
    ) -> Result<Value, EkhoError> {
        let Some(own) = self.inner.extras.encryption_keys.first() else {
            let why = "encrypt_for needs encryption_keys, of which the first is used";
            return Err(EkhoError::invalid(why));
        };
        let routed = RoutedMessage {
            recipient: &wire_recipient(&message.recipient),
            message_type: message.message_type.as_str(),
            conversation_id: &message.conversation_id,
            correlation_id: &message.correlation_id,
        };
        let readers = self.readers(readers).await?;
        let own_nonce = message.idempotency_key.as_deref();
        let sender = &self.inner.agent_id;
        encrypt_body(routed, &message.body, sender, own, &readers, own_nonce)
    }

    /// Finds out what the message's signature says, and decrypts what is encrypted. A body that
    /// cannot be decrypted comes as it is: its reader says what is to become of it.
    pub(super) async fn check(&self, message: &mut InboxMessage) {
        self.verify(message).await;
        if !is_encrypted(&message.body) {
            return;
        }
        let keys = &self.inner.extras.encryption_keys;
        message.encryption = match decrypt_body(message, &self.inner.agent_id, keys) {
            Ok((body, key_id)) => {
                message.body = body;
                Encryption {
                    status: EncryptionStatus::Decrypted,
                    reason: None,
                    key_id: Some(key_id),
                }
            }
            Err(failure) => Encryption {
                status: EncryptionStatus::DecryptionFailed,
                reason: Some(failure),
                key_id: None,
            },
        };
    }

    async fn verify(&self, message: &mut InboxMessage) {
        let Some(verifier) = &self.inner.extras.verifier else {
            message.verification = Verification {
                reason: Some(VerificationReason::NoKeyRing),
                ..Verification::default()
            };
            return;
        };
        if let Some(learner) = &self.inner.extras.learner {
            let learned = tokio::time::timeout(LEARNING, self.learn(learner, message)).await;
            if let Ok(Err(error)) = learned {
                // The ring stays as it is: a message must not wait for what the relay cannot say.
                tracing::warn!(%error, "keys were not learned");
            }
        }
        message.verification = verifier.verify(message);
    }

    async fn learn(&self, learner: &KeyLearner, message: &InboxMessage) -> Result<(), EkhoError> {
        if learner.operators_due(message) {
            learner.take_operators(&self.get_operator_keys().await?);
        }
        if let Some(sender) = learner.agent_due(message) {
            learner.take_agent(&self.get_identity_keys(sender).await?);
        }
        Ok(())
    }
}
