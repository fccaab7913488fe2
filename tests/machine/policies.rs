//! Policies: which messages they keep out, in which order they are looked at, and their versions.

use ekho::machine::command::{NewMessage, OperatorRequest};
use ekho::machine::outcome::{Outcome, Refusal};
use ekho::machine::policy::{Body, Party, Question, Rules};
use ekho_storage::tables::event::{self, EventKind};
use ekho_storage::tables::message::{Priority, Recipient};
use ekho_storage::tables::policy::{self, Action, Conditions, Draft, Policy};
use proptest::prelude::*;

use crate::rig::{FLEET, OPERATOR_ID, Peer, Relay};

pub fn deny(name: &str, conditions: Conditions) -> Draft {
    Draft {
        name: name.into(),
        scope_agent: None,
        action: Action::Deny,
        conditions,
        enabled: true,
        dry_run: false,
        priority: 100,
    }
}

pub fn put(relay: &mut Relay, id: &str, draft: Draft) {
    let is_new = policy::get(&relay.txn, FLEET, id).unwrap().is_none();
    let made = relay.operator(OperatorRequest::PutPolicy {
        policy_id: id.into(),
        draft: Box::new(draft),
        is_new,
    });
    assert_eq!(made, Outcome::Done);
}

pub fn denied(name: &str) -> Option<Refusal> {
    Some(Refusal::PolicyDenied(name.into()))
}

/// What keeps a plain message from getting there.
pub fn send(relay: &mut Relay, from: &Peer, to: &Peer) -> Option<Refusal> {
    let message = relay.to(to);
    relay.send(from, message).err()
}

fn ids(ids: &[&str]) -> Option<Vec<String>> {
    Some(ids.iter().map(|id| id.to_string()).collect())
}

#[test]
fn a_policy_holds_from_the_next_message_on() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    assert_eq!(send(&mut relay, &writer, &reviewer), None);
    let rule = deny(
        "no drafts",
        Conditions {
            sender_agent_id: ids(&[&writer.id]),
            ..Conditions::default()
        },
    );
    put(&mut relay, "pol_1", rule.clone());
    let before = relay.take(&reviewer).len();
    assert_eq!(send(&mut relay, &writer, &reviewer), denied("no drafts"));
    assert_eq!(relay.events(1), [EventKind::MessagePolicyDenied]);
    assert_eq!(send(&mut relay, &reviewer, &writer), None, "the other way");
    assert_eq!((before, relay.take(&reviewer).len()), (1, 0));
    put(
        &mut relay,
        "pol_1",
        Draft {
            enabled: false,
            ..rule
        },
    );
    assert_eq!(send(&mut relay, &writer, &reviewer), None, "switched off");
    relay.operator(OperatorRequest::RollBackPolicy {
        policy_id: "pol_1".into(),
        version: 1,
    });
    assert_eq!(send(&mut relay, &writer, &reviewer), denied("no drafts"));
    relay.operator(OperatorRequest::DeletePolicy {
        policy_id: "pol_1".into(),
    });
    assert_eq!(send(&mut relay, &writer, &reviewer), None, "removed");
    assert_eq!(policy::list(&relay.txn, FLEET).unwrap(), []);
}

#[test]
fn all_conditions_must_hold_and_any_value_will_do() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let rule = Conditions {
        recipient_agent_id: ids(&["agent_nobody", &reviewer.id]),
        priority: Some(vec![Priority::Urgent, Priority::High]),
        ..Conditions::default()
    };
    put(&mut relay, "pol_1", deny("no hurry", rule));
    for (priority, expected) in [
        (Priority::Normal, None),
        (Priority::High, denied("no hurry")),
        (Priority::Urgent, denied("no hurry")),
    ] {
        let message = NewMessage {
            priority,
            ..relay.to(&reviewer)
        };
        assert_eq!(relay.send(&writer, message).err(), expected, "{priority:?}");
    }
}

#[test]
fn a_scope_names_the_sender_or_the_recipient() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let editor = relay.enroll("editor");
    let draft = Draft {
        scope_agent: Some(reviewer.id.clone()),
        ..deny("not with the reviewer", Conditions::default())
    };
    put(&mut relay, "pol_1", draft);
    let expected = denied("not with the reviewer");
    assert_eq!(send(&mut relay, &writer, &reviewer), expected);
    assert_eq!(send(&mut relay, &reviewer, &writer), expected);
    assert_eq!(send(&mut relay, &writer, &editor), None);
}

