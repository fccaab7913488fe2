//! What comes from another relay: once each, under the ids it had, and in step with all else.

use ekho::machine::command::{
    AgentRequest, Auth, Command, ImportAgent, ImportApproval, ImportDelivery, ImportHold,
    ImportMessage, ImportRoom, ImportRow, OperatorRequest, ProveSecret,
};
use ekho::machine::outcome::{Outcome, Refusal, RowOutcome};
use ekho_storage::tables::agent::{AgentStatus, AutoHold, HoldKind};
use ekho_storage::tables::approval::{self, ApprovalStatus, Risk};
use ekho_storage::tables::counter::Counter;
use ekho_storage::tables::delivery::DeliveryState;
use ekho_storage::tables::event::EventKind;
use ekho_storage::tables::imported_secret::{self, ImportedHash};
use ekho_storage::tables::message::Recipient;
use ekho_storage::tables::operator::{self, Operator, Role};
use ekho_storage::tables::policy::Conditions;
use ekho_storage::tables::room;

use crate::determinism::same;
use crate::policies::deny;
use crate::rig::{DAY, FLEET, HOUR, MINUTE, Peer, Relay, SECOND, enroll_with};

fn import(relay: &mut Relay, rows: Vec<ImportRow>) -> Vec<RowOutcome> {
    let source = "ekho.db".into();
    match relay.operator(OperatorRequest::Import { source, rows }) {
        Outcome::RowsImported(outcomes) => outcomes,
        other => panic!("{other:?}"),
    }
}

fn one(relay: &mut Relay, row: ImportRow) -> RowOutcome {
    import(relay, vec![row]).remove(0)
}

fn hash(byte: u8, expires_ms: Option<u64>) -> ImportedHash {
    ImportedHash {
        sealed_hash: vec![byte],
        expires_ms,
    }
}

fn agent(relay: &Relay, id: &str) -> ImportAgent {
    ImportAgent {
        id: id.into(),
        display_name: id.into(),
        runtime: "custom".into(),
        hostname: None,
        capabilities: vec![],
        identity_key: None,
        hashes: vec![hash(1, None)],
        created_ms: relay.now_ms - DAY,
        last_seen_ms: relay.now_ms - HOUR,
        hold: None,
        revoked: false,
    }
}

fn row(agent: ImportAgent) -> ImportRow {
    ImportRow::Agent(Box::new(agent))
}

fn imported(relay: &mut Relay, id: &str) -> Peer {
    let new = agent(relay, id);
    assert_eq!(one(relay, row(new)), RowOutcome::Imported);
    let id = id.to_string();
    let (_, no) = ekho_storage::tables::agent::locate(&relay.txn, &id)
        .unwrap()
        .unwrap();
    Peer { no, id }
}

/// A message on its way, made ten minutes ago, with five minutes left.
fn waiting(relay: &mut Relay, from: &Peer, to: &[&Peer]) -> ImportMessage {
    let mut message = relay.to(to[0]);
    if to.len() > 1 {
        message.recipient = Recipient::Broadcast;
    }
    let delivery = |peer: &&Peer| ImportDelivery {
        agent_id: peer.id.clone(),
        given_up: None,
    };
    ImportMessage {
        sender_id: from.id.clone(),
        message,
        created_ms: relay.now_ms - 10 * MINUTE,
        deadline_ms: relay.now_ms + 5 * MINUTE,
        deliveries: to.iter().map(delivery).collect(),
        task: None,
    }
}

fn sent(message: ImportMessage) -> ImportRow {
    ImportRow::Message(Box::new(message))
}

fn prove(relay: &mut Relay, agent: &Peer, byte: u8) -> Outcome {
    relay.apply(Command::ProveSecret(ProveSecret {
        fleet: FLEET,
        agent: agent.no,
        sealed_hash: vec![byte],
        sealed_secret: vec![byte, byte],
    }))
}

fn works(relay: &mut Relay, agent: &Peer, credential: u32) -> bool {
    let auth = Auth {
        credential,
        ..relay.auth(agent.no)
    };
    let request = AgentRequest::RecordNonce;
    relay.apply(Command::Signed { auth, request }) == Outcome::Done
}

