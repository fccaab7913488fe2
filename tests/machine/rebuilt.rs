//! The beginning of a cluster made of a backup or a survivor: what it refuses, and what the log says.

use ekho::machine::command::{AgentRequest, Auth, Command, OperatorRequest, Rebuilt, Source};
use ekho::machine::outcome::{Outcome, Refusal};
use ekho_storage::tables::event::{self, EventKind};
use ekho_storage::tables::operator::{Role, Scope};
use ekho_storage::tables::settings::Settings;

use crate::rig::{FLEET, MINUTE, Peer, Relay, SECOND};

const SKEW_MS: u64 = 5 * MINUTE;

fn relay() -> Relay {
    Relay::with(Settings {
        timestamp_skew_ms: SKEW_MS,
        ..Settings::default()
    })
}

fn rebuilt(source: Source, lost_ms: u64) -> Command {
    Command::Rebuilt(Rebuilt {
        source,
        from_cluster_id: "clu_old".into(),
        cluster_id: "clu_new".into(),
        lost_ms,
    })
}

fn from_backup(lost_ms: u64) -> Command {
    let label = "nightly".into();
    rebuilt(Source::Backup { label, at_ms: 17 }, lost_ms)
}

/// What comes of a request with a nonce that was never used and this timestamp.
fn signed(relay: &mut Relay, agent: &Peer, timestamp_ms: u64) -> Outcome {
    let auth = Auth {
        timestamp_ms,
        ..relay.auth(agent.no)
    };
    let request = AgentRequest::RecordNonce;
    relay.apply(Command::Signed { auth, request })
}

fn refused() -> Outcome {
    Outcome::Refused(Refusal::TimestampSkew)
}

#[test]
fn nothing_is_accepted_that_the_old_relay_may_have_accepted() {
    let mut relay = relay();
    let (agent, _) = relay.pair();
    relay.pass(MINUTE);
    let lost_ms = relay.now_ms;
    relay.pass(10 * SECOND);
    assert_eq!(relay.apply(from_backup(lost_ms)), Outcome::Done);
    // The old relay took clocks that were ahead by the whole skew.
    let newest_ms = lost_ms + SKEW_MS;
    for timestamp_ms in [lost_ms - SECOND, lost_ms, lost_ms + SECOND, newest_ms] {
        assert_eq!(signed(&mut relay, &agent, timestamp_ms), refused());
    }
    assert_eq!(signed(&mut relay, &agent, newest_ms + 1), Outcome::Done);
    relay.pass(SKEW_MS);
    let now_ms = relay.now_ms;
    assert_eq!(signed(&mut relay, &agent, newest_ms), refused());
    assert_eq!(signed(&mut relay, &agent, now_ms), Outcome::Done);
}

#[test]
fn a_wider_skew_that_was_in_force_until_lately_counts() {
    let mut relay = relay();
    let (agent, _) = relay.pair();
    relay.pass(MINUTE);
    relay.change_settings(|settings| settings.timestamp_skew_ms = MINUTE);
    let lost_ms = relay.now_ms;
    assert_eq!(relay.apply(from_backup(lost_ms)), Outcome::Done);
    relay.pass(SKEW_MS);
    assert_eq!(signed(&mut relay, &agent, lost_ms + SKEW_MS), refused());
    let later_ms = lost_ms + SKEW_MS + 1;
    assert_eq!(signed(&mut relay, &agent, later_ms), Outcome::Done);
}

#[test]
fn an_old_loss_takes_back_nothing() {
    let mut relay = relay();
    let (agent, _) = relay.pair();
    relay.pass(MINUTE);
    let now_ms = relay.now_ms;
    relay.apply(from_backup(now_ms));
    // The floor stays where it was.
    relay.apply(from_backup(now_ms - MINUTE));
    assert_eq!(signed(&mut relay, &agent, now_ms + SKEW_MS), refused());
}

#[test]
fn the_log_says_what_it_goes_on_from() {
    let mut relay = relay();
    let lost_ms = relay.now_ms;
    relay.apply(from_backup(lost_ms));
    relay.apply(rebuilt(Source::Survivor { node_id: 3 }, lost_ms));
    let events = event::list_rev(&relay.txn, FLEET, u64::MAX, 2).unwrap();
    let found = |kind| {
        let one = events.iter().find(|(_, event)| event.kind == kind);
        let (_, event) = one.unwrap();
        serde_json::from_str::<serde_json::Value>(&event.payload).unwrap()
    };
    let restored = found(EventKind::RelayRestored);
    assert_eq!(
        restored,
        serde_json::json!({
            "lost_ms": lost_ms, "timestamp_floor_ms": lost_ms + SKEW_MS, "backup_ms": 17,
            "label": "nightly", "from_cluster_id": "clu_old", "cluster_id": "clu_new",
        })
    );
    let recovered = found(EventKind::RelayRecovered);
    assert_eq!(recovered["node_id"], 3);
    assert_eq!(recovered["cluster_id"], "clu_new");
}

#[test]
fn a_backup_is_for_owners_and_is_written_down() {
    let mut relay = relay();
    let take = || OperatorRequest::TakeBackup {
        label: "nightly".into(),
    };
    assert_eq!(relay.operator(take()), Outcome::Done);
    assert_eq!(relay.events(1), [EventKind::BackupTaken]);
    let needs = ekho::machine::access::Need::Scope(Scope::Backup);
    assert_eq!(take().needs(), needs);
    assert!(Role::Owner.scopes().has(Scope::Backup));
    assert!(!Role::Operator.scopes().has(Scope::Backup));
    assert!(!Role::Viewer.scopes().has(Scope::Backup));
    assert!(Scope::RELAY.contains(&Scope::Backup));
}
