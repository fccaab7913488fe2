//! Hooks in the state: changed, asked about messages, and how far they were told

use ekho::machine::command::{
    AgentRequest, Command, HookGaveUp, Judged, NewMessage, OperatorRequest, PutHook, Verdict,
};
use ekho::machine::hook::extension_follower;
use ekho::machine::outcome::{Outcome, Refusal};
use ekho_storage::tables::event::{self, EventKind};
use ekho_storage::tables::hook::{self, HOOKS_MAX, HookDraft, HookEvent, OnFailure};
use ekho_storage::tables::sequence::{self, Sequence};

use crate::rig::{FLEET, MINUTE, OPERATOR_ID, Peer, Relay};

fn draft(name: &str, events: &[HookEvent]) -> HookDraft {
    HookDraft {
        name: name.into(),
        url: "http://127.0.0.1:4100/".into(),
        events: events.to_vec(),
        enabled: true,
        timeout_ms: 1000,
        on_failure: OnFailure::Closed,
        priority: 100,
        retry_ms: MINUTE,
    }
}

fn put(relay: &mut Relay, id: &str, from_version: u32, draft: HookDraft) -> Outcome {
    relay.operator(OperatorRequest::PutHook(Box::new(PutHook {
        hook_id: id.into(),
        from_version,
        draft,
        sealed_secret: (from_version == 0).then(|| vec![1, 2, 3]),
    })))
}

fn changes(relay: &Relay) -> u64 {
    hook::changes(&relay.txn, FLEET).unwrap()
}

fn head(relay: &Relay) -> u64 {
    sequence::last(&relay.txn, FLEET, Sequence::Event).unwrap()
}

/// A message about which extensions said this.
fn judged(relay: &mut Relay, to: &Peer, verdict: Verdict) -> NewMessage {
    NewMessage {
        judged: Judged {
            changes: changes(relay),
            verdict,
            ..Judged::default()
        },
        ..relay.to(to)
    }
}

fn blocked() -> Verdict {
    Verdict::Blocked {
        extension: "scanner".into(),
        reason: "no".into(),
    }
}

#[test]
fn a_message_is_asked_about_again_where_hooks_changed_meanwhile() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let message = relay.to(&reviewer);
    let before = [HookEvent::BeforeMessage];
    assert_eq!(
        put(&mut relay, "hook_1", 0, draft("a", &before)),
        Outcome::Done
    );
    let auth = relay.auth(writer.no);
    let send = |relay: &mut Relay, message: NewMessage| {
        let request = AgentRequest::Send(vec![message]);
        let auth = auth.clone();
        relay.apply(Command::Signed { auth, request })
    };
    let not_asked = Outcome::Refused(Refusal::ExtensionsNotAsked);
    assert_eq!(send(&mut relay, message), not_asked);
    // Its nonce is still good.
    let asked = judged(&mut relay, &reviewer, Verdict::Allowed);
    let sent = send(&mut relay, asked);
    assert!(matches!(sent, Outcome::Sent { .. }), "{sent:?}");
    // Once only.
    let again = judged(&mut relay, &reviewer, Verdict::Allowed);
    let replayed = Outcome::Refused(Refusal::ReplayedNonce);
    assert_eq!(send(&mut relay, again), replayed);
    // Every kind of change counts.
    let asked = judged(&mut relay, &reviewer, Verdict::Allowed);
    let rotate = OperatorRequest::RotateHookSecret {
        hook_id: "hook_1".into(),
        sealed_secret: vec![4],
        overlap_ms: MINUTE,
    };
    relay.operator(rotate);
    let outcome = relay.sign(&writer, AgentRequest::Send(vec![asked]));
    assert_eq!(outcome, not_asked);
    let asked = judged(&mut relay, &reviewer, Verdict::Allowed);
    relay.operator(OperatorRequest::DeleteHook {
        hook_id: "hook_1".into(),
    });
    let outcome = relay.sign(&writer, AgentRequest::Send(vec![asked]));
    assert_eq!(outcome, not_asked);
}

