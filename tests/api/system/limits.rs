//! Body size, slow clients, and how many connections there may be

use serde_json::json;

use super::raw::Raw;
use crate::support::{DEADLINE, Relay, direct, poll_until, shared};

const GET: &str = "GET /healthz HTTP/1.1\r\nhost: relay\r\n\r\n";
const MIB: usize = 1 << 20;

#[tokio::test]
async fn a_body_up_to_the_limit_is_taken_and_not_one_byte_more() {
    let relay = shared().await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let empty = direct(&recipient.id, "").to_string().len();
    let fits = direct(&recipient.id, &"x".repeat(MIB - empty)).to_string();
    assert_eq!(fits.len(), MIB);
    sender.call("POST", "/v1/messages", fits).await.ok();
    let received = recipient.receive().await;
    assert_eq!(
        received[0]["body"]["text"].as_str().unwrap().len(),
        MIB - empty
    );

    let too_long = direct(&recipient.id, &"x".repeat(MIB - empty + 1)).to_string();
    let answer = sender.call("POST", "/v1/messages", too_long).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (413, "payload_too_large"),
        "{}",
        answer.text()
    );
    assert!(answer.json()["request_id"].is_string());
    assert!(recipient.inbox().await.is_empty());
}

/// Or else the connection would break under the client, and its answer with it.
#[tokio::test]
async fn a_body_that_is_a_little_too_long_is_heard_out() {
    let relay = shared().await;
    for _ in 0..20 {
        let mut raw = Raw::open(&relay).await;
        let length = 3 * MIB;
        let head = format!(
            "POST /v1/messages HTTP/1.1\r\nhost: relay\r\ncontent-length: {length}\r\n\r\n"
        );
        assert!(raw.write(head).await);
        for _ in 0..3 {
            assert!(raw.write("x".repeat(MIB)).await);
        }
        let (status, body) = raw.answer().await.expect("an answer");
        assert_eq!(status, 413, "{body}");
    }
}

#[tokio::test]
async fn a_body_that_says_it_is_too_long_is_not_waited_for() {
    let relay = shared().await;
    for path in ["/v1/messages", "/v1/enroll", "/v1/operator/login"] {
        let mut raw = Raw::open(&relay).await;
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: relay\r\ncontent-length: {}\r\n\r\n",
            64 * MIB
        );
        assert!(raw.write(head).await);
        let (status, body) = raw.answer().await.expect("an answer");
        assert_eq!(status, 413, "{path}: {body}");
        assert!(body.contains("payload_too_large"), "{body}");
    }
}

#[tokio::test]
async fn a_body_in_chunks_is_counted() {
    let relay = shared().await;
    for path in ["/v1/messages", "/v1/enroll", "/v1/operator/login"] {
        let mut raw = Raw::open(&relay).await;
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: relay\r\ntransfer-encoding: chunked\r\n\r\n");
        assert!(raw.write(head).await);
        let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
        // Just more than the limit: the relay has read it all when it answers.
        for _ in 0..=MIB / 0x10000 {
            if !raw.write(&chunk).await {
                break;
            }
        }
        let (status, body) = raw.answer().await.expect("an answer");
        assert_eq!(status, 413, "{path}: {body}");
        assert!(body.contains("payload_too_large"), "{body}");
    }
}

#[tokio::test]
async fn the_body_limit_is_a_setting() {
    let relay = Relay::builder()
        .env("EKHO_BODY_LIMIT_BYTES", 2048)
        .start()
        .await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    sender.send(&direct(&recipient.id, &"x".repeat(1000))).await;
    let answer = sender
        .post("/v1/messages", &direct(&recipient.id, &"x".repeat(2048)))
        .await;
    assert_eq!(answer.status, 413, "{}", answer.text());
}

