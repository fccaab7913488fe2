//! Keys that operators sign with, and those that agents registered.

use ekho_storage::tables::operator::Operator;
use ekho_storage::tables::signing_key::{self, AgentKey, KeyOwner, OperatorKey, RevokedKey};
use ekho_storage::tables::{FleetNo, agent, fleet};
use ekho_storage::{Read, View};

use super::operators::Caller;
use super::{Service, ServiceError};
use crate::ingress::keys;
use crate::machine::command::OperatorRequest;
use crate::machine::keys::{self as machine, Trust};
use crate::machine::outcome::{Outcome, Refusal};

/// An operator's key, and by what it is trusted.
pub struct ShownKey {
    /// The key.
    pub key: OperatorKey,
    /// None where it is not trusted.
    pub trust: Option<Trust>,
}

impl ShownKey {
    /// The endorsement that agents are told of.
    pub fn endorsement(&self) -> Option<&signing_key::Endorsement> {
        let place = self.trust.as_ref()?.endorsement?;
        self.key.endorsements.get(place)
    }
}

/// A revoked key, with the public id of its owner.
pub struct ShownRevoked {
    /// The key.
    pub key: RevokedKey,
    /// The operator or agent.
    pub owner_id: String,
    /// The key as answers show it.
    pub public_key: String,
}

/// A key to be registered.
pub struct NewKey {
    /// A name for people.
    pub name: String,
    /// The key.
    pub public_key: [u8; 32],
    /// The key's signature of the statement.
    pub proof: [u8; 64],
    /// Whether it is to be trusted by itself.
    pub is_root: bool,
}

impl Service {
    /// Registers a key of the caller; its id.
    pub async fn register_key(&self, by: &Caller, new: NewKey) -> Result<String, ServiceError> {
        let fleet_id = fleet_id(&self.view(), by.principal.fleet)?;
        let Operator { id, .. } = &by.principal.operator;
        let statement = keys::register_statement(&fleet_id, id, &new.public_key);
        if !keys::signs(&new.public_key, &statement, &new.proof) {
            return Err(ServiceError::BadSignature {
                field: "proof",
                statement,
            });
        }
        let key_id = keys::key_id(&new.public_key);
        let request = OperatorRequest::RegisterKey {
            key_id: key_id.clone(),
            public_key: new.public_key,
            name: new.name,
            is_root: new.is_root,
        };
        self.order(by, request).await?;
        Ok(key_id)
    }

    /// Notes that a trusted key vouches for another.
    pub async fn endorse_key(
        &self,
        by: &Caller,
        key_id: String,
        by_key_id: String,
        signature: [u8; 64],
    ) -> Result<(), ServiceError> {
        let no = by.principal.fleet;
        let view = self.operator_view().await?;
        let key = signing_key::get(&view, no, &key_id)?.ok_or(Refusal::NotFound)?;
        let Some(endorser) = signing_key::get(&view, no, &by_key_id)? else {
            let why = "the endorsing key is not trusted";
            return Err(Refusal::Conflict(why.into()).into());
        };
        let fleet_id = fleet_id(&view, no)?;
        let statement = keys::endorse_statement(&fleet_id, &by_key_id, &key.public_key);
        if !keys::signs(&endorser.public_key, &statement, &signature) {
            return Err(ServiceError::BadSignature {
                field: "signature",
                statement,
            });
        }
        let request = OperatorRequest::EndorseKey {
            key_id,
            by_key_id,
            signature,
        };
        self.order(by, request).await.map(|_| ())
    }

    /// Revokes an operator's key for good; ids of those that are not trusted any more because of
    /// it.
    pub async fn revoke_key(
        &self,
        by: &Caller,
        key_id: String,
        reason: String,
    ) -> Result<Vec<String>, ServiceError> {
        let request = OperatorRequest::RevokeKey { key_id, reason };
        match self.order(by, request).await? {
            Outcome::KeysRevoked(lost) => Ok(lost),
            outcome => Err(ServiceError::unexpected(&outcome)),
        }
    }

