//! Sends that an edge node accepted while it was cut off, once they arrive.

use ekho::machine::command::{
    AgentRequest, Command, EdgeEntry, EdgeSend, Join, NewJoinToken, NewMessage, OperatorRequest,
    Schedule,
};
use ekho::machine::edge::longest_wait_ms;
use ekho::machine::outcome::{EdgeResult, Outcome, Refusal};
use ekho_storage::tables::agent::HoldKind;
use ekho_storage::tables::cluster::Part;
use ekho_storage::tables::control::{self, Control};
use ekho_storage::tables::counter::Counter;
use ekho_storage::tables::delivery;
use ekho_storage::tables::edge::FleetSettings;
use ekho_storage::tables::event::EventKind;
use ekho_storage::tables::hook;
use ekho_storage::tables::policy::Conditions;
use ekho_storage::tables::settings::Settings;

use crate::policies::{deny, put};
use crate::rig::{DAY, FLEET, HOUR, MINUTE, Peer, Relay, SECOND};

const NODE: u64 = 3;
const OUTBOX: u128 = 77;

/// A message with an idempotency key, as it waits at the edge since now.
fn entry(relay: &mut Relay, seq: u64, from: &Peer, to: &Peer) -> EdgeEntry {
    let message = NewMessage {
        idempotency: Some((format!("key-{seq}"), [seq as u8; 32])),
        ..relay.to(to)
    };
    let auth = relay.auth(from.no);
    EdgeEntry {
        seq,
        agent: from.no,
        credential: auth.credential,
        nonce: auth.nonce.unwrap(),
        timestamp_ms: relay.now_ms,
        stored_ms: relay.now_ms,
        waited_ms: 0,
        message,
    }
}

/// Forwards entries as the node would now.
fn forward(relay: &mut Relay, outbox: u128, entries: &[EdgeEntry]) -> Vec<EdgeResult> {
    let mut entries = entries.to_vec();
    for entry in &mut entries {
        entry.waited_ms = relay.now_ms - entry.stored_ms;
    }
    let sends = EdgeSend {
        node_id: NODE,
        outbox,
        fleet: FLEET,
        entries,
    };
    match relay.apply(Command::EdgeSend(sends)) {
        Outcome::EdgeSent { results } => results,
        other => panic!("{other:?}"),
    }
}

fn controls(relay: &Relay, of: &Peer) -> Vec<Control> {
    let controls = control::list_rev(&relay.txn, FLEET, of.no, 100).unwrap();
    controls.into_iter().map(|(_, control)| control).collect()
}

/// What the one control says of the one entry.
fn told(relay: &Relay, of: &Peer, entry: &EdgeEntry) -> (String, String) {
    let mut controls = controls(relay, of);
    assert_eq!(controls.len(), 1, "{controls:?}");
    let control = controls.remove(0);
    let key = &entry.message.idempotency.as_ref().unwrap().0;
    let about = format!("msg_{:032x}, idempotency key {key:?}: ", entry.message.uuid);
    let why = control.reason.strip_prefix(&about);
    let why = why.unwrap_or_else(|| panic!("{}", control.reason));
    (control.action, why.to_string())
}

fn refused(relay: &Relay, of: &Peer, entry: &EdgeEntry) -> String {
    let (action, why) = told(relay, of, entry);
    assert_eq!(action, "send.refused");
    assert_eq!(relay.message(entry.message.uuid), None);
    assert!(relay.events(3).contains(&EventKind::MessageEdgeRefused));
    why.split(':').next().unwrap().to_string()
}

fn allow(relay: &mut Relay, edge_outbox: bool) {
    let settings = FleetSettings { edge_outbox };
    let changed = relay.operator(OperatorRequest::ChangeFleetSettings(settings));
    assert_eq!(changed, Outcome::Done);
}

fn deny_all(relay: &mut Relay) {
    put(relay, "pol_1", deny("nothing", Conditions::default()));
}

const DECIDED: EdgeResult = EdgeResult::Decided;

