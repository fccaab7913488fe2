//! Policies that look at more than the envelope, and do more than refuse.

use ekho::machine::command::{NewMessage, OperatorRequest};
use ekho::machine::outcome::{Imported, Outcome, Refusal};
use ekho_storage::tables::approval::{self, ApprovalStatus};
use ekho_storage::tables::delivery::DeliveryState;
use ekho_storage::tables::event::{self, EventKind};
use ekho_storage::tables::license::Feature;
use ekho_storage::tables::message::{MessageState, Recipient};
use ekho_storage::tables::policy::{
    self, Action, BodyRule, BodyTest, Conditions, Draft, PairRate, TimeWindow, TimeWindows,
};

use crate::licenses::{configure, pro};
use crate::policies::{denied, deny, put, send};
use crate::rig::{DAY, FLEET, MINUTE, Peer, Relay};

fn licensed() -> Relay {
    let mut relay = Relay::new();
    configure(&mut relay, Some(pro(1, DAY)));
    relay
}

fn body(pointer: &str, test: BodyRule) -> Conditions {
    Conditions {
        body: vec![BodyTest {
            pointer: pointer.into(),
            test,
        }],
        ..Conditions::default()
    }
}

fn act(name: &str, action: Action, conditions: Conditions) -> Draft {
    Draft {
        action,
        ..deny(name, conditions)
    }
}

fn send_body(relay: &mut Relay, from: &Peer, to: &Peer, body: &str) -> Option<Refusal> {
    let message = NewMessage {
        body: body.as_bytes().to_vec(),
        ..relay.to(to)
    };
    relay.send(from, message).err()
}

