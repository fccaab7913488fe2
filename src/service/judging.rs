//! Asking extensions about messages before they are proposed, and for the overview.
//!
//! Each message is asked about on the node that took it in, in the order of the extensions; each
//! of them sees what the earlier ones changed. What came of it travels with the message, and apply
//! decides whether it counts: see `machine::hook`. A repeated idempotency key is not asked about:
//! its answer stands.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ekho_storage::View;
use ekho_storage::tables::agent::Agent;
use ekho_storage::tables::hook::{HookEvent, OnFailure};
use ekho_storage::tables::message::{self, Recipient};
use ekho_storage::tables::{FleetNo, idempotency, nonce as nonces, settings, system};
use futures::{StreamExt, stream};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::tasks::Party;
use super::{Caller, Service, ServiceError};
use crate::clock::{Iso, now_ms};
use crate::extension::{Call, Decision, Message};
use crate::hooks::OfFleet;
use crate::hooks::handle::Handle;
use crate::id;
use crate::machine::command::{Judged, NewMessage, Verdict};
use crate::machine::outcome::Refusal;

/// All extensions together have this long for one message.
const BUDGET: Duration = Duration::from_secs(15);
/// Messages of a batch that are asked about at once.
const AT_ONCE: usize = 8;

impl Service {
    /// Asks extensions about messages; what they say is put into each.
    pub(super) async fn judge(
        &self,
        caller: &Caller,
        messages: &mut [NewMessage],
    ) -> Result<(), ServiceError> {
        let messages = messages.iter_mut().map(|new| (&caller.agent, new));
        self.judge_all(caller.agent.fleet, Some(caller), messages.collect())
            .await
    }

    /// The same for a message of a party of an A2A task.
    pub(super) async fn judge_of(
        &self,
        by: &Party,
        message: &mut NewMessage,
    ) -> Result<(), ServiceError> {
        let agent = by.agent();
        self.judge_all(agent.fleet, by.signed(), vec![(agent, message)])
            .await
    }

    /// The same for messages of several agents of a fleet, which were accepted at the edge.
    pub(crate) async fn judge_stored(
        &self,
        fleet: FleetNo,
        messages: Vec<(&Agent, &mut NewMessage)>,
    ) -> Result<(), ServiceError> {
        self.judge_all(fleet, None, messages).await
    }

    async fn judge_all(
        &self,
        fleet: FleetNo,
        caller: Option<&Caller>,
        messages: Vec<(&Agent, &mut NewMessage)>,
    ) -> Result<(), ServiceError> {
        let view = self.view();
        if self.extensions.is_nobody(&view, fleet)? {
            return Ok(());
        }
        let all = self.extensions.of(&view, &self.sealer, fleet)?;
        let asked: Vec<Arc<Handle>> = all.wanting(HookEvent::BeforeMessage).cloned().collect();
        if let (false, Some(caller)) = (asked.is_empty(), caller) {
            // A request that comes again must not set extensions to work.
            self.refuse_used_nonce(&view, caller)?;
        }
        let mut judging = Vec::with_capacity(messages.len());
        for (sender, new) in messages {
            judging.push(judge_one(&view, &all, &asked, sender, new));
        }
        let mut judging = stream::iter(judging).buffer_unordered(AT_ONCE);
        while let Some(judged) = judging.next().await {
            judged?;
        }
        Ok(())
    }

    pub(super) fn refuse_used_nonce(
        &self,
        view: &View,
        caller: &Caller,
    ) -> Result<(), ServiceError> {
        let now = now_ms();
        let skew_ms = settings::get(view)?.timestamp_skew_ms;
        let since_ms = now.saturating_sub(system::get(view)?.nonce_memory_ms(skew_ms));
        let (fleet, agent) = (caller.agent.fleet, caller.agent.no);
        match nonces::used(view, fleet, agent, &caller.nonce, since_ms, now)? {
            true => Err(Refusal::ReplayedNonce.into()),
            false => Ok(()),
        }
    }

    /// What extensions have to add to the overview, by name; null of one that did not answer.
    pub async fn extension_overview(
        &self,
        fleet: FleetNo,
    ) -> Result<Map<String, Value>, ServiceError> {
        let view = self.view();
        if self.extensions.is_nobody(&view, fleet)? {
            return Ok(Map::new());
        }
        let all = self.extensions.of(&view, &self.sealer, fleet)?;
        let call = Call {
            id: id::new_id("ovw_"),
            fleet_id: all.fleet_id.clone(),
            at_ms: now_ms(),
        };
        let asked = all.wanting(HookEvent::Overview).map(async |handle| {
            let answer = handle.overview(&call).await;
            (handle.name.clone(), answer.unwrap_or_default())
        });
        Ok(futures::future::join_all(asked).await.into_iter().collect())
    }
}

