//! Actions that agents propose, and messages that wait for an operator.

use ekho::machine::command::{
    ActionResult, AgentRequest, Command, CreateSession, NewMessage, OperatorRequest, Proof,
    Propose, Schedule,
};
use ekho::machine::outcome::{Decision, Outcome, Refusal};
use ekho_storage::tables::approval::{self, Approval, ApprovalStatus, Risk};
use ekho_storage::tables::control;
use ekho_storage::tables::counter::Counter;
use ekho_storage::tables::delivery::DeliveryState;
use ekho_storage::tables::event::EventKind;
use ekho_storage::tables::message::{MessageState, Recipient};
use ekho_storage::tables::operator::Role;

use crate::rig::{FLEET, HOUR, MINUTE, OPERATOR_ID, Peer, Relay};

fn propose(relay: &mut Relay, agent: &Peer, uuid: u128, risk: Risk) -> Outcome {
    relay.sign(
        agent,
        AgentRequest::Propose(Propose {
            uuid,
            conversation_id: "c-1".into(),
            action_type: "deploy".into(),
            summary: "Deploy build 7".into(),
            risk,
            payload: r#"{"build":7}"#.into(),
        }),
    )
}

fn decide(relay: &mut Relay, approval: u128, approve: bool) -> Outcome {
    let reason = Some("because".into());
    relay.operator(OperatorRequest::DecideApproval {
        approval,
        approve,
        reason,
    })
}

fn report(relay: &mut Relay, agent: &Peer, approval: u128, result: ActionResult) -> Outcome {
    let output = Some(r#"{"ok":true}"#.into());
    relay.sign(
        agent,
        AgentRequest::ActionResult {
            approval,
            result,
            output,
        },
    )
}

fn stored(relay: &Relay, uuid: u128) -> Approval {
    approval::get(&relay.txn, FLEET, uuid).unwrap().unwrap()
}

fn conflict(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Refused(Refusal::Conflict(_)))
}

/// A message that waits, with the UUID of its approval.
fn waiting(relay: &mut Relay, from: &Peer, to: Recipient) -> (u128, u128) {
    let message = NewMessage {
        requires_approval: true,
        ..relay.draft(to)
    };
    let approval = message.approval;
    (relay.send(from, message).unwrap().message, approval)
}

