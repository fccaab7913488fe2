//! Sends that an edge node accepted while it was cut off, once they arrive: considered as any
//! other send, at the time they arrive, each once. Where one is refused its sender is told by a
//! control, as there is nobody left to answer.

use std::collections::BTreeSet;

use ekho_storage::StorageError;
use ekho_storage::tables::agent::{self, Agent};
use ekho_storage::tables::control::Control;
use ekho_storage::tables::edge::{self, EdgeDone, FleetSettings};
use ekho_storage::tables::event::{Actor, EventKind, Resource};
use ekho_storage::tables::nonce::{self as nonces, bucket};
use ekho_storage::tables::settings::Settings;
use ekho_storage::tables::{AgentNo, FleetNo};

use super::access::Principal;
use super::agent::put_control;
use super::apply::Apply;
use super::auth::may_sign;
use super::command::{Auth, EdgeEntry, EdgeSend, NewMessage, Schedule};
use super::hook;
use super::outcome::{EdgeResult, Outcome, Refusal, Sent};
use super::send::{Author, rate_state, repeated, send_one};

/// What tells a sender that a send was refused after all.
const REFUSED: &str = "send.refused";
/// What tells a sender that a send was answered before, elsewhere, with another message id.
const REPEATED: &str = "send.repeated";

/// When hooks that did not answer are asked again.
const HOOK_RETRY_MS: u64 = 5000;

/// How long a send may wait at the edge. Its idempotency key may have been used elsewhere as long
/// before, by a client that tries again there: until then that is remembered.
pub fn longest_wait_ms(settings: &Settings) -> u64 {
    settings.idempotency_ms / 2
}

/// Changes what the fleet allows nodes at the edge.
pub(crate) fn change_settings(
    apply: &mut Apply<'_>,
    by: &Principal,
    after: FleetSettings,
) -> Result<Outcome, StorageError> {
    let before = edge::settings(apply.txn, by.fleet)?;
    if before == after {
        return Ok(Outcome::Done);
    }
    edge::put_settings(apply.txn, by.fleet, &after)?;
    let shown =
        |settings: FleetSettings| serde_json::json!({ "edge_outbox": settings.edge_outbox });
    let payload = serde_json::json!({ "before": shown(before), "after": shown(after) });
    apply.record_with(
        by.fleet,
        EventKind::SettingsChanged,
        Actor::Operator(by.operator.id.clone()),
        Resource::Other("fleet_settings".into(), String::new()),
        None,
        payload.to_string(),
    )?;
    Ok(Outcome::Done)
}

/// Considers sends in the order they were accepted in. What has to wait holds up what its sender
/// sent after it, and nobody else.
pub(crate) fn send(apply: &mut Apply<'_>, sends: EdgeSend) -> Result<Outcome, StorageError> {
    let (fleet, node_id) = (sends.fleet, sends.node_id);
    let mut held = BTreeSet::new();
    let mut results = Vec::with_capacity(sends.entries.len());
    for entry in sends.entries {
        let (agent, seq) = (entry.agent, entry.seq);
        let later = |retry_after_ms| EdgeResult::Later { retry_after_ms };
        if held.contains(&agent) {
            results.push(later(0));
            continue;
        }
        let done = edge::done(apply.txn, fleet, agent, node_id)?;
        if done.is_some_and(|done| done.outbox == sends.outbox && done.seq >= seq) {
            // It was decided, and the answer lost.
            results.push(EdgeResult::Decided);
            continue;
        }
        let told = About::of(&entry, node_id);
        let nonce = is_remembered(apply, &entry).then(|| entry.nonce.clone());
        let signed_ms = entry.timestamp_ms.min(apply.now());
        match one(apply, fleet, entry)? {
            Verdict::Later(retry_after_ms) => {
                held.insert(agent);
                results.push(later(retry_after_ms));
                continue;
            }
            Verdict::Accepted(sent) if sent.message == told.message => {}
            Verdict::Accepted(sent) => told.repeated(apply, fleet, &sent)?,
            Verdict::Refused(code, why) => told.refused(apply, fleet, code, &why)?,
        }
        if let Some(nonce) = nonce {
            // The same signed request counts nowhere else any more.
            nonces::put(apply.txn, fleet, agent, &nonce, signed_ms);
        }
        let outbox = sends.outbox;
        edge::put_done(apply.txn, fleet, agent, node_id, &EdgeDone { outbox, seq });
        results.push(EdgeResult::Decided);
    }
    Ok(Outcome::EdgeSent { results })
}

