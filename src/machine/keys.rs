//! Keys that operators sign with and agents identify themselves with: registered, endorsed, and
//! revoked for good.
//!
//! The ingress node has checked the signatures, over texts in which nothing can change: a key's id
//! is a hash of the key. Whether an endorsing key is trusted, and whether a key was revoked, is
//! decided here, in the order of the log.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ekho_storage::tables::agent::{self, Agent, IdentityKey};
use ekho_storage::tables::event::{Actor, EventKind, Resource};
use ekho_storage::tables::operator::Scope;
use ekho_storage::tables::signing_key::{
    self, AgentKey, Endorsement, KeyOwner, OPERATOR_KEYS_MAX, OperatorKey, RevokedKey,
};
use ekho_storage::tables::{FleetNo, TimeMs};
use ekho_storage::{Read, StorageError};
use serde_json::json;

use super::access::{Need, Principal};
use super::apply::{Apply, payload};
use super::encryption;
use super::outcome::{Outcome, Refusal};

/// Steps from a root key to a key that is still trusted.
pub const DEPTH_MAX: usize = 8;
/// Endorsements of one key.
pub const ENDORSEMENTS_MAX: usize = 8;

/// By what a key is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// Steps from a root key.
    pub depth: usize,
    /// Which of the key's endorsements is the first on a shortest way from a root; none for a root.
    pub endorsement: Option<usize>,
}

/// The keys that are trusted: roots, and what a chain of endorsements leads to from one.
pub fn trusted(keys: &[OperatorKey]) -> BTreeMap<&str, Trust> {
    let mut found: BTreeMap<&str, Trust> = BTreeMap::new();
    for key in keys.iter().filter(|key| key.is_root) {
        let root = Trust {
            depth: 0,
            endorsement: None,
        };
        found.insert(&key.key_id, root);
    }
    for depth in 1..=DEPTH_MAX {
        let before = found.clone();
        for key in keys {
            let by_trusted = |one: &Endorsement| before.contains_key(one.by_key_id.as_str());
            let endorsement = key.endorsements.iter().position(by_trusted);
            if endorsement.is_some() && !before.contains_key(key.key_id.as_str()) {
                found.insert(&key.key_id, Trust { depth, endorsement });
            }
        }
        if found.len() == before.len() {
            break;
        }
    }
    found
}

/// Every key of a fleet's operators that is not revoked.
pub fn all(read: &impl Read, fleet: FleetNo) -> Result<Vec<OperatorKey>, StorageError> {
    signing_key::list(read, fleet, "", OPERATOR_KEYS_MAX)
}

fn conflict(why: &str) -> Result<Outcome, StorageError> {
    Ok(Outcome::Refused(Refusal::Conflict(why.into())))
}

/// Registers a key of the caller's own.
pub(crate) fn register(
    apply: &mut Apply<'_>,
    by: &Principal,
    key_id: String,
    public_key: [u8; 32],
    name: String,
    is_root: bool,
) -> Result<Outcome, StorageError> {
    let fleet = by.fleet;
    if signing_key::is_revoked(apply.txn, fleet, &key_id)? {
        return Ok(Outcome::Refused(Refusal::KeyRevoked));
    }
    if signing_key::get(apply.txn, fleet, &key_id)?.is_some() {
        return conflict("the key is registered already");
    }
    if all(apply.txn, fleet)?.len() == OPERATOR_KEYS_MAX {
        let limit = OPERATOR_KEYS_MAX as u64;
        return Ok(Outcome::Refused(Refusal::LimitReached { limit }));
    }
    let key = OperatorKey {
        key_id,
        public_key,
        name,
        operator_id: by.operator.id.clone(),
        is_root,
        created_ms: apply.now(),
        endorsements: Vec::new(),
    };
    signing_key::put(apply.txn, fleet, &key);
    let more = json!({ "name": key.name, "root": is_root, "public_key": hex::encode(public_key) });
    let kind = EventKind::OperatorKeyRegistered;
    record(apply, by, kind, &key.key_id, more)?;
    Ok(Outcome::Done)
}