#[test]
fn sends_arrive_in_order_and_once() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let entries: Vec<EdgeEntry> = (1..=3)
        .map(|seq| entry(&mut relay, seq, &writer, &reviewer))
        .collect();
    relay.wait(MINUTE);
    assert_eq!(forward(&mut relay, OUTBOX, &entries), [DECIDED; 3]);
    // The answer was lost.
    assert_eq!(forward(&mut relay, OUTBOX, &entries), [DECIDED; 3]);
    let uuids: Vec<u128> = entries.iter().map(|entry| entry.message.uuid).collect();
    assert_eq!(relay.take(&reviewer), uuids);
    assert_eq!(relay.count(Counter::MessageAccepted), 3);
    assert!(controls(&relay, &writer).is_empty());
}

#[test]
fn a_refusal_is_told_once() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let entry = entry(&mut relay, 1, &writer, &reviewer);
    deny_all(&mut relay);
    for _ in 0..2 {
        assert_eq!(
            forward(&mut relay, OUTBOX, std::slice::from_ref(&entry)),
            [DECIDED]
        );
    }
    assert_eq!(refused(&relay, &writer, &entry), "policy_denied");
    assert!(relay.take(&reviewer).is_empty());
}

#[test]
fn an_outbox_that_was_lost_gives_way_to_another() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let first = entry(&mut relay, 5, &writer, &reviewer);
    forward(&mut relay, OUTBOX, &[first]);
    let mut second = entry(&mut relay, 1, &writer, &reviewer);
    second.message.idempotency = Some(("another".into(), [9; 32]));
    forward(&mut relay, OUTBOX + 1, &[second]);
    assert_eq!(relay.take(&reviewer).len(), 2);
}

#[test]
fn who_sends_is_asked_about_as_ever() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let quarantined = entry(&mut relay, 1, &writer, &reviewer);
    relay.hold(&writer, HoldKind::Quarantine);
    let before = controls(&relay, &writer).len();
    assert_eq!(before, 1);
    forward(&mut relay, OUTBOX, &[quarantined]);
    let newest = controls(&relay, &writer).remove(0);
    assert!(newest.reason.contains("agent_quarantined"), "{newest:?}");

    // Nobody is there to be told.
    let revoked = entry(&mut relay, 1, &reviewer, &writer);
    relay.revoke(&reviewer);
    let before = controls(&relay, &reviewer);
    assert_eq!(forward(&mut relay, OUTBOX, &[revoked]), [DECIDED]);
    assert_eq!(controls(&relay, &reviewer), before);
    assert_eq!(relay.count(Counter::MessageAccepted), 0);
}

#[test]
fn a_secret_that_was_replaced_signs_nothing_that_comes_later() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let entry = entry(&mut relay, 1, &writer, &reviewer);
    let rotate = AgentRequest::RotateCredential {
        sealed_secret: vec![1],
        overlap_ms: 0,
    };
    relay.sign(&writer, rotate);
    relay.wait(SECOND);
    forward(&mut relay, OUTBOX, std::slice::from_ref(&entry));
    assert_eq!(refused(&relay, &writer, &entry), "invalid_credentials");
}

#[test]
fn beyond_its_rate_a_sender_waits_and_nobody_else_does() {
    let mut relay = Relay::with(Settings {
        rate_max_messages: 2,
        ..Settings::default()
    });
    let (writer, reviewer) = relay.pair();
    let other = relay.enroll("other");
    let mut entries: Vec<EdgeEntry> = (1..=4)
        .map(|seq| entry(&mut relay, seq, &writer, &reviewer))
        .collect();
    entries.push(entry(&mut relay, 5, &other, &reviewer));
    let later = |retry_after_ms| EdgeResult::Later { retry_after_ms };
    let results = forward(&mut relay, OUTBOX, &entries);
    let rate_window_ms = Settings::default().rate_window_ms;
    assert_eq!(
        results,
        [DECIDED, DECIDED, later(rate_window_ms), later(0), DECIDED]
    );
    // It is no offence.
    assert_eq!(relay.count(Counter::RateViolations), 0);
    relay.pass(rate_window_ms);
    assert_eq!(forward(&mut relay, OUTBOX, &entries[2..4]), [DECIDED; 2]);
    let uuids = [0, 1, 4, 2, 3].map(|place| entries[place].message.uuid);
    assert_eq!(relay.take(&reviewer), uuids);
}

