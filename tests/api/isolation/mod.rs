//! Fleets on one relay do not learn of each other.
//!
//! Every endpoint that takes an id is asked with ids of another fleet and with ids that never were,
//! and has to answer alike. The list of endpoints is held against the relay's own description, so
//! that a new one cannot be forgotten. Whatever lists something is read through, and no id of
//! another fleet may stand in it.
//!
//! - `fleet`: a fleet with something of everything in it
//! - `probes`: what is asked

mod fleet;
mod probes;

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use serde_json::{Value, json};

use crate::support::{Answer, DEADLINE, Operator, Relay, direct, poll_until};
use fleet::Populated;
use probes::{LISTS, Probe, Who};

/// Ids by the name of their kind, as they stand in braces in a probe.
type Ids = BTreeMap<&'static str, String>;

/// Puts ids in the place of their kinds.
fn fill(text: &str, ids: &Ids) -> String {
    let mut filled = text.to_string();
    for (kind, id) in ids {
        filled = filled.replace(&format!("{{{kind}}}"), id);
    }
    assert!(
        !filled.contains("{agent") && !filled.contains("_id}"),
        "{filled}"
    );
    filled
}

/// Ids of the same shapes that name nothing anywhere; others in each round, as asking about some
/// leaves traces in the asker's own fleet.
fn never(round: u32) -> Ids {
    let uuid = |prefix: &str, last: u32| format!("{prefix}0199aaaabbbb7ccc{round:08x}{last:08x}");
    [
        ("agent", uuid("agent_", 1)),
        ("agent2", uuid("agent_", 2)),
        ("message", uuid("msg_", 3)),
        ("waiting", uuid("msg_", 4)),
        ("approval", uuid("apr_", 5)),
        (
            "conversation",
            format!("conversation {round} that nobody had"),
        ),
        ("room", uuid("room_", 6)),
        ("letter", "dl_00000000000000ee".into()),
        ("operator", uuid("opr_", 7)),
        ("session", uuid("ses_", 8)),
        ("policy", uuid("pol_", 9)),
        ("hook", uuid("hook_", 9)),
        ("fleet", uuid("flt_", 10)),
        ("event", "evt_0000000000000001".into()),
        ("word", "neversaidbyanybody".into()),
        ("key", uuid("key_", 11)),
        ("signing", uuid("key_", 12)),
        ("client", uuid("agent_", 13)),
        ("token", uuid("tok_", 14)),
        ("task", uuid("task_", 15)),
        ("context", uuid("ctx_", 16)),
        ("attachment", uuid("att_", 17)),
    ]
    .into()
}

/// What is left of an answer when ids and times are taken out of it: what it tells.
struct Told(Regex);

impl Told {
    fn new() -> Self {
        let pattern = r"(?x)
            \b[a-z]{2,5}_[0-9a-f]{8,}(_[0-9a-f]+)?\b | \bagent_[0-9a-f]+\b
            | \d{4}-\d\d-\d\dT[0-9:.]+Z";
        Told(Regex::new(pattern).unwrap())
    }

    fn of(&self, answer: &Answer, ids: &Ids) -> (u16, String) {
        let mut text = answer.text();
        for id in ids.values() {
            text = text.replace(id.as_str(), "GIVEN");
        }
        (
            answer.status,
            self.0
                .replace_all(&text, "GIVEN")
                .replace("\"GIVEN\"", "GIVEN"),
        )
    }
}

async fn ask(who: &Populated, probe: &Probe, ids: &Ids) -> Answer {
    // The asker's own ids have names of their own.
    let mut all = ids.clone();
    all.extend(who.own());
    let target = fill(probe.target, &all).replace(' ', "%20");
    let body = (!probe.body.is_empty()).then(|| {
        let body: Value = serde_json::from_str(probe.body).expect(probe.body);
        serde_json::from_str::<Value>(&fill(&body.to_string(), &all)).unwrap()
    });
    match probe.who {
        Who::Operator => {
            who.operator
                .call(probe.method, &target, body.as_ref())
                .await
        }
        Who::Agent => {
            let body = body.map(|body| body.to_string()).unwrap_or_default();
            who.agents[0].call(probe.method, &target, body).await
        }
    }
}

/// Two fleets beside the first one.
async fn three_fleets(relay: &Relay) -> [Populated; 3] {
    let first = relay.operator().await;
    first
        .put("/v1/operator/settings", &json!({ "retry_backoff_ms": [] }))
        .await
        .ok();
    let mut others = Vec::new();
    for name in ["second", "third"] {
        let draft = json!({
            "name": name,
            "owner_email": "owner@example.org",
            "owner_password": "correct horse battery",
        });
        let made = first.post("/v1/operator/fleets", &draft).await.ok();
        let login = json!({
            "fleet_name": name,
            "email": "owner@example.org",
            "password": "correct horse battery",
        });
        let url = format!("{}/v1/operator/login", relay.url());
        let signed_in = first.http.post(&url, &login).await.ok();
        assert_eq!(signed_in["fleet_id"], made["fleet_id"]);
        others.push(Operator {
            token: signed_in["token"].as_str().unwrap().into(),
            fleet_id: made["fleet_id"].as_str().unwrap().into(),
            ..first.clone()
        });
    }
    let third = others.remove(1);
    let second = others.remove(0);
    [
        Populated::new(first, "first", 2).await,
        Populated::new(second, "second", 1).await,
        Populated::new(third, "third", 3).await,
    ]
}