/// Notes that a trusted key vouches for another.
pub(crate) fn endorse(
    apply: &mut Apply<'_>,
    by: &Principal,
    key_id: &str,
    by_key_id: &str,
    signature: [u8; 64],
) -> Result<Outcome, StorageError> {
    let keys = all(apply.txn, by.fleet)?;
    let Some(key) = keys.iter().find(|key| key.key_id == key_id) else {
        return Ok(Outcome::Refused(Refusal::NotFound));
    };
    if key.is_root {
        return conflict("a root key needs no endorsement");
    }
    let Some(trust) = trusted(&keys).remove(by_key_id) else {
        return conflict("the endorsing key is not trusted");
    };
    if trust.depth == DEPTH_MAX {
        return conflict("the endorsing key is too far from a root key");
    }
    if key_id == by_key_id || vouches_for(&keys, key_id, by_key_id) {
        return conflict("the endorsing key is itself endorsed by this one");
    }
    let mut vouched = key.endorsements.iter();
    if vouched.any(|endorsement| endorsement.by_key_id == by_key_id) {
        return Ok(Outcome::Done);
    }
    if key.endorsements.len() == ENDORSEMENTS_MAX {
        let limit = ENDORSEMENTS_MAX as u64;
        return Ok(Outcome::Refused(Refusal::LimitReached { limit }));
    }
    let mut key = key.clone();
    key.endorsements.push(Endorsement {
        by_key_id: by_key_id.into(),
        signature,
        operator_id: by.operator.id.clone(),
        at_ms: apply.now(),
    });
    signing_key::put(apply.txn, by.fleet, &key);
    let more = json!({ "endorsed_by_key_id": by_key_id });
    record(apply, by, EventKind::OperatorKeyEndorsed, key_id, more)?;
    Ok(Outcome::Done)
}

/// Whether endorsements lead from one key to another, trusted or not.
fn vouches_for(keys: &[OperatorKey], from: &str, to: &str) -> bool {
    let mut reached = BTreeSet::from([from]);
    loop {
        let before = reached.len();
        for key in keys {
            let mut by = key.endorsements.iter();
            if by.any(|one| reached.contains(one.by_key_id.as_str())) {
                reached.insert(&key.key_id);
            }
        }
        if reached.contains(to) || reached.len() == before {
            return reached.contains(to);
        }
    }
}

/// Revokes an operator's key for good; what was trusted through it alone is not any more. One's
/// own takes a login, others' the scope for operators.
pub(crate) fn revoke(
    apply: &mut Apply<'_>,
    by: &Principal,
    key_id: &str,
    reason: &str,
) -> Result<Outcome, StorageError> {
    let Some(key) = signing_key::get(apply.txn, by.fleet, key_id)? else {
        return Ok(Outcome::Refused(
            match signing_key::is_revoked(apply.txn, by.fleet, key_id)? {
                true => Refusal::KeyRevoked,
                false => Refusal::NotFound,
            },
        ));
    };
    let is_own = key.operator_id == by.operator.id && by.require(Need::Login).is_ok();
    if !is_own && let Err(refusal) = by.require(Need::Scope(Scope::Operators)) {
        return Ok(Outcome::Refused(refusal));
    }
    end(apply, by, &[key], reason).map(Outcome::KeysRevoked)
}

/// Revokes every key of an operator who is removed.
pub(crate) fn revoke_all_of(
    apply: &mut Apply<'_>,
    by: &Principal,
    operator_id: &str,
) -> Result<(), StorageError> {
    let mut keys = all(apply.txn, by.fleet)?;
    keys.retain(|key| key.operator_id == operator_id);
    if !keys.is_empty() {
        end(apply, by, &keys, "its operator was removed")?;
    }
    Ok(())
}

/// Ends keys; ids of others that are not trusted any more because of it.
fn end(
    apply: &mut Apply<'_>,
    by: &Principal,
    keys: &[OperatorKey],
    reason: &str,
) -> Result<Vec<String>, StorageError> {
    let mut lost = Vec::new();
    for key in keys {
        let before = all(apply.txn, by.fleet)?;
        let revoked = RevokedKey {
            key_id: key.key_id.clone(),
            owner: KeyOwner::Operator(key.operator_id.clone(), key.public_key),
            revoked_by: by.operator.id.clone(),
            reason: reason.into(),
            at_ms: apply.now(),
        };
        signing_key::revoke(apply.txn, by.fleet, &revoked);
        let after = all(apply.txn, by.fleet)?;
        let (before, after) = (trusted(&before), trusted(&after));
        let ids = before.keys().filter(|id| !after.contains_key(*id));
        let ids = ids.filter(|id| **id != key.key_id).map(ToString::to_string);
        let ids: Vec<String> = ids.collect();
        let more = json!({ "reason": reason, "no_longer_trusted": ids });
        record(apply, by, EventKind::OperatorKeyRevoked, &key.key_id, more)?;
        lost.extend(ids);
    }
    Ok(lost)
}

/// Registers an agent's identity key; the same key again changes nothing.
pub(crate) fn identify(
    apply: &mut Apply<'_>,
    mut agent: Agent,
    key_id: String,
    public_key: String,
) -> Result<Outcome, StorageError> {
    let key = IdentityKey {
        key_id: key_id.clone(),
        public_key,
    };
    if let Some(refusal) = unusable(apply, agent.fleet, &key_id)? {
        return Ok(Outcome::Refused(refusal));
    }
    if agent.identity_key.as_ref() != Some(&key) {
        remember(apply, agent.fleet, agent.no, &key)?;
        agent.identity_key = Some(key);
        agent::put(apply.txn, &agent);
        apply.record_with(
            agent.fleet,
            EventKind::AgentIdentityKey,
            Actor::Agent(agent.no),
            Resource::Agent(agent.no),
            None,
            payload(&[("key_id", &key_id)]),
        )?;
    }
    Ok(Outcome::IdentityKey(key_id))
}

