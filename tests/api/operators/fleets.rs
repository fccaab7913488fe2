//! Fleets: made, renamed, shut and restored, and what their people and agents notice.

use serde_json::{Value, json};

use crate::checks::{assert_id, assert_only_fields, assert_time};
use crate::support::{Answer, DEADLINE, Operator, Relay, direct, poll_until};

const PASSWORD: &str = "correct horse battery";

async fn create(admin: &Operator, name: &str) -> Answer {
    let draft =
        json!({ "name": name, "owner_email": "Boss@example.org", "owner_password": PASSWORD });
    admin.post("/v1/operator/fleets", &draft).await
}

async fn login(admin: &Operator, fleet: &str) -> Answer {
    let login = json!({ "fleet_name": fleet, "email": "boss@example.org", "password": PASSWORD });
    let url = format!("{}/v1/operator/login", admin.relay_url);
    admin.http.post(&url, &login).await
}

async fn signed_in(admin: &Operator, fleet: &str) -> Operator {
    let answer = login(admin, fleet).await.ok();
    Operator {
        token: answer["token"].as_str().unwrap().into(),
        fleet_id: answer["fleet_id"].as_str().unwrap().into(),
        ..admin.clone()
    }
}

#[tokio::test]
async fn a_fleet_is_made_renamed_shut_and_restored() {
    let relay = Relay::builder().pro().start().await;
    let admin = relay.operator().await;
    let made = create(&admin, "branch").await;
    assert_eq!(made.status, 201);
    assert_only_fields(&made.json(), &["fleet_id", "operator_id"]);
    assert_id(&made.json()["operator_id"], "opr_");
    create(&admin, "branch")
        .await
        .refused(409, "a fleet with this name exists", "conflict");
    let fleet_id = made.json()["fleet_id"].as_str().unwrap().to_string();
    let fleet = format!("/v1/operator/fleets/{fleet_id}");

    let boss = signed_in(&admin, "branch").await;
    assert_eq!(boss.fleet_id, fleet_id);
    let scopes = boss.get("/v1/operator/me").await.ok()["scopes"].clone();
    assert_eq!(
        scopes,
        json!([
            "read",
            "agents",
            "messages",
            "approvals",
            "policies",
            "operators",
            "hooks"
        ])
    );
    let agent = boss.enrol("worker").await;
    let shown = admin.get(&fleet).await.ok()["fleet"].clone();
    assert_only_fields(
        &shown,
        &[
            "id",
            "name",
            "created_at",
            "archived_at",
            "agents",
            "queued",
            "messages_accepted",
        ],
    );
    assert_time(&shown["created_at"]);
    assert_eq!(
        (&shown["agents"], &shown["archived_at"]),
        (&json!(1), &Value::Null)
    );
    assert_eq!(relay.metric("ekho_fleets_total").await, Some(2.0));

    let renamed = admin.put(&fleet, &json!({ "name": "office" })).await.ok();
    assert_eq!(renamed["fleet"]["name"], "office");
    assert_eq!(login(&admin, "branch").await.status, 401);
    let boss = signed_in(&admin, "office").await;

    // Nobody gets in any more, and who waits is told.
    let waiting = tokio::spawn({
        let agent = agent.clone();
        async move { agent.get("/v1/inbox?wait=60").await }
    });
    poll_until(DEADLINE, "the poll to wait", async || {
        relay
            .metric("ekho_waiting_requests")
            .await
            .filter(|waiting| *waiting > 0.0)
    })
    .await;
    let shut = format!("{fleet}/archive");
    let wrong = admin.post(&shut, &json!({ "name": "branch" })).await;
    wrong.refused(409, "this is not the fleet's name", "conflict");
    let archived = admin.post(&shut, &json!({ "name": "office" })).await.ok();
    assert_time(&archived["fleet"]["archived_at"]);
    let ended = waiting.await.unwrap();
    ended.refused(401, "invalid agent credentials", "invalid_credentials");
    let refused = agent
        .post("/v1/messages", &direct(&agent.id, "hello"))
        .await;
    refused.refused(401, "invalid agent credentials", "invalid_credentials");
    assert_eq!(boss.get("/v1/operator/agents").await.status, 401);
    assert_eq!(login(&admin, "office").await.status, 401);
    assert_eq!(relay.metric("ekho_fleets_total").await, Some(1.0));

    let restored = admin
        .post(&format!("{fleet}/restore"), &json!({}))
        .await
        .ok();
    assert_eq!(restored["fleet"]["archived_at"], Value::Null);
    agent.send(&direct(&agent.id, "hello")).await;
    assert_eq!(boss.get("/v1/operator/agents").await.status, 200);

    let of_admin = admin
        .get("/v1/operator/events?type=fleet&limit=4")
        .await
        .ok();
    let kinds = |events: &Value| -> Vec<String> {
        let events = events["events"].as_array().unwrap();
        events
            .iter()
            .map(|event| event["event_type"].as_str().unwrap().into())
            .collect()
    };
    let told = [
        "fleet.restored",
        "fleet.archived",
        "fleet.renamed",
        "fleet.created",
    ];
    assert_eq!(kinds(&of_admin), told);
    let own = boss.get("/v1/operator/events?type=fleet").await.ok();
    assert_eq!(kinds(&own), told);
    assert_eq!(own["events"][0]["actor_kind"], "system");
}