#[test]
fn a_key_that_was_used_elsewhere_answers_for_the_message_it_made() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let entry = entry(&mut relay, 1, &writer, &reviewer);
    let elsewhere = NewMessage {
        uuid: 4711,
        ..entry.message.clone()
    };
    relay.send(&writer, elsewhere).unwrap();
    forward(&mut relay, OUTBOX, std::slice::from_ref(&entry));
    let (action, why) = told(&relay, &writer, &entry);
    assert_eq!(action, "send.repeated");
    assert!(why.contains(&format!("msg_{:032x}", 4711)), "{why}");
    assert_eq!(relay.take(&reviewer), [4711]);
}

#[test]
fn a_key_that_stands_for_another_request_is_refused() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let entry = entry(&mut relay, 1, &writer, &reviewer);
    let elsewhere = NewMessage {
        uuid: 4711,
        idempotency: Some(("key-1".into(), [99; 32])),
        ..entry.message.clone()
    };
    relay.send(&writer, elsewhere).unwrap();
    forward(&mut relay, OUTBOX, std::slice::from_ref(&entry));
    assert_eq!(refused(&relay, &writer, &entry), "idempotency_conflict");
}

/// The idempotency key is not signed: with another one, whoever heard a request could send it
/// again elsewhere.
#[test]
fn a_signed_request_counts_once_whatever_key_it_came_with() {
    for hours in [0, 6] {
        let mut relay = Relay::new();
        allow(&mut relay, true);
        let (writer, reviewer) = relay.pair();
        let entry = entry(&mut relay, 1, &writer, &reviewer);
        let mut auth = relay.auth(writer.no);
        auth.nonce = Some(entry.nonce.clone());
        let elsewhere = NewMessage {
            uuid: 4711,
            idempotency: None,
            ..entry.message.clone()
        };
        let request = AgentRequest::Send(vec![elsewhere]);
        relay.apply(Command::Signed { auth, request });
        assert_eq!(relay.take(&reviewer), [4711]);
        relay.pass(hours * HOUR);
        let entry = long_lived(entry);
        forward(&mut relay, OUTBOX, std::slice::from_ref(&entry));
        assert_eq!(refused(&relay, &writer, &entry), "replayed_nonce");
    }
}

fn long_lived(mut entry: EdgeEntry) -> EdgeEntry {
    entry.message.ttl_ms = DAY;
    entry
}

#[test]
fn what_was_forwarded_is_accepted_nowhere_else() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let entry = entry(&mut relay, 1, &writer, &reviewer);
    let mut auth = relay.auth(writer.no);
    auth.nonce = Some(entry.nonce.clone());
    relay.wait(MINUTE);
    forward(&mut relay, OUTBOX, std::slice::from_ref(&entry));
    let again = NewMessage {
        uuid: 4711,
        idempotency: Some(("another".into(), [8; 32])),
        ..entry.message.clone()
    };
    let request = AgentRequest::Send(vec![again]);
    let answer = relay.apply(Command::Signed { auth, request });
    assert_eq!(answer, Outcome::Refused(Refusal::ReplayedNonce));
    assert_eq!(relay.take(&reviewer), [entry.message.uuid]);
}

#[test]
fn what_the_relay_does_not_remember_is_refused() {
    // Kept for the edge as long as sends may wait there.
    let mut relay = Relay::new();
    allow(&mut relay, true);
    let (writer, reviewer) = relay.pair();
    let early = long_lived(entry(&mut relay, 1, &writer, &reviewer));
    let late = long_lived(entry(&mut relay, 2, &writer, &reviewer));
    let longest_ms = longest_wait_ms(&Settings::default());
    relay.pass(longest_ms);
    assert_eq!(forward(&mut relay, OUTBOX, &[early]), [DECIDED]);
    assert!(controls(&relay, &writer).is_empty());
    relay.pass(SECOND);
    forward(&mut relay, OUTBOX, std::slice::from_ref(&late));
    assert_eq!(refused(&relay, &writer, &late), "too_old");

    // Forgotten soon where no fleet allows it.
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let entry = long_lived(entry(&mut relay, 1, &writer, &reviewer));
    relay.pass(HOUR);
    forward(&mut relay, OUTBOX, std::slice::from_ref(&entry));
    assert_eq!(refused(&relay, &writer, &entry), "too_old");
}

