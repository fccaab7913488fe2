//! What waiting costs: nothing on disk

use futures::future::join_all;
use serde_json::json;

use crate::support::{Relay, now_ms};

#[tokio::test]
async fn idle_long_polls_write_nothing() {
    const AGENTS: usize = 40;
    const EACH: usize = 5;
    const SECONDS: i64 = 3;
    let relay = Relay::start().await;
    let operator = relay.operator().await;
    let agents = join_all((0..AGENTS).map(|number| {
        let operator = operator.clone();
        async move { operator.enrol(&number.to_string()).await }
    }))
    .await;
    agents[0].inbox().await;
    let written = async || {
        let index = relay.metric("ekho_log_applied_index").await.unwrap();
        let bytes = relay.metric("ekho_log_written_bytes_total").await.unwrap();
        (index, bytes)
    };
    let before = written().await;
    let began_ms = now_ms();
    let polls = agents.iter().flat_map(|agent| {
        (0..EACH)
            .map(move |_| async move { agent.get(&format!("/v1/inbox?wait={SECONDS}")).await.ok() })
    });
    for answer in join_all(polls).await {
        assert_eq!(answer, json!({ "messages": [], "controls": [] }));
    }
    assert!(now_ms() - began_ms >= SECONDS * 1000, "they waited");
    // Nor do polls that do not wait, looks at messages, and heartbeats that change nothing.
    for agent in &agents[..5] {
        for _ in 0..3 {
            assert!(agent.inbox().await.is_empty());
            agent
                .get("/v1/messages/msg_00000000000000000000000000000000")
                .await;
        }
    }
    assert_eq!(written().await, before, "log index and bytes written");
}