/// Whether a key that a message names was revoked. Clients of the original relay name keys by the
/// first 12 bytes of the same hash, in base64url.
pub(crate) fn is_revoked(
    read: &impl Read,
    fleet: FleetNo,
    named: &str,
) -> Result<bool, StorageError> {
    if signing_key::is_revoked(read, fleet, named)? {
        return Ok(true);
    }
    let begin = match URL_SAFE_NO_PAD.decode(named) {
        Ok(begin) if begin.len() == 12 => format!("key_{}", hex::encode(begin)),
        _ => return Ok(false),
    };
    let found = signing_key::list_revoked(read, fleet, &begin, 1)?;
    Ok(found.iter().any(|key| key.key_id.starts_with(&begin)))
}

/// Why an agent may not register a key with this id.
pub(crate) fn unusable(
    apply: &Apply<'_>,
    fleet: FleetNo,
    key_id: &str,
) -> Result<Option<Refusal>, StorageError> {
    if signing_key::is_revoked(apply.txn, fleet, key_id)? {
        return Ok(Some(Refusal::KeyRevoked));
    }
    let is_operators = signing_key::get(apply.txn, fleet, key_id)?.is_some();
    let why = "the key is one of an operator";
    Ok(is_operators.then(|| Refusal::Conflict(why.into())))
}

/// Keeps a key among those of an agent. Each is registered later than the ones before it, two of the
/// same millisecond as well: they are shown, and make room, in that order.
pub(crate) fn remember(
    apply: &mut Apply<'_>,
    fleet: FleetNo,
    agent: u32,
    key: &IdentityKey,
) -> Result<(), StorageError> {
    let known = signing_key::of_agent(apply.txn, fleet, agent)?;
    let newest: Option<TimeMs> = known.iter().map(|key| key.registered_ms).max();
    let after = newest.map_or(0, |newest_ms| newest_ms.saturating_add(1));
    let registered_ms = apply.now().max(after);
    let key = AgentKey {
        key_id: key.key_id.clone(),
        public_key: key.public_key.clone(),
        registered_ms,
    };
    signing_key::put_of_agent(apply.txn, fleet, agent, &key)
}

/// Revokes a key of an agent for good, be it an identity key or one to encrypt to.
pub(crate) fn revoke_of_agent(
    apply: &mut Apply<'_>,
    by: &Principal,
    agent_id: &str,
    key_id: &str,
    reason: &str,
) -> Result<Outcome, StorageError> {
    let fleet = by.fleet;
    let found = agent::by_id(apply.txn, agent_id)?.filter(|agent| agent.fleet == fleet);
    let Some(mut agent) = found else {
        return Ok(Outcome::Refused(Refusal::NotFound));
    };
    let keys = signing_key::of_agent(apply.txn, fleet, agent.no)?;
    let Some(key) = keys.into_iter().find(|key| key.key_id == key_id) else {
        return encryption::revoke_of_agent(apply, by, &agent, key_id, reason);
    };
    if signing_key::is_revoked(apply.txn, fleet, key_id)? {
        return Ok(Outcome::Refused(Refusal::KeyRevoked));
    }
    if signing_key::get(apply.txn, fleet, key_id)?.is_some() {
        return conflict("the key is one of an operator too: revoke it there");
    }
    let revoked = RevokedKey {
        key_id: key_id.into(),
        owner: KeyOwner::Agent(agent.no, key.public_key),
        revoked_by: by.operator.id.clone(),
        reason: reason.into(),
        at_ms: apply.now(),
    };
    signing_key::revoke(apply.txn, fleet, &revoked);
    let is_current = |current: &IdentityKey| current.key_id == key_id;
    if agent.identity_key.as_ref().is_some_and(is_current) {
        agent.identity_key = None;
        agent::put(apply.txn, &agent);
    }
    apply.record_with(
        fleet,
        EventKind::AgentIdentityKeyRevoked,
        Actor::Operator(by.operator.id.clone()),
        Resource::Agent(agent.no),
        None,
        payload(&[("key_id", key_id), ("reason", reason)]),
    )?;
    Ok(Outcome::Done)
}

fn record(
    apply: &mut Apply<'_>,
    by: &Principal,
    kind: EventKind,
    key_id: &str,
    more: serde_json::Value,
) -> Result<(), StorageError> {
    let actor = Actor::Operator(by.operator.id.clone());
    let resource = Resource::Other("operator_key".into(), key_id.into());
    apply.record_with(by.fleet, kind, actor, resource, None, more.to_string())
}
