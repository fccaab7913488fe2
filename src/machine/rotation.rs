//! Changing the master secret: from the key in force to another, row by row.
//!
//! Apply opens nothing. The leader says what is to stand where what it read stood, and a secret is
//! replaced only if it is still that one. From the first command on nothing is taken that is sealed
//! under another key than the new one, so that whoever has seen everything once has seen it all.

use ekho_storage::StorageError;
use ekho_storage::tables::event::{Actor, EventKind, Resource};
use ekho_storage::tables::rotation::{self, Rotation};
use ekho_storage::tables::{fleet, sealed};

use super::access::Principal;
use super::apply::{Apply, payload};
use super::command::Reseal;
use super::outcome::{Outcome, Refusal};

/// Whether this may be put into the state: it is sealed under the only key there ever was, or under
/// the latest one.
pub(crate) fn takes(apply: &Apply<'_>, sealed: &[&[u8]]) -> Result<bool, StorageError> {
    if sealed.is_empty() {
        return Ok(true);
    }
    let Some(latest) = rotation::get(apply.txn)? else {
        return Ok(true);
    };
    let is_under = |sealed: &&[u8]| rotation::key_id(sealed).as_ref() == Some(&latest.to_key_id);
    Ok(sealed.iter().all(is_under))
}

/// Begins. Asked again for the same key, it is under way or done already.
pub(crate) fn begin(
    apply: &mut Apply<'_>,
    by: &Principal,
    to_key_id: String,
) -> Result<Outcome, StorageError> {
    let latest = rotation::under_way(apply.txn)?;
    if latest
        .as_ref()
        .is_some_and(|latest| latest.to_key_id == to_key_id)
    {
        return Ok(Outcome::Done);
    }
    if let Some(latest) = latest {
        let why = format!("everything is being sealed under key {}", latest.to_key_id);
        return Ok(Outcome::Refused(Refusal::Conflict(why)));
    }
    let from_key_id = apply.system.sealing_key_id.clone();
    if from_key_id == to_key_id {
        return Ok(Outcome::Done);
    }
    let rotation = Rotation {
        from_key_id,
        to_key_id,
        began_by: by.operator.id.clone(),
        began_ms: apply.now(),
        resealed: 0,
        done_ms: None,
    };
    let actor = Actor::Operator(by.operator.id.clone());
    record(apply, EventKind::SecretRotationBegan, actor, &rotation)?;
    rotation::put(apply.txn, &rotation);
    Ok(Outcome::Done)
}

/// Puts secrets that were sealed anew in the place of those that were read.
pub(crate) fn reseal(apply: &mut Apply<'_>, reseal: Reseal) -> Result<Outcome, StorageError> {
    let under_way = rotation::under_way(apply.txn)?;
    let Some(mut rotation) = under_way.filter(|one| one.to_key_id == reseal.to_key_id) else {
        return Ok(Outcome::Updated(0));
    };
    let mut replaced = 0;
    for (place, before, after) in reseal.secrets {
        if rotation::key_id(&after).as_ref() == Some(&rotation.to_key_id)
            && sealed::replace(apply.txn, reseal.fleet, &place, &before, after)?
        {
            replaced += 1;
        }
    }
    rotation.resealed += replaced;
    rotation::put(apply.txn, &rotation);
    Ok(Outcome::Updated(replaced))
}

/// Puts the new key in force.
pub(crate) fn done(apply: &mut Apply<'_>, to_key_id: &str) -> Result<Outcome, StorageError> {
    let under_way = rotation::under_way(apply.txn)?;
    let Some(mut rotation) = under_way.filter(|one| one.to_key_id == to_key_id) else {
        return Ok(Outcome::Done);
    };
    apply.system.sealing_key_id = rotation.to_key_id.clone();
    rotation.done_ms = Some(apply.now());
    rotation::put(apply.txn, &rotation);
    record(apply, EventKind::SecretRotated, Actor::System, &rotation)?;
    Ok(Outcome::Done)
}

/// In the audit log of the first fleet, whose owners look after the relay.
fn record(
    apply: &mut Apply<'_>,
    kind: EventKind,
    actor: Actor,
    rotation: &Rotation,
) -> Result<(), StorageError> {
    let resource = Resource::Other("master_secret".into(), rotation.to_key_id.clone());
    let payload = payload(&[
        ("from_key_id", &rotation.from_key_id),
        ("to_key_id", &rotation.to_key_id),
    ]);
    apply.record_with(fleet::FIRST, kind, actor, resource, None, payload)
}