#[test]
fn what_was_said_counts_after_everything_else() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let message = judged(&mut relay, &reviewer, blocked());
    let refused = Refusal::ExtensionBlocked {
        extension: "scanner".into(),
        reason: "no".into(),
    };
    assert_eq!(relay.send(&writer, message), Err(refused));
    assert_eq!(relay.events(1), [EventKind::MessageExtensionBlocked]);
    let mut unknown = judged(&mut relay, &reviewer, blocked());
    unknown.recipient = ekho_storage::tables::message::Recipient::Agent("agent_x".into());
    let refused = relay.send(&writer, unknown);
    assert_eq!(refused, Err(Refusal::UnknownRecipient));

    // The first answer under a key stands, whatever is said now; and without a first answer,
    // nobody was asked.
    let key = Some(("key".to_string(), [1; 32]));
    let first = NewMessage {
        idempotency: key.clone(),
        ..judged(&mut relay, &reviewer, Verdict::Allowed)
    };
    let first = relay.send(&writer, first).unwrap();
    for verdict in [blocked(), Verdict::Repeats] {
        let again = NewMessage {
            idempotency: key.clone(),
            ..judged(&mut relay, &reviewer, verdict)
        };
        let again = relay.send(&writer, again).unwrap();
        assert_eq!((again.message, again.repeated), (first.message, true));
    }
    let gone = NewMessage {
        idempotency: Some(("other".into(), [1; 32])),
        ..judged(&mut relay, &reviewer, Verdict::Repeats)
    };
    let refused = relay.send(&writer, gone);
    assert_eq!(refused, Err(Refusal::ExtensionsNotAsked));
    assert_eq!(relay.take(&reviewer).len(), 1);

    let mut message = judged(&mut relay, &reviewer, Verdict::Allowed);
    message.metadata = Some(r#"{"by":"writer"}"#.into());
    message.judged.metadata = Some(r#"{"by":"scanner"}"#.into());
    message.tags = vec!["pii".into()];
    let sent = relay.send(&writer, message).unwrap();
    let stored = relay.message(sent.message).unwrap();
    assert_eq!(stored.metadata.as_deref(), Some(r#"{"by":"scanner"}"#));
    assert_eq!(stored.tags, ["pii"]);
}

#[test]
fn changes_are_made_from_the_newest_version_and_recorded_without_secrets() {
    let mut relay = Relay::new();
    let events = [HookEvent::Overview];
    assert_eq!(
        put(&mut relay, "hook_1", 0, draft("a", &events)),
        Outcome::Done
    );
    let conflict = |outcome: Outcome| matches!(outcome, Outcome::Refused(Refusal::Conflict(_)));
    assert!(conflict(put(&mut relay, "hook_1", 0, draft("b", &events))));
    assert!(conflict(put(&mut relay, "hook_2", 0, draft("a", &events))));
    assert_eq!(
        put(&mut relay, "hook_1", 1, draft("b", &events)),
        Outcome::Done
    );
    assert!(conflict(put(&mut relay, "hook_1", 1, draft("c", &events))));
    let nobody = put(&mut relay, "hook_9", 3, draft("d", &events));
    assert_eq!(nobody, Outcome::Refused(Refusal::NotFound));
    let (_, last) = event::list_rev(&relay.txn, FLEET, u64::MAX, 1)
        .unwrap()
        .remove(0);
    let payload: serde_json::Value = serde_json::from_str(&last.payload).unwrap();
    assert_eq!(last.kind, EventKind::HookUpdated);
    assert_eq!(last.request_id, "req_test");
    assert_eq!(
        (&payload["before"]["name"], &payload["after"]["name"]),
        (&"a".into(), &"b".into())
    );
    assert_eq!(payload["after"]["secrets"], 1);
    for number in 2..=HOOKS_MAX {
        let name = format!("n{number}");
        let made = put(
            &mut relay,
            &format!("hook_n{number:02}"),
            0,
            draft(&name, &events),
        );
        assert_eq!(made, Outcome::Done);
    }
    let one_more = put(&mut relay, "hook_z", 0, draft("z", &events));
    let limit = HOOKS_MAX as u64;
    assert_eq!(one_more, Outcome::Refused(Refusal::LimitReached { limit }));
    let stored = hook::get(&relay.txn, FLEET, "hook_1").unwrap().unwrap();
    assert_eq!(
        (stored.version, stored.updated_by.as_str()),
        (2, OPERATOR_ID)
    );
}

#[test]
fn two_secrets_sign_while_one_is_replaced_and_never_more() {
    let mut relay = Relay::new();
    put(&mut relay, "hook_1", 0, draft("a", &[HookEvent::Overview]));
    let rotate = |relay: &mut Relay, secret: u8, overlap_ms: u64| {
        let rotated = relay.operator(OperatorRequest::RotateHookSecret {
            hook_id: "hook_1".into(),
            sealed_secret: vec![secret],
            overlap_ms,
        });
        assert!(matches!(rotated, Outcome::Rotated { .. }), "{rotated:?}");
        let stored = hook::get(&relay.txn, FLEET, "hook_1").unwrap().unwrap();
        let secrets = stored.secrets.into_iter();
        secrets
            .map(|secret| (secret.sealed, secret.valid_until_ms))
            .collect::<Vec<_>>()
    };
    let now = relay.now_ms;
    let until = Some(now + MINUTE);
    assert_eq!(
        rotate(&mut relay, 4, MINUTE),
        [(vec![4], None), (vec![1, 2, 3], until)]
    );
    assert_eq!(
        rotate(&mut relay, 5, 2 * MINUTE),
        [(vec![5], None), (vec![4], Some(now + 2 * MINUTE))]
    );
    assert_eq!(rotate(&mut relay, 6, 0), [(vec![6], None)]);
}

#[test]
fn a_follower_only_ever_moves_on() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let after = [HookEvent::AfterMessage];
    put(
        &mut relay,
        "hook_1",
        0,
        draft("a", &[HookEvent::BeforeMessage]),
    );
    assert_eq!(hook::position(&relay.txn, FLEET, "hook_1").unwrap(), None);
    // It begins with what happens after it was told to listen.
    let began = head(&relay);
    put(&mut relay, "hook_1", 1, draft("a", &after));
    let position = |relay: &Relay, who: &str| hook::position(&relay.txn, FLEET, who).unwrap();
    assert_eq!(position(&relay, "hook_1"), Some(began));
    let followed = |relay: &mut Relay, who: &str, seq: u64| {
        let positions = vec![(who.to_string(), seq)];
        let fleet = FLEET;
        relay.apply(Command::Followed { fleet, positions });
    };
    followed(&mut relay, "hook_1", began + 1);
    followed(&mut relay, "hook_1", began);
    assert_eq!(position(&relay, "hook_1"), Some(began + 1));
    // A change that is none to what it follows leaves its place.
    put(&mut relay, "hook_1", 2, draft("b", &after));
    assert_eq!(position(&relay, "hook_1"), Some(began + 1));
    // Whoever is not known leaves nothing behind, but for extensions of the process.
    followed(&mut relay, "hook_9", 3);
    assert_eq!(position(&relay, "hook_9"), None);
    let own = extension_follower("own");
    followed(&mut relay, &own, 3);
    assert_eq!(position(&relay, &own), Some(3));

    let message = judged(&mut relay, &reviewer, Verdict::Allowed);
    relay.send(&writer, message).unwrap();
    let seq = head(&relay);
    let gave_up = HookGaveUp {
        follower: "hook_1".into(),
        name: "b".into(),
        seq,
        event_id: "evt_1".into(),
        event: "after_message".into(),
        attempts: 3,
        last_error: "no answer in time".into(),
    };
    for _ in 0..2 {
        // Twice, as after a lost answer: recorded once.
        relay.apply(Command::HookGaveUp {
            fleet: FLEET,
            gave_up: gave_up.clone(),
        });
        assert_eq!(head(&relay), seq + 1);
    }
    assert_eq!(relay.events(1), [EventKind::HookDeliveryFailed]);
    assert_eq!(position(&relay, "hook_1"), Some(seq));
    relay.operator(OperatorRequest::DeleteHook {
        hook_id: "hook_1".into(),
    });
    assert_eq!(position(&relay, "hook_1"), None);
    followed(&mut relay, "hook_1", seq + 9);
    assert_eq!(position(&relay, "hook_1"), None);
}
