//! Hooks before a message is accepted, and their keeping: each hook is a real HTTP server

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::checks::{assert_id, assert_time};
use crate::support::{
    Agent, DEADLINE, HookServer, Operator, Relay, Reply, direct, poll_until, uuid,
};

/// A relay with two agents and a hook that is asked about every message.
async fn scene(more: Value) -> (Relay, Operator, [Agent; 2], HookServer, String, String) {
    let relay = Relay::start().await;
    let operator = relay.operator().await;
    let agents = relay.agents(["writer", "reviewer"]).await;
    let hook = HookServer::start().await;
    let (id, secret) = hook.register(&operator, "scanner", more).await;
    (relay, operator, agents, hook, id, secret)
}

fn allow(more: Value) -> Reply {
    let mut answer = json!({ "action": "allow" });
    for (name, value) in more.as_object().unwrap() {
        answer[name] = value.clone();
    }
    Reply::Json(answer)
}

fn block(reason: &str) -> Reply {
    Reply::Json(json!({ "action": "block", "reason": reason }))
}

/// The newest event of a type.
async fn event(operator: &Operator, kind: &str) -> Value {
    let target = format!("/v1/operator/events?type={kind}");
    operator.get(&target).await.ok()["events"][0].clone()
}

#[tokio::test]
async fn a_request_is_signed_as_the_standard_says() {
    let (_relay, operator, [writer, reviewer], hook, id, secret) = scene(json!({})).await;
    assert_id(&json!(id), "hook_");
    assert!(secret.starts_with("whsec_"), "{secret}");
    let mut message = direct(&reviewer.id, "a draft");
    message["metadata"] = json!({ "k": "v" });
    let message_id = writer.send(&message).await;
    let heard = hook.heard();
    assert_eq!(heard.len(), 1);
    let heard = &heard[0];
    assert!(heard.is_signed_with(&secret));
    let other = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    assert!(!heard.is_signed_with(other));
    assert!(heard.header("webhook-id").starts_with("hook_"));
    assert_eq!(heard.header("content-type"), "application/json");
    assert_eq!(
        (heard.kind(), &heard.json["fleet_id"]),
        ("before_message", &json!(operator.fleet_id))
    );
    assert_time(&heard.json["timestamp"]);
    let about = heard.message();
    for (name, value) in [
        ("id", json!(message_id)),
        ("sender_id", json!(writer.id)),
        ("sender_kind", json!("agent")),
        ("recipient_kind", json!("agent")),
        ("recipient_id", json!(reviewer.id)),
        ("message_type", json!("direct")),
        ("priority", json!("normal")),
        ("ttl_seconds", json!(900)),
        ("requires_approval", json!(false)),
        ("body", json!({ "text": "a draft" })),
        ("metadata", json!({ "k": "v" })),
        ("tags", json!([])),
        ("created_at", Value::Null),
    ] {
        assert_eq!(about[name], value, "{name}");
    }

    // While both secrets are good, a request is signed with both.
    let target = format!("/v1/operator/hooks/{id}/rotate-secret");
    let rotated = operator.post(&target, &json!({})).await.ok();
    let second = rotated["secret"].as_str().unwrap();
    assert_time(&rotated["previous_valid_until"]);
    writer.send(&message).await;
    let both = hook.heard()[1].clone();
    assert!(both.is_signed_with(&secret) && both.is_signed_with(second));
    let at_once = json!({ "overlap_seconds": 0 });
    let third = operator.post(&target, &at_once).await.ok()["secret"].clone();
    writer.send(&message).await;
    let one = hook.heard()[2].clone();
    assert!(one.is_signed_with(third.as_str().unwrap()));
    assert!(!one.is_signed_with(&secret) && !one.is_signed_with(second));
    let kinds = event(&operator, "hook.secret_rotated").await;
    assert_eq!(kinds["resource_id"], json!(id));
}

