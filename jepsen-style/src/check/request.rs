//! What was answered to whom, how often: nothing out of the contract, no nonce twice, one message a
//! key, and no write that its writer cannot see.

use std::collections::{HashMap, HashSet};

use super::{Allowed, Facts, Found};
use crate::history::{Call, History, Outcome};

/// Refusals that say that nothing was done and that it may be tried again.
const TRY_AGAIN: u16 = 503;

/// Answers are those that the contract has for well-formed requests of an agent in good standing.
pub(super) fn answers_are_in_order(history: &History, allowed: Allowed<'_>, found: &mut Found) {
    let mut requests: HashMap<(u16, &str), u32> = HashMap::new();
    for op in &history.ops {
        *requests.entry((op.agent, &op.nonce)).or_default() += 1;
    }
    for op in &history.ops {
        let (status, code) = match &op.outcome {
            Outcome::Refused { status, code } => (*status, code.as_str()),
            Outcome::Garbled(what) => {
                found.add(
                    "strange answer",
                    format!("agent {}, {:?}: {what}", op.agent, op.call),
                );
                continue;
            }
            _ => continue,
        };
        let once = requests
            .get(&(op.agent, op.nonce.as_str()))
            .is_none_or(|count| *count == 1);
        let reads = matches!(op.call, Call::Poll | Call::Look(_));
        let expected = match (status, code) {
            (TRY_AGAIN, code) => !code.is_empty(),
            (401, "replayed_nonce") => !once,
            (401, "timestamp_before_leadership") => reads || matches!(op.call, Call::Replay),
            (401, "timestamp_skew") => matches!(op.call, Call::Replay),
            // Judged where what was written is known.
            (404, _) => matches!(op.call, Call::Look(_)),
            other => allowed.contains(&other),
        };
        if !expected {
            let detail = format!("agent {}, {:?}: {status} {code}", op.agent, op.call);
            found.add("strange answer", detail);
        }
    }
}

/// The bytes of one signed request are answered 2xx at most once.
pub(super) fn nonces_are_accepted_once(history: &History, found: &mut Found) {
    let mut accepted = HashSet::new();
    for op in history.ops.iter().filter(|op| op.outcome.is_success()) {
        if !accepted.insert((op.agent, op.nonce.as_str())) {
            let detail = format!(
                "agent {}, nonce {}, then as {:?}",
                op.agent, op.nonce, op.call
            );
            found.add("nonce accepted twice", detail);
        }
    }
}

/// However often a message was sent under its key, it is one message: one id, one time, made once.
/// Without a key there was one request, so it is one message as well.
pub(super) fn one_message_for_one_key(facts: &Facts<'_>, found: &mut Found) {
    let mut handed: HashMap<usize, HashSet<&str>> = HashMap::new();
    for receipt in facts.receipts.values().flatten() {
        if let Some(no) = facts.message_of(receipt.handed) {
            handed.entry(no).or_default().insert(&receipt.handed.id);
        }
    }
    for (no, accepted) in facts.accepted.iter().enumerate() {
        let mut ids = handed.remove(&no).unwrap_or_default();
        ids.extend(accepted.iter().map(|accepted| accepted.id));
        let times: HashSet<i64> = accepted.iter().map(|accepted| accepted.queued_at).collect();
        let made = accepted
            .iter()
            .filter(|accepted| !accepted.repeated)
            .count();
        if ids.len() > 1 || times.len() > 1 || made > 1 {
            let keyed = facts.history.messages[no].keyed;
            let detail = format!(
                "message {no} (keyed: {keyed}) is {ids:?}, of {times:?}, made {made} times"
            );
            found.add("one became two", detail);
        }
    }
}

/// Who was told that a message is queued finds it, and finds it acked once its recipients were told
/// so, and not before they asked.
pub(super) fn writes_are_seen(facts: &Facts<'_>, found: &mut Found) {
    for op in &facts.history.ops {
        let Call::Look(id) = &op.call else { continue };
        let Some(no) = facts.ids.get(id.as_str()).copied() else {
            continue;
        };
        let known = facts.known_since(no).is_some_and(|known| known < op.began);
        match &op.outcome {
            Outcome::Refused { status: 404, .. } if known => {
                found.add(
                    "lost",
                    format!("message {no} ({id}) was queued and its sender gets 404"),
                );
            }
            Outcome::Seen(status) => {
                let recipients = &facts.history.messages[no].recipients;
                let acked = recipients.iter().all(|recipient| {
                    facts
                        .acked_since(*recipient, id)
                        .is_some_and(|since| since < op.began)
                });
                let unasked = recipients.iter().any(|recipient| {
                    facts
                        .acks
                        .get(&(*recipient, id.as_str()))
                        .is_none_or(|mentions| {
                            mentions.iter().all(|mention| mention.op.began > op.ended)
                        })
                });
                if (acked && status != "acked") || (unasked && status == "acked") {
                    let detail = format!("message {no} ({id}) is {status}; all acked: {acked}");
                    found.add("stale status", detail);
                }
            }
            _ => {}
        }
    }
}