fn refused(outcome: &RowOutcome) -> &str {
    match outcome {
        RowOutcome::Refused(why) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_agent_keeps_its_id_and_its_past_and_comes_once() {
    let mut relay = Relay::new();
    let writer = imported(&mut relay, "agent_old");
    let stored = relay.agent(writer.no);
    assert_eq!(stored.id, "agent_old");
    assert_eq!(stored.created_ms, relay.now_ms - DAY);
    assert!(stored.credentials.is_empty());
    assert_eq!(
        relay.events(2),
        [EventKind::RowsImported, EventKind::AgentImported]
    );
    let before = relay.events(100).len();
    let again = agent(&relay, "agent_old");
    assert_eq!(one(&mut relay, row(again)), RowOutcome::Exists);
    assert_eq!(relay.events(100).len(), before, "nothing is written down");
    // Who enrolled here is left alone just so.
    let own = relay.enroll("own");
    let other = agent(&relay, &own.id);
    assert_eq!(one(&mut relay, row(other)), RowOutcome::Exists);
    assert!(works(&mut relay, &own, 1));
    assert!(
        imported_secret::get(&relay.txn, FLEET, own.no)
            .unwrap()
            .is_none()
    );
}

#[test]
fn holds_and_revocations_come_with_the_agents() {
    let mut relay = Relay::new();
    let paused = ImportHold::Operator {
        kind: HoldKind::Pause,
        reason: "odd".into(),
    };
    for (id, hold, revoked, status) in [
        ("agent_1", None, false, "healthy"),
        ("agent_2", Some(paused), false, "paused"),
        (
            "agent_3",
            Some(ImportHold::Auto(AutoHold::HeartbeatTimeout)),
            false,
            "quarantined",
        ),
        ("agent_4", None, true, "revoked"),
    ] {
        let new = ImportAgent {
            hold,
            revoked,
            ..agent(&relay, id)
        };
        assert_eq!(one(&mut relay, row(new)), RowOutcome::Imported);
        let (_, no) = ekho_storage::tables::agent::locate(&relay.txn, id)
            .unwrap()
            .unwrap();
        let peer = Peer { no, id: id.into() };
        assert_eq!(relay.status(&peer), status);
    }
    assert_eq!(relay.count(Counter::of_agents(AgentStatus::Paused)), 1);
    let secrets = imported_secret::get(&relay.txn, FLEET, 4).unwrap();
    assert!(secrets.is_none(), "a revoked agent has nothing to prove");
}

#[test]
fn a_secret_is_proven_once() {
    let mut relay = Relay::new();
    let writer = imported(&mut relay, "agent_old");
    assert!(!works(&mut relay, &writer, 1));
    assert_eq!(
        prove(&mut relay, &writer, 9),
        Outcome::Refused(Refusal::InvalidCredentials)
    );
    assert!(!works(&mut relay, &writer, 1));
    assert_eq!(prove(&mut relay, &writer, 1), Outcome::Done);
    assert_eq!(relay.events(1), [EventKind::AgentSecretProven]);
    assert!(works(&mut relay, &writer, 1));
    assert_eq!(
        prove(&mut relay, &writer, 1),
        Outcome::Refused(Refusal::InvalidCredentials)
    );
    assert_eq!(relay.agent(writer.no).credentials.len(), 1);
    assert!(
        imported_secret::get(&relay.txn, FLEET, writer.no)
            .unwrap()
            .is_none()
    );
}

#[test]
fn two_secrets_are_two_credentials_and_one_that_ends_ends() {
    let mut relay = Relay::new();
    let ends_ms = relay.now_ms + HOUR;
    let new = ImportAgent {
        hashes: vec![hash(1, None), hash(2, Some(ends_ms))],
        ..agent(&relay, "agent_old")
    };
    assert_eq!(one(&mut relay, row(new)), RowOutcome::Imported);
    let writer = Peer {
        no: 1,
        id: "agent_old".into(),
    };
    assert_eq!(prove(&mut relay, &writer, 2), Outcome::Done);
    assert!(works(&mut relay, &writer, 1));
    relay.pass(2 * HOUR);
    assert!(
        !works(&mut relay, &writer, 1),
        "it ends when it would have ended there"
    );
    assert_eq!(prove(&mut relay, &writer, 1), Outcome::Done);
    assert!(works(&mut relay, &writer, 2));
    let late = ImportAgent {
        hashes: vec![hash(3, Some(relay.now_ms))],
        ..agent(&relay, "agent_late")
    };
    assert_eq!(one(&mut relay, row(late)), RowOutcome::Imported);
    let late = Peer {
        no: 2,
        id: "agent_late".into(),
    };
    assert_eq!(
        prove(&mut relay, &late, 3),
        Outcome::Refused(Refusal::InvalidCredentials)
    );
}

#[test]
fn no_old_secret_outlives_a_new_one() {
    let mut relay = Relay::new();
    let two = ImportAgent {
        hashes: vec![hash(1, None), hash(2, None)],
        ..agent(&relay, "agent_rotates")
    };
    assert_eq!(one(&mut relay, row(two)), RowOutcome::Imported);
    let rotates = Peer {
        no: 1,
        id: "agent_rotates".into(),
    };
    assert_eq!(prove(&mut relay, &rotates, 1), Outcome::Done);
    let rotation = AgentRequest::RotateCredential {
        sealed_secret: vec![7],
        overlap_ms: 0,
    };
    assert!(matches!(
        relay.sign(&rotates, rotation),
        Outcome::Rotated { .. }
    ));
    assert_eq!(
        prove(&mut relay, &rotates, 2),
        Outcome::Refused(Refusal::InvalidCredentials)
    );

    let given = imported(&mut relay, "agent_given");
    let issue = OperatorRequest::IssueSecret {
        agent_id: given.id.clone(),
        sealed_secret: vec![8],
    };
    assert_eq!(
        relay.operator(issue.clone()),
        Outcome::SecretIssued { credential: 1 }
    );
    assert_eq!(relay.events(1), [EventKind::AgentSecretIssued]);
    assert_eq!(
        prove(&mut relay, &given, 1),
        Outcome::Refused(Refusal::InvalidCredentials)
    );
    assert!(works(&mut relay, &given, 1));
    relay.wakes.clear();
    assert_eq!(
        relay.operator(issue),
        Outcome::SecretIssued { credential: 2 }
    );
    let told = "whoever waits with the old one is told";
    assert_eq!(relay.wakes, [(1, given.no)], "{told}");
    assert!(!works(&mut relay, &given, 1), "at once");
    assert!(works(&mut relay, &given, 2));

    let ended = imported(&mut relay, "agent_ended");
    relay.revoke(&ended);
    assert_eq!(
        prove(&mut relay, &ended, 1),
        Outcome::Refused(Refusal::InvalidCredentials)
    );
}

#[test]
fn messages_wait_in_the_order_in_which_they_come() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let rows: Vec<ImportMessage> = (0..3)
        .map(|_| waiting(&mut relay, &writer, &[&reviewer]))
        .collect();
    let uuids: Vec<u128> = rows.iter().map(|row| row.message.uuid).collect();
    let outcomes = import(&mut relay, rows.iter().cloned().map(sent).collect());
    assert_eq!(outcomes, vec![RowOutcome::Imported; 3]);
    let stored = relay.message(uuids[0]).unwrap();
    assert_eq!(stored.created_ms, relay.now_ms - 10 * MINUTE);
    assert_eq!(stored.deadline_ms, relay.now_ms + 5 * MINUTE);
    let again = import(&mut relay, rows.iter().cloned().map(sent).collect());
    assert_eq!(again, vec![RowOutcome::Exists; 3]);
    assert_eq!(relay.take(&reviewer), uuids);
    assert_eq!(relay.ack(&reviewer, uuids[0]), 1);
    relay.pass(6 * MINUTE);
    assert_eq!(relay.state(&reviewer, uuids[1]), DeliveryState::Expired);
    // Even when the message itself is gone.
    relay.change_settings(|settings| settings.message_retention_ms = SECOND);
    let brief = ImportMessage {
        deadline_ms: relay.now_ms + HOUR,
        ..waiting(&mut relay, &writer, &[&reviewer])
    };
    let uuid = brief.message.uuid;
    assert_eq!(one(&mut relay, sent(brief.clone())), RowOutcome::Imported);
    assert_eq!(relay.take(&reviewer), [uuid]);
    relay.ack(&reviewer, uuid);
    relay.pass(MINUTE);
    assert!(relay.message(uuid).is_none());
    assert_eq!(one(&mut relay, sent(brief)), RowOutcome::Exists);
    same(&relay.log, &[1, 7, 2]);
}

#[test]
fn what_cannot_be_delivered_is_refused_by_itself() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let stranger = Peer {
        no: 99,
        id: "agent_nobody".into(),
    };
    let good = waiting(&mut relay, &writer, &[&reviewer]);
    let late = ImportMessage {
        deadline_ms: relay.now_ms,
        ..waiting(&mut relay, &writer, &[&reviewer])
    };
    let from_nobody = waiting(&mut relay, &stranger, &[&reviewer]);
    let to_nobody = waiting(&mut relay, &writer, &[&stranger]);
    let rows = [late, from_nobody, to_nobody, good].map(sent).to_vec();
    let outcomes = import(&mut relay, rows);
    let whys: Vec<&str> = outcomes[..3].iter().map(refused).collect();
    assert_eq!(
        whys,
        [
            "its time is over",
            "its sender is not here",
            "none of its recipients is here"
        ]
    );
    assert_eq!(outcomes[3], RowOutcome::Imported);
    assert_eq!(relay.take(&reviewer).len(), 1);
}

