//! The keys that an agent believes: other agents', and operators' by endorsement from a root. The
//! relay's word alone adds no root; a revoked key never comes back. Small enough to be kept as JSON.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use serde::{Deserialize, Serialize};

use super::keys::PublicKey;
use crate::error::EkhoError;
use crate::types::OperatorKey;

/// Limits of the relay: keys remembered of an agent, keys of operators.
const MAX_AGENT_KEYS: usize = 20;
const MAX_OPERATOR_KEYS: usize = 500;
const MAX_KEYS: usize = 100_000;

/// Keys that are believed. Cheap to clone; clones share the keys.
#[derive(Debug, Clone)]
pub struct KeyRing {
    fleet_id: Arc<str>,
    keys: Arc<RwLock<Keys>>,
}

#[derive(Debug, Default)]
struct Keys {
    agents: BTreeMap<String, Vec<PublicKey>>,
    operators: Vec<PublicKey>,
    /// Since when; None where that is not known, so that nothing of it counts.
    revoked: BTreeMap<String, Option<String>>,
}

/// A ring as it is kept; the same in every language.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyRingData {
    /// Which fleet's keys these are.
    pub fleet_id: String,
    /// Keys of agents.
    pub agents: BTreeMap<String, Vec<String>>,
    /// Keys of operators.
    pub operators: Vec<String>,
    /// Ids of revoked keys, and since when.
    pub revoked: BTreeMap<String, Option<String>>,
}

impl KeyRing {
    /// An empty ring of a fleet.
    pub fn new(fleet_id: impl Into<String>) -> Self {
        Self {
            fleet_id: fleet_id.into().into(),
            keys: Arc::default(),
        }
    }

    /// Which fleet's keys these are.
    pub fn fleet_id(&self) -> &str {
        &self.fleet_id
    }

    /// Believes that this key is the agent's; gives back its id. Earlier keys go on counting.
    ///
    /// Errors: [`EkhoError::InvalidArgument`] where it is no key, or the ring is full.
    pub fn trust_agent(&self, agent_id: &str, public_key: &str) -> Result<String, EkhoError> {
        let key = PublicKey::parse(public_key)?;
        let key_id = key.key_id();
        let mut ring = self.write();
        if ring.agents.len() >= MAX_KEYS {
            return Err(EkhoError::invalid("the key ring is full"));
        }
        let keys = ring.agents.entry(agent_id.to_owned()).or_default();
        if !keys.contains(&key) {
            if keys.len() >= MAX_AGENT_KEYS {
                return Err(EkhoError::invalid("too many keys of one agent"));
            }
            keys.push(key);
        }
        Ok(key_id)
    }

    /// Believes that this key is an operator's: a root that others can be endorsed from.
    ///
    /// Errors: [`EkhoError::InvalidArgument`] where it is no key, or the ring is full.
    pub fn trust_operator(&self, public_key: &str) -> Result<String, EkhoError> {
        let key = PublicKey::parse(public_key)?;
        let key_id = key.key_id();
        let mut ring = self.write();
        if !ring.operators.contains(&key) {
            if ring.operators.len() >= MAX_OPERATOR_KEYS {
                return Err(EkhoError::invalid("too many keys of operators"));
            }
            ring.operators.push(key);
        }
        Ok(key_id)
    }

    /// Takes those keys that a key believed already vouches for, however often the chain has to be
    /// followed; gives back the ids of those it took.
    pub fn take_endorsed(&self, entries: &[OperatorKey]) -> Vec<String> {
        let mut taken = Vec::new();
        loop {
            let before = taken.len();
            for entry in entries {
                if let Some(key) = self.endorsed(entry)
                    && let Ok(key_id) = self.trust_operator(&key.to_string())
                {
                    taken.push(key_id);
                }
            }
            if taken.len() == before {
                return taken;
            }
        }
    }

    fn endorsed(&self, entry: &OperatorKey) -> Option<PublicKey> {
        let by_id = entry.endorsed_by_key_id.as_deref()?;
        let by = self.operator_key(by_id)?;
        let key = PublicKey::parse(&entry.public_key).ok()?;
        let known = self.operator_key(&key.key_id()).is_some();
        if known || self.is_revoked(by_id, None) || self.is_revoked(&key.key_id(), None) {
            return None;
        }
        let statement = endorsement(&self.fleet_id, by_id, &key);
        let signature = entry.endorsement_sig.as_deref()?;
        by.verify(signature, statement.as_bytes()).then_some(key)
    }

    /// For good. Messages that the relay accepted before `since` go on counting; without it, none.
    pub fn revoke(&self, key_id: &str, since: Option<&str>) {
        let mut ring = self.write();
        if ring.revoked.len() >= MAX_KEYS {
            return;
        }
        let since = since.map(str::to_owned);
        ring.revoked
            .entry(key_id.to_owned())
            .and_modify(|known| {
                // None, that is always, is the least of all.
                if since < *known {
                    known.clone_from(&since);
                }
            })
            .or_insert(since);
    }

    /// Whether the key was revoked at that time (as the relay writes it), or at all.
    pub fn is_revoked(&self, key_id: &str, at: Option<&str>) -> bool {
        match self.read().revoked.get(key_id) {
            None => false,
            Some(since) => !matches!((at, since), (Some(at), Some(since))
                if is_relay_time(at) && is_relay_time(since) && at < since.as_str()),
        }
    }

    pub(super) fn agent_key(&self, agent_id: &str, key_id: &str) -> Option<PublicKey> {
        let ring = self.read();
        let keys = ring.agents.get(agent_id)?;
        keys.iter().find(|key| key.key_id() == key_id).cloned()
    }

    pub(super) fn operator_key(&self, key_id: &str) -> Option<PublicKey> {
        let ring = self.read();
        ring.operators
            .iter()
            .find(|key| key.key_id() == key_id)
            .cloned()
    }

    /// What [`KeyRing::from_data`] makes the same ring of.
    pub fn to_data(&self) -> KeyRingData {
        let ring = self.read();
        let texts = |keys: &Vec<PublicKey>| keys.iter().map(PublicKey::to_string).collect();
        KeyRingData {
            fleet_id: self.fleet_id.to_string(),
            agents: ring
                .agents
                .iter()
                .map(|(agent_id, keys)| (agent_id.clone(), texts(keys)))
                .collect(),
            operators: texts(&ring.operators),
            revoked: ring.revoked.clone(),
        }
    }

    /// A ring that was kept.
    ///
    /// Errors: [`EkhoError::InvalidArgument`] where something in it is no key.
    pub fn from_data(data: &KeyRingData) -> Result<Self, EkhoError> {
        let ring = Self::new(&data.fleet_id);
        for (agent_id, keys) in &data.agents {
            for key in keys {
                ring.trust_agent(agent_id, key)?;
            }
        }
        for key in &data.operators {
            ring.trust_operator(key)?;
        }
        for (key_id, since) in &data.revoked {
            ring.revoke(key_id, since.as_deref());
        }
        Ok(ring)
    }

    fn read(&self) -> RwLockReadGuard<'_, Keys> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Keys> {
        self.keys.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an operator signs who vouches for a key (docs/operator-api.md, Signing keys).
fn endorsement(fleet_id: &str, by_key_id: &str, key: &PublicKey) -> String {
    let key_id = key.key_id();
    format!("ekho-operator-key-v1\nendorse\n{fleet_id}\n{by_key_id}\n{key_id}\n{key}")
}

/// Times in the one form that the relay writes are ordered as texts are.
fn is_relay_time(text: &str) -> bool {
    text.len() == "2026-11-23T03:36:00.000Z".len() && text.ends_with('Z')
}
