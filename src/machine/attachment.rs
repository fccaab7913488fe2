//! Attachments: which there are, who may read them, and how long they stay. Their bytes are on the
//! disks of a majority before a command makes one; apply never touches a file.

use ekho_storage::tables::agent::Agent;
use ekho_storage::tables::attachment::{self, Attachment, AttachmentSettings, Uploader};
use ekho_storage::tables::counter::{self, Counter};
use ekho_storage::tables::due::{self, Due};
use ekho_storage::tables::event::{Actor, EventKind, Resource};
use ekho_storage::tables::message::{self, Message, MessageState, Recipient};
use ekho_storage::tables::{AgentNo, FleetNo, TimeMs, delivery, room};
use ekho_storage::{Read, StorageError};

use super::access::Principal;
use super::apply::Apply;
use super::command::NewAttachment;
use super::outcome::{HeldStatus, Outcome, Refusal};

/// Attachments that a message may bind.
pub const PER_MESSAGE_MAX: usize = 10;
/// Messages that may bind one attachment: whoever reads it looks through them.
pub const MESSAGES_MAX: usize = 1000;
/// Attachments of a fleet.
pub const PER_FLEET_MAX: u64 = 1_000_000;

/// What decides about attachments; the defaults before anybody wrote them.
pub fn settings(read: &impl Read) -> Result<AttachmentSettings, StorageError> {
    Ok(attachment::settings(read)?.unwrap_or_default())
}

/// An agent uploaded a file.
pub(crate) fn create(
    apply: &mut Apply<'_>,
    agent: &Agent,
    new: NewAttachment,
) -> Result<Outcome, StorageError> {
    if let Some(held) = HeldStatus::of(apply.status(agent)?) {
        return Ok(Outcome::Refused(Refusal::Held(held)));
    }
    let by = Uploader::Agent(agent.no);
    add(apply, agent.fleet, by, Actor::Agent(agent.no), new)
}

/// An operator uploaded a file.
pub(crate) fn create_for_operator(
    apply: &mut Apply<'_>,
    by: &Principal,
    new: NewAttachment,
) -> Result<Outcome, StorageError> {
    let id = by.operator.id.clone();
    let actor = Actor::Operator(id.clone());
    add(apply, by.fleet, Uploader::Operator(id), actor, new)
}

fn add(
    apply: &mut Apply<'_>,
    fleet: FleetNo,
    by: Uploader,
    actor: Actor,
    new: NewAttachment,
) -> Result<Outcome, StorageError> {
    let settings = settings(apply.txn)?;
    let now = apply.now();
    if new.size_bytes > settings.attachment_max_bytes {
        let limit_bytes = settings.attachment_max_bytes;
        return Ok(Outcome::Refused(Refusal::AttachmentTooLarge {
            limit_bytes,
        }));
    }
    // Nodes no longer promise to have kept the bytes.
    if now > new.stored_ms.saturating_add(settings.upload_ms()) {
        return Ok(Outcome::Refused(Refusal::AttachmentLate));
    }
    if let Some(refusal) = no_room(apply, fleet, &settings, &new)? {
        return Ok(Outcome::Refused(refusal));
    }
    let expires_ms = now.saturating_add(settings.attachment_unbound_ms);
    let stored = Attachment {
        uuid: new.uuid,
        filename: new.filename,
        mime: new.mime,
        sniffed: new.sniffed,
        size_bytes: new.size_bytes,
        sha256: new.sha256,
        by,
        created_ms: now,
        expires_ms,
        messages: 0,
    };
    attachment::add(apply.txn, fleet, &stored)?;
    due::put(apply.txn, expires_ms, &entry(fleet, &stored));
    record(apply, fleet, EventKind::AttachmentStored, actor, &stored)?;
    apply.effects.files.stored.push(stored.sha256);
    Ok(Outcome::AttachmentCreated {
        created_ms: now,
        expires_ms,
    })
}