    /// Operators' keys behind this one in the order of their ids.
    pub async fn operator_keys(
        &self,
        fleet: FleetNo,
        after: &str,
        limit: usize,
    ) -> Result<(Vec<ShownKey>, Option<String>), ServiceError> {
        let view = self.operator_view().await?;
        let all = machine::all(&view, fleet)?;
        let trusted = machine::trusted(&all);
        let mut rest = all
            .iter()
            .filter(|key| key.key_id.as_str() > after)
            .peekable();
        let page: Vec<ShownKey> = rest
            .by_ref()
            .take(limit)
            .map(|key| ShownKey {
                key: key.clone(),
                trust: trusted.get(key.key_id.as_str()).cloned(),
            })
            .collect();
        let next = rest.peek().and(page.last());
        let next = next.map(|shown| shown.key.key_id.clone());
        Ok((page, next))
    }

    /// One operator's key.
    pub async fn operator_key(&self, fleet: FleetNo, id: &str) -> Result<ShownKey, ServiceError> {
        let view = self.operator_view().await?;
        let all = machine::all(&view, fleet)?;
        let key = all.iter().find(|key| key.key_id == id);
        let key = key.ok_or(Refusal::NotFound)?.clone();
        let trust = machine::trusted(&all).remove(id);
        Ok(ShownKey { key, trust })
    }

    /// Keys that an agent which enrols is told of: the trusted ones, none before what endorses it.
    pub fn trusted_keys(&self, view: &View, fleet: FleetNo) -> Result<Vec<ShownKey>, ServiceError> {
        let all = machine::all(view, fleet)?;
        let trusted = machine::trusted(&all);
        let mut shown: Vec<ShownKey> = all
            .iter()
            .filter_map(|key| {
                let trust = trusted.get(key.key_id.as_str())?.clone();
                let key = key.clone();
                Some(ShownKey {
                    key,
                    trust: Some(trust),
                })
            })
            .collect();
        // Keys of one depth stay in the order of their ids.
        shown.sort_by_key(|shown| shown.trust.as_ref().map(|trust| trust.depth));
        Ok(shown)
    }

    /// Revoked keys of operators and agents behind this one in the order of their ids.
    pub fn revoked_keys(
        &self,
        view: &View,
        fleet: FleetNo,
        after: &str,
        limit: usize,
    ) -> Result<(Vec<ShownRevoked>, Option<String>), ServiceError> {
        let mut keys = signing_key::list_revoked(view, fleet, after, limit + 1)?;
        let has_more = keys.len() > limit;
        keys.truncate(limit);
        let next = keys.last().filter(|_| has_more);
        let next = next.map(|key| key.key_id.clone());
        let shown = keys.into_iter().map(|key| {
            let (owner_id, public_key) = match &key.owner {
                KeyOwner::Operator(id, bytes) => (id.clone(), keys::shown(bytes)),
                KeyOwner::Agent(no, text) => {
                    let found = agent::get(view, fleet, *no)?;
                    let id = found.map(|agent| agent.id).unwrap_or_default();
                    (id, text.clone())
                }
            };
            Ok(ShownRevoked {
                key,
                owner_id,
                public_key,
            })
        });
        Ok((shown.collect::<Result<_, ServiceError>>()?, next))
    }

    /// Keys that an agent registered, the newest first: whether it is the present one, and when it
    /// was revoked.
    pub fn agent_keys(
        &self,
        view: &View,
        fleet: FleetNo,
        agent_id: &str,
    ) -> Result<Vec<(AgentKey, bool, Option<RevokedKey>)>, ServiceError> {
        let found = self.agent_of(view, fleet, agent_id)?;
        let (agent, _) = found.ok_or(Refusal::NotFound)?;
        let mut keys = signing_key::of_agent(view, fleet, agent.no)?;
        keys.sort_by_key(|key| std::cmp::Reverse(key.registered_ms));
        let current = agent.identity_key.map(|key| key.key_id);
        let shown = keys.into_iter().map(|key| {
            let revoked = signing_key::revoked(view, fleet, &key.key_id)?;
            let is_current = current.as_ref() == Some(&key.key_id) && revoked.is_none();
            Ok((key, is_current, revoked))
        });
        shown.collect()
    }

    /// Revokes a key of an agent for good.
    pub async fn revoke_agent_key(
        &self,
        by: &Caller,
        agent_id: String,
        key_id: String,
        reason: String,
    ) -> Result<(), ServiceError> {
        let request = OperatorRequest::RevokeAgentKey {
            agent_id,
            key_id,
            reason,
        };
        self.order(by, request).await.map(|_| ())
    }
}

fn fleet_id(read: &impl Read, no: FleetNo) -> Result<String, ServiceError> {
    Ok(fleet::get(read, no)?
        .map(|fleet| fleet.id)
        .unwrap_or_default())
}
