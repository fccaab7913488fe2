//! The agent that everybody here sends to. Acks whatever comes and notes what it was.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Scene, gates, rates};
use crate::client::Client;
use crate::sign::Agent;

pub(super) async fn receive(scene: Arc<Scene>, agent: Agent) {
    let mut client = Client::new(&scene.nodes, 0);
    let mut seen = HashSet::new();
    while !scene.stop_sink.load(Ordering::Relaxed) {
        let answer = client
            .ask(&agent.request("GET", "/v1/inbox?limit=100&wait=1", ""))
            .await;
        let messages = answer.body["messages"].as_array();
        let Some(messages) = messages.filter(|_| answer.status == 200) else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        for message in messages {
            let id = message["message_id"].as_str().unwrap_or_default();
            if seen.insert(id.to_string()) {
                note(&scene, id, message);
            }
        }
        // Without an ack they come again, which does no harm.
        let acks: Vec<Value> = messages
            .iter()
            .map(|message| json!({ "message_id": message["message_id"] }))
            .collect();
        if !acks.is_empty() {
            let acks = json!({ "acks": acks }).to_string();
            client.ask(&agent.request("POST", "/v1/acks", acks)).await;
        }
    }
}

fn note(scene: &Scene, id: &str, message: &Value) {
    let correlation = message["correlation_id"].as_str().unwrap_or_default();
    if let Some(no) = gates::number(correlation) {
        scene.records.lock().passed.push(no);
    } else if let Some(subject) = rates::subject(correlation) {
        let time = message["created_at"].as_str().unwrap_or_default();
        scene.count(subject, id, time);
    }
}
