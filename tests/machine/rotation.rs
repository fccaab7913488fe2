//! Changing the master secret: only what was read is replaced, nothing comes under the old key
//! meanwhile, and the new key is in force at the end.

use ekho::machine::command::{
    Command, ImportAgent, ImportRow, NewA2aRemote, NewPush, OperatorRequest, PutHook, Reseal,
    TaskRequest,
};
use ekho::machine::outcome::{Outcome, Refusal};
use ekho_storage::tables::event::EventKind;
use ekho_storage::tables::hook::{HookDraft, HookEvent, OnFailure};
use ekho_storage::tables::imported_secret::ImportedHash;
use ekho_storage::tables::rotation::{self, Rotation};
use ekho_storage::tables::sealed::{self, Place, Sealed};
use ekho_storage::tables::system;

use crate::determinism::same;
use crate::rig::{FLEET, OPERATOR_ID, Relay, agent_id, enroll_with};

const OLD: &str = "k1";
const NEW: &str = "0707070707070707";
const OTHER: &str = "0808080808080808";

/// Something sealed that says under which key, as a node would make it.
fn named(key: u8, secret: &str) -> Vec<u8> {
    [&[rotation::NAMED], [key; 8].as_slice(), secret.as_bytes()].concat()
}

fn enroll(relay: &mut Relay, name: &str, sealed_secret: Vec<u8>) -> Outcome {
    let mut enroll = enroll_with(relay.token(), name);
    enroll.sealed_secret = sealed_secret;
    relay.apply(Command::Enroll(enroll))
}

fn begin(relay: &mut Relay, to_key_id: &str) -> Outcome {
    let to_key_id = to_key_id.into();
    relay.operator(OperatorRequest::RotateMasterSecret { to_key_id })
}

fn reseal(relay: &mut Relay, place: &Place, before: &[u8], after: Vec<u8>) -> u64 {
    let secrets = vec![(place.clone(), before.to_vec(), after)];
    let to_key_id = NEW.into();
    let reseal = Reseal {
        to_key_id,
        fleet: FLEET,
        secrets,
    };
    match relay.apply(Command::Reseal(reseal)) {
        Outcome::Updated(count) => count,
        other => panic!("{other:?}"),
    }
}

fn done(relay: &mut Relay, to_key_id: &str) {
    let to_key_id = to_key_id.into();
    let done = relay.apply(Command::RotationDone { to_key_id });
    assert_eq!(done, Outcome::Done);
}

fn latest(relay: &Relay) -> Option<Rotation> {
    rotation::get(&relay.txn).unwrap()
}

fn in_force(relay: &Relay) -> String {
    system::get(&relay.txn).unwrap().sealing_key_id
}

/// Everything sealed, read in pages of this many rows.
fn walk(relay: &Relay, limit: usize) -> Vec<Sealed> {
    let mut all = Vec::new();
    let mut from = sealed::start(&relay.txn).unwrap();
    while let Some(place) = from {
        let (found, next) = sealed::page(&relay.txn, place, limit).unwrap();
        all.extend(found);
        from = next;
    }
    all
}

/// A relay with something sealed in every place there is.
fn with_everything() -> Relay {
    let mut relay = Relay::new();
    let agent = relay.enroll("agent");
    let other = relay.enroll("other");
    let hook = PutHook {
        hook_id: "hook_1".into(),
        from_version: 0,
        draft: HookDraft {
            name: "hook".into(),
            url: "http://127.0.0.1:4100/".into(),
            events: vec![HookEvent::AfterMessage],
            enabled: true,
            timeout_ms: 1000,
            on_failure: OnFailure::Closed,
            priority: 100,
            retry_ms: 1000,
        },
        sealed_secret: Some(b"hook".to_vec()),
    };
    let imported = ImportAgent {
        id: agent_id("imported"),
        display_name: "imported".into(),
        runtime: "custom".into(),
        hostname: None,
        capabilities: vec![],
        identity_key: None,
        hashes: vec![ImportedHash {
            sealed_hash: b"hash".to_vec(),
            expires_ms: None,
        }],
        created_ms: relay.now_ms,
        last_seen_ms: 0,
        hold: None,
        revoked: false,
    };
    for request in [
        OperatorRequest::BeginTotp {
            current_hash: "$argon2id$first".into(),
            secret_id: "otp_1".into(),
            sealed_secret: b"totp".to_vec(),
        },
        OperatorRequest::CreateA2aRemote(Box::new(NewA2aRemote {
            agent_id: agent_id("elsewhere"),
            name: "elsewhere".into(),
            card_url: "https://example.com/card.json".into(),
            scheme: Some("Bearer".into()),
            sealed: Some(b"remote".to_vec()),
        })),
    ] {
        assert_eq!(relay.operator(request), Outcome::Done);
    }
    let (source, rows) = (String::new(), vec![ImportRow::Agent(Box::new(imported))]);
    let taken = relay.operator(OperatorRequest::Import { source, rows });
    assert!(matches!(taken, Outcome::RowsImported(_)), "{taken:?}");
    relay.client(&[]);
    for (agent, id) in [(&agent, "a"), (&other, "b")] {
        let task = relay.working(agent);
        let push = NewPush {
            id: id.into(),
            url: "https://example.com/hook".into(),
            scheme: None,
            sealed: b"push".to_vec(),
        };
        let put = relay.by_token(TaskRequest::PutPush { task, push });
        assert_eq!(put, Outcome::Done);
    }
    // Last, as it would have to be asked about the messages.
    let put = relay.operator(OperatorRequest::PutHook(Box::new(hook)));
    assert_eq!(put, Outcome::Done);
    relay
}

