//! Agents: enrolment, heartbeats, keys.

use ekho_storage::tables::agent::{self, AutoHold};
use ekho_storage::tables::fleet;
use zeroize::Zeroizing;

use super::keys::ShownKey;
use super::{Caller, Service, ServiceError, operators};
use crate::clock::now_ms;
use crate::id;
use crate::ingress::keys::key_id_of_text;
use crate::machine::command::{AgentRequest, Command, Enroll, OperatorRequest};
use crate::machine::outcome::{Outcome, Refusal};

/// An enrolment as an agent asks for it, checked for form.
#[derive(Clone, Debug)]
pub struct NewAgent {
    /// Fleet.
    pub fleet_id: String,
    /// One-time token.
    pub token: String,
    /// Name for people.
    pub display_name: String,
    /// Runtime slug.
    pub runtime: String,
    /// Host.
    pub hostname: Option<String>,
    /// Capabilities.
    pub capabilities: Vec<String>,
    /// Identity key.
    pub identity_public_key: Option<String>,
}

/// What a new agent is told, once.
pub struct Enrolled {
    /// Its id.
    pub agent_id: String,
    /// Its secret.
    pub secret: Zeroizing<String>,
    /// How often to send heartbeats.
    pub heartbeat_interval_ms: u64,
    /// How often to poll.
    pub poll_interval_ms: u64,
    /// Keys of operators that it can trust.
    pub operator_keys: Vec<ShownKey>,
}

/// A replaced secret.
pub struct Rotated {
    /// The new secret.
    pub secret: Zeroizing<String>,
    /// Its number.
    pub credential: u32,
    /// When the old one stops working.
    pub previous_valid_until_ms: u64,
}

impl Service {
    /// Admits an agent.
    pub async fn enroll(&self, new: NewAgent) -> Result<Enrolled, ServiceError> {
        let agent_id = id::new_id("agent_");
        let secret = Zeroizing::new(id::new_secret("secret_"));
        let sealed_secret = self.seal(&agent_id, secret.as_bytes())?;
        let mut enroll = Enroll {
            fleet_id: new.fleet_id,
            token_hash: self.tokens.hash(&new.token),
            agent_id: agent_id.clone(),
            display_name: new.display_name,
            runtime: new.runtime,
            hostname: new.hostname,
            capabilities: new.capabilities,
            identity_key: new
                .identity_public_key
                .map(|key| (key_id_of_text(&key), key)),
            sealed_secret,
        };
        let mut answer = self.propose(&Command::Enroll(enroll.clone())).await;
        if matches!(answer, Err(ServiceError::Refused(Refusal::InvalidToken)))
            && let Some(found) = self.imported_token(&enroll.fleet_id, &new.token).await?
        {
            (enroll.fleet_id, enroll.token_hash) = found;
            answer = self.propose(&Command::Enroll(enroll.clone())).await;
        }
        match answer? {
            Outcome::Enrolled {
                heartbeat_interval_ms,
                poll_interval_ms,
            } => Ok(Enrolled {
                agent_id,
                secret,
                heartbeat_interval_ms,
                poll_interval_ms,
                operator_keys: match fleet::by_id(&self.view(), &enroll.fleet_id)? {
                    Some(fleet) => self.trusted_keys(&self.view(), fleet.no)?,
                    None => Vec::new(),
                },
            }),
            outcome => Err(ServiceError::unexpected(&outcome)),
        }
    }

    /// Takes a heartbeat. Only a change of what the fleet sees costs a write at once; the rest
    /// is passed on together every few seconds.
    pub async fn heartbeat(&self, caller: &Caller, status: String) -> Result<u64, ServiceError> {
        self.vouch(caller).await?;
        self.heartbeats.count(now_ms());
        let view = self.view();
        let (fleet, no) = (caller.agent.fleet, caller.agent.no);
        let live = agent::live(&view, fleet, no)?;
        let quarantined = agent::get(&view, fleet, no)?
            .is_some_and(|agent| agent.auto_hold == Some(AutoHold::HeartbeatTimeout));
        if live.last_seen_ms == 0 || live.due_ms == 0 || live.reported != status || quarantined {
            self.vouched(caller, AgentRequest::Heartbeat { status })
                .await?;
        } else {
            self.seen(fleet, no).await;
        }
        Ok(self.settings()?.heartbeat_interval_ms)
    }

    /// Replaces the caller's secret.
    pub async fn rotate(&self, caller: Caller, overlap_ms: u64) -> Result<Rotated, ServiceError> {
        let secret = Zeroizing::new(id::new_secret("secret_"));
        let sealed_secret = self.seal(&caller.agent.id, secret.as_bytes())?;
        match self
            .signed(
                &caller,
                AgentRequest::RotateCredential {
                    sealed_secret,
                    overlap_ms,
                },
            )
            .await?
        {
            Outcome::Rotated {
                credential,
                previous_valid_until_ms,
            } => Ok(Rotated {
                secret,
                credential,
                previous_valid_until_ms,
            }),
            outcome => Err(ServiceError::unexpected(&outcome)),
        }
    }

    /// Gives an agent a new secret in the place of all others; its number goes with it.
    pub async fn issue_secret(
        &self,
        by: &operators::Caller,
        agent_id: String,
    ) -> Result<(Zeroizing<String>, u32), ServiceError> {
        let secret = Zeroizing::new(id::new_secret("secret_"));
        let sealed_secret = self.seal(&agent_id, secret.as_bytes())?;
        let request = OperatorRequest::IssueSecret {
            agent_id,
            sealed_secret,
        };
        match self.order(by, request).await? {
            Outcome::SecretIssued { credential } => Ok((secret, credential)),
            outcome => Err(ServiceError::unexpected(&outcome)),
        }
    }

    /// Registers an identity key and returns its id.
    pub async fn identity_key(
        &self,
        caller: Caller,
        public_key: String,
    ) -> Result<String, ServiceError> {
        let request = AgentRequest::IdentityKey {
            key_id: key_id_of_text(&public_key),
            public_key,
        };
        match self.signed(&caller, request).await? {
            Outcome::IdentityKey(key_id) => Ok(key_id),
            outcome => Err(ServiceError::unexpected(&outcome)),
        }
    }
}