#[test]
fn a_message_to_many_waits_for_some_and_is_a_dead_letter_of_others() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let other = relay.enroll("other");
    let mut row = waiting(&mut relay, &writer, &[&reviewer, &other]);
    row.deliveries[1].given_up = Some(("max_retries_exceeded".into(), 5));
    let uuid = row.message.uuid;
    assert_eq!(one(&mut relay, sent(row)), RowOutcome::Imported);
    assert_eq!(relay.count(Counter::DeadLetters), 1);
    assert_eq!(relay.delivery(&other, uuid).retries, 5);
    assert!(relay.take(&other).is_empty());
    assert_eq!(relay.take(&reviewer), [uuid]);
    assert_eq!(relay.ack(&reviewer, uuid), 1);
    assert_eq!(
        relay.operator(OperatorRequest::Redrive {
            dead_letters: vec![1]
        }),
        Outcome::Updated(1)
    );
    assert_eq!(relay.take(&other), [uuid]);
}

#[test]
fn a_dead_letter_comes_long_after_its_time_and_can_be_redriven() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let mut row = waiting(&mut relay, &writer, &[&reviewer]);
    row.created_ms = relay.now_ms - 10 * DAY;
    row.deadline_ms = relay.now_ms - 9 * DAY;
    row.message.requires_approval = true;
    row.deliveries[0].given_up = Some(("timeout".into(), 5));
    let uuid = row.message.uuid;
    assert_eq!(one(&mut relay, sent(row.clone())), RowOutcome::Imported);
    assert_eq!(one(&mut relay, sent(row)), RowOutcome::Exists);
    assert_eq!(relay.state(&reviewer, uuid), DeliveryState::DeadLettered);
    assert_eq!(
        relay.operator(OperatorRequest::Redrive {
            dead_letters: vec![1]
        }),
        Outcome::Updated(1)
    );
    assert_eq!(relay.take(&reviewer), [uuid]);
    // With as much time as it had at first.
    assert_eq!(
        relay.message(uuid).unwrap().deadline_ms,
        relay.now_ms + 15 * MINUTE
    );
}