#[tokio::test]
async fn a_blocked_message_says_by_whom_and_why() {
    let (relay, operator, [writer, reviewer], hook, _, _) = scene(json!({})).await;
    hook.answer(|heard| match heard.text().contains("secret") {
        true => block("looks like a secret"),
        false => allow(json!({})),
    });
    let bad = direct(&reviewer.id, "a secret");
    let request = writer.request("POST", "/v1/messages").json(&bad);
    let refused = request.send().await;
    let said = "blocked by extension scanner: looks like a secret";
    let body = refused.refused(403, said, "blocked_by_extension");
    assert_eq!(body["extension"], "scanner");
    assert_eq!(reviewer.inbox().await.len(), 0);

    // The same request is used up, and nobody is asked about it again.
    let replayed = request.send().await;
    replayed.refused(401, "replayed nonce", "replayed_nonce");
    assert_eq!(hook.count(), 1);

    let recorded = event(&operator, "message.extension_blocked").await;
    assert_eq!(recorded["actor_id"], json!(writer.id));
    let payload = &recorded["payload"];
    assert_eq!(
        (&payload["extension"], &payload["reason"]),
        (&json!("scanner"), &json!("looks like a secret"))
    );

    // In a batch each message has its own answer.
    let batch = json!({ "messages": [
        direct(&reviewer.id, "one"), bad, direct(&reviewer.id, "three"),
    ] });
    let results = writer.post("/v1/messages/batch", &batch).await.ok()["results"].clone();
    let statuses: Vec<&Value> = (0..3).map(|place| &results[place]["status_code"]).collect();
    assert_eq!(statuses, [&json!(200), &json!(403), &json!(200)]);
    assert_eq!(results[1]["code"], "blocked_by_extension");
    let received = reviewer.inbox().await;
    let texts: Vec<&Value> = received.iter().map(|one| &one["body"]["text"]).collect();
    assert_eq!(texts, [&json!("one"), &json!("three")]);
    let series =
        r#"ekho_hook_calls_total{event="before_message",hook="scanner",outcome="blocked"}"#;
    assert_eq!(relay.metric(series).await, Some(2.0));
}

#[tokio::test]
async fn a_blocked_message_counts_against_the_rate() {
    let relay = Relay::builder()
        .env("EKHO_RATE_LIMIT_MAX_MESSAGES", 2)
        .env("EKHO_RATE_LIMIT_WINDOW_SECONDS", 86_400)
        .start()
        .await;
    let operator = relay.operator().await;
    let [writer, reviewer] = relay.agents(["writer", "reviewer"]).await;
    let hook = HookServer::answering(|_| block("no")).await;
    hook.register(&operator, "scanner", json!({})).await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        let answer = writer
            .post("/v1/messages", &direct(&reviewer.id, "x"))
            .await;
        statuses.push(answer.status);
    }
    assert_eq!(statuses, [403, 403, 429]);
}

#[tokio::test]
async fn each_hook_sees_what_the_ones_before_it_changed() {
    let relay = Relay::start().await;
    let operator = relay.operator().await;
    let [writer, reviewer] = relay.agents(["writer", "reviewer"]).await;
    let second = HookServer::answering(|_| {
        allow(json!({ "tags": ["seen", "pii"], "metadata": { "by": "second" } }))
    })
    .await;
    let first = HookServer::answering(|_| {
        allow(json!({ "tags": ["pii"], "metadata": { "by": "first", "n": 1 } }))
    })
    .await;
    // The order is that of the priority, not of the making.
    let later = json!({ "priority": 200 });
    second.register(&operator, "second", later).await;
    let sooner = json!({ "priority": 100 });
    first.register(&operator, "first", sooner).await;
    let mut message = direct(&reviewer.id, "hello");
    message["metadata"] = json!({ "by": "writer" });
    let id = writer.send(&message).await;

    let heard = first.heard()[0].clone();
    assert_eq!(heard.message()["metadata"], json!({ "by": "writer" }));
    let heard = second.heard()[0].clone();
    assert_eq!(
        heard.message()["metadata"],
        json!({ "by": "first", "n": 1 })
    );
    assert_eq!(heard.message()["tags"], json!(["pii"]));
    let received = reviewer.inbox().await.remove(0);
    assert_eq!(received["metadata"], json!({ "by": "second" }));
    assert_eq!(received["tags"], json!(["pii", "seen"]));
    assert_eq!(received["body"], message["body"]);
    let shown = operator.get(&format!("/v1/operator/messages/{id}")).await;
    assert_eq!(shown.ok()["message"]["tags"], json!(["pii", "seen"]));

    // Without anything to say, the message stays as it was sent.
    first.answer(|_| Reply::Text(String::new()));
    second.answer(|_| allow(json!({})));
    writer.send(&message).await;
    let received = reviewer.inbox().await.remove(0);
    assert_eq!(received["metadata"], json!({ "by": "writer" }));
    assert_eq!(received["tags"], Value::Null);
}

