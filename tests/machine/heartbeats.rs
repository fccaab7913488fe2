//! Heartbeats: what they show, silence, and the quarantine that the relay sets and lifts itself.

use ekho::machine::command::{AgentRequest, Command};
use ekho::machine::outcome::{HeldStatus, Outcome, Refusal};
use ekho_storage::tables::agent::{self, HoldKind};
use ekho_storage::tables::event::EventKind;

use crate::rig::{FLEET, HOUR, MINUTE, Peer, Relay, SECOND};

/// Three times ninety seconds.
const SILENCE_MS: u64 = 270 * SECOND;

fn beat(relay: &mut Relay, agent: &Peer, status: &str) {
    let beat = relay.sign(
        agent,
        AgentRequest::Heartbeat {
            status: status.into(),
        },
    );
    assert_eq!(beat, Outcome::Heartbeat);
}

/// A heartbeat that changed nothing, passed on by the leader.
fn seen(relay: &mut Relay, agent: &Peer) {
    let seen = vec![(FLEET, agent.no, relay.now_ms)];
    assert_eq!(relay.apply(Command::HeartbeatsSeen { seen }), Outcome::Done);
}

#[test]
fn only_a_changed_status_is_an_event() {
    let mut relay = Relay::new();
    let (writer, _) = relay.pair();
    beat(&mut relay, &writer, "degraded");
    assert_eq!(relay.status(&writer), "degraded");
    assert_eq!(relay.events(1), [EventKind::AgentHeartbeat]);
    let newest = |relay: &Relay| relay.events(1000).len();
    let events = newest(&relay);
    relay.wait(MINUTE);
    beat(&mut relay, &writer, "degraded");
    seen(&mut relay, &writer);
    assert_eq!(newest(&relay), events);
    beat(&mut relay, &writer, "busy");
    assert_eq!(
        (relay.status(&writer), newest(&relay)),
        ("healthy", events + 1)
    );
    let live = agent::live(&relay.txn, FLEET, writer.no).unwrap();
    assert_eq!(
        (live.last_seen_ms, live.reported.as_str()),
        (relay.now_ms, "busy")
    );
}

#[test]
fn an_agent_that_never_reported_is_never_missed() {
    let mut relay = Relay::new();
    let (writer, _) = relay.pair();
    relay.pass(HOUR);
    assert_eq!(relay.status(&writer), "healthy");
}

#[test]
fn silence_quarantines_and_the_next_heartbeat_restores() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    beat(&mut relay, &writer, "healthy");
    relay.pass(SILENCE_MS - 1);
    assert_eq!(relay.status(&writer), "healthy");
    relay.pass(1);
    assert_eq!(relay.status(&writer), "quarantined");
    assert_eq!(relay.events(1), [EventKind::AgentAutoQuarantined]);
    let message = relay.to(&reviewer);
    assert_eq!(
        relay.send(&writer, message),
        Err(Refusal::Held(HeldStatus::Quarantined))
    );

    relay.pass(HOUR);
    beat(&mut relay, &writer, "healthy");
    assert_eq!(relay.status(&writer), "healthy");
    assert_eq!(relay.events(1), [EventKind::AgentAutoUnquarantined]);
    relay.sent(&writer, &reviewer);
    relay.pass(SILENCE_MS);
    assert_eq!(relay.status(&writer), "quarantined", "and is watched again");
    seen(&mut relay, &writer);
    assert_eq!(relay.status(&writer), "healthy", "any heartbeat restores");
}

#[test]
fn an_agent_that_reports_is_left_alone() {
    let mut relay = Relay::new();
    let (writer, _) = relay.pair();
    beat(&mut relay, &writer, "healthy");
    for _ in 0..20 {
        relay.pass(SILENCE_MS - 1);
        seen(&mut relay, &writer);
    }
    assert_eq!(relay.status(&writer), "healthy");
}

/// A new leader has not heard what the old one knew and had not passed on yet.
#[test]
fn a_new_leader_gives_everyone_a_full_timeout() {
    let mut relay = Relay::new();
    let (writer, _) = relay.pair();
    beat(&mut relay, &writer, "healthy");
    relay.pass(SILENCE_MS - SECOND);
    assert_eq!(relay.apply(Command::LeadershipBegan), Outcome::Done);
    relay.pass(SILENCE_MS - 1);
    assert_eq!(relay.status(&writer), "healthy");
    relay.pass(1);
    assert_eq!(relay.status(&writer), "quarantined");
}

#[test]
fn a_heartbeat_lifts_nothing_that_an_operator_decided() {
    for (kind, status) in [
        (HoldKind::Pause, "paused"),
        (HoldKind::Quarantine, "quarantined"),
    ] {
        let mut relay = Relay::new();
        let (writer, _) = relay.pair();
        beat(&mut relay, &writer, "healthy");
        relay.hold(&writer, kind);
        beat(&mut relay, &writer, "healthy");
        assert_eq!(relay.status(&writer), status);
        // Silent as well, and back: the operator's decision stands.
        relay.pass(SILENCE_MS);
        assert_eq!(relay.status(&writer), "quarantined");
        beat(&mut relay, &writer, "healthy");
        assert_eq!(relay.status(&writer), status);
    }
}

#[test]
fn an_operator_who_resumes_a_silent_agent_gives_it_a_full_timeout() {
    let mut relay = Relay::new();
    let (writer, _) = relay.pair();
    beat(&mut relay, &writer, "healthy");
    relay.pass(SILENCE_MS);
    relay.resume(&writer);
    assert_eq!(relay.status(&writer), "healthy");
    relay.pass(SILENCE_MS - 1);
    assert_eq!(relay.status(&writer), "healthy");
    relay.pass(1);
    assert_eq!(relay.status(&writer), "quarantined");
}

#[test]
fn heartbeats_of_agents_that_are_gone_change_nothing() {
    let mut relay = Relay::new();
    let (writer, _) = relay.pair();
    beat(&mut relay, &writer, "healthy");
    relay.revoke(&writer);
    let before = agent::live(&relay.txn, FLEET, writer.no).unwrap();
    relay.wait(MINUTE);
    let seen = vec![
        (FLEET, writer.no, relay.now_ms),
        (FLEET, 99, relay.now_ms),
        (77, 1, relay.now_ms),
    ];
    assert_eq!(relay.apply(Command::HeartbeatsSeen { seen }), Outcome::Done);
    assert_eq!(agent::live(&relay.txn, FLEET, writer.no).unwrap(), before);
    relay.pass(HOUR);
    assert_eq!(relay.status(&writer), "revoked");
}

/// The leader's collected times may be older than what a command said since, or ahead of it.
#[test]
fn last_seen_only_goes_forward_and_not_beyond_now() {
    let mut relay = Relay::new();
    let (writer, _) = relay.pair();
    relay.wait(MINUTE);
    beat(&mut relay, &writer, "healthy");
    let now = relay.now_ms;
    for at in [now - MINUTE, now + HOUR] {
        relay.apply(Command::HeartbeatsSeen {
            seen: vec![(FLEET, writer.no, at)],
        });
        assert_eq!(
            agent::live(&relay.txn, FLEET, writer.no)
                .unwrap()
                .last_seen_ms,
            now
        );
    }
}
