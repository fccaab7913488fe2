//! Licences: what a node has verified becomes what all nodes go by.
//!
//! Apply knows no key and no signature; it takes over facts, notes when they change and when they
//! end, in the audit log of the first fleet.

use ekho_storage::StorageError;
use ekho_storage::tables::due::{self, Due};
use ekho_storage::tables::event::{Actor, EventKind, Resource};
use ekho_storage::tables::license::{self, Feature, License, Licenses, SKEW_MS};
use ekho_storage::tables::{TimeMs, fleet};

use super::access::Principal;
use super::apply::Apply;
use super::outcome::{Outcome, Refusal};

/// Refuses where the licence does not allow something at the time of the command.
pub(crate) fn require(
    apply: &Apply<'_>,
    feature: Feature,
) -> Result<Option<Refusal>, StorageError> {
    let licenses = license::get(apply.txn)?;
    let allowed = license::allows(&licenses, feature, apply.now());
    Ok((!allowed).then_some(Refusal::LicenseRequired { feature }))
}

/// Takes over the licence that the leader is configured with, or that it has none.
pub(crate) fn configure(
    apply: &mut Apply<'_>,
    configured: Option<License>,
) -> Result<Outcome, StorageError> {
    let before = license::get(apply.txn)?;
    let after = Licenses {
        configured,
        ..before.clone()
    };
    change(apply, before, after, Actor::System)?;
    Ok(Outcome::Done)
}

/// Installs a licence, in place of one that was installed before, or removes that.
pub(crate) fn install(
    apply: &mut Apply<'_>,
    by: &Principal,
    installed: Option<License>,
) -> Result<Outcome, StorageError> {
    if installed
        .as_ref()
        .is_some_and(|new| !new.holds(apply.now()))
    {
        let why = "the licence has ended".into();
        return Ok(Outcome::Refused(Refusal::Conflict(why)));
    }
    let before = license::get(apply.txn)?;
    if installed.is_none() && before.installed.is_none() {
        return Ok(Outcome::Refused(Refusal::NotFound));
    }
    let after = Licenses {
        installed,
        ..before.clone()
    };
    change(
        apply,
        before,
        after,
        Actor::Operator(by.operator.id.clone()),
    )?;
    Ok(Outcome::Done)
}

fn change(
    apply: &mut Apply<'_>,
    before: Licenses,
    after: Licenses,
    actor: Actor,
) -> Result<(), StorageError> {
    if before == after {
        return Ok(());
    }
    for end_ms in ends(&before) {
        due::delete(apply.txn, end_ms, &Due::License);
    }
    let now_ms = apply.now();
    for end_ms in ends(&after).filter(|end_ms| *end_ms > now_ms) {
        due::put(apply.txn, end_ms, &Due::License);
    }
    license::put(apply.txn, &after);
    let payload = serde_json::json!({ "before": shown(&before), "after": shown(&after) });
    record(apply, EventKind::LicenseChanged, actor, &payload)
}

/// Notes that a licence has ended.
pub(crate) fn ended(apply: &mut Apply<'_>, due_ms: TimeMs) -> Result<(), StorageError> {
    let licenses = license::get(apply.txn)?;
    if !ends(&licenses).any(|end_ms| end_ms == due_ms) {
        return Ok(());
    }
    let payload = serde_json::json!({
        "licenses": shown(&licenses),
        "tier": licenses.tier(apply.now()).as_str(),
    });
    record(apply, EventKind::LicenseExpired, Actor::System, &payload)
}

/// When the licences end.
fn ends(licenses: &Licenses) -> impl Iterator<Item = TimeMs> + use<> {
    [&licenses.installed, &licenses.configured]
        .map(|slot| {
            slot.as_ref()
                .map(|license| license.expires_ms.saturating_add(SKEW_MS))
        })
        .into_iter()
        .flatten()
}

fn shown(licenses: &Licenses) -> serde_json::Value {
    let one = |license: &License| {
        serde_json::json!({
            "tier": license.tier.as_str(),
            "org": license.org,
            "max_fleets": license.max_fleets,
            "features": license.features,
            "issued_ms": license.issued_ms,
            "expires_ms": license.expires_ms,
            "fingerprint": hex::encode(license.fingerprint),
        })
    };
    serde_json::json!({
        "installed": licenses.installed.as_ref().map(one),
        "configured": licenses.configured.as_ref().map(one),
    })
}

/// Before the first fleet there is no log to record anything in.
fn record(
    apply: &mut Apply<'_>,
    kind: EventKind,
    actor: Actor,
    payload: &serde_json::Value,
) -> Result<(), StorageError> {
    if fleet::get(apply.txn, fleet::FIRST)?.is_none() {
        return Ok(());
    }
    let resource = Resource::Other("license".into(), String::new());
    apply.record_with(
        fleet::FIRST,
        kind,
        actor,
        resource,
        None,
        payload.to_string(),
    )
}
