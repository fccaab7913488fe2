//! One method an agent call. Each builds a [`Call`], says whether it may be repeated, and leaves
//! signing, retries and failover to the transport.
//!
//! Every method returns [`EkhoError::Request`] where the relay refuses, [`EkhoError::Transport`]
//! where no relay answers, and [`EkhoError::Decode`] where an answer breaks the contract.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{EkhoAgentClient, json_body, path_segment, percent_encoded};
use crate::call::Call;
use crate::error::EkhoError;
use crate::identity::sign_encryption_key;
use crate::retry::Repeat;
use crate::signing::Signer;
use crate::types::{
    AckItem, ActionReport, ActionState, AgentEncryptionKeys, AgentKeys, Attachment, BatchAnswer,
    CancelAnswer, CreateRoom, Downloaded, EncryptionKeyRevoked, EnrollAnswer, EnrollRequest,
    FloorAnswer, FloorReleased, Heartbeat, HeartbeatAnswer, Inbox, InboxQuery, KeyAnswer,
    LeaseItem, LeasesAnswer, MessageState, MessageType, NackItem, Notice, NoticeAnswer, OkAnswer,
    OperatorKeys, ProposeAction, ProposeAnswer, Room, RotateAnswer, SendAnswer, SendMessage,
    Updated, wire,
};

/// The relay takes at most this many messages in one batch.
const MAX_BATCH: usize = 100;

impl EkhoAgentClient {
    /// Makes an agent of an enrolment token (POST /v1/enroll). The secret in the answer is shown
    /// this once.
    ///
    /// The token is claimed by the first request that arrives, so this is repeated only where no
    /// relay was reached or nothing was done. [`ClientBuilder::enroll`](crate::ClientBuilder::enroll)
    /// does the same with settings of its own.
    pub async fn enroll(
        relay_base_url: impl Into<String>,
        request: &EnrollRequest,
    ) -> Result<EnrollAnswer, EkhoError> {
        Self::builder("", "")
            .relay(relay_base_url)
            .enroll(request)
            .await
    }

    /// Sends a message (POST /v1/messages). However often it has to be tried, the relay stores one
    /// message, because every try carries the same idempotency key.
    pub async fn send_message(&self, message: &SendMessage) -> Result<SendAnswer, EkhoError> {
        let (message, key) = self.prepare(message).await?;
        let mut call = self.post("/v1/messages", message.as_ref())?;
        call.headers.push(("idempotency-key", key));
        call.rate_limited = true;
        self.inner.transport.json(&call).await
    }

    /// Sends up to 100 messages in one request (POST /v1/messages/batch), each with an outcome and
    /// an idempotency key of its own.
    pub async fn send_batch(&self, messages: &[SendMessage]) -> Result<BatchAnswer, EkhoError> {
        if messages.is_empty() || messages.len() > MAX_BATCH {
            return Err(EkhoError::invalid(format!(
                "a batch holds 1 to {MAX_BATCH} messages, not {}",
                messages.len()
            )));
        }
        let mut items = Vec::with_capacity(messages.len());
        for message in messages {
            let (message, idempotency_key) = self.prepare(message).await?;
            items.push(wire::BatchItem {
                message,
                idempotency_key,
            });
        }
        let mut call = self.post("/v1/messages/batch", &wire::Batch { messages: items })?;
        call.rate_limited = true;
        self.inner.transport.json(&call).await
    }

    /// What became of a message this agent sent (GET /v1/messages/{id}).
    pub async fn get_message(&self, message_id: &str) -> Result<MessageState, EkhoError> {
        let target = format!("/v1/messages/{}", path_segment(message_id)?);
        self.call(Method::GET, target).await
    }

