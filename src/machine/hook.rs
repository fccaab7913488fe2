//! Hooks: changes operators make to them, what extensions said of a message, and how far those who
//! follow the audit log were told.
//!
//! No hook is called from here: a command carries what was said where the message came in, and
//! apply decides whether that still counts.

use ekho_storage::StorageError;
use ekho_storage::tables::event::{Actor, EventKind, Resource};
use ekho_storage::tables::hook::{self, HOOKS_MAX, Hook, HookDraft, HookSecret, SECRETS_MAX};
use ekho_storage::tables::message::Recipient;
use ekho_storage::tables::sequence::{self, Sequence};
use ekho_storage::tables::{FleetNo, agent};

use super::access::Principal;
use super::apply::Apply;
use super::command::{HookGaveUp, NewMessage, PutHook, Verdict};
use super::outcome::{Outcome, Refusal};

/// Whether the hooks that these messages were asked about are those of now. Where they are not,
/// the messages have to be asked about again: what an operator was told is in force must be.
pub(crate) fn were_asked(
    apply: &Apply<'_>,
    fleet: FleetNo,
    messages: &[NewMessage],
) -> Result<bool, StorageError> {
    let changes = hook::changes(apply.txn, fleet)?;
    Ok(messages.iter().all(|new| new.judged.changes == changes))
}

/// The refusal of a message that extensions did not let pass, where they did not. It is recorded.
pub(crate) fn refused(
    apply: &mut Apply<'_>,
    sender: &agent::Agent,
    new: &NewMessage,
) -> Result<Option<Refusal>, StorageError> {
    let (extension, reason) = match &new.judged.verdict {
        Verdict::Allowed => return Ok(None),
        // Nobody was asked, because the first answer was there to be given; it is gone.
        Verdict::Repeats => return Ok(Some(Refusal::ExtensionsNotAsked)),
        Verdict::Blocked { extension, reason } => (extension, Some(reason)),
        Verdict::Unavailable { extension } => (extension, None),
    };
    let recipient = match &new.recipient {
        Recipient::Agent(id) | Recipient::Group(id) => id.as_str(),
        Recipient::Broadcast => "broadcast",
    };
    let payload = serde_json::json!({
        "extension": extension,
        "reason": reason.map_or("unavailable", |reason| reason.as_str()),
        "available": reason.is_some(),
        "recipient": recipient,
        "message_type": new.message_type,
    });
    apply.record_with(
        sender.fleet,
        EventKind::MessageExtensionBlocked,
        Actor::Agent(sender.no),
        Resource::Other("extension".into(), extension.clone()),
        Some(new.conversation_id.clone()),
        payload.to_string(),
    )?;
    let extension = extension.clone();
    Ok(Some(match reason {
        Some(reason) => Refusal::ExtensionBlocked {
            extension,
            reason: reason.clone(),
        },
        None => Refusal::ExtensionUnavailable { extension },
    }))
}

/// Makes a hook, or changes one, provided it still is what the change was made from.
pub(crate) fn put(
    apply: &mut Apply<'_>,
    by: &Principal,
    change: PutHook,
) -> Result<Outcome, StorageError> {
    let PutHook {
        hook_id,
        from_version,
        draft,
        sealed_secret,
    } = change;
    let before = hook::get(apply.txn, by.fleet, &hook_id)?;
    let hooks = hook::list(apply.txn, by.fleet)?;
    match (&before, from_version) {
        (None, 0) if hooks.len() >= HOOKS_MAX => {
            let limit = HOOKS_MAX as u64;
            return Ok(Outcome::Refused(Refusal::LimitReached { limit }));
        }
        (None, 0) => {}
        (None, _) => return Ok(Outcome::Refused(Refusal::NotFound)),
        (Some(before), version) if before.version != version => {
            let why = "the hook was changed by someone else meanwhile";
            return Ok(Outcome::Refused(Refusal::Conflict(why.into())));
        }
        (Some(_), _) => {}
    }
    let is_taken = |one: &Hook| one.draft.name == draft.name && one.id != hook_id;
    if hooks.iter().any(is_taken) {
        let why = "a hook with this name exists";
        return Ok(Outcome::Refused(Refusal::Conflict(why.into())));
    }
    let now = apply.now();
    let secrets = match (&before, sealed_secret) {
        (_, Some(sealed)) => vec![HookSecret {
            sealed,
            valid_until_ms: None,
        }],
        (Some(before), None) => before.secrets.clone(),
        (None, None) => Vec::new(),
    };
    let after = Hook {
        id: hook_id,
        version: from_version + 1,
        draft,
        secrets,
        created_ms: before.as_ref().map_or(now, |before| before.created_ms),
        updated_ms: now,
        updated_by: by.operator.id.clone(),
    };
    // What happened while it did not listen is not told later.
    let followed = before.as_ref().is_some_and(|before| before.draft.follows());
    if after.draft.follows() && !followed {
        let head = sequence::last(apply.txn, by.fleet, Sequence::Event)?;
        hook::put_position(apply.txn, by.fleet, &after.id, head);
    }
    hook::put(apply.txn, by.fleet, &after)?;
    let kind = match before {
        Some(_) => EventKind::HookUpdated,
        None => EventKind::HookCreated,
    };
    changed(apply, by, kind, before.as_ref(), Some(&after))?;
    Ok(Outcome::Done)
}