#[tokio::test]
async fn no_id_of_one_fleet_is_confirmed_to_another() {
    let relay = Relay::builder().pro().start().await;
    let [first, second, third] = three_fleets(&relay).await;
    let told = Told::new();
    let mut differences = Vec::new();
    for (round, asker, asked, administers) in [
        (1, &second, &third, false),
        (2, &second, &first, false),
        (3, &first, &third, true),
    ] {
        let before = asked.everything().await;
        for probe in probes::all() {
            // Who administers the relay sees which fleets there are.
            if administers && probe.target.contains("{fleet}") && probe.who == Who::Operator {
                continue;
            }
            let (foreign, never) = (asked.ids(), never(round));
            // The made-up ids first: a change that the foreign ones cause would show in them.
            let expected = told.of(&ask(asker, probe, &never).await, &never);
            let found = told.of(&ask(asker, probe, &foreign).await, &foreign);
            if expected != found {
                differences.push(format!(
                    "{} asks {}: {} {} {}\n  never was: {expected:?}\n  foreign:   {found:?}",
                    asker.name, asked.name, probe.method, probe.target, probe.body
                ));
            }
            // A malformed question would show nothing.
            let is_asked = expected.0 != 400 && expected.0 < 500;
            assert!(
                is_asked,
                "{} {} {}: {expected:?}",
                probe.method, probe.target, probe.body
            );
        }
        if before != asked.everything().await {
            differences.push(format!("{} changed {}", asker.name, asked.name));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[tokio::test]
async fn lists_searches_and_exports_hold_nothing_of_another_fleet() {
    let relay = Relay::builder().pro().start().await;
    let [first, second, third] = three_fleets(&relay).await;
    // The words of both are worked out.
    for fleet in [&second, &third] {
        poll_until(DEADLINE, "the search to find the word", async || {
            let target = format!("/v1/operator/search?q={}", fleet.ids()["word"]);
            let found = fleet.operator.get(&target).await.ok();
            (!found["messages"].as_array().unwrap().is_empty()).then_some(())
        })
        .await;
    }
    for (reader, other) in [(&second, &third), (&third, &second), (&second, &first)] {
        let mut foreign: BTreeSet<String> = other.ids().into_values().collect();
        // Numbers of rows and words that both have.
        for kind in ["letter", "event"] {
            foreign.remove(&other.ids()[kind]);
        }
        for target in LISTS {
            let answer = reader.operator.get(target).await;
            assert_eq!(answer.status, 200, "{target}: {}", answer.text());
            let text = answer.text();
            for id in &foreign {
                assert!(
                    !text.contains(id.as_str()),
                    "{target} tells {} of {id}",
                    reader.name
                );
            }
        }
        let inbox = reader.agents[1].get("/v1/inbox?limit=100").await.text();
        for id in &foreign {
            assert!(
                !inbox.contains(id.as_str()),
                "{} received {id}",
                reader.name
            );
        }
    }
}

#[tokio::test]
async fn every_endpoint_with_an_id_is_asked() {
    let relay = Relay::builder().pro().shared().await;
    let described = relay.get("/openapi.json").await;
    assert_eq!(described.status, 200);
    let bare = Regex::new(r"\{[^}]*\}").unwrap();
    let asked: BTreeSet<(String, String)> = probes::all()
        .iter()
        .map(|probe| {
            let path = probe.target.split('?').next().unwrap_or_default();
            (
                probe.method.to_lowercase(),
                bare.replace_all(path, "{}").into_owned(),
            )
        })
        .collect();
    let mut missing = Vec::new();
    for (path, methods) in described.json()["paths"].as_object().unwrap() {
        let is_ours = path.starts_with("/v1/") && path.contains('{');
        for method in methods.as_object().unwrap().keys().filter(|_| is_ours) {
            let place = (method.clone(), bare.replace_all(path, "{}").into_owned());
            if !asked.contains(&place) {
                missing.push(format!("{method} {path}"));
            }
        }
    }
    assert!(missing.is_empty(), "not in probes.rs: {missing:?}");
}

#[tokio::test]
async fn the_same_names_mean_different_things_in_two_fleets() {
    let relay = Relay::builder().pro().start().await;
    let [_, second, third] = three_fleets(&relay).await;
    let key = [("idempotency-key", "the-same")];
    let mut ids = Vec::new();
    for fleet in [&second, &third] {
        let message = direct(&fleet.agents[1].id, "hello").to_string();
        let sent = fleet.agents[0]
            .call_with("POST", "/v1/messages", message, &key)
            .await;
        ids.push(sent.ok()["message_id"].clone());
        let floor = fleet.agents[0]
            .post(
                "/v1/conversations/conversation/floor",
                &json!({ "ttl_seconds": 60 }),
            )
            .await
            .ok();
        assert_eq!(floor["granted"], true, "{}", fleet.name);
    }
    assert_ne!(ids[0], ids[1]);
    // A token admits to its own fleet only, and is not used up by trying another.
    let token = second.operator.enrollment_token().await;
    let enrol = |fleet_id: &str| {
        json!({
            "fleet_id": fleet_id, "token": token, "display_name": "x", "runtime": "custom",
        })
    };
    let url = format!("{}/v1/enroll", relay.url());
    let refused = second
        .operator
        .http
        .post(&url, &enrol(&third.operator.fleet_id))
        .await;
    refused.refused(400, "invalid or expired token", "invalid_token");
    second
        .operator
        .http
        .post(&url, &enrol(&second.operator.fleet_id))
        .await
        .ok();
}