#[test]
fn policies_and_rates_have_no_say_and_approvals_do() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    relay.change_settings(|settings| settings.rate_max_messages = 0);
    let rule = ImportRow::Policy {
        policy_id: "pol_old".into(),
        draft: Box::new(deny("nothing", Conditions::default())),
    };
    assert_eq!(one(&mut relay, rule.clone()), RowOutcome::Imported);
    assert_eq!(one(&mut relay, rule), RowOutcome::Exists);
    let row = waiting(&mut relay, &writer, &[&reviewer]);
    assert_eq!(one(&mut relay, sent(row)), RowOutcome::Imported);
    assert_eq!(relay.take(&reviewer).len(), 1);
    let mut row = waiting(&mut relay, &writer, &[&reviewer]);
    row.message.requires_approval = true;
    let (uuid, approval) = (row.message.uuid, row.message.approval);
    assert_eq!(one(&mut relay, sent(row)), RowOutcome::Imported);
    assert!(relay.take(&reviewer).is_empty());
    relay.operator(OperatorRequest::DecideApproval {
        approval,
        approve: true,
        reason: None,
    });
    assert_eq!(relay.take(&reviewer), [uuid]);
}

#[test]
fn approvals_operators_and_rooms_come_once() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let ask = |uuid, status| {
        ImportRow::Approval(Box::new(ImportApproval {
            uuid,
            agent_id: writer.id.clone(),
            conversation_id: "c-1".into(),
            action_type: "deploy".into(),
            summary: "deploy it".into(),
            risk: Risk::High,
            payload: "{}".into(),
            status,
            requested_ms: 5,
            resolved_ms: (status != ApprovalStatus::Pending).then_some(6),
            resolved_by: None,
        }))
    };
    let operator = |id: &str, email: &str| {
        ImportRow::Operator(Operator {
            id: id.into(),
            email: email.into(),
            password_hash: String::new(),
            role: Role::Viewer,
            created_ms: 7,
        })
    };
    let room = ImportRow::Room(ImportRoom {
        id: "room_old".into(),
        name: "old".into(),
        created_by: None,
        members: vec![writer.id.clone(), reviewer.id.clone(), "agent_gone".into()],
        created_ms: 8,
    });
    let rows = || {
        vec![
            ask(1, ApprovalStatus::Pending),
            ask(2, ApprovalStatus::Approved),
            operator("opr_old", "old@example.org"),
            room.clone(),
        ]
    };
    assert_eq!(import(&mut relay, rows()), vec![RowOutcome::Imported; 4]);
    assert_eq!(import(&mut relay, rows()), vec![RowOutcome::Exists; 4]);
    let same_email = operator("opr_other", "owner@example.org");
    assert_eq!(one(&mut relay, same_email), RowOutcome::Exists);
    assert_eq!(relay.count(Counter::ApprovalsPending), 1);
    let decided = approval::get(&relay.txn, FLEET, 2).unwrap().unwrap();
    assert_eq!(
        (decided.status, decided.resolved_ms),
        (ApprovalStatus::Approved, Some(6))
    );
    let known = operator::by_email(&relay.txn, FLEET, "old@example.org").unwrap();
    assert_eq!(
        known.map(|one| (one.id, one.created_ms)),
        Some(("opr_old".into(), 7))
    );
    let members = room::get(&relay.txn, FLEET, "room_old")
        .unwrap()
        .unwrap()
        .members;
    assert_eq!(members, [writer.no, reviewer.no]);
    // Nobody decides in time; the other is kept as long as the events about it.
    relay.pass(400 * DAY);
    assert_eq!(relay.count(Counter::ApprovalsPending), 0);
    relay.pass(400 * DAY);
    assert_eq!(relay.count(Counter::Approvals), 0);
}