#[test]
fn small_risks_are_allowed_at_once_and_great_ones_wait() {
    let mut relay = Relay::new();
    let (writer, _) = relay.pair();
    for (uuid, risk) in [(1, Risk::Low), (2, Risk::Medium)] {
        assert_eq!(
            propose(&mut relay, &writer, uuid, risk),
            Outcome::Proposed(Decision::Allow)
        );
        assert_eq!(approval::get(&relay.txn, FLEET, uuid).unwrap(), None);
    }
    for (uuid, risk) in [(3, Risk::High), (4, Risk::Critical)] {
        let waits = Outcome::Proposed(Decision::PendingApproval);
        assert_eq!(propose(&mut relay, &writer, uuid, risk), waits);
        let approval = stored(&relay, uuid);
        assert_eq!(
            (approval.status, approval.agent),
            (ApprovalStatus::Pending, writer.no)
        );
        assert_eq!(approval.payload, r#"{"build":7}"#);
    }
    assert_eq!(relay.count(Counter::ApprovalsPending), 2);
}

#[test]
fn an_operator_decides_once_and_the_agent_is_told() {
    let mut relay = Relay::new();
    let (writer, _) = relay.pair();
    for (uuid, approve, status, action) in [
        (1, true, ApprovalStatus::Approved, "approval.approved"),
        (2, false, ApprovalStatus::Rejected, "approval.rejected"),
    ] {
        propose(&mut relay, &writer, uuid, Risk::High);
        relay.wait(MINUTE);
        assert_eq!(decide(&mut relay, uuid, approve), Outcome::Decided(status));
        let approval = stored(&relay, uuid);
        assert_eq!(approval.status, status);
        assert_eq!(approval.resolved_ms, Some(relay.now_ms));
        assert_eq!(approval.resolved_by.as_deref(), Some(OPERATOR_ID));
        let (_, told) = control::list_rev(&relay.txn, FLEET, writer.no, 1)
            .unwrap()
            .remove(0);
        assert_eq!(
            (told.action.as_str(), told.reason.as_str()),
            (action, "because")
        );
        let again = decide(&mut relay, uuid, !approve);
        assert!(conflict(&again), "{again:?}");
    }
    assert_eq!(
        decide(&mut relay, 99, true),
        Outcome::Refused(Refusal::NotFound)
    );
}

#[test]
fn an_agent_reports_the_result_of_an_approved_action_once() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    for (uuid, result, status) in [
        (1, ActionResult::Executed, ApprovalStatus::Executed),
        (2, ActionResult::Cancelled, ApprovalStatus::Cancelled),
        (3, ActionResult::Failed, ApprovalStatus::Failed),
    ] {
        propose(&mut relay, &writer, uuid, Risk::Critical);
        decide(&mut relay, uuid, true);
        let stranger = report(&mut relay, &reviewer, uuid, result);
        assert_eq!(stranger, Outcome::Refused(Refusal::NotFound));
        assert_eq!(report(&mut relay, &writer, uuid, result), Outcome::Done);
        let approval = stored(&relay, uuid);
        assert_eq!(
            (approval.status, approval.output.as_deref()),
            (status, Some(r#"{"ok":true}"#))
        );
        let again = report(&mut relay, &writer, uuid, result);
        assert!(conflict(&again), "{again:?}");
    }
}

#[test]
fn an_action_nobody_allowed_can_only_be_given_up() {
    let mut relay = Relay::new();
    let (writer, _) = relay.pair();
    propose(&mut relay, &writer, 1, Risk::High);
    for result in [ActionResult::Executed, ActionResult::Failed] {
        let refused = report(&mut relay, &writer, 1, result);
        assert!(conflict(&refused), "{refused:?}");
    }
    assert_eq!(
        report(&mut relay, &writer, 1, ActionResult::Cancelled),
        Outcome::Done
    );
    let late = decide(&mut relay, 1, true);
    assert!(conflict(&late), "{late:?}");
    propose(&mut relay, &writer, 2, Risk::High);
    decide(&mut relay, 2, false);
    let refused = report(&mut relay, &writer, 2, ActionResult::Executed);
    assert!(conflict(&refused), "{refused:?}");
}

#[test]
fn a_message_that_waits_is_released_by_a_yes() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let (message, approval) = waiting(&mut relay, &writer, Recipient::Agent(reviewer.id.clone()));
    assert_eq!(
        relay.message(message).unwrap().state,
        MessageState::PendingApproval
    );
    relay.pass(5 * MINUTE);
    assert!(relay.take(&reviewer).is_empty());
    relay.wakes.clear();
    assert_eq!(
        decide(&mut relay, approval, true),
        Outcome::Decided(ApprovalStatus::Approved)
    );
    assert_eq!(relay.wakes, [(FLEET, reviewer.no)]);
    assert_eq!(relay.take(&reviewer), [message]);
    assert_eq!(
        relay.message(message).unwrap().deadline_ms,
        relay.now_ms + 10 * MINUTE
    );
}

#[test]
fn a_message_that_waits_is_taken_back_by_a_no() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let editor = relay.enroll("editor");
    let (message, approval) = waiting(&mut relay, &writer, Recipient::Broadcast);
    assert_eq!(
        decide(&mut relay, approval, false),
        Outcome::Decided(ApprovalStatus::Rejected)
    );
    for peer in [&reviewer, &editor] {
        assert_eq!(relay.state(peer, message), DeliveryState::Cancelled);
        assert!(relay.take(peer).is_empty());
    }
    assert_eq!(
        relay.message(message).unwrap().state,
        MessageState::Rejected
    );
    assert_eq!(
        (
            relay.count(Counter::MessageDone),
            relay.count(Counter::MessageOpen)
        ),
        (1, 0)
    );
}