#[tokio::test]
async fn an_answer_under_an_idempotency_key_stands() {
    let (_relay, _, [writer, reviewer], hook, _, _) = scene(json!({})).await;
    let key = uuid();
    let message = direct(&reviewer.id, "once");
    let send = async || {
        let headers = [("idempotency-key", key.as_str())];
        writer
            .call_with("POST", "/v1/messages", message.to_string(), &headers)
            .await
    };
    // A refusal is not remembered: nothing was accepted.
    hook.answer_in_turn([block("not now")]);
    assert_eq!(send().await.status, 403);
    let first = send().await.ok();
    assert_eq!(hook.count(), 2);
    // What was accepted is: whatever the hook would say now, it is not asked.
    hook.answer(|_| block("never"));
    let again = send().await.ok();
    assert_eq!(again["message_id"], first["message_id"]);
    assert_eq!(again["idempotent_replay"], true);
    assert_eq!(hook.count(), 2);
    assert_eq!(reviewer.inbox().await.len(), 1);
}

#[tokio::test]
async fn a_hook_that_fails_lets_pass_or_refuses_as_it_was_told() {
    let (relay, operator, [writer, reviewer], hook, id, _) =
        scene(json!({ "timeout_ms": 300 })).await;
    let elsewhere = HookServer::start().await;
    let failures = [
        (Reply::Status(500), "status"),
        (Reply::Status(404), "status"),
        (Reply::Redirect(elsewhere.url.clone()), "status"),
        (Reply::Never, "timeout"),
        (Reply::Text("no JSON".into()), "bad_answer"),
        (Reply::Json(json!({})), "bad_answer"),
        (allow(json!({ "tags": ["two words"] })), "bad_answer"),
        (allow(json!({ "metadata": "text" })), "bad_answer"),
        (Reply::Text("x".repeat(300 << 10)), "bad_answer"),
    ];
    let message = direct(&reviewer.id, "hello");
    let series = |outcome: &str| {
        format!(
            r#"ekho_hook_calls_total{{event="before_message",hook="scanner",outcome="{outcome}"}}"#
        )
    };
    for (reply, outcome) in failures {
        let before = relay.metric(&series(outcome)).await.unwrap_or_default();
        hook.answer_in_turn([reply.clone()]);
        let began = Instant::now();
        let refused = writer.post("/v1/messages", &message).await;
        let said = "blocked by extension scanner: unavailable";
        refused.refused(503, said, "extension_unavailable");
        assert_eq!(refused.header("retry-after"), Some("5"), "{reply:?}");
        assert!(began.elapsed() < Duration::from_secs(5), "{reply:?}");
        let after = relay.metric(&series(outcome)).await.unwrap_or_default();
        assert_eq!(after - before, 1.0, "{reply:?}: {outcome}");
        // A success in between, so that its breaker stays closed.
        writer.send(&message).await;
    }
    assert_eq!(elsewhere.count(), 0, "redirects are not followed");
    let recorded = event(&operator, "message.extension_blocked").await;
    assert_eq!(recorded["payload"]["reason"], "unavailable");

    let target = format!("/v1/operator/hooks/{id}");
    operator
        .put(&target, &json!({ "on_failure": "open" }))
        .await
        .ok();
    hook.answer(|_| Reply::Status(500));
    writer.send(&message).await;
    // Nobody there at all.
    let nowhere = json!({ "url": "http://127.0.0.1:1/" });
    operator.put(&target, &nowhere).await.ok();
    writer.send(&message).await;
    let unreachable = relay.metric(&series("unreachable")).await;
    assert_eq!(unreachable, Some(1.0));
}

