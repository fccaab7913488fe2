//! What operators do with messages: send, take back, send on.

use ekho::machine::command::{NewMessage, OperatorRequest};
use ekho::machine::outcome::{Outcome, Refusal, Sent};
use ekho_storage::tables::agent::HoldKind;
use ekho_storage::tables::delivery::{self, DeliveryState};
use ekho_storage::tables::event::EventKind;
use ekho_storage::tables::message::{MessageState, Recipient};
use ekho_storage::tables::policy::{Action, Conditions, Draft};

use crate::rig::{FLEET, MINUTE, OPERATOR_ID, Peer, Relay, nack};

fn send(relay: &mut Relay, message: NewMessage) -> Result<Sent, Refusal> {
    match relay.operator(OperatorRequest::Send(Box::new(message))) {
        Outcome::Sent { mut results, .. } => results.remove(0),
        Outcome::Refused(refusal) => Err(refusal),
        other => panic!("{other:?}"),
    }
}

/// Every place of an agent's inbox.
fn seqs(relay: &Relay, of: &Peer) -> Vec<u64> {
    let rows = delivery::list(&relay.txn, FLEET, of.no, 0, 1000).unwrap();
    rows.into_iter().map(|(seq, _)| seq).collect()
}

fn redirect(relay: &mut Relay, from: &Peer, to: &Peer) -> Outcome {
    let seqs = seqs(relay, from);
    relay.operator(OperatorRequest::Redirect {
        from_agent_id: from.id.clone(),
        to_agent_id: to.id.clone(),
        seqs,
        reason: "it is asleep".into(),
    })
}

#[test]
fn an_operators_message_arrives_whatever_holds_the_agents() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    relay.hold(&writer, HoldKind::Quarantine);
    let message = relay.to(&writer);
    let sent = send(&mut relay, message).unwrap().message;
    assert_eq!(relay.take(&writer), [sent]);
    let stored = relay.message(sent).unwrap();
    assert_eq!(
        (
            stored.sender,
            stored.sender_id.as_str(),
            stored.sender_kind()
        ),
        (0, OPERATOR_ID, "operator")
    );
    assert_eq!(relay.ack(&writer, sent), 1);
    assert_eq!(relay.message(sent).unwrap().state, MessageState::Open);

    let unknown = relay.draft(Recipient::Agent("agent_nobody".into()));
    assert_eq!(send(&mut relay, unknown), Err(Refusal::UnknownRecipient));
    let once = NewMessage {
        idempotency: Some(("key".into(), [1; 32])),
        ..relay.to(&reviewer)
    };
    let first = send(&mut relay, once.clone()).unwrap();
    let again = NewMessage {
        uuid: relay.next_id(),
        ..once
    };
    let second = send(&mut relay, again).unwrap();
    assert_eq!((second.message, second.repeated), (first.message, true));
    assert_eq!(relay.take(&reviewer), [first.message]);
}

#[test]
fn what_waits_goes_on_to_another_agent_once() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let editor = relay.enroll("editor");
    let waits = relay.sent(&writer, &reviewer);
    let back = relay.sent(&writer, &reviewer);
    let out = relay.sent(&writer, &reviewer);
    assert_eq!(relay.take(&reviewer), [waits, back, out]);
    for message in [waits, back] {
        relay.nack(&reviewer, nack(message));
    }
    assert_eq!(
        redirect(&mut relay, &reviewer, &editor),
        Outcome::Updated(2)
    );
    assert_eq!(relay.events(1), [EventKind::MessageRedirected]);
    assert_eq!(
        relay.take(&editor),
        [waits, back],
        "at once, in their order"
    );
    assert_eq!(seqs(&relay, &reviewer).len(), 1, "what it has out stays");
    relay.pass(10 * MINUTE);
    assert_eq!(relay.ack(&editor, waits), 1);
    assert_eq!(relay.ack(&reviewer, out), 1);
    assert_eq!(relay.ack(&reviewer, waits), 0, "it is not its any more");
    assert_eq!(
        redirect(&mut relay, &reviewer, &reviewer),
        Outcome::Refused(Refusal::UnknownRecipient)
    );
    relay.revoke(&editor);
    assert_eq!(
        redirect(&mut relay, &reviewer, &editor),
        Outcome::Refused(Refusal::UnknownRecipient)
    );
}

#[test]
fn a_message_to_many_goes_on_to_those_who_do_not_have_it() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let editor = relay.enroll("editor");
    let all = relay.draft(Recipient::Broadcast);
    let uuid = relay.send(&writer, all).unwrap().message;
    let late = relay.enroll("late");
    assert_eq!(redirect(&mut relay, &reviewer, &late), Outcome::Updated(1));
    assert_eq!(relay.take(&late), [uuid]);
    // The other one has it already: what waits for the first is taken back.
    assert_eq!(redirect(&mut relay, &editor, &late), Outcome::Updated(1));
    assert_eq!(relay.state(&editor, uuid), DeliveryState::Cancelled);
    assert!(relay.take(&editor).is_empty());
    assert_eq!(relay.ack(&late, uuid), 1);
    assert_eq!(relay.message(uuid).unwrap().state, MessageState::Done);
    // Nor does it go back to who sent it.
    let back = relay.sent(&writer, &reviewer);
    assert_eq!(
        redirect(&mut relay, &reviewer, &writer),
        Outcome::Updated(0)
    );
    assert_eq!(relay.take(&reviewer), [back]);
}

#[test]
fn a_policy_also_keeps_what_is_sent_on() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let editor = relay.enroll("editor");
    relay.sent(&writer, &reviewer);
    relay.operator(OperatorRequest::PutPolicy {
        policy_id: "pol_1".into(),
        draft: Box::new(Draft {
            name: "not to the editor".into(),
            scope_agent: None,
            action: Action::Deny,
            conditions: Conditions {
                recipient_agent_id: Some(vec![editor.id.clone()]),
                ..Conditions::default()
            },
            enabled: true,
            dry_run: false,
            priority: 1,
        }),
        is_new: true,
    });
    assert_eq!(
        redirect(&mut relay, &reviewer, &editor),
        Outcome::Updated(0)
    );
    assert_eq!(relay.take(&reviewer).len(), 1);
}

#[test]
fn an_operator_takes_back_what_was_not_handed_out() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let waits = relay.sent(&writer, &reviewer);
    let cancel = OperatorRequest::Cancel { message: waits };
    assert_eq!(relay.operator(cancel.clone()), Outcome::Updated(1));
    assert_eq!(relay.state(&reviewer, waits), DeliveryState::Cancelled);
    assert!(matches!(
        relay.operator(cancel),
        Outcome::Refused(Refusal::Conflict(_))
    ));
    assert_eq!(
        relay.operator(OperatorRequest::Cancel { message: 99 }),
        Outcome::Refused(Refusal::NotFound)
    );
}
