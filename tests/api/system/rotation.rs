//! The master secret of a single relay is changed: everything that is sealed goes on working, and at
//! the end the old secret opens nothing.

use std::fs;

use serde_json::{Value, json};

use crate::operators::totp::Person;
use crate::support::{Agent, HookServer, Operator, Relay, direct};

const PATH: &str = "/v1/operator/cluster/master-secret";

/// A line of secrets.toml.
fn stored(relay: &Relay, name: &str) -> Option<String> {
    let text = fs::read_to_string(relay.data_dir().join("secrets.toml")).unwrap();
    let mut lines = text.lines();
    let found = lines.find_map(|line| line.strip_prefix(&format!("{name} = \"")));
    found.map(|rest| rest.trim_end_matches('"').to_string())
}

/// Writes secrets.toml with this master secret and no next one; what was there.
fn with_master(relay: &Relay, master: &str) -> String {
    let path = relay.data_dir().join("secrets.toml");
    let before = fs::read_to_string(&path).unwrap();
    let session = stored(relay, "operator_session_secret").unwrap();
    let text = format!("operator_session_secret = \"{session}\"\nmaster_secret = \"{master}\"\n");
    fs::write(path, text).unwrap();
    before
}

/// What a command says, which has to succeed or not.
fn said(relay: &Relay, args: &[&str], succeeds: bool) -> String {
    let output = relay.run(["secrets"].iter().chain(args));
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(output.status.success(), succeeds, "{args:?}: {text}");
    text
}

/// Starts a relay that must not start, and returns what it said.
async fn refuses(relay: &mut Relay) -> String {
    let before = relay.log().len();
    relay.spawn();
    let status = relay.wait_exit().await;
    let log = relay.log().split_off(before);
    assert!(!status.success() && status.code().is_some(), "{log}");
    log
}

/// Everything that is sealed does what it is for. A code of the authenticator is of the present step
/// or of one ahead, as each is good once.
async fn works(
    relay: &Relay,
    agents: &[Agent; 2],
    hook: (&HookServer, &str),
    person: (&Person, i64),
) {
    let [writer, reviewer] = agents;
    let sent = writer.send(&direct(&reviewer.id, "hello")).await;
    let taken = reviewer.receive().await;
    assert_eq!(taken[0]["message_id"], json!(sent));
    let heard = hook.0.heard();
    assert!(heard.last().unwrap().is_signed_with(hook.1));
    let code = json!({ "totp_code": person.0.code_now(person.1) });
    person.0.sign_in(relay, code).await.ok();
}

/// Ids of the keys that sign cards.
async fn card_keys(relay: &Relay) -> Value {
    relay.get("/.well-known/jwks.json").await.ok()
}