#[tokio::test]
async fn slow_heads_are_cut_off() {
    let relay = Relay::builder()
        .env("EKHO_HEADER_TIMEOUT_SECONDS", 1)
        .start()
        .await;
    let cut = async || {
        relay
            .metric("ekho_http_connections_cut_total{reason=\"header\"}")
            .await
            .unwrap()
    };
    assert_eq!(cut().await, 0.0);
    let mut silent = Raw::open(&relay).await;
    let mut half = Raw::open(&relay).await;
    assert!(half.write("GET /healthz HTTP/1.1\r\nhost: re").await);
    let mut second = Raw::open(&relay).await;
    assert!(second.write(GET).await);
    assert_eq!(second.answer().await.map(|(status, _)| status), Some(200));
    assert!(second.write("GET /he").await);
    // One byte now and then does not buy more time.
    let mut trickle = Raw::open(&relay).await;
    poll_until(DEADLINE, "the end of the trickle", async || {
        let open = trickle.write("G").await;
        (!open || trickle.is_closed().await).then_some(())
    })
    .await;
    silent.closed().await;
    half.closed().await;
    second.closed().await;
    poll_until(DEADLINE, "the count of cut connections", async || {
        (cut().await >= 4.0).then_some(())
    })
    .await;
    relay.get("/healthz").await.ok();
}

#[tokio::test]
async fn idle_connections_are_closed() {
    let relay = Relay::builder()
        .env("EKHO_IDLE_TIMEOUT_SECONDS", 1)
        .start()
        .await;
    let mut raw = Raw::open(&relay).await;
    assert!(raw.write(GET).await);
    assert!(raw.answer().await.is_some());
    raw.closed().await;
    let idle = relay
        .metric("ekho_http_connections_cut_total{reason=\"idle\"}")
        .await;
    assert!(idle.is_some_and(|count| count >= 1.0), "{idle:?}");
    // A long poll is not idle.
    let [agent] = relay.agents(["agent"]).await;
    agent.inbox().await;
    assert_eq!(
        agent.get("/v1/inbox?wait=3").await.ok(),
        json!({ "messages": [], "controls": [] })
    );
}

#[tokio::test]
async fn connections_beyond_the_limit_are_told_so() {
    const MAX: usize = 4;
    let relay = Relay::builder()
        .env("EKHO_MAX_CONNECTIONS", MAX)
        .start()
        .await;
    let mut open = Vec::new();
    // The connections that asked for readiness may still be ending.
    poll_until(DEADLINE, "connections up to the limit", async || {
        let mut raw = Raw::open(&relay).await;
        if raw.write(GET).await && raw.answer().await.is_some_and(|(status, _)| status == 200) {
            open.push(raw);
        }
        (open.len() == MAX).then_some(())
    })
    .await;
    let mut refused = Raw::open(&relay).await;
    refused.write(GET).await;
    let (status, body) = refused.answer().await.expect("a word before the end");
    assert_eq!(status, 503, "{body}");
    let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(body["code"], "too_many_connections");
    refused.closed().await;
    // Those within the limit go on, and a place that is given up can be taken.
    for raw in &mut open {
        assert!(raw.write(GET).await);
        assert_eq!(raw.answer().await.map(|(status, _)| status), Some(200));
    }
    open.pop();
    poll_until(DEADLINE, "a free place", async || {
        let mut raw = Raw::open(&relay).await;
        raw.write(GET).await;
        (raw.answer().await?.0 == 200).then_some(())
    })
    .await;
    drop(open);
    poll_until(DEADLINE, "the count of refused connections", async || {
        (relay
            .metric("ekho_http_connections_cut_total{reason=\"limit\"}")
            .await?
            >= 1.0)
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn heads_beyond_all_measure_are_refused() {
    let relay = shared().await;
    let mut raw = Raw::open(&relay).await;
    raw.write(format!(
        "GET /healthz HTTP/1.1\r\nhost: relay\r\nx-long: {}\r\n\r\n",
        "x".repeat(MIB)
    ))
    .await;
    if let Some((status, body)) = raw.answer().await {
        assert!((400..500).contains(&status), "{status} {body}");
    }
    relay.get("/healthz").await.ok();
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_whether_to_go_on() {
    let relay = shared().await;
    let ask = |length: usize| {
        format!(
            "POST /v1/enroll HTTP/1.1\r\nhost: relay\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n"
        )
    };
    let mut small = Raw::open(&relay).await;
    small.write(ask(2)).await;
    assert_eq!(small.answer().await.map(|(status, _)| status), Some(100));
    small.write("{}").await;
    assert_eq!(small.answer().await.map(|(status, _)| status), Some(400));
    let mut large = Raw::open(&relay).await;
    large.write(ask(MIB + 1)).await;
    assert_eq!(large.answer().await.map(|(status, _)| status), Some(413));
}