#[tokio::test]
async fn without_a_licence_there_is_one_fleet() {
    let relay = Relay::start().await;
    let admin = relay.operator().await;
    let refused = create(&admin, "branch").await;
    let body = refused.refused(
        403,
        "this needs a licence for many_fleets",
        "license_required",
    );
    assert_eq!(body["feature"], "many_fleets");
    let listed = admin.get("/v1/operator/fleets").await.ok();
    assert_eq!(listed["fleets"].as_array().unwrap().len(), 1);
    let first = listed["fleets"][0]["id"].as_str().unwrap();
    let shut = format!("/v1/operator/fleets/{first}/archive");
    assert_eq!(
        admin.post(&shut, &json!({ "name": "test" })).await.status,
        409
    );
}

#[tokio::test]
async fn fleets_are_listed_by_pages_and_cursors() {
    let relay = Relay::builder().pro().start().await;
    let admin = relay.operator().await;
    for number in 2..=5 {
        create(&admin, &format!("fleet {number}")).await.ok();
    }
    let names = |page: &Value| -> Vec<String> {
        let fleets = page["fleets"].as_array().unwrap();
        fleets
            .iter()
            .map(|fleet| fleet["name"].as_str().unwrap().into())
            .collect()
    };
    let first = admin.get("/v1/operator/fleets?limit=2").await.ok();
    assert_eq!(names(&first), ["test", "fleet 2"]);
    let cursor = first["next_cursor"].as_str().unwrap();
    let next = admin
        .get(&format!("/v1/operator/fleets?limit=2&cursor={cursor}"))
        .await
        .ok();
    assert_eq!(names(&next), ["fleet 3", "fleet 4"]);
    let last = admin.get("/v1/operator/fleets?limit=2&page=3").await.ok();
    assert_eq!(
        (names(&last), &last["next_cursor"]),
        (vec!["fleet 5".into()], &Value::Null)
    );
    admin
        .get("/v1/operator/fleets?cursor=x")
        .await
        .invalid("cursor");
}

#[tokio::test]
async fn bad_input_and_lacking_rights_are_refused() {
    let relay = Relay::builder().pro().start().await;
    let admin = relay.operator().await;
    for (field, value) in [
        ("name", json!("")),
        ("name", json!(" blank")),
        ("name", json!("x".repeat(121))),
        ("owner_email", json!(7)),
        ("owner_password", json!("short")),
    ] {
        let mut draft =
            json!({ "name": "x", "owner_email": "a@example.org", "owner_password": PASSWORD });
        draft[field] = value;
        admin
            .post("/v1/operator/fleets", &draft)
            .await
            .invalid(field);
    }
    let unknown = "/v1/operator/fleets/flt_nobody";
    for answer in [
        admin.get(unknown).await,
        admin.put(unknown, &json!({ "name": "x" })).await,
        admin
            .post(&format!("{unknown}/archive"), &json!({ "name": "x" }))
            .await,
        admin.post(&format!("{unknown}/restore"), &json!({})).await,
    ] {
        answer.refused(404, "not found", "not_found");
    }
    create(&admin, "branch").await.ok();
    let boss = signed_in(&admin, "branch").await;
    let own = format!("/v1/operator/fleets/{}", boss.fleet_id);
    for answer in [
        boss.get("/v1/operator/fleets").await,
        create(&boss, "another").await,
        boss.get(&own).await,
        boss.put(&own, &json!({ "name": "x" })).await,
        boss.post(&format!("{own}/archive"), &json!({ "name": "branch" }))
            .await,
        boss.post(&format!("{own}/restore"), &json!({})).await,
    ] {
        assert_eq!(
            (answer.status, &answer.json()["scope"]),
            (403, &json!("fleets"))
        );
    }
    let settings = boss
        .put(
            "/v1/operator/settings",
            &json!({ "poll_interval_ms": 1000 }),
        )
        .await;
    assert_eq!(
        (settings.status, &settings.json()["scope"]),
        (403, &json!("settings"))
    );
}
