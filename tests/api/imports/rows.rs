//! What comes over, once, and what is said of what does not.

use serde_json::{Value, json};

use super::fixture::{
    OPAQUE, OPERATORS_EMAIL, OPERATORS_PASSWORD, Original, PAUSED, REVIEWER, REVOKED, WRITER,
    approval_id, message_id, secret,
};
use super::{counts, import, run, scene, table_of};
use crate::support::{Agent, Http, Operator, Relay, direct, message_to};

/// An imported agent, on the relay's own machine.
pub fn agent(relay: &Relay, id: &str) -> Agent {
    Agent {
        id: id.into(),
        secret: secret(id),
        relay_url: relay.url(),
        http: Http::new(),
    }
}

/// Everything that an import could change, but for who signed in.
async fn shown(operator: &Operator) -> Vec<Value> {
    let mut shown = Vec::new();
    for path in [
        "agents?sortBy=created_at",
        "operators",
        "policies",
        "approvals",
        "dead-letters",
        "overview",
    ] {
        let mut answer = operator.get(&format!("/v1/operator/{path}")).await.ok();
        if let Some(fields) = answer.as_object_mut() {
            fields.remove("recentEvents");
        }
        shown.push(answer);
    }
    shown
}

#[tokio::test]
async fn a_dry_run_changes_nothing_and_says_the_same() {
    let (relay, operator, original) = scene().await;
    let before = shown(&operator).await;
    let dry = import(&relay, &original, &["--dry-run"]);
    assert_eq!(dry["dry_run"], true);
    assert_eq!(shown(&operator).await, before);
    let text = run(&relay, &original, &["--dry-run"]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("WOULD BE IMPORTED"), "{text}");
    assert!(
        text.contains("moods: 1 left out: the table is not known"),
        "{text}"
    );
    assert!(
        text.contains("agents: columns not taken over: policy_profile"),
        "{text}"
    );
    assert!(text.contains("bob@example.org"), "{text}");

    let real = import(&relay, &original, &[]);
    assert_ne!(shown(&operator).await, before);
    for table in ["agents", "operators", "rooms", "policies", "approvals"] {
        assert_eq!(counts(&dry, table), counts(&real, table), "{table}");
    }
}

#[tokio::test]
async fn a_fleet_comes_over_once() {
    let (relay, operator, original) = scene().await;
    let first = import(&relay, &original, &[]);
    assert_eq!(counts(&first, "agents"), (5, 0, 0));
    assert_eq!(counts(&first, "operators"), (2, 0, 0));
    assert_eq!(counts(&first, "enrollment_tokens"), (1, 0, 2));
    assert_eq!(counts(&first, "rooms"), (1, 0, 0));
    assert_eq!(counts(&first, "policies"), (1, 0, 1));
    assert_eq!(counts(&first, "approvals"), (1, 0, 1));
    // Three wait, one is a dead letter; one was acked, of one the time is over.
    assert_eq!(counts(&first, "messages"), (4, 0, 2));
    assert_eq!(counts(&first, "dead_letters"), (1, 0, 1));
    assert_eq!(counts(&first, "events"), (0, 0, 1));
    assert_eq!(counts(&first, "a2a_tasks"), (0, 0, 1));
    assert_eq!(first["ignored_tables"], json!({ "moods": 1 }));
    assert_eq!(first["agents_without_secret"], 1);
    assert_eq!(
        first["operators_without_password"],
        json!(["bob@example.org"])
    );
    let why = table_of(&first, "policies")["left_out"][0].clone();
    assert_eq!(why["examples"], json!(["pol_2"]));
    assert_eq!(
        why["reason"],
        "its rule says something that is not known: unless"
    );

    let before = shown(&operator).await;
    let second = import(&relay, &original, &[]);
    assert_eq!(shown(&operator).await, before);
    for (table, here) in [
        ("agents", 5),
        ("operators", 2),
        ("rooms", 1),
        ("policies", 1),
        ("approvals", 1),
        ("messages", 4),
        ("dead_letters", 1),
        ("enrollment_tokens", 1),
    ] {
        let (imported, exists, _) = counts(&second, table);
        assert_eq!((imported, exists), (0, here), "{table}");
    }
}