    /// Takes back a message that was not handed out yet (DELETE /v1/messages/{id}). Taking it back
    /// twice is a success, so that a try whose answer was lost can be repeated.
    pub async fn cancel_message(&self, message_id: &str) -> Result<CancelAnswer, EkhoError> {
        let target = format!("/v1/messages/{}", path_segment(message_id)?);
        let cancelled: Result<Option<CancelAnswer>, _> = self.call(Method::DELETE, target).await;
        match cancelled {
            Err(refused) if refused.status_code() == Some(409) => {
                let state = self.get_message(message_id).await?;
                if state.status != "cancelled" {
                    return Err(refused);
                }
                Ok(CancelAnswer {
                    message_id: Some(state.message_id),
                    status: Some(state.status),
                })
            }
            other => Ok(other?.unwrap_or_default()),
        }
    }

    /// Takes what is waiting (GET /v1/inbox). With `wait_seconds` the relay holds the request open
    /// until something comes.
    pub async fn get_inbox(&self, query: &InboxQuery) -> Result<Inbox, EkhoError> {
        let mut parameters = Vec::new();
        if let Some(limit) = query.limit {
            parameters.push(format!("limit={limit}"));
        }
        if let Some(wait) = query.wait_seconds {
            parameters.push(format!("wait={wait}"));
        }
        parameters.extend(types_parameter(&query.types));
        let mut target = String::from("/v1/inbox");
        if !parameters.is_empty() {
            target = format!("{target}?{}", parameters.join("&"));
        }
        let mut call = Call::new(Method::GET, target).signed_by(&self.inner.signer);
        call.relay_wait = Duration::from_secs(query.wait_seconds.unwrap_or(0).into());
        let mut inbox: Inbox = self.inner.transport.json(&call).await?;
        // In order, so that of two messages with one nonce the later is the one found out.
        for message in &mut inbox.messages {
            self.check(message).await;
        }
        Ok(inbox)
    }

    /// Acks messages that were dealt with (POST /v1/acks). Acking twice is harmless.
    pub async fn ack_messages(&self, acks: Vec<AckItem>) -> Result<Updated, EkhoError> {
        let call = self.post("/v1/acks", &wire::Acks { acks })?;
        self.inner.transport.json(&call).await
    }

    /// Hands messages back to be delivered again (POST /v1/nacks).
    pub async fn nack_messages(&self, nacks: Vec<NackItem>) -> Result<Updated, EkhoError> {
        let call = self.post("/v1/nacks", &wire::Nacks { nacks })?;
        self.inner.transport.json(&call).await
    }

    /// Keeps messages longer than the delivery timeout (POST /v1/leases).
    pub async fn extend_leases(&self, leases: Vec<LeaseItem>) -> Result<LeasesAnswer, EkhoError> {
        let call = self.post("/v1/leases", &wire::Leases { leases })?;
        self.inner.transport.json(&call).await
    }

    /// Says that the agent lives (POST /v1/heartbeats).
    pub async fn heartbeat(&self, heartbeat: &Heartbeat) -> Result<HeartbeatAnswer, EkhoError> {
        let call = self.post("/v1/heartbeats", heartbeat)?;
        self.inner.transport.json(&call).await
    }

    /// Asks whether an action may be taken (POST /v1/actions/propose). Not repeated where it may
    /// have arrived: that would ask the operator twice.
    pub async fn propose_action(&self, action: &ProposeAction) -> Result<ProposeAnswer, EkhoError> {
        self.post_once("/v1/actions/propose", action).await
    }

    /// Where an approval stands (GET /v1/actions/{id}).
    pub async fn get_action(&self, approval_id: &str) -> Result<ActionState, EkhoError> {
        let target = format!("/v1/actions/{}", path_segment(approval_id)?);
        self.call(Method::GET, target).await
    }

    /// Reports what came of an approved action (POST /v1/actions/result). Reporting the same again
    /// is a success, so that a try whose answer was lost can be repeated.
    pub async fn action_result(&self, report: &ActionReport) -> Result<OkAnswer, EkhoError> {
        let call = self.post("/v1/actions/result", report)?;
        match self.inner.transport.json(&call).await {
            Err(refused) if refused.status_code() == Some(409) => {
                let state = self.get_action(&report.approval_id).await?;
                if state.status.as_str() != report.result.as_str() {
                    return Err(refused);
                }
                Ok(OkAnswer { ok: true })
            }
            other => other,
        }
    }