#[test]
fn a_body_is_looked_at_where_the_pointer_says() {
    let mut relay = licensed();
    let (writer, reviewer) = relay.pair();
    for (pointer, test, body_text, matches) in [
        (
            "/amount",
            BodyRule::Equals("100".into()),
            r#"{"amount":100}"#,
            true,
        ),
        (
            "/amount",
            BodyRule::Equals("100".into()),
            r#"{"amount":1e2}"#,
            true,
        ),
        (
            "/amount",
            BodyRule::Equals("100".into()),
            r#"{"amount":"100"}"#,
            false,
        ),
        (
            "/a/1",
            BodyRule::Equals("null".into()),
            r#"{"a":[1,null]}"#,
            true,
        ),
        (
            "/a~1b",
            BodyRule::Equals(r#"{"x":1,"y":2}"#.into()),
            r#"{"a/b":{"y":2,"x":1}}"#,
            true,
        ),
        (
            "/text",
            BodyRule::Matches("(?i)password".into()),
            r#"{"text":"my PassWord"}"#,
            true,
        ),
        (
            "/text",
            BodyRule::Matches("^p".into()),
            r#"{"text":"a p"}"#,
            false,
        ),
        (
            "/text",
            BodyRule::Matches("1".into()),
            r#"{"text":1}"#,
            false,
        ),
        (
            "",
            BodyRule::Matches("sk-[a-z0-9]{4}".into()),
            r#"{"deep":{"er":"sk-ab12"}}"#,
            true,
        ),
        ("/gone", BodyRule::Exists(true), r#"{"here":1}"#, false),
        ("/gone", BodyRule::Exists(false), r#"{"here":1}"#, true),
    ] {
        put(
            &mut relay,
            "pol_1",
            deny("body", body(pointer, test.clone())),
        );
        let refused = send_body(&mut relay, &writer, &reviewer, body_text);
        let expected = if matches { denied("body") } else { None };
        assert_eq!(refused, expected, "{pointer} {test:?} {body_text}");
    }
}

#[test]
fn labels_and_capabilities_stand_for_agents() {
    let mut relay = licensed();
    let (writer, reviewer) = relay.pair();
    let outside = Conditions {
        sender_labels: Some(vec!["external".into(), "trial".into()]),
        ..Conditions::default()
    };
    put(&mut relay, "pol_1", deny("no strangers", outside));
    assert_eq!(send(&mut relay, &writer, &reviewer), None);
    let labels = |labels: &[&str]| OperatorRequest::SetLabels {
        agent_id: "agent_writer".into(),
        labels: labels.iter().map(|label| label.to_string()).collect(),
    };
    assert_eq!(
        relay.operator(labels(&["trial", "a", "trial"])),
        Outcome::Done
    );
    assert_eq!(relay.agent(writer.no).labels, ["a", "trial"]);
    let (_, last) = event::list_rev(&relay.txn, FLEET, u64::MAX, 1)
        .unwrap()
        .remove(0);
    assert_eq!(last.kind, EventKind::AgentLabelled);
    assert_eq!(last.payload, r#"{"after":["a","trial"],"before":[]}"#);
    assert_eq!(send(&mut relay, &writer, &reviewer), denied("no strangers"));
    assert_eq!(send(&mut relay, &reviewer, &writer), None);
    relay.operator(labels(&[]));
    assert_eq!(send(&mut relay, &writer, &reviewer), None);

    let able = Conditions {
        recipient_capabilities: Some(vec!["deploy".into()]),
        ..Conditions::default()
    };
    put(&mut relay, "pol_1", deny("no deploying", able));
    assert_eq!(send(&mut relay, &writer, &reviewer), None, "it has none");
}

#[test]
fn a_time_window_opens_and_closes() {
    let mut relay = licensed();
    let (writer, reviewer) = relay.pair();
    let minute_of_day = (relay.now_ms / MINUTE % (24 * 60)) as u16;
    let time = TimeWindows {
        time_zone: "Test/One".into(),
        // An hour ahead of UTC.
        offsets: vec![(0, 3600)],
        windows: vec![TimeWindow {
            days: 0x7f,
            from_minute: (minute_of_day + 60 + 5) % 1440,
            to_minute: (minute_of_day + 60 + 10) % 1440,
        }],
    };
    let closed = Conditions {
        time: Some(time),
        ..Conditions::default()
    };
    put(&mut relay, "pol_1", deny("closed", closed));
    for (minute, expected) in [
        (0, None),
        (5, denied("closed")),
        (9, denied("closed")),
        (10, None),
    ] {
        relay.now_ms = crate::rig::START_MS + minute * MINUTE + 30_000;
        assert_eq!(
            send(&mut relay, &writer, &reviewer),
            expected,
            "minute {minute}"
        );
    }
}

#[test]
fn a_rate_is_counted_for_each_pair_and_begins_anew_with_each_window() {
    let mut relay = licensed();
    let (writer, reviewer) = relay.pair();
    let editor = relay.enroll("editor");
    let flood = Conditions {
        rate: Some(PairRate {
            max_messages: 2,
            window_ms: MINUTE,
        }),
        ..Conditions::default()
    };
    put(&mut relay, "pol_1", deny("flood", flood));
    for expected in [None, None, denied("flood"), denied("flood")] {
        assert_eq!(send(&mut relay, &writer, &reviewer), expected);
    }
    assert_eq!(send(&mut relay, &writer, &editor), None, "another pair");
    assert_eq!(send(&mut relay, &reviewer, &writer), None, "the other way");
    relay.now_ms += MINUTE;
    relay.tick();
    for expected in [None, None, denied("flood")] {
        assert_eq!(send(&mut relay, &writer, &reviewer), expected);
    }
    relay.now_ms += MINUTE;
    relay.tick();
    let pair = ekho_storage::tables::rate::Pair {
        fleet: FLEET,
        policy: "pol_1",
        sender: writer.no,
        recipient: reviewer.no,
    };
    let window = ekho_storage::tables::rate::pair(&relay.txn, &pair).unwrap();
    assert_eq!(window.count, 0, "nothing is kept of a window that is over");
}

#[test]
fn a_message_waits_where_a_policy_says_so() {
    let mut relay = licensed();
    let (writer, reviewer) = relay.pair();
    put(
        &mut relay,
        "pol_1",
        act("ask first", Action::RequireApproval, Conditions::default()),
    );
    let message = relay.to(&reviewer);
    let (uuid, asked) = (message.uuid, message.approval);
    relay.send(&writer, message).unwrap();
    assert_eq!(relay.take(&reviewer), []);
    assert_eq!(
        relay.message(uuid).unwrap().state,
        MessageState::PendingApproval
    );
    let waiting = approval::get(&relay.txn, FLEET, asked).unwrap().unwrap();
    assert_eq!(waiting.status, ApprovalStatus::Pending);
    assert_eq!(waiting.payload, r#"{"policy":"ask first"}"#);
    relay.operator(OperatorRequest::DecideApproval {
        approval: asked,
        approve: true,
        reason: None,
    });
    assert_eq!(relay.take(&reviewer), [uuid]);
}

/// Those that let a message pass are looked at together, so that one of them can be an exception.
#[test]
fn an_allowance_of_lower_priority_is_an_exception() {
    let mut relay = licensed();
    let (writer, reviewer) = relay.pair();
    let asks = act("ask first", Action::RequireApproval, Conditions::default());
    put(&mut relay, "pol_1", asks);
    let trusted = Conditions {
        sender_agent_id: Some(vec![writer.id.clone()]),
        ..Conditions::default()
    };
    let exception = Draft {
        priority: 1,
        ..act("but not the writer", Action::Allow, trusted)
    };
    put(&mut relay, "pol_2", exception);
    assert_eq!(send(&mut relay, &writer, &reviewer), None);
    assert_eq!(relay.take(&reviewer).len(), 1);
    assert_eq!(send(&mut relay, &reviewer, &writer), None);
    assert_eq!(relay.take(&writer), [], "waits");
}

#[test]
fn a_redirect_goes_one_step_and_nowhere_a_policy_forbids() {
    let mut relay = licensed();
    let (writer, reviewer) = relay.pair();
    let editor = relay.enroll("editor");
    let to_reviewer = Conditions {
        recipient_agent_id: Some(vec![reviewer.id.clone()]),
        ..Conditions::default()
    };
    let rule = act("on leave", Action::Redirect(editor.id.clone()), to_reviewer);
    put(&mut relay, "pol_1", rule);
    let uuid = relay.sent(&writer, &reviewer);
    assert_eq!(relay.take(&editor), [uuid]);
    assert_eq!(relay.take(&reviewer), []);
    assert!(relay.events(6).contains(&EventKind::MessageRedirected));
    // The editor's own message cannot come back to it: it stays with the reviewer.
    let own = relay.sent(&editor, &reviewer);
    assert_eq!(relay.take(&reviewer), [own]);
    // To all: each once, though the editor stands for two.
    let everyone = relay.draft(Recipient::Broadcast);
    let uuid = everyone.uuid;
    relay.send(&writer, everyone).unwrap();
    assert_eq!(relay.take(&editor), [uuid]);
    assert_eq!(relay.take(&reviewer), []);
    // One step only.
    let to_editor = Conditions {
        recipient_agent_id: Some(vec![editor.id.clone()]),
        ..Conditions::default()
    };
    let back = act(
        "and back",
        Action::Redirect(reviewer.id.clone()),
        to_editor.clone(),
    );
    put(&mut relay, "pol_2", back);
    let uuid = relay.sent(&writer, &reviewer);
    assert_eq!(relay.take(&editor), [uuid]);
    put(&mut relay, "pol_2", deny("not to the editor", to_editor));
    assert_eq!(
        send(&mut relay, &writer, &reviewer),
        denied("not to the editor")
    );
    relay.operator(OperatorRequest::DeletePolicy {
        policy_id: "pol_2".into(),
    });
    relay.revoke(&editor);
    let uuid = relay.sent(&writer, &reviewer);
    assert_eq!(relay.take(&reviewer), [uuid], "nobody there to take it");
}

#[test]
fn a_quarantine_stops_the_sender_until_an_operator_resumes_it() {
    let mut relay = licensed();
    let (writer, reviewer) = relay.pair();
    let leak = body("", BodyRule::Matches("BEGIN PRIVATE KEY".into()));
    put(&mut relay, "pol_1", act("a leak", Action::Quarantine, leak));
    assert_eq!(send(&mut relay, &writer, &reviewer), None);
    let leaked = r#"{"text":"-----BEGIN PRIVATE KEY-----"}"#;
    assert_eq!(
        send_body(&mut relay, &writer, &reviewer, leaked),
        denied("a leak")
    );
    assert_eq!(relay.status(&writer), "quarantined");
    assert!(matches!(
        send(&mut relay, &writer, &reviewer),
        Some(Refusal::Held(_))
    ));
    relay.resume(&writer);
    assert_eq!(send(&mut relay, &writer, &reviewer), None);
    assert_eq!(relay.take(&reviewer).len(), 2);
}

#[test]
fn tags_add_up_and_decide_nothing() {
    let mut relay = licensed();
    let (writer, reviewer) = relay.pair();
    let tag = |name: &str, tags: &[&str]| {
        let tags = tags.iter().map(|tag| tag.to_string()).collect();
        act(name, Action::Tag(tags), Conditions::default())
    };
    put(&mut relay, "pol_1", tag("one", &["b", "a"]));
    put(&mut relay, "pol_2", tag("two", &["c", "a"]));
    put(
        &mut relay,
        "pol_3",
        act("wait", Action::RequireApproval, Conditions::default()),
    );
    let uuid = relay.sent(&writer, &reviewer);
    let message = relay.message(uuid).unwrap();
    assert_eq!(message.tags, ["a", "b", "c"]);
    assert_eq!(message.state, MessageState::PendingApproval);
    assert_eq!(relay.state(&reviewer, uuid), DeliveryState::Waiting);
}

#[test]
fn an_import_holds_as_a_whole_or_not_at_all() {
    let mut relay = licensed();
    for name in ["a", "b"] {
        put(
            &mut relay,
            &format!("pol_{name}"),
            deny(name, Conditions::default()),
        );
    }
    let import =
        |policies: &[(&str, Draft)], delete_others, dry_run| OperatorRequest::ImportPolicies {
            policies: policies
                .iter()
                .map(|(id, draft)| (id.to_string(), draft.clone()))
                .collect(),
            delete_others,
            dry_run,
        };
    let same = ("pol_a", deny("a", Conditions::default()));
    let changed = ("pol_b", act("b", Action::Allow, Conditions::default()));
    let new = ("pol_c", deny("c", Conditions::default()));
    let expected = Imported {
        created: 1,
        updated: 1,
        unchanged: 1,
        deleted: 0,
    };
    let all = [same, changed, new.clone()];
    let names = |relay: &Relay| -> Vec<String> {
        let policies = policy::list(&relay.txn, FLEET).unwrap();
        policies.into_iter().map(|one| one.draft.name).collect()
    };
    let tried = relay.operator(import(&all, false, true));
    assert_eq!(tried, Outcome::PoliciesImported(expected));
    assert_eq!(names(&relay), ["a", "b"]);
    let done = relay.operator(import(&all, false, false));
    assert_eq!(done, Outcome::PoliciesImported(expected));
    assert_eq!(names(&relay), ["a", "b", "c"]);
    assert_eq!(
        policy::get(&relay.txn, FLEET, "pol_a")
            .unwrap()
            .unwrap()
            .version,
        1
    );
    assert_eq!(
        policy::get(&relay.txn, FLEET, "pol_b")
            .unwrap()
            .unwrap()
            .version,
        2
    );
    relay.operator(import(&[new], true, false));
    assert_eq!(names(&relay), ["c"]);
    let too_many: Vec<(String, Draft)> = (0..1001)
        .map(|number| (format!("pol_{number}"), deny("n", Conditions::default())))
        .collect();
    let refused = relay.operator(OperatorRequest::ImportPolicies {
        policies: too_many,
        delete_others: true,
        dry_run: false,
    });
    assert_eq!(
        refused,
        Outcome::Refused(Refusal::LimitReached { limit: 1000 })
    );
    assert_eq!(names(&relay), ["c"]);
}

/// Without a licence nothing advanced begins to hold; what holds already goes on, and can be
/// switched off and removed.
#[test]
fn a_licence_is_needed_to_begin_not_to_go_on() {
    let mut relay = licensed();
    let (writer, reviewer) = relay.pair();
    let leak = body("", BodyRule::Matches("secret".into()));
    put(&mut relay, "pol_1", deny("a leak", leak.clone()));
    configure(&mut relay, None);
    let secret = r#"{"text":"secret"}"#;
    let refused = send_body(&mut relay, &writer, &reviewer, secret);
    assert_eq!(refused, denied("a leak"), "it still holds");

    let feature = Feature::AdvancedPolicies;
    let unlicensed = Outcome::Refused(Refusal::LicenseRequired { feature });
    let order = |draft: &Draft, is_new| OperatorRequest::PutPolicy {
        policy_id: if is_new {
            "pol_2".into()
        } else {
            "pol_1".into()
        },
        draft: Box::new(draft.clone()),
        is_new,
    };
    for draft in [
        deny("another", leak.clone()),
        act("wait", Action::RequireApproval, Conditions::default()),
        act("tag", Action::Tag(vec!["a".into()]), Conditions::default()),
    ] {
        assert_eq!(
            relay.operator(order(&draft, true)),
            unlicensed,
            "{}",
            draft.name
        );
    }
    assert_eq!(
        relay.operator(order(&deny("changed", leak.clone()), false)),
        unlicensed
    );
    let import = |draft: Draft| OperatorRequest::ImportPolicies {
        policies: vec![("pol_1".into(), draft)],
        delete_others: false,
        dry_run: false,
    };
    assert_eq!(
        relay.operator(import(deny("changed", leak.clone()))),
        unlicensed
    );
    let same = relay.operator(import(deny("a leak", leak.clone())));
    assert!(matches!(same, Outcome::PoliciesImported(_)), "{same:?}");

    let off = Draft {
        enabled: false,
        ..deny("a leak", leak)
    };
    assert_eq!(relay.operator(order(&off, false)), Outcome::Done);
    assert_eq!(send_body(&mut relay, &writer, &reviewer, secret), None);
    let back = OperatorRequest::RollBackPolicy {
        policy_id: "pol_1".into(),
        version: 1,
    };
    assert_eq!(relay.operator(back), unlicensed);
    let basic = deny("basic", Conditions::default());
    assert_eq!(relay.operator(order(&basic, true)), Outcome::Done);
}
