//! How much, how many at once, and how much memory it takes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::seeded;
use crate::support::{Agent, DEADLINE, Relay, poll_until, upload_body};

#[tokio::test]
async fn a_fleet_has_so_much_room_which_settings_change() {
    let relay = Relay::builder()
        .env("EKHO_ATTACHMENT_FLEET_MAX_BYTES", 10)
        .start()
        .await;
    let operator = relay.operator().await;
    let agent = operator.enrol("agent").await;
    seeded(&operator).await;
    poll_until(DEADLINE, "the first settings", async || {
        let settings = operator.get("/v1/operator/settings/attachments").await.ok();
        (settings["attachment_fleet_max_bytes"] == 10).then_some(())
    })
    .await;
    agent.upload("a", "text/plain", b"0123456789").await;
    let body = upload_body("b", "text/plain", b"1");
    let refused = agent.post("/v1/attachments", &body).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (409, "attachment_quota")
    );
    // What is refused leaves no file.
    assert_eq!(relay.attachment_files(), 1);
    let target = "/v1/operator/settings/attachments";
    let changed = operator
        .put(target, &json!({ "attachment_fleet_max_bytes": 11 }))
        .await;
    assert_eq!(changed.ok()["attachment_max_bytes"], 25 << 20);
    agent.post("/v1/attachments", &body).await.ok();
    let bad = operator
        .put(target, &json!({ "attachment_hold_ms": 1 }))
        .await;
    assert_eq!(bad.status, 400);
}

/// Sends the head of an upload; the body that is to follow, and where.
async fn begin_slowly(relay: &Relay, agent: &Agent) -> (bytes::Bytes, TcpStream) {
    let slow = agent
        .request("POST", "/v1/attachments")
        .json(&upload_body("slow", "text/plain", b"slow"))
        .sealed();
    let length = slow.body.len();
    let mut head =
        format!("POST /v1/attachments HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n");
    for (name, value) in slow.all_headers() {
        head += &format!("{name}: {value}\r\n");
    }
    let address = ("127.0.0.1", relay.port);
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(format!("{head}\r\n").as_bytes())
        .await
        .unwrap();
    (slow.body, stream)
}

#[tokio::test]
async fn beyond_so_many_uploads_at_once_the_next_is_told_to_wait() {
    let relay = Relay::builder()
        .env("EKHO_ATTACHMENT_UPLOADS", 1)
        .start()
        .await;
    let [agent] = relay.agents(["agent"]).await;
    agent.upload("first", "text/plain", b"first").await;
    let other = upload_body("other", "text/plain", b"other");
    // One that sends its body very slowly has the only place. Which of two gets it is not known, so
    // that it may take some tries.
    let (slow, mut stream, refused) = poll_until(DEADLINE, "the place to be taken", async || {
        let (slow, stream) = begin_slowly(&relay, &agent).await;
        let answer = agent.post("/v1/attachments", &other).await;
        (answer.status == 503).then_some((slow, stream, answer))
    })
    .await;
    assert_eq!(refused.code(), "overloaded");
    assert!(refused.header("retry-after").is_some());
    stream.write_all(&slow).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 201");
    agent.post("/v1/attachments", &other).await.ok();
}

fn resident_bytes(relay: &Relay) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", relay.pid().unwrap()));
    let status = status.unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

/// 25 MiB that nobody else has.
fn large(seed: u8) -> Vec<u8> {
    let mut state = u32::from(seed) + 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    let mut bytes = vec![0; 25 << 20];
    bytes.iter_mut().step_by(64).for_each(|byte| *byte = next());
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_and_downloads_are_never_held_in_memory() {
    /// Uploads at once.
    const PARALLEL: u8 = 4;
    /// One body of 35 MB held whole would show.
    const GROWTH_MAX_BYTES: u64 = 30 << 20;
    let relay = Arc::new(Relay::start().await);
    let [agent] = relay.agents(["agent"]).await;
    agent.upload("first", "text/plain", b"first").await;
    let bodies: Vec<_> = (0..PARALLEL)
        .map(|seed| upload_body("large", "application/octet-stream", &large(seed)).to_string())
        .collect();
    let before = resident_bytes(&relay);
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let watched = relay.clone();
    let watching = tokio::spawn(async move {
        let mut most = 0;
        while stopped.try_recv().is_err() {
            most = resident_bytes(&watched).max(most);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        most
    });
    let began = Instant::now();
    let post = |agent: Agent, body: String| async move {
        agent.call("POST", "/v1/attachments", body).await.ok()
    };
    let posts = bodies
        .into_iter()
        .map(|body| tokio::spawn(post(agent.clone(), body)));
    let made = futures::future::join_all(posts).await;
    let uploaded = began.elapsed();
    for (seed, made) in made.into_iter().enumerate() {
        let found = agent.download(&made.unwrap()).await;
        assert!(found.bytes == large(seed as u8));
    }
    stop.send(()).unwrap();
    let most = watching.await.unwrap();
    let growth = most.saturating_sub(before);
    eprintln!(
        "summary: {PARALLEL} uploads of 25 MiB at once in {:.1} s, the relay's memory grew from {} to {} MiB",
        uploaded.as_secs_f64(),
        before >> 20,
        most >> 20,
    );
    assert!(growth < GROWTH_MAX_BYTES, "it grew by {} MiB", growth >> 20);
}