fn no_room(
    apply: &Apply<'_>,
    fleet: FleetNo,
    settings: &AttachmentSettings,
    new: &NewAttachment,
) -> Result<Option<Refusal>, StorageError> {
    if counter::get(apply.txn, fleet, Counter::Attachments)? >= PER_FLEET_MAX {
        let limit = PER_FLEET_MAX;
        return Ok(Some(Refusal::LimitReached { limit }));
    }
    // What the fleet has already takes no more room.
    let more_bytes = match attachment::content(apply.txn, fleet, &new.sha256)? {
        Some(_) => 0,
        None => new.size_bytes,
    };
    let limit_bytes = settings.attachment_fleet_max_bytes;
    let used_bytes = counter::get(apply.txn, fleet, Counter::AttachmentBytes)?;
    let is_over = used_bytes.saturating_add(more_bytes) > limit_bytes;
    Ok(is_over.then_some(Refusal::AttachmentQuota { limit_bytes }))
}

/// The refusal of a message that binds these, where it may not; `sender` is none for an operator,
/// who sees all of the fleet.
pub(crate) fn refused(
    apply: &Apply<'_>,
    fleet: FleetNo,
    sender: Option<AgentNo>,
    attachments: &[u128],
) -> Result<Option<Refusal>, StorageError> {
    for (place, uuid) in attachments.iter().enumerate() {
        let found = attachment::get(apply.txn, fleet, *uuid)?;
        let Some(found) = found.filter(|_| !attachments[..place].contains(uuid)) else {
            return Ok(Some(Refusal::UnknownAttachment));
        };
        if let Some(sender) = sender
            && !may_read(apply.txn, fleet, &found, sender, apply.now())?
        {
            return Ok(Some(Refusal::UnknownAttachment));
        }
        if found.messages as usize >= MESSAGES_MAX {
            let limit = MESSAGES_MAX as u64;
            return Ok(Some(Refusal::LimitReached { limit }));
        }
    }
    if attachments.len() > PER_MESSAGE_MAX {
        let limit = PER_MESSAGE_MAX as u64;
        return Ok(Some(Refusal::LimitReached { limit }));
    }
    Ok(None)
}

/// Binds attachments to a message that is accepted; [`refused`] had nothing against it.
pub(crate) fn bind(
    apply: &mut Apply<'_>,
    fleet: FleetNo,
    message: u128,
    attachments: &[u128],
) -> Result<(), StorageError> {
    if attachments.is_empty() {
        return Ok(());
    }
    for uuid in attachments {
        let Some(mut bound) = attachment::get(apply.txn, fleet, *uuid)? else {
            continue;
        };
        if bound.expires_ms > 0 {
            due::delete(apply.txn, bound.expires_ms, &entry(fleet, &bound));
            bound.expires_ms = 0;
        }
        bound.messages += 1;
        attachment::put(apply.txn, fleet, &bound);
    }
    attachment::put_of_message(apply.txn, fleet, message, attachments.to_vec());
    Ok(())
}

/// A message is removed: what no other message binds goes with it, or at the end of the time that
/// it would have had without any.
pub(crate) fn unbind(
    apply: &mut Apply<'_>,
    fleet: FleetNo,
    message: u128,
) -> Result<(), StorageError> {
    let attachments = attachment::of_message(apply.txn, fleet, message)?;
    if attachments.is_empty() {
        return Ok(());
    }
    attachment::delete_of_message(apply.txn, fleet, message, &attachments);
    let unbound_ms = settings(apply.txn)?.attachment_unbound_ms;
    for uuid in attachments {
        let Some(mut left) = attachment::get(apply.txn, fleet, uuid)? else {
            continue;
        };
        left.messages = left.messages.saturating_sub(1);
        let until_ms = left.created_ms.saturating_add(unbound_ms);
        if left.messages == 0 && until_ms <= apply.now() {
            remove(apply, fleet, &left)?;
            continue;
        }
        if left.messages == 0 {
            left.expires_ms = until_ms;
            due::put(apply.txn, until_ms, &entry(fleet, &left));
        }
        attachment::put(apply.txn, fleet, &left);
    }
    Ok(())
}

/// The time of an attachment that no message binds is over.
pub(crate) fn expired(
    apply: &mut Apply<'_>,
    due_ms: TimeMs,
    fleet: FleetNo,
    uuid: u128,
) -> Result<(), StorageError> {
    match attachment::get(apply.txn, fleet, uuid)? {
        Some(over) if over.expires_ms == due_ms => remove(apply, fleet, &over),
        _ => Ok(()),
    }
}

