//! What operators decide about agents: pause, quarantine, resume, revoke, and the controls that tell them.

use ekho::machine::command::{AgentRequest, OperatorRequest, Propose};
use ekho::machine::outcome::{Decision, HeldStatus, Outcome, Refusal};
use ekho_storage::tables::agent::HoldKind;
use ekho_storage::tables::approval::Risk;
use ekho_storage::tables::control;
use ekho_storage::tables::counter::Counter;
use ekho_storage::tables::delivery::DeliveryState;
use ekho_storage::tables::event::EventKind;

use crate::rig::{FLEET, HOUR, MINUTE, Peer, Relay};

fn hold_for(relay: &mut Relay, agent: &Peer, kind: HoldKind, ms: u64) -> Outcome {
    let expires_ms = Some(relay.now_ms + ms);
    relay.operator(OperatorRequest::Hold {
        agent_id: agent.id.clone(),
        kind,
        reason: "for a while".into(),
        expires_ms,
        redirect_agent_id: None,
    })
}

/// What an agent's inbox tells it, newest first.
fn controls(relay: &Relay, agent: &Peer) -> Vec<(String, String)> {
    let controls = control::list_rev(&relay.txn, FLEET, agent.no, 100).unwrap();
    controls
        .into_iter()
        .map(|(_, control)| (control.action, control.reason))
        .collect()
}

fn pair(action: &str, reason: &str) -> (String, String) {
    (action.into(), reason.into())
}

#[test]
fn a_held_agent_cannot_send_nor_make_rooms_nor_act() {
    let cases = [
        (HoldKind::Pause, HeldStatus::Paused),
        (HoldKind::Quarantine, HeldStatus::Quarantined),
    ];
    for (kind, held) in cases {
        let mut relay = Relay::new();
        let (writer, reviewer) = relay.pair();
        assert_eq!(relay.hold(&writer, kind), Outcome::Done);
        assert_eq!(relay.status(&writer), held.as_str());

        let message = relay.to(&reviewer);
        assert_eq!(relay.send(&writer, message), Err(Refusal::Held(held)));
        let room = AgentRequest::CreateRoom {
            room_id: "room_1".into(),
            name: "r".into(),
            members: vec![],
        };
        assert_eq!(
            relay.sign(&writer, room),
            Outcome::Refused(Refusal::Held(held))
        );
        let act = AgentRequest::Propose(Propose {
            uuid: 1,
            conversation_id: "c-1".into(),
            action_type: "read".into(),
            summary: "Read".into(),
            risk: Risk::Low,
            payload: "{}".into(),
        });
        assert_eq!(
            relay.sign(&writer, act.clone()),
            Outcome::Proposed(Decision::Deny)
        );
        assert_eq!(relay.count(Counter::MessageAccepted), 0);

        assert_eq!(relay.resume(&writer), Outcome::Done);
        assert_eq!(relay.status(&writer), "healthy");
        relay.sent(&writer, &reviewer);
        assert_eq!(relay.sign(&writer, act), Outcome::Proposed(Decision::Allow));
    }
}

/// Held agents still receive: they must learn that they are held, and lose nothing meanwhile.
#[test]
fn a_held_agent_still_receives_and_acks() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    relay.hold(&reviewer, HoldKind::Quarantine);
    let message = relay.sent(&writer, &reviewer);
    assert_eq!(relay.take(&reviewer), [message]);
    assert_eq!(relay.ack(&reviewer, message), 1);
}

#[test]
fn a_hold_ends_by_itself_when_its_time_is_over() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    hold_for(&mut relay, &writer, HoldKind::Pause, HOUR);
    relay.pass(HOUR - 1);
    let message = relay.to(&reviewer);
    assert_eq!(
        relay.send(&writer, message),
        Err(Refusal::Held(HeldStatus::Paused))
    );
    relay.pass(1);
    relay.sent(&writer, &reviewer);
    assert_eq!(
        controls(&relay, &writer),
        [pair("resume", "hold expired")],
        "the pause left the inbox"
    );
    assert_eq!(relay.events(2)[1], EventKind::AgentResume);
}