#[test]
fn a_released_message_still_waits_for_its_time() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let schedule = Schedule::DelayMs(HOUR);
    let message = NewMessage {
        requires_approval: true,
        schedule,
        ..relay.to(&reviewer)
    };
    let approval = message.approval;
    let message = relay.send(&writer, message).unwrap().message;
    decide(&mut relay, approval, true);
    relay.pass(HOUR - 1);
    assert!(relay.take(&reviewer).is_empty());
    relay.pass(1);
    assert_eq!(relay.take(&reviewer), [message]);
}

#[test]
fn a_message_nobody_decided_about_expires_with_its_approval() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let recipients = [Recipient::Agent(reviewer.id.clone()), Recipient::Broadcast];
    let asked = recipients.map(|to| waiting(&mut relay, &writer, to));
    relay.pass(15 * MINUTE);
    for (message, approval) in asked {
        assert_eq!(relay.state(&reviewer, message), DeliveryState::Expired);
        assert_eq!(stored(&relay, approval).status, ApprovalStatus::Expired);
        let late = decide(&mut relay, approval, true);
        assert!(conflict(&late), "{late:?}");
    }
    assert_eq!(relay.count(Counter::ApprovalsPending), 0);
}

#[test]
fn a_message_taken_back_needs_no_decision() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let (message, approval) = waiting(&mut relay, &writer, Recipient::Agent(reviewer.id.clone()));
    assert_eq!(
        relay.sign(&writer, AgentRequest::Cancel { message }),
        Outcome::Updated(1)
    );
    assert_eq!(stored(&relay, approval).status, ApprovalStatus::Cancelled);
    let late = decide(&mut relay, approval, true);
    assert!(conflict(&late), "{late:?}");
    assert!(relay.take(&reviewer).is_empty());
}

#[test]
fn a_message_that_reaches_nobody_needs_no_decision() {
    let mut relay = Relay::new();
    let writer = relay.enroll("writer");
    let (message, approval) = waiting(&mut relay, &writer, Recipient::Broadcast);
    assert_eq!(relay.message(message).unwrap().state, MessageState::Done);
    assert_ne!(stored(&relay, approval).status, ApprovalStatus::Pending);
    assert_eq!(relay.count(Counter::ApprovalsPending), 0);
}

/// Who is released does not depend on what the limit is by then.
#[test]
fn a_fan_out_is_released_whole_though_the_limit_was_lowered() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let editor = relay.enroll("editor");
    let (message, approval) = waiting(&mut relay, &writer, Recipient::Broadcast);
    let second = waiting(&mut relay, &writer, Recipient::Broadcast).0;
    relay.change_settings(|settings| settings.max_fan_out = 1);
    decide(&mut relay, approval, true);
    assert_eq!(relay.take(&reviewer), [message]);
    assert_eq!(relay.take(&editor), [message]);
    assert_eq!(
        relay.sign(&writer, AgentRequest::Cancel { message: second }),
        Outcome::Updated(2)
    );
}

/// An agent may not report on the approval of a message as if it were an action.
#[test]
fn the_approval_of_a_message_has_no_result() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let (_, approval) = waiting(&mut relay, &writer, Recipient::Agent(reviewer.id.clone()));
    let refused = report(&mut relay, &writer, approval, ActionResult::Cancelled);
    assert_eq!(refused, Outcome::Refused(Refusal::NotFound));
}

