//! The load of a relay: enrols those who send and those who receive, and lets them begin.

use std::sync::Arc;

use ekho_jepsen::actor::{Actor, Address};
use ekho_jepsen::book::Book;
use ekho_jepsen::history::AgentNo;
use ekho_jepsen::load::{Cast, Load};
use ekho_jepsen::rng::Rng;
use serde_json::json;

use crate::process::{actor, nodes};
use crate::support::Relay;

/// Longest pause of a sender between two messages.
const THINK_MS: u64 = 25;

/// How much of it.
#[derive(Clone, Copy)]
pub struct Size {
    /// Agents that send.
    pub senders: usize,
    /// Agents that receive.
    pub receivers: usize,
}

/// Enrols the agents with a relay that runs, and begins.
pub async fn begin(relay: &Relay, size: Size, rng: &mut Rng) -> Load {
    let book = Book::new();
    let cast = enrol(relay, size, &book).await;
    Load::begin(cast, nodes(relay), book, rng)
}

/// Each sender has a room with all receivers.
async fn enrol(relay: &Relay, size: Size, book: &Arc<Book>) -> Cast {
    let operator = relay.operator().await;
    let mut receivers = Vec::new();
    for place in 0..size.receivers {
        let no = (size.senders + place) as AgentNo;
        let agent = operator.enrol(&format!("receiver {place}")).await;
        receivers.push(actor(no, &agent, relay, book));
    }
    let numbers: Vec<AgentNo> = receivers.iter().map(|receiver| receiver.no).collect();
    let ids: Vec<&str> = receivers.iter().map(Actor::id).collect();
    let mut senders = Vec::new();
    for place in 0..size.senders {
        let agent = operator.enrol(&format!("sender {place}")).await;
        let room = json!({ "name": format!("room {place}"), "member_agent_ids": ids });
        let room = agent.post("/v1/rooms", &room).await.ok();
        let room_id = room["id"].as_str().expect("a room id");
        let mut addresses: Vec<Address> = numbers
            .iter()
            .zip(&ids)
            .map(|(no, id)| Address::of_agent(*no, id))
            .collect();
        addresses.push(Address::of_room(room_id, numbers.clone()));
        senders.push((actor(place as AgentNo, &agent, relay, book), addresses));
    }
    Cast {
        senders,
        receivers,
        think_ms: THINK_MS,
    }
}