#[test]
fn the_newest_hold_counts() {
    let mut relay = Relay::new();
    let (writer, _) = relay.pair();
    hold_for(&mut relay, &writer, HoldKind::Pause, MINUTE);
    hold_for(&mut relay, &writer, HoldKind::Quarantine, HOUR);
    assert_eq!(relay.status(&writer), "quarantined");
    relay.pass(MINUTE);
    assert_eq!(
        relay.status(&writer),
        "quarantined",
        "the end of the first is forgotten"
    );
    relay.hold(&writer, HoldKind::Pause);
    relay.pass(HOUR);
    assert_eq!(
        relay.status(&writer),
        "paused",
        "the end of the second as well"
    );
}

#[test]
fn a_resume_before_the_end_leaves_nothing_due() {
    let mut relay = Relay::new();
    let (writer, _) = relay.pair();
    hold_for(&mut relay, &writer, HoldKind::Pause, HOUR);
    relay.resume(&writer);
    relay.hold(&writer, HoldKind::Quarantine);
    relay.pass(HOUR);
    assert_eq!(relay.status(&writer), "quarantined");
}

#[test]
fn a_hold_whose_end_is_past_ends_at_the_next_tick() {
    let mut relay = Relay::new();
    let (writer, _) = relay.pair();
    relay.pass(HOUR);
    let expires_ms = Some(1);
    relay.operator(OperatorRequest::Hold {
        agent_id: writer.id.clone(),
        kind: HoldKind::Pause,
        reason: "late".into(),
        expires_ms,
        redirect_agent_id: None,
    });
    relay.tick();
    assert_eq!(relay.status(&writer), "healthy");
}

#[test]
fn controls_are_told_newest_first_and_only_so_many_are_kept() {
    let mut relay = Relay::new();
    let (writer, _) = relay.pair();
    relay.wakes.clear();
    relay.hold(&writer, HoldKind::Pause);
    assert_eq!(
        relay.wakes,
        [(FLEET, writer.no)],
        "whoever waits in its inbox is told"
    );
    relay.hold(&writer, HoldKind::Quarantine);
    relay.resume(&writer);
    let newest_first = [
        pair("resume", "test"),
        pair("quarantine", "test"),
        pair("pause", "test"),
    ];
    assert_eq!(controls(&relay, &writer), newest_first);
    for _ in 0..60 {
        hold_for(&mut relay, &writer, HoldKind::Pause, HOUR);
    }
    assert_eq!(controls(&relay, &writer).len(), 50);
    relay.pass(HOUR);
    assert_eq!(controls(&relay, &writer), [pair("resume", "hold expired")]);
}

#[test]
fn a_revoked_agent_is_gone_for_good() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let waiting = relay.sent(&writer, &reviewer);
    assert_eq!(relay.revoke(&reviewer), Outcome::Done);
    assert_eq!(relay.status(&reviewer), "revoked");
    let refused = Outcome::Refused(Refusal::InvalidCredentials);
    assert_eq!(relay.sign(&reviewer, AgentRequest::RecordNonce), refused);
    let not_found = Outcome::Refused(Refusal::NotFound);
    assert_eq!(relay.resume(&reviewer), not_found);
    assert_eq!(relay.hold(&reviewer, HoldKind::Pause), not_found);
    assert_eq!(relay.revoke(&reviewer), not_found);
    assert_eq!(relay.events(1), [EventKind::AgentRevoked]);

    assert_eq!(relay.state(&reviewer, waiting), DeliveryState::Ready);
    relay.pass(15 * MINUTE);
    assert_eq!(
        relay.state(&reviewer, waiting),
        DeliveryState::Expired,
        "nobody will take it"
    );
}

#[test]
fn an_agent_of_nobody_is_not_found() {
    let mut relay = Relay::new();
    let nobody = Peer {
        no: 9,
        id: "agent_nobody".into(),
    };
    assert_eq!(
        relay.hold(&nobody, HoldKind::Pause),
        Outcome::Refused(Refusal::NotFound)
    );
    let auth = ekho::machine::command::Auth {
        fleet: FLEET,
        agent: 9,
        credential: 1,
        nonce: Some("n".into()),
        timestamp_ms: relay.now_ms,
    };
    let request = AgentRequest::RecordNonce;
    let outcome = relay.apply(ekho::machine::command::Command::Signed { auth, request });
    assert_eq!(outcome, Outcome::Refused(Refusal::InvalidCredentials));
}