enum Verdict {
    Accepted(Sent),
    Refused(&'static str, String),
    Later(u64),
}

impl From<Refusal> for Verdict {
    fn from(refusal: Refusal) -> Self {
        let (code, why) = refusal.of_message();
        Verdict::Refused(code, why)
    }
}

fn one(apply: &mut Apply<'_>, fleet: FleetNo, entry: EdgeEntry) -> Result<Verdict, StorageError> {
    let now = apply.now();
    let auth = Auth {
        fleet,
        agent: entry.agent,
        credential: entry.credential,
        nonce: None,
        timestamp_ms: entry.timestamp_ms,
    };
    let Some(mut sender) = may_sign(apply.txn, &auth, now)? else {
        return Ok(Refusal::InvalidCredentials.into());
    };
    // What was accepted before under the key is that, however long ago this one was signed.
    match repeated(apply, Author::Agent(&sender), &entry.message)? {
        Some(Ok(sent)) => return Ok(Verdict::Accepted(sent)),
        Some(Err(refusal)) => return Ok(refusal.into()),
        None => {}
    }
    let waited_ms = entry.waited_ms.max(now.saturating_sub(entry.stored_ms));
    if waited_ms > longest_wait_ms(apply.settings) || !is_remembered(apply, &entry) {
        let why = "it waited at the edge for longer than the relay remembers what was sent";
        return Ok(Verdict::Refused("too_old", why.into()));
    }
    if was_used(apply, fleet, &entry)? {
        return Ok(Refusal::ReplayedNonce.into());
    }
    if !hook::were_asked(apply, fleet, std::slice::from_ref(&entry.message))? {
        return Ok(Verdict::Later(0));
    }
    let rate = rate_state(apply, &sender)?;
    if rate.remaining == 0 {
        // Its sender cannot know how many came through; it waits its turn and is no offence.
        return Ok(Verdict::Later(rate.reset_ms.saturating_sub(now)));
    }
    let Some(message) = worth_left(entry, now) else {
        let why = "its time to live was over before the edge could forward it";
        return Ok(Verdict::Refused("expired", why.into()));
    };
    Ok(match send_one(apply, &mut sender, message, &[])? {
        Ok(sent) => Verdict::Accepted(sent),
        // Hooks have to be asked again.
        Err(Refusal::ExtensionsNotAsked | Refusal::ExtensionUnavailable { .. }) => {
            Verdict::Later(HOOK_RETRY_MS)
        }
        Err(refusal) => refusal.into(),
    })
}

/// Whether the relay still knows which nonces were used when this request could be accepted.
fn is_remembered(apply: &Apply<'_>, entry: &EdgeEntry) -> bool {
    let skew_ms = apply.settings.timestamp_skew_ms;
    let earliest_ms = entry.timestamp_ms.saturating_sub(skew_ms);
    entry.timestamp_ms > apply.system.timestamp_floor_ms
        && bucket(earliest_ms) >= apply.system.nonce_floor_bucket
}

/// Whether the same signed request was accepted elsewhere, perhaps with another idempotency key,
/// which the signature does not cover. It could only be while its timestamp was acceptable.
fn was_used(apply: &Apply<'_>, fleet: FleetNo, entry: &EdgeEntry) -> Result<bool, StorageError> {
    let skew_ms = apply.settings.timestamp_skew_ms;
    let from_ms = entry.timestamp_ms.saturating_sub(skew_ms);
    let to_ms = entry.timestamp_ms.saturating_add(skew_ms);
    let to_ms = to_ms.min(apply.now());
    nonces::used(apply.txn, fleet, entry.agent, &entry.nonce, from_ms, to_ms)
}

/// The message with what is left of its time to live, if anything is: it counts from when the
/// edge accepted it.
fn worth_left(entry: EdgeEntry, now_ms: u64) -> Option<NewMessage> {
    let mut message = entry.message;
    let lost_ms = match message.schedule {
        Schedule::AtMs(at_ms) => now_ms.saturating_sub(at_ms).min(entry.waited_ms),
        Schedule::Now | Schedule::DelayMs(_) => entry.waited_ms,
    };
    message.ttl_ms = message.ttl_ms.checked_sub(lost_ms)?;
    (message.ttl_ms > 0).then_some(message)
}

/// A send, as its sender knows it.
struct About {
    agent: AgentNo,
    message: u128,
    key: String,
    conversation_id: String,
    node_id: u64,
}

impl About {
    fn of(entry: &EdgeEntry, node_id: u64) -> Self {
        let key = entry.message.idempotency.as_ref();
        About {
            agent: entry.agent,
            message: entry.message.uuid,
            key: key.map(|(key, _)| key.clone()).unwrap_or_default(),
            conversation_id: entry.message.conversation_id.clone(),
            node_id,
        }
    }

    fn refused(
        self,
        apply: &mut Apply<'_>,
        fleet: FleetNo,
        code: &str,
        why: &str,
    ) -> Result<(), StorageError> {
        let payload = serde_json::json!({
            "code": code,
            "reason": why,
            "idempotency_key": self.key,
            "node_id": self.node_id,
        });
        apply.record_with(
            fleet,
            EventKind::MessageEdgeRefused,
            Actor::Agent(self.agent),
            Resource::Message(self.message),
            Some(self.conversation_id.clone()),
            payload.to_string(),
        )?;
        self.tell(apply, fleet, REFUSED, &format!("{code}: {why}"))
    }

    fn repeated(
        self,
        apply: &mut Apply<'_>,
        fleet: FleetNo,
        sent: &Sent,
    ) -> Result<(), StorageError> {
        let text = format!("it is msg_{:032x}, which was accepted before", sent.message);
        self.tell(apply, fleet, REPEATED, &text)
    }

    fn tell(
        self,
        apply: &mut Apply<'_>,
        fleet: FleetNo,
        action: &str,
        text: &str,
    ) -> Result<(), StorageError> {
        let known: Option<Agent> = agent::get(apply.txn, fleet, self.agent)?;
        if known.is_none_or(|agent| agent.revoked) {
            return Ok(());
        }
        let (message, key) = (self.message, self.key);
        let reason = format!("msg_{message:032x}, idempotency key {key:?}: {text}");
        // As long as its sender would find the message itself.
        let until_ms = apply.now() + apply.settings.message_retention_ms;
        let control = Control::new(action, &reason, Some(until_ms));
        put_control(apply, fleet, self.agent, control)
    }
}
