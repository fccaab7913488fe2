//! The judge is judged: an honest history passes, and each way of breaking a promise is found under
//! its own name.

use super::sample::{READER, handed, honest, id, op, queued, refused};
use super::{End, judge};
use crate::history::{Call, Fingerprint, Handed, History, Micros, Op, Outcome};

/// The rules that a history breaks after `tamper`.
fn broken(tamper: impl FnOnce(&mut History)) -> Vec<&'static str> {
    let (mut history, counters) = honest();
    tamper(&mut history);
    let mut rules: Vec<&str> = judge(&history, End::Counted(&counters), &[])
        .into_iter()
        .map(|violation| violation.rule)
        .collect();
    rules.dedup();
    rules
}

/// The request that began then.
fn at(history: &mut History, began: Micros) -> &mut Op {
    history.ops.iter_mut().find(|op| op.began == began).unwrap()
}

/// What the poll that began then handed out.
fn handed_at(history: &mut History, began: Micros) -> &mut Vec<Handed> {
    match &mut at(history, began).outcome {
        Outcome::Handed(messages) => messages,
        other => panic!("not a poll: {other:?}"),
    }
}

#[test]
fn an_honest_history_passes() {
    let (history, counters) = honest();
    assert_eq!(judge(&history, End::Counted(&counters), &[]), vec![]);
    assert_eq!(judge(&history, End::Drained, &[]), vec![]);
    assert_eq!(judge(&history, End::Anywhere, &[]), vec![]);
}

#[test]
fn a_lost_message_is_found() {
    let rules = broken(|history| drop(handed_at(history, 160).remove(0)));
    assert_eq!(rules, ["lost"]);
    // Also where the other recipient of the same message got it.
    let rules = broken(|history| drop(handed_at(history, 100).remove(3)));
    assert_eq!(rules, ["lost"]);
    let rules = broken(|history| at(history, 163).outcome = refused(404, "not_found"));
    assert_eq!(rules, ["lost"]);
}

#[test]
fn an_altered_message_is_found() {
    let alter = |tamper: fn(&mut Handed)| broken(|history| tamper(&mut handed_at(history, 100)[2]));
    assert_eq!(
        alter(|handed| handed.content.body = Fingerprint::of(b"{\"no\":2}")),
        ["altered"]
    );
    assert_eq!(
        alter(|handed| handed.content.metadata = Fingerprint::of(b"{ }")),
        ["altered"]
    );
    assert_eq!(
        alter(|handed| handed.content.conversation_id = "d".into()),
        ["altered"]
    );
    assert_eq!(
        alter(|handed| handed.content.sender_id = "agent_1".into()),
        ["altered"]
    );
    assert_eq!(
        alter(|handed| handed.content.message_type = "alert".into()),
        ["altered"]
    );
    assert_eq!(
        alter(|handed| handed.content.priority = "high".into()),
        ["altered"]
    );
    assert_eq!(alter(|handed| handed.content.ttl_ms -= 1), ["altered"]);
    let rules = alter(|handed| handed.created_at += 1);
    assert!(rules.contains(&"altered"), "{rules:?}");
    let rules = alter(|handed| handed.id = "msg_else".into());
    assert!(
        rules.contains(&"altered") && rules.contains(&"one became two"),
        "{rules:?}"
    );
}

#[test]
fn a_message_nobody_sent_or_for_somebody_else_is_found() {
    let rules = broken(|history| handed_at(history, 100)[2].message = None);
    assert_eq!(rules, ["never sent"]);
    let rules = broken(|history| handed_at(history, 160).insert(0, handed(0, 1)));
    assert_eq!(rules, ["wrong recipient"]);
    let rules = broken(|history| {
        at(history, 70).ended = 505;
        at(history, 70).began = 500;
    });
    assert_eq!(rules, ["never sent"]);
}

#[test]
fn a_refused_message_that_is_there_is_found() {
    let rules = broken(|history| handed_at(history, 140).push(handed(6, 1)));
    assert!(rules.contains(&"refused and done"), "{rules:?}");
    // One whose answer is not known may be there; only the counters are then others.
    let rules = broken(|history| handed_at(history, 140).push(handed(7, 1)));
    assert_eq!(rules, ["miscounted"]);
}

#[test]
fn a_wrong_order_is_found() {
    let rules = broken(|history| handed_at(history, 100).swap(2, 3));
    assert_eq!(rules, ["out of order"]);
    // Of one millisecond: then what senders know decides.
    let same_time = |history: &mut History| {
        for op in &mut history.ops {
            match &mut op.outcome {
                Outcome::Queued { queued_at, .. } => *queued_at = 1000,
                Outcome::Handed(messages) => {
                    messages
                        .iter_mut()
                        .for_each(|handed| handed.created_at = 1000);
                }
                _ => {}
            }
        }
    };
    assert_eq!(broken(same_time), Vec::<&str>::new());
    let rules = broken(|history| {
        same_time(history);
        handed_at(history, 100).swap(2, 3);
    });
    assert_eq!(rules, ["out of order"]);
    // What was handed out again comes late, and that is in order.
    let rules = broken(|history| handed_at(history, 140).swap(1, 2));
    assert_eq!(rules, Vec::<&str>::new());
}

