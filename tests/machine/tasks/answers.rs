//! What agents say of tasks, and what of it they may.

use ekho::machine::outcome::{HeldStatus, Outcome, Refusal};
use ekho_storage::tables::agent::HoldKind;
use ekho_storage::tables::event::EventKind;
use ekho_storage::tables::task::{self, Change, TaskState};

use super::{changed, refused, relay};
use crate::rig::{FLEET, Relay};

/// Numbers of the chunks that an artifact is read from.
fn artifact(relay: &Relay, task: u128, at: usize) -> (u32, u32) {
    let artifacts = task::artifacts(&relay.txn, FLEET, task, 100).unwrap();
    (artifacts[at].1.first_chunk, artifacts[at].1.next_chunk)
}

#[test]
fn an_artifact_grows_and_is_replaced() {
    let (mut relay, _, agent) = relay();
    let task = relay.working(&agent);
    let nothing = relay.chunk(&agent, task, ("book", true));
    assert!(
        matches!(nothing, Outcome::Refused(Refusal::Conflict(_))),
        "there is nothing yet to append to: {nothing:?}"
    );
    let working = TaskState::Working;
    for (number, append) in [(2, false), (3, true), (4, true)] {
        let added = relay.chunk(&agent, task, ("book", append));
        assert_eq!(added, changed(number, working));
    }
    assert_eq!(artifact(&relay, task, 0), (0, 3));
    relay.chunk(&agent, task, ("cover", false));
    relay.chunk(&agent, task, ("book", false));
    relay.chunk(&agent, task, ("book", true));
    assert_eq!(artifact(&relay, task, 0), (3, 5), "anew");
    assert_eq!(artifact(&relay, task, 1), (0, 1));
    let told: Vec<bool> = relay
        .updates(task)
        .into_iter()
        .filter_map(|update| match update.what {
            Change::Artifact { append, .. } => Some(append),
            Change::Status { .. } => None,
        })
        .collect();
    assert_eq!(told, [false, true, true, false, false, true]);
}

#[test]
fn what_is_over_stays_so_and_late_answers_are_recorded() {
    use TaskState::{Canceled, Completed, Failed, InputRequired, Rejected, Working};
    for end in [Completed, Failed, Canceled, Rejected] {
        let (mut relay, _, agent) = relay();
        let task = relay.working(&agent);
        assert_eq!(relay.set(&agent, task, end, Some("so")), changed(2, end));
        let before = relay.task(task);
        for late in [Working, InputRequired, Completed] {
            let outcome = relay.set(&agent, task, late, Some("late"));
            assert_eq!(outcome, refused(Refusal::TaskOver(end)));
            assert_eq!(relay.events(1), [EventKind::TaskUpdateRefused]);
        }
        let outcome = relay.chunk(&agent, task, ("late", false));
        assert_eq!(outcome, refused(Refusal::TaskOver(end)));
        assert_eq!(relay.cancel(&agent, task), refused(Refusal::TaskOver(end)));
        let more = relay.further(&agent, task, false);
        let more = ekho::machine::command::TaskRequest::Send(Box::new(more));
        assert_eq!(relay.by_token(more), refused(Refusal::TaskOver(end)));
        assert_eq!(relay.task(task), before);
        assert!(relay.take(&agent).is_empty(), "nothing was sent");
    }
}

#[test]
fn only_its_agent_answers_and_only_while_nothing_holds_it() {
    let (mut relay, client, agent) = relay();
    let stranger = relay.enroll("stranger");
    let task = relay.working(&agent);
    let by = |relay: &mut Relay, who| relay.set(who, task, TaskState::Completed, None);
    assert_eq!(by(&mut relay, &stranger), refused(Refusal::NotFound));
    // A token answers nothing, whosever it is.
    let outcome = relay.set(&client, task, TaskState::Completed, None);
    assert_eq!(outcome, refused(Refusal::InvalidCredentials));
    relay.hold(&agent, HoldKind::Pause);
    let held = refused(Refusal::Held(HeldStatus::Paused));
    assert_eq!(by(&mut relay, &agent), held);
    assert_eq!(relay.task(task).state, TaskState::Working);
    relay.resume(&agent);
    assert_eq!(by(&mut relay, &agent), changed(2, TaskState::Completed));
}