#[tokio::test]
async fn a_hook_that_goes_on_failing_is_left_alone_for_a_while() {
    let (relay, operator, [writer, reviewer], hook, id, _) =
        scene(json!({ "on_failure": "open" })).await;
    let status = async || {
        operator
            .get(&format!("/v1/operator/hooks/{id}/status"))
            .await
            .ok()
    };
    hook.answer(|_| Reply::Status(500));
    let message = direct(&reviewer.id, "hello");
    for _ in 0..10 {
        writer.send(&message).await;
    }
    assert_eq!(hook.count(), 5, "then it is left alone");
    let shown = status().await;
    assert_eq!(shown["breakers"], json!({ "before_message": "open" }));
    assert_eq!(
        (&shown["calls"], &shown["failures"], &shown["last_error"]),
        (&json!(5), &json!(5), &json!("answered with status 500"))
    );
    assert_time(&shown["last_error_at"]);
    let gauge = r#"ekho_hook_breaker_open{event="before_message",hook="scanner"}"#;
    assert_eq!(relay.metric(gauge).await, Some(1.0));
    let skipped =
        r#"ekho_hook_calls_total{event="before_message",hook="scanner",outcome="left_alone"}"#;
    assert_eq!(relay.metric(skipped).await, Some(5.0));

    hook.answer(|_| allow(json!({})));
    poll_until(DEADLINE, "a trial that succeeds", async || {
        writer.send(&message).await;
        (status().await["breakers"]["before_message"] == "closed").then_some(())
    })
    .await;
    assert_eq!(relay.metric(gauge).await, Some(0.0));
    let before = hook.count();
    writer.send(&message).await;
    assert_eq!(hook.count(), before + 1);
}

#[tokio::test]
async fn a_change_is_in_force_when_it_is_answered() {
    let (_relay, operator, [writer, reviewer], hook, id, _) = scene(json!({})).await;
    hook.answer(|_| block("always"));
    let target = format!("/v1/operator/hooks/{id}");
    let message = direct(&reviewer.id, "hello");
    // Others send all the time; what begins after an answer is judged by it.
    for round in 0..10 {
        let switched = json!({ "enabled": round % 2 == 0 });
        let shown = operator.put(&target, &switched).await.ok()["hook"].clone();
        assert_eq!(shown["enabled"], switched["enabled"]);
        let expected = if round % 2 == 0 { 403 } else { 200 };
        let answer = writer.post("/v1/messages", &message).await;
        assert_eq!(answer.status, expected, "round {round}");
    }
    operator.call("DELETE", &target, None).await.ok();
    writer.send(&message).await;
    assert_eq!(operator.get(&target).await.status, 404);
    let removed = event(&operator, "hook.deleted").await;
    assert_eq!(removed["payload"]["before"]["name"], "scanner");
}