#[test]
fn an_acked_message_that_comes_back_is_found() {
    let rules = broken(|history| handed_at(history, 140).push(handed(0, 2)));
    assert_eq!(rules, ["acked came back"]);
    // The first ack of 2 was not answered, so between it and the second it may come.
    let between = |history: &mut History| {
        let poll = op(READER, 127, Call::Poll, Outcome::Handed(vec![handed(2, 2)]));
        history.ops.push(poll);
    };
    assert_eq!(broken(between), Vec::<&str>::new());
}

#[test]
fn an_ack_counted_wrongly_is_found() {
    for (began, updated) in [(110, 0), (110, 2), (130, 0), (130, 3), (150, 2)] {
        let rules = broken(|history| at(history, began).outcome = Outcome::Updated(updated));
        assert_eq!(rules, ["ack miscounted"], "{updated} at {began}");
    }
    // Acked again, it counts nothing.
    let again = |updated| {
        broken(|history| {
            let call = Call::Ack(vec![id(0)]);
            history
                .ops
                .push(op(READER, 195, call, Outcome::Updated(updated)));
        })
    };
    assert_eq!(again(0), Vec::<&str>::new());
    assert_eq!(again(1), ["ack miscounted"]);
    let given_back = |updated| {
        broken(|history| {
            let call = Call::Nack(vec![id(1)]);
            history
                .ops
                .push(op(READER, 135, call, Outcome::Updated(updated)));
        })
    };
    assert_eq!(given_back(1), Vec::<&str>::new());
    assert_eq!(given_back(2), ["ack miscounted"]);
}

#[test]
fn a_hand_out_that_was_undone_is_found() {
    let rules = broken(|history| {
        let again = op(READER, 145, Call::Poll, Outcome::Handed(vec![handed(1, 2)]));
        history.ops.push(again);
    });
    assert_eq!(rules, ["hand-out undone"]);
}

#[test]
fn a_nonce_accepted_twice_is_found() {
    let rules = broken(|history| at(history, 200).outcome = Outcome::Accepted);
    assert_eq!(rules, ["nonce accepted twice"]);
    // A copy of a poll as well, though it changes nothing.
    let rules = broken(|history| {
        let mut copy = op(READER, 141, Call::Poll, Outcome::Handed(vec![]));
        copy.nonce = "n2-140".into();
        history.ops.push(copy);
    });
    assert_eq!(rules, ["nonce accepted twice"]);
}

#[test]
fn one_key_and_two_messages_is_found() {
    let rules = broken(|history| {
        at(history, 60).outcome = Outcome::Queued {
            id: "msg_else".into(),
            queued_at: 1004,
            repeated: false,
        };
    });
    assert!(rules.contains(&"one became two"), "{rules:?}");
    // Made twice under one id.
    let rules = broken(|history| {
        at(history, 50).outcome = queued(4, false);
        at(history, 60).outcome = queued(4, false);
    });
    assert_eq!(rules, ["one became two"]);
    // Answered with another time.
    let rules = broken(|history| {
        at(history, 50).outcome = Outcome::Queued {
            id: id(4),
            queued_at: 1005,
            repeated: false,
        };
    });
    assert!(rules.contains(&"one became two"), "{rules:?}");
}

#[test]
fn strange_answers_are_found() {
    let strange = |began: Micros, outcome: Outcome| {
        let rules = broken(|history| at(history, began).outcome = outcome.clone());
        assert!(
            rules.contains(&"strange answer"),
            "{outcome:?} at {began}: {rules:?}"
        );
    };
    strange(80, refused(500, "internal"));
    strange(80, refused(404, "unknown_recipient"));
    strange(80, refused(409, "idempotency_conflict"));
    strange(80, refused(429, "rate_limited"));
    strange(80, refused(503, ""));
    // A fresh nonce is not a replay, and a write does not depend on who leads.
    strange(80, refused(401, "replayed_nonce"));
    strange(80, refused(401, "timestamp_before_leadership"));
    strange(190, refused(401, "invalid_signature"));
    strange(200, refused(401, "invalid_signature"));
    strange(100, Outcome::Garbled("no messages".into()));
    // Unless a fault explains them.
    let (mut history, _) = honest();
    at(&mut history, 80).outcome = refused(429, "rate_limited");
    let found = judge(&history, End::Anywhere, &[(429, "rate_limited")]);
    assert_eq!(found, vec![]);
}

#[test]
fn a_stale_status_is_found() {
    let rules = broken(|history| at(history, 180).outcome = Outcome::Seen("delivered".into()));
    assert_eq!(rules, ["stale status"]);
    let rules = broken(|history| at(history, 163).outcome = Outcome::Seen("acked".into()));
    assert_eq!(rules, ["stale status"]);
}

#[test]
fn every_counter_counts() {
    let (history, counters) = honest();
    for name in counters.0.keys() {
        let mut wrong = counters.clone();
        *wrong.0.get_mut(name).unwrap() += 1;
        let rules: Vec<&str> = judge(&history, End::Counted(&wrong), &[])
            .iter()
            .map(|violation| violation.rule)
            .collect();
        assert_eq!(rules, ["miscounted"], "{name}");
        wrong.0.remove(name);
        assert_eq!(
            judge(&history, End::Counted(&wrong), &[]).len(),
            1,
            "{name}"
        );
    }
}
