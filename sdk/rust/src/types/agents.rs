//! The agent itself: enrolment, heartbeats, credentials, identity key.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{null_as_default, open_enum};

/// POST /v1/enroll: a token becomes an agent. The only call that is not signed.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EnrollRequest {
    /// Which fleet to join.
    pub fleet_id: String,
    /// The single-use token from an operator; valid for an hour.
    pub token: String,
    /// How people will see the agent.
    pub display_name: String,
    /// What runs it: custom, openclaw, langgraph, autogen or another short slug.
    pub runtime: String,
    /// Where it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// What it can do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<String>,
    /// Ed25519 public key, at most 128 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity_public_key: Option<String>,
}

impl EnrollRequest {
    /// A request with the runtime "custom" and nothing optional.
    pub fn new(
        fleet_id: impl Into<String>,
        token: impl Into<String>,
        display_name: impl Into<String>,
    ) -> Self {
        Self {
            fleet_id: fleet_id.into(),
            token: token.into(),
            display_name: display_name.into(),
            runtime: "custom".to_owned(),
            hostname: None,
            capabilities: Vec::new(),
            identity_public_key: None,
        }
    }
}

impl std::fmt::Debug for EnrollRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the token: until it is used it is as good as a credential.
        f.debug_struct("EnrollRequest")
            .field("fleet_id", &self.fleet_id)
            .field("display_name", &self.display_name)
            .finish_non_exhaustive()
    }
}

/// The new agent's credentials. The secret is shown this once: store it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct EnrollAnswer {
    /// Its id.
    pub agent_id: String,
    /// Its signing secret.
    pub secret: String,
    /// Where the relay says it is reached.
    #[serde(default)]
    pub relay_base_url: Option<String>,
    /// How often to send heartbeats.
    #[serde(default)]
    pub heartbeat_interval_seconds: Option<u64>,
    /// How often to poll where long polls are not used.
    #[serde(default)]
    pub poll_interval_seconds: Option<u64>,
    /// Name of the policy profile.
    #[serde(default)]
    pub policy_profile: Option<String>,
    /// Keys of the fleet's operators.
    #[serde(default, deserialize_with = "null_as_default")]
    pub operator_keys: Vec<OperatorKey>,
}

impl std::fmt::Debug for EnrollAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EnrollAnswer")
            .field("agent_id", &self.agent_id)
            .field("relay_base_url", &self.relay_base_url)
            .finish_non_exhaustive()
    }
}

/// A public key of an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OperatorKey {
    /// Its id.
    pub key_id: String,
    /// The key.
    pub public_key: String,
    /// Which key vouches for it.
    #[serde(default)]
    pub endorsed_by_key_id: Option<String>,
    /// The voucher's signature.
    #[serde(default)]
    pub endorsement_sig: Option<String>,
}

open_enum! {
    /// How an agent feels.
    HeartbeatStatus {
        /// All is well.
        Healthy = "healthy",
        /// It works, but not as it should.
        Degraded = "degraded",
        /// It has all the work it can take.
        Busy = "busy",
        /// It has nothing to do.
        Idle = "idle",
    }
}

/// POST /v1/heartbeats.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// How the agent feels.
    pub status: HeartbeatStatus,
    /// Conversations it takes part in at present.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub active_conversation_ids: Vec<String>,
    /// Numbers of its own choosing: a JSON object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Value>,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self {
            status: HeartbeatStatus::Healthy,
            active_conversation_ids: Vec::new(),
            metrics: None,
        }
    }
}

/// The heartbeat was noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HeartbeatAnswer {
    /// Always true.
    #[serde(default)]
    pub ok: bool,
    /// When the next one is expected.
    #[serde(default)]
    pub next_heartbeat_due_seconds: Option<u64>,
}

/// A call was carried out and has nothing to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OkAnswer {
    /// Always true.
    #[serde(default)]
    pub ok: bool,
}

/// POST /v1/identity-key, PUT /v1/encryption-key: the key is registered, or published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct KeyAnswer {
    /// Its id; the same for the same key.
    pub key_id: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct IdentityKeyRequest<'a> {
    pub(crate) public_key: &'a str,
}

#[derive(Debug, Serialize)]
pub(crate) struct RotateRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) overlap_seconds: Option<u64>,
}

/// POST /v1/credentials/rotate: the new secret. It is shown this once: store it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct RotateAnswer {
    /// The new signing secret.
    pub secret: String,
    /// Id of the new credential.
    #[serde(default)]
    pub credential_id: Option<String>,
    /// Until when the old secret works as well.
    #[serde(default)]
    pub previous_valid_until: Option<String>,
}

impl std::fmt::Debug for RotateAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RotateAnswer")
            .field("credential_id", &self.credential_id)
            .field("previous_valid_until", &self.previous_valid_until)
            .finish_non_exhaustive()
    }
}

/// The keys that an agent registered, the newest first (GET /v1/agents/{id}/identity-keys).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AgentKeys {
    /// Whose.
    pub agent_id: String,
    /// The keys.
    #[serde(default, deserialize_with = "null_as_default")]
    pub keys: Vec<AgentKey>,
}

/// An identity key of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AgentKey {
    /// Its id.
    pub key_id: String,
    /// Base64, as the agent wrote it.
    pub public_key: String,
    /// When it was registered.
    #[serde(default)]
    pub registered_at: Option<String>,
    /// Whether the agent signs with it now.
    #[serde(default, deserialize_with = "null_as_default")]
    pub current: bool,
    /// When an operator revoked it.
    #[serde(default)]
    pub revoked_at: Option<String>,
}

/// The keys that an agent published to be encrypted to, the one published last first
/// (GET /v1/agents/{id}/encryption-keys).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AgentEncryptionKeys {
    /// Whose.
    pub agent_id: String,
    /// The keys.
    #[serde(default, deserialize_with = "null_as_default")]
    pub keys: Vec<EncryptionKeyEntry>,
}

/// A key that an agent published to be encrypted to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EncryptionKeyEntry {
    /// Its id.
    pub key_id: String,
    /// X25519, base64.
    pub public_key: String,
    /// The identity key that signed it.
    #[serde(default)]
    pub signed_by_key_id: Option<String>,
    /// Its signature, base64.
    #[serde(default)]
    pub signature: Option<String>,
    /// When it was published.
    #[serde(default)]
    pub published_at: Option<String>,
    /// Whether it is the one to encrypt to.
    #[serde(default, deserialize_with = "null_as_default")]
    pub current: bool,
    /// When it was revoked.
    #[serde(default)]
    pub revoked_at: Option<String>,
}

/// DELETE /v1/encryption-key: the key is revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EncryptionKeyRevoked {
    /// Its id; None where there was none.
    #[serde(default)]
    pub revoked_key_id: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct EncryptionKeyRequest {
    pub(crate) public_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) signed_by_key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) signature: Option<String>,
}

/// The operators' keys that are trusted now, and what was revoked (GET /v1/operator-keys).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OperatorKeys {
    /// Of which fleet.
    pub fleet_id: String,
    /// Root keys first, none before the one that endorses it.
    #[serde(default, deserialize_with = "null_as_default")]
    pub operator_keys: Vec<OperatorKey>,
    /// Keys of operators and agents.
    #[serde(default, deserialize_with = "null_as_default")]
    pub revoked: Vec<RevokedKey>,
}

/// A key that does not count any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RevokedKey {
    /// Its id.
    pub key_id: String,
    /// Since when.
    #[serde(default)]
    pub revoked_at: Option<String>,
}
