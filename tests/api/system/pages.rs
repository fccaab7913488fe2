//! /, /healthz, /readyz, /metrics, and request ids

use serde_json::json;

use crate::checks::assert_only_fields;
use crate::support::{Http, Relay, direct, shared};

#[tokio::test]
async fn the_relay_says_what_it_is() {
    let relay = shared().await;
    let root = relay.get("/").await.ok();
    assert_only_fields(
        &root,
        &["service", "version", "tier", "setup_required", "docs"],
    );
    assert_eq!(root["service"], "ekho-relay");
    assert_eq!(root["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(
        (&root["tier"], &root["setup_required"]),
        (&json!("oss"), &json!(false))
    );
    let health = relay.get("/healthz").await;
    assert_eq!(
        (health.status, health.text().as_str()),
        (200, "{\"ok\":true}")
    );
    let ready = relay.get("/readyz").await;
    assert_eq!(
        (ready.status, ready.text().as_str()),
        (200, "{\"ready\":true}")
    );
}

#[tokio::test]
async fn many_scrapes_at_once_get_a_whole_page_each() {
    let relay = shared().await;
    let pages = futures::future::join_all((0..64).map(|_| relay.get("/metrics"))).await;
    for page in pages {
        assert_eq!(page.status, 200);
        let page = page.text();
        assert!(page.contains("ekho_up 1") && page.contains("process_cpu_seconds_total"));
    }
}

#[tokio::test]
async fn metrics_have_every_name_of_the_contract() {
    let relay = Relay::start().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    sender
        .post("/v1/heartbeats", &json!({ "status": "degraded" }))
        .await
        .ok();
    sender.send(&direct(&recipient.id, "counted")).await;
    sender.send(&direct(&recipient.id, "counted")).await;
    let received = recipient.receive().await;
    recipient
        .ack(&[received[0]["message_id"].as_str().unwrap()])
        .await;

    let answer = relay.get("/metrics").await;
    assert!(
        answer
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("text/plain"))
    );
    let page = answer.text();
    let info = format!(
        "ekho_relay_info{{org=\"\",tier=\"oss\",version=\"{}\"}}",
        env!("CARGO_PKG_VERSION")
    );
    let mut missing = Vec::new();
    for (series, expected) in [
        ("ekho_up", 1.0),
        (info.as_str(), 1.0),
        ("ekho_fleets_total", 1.0),
        ("ekho_agents_total{status=\"healthy\"}", 1.0),
        ("ekho_agents_total{status=\"degraded\"}", 1.0),
        ("ekho_agents_total{status=\"paused\"}", 0.0),
        ("ekho_agents_total{status=\"quarantined\"}", 0.0),
        ("ekho_messages_total{status=\"queued\"}", 1.0),
        ("ekho_deliveries_total{status=\"queued\"}", 0.0),
        ("ekho_deliveries_total{status=\"delivered\"}", 1.0),
        ("ekho_deliveries_total{status=\"acked\"}", 1.0),
        ("ekho_deliveries_total{status=\"expired\"}", 0.0),
        ("ekho_deliveries_total{status=\"dead_lettered\"}", 0.0),
        ("ekho_dead_letters_total", 0.0),
        ("ekho_rate_violations_24h", 0.0),
        ("ekho_heartbeats_recent", 1.0),
    ] {
        let value = page
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok());
        if value != Some(expected) {
            missing.push(format!("{series} is {value:?}, not {expected}"));
        }
    }
    // Names with labels that nothing has filled yet.
    for name in [
        "ekho_a2a_tasks_total",
        "ekho_http_request_seconds",
        "ekho_commit_seconds",
        "ekho_fsync_seconds",
        "ekho_batch_commands",
        "ekho_queue_depth",
        "ekho_delivery_lag_seconds",
    ] {
        if !page
            .lines()
            .any(|line| line.starts_with(&format!("# TYPE {name} ")))
        {
            missing.push(format!("{name} is not there"));
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    let by_route =
        "ekho_http_request_seconds_count{method=\"POST\",route=\"/v1/messages\",status=\"200\"} 2";
    assert!(page.contains(by_route), "{page}");
}

#[tokio::test]
async fn request_ids_come_back_where_they_are_harmless() {
    let relay = shared().await;
    let http = Http::new();
    let url = format!("{}/no/such/page", relay.url());
    let get = async |id: Option<&str>| {
        let headers: Vec<(String, String)> = id
            .iter()
            .map(|id| ("x-request-id".to_string(), id.to_string()))
            .collect();
        let answer = http.send("GET", &url, &headers, "".into()).await;
        let body = answer.refused(404, "no such endpoint", "not_found");
        body["request_id"].as_str().unwrap().to_string()
    };
    for plain in [
        "my-id_1.2:3",
        "0af7651916cd43dd8448eb211c80319c",
        &"x".repeat(128),
    ] {
        assert_eq!(get(Some(plain)).await, plain);
    }
    for odd in [
        "",
        "a b",
        "<script>",
        "a\"b",
        "a\\nb",
        "ü",
        &"x".repeat(129),
    ] {
        let id = get(Some(odd)).await;
        assert!(id.starts_with("req_"), "{odd:?} came back as {id:?}");
    }
    assert_ne!(get(None).await, get(None).await);
    // Answers that are no errors carry it too.
    assert!(relay.get("/healthz").await.header("x-request-id").is_some());
}
