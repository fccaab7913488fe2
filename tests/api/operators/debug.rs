//! A look into a running node: its log lines, its threads, its memory, what runs.

use serde_json::{Value, json};

use crate::support::{DEADLINE, Http, Operator, Relay, poll_until};

const LOG: &str = "/v1/operator/debug/log";

async fn events(operator: &Operator, kind: &str) -> Vec<Value> {
    let target = format!("/v1/operator/events?type={kind}");
    let answer = operator.get(&target).await.ok();
    answer["events"].as_array().expect("events").clone()
}

/// Asks for a page under this id, which is logged where requests are.
async fn is_logged(relay: &Relay, id: &str) -> bool {
    let headers = [("x-request-id".to_string(), id.to_string())];
    let http = Http::new();
    let url = format!("{}/healthz", relay.url());
    http.send("GET", &url, &headers, bytes::Bytes::new())
        .await
        .ok();
    // The line of the request after it is written later: by then this one's is there or never will be.
    relay.get("/healthz").await;
    relay.log().contains(id)
}

#[tokio::test]
async fn log_lines_change_for_a_time_and_go_back() {
    let relay = Relay::builder()
        .env("EKHO_LOG", "info,openraft=error")
        .start()
        .await;
    let operator = relay.operator().await;
    let shown = operator.get(LOG).await.ok();
    assert_eq!(shown["filter"], "info,openraft=error");
    assert_eq!(shown["until"], Value::Null);
    assert!(!is_logged(&relay, "before").await);

    let change = json!({ "filter": "info,ekho::api=debug", "seconds": 3600 });
    let changed = poll_until(DEADLINE, "the feature level", async || {
        let changed = operator.put(LOG, &change).await.ok();
        (changed["audited"] == true).then_some(changed)
    })
    .await;
    assert_eq!(changed["filter"], "info,ekho::api=debug");
    assert_eq!(changed["default_filter"], "info,openraft=error");
    assert!(changed["until"].is_string(), "{changed}");
    assert!(is_logged(&relay, "while-changed").await);
    let noted = &events(&operator, "node.log_changed").await[0];
    assert_eq!(noted["resource_id"], "1", "{noted}");
    assert_eq!(noted["payload"]["filter"], "info,ekho::api=debug");
    assert_eq!(noted["payload"]["lasting_ms"], 3_600_000);

    let reset = operator.call("DELETE", LOG, None).await.ok();
    assert_eq!(reset["filter"], "info,openraft=error");
    assert_eq!(reset["until"], Value::Null);
    assert!(!is_logged(&relay, "after").await);

    let change = json!({ "filter": "info,ekho::api=debug", "seconds": 1 });
    operator.put(LOG, &change).await.ok();
    poll_until(DEADLINE, "the end of the time", async || {
        let shown = operator.get(LOG).await.ok();
        (shown["filter"] == "info,openraft=error").then_some(())
    })
    .await;
    assert!(!is_logged(&relay, "long-after").await);
}

#[tokio::test]
async fn what_is_no_filter_or_no_time_is_refused() {
    let relay = Relay::start().await;
    let operator = relay.operator().await;
    for (field, change) in [
        ("filter", json!({})),
        ("filter", json!({ "filter": "" })),
        ("filter", json!({ "filter": "ekho=loud=very" })),
        ("filter", json!({ "filter": "a".repeat(1001) })),
        ("seconds", json!({ "filter": "info", "seconds": 0 })),
        ("seconds", json!({ "filter": "info", "seconds": 86401 })),
    ] {
        operator.put(LOG, &change).await.invalid(field);
    }
    for query in ["seconds=0", "seconds=61", "seconds=x"] {
        let target = format!("/v1/operator/debug/threads?{query}");
        operator.get(&target).await.invalid("seconds");
    }
}

#[tokio::test]
async fn threads_that_work_are_seen() {
    let relay = Relay::start().await;
    let operator = relay.operator().await;
    let other = operator.clone();
    let looking =
        tokio::spawn(async move { other.get("/v1/operator/debug/threads?seconds=2").await });
    // A password costs what can be seen.
    let login = json!({
        "fleet_name": "test", "email": "owner@example.org",
        "password": relay.credentials().password,
    });
    while !looking.is_finished() {
        operator.post("/v1/operator/login", &login).await.ok();
    }
    let answer = looking.await.unwrap().ok();
    let threads = answer["threads"].as_array().unwrap();
    let used = |thread: &Value| {
        thread["user_seconds"].as_f64().unwrap() + thread["system_seconds"].as_f64().unwrap()
    };
    assert!(used(&threads[0]) > 0.05, "{answer}");
    assert!(
        threads.is_sorted_by(|one, next| used(one) >= used(next)),
        "{answer}"
    );
    let apply = threads.iter().find(|thread| thread["name"] == "ekho-apply");
    assert_eq!(apply.expect("the apply thread")["count"], 1, "{answer}");
    // More than a few at once are refused.
    let many = (0..6).map(|_| operator.get("/v1/operator/debug/threads?seconds=1"));
    let many = futures::future::join_all(many).await;
    let refused = many.iter().filter(|answer| answer.status == 503);
    assert!(refused.count() >= 1);
}