/// Removes a hook.
pub(crate) fn delete(
    apply: &mut Apply<'_>,
    by: &Principal,
    hook_id: &str,
) -> Result<Outcome, StorageError> {
    let Some(before) = hook::get(apply.txn, by.fleet, hook_id)? else {
        return Ok(Outcome::Refused(Refusal::NotFound));
    };
    hook::delete(apply.txn, by.fleet, hook_id)?;
    changed(apply, by, EventKind::HookDeleted, Some(&before), None)?;
    Ok(Outcome::Done)
}

/// Replaces a hook's secret; the old one keeps signing beside it for a while.
pub(crate) fn rotate(
    apply: &mut Apply<'_>,
    by: &Principal,
    hook_id: &str,
    sealed: Vec<u8>,
    overlap_ms: u64,
) -> Result<Outcome, StorageError> {
    let Some(before) = hook::get(apply.txn, by.fleet, hook_id)? else {
        return Ok(Outcome::Refused(Refusal::NotFound));
    };
    let now = apply.now();
    let until_ms = now.saturating_add(overlap_ms);
    let mut after = before.clone();
    after.version += 1;
    after.updated_ms = now;
    after.updated_by = by.operator.id.clone();
    for secret in &mut after.secrets {
        let ends_ms = secret.valid_until_ms.unwrap_or(until_ms).min(until_ms);
        secret.valid_until_ms = Some(ends_ms);
    }
    after
        .secrets
        .retain(|secret| secret.valid_until_ms.is_none_or(|until| until > now));
    let present = HookSecret {
        sealed,
        valid_until_ms: None,
    };
    after.secrets.insert(0, present);
    after.secrets.truncate(SECRETS_MAX);
    hook::put(apply.txn, by.fleet, &after)?;
    let kind = EventKind::HookSecretRotated;
    changed(apply, by, kind, Some(&before), Some(&after))?;
    Ok(Outcome::Rotated {
        credential: after.version,
        previous_valid_until_ms: until_ms,
    })
}

/// Takes note how far followers of the audit log were told.
pub(crate) fn followed(
    apply: &mut Apply<'_>,
    fleet: FleetNo,
    positions: Vec<(String, u64)>,
) -> Result<Outcome, StorageError> {
    for (follower, seq) in positions {
        advance(apply, fleet, &follower, seq)?;
    }
    Ok(Outcome::Done)
}

/// Takes note that a follower was not told of an event, and is not going to be.
pub(crate) fn gave_up(
    apply: &mut Apply<'_>,
    fleet: FleetNo,
    gave_up: HookGaveUp,
) -> Result<Outcome, StorageError> {
    if !advance(apply, fleet, &gave_up.follower, gave_up.seq)? {
        return Ok(Outcome::Done);
    }
    let payload = serde_json::json!({
        "name": gave_up.name,
        "event_id": gave_up.event_id,
        "event": gave_up.event,
        "attempts": gave_up.attempts,
        "last_error": gave_up.last_error,
    });
    apply.record_with(
        fleet,
        EventKind::HookDeliveryFailed,
        Actor::System,
        Resource::Other("hook".into(), gave_up.follower),
        None,
        payload.to_string(),
    )?;
    Ok(Outcome::Done)
}

/// Moves a follower on, never back; whether it was moved. A hook that was removed meanwhile leaves
/// nothing behind.
fn advance(
    apply: &mut Apply<'_>,
    fleet: FleetNo,
    follower: &str,
    seq: u64,
) -> Result<bool, StorageError> {
    let before = hook::position(apply.txn, fleet, follower)?;
    let is_gone = before.is_none() && !is_extension(follower);
    if is_gone || before.is_some_and(|before| before >= seq) {
        return Ok(false);
    }
    hook::put_position(apply.txn, fleet, follower, seq);
    Ok(true)
}

/// Extensions of the process follow the audit log under their name; no hook has such an id.
const EXTENSION_PREFIX: &str = "extension:";

/// What an extension of the process is called where followers are told apart.
pub fn extension_follower(name: &str) -> String {
    format!("{EXTENSION_PREFIX}{name}")
}

fn is_extension(follower: &str) -> bool {
    follower.starts_with(EXTENSION_PREFIX)
}

fn changed(
    apply: &mut Apply<'_>,
    by: &Principal,
    kind: EventKind,
    before: Option<&Hook>,
    after: Option<&Hook>,
) -> Result<(), StorageError> {
    let id = after.or(before).map(|hook| hook.id.clone());
    let resource = Resource::Other("hook".into(), id.unwrap_or_default());
    let payload = serde_json::json!({ "before": before.map(shown), "after": after.map(shown) });
    let actor = Actor::Operator(by.operator.id.clone());
    apply.record_with(by.fleet, kind, actor, resource, None, payload.to_string())
}

/// A hook as the audit log shows it: all but its secrets.
fn shown(hook: &Hook) -> serde_json::Value {
    let HookDraft {
        name,
        url,
        events,
        enabled,
        timeout_ms,
        on_failure,
        priority,
        retry_ms,
    } = &hook.draft;
    let events: Vec<&str> = events.iter().map(|event| event.as_str()).collect();
    serde_json::json!({
        "id": hook.id,
        "version": hook.version,
        "name": name,
        "url": url,
        "events": events,
        "enabled": enabled,
        "timeout_ms": timeout_ms,
        "on_failure": on_failure.as_str(),
        "priority": priority,
        "retry_ms": retry_ms,
        "secrets": hook.secrets.len(),
    })
}