#[test]
fn denials_come_first_and_then_the_lower_priority() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let allow = Draft {
        action: Action::Allow,
        priority: 0,
        ..deny("all are welcome", Conditions::default())
    };
    put(&mut relay, "pol_1", allow);
    assert_eq!(send(&mut relay, &writer, &reviewer), None);
    put(&mut relay, "pol_2", deny("later", Conditions::default()));
    put(
        &mut relay,
        "pol_3",
        Draft {
            priority: 5,
            ..deny("first", Conditions::default())
        },
    );
    assert_eq!(send(&mut relay, &writer, &reviewer), denied("first"));
}

#[test]
fn a_dry_run_records_and_denies_nothing() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let draft = Draft {
        dry_run: true,
        ..deny("a try", Conditions::default())
    };
    put(&mut relay, "pol_1", draft);
    let message = relay.to(&reviewer);
    relay.send(&writer, message).unwrap();
    let kinds = relay.events(2);
    assert!(kinds.contains(&EventKind::MessagePolicyDryRun), "{kinds:?}");
    assert_eq!(relay.take(&reviewer).len(), 1);
}

/// A message to many gets nowhere that one of its own would not.
#[test]
fn a_fan_out_leaves_out_whom_it_must_not_reach() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let editor = relay.enroll("editor");
    let rule = Conditions {
        recipient_agent_id: ids(&[&reviewer.id]),
        ..Conditions::default()
    };
    put(&mut relay, "pol_1", deny("not to the reviewer", rule));
    let everyone = relay.draft(Recipient::Broadcast);
    relay.send(&writer, everyone).unwrap();
    assert_eq!(relay.take(&reviewer), []);
    assert_eq!(relay.take(&editor).len(), 1);
    put(
        &mut relay,
        "pol_2",
        deny("not at all", Conditions::default()),
    );
    let everyone = relay.draft(Recipient::Broadcast);
    assert!(matches!(
        relay.send(&writer, everyone),
        Err(Refusal::PolicyDenied(_))
    ));
}

/// Neither who is named nor who receives in their place may be one whom a policy protects.
#[test]
fn a_redirect_is_no_way_around_a_policy() {
    let mut relay = Relay::new();
    let (writer, reviewer) = relay.pair();
    let editor = relay.enroll("editor");
    relay.operator(OperatorRequest::Hold {
        agent_id: reviewer.id.clone(),
        kind: ekho_storage::tables::agent::HoldKind::Pause,
        reason: "r".into(),
        expires_ms: None,
        redirect_agent_id: Some(editor.id.clone()),
    });
    assert_eq!(send(&mut relay, &writer, &reviewer), None);
    for protected in [&reviewer, &editor] {
        let rule = Conditions {
            recipient_agent_id: ids(&[&protected.id]),
            ..Conditions::default()
        };
        put(&mut relay, "pol_1", deny("protected", rule));
        assert_eq!(send(&mut relay, &writer, &reviewer), denied("protected"));
    }
}

#[test]
fn every_version_is_kept_with_who_made_it_up_to_a_number() {
    let mut relay = Relay::new();
    for number in 1..=60u32 {
        let name = format!("version {number}");
        put(&mut relay, "pol_1", deny(&name, Conditions::default()));
    }
    let versions = policy::versions(&relay.txn, FLEET, "pol_1").unwrap();
    assert_eq!(versions.len(), 50);
    assert_eq!((versions[0].version, versions[49].version), (60, 11));
    assert!(versions.iter().all(|one| one.updated_by == OPERATOR_ID));
    let (_, last) = event::list_rev(&relay.txn, FLEET, u64::MAX, 1)
        .unwrap()
        .remove(0);
    let payload: serde_json::Value = serde_json::from_str(&last.payload).unwrap();
    assert_eq!(last.kind, EventKind::PolicyUpdated);
    assert_eq!(payload["before"]["name"], "version 59");
    assert_eq!(payload["after"]["name"], "version 60");
    let gone = relay.operator(OperatorRequest::RollBackPolicy {
        policy_id: "pol_1".into(),
        version: 1,
    });
    assert_eq!(gone, Outcome::Refused(Refusal::NotFound));
    relay.operator(OperatorRequest::DeletePolicy {
        policy_id: "pol_1".into(),
    });
    assert_eq!(policy::versions(&relay.txn, FLEET, "pol_1").unwrap(), []);
}