#[tokio::test]
async fn hooks_are_kept_by_owners_and_their_secrets_shown_once() {
    let (relay, operator, _, hook, id, secret) = scene(json!({})).await;
    let target = format!("/v1/operator/hooks/{id}");
    let shown = operator.get(&target).await.ok()["hook"].clone();
    for (name, value) in [
        ("id", json!(id)),
        ("name", json!("scanner")),
        ("url", json!(hook.url)),
        ("events", json!(["before_message"])),
        ("enabled", json!(true)),
        ("timeout_ms", json!(5000)),
        ("on_failure", json!("closed")),
        ("priority", json!(100)),
        ("retry_seconds", json!(3600)),
        ("version", json!(1)),
        ("previous_secret_until", Value::Null),
    ] {
        assert_eq!(shown[name], value, "{name}");
    }
    assert_id(&shown["updated_by"], "opr_");
    let tried = operator
        .post(&format!("{target}/test"), &json!({}))
        .await
        .ok();
    assert_eq!(
        (&tried["ok"], &tried["status"]),
        (&json!(true), &json!(200))
    );
    let ping = hook.heard().remove(0);
    assert_eq!(ping.kind(), "ping");
    assert!(ping.is_signed_with(&secret));
    hook.answer(|_| Reply::Status(503));
    let tried = operator
        .post(&format!("{target}/test"), &json!({}))
        .await
        .ok();
    assert_eq!(
        (&tried["ok"], &tried["status"], &tried["error"]),
        (
            &json!(false),
            &json!(503),
            &json!("answered with status 503")
        )
    );
    operator
        .post(&format!("{target}/rotate-secret"), &json!({}))
        .await
        .ok();
    let shown = operator.get(&target).await;
    assert_time(&shown.ok()["hook"]["previous_secret_until"]);

    // Nowhere is a secret shown again.
    let bare = secret.trim_start_matches("whsec_");
    for page in [
        "/v1/operator/hooks",
        &target,
        &format!("{target}/status"),
        "/v1/operator/events?limit=100",
        "/v1/operator/audit/export",
        "/metrics",
    ] {
        let answer = operator.get(page).await;
        assert_eq!(answer.status, 200, "{page}");
        assert!(!answer.text().contains(bare), "{page}");
    }
    assert!(!relay.log().contains(bare));

    // With one more the limit is reached; pages go through all of them once.
    for number in 1..20 {
        hook.register(&operator, &format!("n{number}"), json!({}))
            .await;
    }
    let more = json!({ "name": "more", "url": hook.url, "events": ["overview"] });
    let refused = operator.post("/v1/operator/hooks", &more).await;
    assert_eq!(
        (refused.status, refused.code()),
        (409, "limit_reached".into())
    );
    let mut names = Vec::new();
    let mut page = "/v1/operator/hooks?limit=7".to_string();
    loop {
        let listed = operator.get(&page).await.ok();
        assert_eq!(listed["total"], 20);
        let hooks = listed["hooks"].as_array().unwrap();
        names.extend(hooks.iter().map(|hook| hook["name"].clone()));
        match listed["next_cursor"].as_str() {
            Some(cursor) => page = format!("/v1/operator/hooks?limit=7&cursor={cursor}"),
            None => break,
        }
    }
    let expected: Vec<Value> = std::iter::once(json!("scanner"))
        .chain((1..20).map(|number| json!(format!("n{number}"))))
        .collect();
    assert_eq!(names, expected);
    let second = operator.get("/v1/operator/hooks?limit=7&page=3").await.ok();
    assert_eq!(second["hooks"].as_array().unwrap().len(), 6);
}

