//! What recipients got: all of it, as it was sent, in order, and nothing after an ack.

use std::collections::{HashMap, HashSet};

use super::{Facts, Found};
use crate::history::{Call, Micros, Outcome};

/// What is handed out is what somebody sent to this recipient, in every byte, under the id that its
/// sender was told.
pub(super) fn as_sent(facts: &Facts<'_>, found: &mut Found) {
    for (recipient, receipts) in facts.inboxes() {
        for receipt in receipts {
            let handed = receipt.handed;
            let Some(no) = facts.message_of(handed) else {
                found.add("never sent", format!("agent {recipient} got {}", handed.id));
                continue;
            };
            let message = &facts.history.messages[no];
            if facts.first_began(no) > receipt.op.ended {
                found.add(
                    "never sent",
                    format!("message {no} reached agent {recipient} before it was sent"),
                );
            }
            if !message.recipients.contains(&recipient) {
                found.add(
                    "wrong recipient",
                    format!("message {no} reached agent {recipient}"),
                );
            }
            if handed.content != message.content {
                let detail = format!(
                    "message {no} ({}) was {:?}, agent {recipient} got {:?}",
                    handed.id, message.content, handed.content
                );
                found.add("altered", detail);
            }
            if let Some(accepted) = facts.accepted[no].first()
                && (accepted.id, accepted.queued_at) != (handed.id.as_str(), handed.created_at)
            {
                let detail = format!(
                    "message {no} was queued as {} at {}, agent {recipient} got {} of {}",
                    accepted.id, accepted.queued_at, handed.id, handed.created_at
                );
                found.add("altered", detail);
            }
        }
    }
}

/// Every message that was answered 2xx reached each of its recipients.
pub(super) fn none_is_lost(facts: &Facts<'_>, found: &mut Found) {
    let mut reached = HashSet::new();
    for (recipient, receipts) in facts.inboxes() {
        reached.extend(
            receipts
                .iter()
                .map(|receipt| (recipient, receipt.handed.id.as_str())),
        );
    }
    for (no, accepted) in facts.accepted.iter().enumerate() {
        let Some(accepted) = accepted.first() else {
            continue;
        };
        for recipient in &facts.history.messages[no].recipients {
            if !reached.contains(&(*recipient, accepted.id)) {
                let detail = format!(
                    "message {no} ({}) never reached agent {recipient}",
                    accepted.id
                );
                found.add("lost", detail);
            }
        }
    }
}

/// A message of which every request was refused is not there.
pub(super) fn refused_is_not_done(facts: &Facts<'_>, found: &mut Found) {
    for (recipient, receipts) in facts.inboxes() {
        for no in receipts
            .iter()
            .filter_map(|receipt| facts.message_of(receipt.handed))
        {
            let sends = &facts.sends[no];
            if !sends.is_empty() && sends.iter().all(|op| op.outcome.is_refusal()) {
                found.add(
                    "refused and done",
                    format!("message {no} reached agent {recipient}"),
                );
            }
        }
    }
}

/// Each hand-out of a message counts one attempt more than the one before: an answered poll is
/// never undone.
pub(super) fn hand_outs_are_counted(facts: &Facts<'_>, found: &mut Found) {
    for (recipient, receipts) in facts.inboxes() {
        let mut attempts: HashMap<&str, u32> = HashMap::new();
        for receipt in receipts {
            let handed = receipt.handed;
            let before = attempts.insert(&handed.id, handed.attempt).unwrap_or(0);
            if handed.attempt <= before {
                let detail = format!(
                    "agent {recipient} got {} as attempt {} after attempt {before}",
                    handed.id, handed.attempt
                );
                found.add("hand-out undone", detail);
            }
        }
    }
}

/// Messages that needed one hand-out only reached their recipient in the order of acceptance: by
/// the relay's own times, and by what senders know (one was answered before the other was sent).
pub(super) fn in_accepted_order(facts: &Facts<'_>, found: &mut Found) {
    for (recipient, receipts) in facts.inboxes() {
        let repeated: HashSet<&str> = receipts
            .iter()
            .filter(|receipt| receipt.handed.attempt > 1)
            .map(|receipt| receipt.handed.id.as_str())
            .collect();
        let mut newest: Option<(i64, usize)> = None;
        let mut latest: Option<(Micros, usize)> = None;
        for receipt in receipts {
            let handed = receipt.handed;
            let Some(no) = facts.message_of(handed) else {
                continue;
            };
            if repeated.contains(handed.id.as_str()) || facts.history.messages[no].delay_ms > 0 {
                continue;
            }
            if let Some((created_at, earlier)) = newest
                && created_at > handed.created_at
            {
                let detail = format!(
                    "agent {recipient} got message {earlier} of {created_at} before message {no} of {}",
                    handed.created_at
                );
                found.add("out of order", detail);
            }
            if let (Some((began, earlier)), Some(known)) = (latest, facts.known_since(no))
                && began > known
            {
                let detail = format!(
                    "agent {recipient} got message {earlier} before message {no}, which was answered \
                     before the other was sent"
                );
                found.add("out of order", detail);
            }
            newest = newest.max(Some((handed.created_at, no)));
            latest = latest.max(Some((facts.first_began(no), no)));
        }
    }
}

/// Once an ack was answered 2xx, no later poll hands the message out.
pub(super) fn acked_stays_acked(facts: &Facts<'_>, found: &mut Found) {
    for (recipient, receipts) in facts.inboxes() {
        for receipt in receipts {
            let id = receipt.handed.id.as_str();
            if facts
                .acked_since(recipient, id)
                .is_some_and(|since| receipt.op.began > since)
            {
                let detail = format!(
                    "agent {recipient} got {id} again (attempt {}) after its ack was answered",
                    receipt.handed.attempt
                );
                found.add("acked came back", detail);
            }
        }
    }
}

/// An ack counts a delivery that was open, and counts it once. Giving back counts at most what it
/// names.
pub(super) fn acks_are_counted(facts: &Facts<'_>, found: &mut Found) {
    for op in &facts.history.ops {
        if let (Call::Nack(messages), Outcome::Updated(updated)) = (&op.call, &op.outcome)
            && *updated > messages.len() as u64
        {
            let detail = format!(
                "agent {} gave back {messages:?} and was told {updated}",
                op.agent
            );
            found.add("ack miscounted", detail);
        }
    }
    let mut seen = HashSet::new();
    for mention in facts.acks.values().flatten() {
        let Outcome::Updated(updated) = mention.op.outcome else {
            continue;
        };
        // One request stands under each message it names.
        if !seen.insert((
            mention.op.agent,
            mention.op.nonce.as_str(),
            mention.op.began,
        )) {
            continue;
        }
        let (mut open, mut over) = (0, 0);
        for id in mention.messages {
            let all = &facts.acks[&(mention.op.agent, id.as_str())];
            let others = || {
                all.iter()
                    .filter(|other| !std::ptr::eq(other.op, mention.op))
            };
            let may_have_counted = others()
                .any(|other| !other.op.outcome.is_refusal() && other.op.began < mention.op.ended);
            let counted = others()
                .any(|other| other.op.outcome.is_success() && other.op.ended < mention.op.began);
            open += u64::from(!may_have_counted);
            over += u64::from(counted);
        }
        let most = mention.messages.len() as u64 - over;
        if updated < open || updated > most {
            let detail = format!(
                "agent {} acked {:?} and was told {updated}, not {open} to {most}",
                mention.op.agent, mention.messages
            );
            found.add("ack miscounted", detail);
        }
    }
}