/// What decides, told in another way: of all that match, a denial before an approval, the lowest
/// priority, the oldest.
fn reference(policies: &[Policy], asked: &Question<'_>) -> Option<String> {
    let holds = |values: &Option<Vec<String>>, value: Option<&str>| match (values, value) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(values), Some(value)) => values.contains(&value.to_string()),
    };
    let recipient = asked.recipient.map(|party| party.id);
    let mut best: Option<&Policy> = None;
    for one in policies {
        let draft = &one.draft;
        let scoped = match draft.scope_agent.as_deref() {
            None => true,
            Some(agent) => agent == asked.sender.id || recipient == Some(agent),
        };
        let conditions = &draft.conditions;
        let matched = draft.enabled
            && !draft.dry_run
            && scoped
            && holds(&conditions.sender_agent_id, Some(asked.sender.id))
            && holds(&conditions.recipient_agent_id, recipient)
            && holds(&conditions.message_type, Some(asked.message_type))
            && conditions
                .priority
                .as_ref()
                .is_none_or(|values| values.contains(&asked.priority));
        let rank = |one: &Policy| {
            let denies = one.draft.action == Action::Deny;
            (!denies, one.draft.priority, one.id.clone())
        };
        if matched && best.is_none_or(|best| rank(one) < rank(best)) {
            best = Some(one);
        }
    }
    best.map(|one| one.id.clone())
}

fn some_ids() -> impl Strategy<Value = Option<Vec<String>>> {
    let id = prop_oneof![Just("a"), Just("b"), Just("c")].prop_map(String::from);
    prop::option::of(prop::collection::vec(id, 0..3))
}

fn some_priority() -> impl Strategy<Value = Priority> {
    prop_oneof![
        Just(Priority::Low),
        Just(Priority::Normal),
        Just(Priority::High)
    ]
}

prop_compose! {
    fn some_policy()(
        number in 0..20u32,
        scope_agent in prop::option::of(prop_oneof![Just("a"), Just("b")].prop_map(String::from)),
        allows: bool,
        sender_agent_id in some_ids(),
        recipient_agent_id in some_ids(),
        message_type in some_ids(),
        priorities in prop::option::of(prop::collection::vec(some_priority(), 0..3)),
        enabled in prop::bool::weighted(0.8),
        dry_run in prop::bool::weighted(0.2),
        priority in 0..3u32,
    ) -> Policy {
        Policy {
            id: format!("pol_{number:02}"),
            version: 1,
            draft: Draft {
                name: "n".into(),
                scope_agent,
                action: if allows { Action::Allow } else { Action::Deny },
                conditions: Conditions {
                    sender_agent_id,
                    recipient_agent_id,
                    message_type,
                    priority: priorities,
                    ..Conditions::default()
                },
                enabled,
                dry_run,
                priority,
            },
            created_ms: 0,
            updated_ms: 0,
            updated_by: "opr_1".into(),
        }
    }
}

proptest! {
    #[test]
    fn the_decision_is_that_of_the_reference(
        mut policies in prop::collection::vec(some_policy(), 0..12),
        sender in prop_oneof![Just("a"), Just("b")],
        recipient in prop::option::of(prop_oneof![Just("a"), Just("b"), Just("c")]),
        message_type in prop_oneof![Just("a"), Just("b")],
        priority in some_priority(),
    ) {
        policies.sort_by(|a, b| a.id.cmp(&b.id));
        policies.dedup_by(|a, b| a.id == b.id);
        let party = |id| Party { id, labels: &[], capabilities: &[] };
        let asked = Question {
            sender: party(sender),
            recipient: recipient.map(party),
            message_type,
            priority,
            conversation_id: "c",
            body: &Body::new(b"{}"),
            now_ms: 0,
            sent: &|_, _| Ok(0),
        };
        let expected = reference(&policies, &asked);
        let rules = Rules::new(policies);
        let verdict = rules.judge(&asked).unwrap();
        prop_assert_eq!(verdict.decided_by.map(|one| one.id.clone()), expected);
    }
}
