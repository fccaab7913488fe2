//! Fleets: making, renaming, archiving and taking back into use.
//!
//! The list of fleets belongs to no fleet, like settings and licences; who changes it is an owner
//! of the first fleet. What happens to a fleet stands in the first fleet's audit log, with who did
//! it, and in its own, without.

use ekho_storage::StorageError;
use ekho_storage::tables::event::{Actor, EventKind, Resource};
use ekho_storage::tables::fleet::{self, Fleet};
use ekho_storage::tables::license::{self, Feature};
use ekho_storage::tables::operator::{self, Operator, Role};
use ekho_storage::tables::sequence::{self, Sequence};
use ekho_storage::tables::{FleetNo, TimeMs};

use super::access::Principal;
use super::apply::Apply;
use super::audit;
use super::command::NewFleet;
use super::license::require;
use super::outcome::{Outcome, Refusal};

/// Fleets of a relay, archived ones included, whatever the licence says.
pub const FLEETS_MAX: u64 = 1000;

/// Makes a fleet with its owner. The caller has looked whether it may be.
pub(crate) fn make(apply: &mut Apply<'_>, new: NewFleet) -> Result<FleetNo, StorageError> {
    let now = apply.now();
    let no = sequence::next(apply.txn, 0, Sequence::Fleet)? as FleetNo;
    let fleet = Fleet {
        no,
        id: new.fleet_id,
        name: new.name,
        created_ms: now,
        archived_ms: None,
    };
    fleet::put(apply.txn, &fleet)?;
    let owner = Operator {
        id: new.operator_id.clone(),
        email: new.email,
        password_hash: new.password_hash,
        role: Role::Owner,
        created_ms: now,
    };
    operator::put(apply.txn, no, &owner);
    audit::watch(apply, no);
    let resource = Resource::Other("fleet".into(), fleet.id);
    let actor = Actor::Operator(new.operator_id);
    apply.record(no, EventKind::FleetCreated, actor, resource)?;
    Ok(no)
}

/// Makes another fleet, where the licence allows one more.
pub(crate) fn create(
    apply: &mut Apply<'_>,
    by: &Principal,
    new: NewFleet,
) -> Result<Outcome, StorageError> {
    if let Some(refusal) = no_room(apply)? {
        return Ok(Outcome::Refused(refusal));
    }
    if sequence::last(apply.txn, 0, Sequence::Fleet)? >= FLEETS_MAX {
        let limit = FLEETS_MAX;
        return Ok(Outcome::Refused(Refusal::LimitReached { limit }));
    }
    if fleet::by_name(apply.txn, &new.name)?.is_some() {
        return Ok(name_taken());
    }
    let payload = serde_json::json!({ "name": new.name, "owner_email": new.email });
    let fleet_id = new.fleet_id.clone();
    // Its own log does not tell who administers the relay.
    let request_id = std::mem::take(&mut apply.request_id);
    make(apply, new)?;
    apply.request_id = request_id;
    record(apply, by, EventKind::FleetCreated, fleet_id, &payload)?;
    Ok(Outcome::Done)
}

/// Gives a fleet another name, with which its operators sign in from now on.
pub(crate) fn rename(
    apply: &mut Apply<'_>,
    by: &Principal,
    fleet_id: &str,
    name: String,
) -> Result<Outcome, StorageError> {
    let Some(mut fleet) = fleet::by_id(apply.txn, fleet_id)? else {
        return Ok(Outcome::Refused(Refusal::NotFound));
    };
    if fleet.name == name {
        return Ok(Outcome::Done);
    }
    if fleet::by_name(apply.txn, &name)?.is_some() {
        return Ok(name_taken());
    }
    let payload = serde_json::json!({ "before": fleet.name, "after": name });
    fleet.name = name;
    change(apply, by, EventKind::FleetRenamed, &fleet, &payload)
}

/// Shuts a fleet: from now on nobody of it gets in. Its data stays.
pub(crate) fn archive(
    apply: &mut Apply<'_>,
    by: &Principal,
    fleet_id: &str,
    name: &str,
) -> Result<Outcome, StorageError> {
    let Some(mut fleet) = fleet::by_id(apply.txn, fleet_id)? else {
        return Ok(Outcome::Refused(Refusal::NotFound));
    };
    let conflict = |why: &str| Ok(Outcome::Refused(Refusal::Conflict(why.into())));
    if fleet.name != name {
        return conflict("this is not the fleet's name");
    }
    if fleet.no == fleet::FIRST {
        return conflict("the first fleet administers the relay and cannot be archived");
    }
    if fleet.archived_ms.is_some() {
        return conflict("the fleet is archived already");
    }
    fleet.archived_ms = Some(apply.now());
    apply.effects.closed.push(fleet.no);
    let payload = serde_json::json!({ "name": fleet.name });
    change(apply, by, EventKind::FleetArchived, &fleet, &payload)
}

/// Takes an archived fleet back into use, where the licence allows one more.
pub(crate) fn restore(
    apply: &mut Apply<'_>,
    by: &Principal,
    fleet_id: &str,
) -> Result<Outcome, StorageError> {
    let Some(mut fleet) = fleet::by_id(apply.txn, fleet_id)? else {
        return Ok(Outcome::Refused(Refusal::NotFound));
    };
    if fleet.archived_ms.is_none() {
        let why = "the fleet is not archived".into();
        return Ok(Outcome::Refused(Refusal::Conflict(why)));
    }
    if let Some(refusal) = no_room(apply)? {
        return Ok(Outcome::Refused(refusal));
    }
    fleet.archived_ms = None;
    let payload = serde_json::json!({ "name": fleet.name });
    change(apply, by, EventKind::FleetRestored, &fleet, &payload)
}

/// Why there may not be one more fleet in use.
fn no_room(apply: &Apply<'_>) -> Result<Option<Refusal>, StorageError> {
    let now_ms: TimeMs = apply.now();
    let limit = license::get(apply.txn)?.max_fleets(now_ms);
    if fleet::in_use(apply.txn)? < limit {
        return Ok(None);
    }
    let unlicensed = require(apply, Feature::ManyFleets)?;
    Ok(Some(unlicensed.unwrap_or(Refusal::LimitReached { limit })))
}

fn name_taken() -> Outcome {
    Outcome::Refused(Refusal::Conflict("a fleet with this name exists".into()))
}

fn change(
    apply: &mut Apply<'_>,
    by: &Principal,
    kind: EventKind,
    fleet: &Fleet,
    payload: &serde_json::Value,
) -> Result<Outcome, StorageError> {
    fleet::put(apply.txn, fleet)?;
    record(apply, by, kind, fleet.id.clone(), payload)?;
    if fleet.no != fleet::FIRST {
        // Who administers the relay is nothing that another fleet is told.
        let request_id = std::mem::take(&mut apply.request_id);
        let resource = Resource::Other("fleet".into(), fleet.id.clone());
        let payload = payload.to_string();
        apply.record_with(fleet.no, kind, Actor::System, resource, None, payload)?;
        apply.request_id = request_id;
    }
    Ok(Outcome::Done)
}

fn record(
    apply: &mut Apply<'_>,
    by: &Principal,
    kind: EventKind,
    fleet_id: String,
    payload: &serde_json::Value,
) -> Result<(), StorageError> {
    let actor = Actor::Operator(by.operator.id.clone());
    let resource = Resource::Other("fleet".into(), fleet_id);
    apply.record_with(by.fleet, kind, actor, resource, None, payload.to_string())
}