#[test]
fn which_risks_wait_and_how_long_are_settings() {
    let mut relay = Relay::new();
    let (writer, _) = relay.pair();
    relay.change_settings(|settings| {
        settings.approval_risks = vec![Risk::Low];
        settings.approval_ttl_ms = HOUR;
    });
    assert_eq!(
        propose(&mut relay, &writer, 1, Risk::Critical),
        Outcome::Proposed(Decision::Allow)
    );
    propose(&mut relay, &writer, 2, Risk::Low);
    relay.pass(HOUR - 1);
    assert_eq!(stored(&relay, 2).status, ApprovalStatus::Pending);
    relay.pass(1);
    assert_eq!(stored(&relay, 2).status, ApprovalStatus::Expired);
    assert_eq!(relay.count(Counter::ApprovalsPending), 0);
    let (_, told) = control::list_rev(&relay.txn, FLEET, writer.no, 1)
        .unwrap()
        .remove(0);
    assert_eq!(
        (told.action.as_str(), told.approval),
        ("approval.expired", Some(2))
    );
    let late = decide(&mut relay, 2, true);
    assert!(conflict(&late), "{late:?}");
    let late = report(&mut relay, &writer, 2, ActionResult::Executed);
    assert!(conflict(&late), "{late:?}");
}

#[test]
fn two_must_say_yes_where_the_settings_ask_for_it_and_one_may_say_no() {
    let mut relay = Relay::new();
    let (writer, _) = relay.pair();
    let second = second_operator(&mut relay);
    relay.change_settings(|settings| settings.approval_two_person_risks = vec![Risk::Critical]);
    propose(&mut relay, &writer, 1, Risk::Critical);
    let pending = Outcome::Decided(ApprovalStatus::Pending);
    assert_eq!(decide(&mut relay, 1, true), pending);
    assert_eq!(stored(&relay, 1).first_yes.as_deref(), Some(OPERATOR_ID));
    assert_eq!(relay.events(1), [EventKind::ApprovalFirstApproved]);
    let again = decide(&mut relay, 1, true);
    assert!(conflict(&again), "{again:?}");
    let approve = |relay: &mut Relay| {
        relay.apply(Command::Operator {
            token_hash: second,
            request_id: "req_second".into(),
            request: OperatorRequest::DecideApproval {
                approval: 1,
                approve: true,
                reason: None,
            },
        })
    };
    assert_eq!(
        approve(&mut relay),
        Outcome::Decided(ApprovalStatus::Approved)
    );
    assert_eq!(stored(&relay, 1).resolved_by.as_deref(), Some("opr_2"));
    let late = approve(&mut relay);
    assert!(conflict(&late), "{late:?}");

    propose(&mut relay, &writer, 2, Risk::Critical);
    assert_eq!(
        decide(&mut relay, 2, false),
        Outcome::Decided(ApprovalStatus::Rejected)
    );
    propose(&mut relay, &writer, 3, Risk::High);
    assert_eq!(
        decide(&mut relay, 3, true),
        Outcome::Decided(ApprovalStatus::Approved)
    );
}

/// Somebody else who decides; the hash of their token.
fn second_operator(relay: &mut Relay) -> [u8; 32] {
    relay.operator(OperatorRequest::CreateOperator {
        operator_id: "opr_2".into(),
        email: "second@example.org".into(),
        password_hash: "$argon2id$second".into(),
        role: Role::Operator,
    });
    let token_hash = [2; 32];
    let signed_in = relay.apply(Command::CreateSession(CreateSession {
        fleet: FLEET,
        proof: Proof::Password {
            operator_id: "opr_2".into(),
            password_hash: "$argon2id$second".into(),
            second: None,
        },
        token_hash,
        session_id: "ses_2".into(),
        address: "::1".into(),
        user_agent: "test".into(),
    }));
    assert!(matches!(signed_in, Outcome::SessionCreated { .. }));
    token_hash
}

#[test]
fn a_decided_approval_is_kept_as_long_as_the_events_about_it() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    relay.change_settings(|settings| settings.event_retention_ms = HOUR);
    propose(&mut relay, &writer, 1, Risk::High);
    let (_, waits) = waiting(&mut relay, &writer, Recipient::Agent(reviewer.id.clone()));
    decide(&mut relay, 1, true);
    decide(&mut relay, waits, false);
    relay.pass(HOUR - 1);
    assert!(approval::get(&relay.txn, FLEET, 1).unwrap().is_some());
    relay.pass(1);
    for uuid in [1, waits] {
        assert_eq!(approval::get(&relay.txn, FLEET, uuid).unwrap(), None);
    }
}