#[tokio::test]
async fn bad_hooks_are_named_by_field() {
    let relay = Relay::start().await;
    let operator = relay.operator().await;
    let good = json!({ "name": "scanner", "url": "http://127.0.0.1:1/", "events": ["overview"] });
    let with = |name: &str, value: Value| {
        let mut hook = good.clone();
        hook[name] = value;
        hook
    };
    for (hook, field) in [
        (json!({}), "name"),
        (with("name", json!("Two Words")), "name"),
        (with("name", json!("x".repeat(65))), "name"),
        (with("url", Value::Null), "url"),
        (with("url", json!("ftp://127.0.0.1/")), "url"),
        (with("url", json!("http://user:password@127.0.0.1/")), "url"),
        (
            with("url", json!(format!("http://h/{}", "x".repeat(2048)))),
            "url",
        ),
        (with("events", Value::Null), "events"),
        (with("events", json!([])), "events"),
        (with("events", json!(["sometimes"])), "events"),
        (with("enabled", json!("yes")), "enabled"),
        (with("timeout_ms", json!(49)), "timeout_ms"),
        (with("timeout_ms", json!(10_001)), "timeout_ms"),
        (with("on_failure", json!("shrug")), "on_failure"),
        (with("priority", json!(1_000_001)), "priority"),
        (with("retry_seconds", json!(604_801)), "retry_seconds"),
    ] {
        let made = operator.post("/v1/operator/hooks", &hook).await;
        made.invalid(field);
    }
    let made = operator.post("/v1/operator/hooks", &good).await;
    assert_eq!(made.status, 201);
    let target = format!(
        "/v1/operator/hooks/{}",
        made.json()["hook_id"].as_str().unwrap()
    );
    operator
        .put(&target, &json!({ "events": ["overview", 1] }))
        .await
        .invalid("events");
    let long = json!({ "overlap_seconds": 604_801 });
    operator
        .post(&format!("{target}/rotate-secret"), &long)
        .await
        .invalid("overlap_seconds");
    let taken = operator.post("/v1/operator/hooks", &good).await;
    taken.refused(409, "a hook with this name exists", "conflict");
    operator
        .get("/v1/operator/hooks?cursor=nothing")
        .await
        .invalid("cursor");
    for (method, path) in [
        ("GET", ""),
        ("PUT", ""),
        ("DELETE", ""),
        ("POST", "/rotate-secret"),
        ("POST", "/test"),
        ("GET", "/status"),
    ] {
        let nobody = format!("/v1/operator/hooks/hook_0{path}");
        let body = (method != "GET").then(|| json!({}));
        let answer = operator.call(method, &nobody, body.as_ref()).await;
        assert_eq!(answer.status, 404, "{method} {nobody}: {}", answer.text());
    }
    // Hooks decide about every message of the fleet: they are an owner's.
    let token = json!({ "name": "ci", "scopes": ["read", "policies", "settings", "operators"] });
    let made = operator.post("/v1/operator/tokens", &token).await.ok();
    let limited = Operator {
        token: made["token"].as_str().unwrap().into(),
        ..operator.clone()
    };
    assert_eq!(limited.get(&target).await.status, 200);
    for (method, path, body) in [
        ("POST", "/v1/operator/hooks".to_string(), good.clone()),
        ("PUT", target.clone(), json!({ "enabled": false })),
        ("DELETE", target.clone(), json!({})),
        ("POST", format!("{target}/rotate-secret"), json!({})),
        ("POST", format!("{target}/test"), json!({})),
    ] {
        let answer = limited.call(method, &path, Some(&body)).await;
        let said = (answer.status, answer.json()["scope"].clone());
        assert_eq!(said, (403, json!("hooks")), "{method} {path}");
    }
}

#[tokio::test]
async fn the_overview_shows_what_hooks_add_and_never_waits_longer() {
    let relay = Relay::start().await;
    let operator = relay.operator().await;
    let counts = HookServer::answering(|_| Reply::Json(json!({ "scanned": 7 }))).await;
    let silent = HookServer::answering(|_| Reply::Never).await;
    assert_eq!(
        operator.get("/v1/operator/overview").await.ok()["extensions"],
        json!({})
    );
    let more = json!({ "events": ["overview"], "timeout_ms": 500 });
    let (_, secret) = counts.register(&operator, "counts", more.clone()).await;
    silent.register(&operator, "silent", more).await;
    let overview = operator.get("/v1/operator/overview").await.ok();
    assert_eq!(
        overview["extensions"],
        json!({ "counts": { "scanned": 7 }, "silent": null })
    );
    assert_eq!(overview["deadLetterCount"], 0);
    let heard = counts.heard().remove(0);
    assert_eq!(heard.kind(), "overview");
    assert!(heard.is_signed_with(&secret));
}