    /// Opens a room (POST /v1/rooms). Not repeated where it may have arrived: that would open two.
    pub async fn create_room(&self, room: &CreateRoom) -> Result<Room, EkhoError> {
        self.post_once("/v1/rooms", room).await
    }

    /// Tells the operators that a conversation is stuck (POST /v1/notices).
    pub async fn raise_notice(&self, notice: &Notice) -> Result<NoticeAnswer, EkhoError> {
        let call = self.post("/v1/notices", notice)?;
        self.inner.transport.json(&call).await
    }

    /// Asks for the floor of a conversation (POST /v1/conversations/{id}/floor).
    pub async fn acquire_floor(
        &self,
        conversation_id: &str,
        ttl_seconds: Option<u64>,
    ) -> Result<FloorAnswer, EkhoError> {
        let target = format!("/v1/conversations/{}/floor", path_segment(conversation_id)?);
        let call = self.post(target, &wire::FloorRequest { ttl_seconds })?;
        self.inner.transport.json(&call).await
    }

    /// Gives the floor back (DELETE /v1/conversations/{id}/floor).
    pub async fn release_floor(&self, conversation_id: &str) -> Result<FloorReleased, EkhoError> {
        let target = format!("/v1/conversations/{}/floor", path_segment(conversation_id)?);
        self.call(Method::DELETE, target).await
    }

    /// Registers an Ed25519 public key (POST /v1/identity-key). The same key gives the same id.
    pub async fn register_identity_key(&self, public_key: &str) -> Result<KeyAnswer, EkhoError> {
        let call = self.post("/v1/identity-key", &wire::IdentityKeyRequest { public_key })?;
        self.inner.transport.json(&call).await
    }

    /// The keys that an agent of the fleet registered, to check what it signs
    /// (GET /v1/agents/{id}/identity-keys).
    pub async fn get_identity_keys(&self, agent_id: &str) -> Result<AgentKeys, EkhoError> {
        let target = format!("/v1/agents/{}/identity-keys", path_segment(agent_id)?);
        self.call(Method::GET, target).await
    }

    /// Publishes the first of the client's encryption keys for others to encrypt to, in place of the
    /// one before (PUT /v1/encryption-key); where the client has an identity, that vouches for it.
    ///
    /// Errors: [`EkhoError::InvalidArgument`] where the client has none.
    pub async fn publish_encryption_key(&self) -> Result<KeyAnswer, EkhoError> {
        let extras = &self.inner.extras;
        let Some(own) = extras.encryption_keys.first() else {
            let why = "the client has no encryption_keys, of which to publish the first";
            return Err(EkhoError::invalid(why));
        };
        let key = own.public_key();
        let signed = extras.identity.as_ref().map(|(identity, fleet_id)| {
            sign_encryption_key(key, fleet_id, &self.inner.agent_id, identity)
        });
        let (signed_by_key_id, signature) = signed.unzip();
        let request = wire::EncryptionKeyRequest {
            public_key: key.to_string(),
            signed_by_key_id,
            signature,
        };
        let mut call = self.post("/v1/encryption-key", &request)?;
        call.method = Method::PUT;
        self.inner.transport.json(&call).await
    }

    /// Revokes for good the key that others encrypt to now (DELETE /v1/encryption-key).
    pub async fn revoke_encryption_key(&self) -> Result<EncryptionKeyRevoked, EkhoError> {
        self.call(Method::DELETE, "/v1/encryption-key".to_owned())
            .await
    }

    /// The keys that an agent of the fleet published to be encrypted to
    /// (GET /v1/agents/{id}/encryption-keys).
    pub async fn get_encryption_keys(
        &self,
        agent_id: &str,
    ) -> Result<AgentEncryptionKeys, EkhoError> {
        let target = format!("/v1/agents/{}/encryption-keys", path_segment(agent_id)?);
        self.call(Method::GET, target).await
    }