#[test]
fn a_token_admits_one_agent_and_comes_once() {
    let mut relay = Relay::new();
    let token = |token_hash, expires_ms| ImportRow::EnrollmentToken {
        token_hash,
        expires_ms,
    };
    let ends_ms = relay.now_ms + HOUR;
    let new = token([1; 32], ends_ms);
    assert_eq!(one(&mut relay, new.clone()), RowOutcome::Imported);
    assert_eq!(
        relay.events(2),
        [EventKind::RowsImported, EventKind::EnrollmentTokenCreated]
    );
    assert_eq!(one(&mut relay, new.clone()), RowOutcome::Exists);
    let enroll =
        |relay: &mut Relay, hash, name| relay.apply(Command::Enroll(enroll_with(hash, name)));
    let invalid = Outcome::Refused(Refusal::InvalidToken);
    assert!(matches!(
        enroll(&mut relay, [1; 32], "first"),
        Outcome::Enrolled { .. }
    ));
    assert_eq!(enroll(&mut relay, [1; 32], "second"), invalid);
    assert_eq!(one(&mut relay, new), RowOutcome::Exists, "not used again");
    assert_eq!(enroll(&mut relay, [1; 32], "second"), invalid);

    let unused = token([2; 32], ends_ms);
    assert_eq!(one(&mut relay, unused.clone()), RowOutcome::Imported);
    relay.pass(HOUR);
    assert_eq!(enroll(&mut relay, [2; 32], "late"), invalid);
    for (row, why) in [
        (unused, "its time is over"),
        (
            token([3; 32], relay.now_ms + 2 * DAY),
            "it lasts longer than a day",
        ),
    ] {
        assert_eq!(refused(&one(&mut relay, row)), why);
    }
    same(&relay.log, &[1, 3, 2]);
}

#[test]
fn a_fleet_takes_no_more_agents_than_it_may_have() {
    let mut relay = Relay::new();
    relay.change_settings(|settings| settings.max_agents = 1);
    imported(&mut relay, "agent_1");
    let more = agent(&relay, "agent_2");
    let outcome = one(&mut relay, row(more));
    assert_eq!(refused(&outcome), "the fleet has as many agents as it may");
}

#[test]
fn it_needs_the_fifth_level_and_somebody_who_may_make_operators() {
    use ekho::machine::access::Need;
    use ekho_storage::tables::operator::Scope;
    let import = OperatorRequest::Import {
        source: String::new(),
        rows: vec![],
    };
    assert_eq!(import.needs(), Need::Scope(Scope::Operators));
    let issue = OperatorRequest::IssueSecret {
        agent_id: String::new(),
        sealed_secret: vec![],
    };
    assert_eq!(issue.needs(), Need::Scope(Scope::Agents));
    let order = |request| Command::Operator {
        token_hash: [0; 32],
        request_id: String::new(),
        request,
    };
    let proof = Command::ProveSecret(ProveSecret {
        fleet: 1,
        agent: 1,
        sealed_hash: vec![],
        sealed_secret: vec![],
    });
    for newer in [order(import), order(issue), proof] {
        assert_eq!(newer.feature_level(), 5, "{newer:?}");
    }
}
