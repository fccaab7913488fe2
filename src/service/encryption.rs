//! Keys that agents publish for others to encrypt to.

use ekho_storage::View;
use ekho_storage::tables::encryption_key::{self, EncryptionKey, KeySignature};
use ekho_storage::tables::{FleetNo, agent, fleet};

use super::{Caller, Service, ServiceError};
use crate::ingress::keys;
use crate::machine::command::{AgentRequest, NewEncryptionKey};
use crate::machine::outcome::{Outcome, Refusal};

impl Service {
    /// Publishes a key of the caller, with the signature of its identity key where there is one;
    /// the key's id.
    pub async fn publish_encryption_key(
        &self,
        caller: &Caller,
        public_key: [u8; 32],
        signed: Option<KeySignature>,
    ) -> Result<String, ServiceError> {
        if let Some(signed) = &signed {
            self.check_own_key(caller, &public_key, signed)?;
        }
        let request = AgentRequest::PublishEncryptionKey(NewEncryptionKey {
            key_id: keys::encryption_key_id(&public_key),
            public_key,
            signed,
        });
        match self.signed(caller, request).await? {
            Outcome::EncryptionKey(Some(key_id)) => Ok(key_id),
            outcome => Err(ServiceError::unexpected(&outcome)),
        }
    }

    /// Finds mistakes before others do; who encrypts to the key looks for themselves.
    fn check_own_key(
        &self,
        caller: &Caller,
        public_key: &[u8; 32],
        signed: &KeySignature,
    ) -> Result<(), ServiceError> {
        let view = self.view();
        let found = agent::get(&view, caller.agent.fleet, caller.agent.no)?;
        let identity = found.and_then(|agent| agent.identity_key);
        let identity = identity.filter(|key| key.key_id == signed.key_id);
        // Where this node has not heard of it yet, apply decides.
        let Some(ed25519) = identity.and_then(|key| keys::ed25519(&key.public_key)) else {
            return Ok(());
        };
        let fleet = fleet::get(&view, caller.agent.fleet)?;
        let fleet_id = fleet.map(|fleet| fleet.id).unwrap_or_default();
        let statement =
            keys::encryption_key_statement(&fleet_id, &caller.agent.id, &signed.key_id, public_key);
        if keys::signs(&ed25519, &statement, &signed.signature) {
            return Ok(());
        }
        Err(ServiceError::BadSignature {
            field: "signature",
            statement,
        })
    }

    /// Revokes the caller's present key for good; its id, or none where there is none.
    pub async fn revoke_encryption_key(
        &self,
        caller: &Caller,
    ) -> Result<Option<String>, ServiceError> {
        let request = AgentRequest::RevokeEncryptionKey;
        match self.signed(caller, request).await? {
            Outcome::EncryptionKey(key_id) => Ok(key_id),
            outcome => Err(ServiceError::unexpected(&outcome)),
        }
    }

    /// Keys that an agent published, the one published last first, and whether it is the present
    /// one.
    pub fn encryption_keys(
        &self,
        view: &View,
        fleet: FleetNo,
        agent_id: &str,
    ) -> Result<Vec<(EncryptionKey, bool)>, ServiceError> {
        let found = self.agent_of(view, fleet, agent_id)?;
        let (agent, _) = found.ok_or(Refusal::NotFound)?;
        let all = encryption_key::of_agent(view, fleet, agent.no)?;
        let current = all.current().map(|key| key.key_id.clone());
        let shown = all.keys.into_iter().map(|key| {
            let is_current = current.as_ref() == Some(&key.key_id);
            (key, is_current)
        });
        Ok(shown.collect())
    }
}