    /// The operators' keys that are trusted now, and what was revoked (GET /v1/operator-keys).
    pub async fn get_operator_keys(&self) -> Result<OperatorKeys, EkhoError> {
        self.call(Method::GET, "/v1/operator-keys".to_owned()).await
    }

    /// Uploads a file (POST /v1/attachments). Not repeated where it may have arrived.
    pub async fn upload_attachment(
        &self,
        filename: &str,
        mime: &str,
        bytes: &[u8],
    ) -> Result<Attachment, EkhoError> {
        let request = wire::UploadRequest {
            filename,
            mime,
            size_bytes: bytes.len(),
            data_base64: STANDARD.encode(bytes),
        };
        self.post_once("/v1/attachments", &request).await
    }

    /// Downloads a file (GET /v1/attachments/{id}).
    pub async fn download_attachment(&self, id: &str) -> Result<Downloaded, EkhoError> {
        let target = format!("/v1/attachments/{}", path_segment(id)?);
        let call = Call::new(Method::GET, target).signed_by(&self.inner.signer);
        let (bytes, headers) = self.inner.transport.raw(&call).await?;
        let text = |name| Some(headers.get(name)?.to_str().ok()?.to_owned());
        let filename = text("content-disposition").and_then(|disposition: String| {
            let (_, rest) = disposition.split_once("filename=\"")?;
            Some(rest.split_once('"')?.0.to_owned())
        });
        Ok(Downloaded {
            bytes,
            filename,
            mime: text("content-type"),
        })
    }

    /// Exchanges the signing secret (POST /v1/credentials/rotate). This client and its clones sign
    /// with the new one at once; store it before the program ends. The old one works on for
    /// `overlap_seconds`, or as long as the relay's default says.
    ///
    /// Not repeated where it may have arrived. Where the answer was lost, the old secret still
    /// works during the overlap: rotate again.
    pub async fn rotate_credentials(
        &self,
        overlap_seconds: Option<u64>,
    ) -> Result<RotateAnswer, EkhoError> {
        let request = wire::RotateRequest { overlap_seconds };
        let answer: RotateAnswer = self.post_once("/v1/credentials/rotate", &request).await?;
        let signer = Signer::new(self.inner.agent_id.clone(), &answer.secret)?;
        self.inner.signer.set(signer);
        Ok(answer)
    }

    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        target: String,
    ) -> Result<T, EkhoError> {
        let call = Call::new(method, target).signed_by(&self.inner.signer);
        self.inner.transport.json(&call).await
    }

    pub(super) fn post(
        &self,
        target: impl Into<String>,
        body: &impl Serialize,
    ) -> Result<Call<'_>, EkhoError> {
        let mut call = Call::new(Method::POST, target).signed_by(&self.inner.signer);
        call.body = Some(json_body(body)?);
        Ok(call)
    }

    async fn post_once<T: DeserializeOwned>(
        &self,
        target: &str,
        body: &impl Serialize,
    ) -> Result<T, EkhoError> {
        let mut call = self.post(target, body)?;
        call.repeat = Repeat::OnlyIfUndone;
        self.inner.transport.json(&call).await
    }
}

/// The caller's key, else a fresh one.
pub(super) fn idempotency_key(message: &SendMessage) -> Result<String, EkhoError> {
    match &message.idempotency_key {
        None => Ok(uuid::Uuid::new_v4().to_string()),
        Some(key) if !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Ok(key.clone())
        }
        Some(_) => Err(EkhoError::invalid("an idempotency key is visible ASCII")),
    }
}

/// `types=a,b`, or None where every type is wanted.
pub(super) fn types_parameter(types: &[MessageType]) -> Option<String> {
    let words: Vec<String> = types
        .iter()
        .map(|word| percent_encoded(word.as_str()))
        .collect();
    (!words.is_empty()).then(|| format!("types={}", words.join(",")))
}