#[tokio::test]
async fn what_is_sealed_works_before_and_after_and_the_old_secret_opens_nothing() {
    let mut relay = Relay::start().await;
    let agents = relay.agents(["writer", "reviewer"]).await;
    let operator = relay.operator().await;
    let hook = HookServer::start().await;
    let (_, hook_secret) = hook.register(&operator, "scanner", json!({})).await;
    let person = Person::enabled(&relay).await;
    let hook = (&hook, hook_secret.as_str());
    let cards = card_keys(&relay).await;
    let old = stored(&relay, "master_secret").unwrap();

    // Nobody has the next one yet.
    let before = operator.get(PATH).await.ok();
    let old_id = before["key_id"].as_str().unwrap().to_string();
    assert_eq!(before["next_key_id"], Value::Null);
    assert_eq!(before["rotation"], Value::Null);
    assert_eq!(before["nodes"][0]["key_ids"], json!([old_id]));
    let refused = operator.post(PATH, &json!({})).await;
    assert_eq!(
        (refused.status, refused.code()),
        (409, "next_secret_missing".into())
    );
    assert_eq!(refused.json()["nodes"], json!([1]));
    assert!(said(&relay, &["finish"], false).contains("next_master_secret"));

    // The first step: every node is given it, and started again.
    let made: Value = serde_json::from_str(&said(&relay, &["next", "--json"], true)).unwrap();
    let new = made["secret"].as_str().unwrap();
    assert_eq!(stored(&relay, "next_master_secret").as_deref(), Some(new));
    assert_eq!(stored(&relay, "master_secret"), Some(old.clone()));
    assert!(said(&relay, &["next"], false).contains("another next_master_secret"));
    let file = relay.dir().join("next.txt");
    fs::write(&file, format!("{new}\n")).unwrap();
    said(&relay, &["next", "--file", file.to_str().unwrap()], true);
    fs::write(&file, &old).unwrap();
    said(&relay, &["next", "--file", file.to_str().unwrap()], false);
    assert!(said(&relay, &["finish"], false).contains("the old one is needed"));
    relay.stop().await;
    assert!(said(&relay, &["finish"], false).contains("the old one is needed"));
    let both = with_master(&relay, new);
    assert!(
        refuses(&mut relay).await.contains("master secret"),
        "too early"
    );
    fs::write(relay.data_dir().join("secrets.toml"), &both).unwrap();
    relay.boot().await;
    let held = operator.get(PATH).await.ok();
    assert_eq!(held["next_key_id"], made["key_id"]);
    assert_eq!(held["nodes"][0]["key_ids"], json!([old_id, made["key_id"]]));

    // The second: everything is sealed anew.
    assert!(said(&relay, &["rotate"], true).contains("is in force since"));
    let after = operator.get(PATH).await.ok();
    assert_eq!(after["key_id"], made["key_id"]);
    let rotation = &after["rotation"];
    assert_eq!(rotation["from_key_id"], json!(old_id));
    assert_eq!(rotation["to_key_id"], made["key_id"]);
    // Two agents, a hook, a second factor.
    assert_eq!(rotation["resealed"], 4);
    assert_ne!(rotation["done_at"], Value::Null);
    let again = operator.post(PATH, &json!({})).await;
    assert_eq!((again.status, &again.json()["rotation"]), (202, rotation));
    for kind in ["master_secret.rotation_began", "master_secret.rotated"] {
        let target = format!("/v1/operator/events?type={kind}");
        let events = operator.get(&target).await.ok();
        let event = &events["events"][0];
        assert_eq!(event["resource_id"], made["key_id"], "{kind}");
    }
    works(&relay, &agents, hook, (&person, 0)).await;
    let late = operator.enrol("late").await;
    late.inbox().await;
    assert_ne!(card_keys(&relay).await, cards);

    // The third: the old one is dropped.
    relay.stop().await;
    let both = with_master(&relay, &old);
    assert!(refuses(&mut relay).await.contains("EKHO_MASTER_SECRET"));
    fs::write(relay.data_dir().join("secrets.toml"), &both).unwrap();
    said(&relay, &["finish"], true);
    assert_eq!(stored(&relay, "master_secret").as_deref(), Some(new));
    assert_eq!(stored(&relay, "next_master_secret"), None);
    relay.boot().await;
    works(&relay, &agents, hook, (&person, 1)).await;
    late.inbox().await;
    assert!(said(&relay, &["status"], true).contains("is in force since"));
    let done = operator.get(PATH).await.ok();
    assert_eq!(done["nodes"][0]["key_ids"], json!([made["key_id"]]));
}

#[tokio::test]
async fn only_owners_of_the_first_fleet_change_it() {
    let relay = Relay::builder().pro().start().await;
    let owner = relay.operator().await;
    for (role, status) in [("operator", 403), ("viewer", 403)] {
        let email = format!("{role}@example.org");
        let body = json!({ "email": email, "password": "correct-horse-battery", "role": role });
        let made = owner.post("/v1/operator/operators", &body).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let login = json!({
            "fleet_name": relay.credentials().fleet_name,
            "email": email,
            "password": "correct-horse-battery",
        });
        let url = format!("{}/v1/operator/login", relay.url());
        let signed_in = owner.http.post(&url, &login).await.ok();
        let other = Operator {
            token: signed_in["token"].as_str().unwrap().into(),
            ..owner.clone()
        };
        assert_eq!(other.post(PATH, &json!({})).await.status, status, "{role}");
        assert_eq!(other.get(PATH).await.status, 200, "{role} looks");
    }
}
