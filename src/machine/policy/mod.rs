//! Policies: which message is refused, held, sent elsewhere or tagged, and the changes operators
//! make to them.
//!
//! Enabled policies of the fleet, and those scoped to the sender or the recipient, are looked at in
//! this order: those that refuse, those that tag, all others; among those lower priorities first,
//! then the older one. The first match that does not tag decides; where none does, the message is
//! allowed.

mod clock;
mod decide;
mod rules;
mod view;

use ekho_storage::StorageError;
use ekho_storage::tables::event::{Actor, EventKind, Resource};
use ekho_storage::tables::license::Feature;
use ekho_storage::tables::policy::{self, Draft, POLICIES_MAX, Policy};

use super::access::Principal;
use super::apply::Apply;
use super::license;
use super::outcome::{Imported, Outcome, Refusal};

pub use decide::sent_in_window;
pub(crate) use decide::{Permitted, count, denies, permitted};
pub use rules::{Body, Match, Party, Question, Rule, RuleCache, Rules, Verdict, pattern};
pub use view::{DAYS, shown};

const TOO_MANY: Refusal = Refusal::LimitReached {
    limit: POLICIES_MAX as u64,
};

/// Makes a policy, or a new version of one.
pub(crate) fn put(
    apply: &mut Apply<'_>,
    by: &Principal,
    id: String,
    draft: Draft,
    is_new: bool,
) -> Result<Outcome, StorageError> {
    let before = policy::get(apply.txn, by.fleet, &id)?;
    if before.is_none() && !is_new {
        return Ok(Outcome::Refused(Refusal::NotFound));
    }
    if is_new && policy::list(apply.txn, by.fleet)?.len() >= POLICIES_MAX {
        return Ok(Outcome::Refused(TOO_MANY));
    }
    if let Some(refusal) = unlicensed(apply, std::iter::once(&draft))? {
        return Ok(Outcome::Refused(refusal));
    }
    write(apply, by, id, draft, before)?;
    Ok(Outcome::Done)
}

/// Why these must not begin to hold, where a licence is missing. One that is switched off holds
/// nothing, and what holds already goes on.
fn unlicensed<'a>(
    apply: &Apply<'_>,
    mut drafts: impl Iterator<Item = &'a Draft>,
) -> Result<Option<Refusal>, StorageError> {
    match drafts.any(|draft| draft.enabled && draft.is_advanced()) {
        true => license::require(apply, Feature::AdvancedPolicies),
        false => Ok(None),
    }
}

fn write(
    apply: &mut Apply<'_>,
    by: &Principal,
    id: String,
    draft: Draft,
    before: Option<Policy>,
) -> Result<(), StorageError> {
    let now = apply.now();
    let after = Policy {
        id,
        version: before.as_ref().map_or(1, |before| before.version + 1),
        draft,
        created_ms: before.as_ref().map_or(now, |before| before.created_ms),
        updated_ms: now,
        updated_by: by.operator.id.clone(),
    };
    policy::put(apply.txn, by.fleet, &after)?;
    let kind = match before {
        Some(_) => EventKind::PolicyUpdated,
        None => EventKind::PolicyCreated,
    };
    changed(apply, by, kind, before.as_ref(), Some(&after))
}

/// Makes a set of policies hold in one step: all of it or, where one of them cannot be, nothing.
pub(crate) fn import(
    apply: &mut Apply<'_>,
    by: &Principal,
    policies: Vec<(String, Draft)>,
    delete_others: bool,
    dry_run: bool,
) -> Result<Outcome, StorageError> {
    let present = policy::list(apply.txn, by.fleet)?;
    let is_named = |id: &str| policies.iter().any(|(named, _)| named == id);
    let others: Vec<Policy> = match delete_others {
        true => present
            .iter()
            .filter(|one| !is_named(&one.id))
            .cloned()
            .collect(),
        false => Vec::new(),
    };
    let find = |id: &str| present.iter().find(|one| one.id == id).cloned();
    let new = policies.iter().filter(|(id, _)| find(id).is_none()).count();
    if present.len() - others.len() + new > POLICIES_MAX {
        return Ok(Outcome::Refused(TOO_MANY));
    }
    let is_other = |(id, draft): &&(String, Draft)| {
        let before = present.iter().find(|one| one.id == *id);
        before.is_none_or(|before| before.draft != *draft)
    };
    let changed_ones = policies.iter().filter(is_other).map(|(_, draft)| draft);
    if let Some(refusal) = unlicensed(apply, changed_ones)? {
        return Ok(Outcome::Refused(refusal));
    }
    let mut done = Imported {
        deleted: others.len() as u32,
        ..Imported::default()
    };
    for before in others.iter().filter(|_| !dry_run) {
        policy::delete(apply.txn, by.fleet, &before.id)?;
        changed(apply, by, EventKind::PolicyDeleted, Some(before), None)?;
    }
    for (id, draft) in policies {
        let before = find(&id);
        match &before {
            Some(before) if before.draft == draft => {
                done.unchanged += 1;
                continue;
            }
            Some(_) => done.updated += 1,
            None => done.created += 1,
        }
        if !dry_run {
            write(apply, by, id, draft, before)?;
        }
    }
    Ok(Outcome::PoliciesImported(done))
}

/// Removes a policy.
pub(crate) fn delete(
    apply: &mut Apply<'_>,
    by: &Principal,
    id: &str,
) -> Result<Outcome, StorageError> {
    let Some(before) = policy::get(apply.txn, by.fleet, id)? else {
        return Ok(Outcome::Refused(Refusal::NotFound));
    };
    policy::delete(apply.txn, by.fleet, id)?;
    changed(apply, by, EventKind::PolicyDeleted, Some(&before), None)?;
    Ok(Outcome::Done)
}

/// Makes an old version of a policy the newest one.
pub(crate) fn roll_back(
    apply: &mut Apply<'_>,
    by: &Principal,
    id: String,
    version: u32,
) -> Result<Outcome, StorageError> {
    let versions = policy::versions(apply.txn, by.fleet, &id)?;
    match versions.into_iter().find(|old| old.version == version) {
        Some(old) => put(apply, by, id, old.draft, false),
        None => Ok(Outcome::Refused(Refusal::NotFound)),
    }
}

fn changed(
    apply: &mut Apply<'_>,
    by: &Principal,
    kind: EventKind,
    before: Option<&Policy>,
    after: Option<&Policy>,
) -> Result<(), StorageError> {
    // What this batch decides from here on is decided by the new ones.
    apply.effects.rules = None;
    let id = after.or(before).map(|policy| policy.id.clone());
    let resource = Resource::Other("policy".into(), id.unwrap_or_default());
    let payload = serde_json::json!({ "before": before.map(shown), "after": after.map(shown) });
    let actor = Actor::Operator(by.operator.id.clone());
    apply.record_with(by.fleet, kind, actor, resource, None, payload.to_string())
}