#[tokio::test]
async fn memory_and_runtime_say_what_the_kernel_and_the_node_do() {
    let relay = Relay::start().await;
    let operator = relay.operator().await;
    let memory = operator.get("/v1/operator/debug/memory").await.ok();
    let pid = relay.pid().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let kib = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.split_whitespace().next());
        number.and_then(|number| number.parse().ok()).unwrap()
    };
    let resident = memory["process"]["resident_bytes"].as_u64().unwrap();
    let of_kernel = kib("VmRSS:") * 1024;
    assert!(
        resident > of_kernel / 2 && resident < of_kernel * 2,
        "{memory}"
    );
    assert!(memory["process"]["threads"].as_u64() > Some(4), "{memory}");
    assert!(
        memory["state"]["write_buffer_bytes"].as_u64() > Some(0),
        "{memory}"
    );

    let runtime = operator.get("/v1/operator/debug/runtime").await.ok();
    assert_eq!(runtime["pid"], pid);
    assert_eq!(runtime["role"], "leader");
    assert!(runtime["applied_index"].as_u64() > Some(0), "{runtime}");
    let workers = runtime["workers"].as_array().unwrap();
    assert!(!workers.is_empty());
    assert!(
        workers
            .iter()
            .any(|worker| worker["busy_seconds"].as_f64() > Some(0.0))
    );
}

#[tokio::test]
async fn only_owners_of_the_first_fleet_look_into_a_node() {
    let relay = Relay::builder().pro().start().await;
    let owner = relay.operator().await;
    let viewer =
        json!({ "email": "v@example.org", "password": "a long password", "role": "operator" });
    let made = owner.post("/v1/operator/operators", &viewer).await;
    assert_eq!(made.status, 201);
    let branch = json!({ "name": "branch", "owner_email": "v@example.org", "owner_password": "a long password" });
    assert_eq!(owner.post("/v1/operator/fleets", &branch).await.status, 201);
    for fleet in ["test", "branch"] {
        let login =
            json!({ "fleet_name": fleet, "email": "v@example.org", "password": "a long password" });
        let token = owner.post("/v1/operator/login", &login).await.ok()["token"].clone();
        let other = Operator {
            token: token.as_str().unwrap().into(),
            ..owner.clone()
        };
        let change = json!({ "filter": "trace" });
        for (method, target, body) in [
            ("GET", LOG, None),
            ("PUT", LOG, Some(&change)),
            ("DELETE", LOG, None),
            ("GET", "/v1/operator/debug/threads?seconds=1", None),
            ("GET", "/v1/operator/debug/memory", None),
            ("GET", "/v1/operator/debug/runtime", None),
        ] {
            let answer = other.call(method, target, body).await;
            assert_eq!(
                (answer.status, answer.code().as_str()),
                (403, "forbidden"),
                "{target}"
            );
            assert_eq!(answer.json()["scope"], "cluster");
        }
    }
    let filter = owner.get(LOG).await.ok()["filter"].clone();
    assert_ne!(filter, "trace");
}

#[tokio::test]
async fn the_commands_show_it() {
    let relay = Relay::start().await;
    let run = |args: &[&str]| {
        let output = relay.run(args.iter().copied());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{args:?}: {errors}");
        text
    };
    let set = run(&["debug", "log", "set", "warn", "--for", "5m"]);
    assert!(set.starts_with("node 1 writes warn until "), "{set}");
    assert!(run(&["debug", "log", "show"]).contains("warn"));
    let reset = run(&["debug", "log", "reset"]);
    assert!(!reset.contains("until"), "{reset}");
    assert!(run(&["debug", "memory"]).contains("process.resident_bytes"));
    assert!(run(&["debug", "runtime"]).contains("leader"));
    let shown = run(&["debug", "threads", "--seconds", "1"]);
    assert!(shown.contains("ekho-apply"), "{shown}");
    let output = relay.run(["debug", "log", "set", "warn", "--for", "0s"]);
    assert_eq!(output.status.code(), Some(2));
}
