//! Clients with bearer tokens: who they are is decided where commands are applied.

use ekho::machine::command::{NewA2aToken, OperatorRequest, TaskRequest};
use ekho::machine::outcome::{Outcome, Refusal};
use ekho_storage::tables::agent::HoldKind;
use ekho_storage::tables::event::EventKind;
use ekho_storage::tables::message::Recipient;

use super::{TOKEN, refused, relay};
use crate::rig::{HOUR, Peer, Relay};

fn send(relay: &mut Relay, to: &Peer) -> Outcome {
    let send = relay.begin(to);
    relay.by_token(TaskRequest::Send(Box::new(send)))
}

fn is_accepted(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::TaskSent { .. })
}

#[test]
fn a_token_counts_until_it_ends_or_is_taken_back() {
    let invalid = refused(Refusal::InvalidCredentials);
    let (mut relay, client, agent) = relay();
    assert!(is_accepted(&send(&mut relay, &agent)));
    let (client_id, token_id) = (client.id.clone(), "tok_1".to_string());
    let revoke = OperatorRequest::RevokeA2aToken {
        client_id: client_id.clone(),
        token_id,
    };
    assert_eq!(relay.operator(revoke.clone()), Outcome::Done);
    assert_eq!(relay.events(1), [EventKind::A2aTokenRevoked]);
    assert_eq!(send(&mut relay, &agent), invalid);
    assert_eq!(relay.operator(revoke), refused(Refusal::NotFound));
    let expires_ms = Some(relay.now_ms + HOUR);
    let token = NewA2aToken {
        id: "tok_2".into(),
        hash: TOKEN,
        expires_ms,
    };
    let made = relay.operator(OperatorRequest::CreateA2aToken { client_id, token });
    assert_eq!(made, Outcome::Done);
    assert!(is_accepted(&send(&mut relay, &agent)));
    relay.pass(HOUR);
    assert_eq!(send(&mut relay, &agent), invalid);
}

#[test]
fn a_revoked_client_asks_for_nothing() {
    let (mut relay, client, agent) = relay();
    relay.revoke(&client);
    let refusal = refused(Refusal::InvalidCredentials);
    assert_eq!(send(&mut relay, &agent), refusal);
}

#[test]
fn a_client_reaches_whom_it_may_and_gets_no_messages() {
    let (mut relay, client, agent) = relay();
    let other = relay.enroll("other");
    let change = |agents: Vec<String>| OperatorRequest::ChangeA2aClient {
        client_id: client.id.clone(),
        agents,
        rate_max_messages: Some(2),
    };
    assert_eq!(
        relay.operator(change(vec![other.id.clone()])),
        Outcome::Done
    );
    let unknown = refused(Refusal::UnknownRecipient);
    assert_eq!(send(&mut relay, &agent), unknown);
    assert!(is_accepted(&send(&mut relay, &other)));
    // Nobody is made of a client.
    let nobody = relay.operator(change(vec![client.id.clone()]));
    assert_eq!(nobody, unknown);
    let message = relay.to(&client);
    assert_eq!(relay.send(&agent, message), Err(Refusal::UnknownRecipient));
    let to_all = relay.draft(Recipient::Broadcast);
    let to_all = relay.send(&agent, to_all).unwrap().message;
    assert_eq!(relay.message(to_all).unwrap().delivery_count, 1);
    // Its own rate.
    assert!(is_accepted(&send(&mut relay, &other)));
    let limited = send(&mut relay, &other);
    assert!(
        matches!(limited, Outcome::Refused(Refusal::RateLimited { .. })),
        "{limited:?}"
    );
}

/// The client asked whom it may; who works on the task is not up to it.
#[test]
fn a_client_answers_whoever_took_over_from_whom_it_may_reach() {
    let (mut relay, client, agent) = relay();
    let other = relay.enroll("other");
    let change = |agent: &Peer| OperatorRequest::ChangeA2aClient {
        client_id: client.id.clone(),
        agents: vec![agent.id.clone()],
        rate_max_messages: None,
    };
    assert_eq!(relay.operator(change(&agent)), Outcome::Done);
    relay.operator(OperatorRequest::Hold {
        agent_id: agent.id.clone(),
        kind: HoldKind::Pause,
        reason: "away".into(),
        expires_ms: None,
        redirect_agent_id: Some(other.id.clone()),
    });
    let (task, _) = relay.asked(&agent);
    for message in relay.take(&other) {
        relay.ack(&other, message);
    }
    let mut more = || {
        let more = relay.further(&other, task, false);
        relay.by_token(TaskRequest::Send(Box::new(more)))
    };
    assert!(is_accepted(&more()));
    assert_eq!(relay.operator(change(&other)), Outcome::Done);
    let mut more = || {
        let more = relay.further(&other, task, false);
        relay.by_token(TaskRequest::Send(Box::new(more)))
    };
    assert_eq!(more(), refused(Refusal::UnknownRecipient));
}