#[tokio::test]
async fn agents_are_who_and_how_they_were() {
    let (relay, operator, original) = scene().await;
    import(&relay, &original, &[]);
    for (id, status) in [
        (WRITER, "healthy"),
        (PAUSED, "paused"),
        (REVOKED, "revoked"),
        (OPAQUE, "healthy"),
    ] {
        let answer = operator
            .get(&format!("/v1/operator/agents/{id}"))
            .await
            .ok();
        let shown = &answer["agent"];
        assert_eq!(shown["id"], id);
        assert_eq!(shown["status"], status, "{id}");
        assert_eq!(shown["display_name"], format!("name of {id}"));
    }
    let events = operator.get("/v1/operator/events?type=import").await.ok();
    assert_eq!(events["events"][0]["event_type"], "import.rows", "{events}");
    assert_eq!(events["events"][0]["resource_id"], "ekho.db", "{events}");
    operator.get("/v1/operator/policies/pol_1").await.ok();
}

/// As they show their secret on the relay's own machine, nothing but the order is in question here.
pub async fn shows_its_secret(agent: &Agent) {
    let secret = agent.secret.clone();
    let headers = [("x-ekho-agent-secret", secret.as_str())];
    let body = json!({ "status": "healthy" }).to_string();
    agent
        .call_with("POST", "/v1/heartbeats", body, &headers)
        .await
        .ok();
}

#[tokio::test]
async fn what_waited_is_delivered_in_its_order_and_as_it_was() {
    let (relay, operator, original) = scene().await;
    import(&relay, &original, &[]);
    let (reviewer, writer) = (agent(&relay, REVIEWER), agent(&relay, WRITER));
    shows_its_secret(&reviewer).await;
    shows_its_secret(&writer).await;
    let raw = reviewer.get("/v1/inbox?limit=100").await;
    assert!(
        raw.text()
            .contains("{\"text\": \"message 7\",  \"n\": 1.0}"),
        "the bytes of a body are kept: {}",
        raw.text()
    );
    let inbox = raw.ok();
    let messages = inbox["messages"].as_array().expect("messages");
    let ids: Vec<&str> = messages
        .iter()
        .filter_map(|one| one["message_id"].as_str())
        .collect();
    assert_eq!(ids, [message_id(7), message_id(3), message_id(5)]);
    assert_eq!(messages[0]["sender_agent_id"], WRITER);
    assert_eq!(messages[0]["correlation_id"], "r-7");
    let created = |id: &str| -> String {
        let query = "SELECT created_at FROM messages WHERE id = ?1";
        original
            .db
            .query_row(query, [id], |row| row.get(0))
            .expect("a message")
    };
    assert_eq!(messages[0]["created_at"], created(&message_id(7)));
    assert_eq!(reviewer.ack(&ids).await, 3);
    assert_eq!(writer.status(&message_id(7)).await["status"], "acked");
    // Not even once it was acked does it come again.
    import(&relay, &original, &[]);
    assert!(reviewer.inbox().await.is_empty());

    // New ones go where they always did, and the policy holds.
    let mut alert = direct(WRITER, "attention");
    alert["message_type"] = "alert".into();
    let denied = reviewer.post("/v1/messages", &alert).await;
    assert_eq!(denied.json()["policy"], "no alerts");
    let room = json!({ "kind": "group", "id": "room_1" });
    writer.send(&message_to(room, "to the room")).await;
    assert_eq!(reviewer.inbox().await.len(), 1);
    let asked = writer
        .get(&format!("/v1/actions/{}", approval_id(1)))
        .await
        .ok();
    assert_eq!(asked["status"], "pending");

    let letters = operator.get("/v1/operator/dead-letters").await.ok();
    assert_eq!(letters["total"], 3);
    let letters = letters["dead_letters"]
        .as_array()
        .expect("dead letters")
        .clone();
    let ids: Vec<&Value> = letters.iter().map(|one| &one["id"]).collect();
    operator
        .post("/v1/operator/dead-letters/redrive", &json!({ "ids": ids }))
        .await
        .ok();
    assert_eq!(reviewer.inbox().await.len(), 2);
    assert_eq!(writer.inbox().await.len(), 1);
}