async fn judge_one(
    view: &View,
    all: &OfFleet,
    asked: &[Arc<Handle>],
    sender: &Agent,
    new: &mut NewMessage,
) -> Result<(), ServiceError> {
    new.judged = Judged {
        changes: all.changes,
        ..Judged::default()
    };
    new.tags = Vec::new();
    if asked.is_empty() {
        return Ok(());
    }
    if let Some((key, _)) = &new.idempotency
        && idempotency::get(view, sender.fleet, sender.no, key)?.is_some()
    {
        new.judged.verdict = Verdict::Repeats;
        return Ok(());
    }
    let mut message = offered(sender, new)?;
    let deadline = Instant::now() + BUDGET;
    for handle in asked {
        let call = Call {
            id: format!("{}_{:032x}", handle.follower, new.uuid),
            fleet_id: all.fleet_id.clone(),
            at_ms: now_ms(),
        };
        let left = deadline.saturating_duration_since(Instant::now());
        match handle.before(&call, &message, left).await {
            Ok(Decision::Allow { tags, metadata }) => {
                for tag in tags {
                    if !message.tags.contains(&tag) {
                        message.tags.push(tag);
                    }
                }
                if let Some(metadata) = metadata {
                    message.metadata = Some(raw(metadata.clone())?);
                    new.judged.metadata = Some(metadata);
                }
            }
            Ok(Decision::Block { reason }) => {
                let extension = handle.name.clone();
                new.judged.verdict = Verdict::Blocked { extension, reason };
                break;
            }
            Err(error) if handle.on_failure() == OnFailure::Closed => {
                tracing::debug!(%error, extension = handle.name, "a message is refused");
                let extension = handle.name.clone();
                new.judged.verdict = Verdict::Unavailable { extension };
                break;
            }
            Err(error) => {
                tracing::debug!(%error, extension = handle.name, "a message goes on without");
            }
        }
    }
    new.tags = message.tags;
    Ok(())
}

fn raw(json: String) -> Result<Box<RawValue>, ServiceError> {
    RawValue::from_string(json).map_err(|error| ServiceError::Internal(error.to_string()))
}

fn recipient(recipient: &Recipient) -> (&'static str, Option<String>) {
    match recipient {
        Recipient::Agent(id) => ("agent", Some(id.clone())),
        Recipient::Group(id) => ("group", Some(id.clone())),
        Recipient::Broadcast => ("broadcast", None),
    }
}

/// A message that is about to be proposed, as extensions see it.
fn offered(sender: &Agent, new: &NewMessage) -> Result<Message, ServiceError> {
    let (recipient_kind, recipient_id) = recipient(&new.recipient);
    Ok(Message {
        id: id::from_uuid("msg_", new.uuid),
        sender_kind: "agent",
        sender_id: sender.id.clone(),
        recipient_kind,
        recipient_id,
        message_type: new.message_type.clone(),
        priority: new.priority.as_str(),
        conversation_id: new.conversation_id.clone(),
        correlation_id: new.correlation_id.clone(),
        requires_approval: new.requires_approval,
        ttl_seconds: new.ttl_ms / 1000,
        body: raw(String::from_utf8_lossy(&new.body).into_owned())?,
        metadata: new.metadata.clone().map(raw).transpose()?,
        tags: Vec::new(),
        created_at: None,
    })
}

/// An accepted message as extensions see it; none where it was removed meanwhile.
pub fn accepted(view: &View, fleet: FleetNo, uuid: u128) -> Result<Option<Message>, ServiceError> {
    let stored = message::get(view, fleet, uuid)?;
    let body = message::body(view, fleet, uuid)?;
    let (Some(stored), Some(body)) = (stored, body) else {
        return Ok(None);
    };
    let (recipient_kind, recipient_id) = recipient(&stored.recipient);
    let lasts_ms = stored.deadline_ms.saturating_sub(stored.deliver_at_ms);
    Ok(Some(Message {
        id: id::from_uuid("msg_", uuid),
        sender_kind: stored.sender_kind(),
        sender_id: stored.sender_id,
        recipient_kind,
        recipient_id,
        message_type: stored.message_type,
        priority: stored.priority.as_str(),
        conversation_id: stored.conversation_id,
        correlation_id: stored.correlation_id,
        requires_approval: stored.approval.is_some(),
        ttl_seconds: lasts_ms / 1000,
        body: raw(String::from_utf8_lossy(&body).into_owned())?,
        metadata: stored.metadata.map(raw).transpose()?,
        tags: stored.tags,
        created_at: Some(Iso(stored.created_ms)),
    }))
}