fn remove(apply: &mut Apply<'_>, fleet: FleetNo, over: &Attachment) -> Result<(), StorageError> {
    if attachment::remove(apply.txn, fleet, over)? {
        // Another fleet may have it; who removes files looks.
        apply.effects.files.removed.push(over.sha256);
    }
    record(
        apply,
        fleet,
        EventKind::AttachmentRemoved,
        Actor::System,
        over,
    )
}

/// Whether an agent may read an attachment: who uploaded it, who sent or was sent a message that
/// binds it, and who is in a room that such a message went to.
pub fn may_read(
    read: &impl Read,
    fleet: FleetNo,
    wanted: &Attachment,
    agent: AgentNo,
    now_ms: TimeMs,
) -> Result<bool, StorageError> {
    if wanted.by == Uploader::Agent(agent) {
        return Ok(true);
    }
    for uuid in attachment::messages(read, fleet, wanted.uuid, MESSAGES_MAX)? {
        if let Some(message) = message::get(read, fleet, uuid)?
            && sees(read, fleet, &message, agent, now_ms)?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether an agent has to do with a message, and would be shown it by now.
fn sees(
    read: &impl Read,
    fleet: FleetNo,
    message: &Message,
    agent: AgentNo,
    now_ms: TimeMs,
) -> Result<bool, StorageError> {
    if message.sender == agent {
        return Ok(true);
    }
    let is_out = matches!(message.state, MessageState::Open | MessageState::Done);
    if !is_out || message.deliver_at_ms > now_ms {
        return Ok(false);
    }
    if let Recipient::Group(id) = &message.recipient
        && room::get(read, fleet, id)?.is_some_and(|room| room.members.contains(&agent))
    {
        return Ok(true);
    }
    match message.single {
        Some((recipient, _)) => Ok(recipient == agent),
        None => Ok(delivery::fan_out(read, fleet, message.uuid, agent)?.is_some()),
    }
}

fn entry(fleet: FleetNo, attachment: &Attachment) -> Due {
    Due::Attachment {
        fleet,
        attachment: attachment.uuid,
    }
}

fn record(
    apply: &mut Apply<'_>,
    fleet: FleetNo,
    kind: EventKind,
    actor: Actor,
    about: &Attachment,
) -> Result<(), StorageError> {
    let payload = serde_json::json!({
        "filename": about.filename,
        "mime": about.mime,
        "size_bytes": about.size_bytes,
        "sha256": hex::encode(about.sha256),
    });
    let id = format!("att_{:032x}", about.uuid);
    let resource = Resource::Other("attachment".into(), id);
    apply.record_with(fleet, kind, actor, resource, None, payload.to_string())
}

/// Puts the first settings in place, as the leader is configured with them. Later ones stay.
pub(crate) fn seed(
    apply: &mut Apply<'_>,
    first: &AttachmentSettings,
) -> Result<Outcome, StorageError> {
    if attachment::settings(apply.txn)?.is_none() {
        attachment::put_settings(apply.txn, first);
    }
    Ok(Outcome::Done)
}

/// Changes the settings, provided they still are what the change was made from.
pub(crate) fn change_settings(
    apply: &mut Apply<'_>,
    by: &Principal,
    before: &AttachmentSettings,
    after: &AttachmentSettings,
) -> Result<Outcome, StorageError> {
    if settings(apply.txn)? != *before {
        let why = "the settings were changed by someone else meanwhile";
        return Ok(Outcome::Refused(Refusal::Conflict(why.into())));
    }
    attachment::put_settings(apply.txn, after);
    let payload = serde_json::json!({ "before": before, "after": after }).to_string();
    let resource = Resource::Other("settings".into(), "attachments".into());
    let actor = Actor::Operator(by.operator.id.clone());
    apply.record_with(
        by.fleet,
        EventKind::SettingsChanged,
        actor,
        resource,
        None,
        payload,
    )?;
    Ok(Outcome::Done)
}