#[tokio::test]
async fn people_sign_in_with_the_password_they_have() {
    let (relay, _, original) = scene().await;
    import(&relay, &original, &[]);
    let sign_in = async |email: &str, password: &str| {
        let body = json!({ "fleet_name": "test", "email": email, "password": password });
        let url = format!("{}/v1/operator/login", relay.url());
        Http::new().post(&url, &body).await.status
    };
    assert_eq!(sign_in(OPERATORS_EMAIL, OPERATORS_PASSWORD).await, 200);
    assert_eq!(sign_in(OPERATORS_EMAIL, "another one").await, 401);
    // The hash that lies in the old file opens nothing.
    let digest = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(OPERATORS_PASSWORD));
    assert_eq!(sign_in(OPERATORS_EMAIL, &digest).await, 401);
    assert_eq!(sign_in("bob@example.org", "$2b$10$abc").await, 401);
}

#[tokio::test]
async fn an_import_is_for_those_who_may_make_operators() {
    let (_relay, operator, _) = scene().await;
    let new = json!({ "email": "op@example.org", "password": "long enough", "role": "operator" });
    operator.post("/v1/operator/operators", &new).await.ok();
    let url = format!("{}/v1/operator/login", operator.relay_url);
    let who = json!({ "fleet_name": "test", "email": "op@example.org", "password": "long enough" });
    let token = operator.http.post(&url, &who).await.ok()["token"].clone();
    let other = Operator {
        token: token.as_str().expect("a token").into(),
        ..operator.clone()
    };
    let row =
        json!({ "kind": "operator", "id": "opr_x", "email": "x@example.org", "role": "owner" });
    let rows = json!({ "rows": [row] });
    let refused = other.post("/v1/operator/import", &rows).await;
    assert_eq!(refused.status, 403, "{}", refused.text());
    // A mistake is named with its place, and nothing is taken over.
    let rows = json!({ "rows": [row, { "kind": "agent" }, { "kind": "mood" }] });
    let refused = operator.post("/v1/operator/import", &rows).await;
    for field in ["rows.1.id", "rows.1.runtime", "rows.2.kind"] {
        refused.invalid(field);
    }
    let rows = json!({ "rows": [row] });
    for expected in ["imported", "exists"] {
        let answer = operator.post("/v1/operator/import", &rows).await.ok();
        assert_eq!(answer["results"], json!([{ "outcome": expected }]));
    }
}

#[tokio::test]
async fn more_than_one_batch_comes_over_in_order() {
    let (relay, _, _) = scene().await;
    let original = Original::empty();
    original.fleet(super::fixture::FLEET, "acme");
    original.agent(WRITER, "healthy");
    original.agent(REVIEWER, "healthy");
    for number in 0..250 {
        original.message(1000 - number, "queued", 600 - i64::from(number), 3600);
    }
    let report = import(&relay, &original, &[]);
    assert_eq!(counts(&report, "messages"), (250, 0, 0));
    let reviewer = agent(&relay, REVIEWER);
    shows_its_secret(&reviewer).await;
    let mut found = Vec::new();
    while found.len() < 250 {
        let messages = reviewer.inbox().await;
        assert!(!messages.is_empty(), "{} of 250", found.len());
        found.extend(
            messages
                .iter()
                .map(|one| one["correlation_id"].as_str().unwrap().to_string()),
        );
    }
    let expected: Vec<String> = (0..250)
        .map(|number| format!("r-{}", 1000 - number))
        .collect();
    assert_eq!(found, expected);
}
