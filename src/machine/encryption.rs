//! Keys that agents publish for others to encrypt to: published, replaced, revoked for good.
//!
//! The ingress node has checked that a key is one, and that the identity key's signature of it
//! holds. Whether that identity key is the agent's present one is decided here, in the order of
//! the log. Bodies are never looked at: to the relay an encrypted one is a body as any other.

use ekho_storage::StorageError;
use ekho_storage::tables::agent::Agent;
use ekho_storage::tables::encryption_key::{
    self, ENCRYPTION_KEYS_MAX, EncryptionKey, EncryptionKeys, KeyRevoked,
};
use ekho_storage::tables::event::{Actor, EventKind, Resource};

use super::access::Principal;
use super::apply::{Apply, payload};
use super::command::NewEncryptionKey;
use super::outcome::{Outcome, Refusal};

/// Publishes a key in place of the one before; the same again changes nothing.
pub(crate) fn publish(
    apply: &mut Apply<'_>,
    agent: &Agent,
    new: NewEncryptionKey,
) -> Result<Outcome, StorageError> {
    let current = agent.identity_key.as_ref().map(|key| key.key_id.as_str());
    if let Some(signed) = &new.signed
        && current != Some(signed.key_id.as_str())
    {
        let why = "the key that signed it is not your present identity key";
        return Ok(Outcome::Refused(Refusal::Conflict(why.into())));
    }
    let mut all = encryption_key::of_agent(apply.txn, agent.fleet, agent.no)?;
    let is_same = |key: &EncryptionKey| key.key_id == new.key_id;
    if all
        .keys
        .iter()
        .any(|key| is_same(key) && key.revoked.is_some())
    {
        return Ok(Outcome::Refused(Refusal::KeyRevoked));
    }
    if all
        .current()
        .is_some_and(|key| is_same(key) && key.signed == new.signed)
    {
        return Ok(Outcome::EncryptionKey(Some(new.key_id)));
    }
    all.keys.retain(|key| !is_same(key));
    if all.keys.len() >= ENCRYPTION_KEYS_MAX {
        // What is revoked is remembered, so that it stays so.
        let Some(oldest) = all.keys.iter().rposition(|key| key.revoked.is_none()) else {
            let limit = ENCRYPTION_KEYS_MAX as u64;
            return Ok(Outcome::Refused(Refusal::LimitReached { limit }));
        };
        all.keys.remove(oldest);
    }
    let key = EncryptionKey {
        key_id: new.key_id.clone(),
        public_key: new.public_key,
        signed: new.signed,
        published_ms: apply.now(),
        revoked: None,
    };
    all.keys.insert(0, key);
    encryption_key::put(apply.txn, agent.fleet, agent.no, &all);
    apply.record_with(
        agent.fleet,
        EventKind::AgentEncryptionKey,
        Actor::Agent(agent.no),
        Resource::Agent(agent.no),
        None,
        payload(&[("key_id", &new.key_id)]),
    )?;
    Ok(Outcome::EncryptionKey(Some(new.key_id)))
}

/// Revokes the agent's present key; its id, or none where there is none.
pub(crate) fn revoke(apply: &mut Apply<'_>, agent: &Agent) -> Result<Outcome, StorageError> {
    let all = encryption_key::of_agent(apply.txn, agent.fleet, agent.no)?;
    let Some(current) = all.current() else {
        return Ok(Outcome::EncryptionKey(None));
    };
    let key_id = current.key_id.clone();
    let reason = "revoked by the agent";
    end(
        apply,
        agent,
        all,
        0,
        (Actor::Agent(agent.no), &agent.id, reason),
    )?;
    Ok(Outcome::EncryptionKey(Some(key_id)))
}

/// Revokes any key of an agent, as an operator.
pub(crate) fn revoke_of_agent(
    apply: &mut Apply<'_>,
    by: &Principal,
    agent: &Agent,
    key_id: &str,
    reason: &str,
) -> Result<Outcome, StorageError> {
    let all = encryption_key::of_agent(apply.txn, agent.fleet, agent.no)?;
    let Some(place) = all.keys.iter().position(|key| key.key_id == key_id) else {
        return Ok(Outcome::Refused(Refusal::NotFound));
    };
    if all.keys[place].revoked.is_some() {
        return Ok(Outcome::Refused(Refusal::KeyRevoked));
    }
    let operator = &by.operator.id;
    let actor = Actor::Operator(operator.clone());
    end(apply, agent, all, place, (actor, operator, reason))?;
    Ok(Outcome::Done)
}

fn end(
    apply: &mut Apply<'_>,
    agent: &Agent,
    mut all: EncryptionKeys,
    place: usize,
    (actor, by, reason): (Actor, &str, &str),
) -> Result<(), StorageError> {
    let key = &mut all.keys[place];
    key.revoked = Some(KeyRevoked {
        by: by.into(),
        reason: reason.into(),
        at_ms: apply.now(),
    });
    let payload = payload(&[("key_id", &key.key_id), ("reason", reason)]);
    encryption_key::put(apply.txn, agent.fleet, agent.no, &all);
    apply.record_with(
        agent.fleet,
        EventKind::AgentEncryptionKeyRevoked,
        actor,
        Resource::Agent(agent.no),
        None,
        payload,
    )
}