#[test]
fn everything_is_sealed_anew_and_only_where_it_is_what_was_read() {
    let mut relay = with_everything();
    let all = walk(&relay, 100);
    let count = |is: fn(&Place) -> bool| all.iter().filter(|one| is(&one.place)).count();
    assert_eq!(count(|place| matches!(place, Place::Credential(_))), 2);
    assert_eq!(count(|place| matches!(place, Place::ImportedHash(_))), 1);
    assert_eq!(count(|place| matches!(place, Place::Remote(_))), 1);
    assert_eq!(count(|place| matches!(place, Place::Totp(_))), 1);
    assert_eq!(count(|place| matches!(place, Place::Hook(_))), 1);
    assert_eq!(count(|place| matches!(place, Place::Push(..))), 2);
    for limit in [1, 2, 3] {
        assert_eq!(walk(&relay, limit), all, "in pages of {limit}");
    }
    // Before it began, nothing is replaced.
    assert_eq!(
        reseal(&mut relay, &all[0].place, &all[0].sealed, named(7, "x")),
        0
    );
    assert_eq!(begin(&mut relay, NEW), Outcome::Done);
    for (number, one) in all.iter().enumerate() {
        let after = named(7, &number.to_string());
        let (place, before) = (&one.place, &one.sealed);
        assert_eq!(reseal(&mut relay, place, b"another", after.clone()), 0);
        assert_eq!(reseal(&mut relay, place, before, b"unnamed".to_vec()), 0);
        assert_eq!(reseal(&mut relay, place, before, named(8, "")), 0);
        assert_eq!(reseal(&mut relay, place, before, after.clone()), 1);
        // Another leader did the same a moment ago.
        assert_eq!(reseal(&mut relay, place, before, after), 0, "{place:?}");
    }
    let now = walk(&relay, 100);
    assert_eq!(now.len(), all.len());
    for (number, one) in now.iter().enumerate() {
        assert_eq!(one.sealed, named(7, &number.to_string()));
        assert_eq!(one.place, all[number].place);
    }
    let gone = Place::Credential(99);
    assert_eq!(reseal(&mut relay, &gone, b"x", named(7, "x")), 0);
    assert_eq!(latest(&relay).unwrap().resealed, all.len() as u64);
    assert_eq!(in_force(&relay), OLD);
    done(&mut relay, NEW);
    assert_eq!(in_force(&relay), NEW);
    same(&relay.log, &[1, 3, 2]);
}

#[test]
fn nothing_is_taken_under_another_key_from_the_beginning_on() {
    let mut relay = Relay::new();
    let refused = Outcome::Refused(Refusal::SealedBefore);
    // While there was one key only, nothing says which it is.
    relay.enroll("first");
    assert_eq!(begin(&mut relay, NEW), Outcome::Done);
    for round in 0..2 {
        let name = |text: &str| format!("{text}{round}");
        assert_eq!(enroll(&mut relay, &name("old"), b"old".to_vec()), refused);
        assert_eq!(enroll(&mut relay, &name("other"), named(8, "")), refused);
        let enrolled = enroll(&mut relay, &name("new"), named(7, ""));
        assert!(matches!(enrolled, Outcome::Enrolled { .. }), "{enrolled:?}");
        let agent = agent_id(&name("new"));
        let issue = |sealed_secret| OperatorRequest::IssueSecret {
            agent_id: agent.clone(),
            sealed_secret,
        };
        assert_eq!(relay.operator(issue(b"old".to_vec())), refused);
        let issued = relay.operator(issue(named(7, "again")));
        assert!(matches!(issued, Outcome::SecretIssued { .. }), "{issued:?}");
        // It stays so when it is done.
        done(&mut relay, NEW);
    }
}

#[test]
fn it_begins_once_and_ends_once() {
    let mut relay = Relay::new();
    // There is nothing to end.
    done(&mut relay, NEW);
    assert_eq!((latest(&relay), in_force(&relay)), (None, OLD.into()));
    assert_eq!(begin(&mut relay, OLD), Outcome::Done);
    assert_eq!(latest(&relay), None, "that key is in force");
    assert_eq!(begin(&mut relay, NEW), Outcome::Done);
    let under_way = Rotation {
        from_key_id: OLD.into(),
        to_key_id: NEW.into(),
        began_by: OPERATOR_ID.into(),
        began_ms: relay.now_ms,
        resealed: 0,
        done_ms: None,
    };
    assert_eq!(latest(&relay).as_ref(), Some(&under_way));
    assert_eq!(relay.events(1), [EventKind::SecretRotationBegan]);
    relay.wait(5);
    assert_eq!(begin(&mut relay, NEW), Outcome::Done, "asked again");
    assert_eq!(latest(&relay).as_ref(), Some(&under_way));
    let refused = begin(&mut relay, OTHER);
    assert!(matches!(refused, Outcome::Refused(Refusal::Conflict(_))));
    done(&mut relay, OTHER);
    assert_eq!(in_force(&relay), OLD, "another was to be in force");
    done(&mut relay, NEW);
    assert_eq!(in_force(&relay), NEW);
    assert_eq!(relay.events(1), [EventKind::SecretRotated]);
    let done_ms = Some(relay.now_ms);
    assert_eq!(latest(&relay).unwrap().done_ms, done_ms);
    assert_eq!(begin(&mut relay, NEW), Outcome::Done);
    assert_eq!(latest(&relay).unwrap().done_ms, done_ms);
    // The next one begins with the key that is in force by then.
    assert_eq!(begin(&mut relay, OTHER), Outcome::Done);
    assert_eq!(latest(&relay).unwrap().from_key_id, NEW);
}