#[test]
fn time_to_live_counts_from_when_the_edge_accepted() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let at_ms = relay.now_ms;
    let over = entry(&mut relay, 1, &writer, &reviewer);
    let mut lasting = entry(&mut relay, 2, &reviewer, &writer);
    lasting.message.ttl_ms = 20 * MINUTE;
    let mut scheduled = entry(&mut relay, 3, &reviewer, &writer);
    scheduled.message.schedule = Schedule::AtMs(at_ms + HOUR);
    // Within what is remembered without a fleet that allows it.
    relay.wait(15 * MINUTE);
    forward(&mut relay, OUTBOX, std::slice::from_ref(&over));
    assert_eq!(refused(&relay, &writer, &over), "expired");
    forward(&mut relay, OUTBOX, &[lasting.clone(), scheduled.clone()]);
    let deadline = |relay: &Relay, entry: &EdgeEntry| {
        let (_, seq) = relay.message(entry.message.uuid).unwrap().single.unwrap();
        let found = delivery::get(&relay.txn, FLEET, writer.no, seq).unwrap();
        found.unwrap().deadline_ms
    };
    assert_eq!(deadline(&relay, &lasting), at_ms + 20 * MINUTE);
    assert_eq!(deadline(&relay, &scheduled), at_ms + HOUR + 15 * MINUTE);
}

#[test]
fn hooks_that_changed_are_asked_again() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let mut entry = entry(&mut relay, 1, &writer, &reviewer);
    entry.message.judged.changes = hook::changes(&relay.txn, FLEET).unwrap() + 1;
    let later = EdgeResult::Later { retry_after_ms: 0 };
    assert_eq!(
        forward(&mut relay, OUTBOX, std::slice::from_ref(&entry)),
        [later]
    );
    entry.message.judged.changes -= 1;
    assert_eq!(
        forward(&mut relay, OUTBOX, std::slice::from_ref(&entry)),
        [DECIDED]
    );
    assert_eq!(relay.take(&reviewer), [entry.message.uuid]);
}

#[test]
fn an_edge_node_stays_one_until_it_is_removed() {
    let mut relay = Relay::new();
    let join = Command::Join(Join {
        token_hash: None,
        key_hash: [1; 32],
        address: "10.0.0.2:4001".into(),
        part: Part::Edge,
    });
    assert_eq!(relay.apply(join), Outcome::Joined { node_id: 2 });
    for part in [Part::Voter, Part::Learner] {
        let changed = relay.operator(OperatorRequest::SetNodePart { node_id: 2, part });
        assert!(
            matches!(changed, Outcome::Refused(Refusal::Conflict(_))),
            "{changed:?}"
        );
    }
    let part = Part::Removed;
    let removed = relay.operator(OperatorRequest::SetNodePart { node_id: 2, part });
    assert_eq!(removed, Outcome::Done);
}

#[test]
fn what_older_releases_cannot_read_needs_the_second_level() {
    let join = |part| {
        Command::Join(Join {
            token_hash: None,
            key_hash: [1; 32],
            address: "10.0.0.2:4001".into(),
            part,
        })
    };
    let operator = |request| Command::Operator {
        token_hash: [0; 32],
        request_id: String::new(),
        request,
    };
    let token = |part| {
        operator(OperatorRequest::CreateJoinToken(NewJoinToken {
            id: "jtk_1".into(),
            hash: [2; 32],
            part,
            ttl_ms: 1,
        }))
    };
    let sends = Command::EdgeSend(EdgeSend {
        node_id: NODE,
        outbox: OUTBOX,
        fleet: FLEET,
        entries: Vec::new(),
    });
    let settings = operator(OperatorRequest::ChangeFleetSettings(
        FleetSettings::default(),
    ));
    for newer in [sends, settings, join(Part::Edge), token(Part::Edge)] {
        assert_eq!(newer.feature_level(), 2, "{newer:?}");
    }
    for older in [
        join(Part::Voter),
        token(Part::Learner),
        Command::Tick { limit: 1 },
    ] {
        assert_eq!(older.feature_level(), 1, "{older:?}");
    }
}
