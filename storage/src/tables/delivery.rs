//! Deliveries and the inboxes they make up.
//!
//! A delivery lives under (fleet, recipient, seq). While it can be handed out it also has a row
//! in the ready index under the same key, so that a poll reads only what it returns. Messages
//! with several recipients have a fan-out row for each, to find the delivery by message.

use bincode::{Decode, Encode};

use super::{AgentNo, FleetNo, TimeMs, record};
use crate::{Cf, Key, KeyReader, Read, StorageError, Txn, prefix_end};

const QUEUE: u8 = 1;
const READY: u8 = 2;
const DELIVERY: u8 = 1;
const FAN_OUT: u8 = 2;

/// One message on its way to one agent.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Delivery {
    /// The message.
    pub message: u128,
    /// Where the delivery stands.
    pub state: DeliveryState,
    /// How often it was handed out.
    pub attempts: u32,
    /// How often it was put back because nobody acked.
    pub retries: u32,
    /// When the message is worth nothing any more.
    pub deadline_ms: TimeMs,
    /// The time of its one entry in the due index; 0 when it has none.
    pub due_ms: TimeMs,
    /// When it was last handed out.
    pub delivered_ms: Option<TimeMs>,
    /// When it ended.
    pub ended_ms: Option<TimeMs>,
    /// Why the last attempt failed.
    pub last_failure_reason: Option<String>,
    /// The message's type, for filtered polls.
    pub message_type: String,
}
record!(Delivery, "delivery");

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum DeliveryState {
    /// Can be handed out now.
    Ready,
    /// Waits for its time: scheduled, backing off, or its message waits for approval.
    Waiting,
    /// Handed out, not acked yet.
    Delivered,
    /// Acked.
    Acked,
    /// Its deadline passed.
    Expired,
    /// Given up.
    DeadLettered,
    /// Taken back.
    Cancelled,
}

impl DeliveryState {
    /// The word used on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            DeliveryState::Ready | DeliveryState::Waiting => "queued",
            DeliveryState::Delivered => "delivered",
            DeliveryState::Acked => "acked",
            DeliveryState::Expired => "expired",
            DeliveryState::DeadLettered => "dead_lettered",
            DeliveryState::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more will happen to the delivery.
    pub fn ended(self) -> bool {
        !matches!(
            self,
            DeliveryState::Ready | DeliveryState::Waiting | DeliveryState::Delivered
        )
    }
}

/// An inbox as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Queue {
    /// The number given last.
    pub last_seq: u64,
    /// No ready row has a smaller number. It lets polls skip what was removed before.
    pub head: u64,
    /// Rows in the ready index.
    pub ready: u64,
}
record!(Queue, "queue");

fn delivery_key(fleet: FleetNo, agent: AgentNo, seq: u64) -> Key {
    Key::table(DELIVERY).u32(fleet).u32(agent).u64(seq)
}

/// The delivery at this place.
pub fn get(
    read: &impl Read,
    fleet: FleetNo,
    agent: AgentNo,
    seq: u64,
) -> Result<Option<Delivery>, StorageError> {
    read.record(Cf::Delivery, delivery_key(fleet, agent, seq).bytes())
}

/// Writes a delivery.
pub fn put(txn: &mut Txn, fleet: FleetNo, agent: AgentNo, seq: u64, delivery: &Delivery) {
    txn.put_record(Cf::Delivery, delivery_key(fleet, agent, seq), delivery);
}

/// Removes a delivery.
pub fn delete(txn: &mut Txn, fleet: FleetNo, agent: AgentNo, seq: u64) {
    txn.delete(Cf::Delivery, delivery_key(fleet, agent, seq));
}

/// Deliveries of an agent from `from` on, in accepted order, at most `limit`.
pub fn list(
    read: &impl Read,
    fleet: FleetNo,
    agent: AgentNo,
    from: u64,
    limit: usize,
) -> Result<Vec<(u64, Delivery)>, StorageError> {
    let upper = prefix_end(Key::table(DELIVERY).u32(fleet).u32(agent).bytes());
    read.scan(
        Cf::Delivery,
        delivery_key(fleet, agent, from).bytes(),
        &upper,
        limit,
    )?
    .iter()
    .map(|(key, value)| {
        let mut reader = KeyReader::new("delivery", key);
        let (_, _, _) = (reader.u8()?, reader.u32()?, reader.u32()?);
        Ok((reader.u64()?, crate::decode(value)?))
    })
    .collect()
}

fn fan_out_key(fleet: FleetNo, message: u128, agent: AgentNo) -> Key {
    Key::table(FAN_OUT).u32(fleet).u128(message).u32(agent)
}

/// Where in `agent`'s inbox a message with several recipients is.
pub fn fan_out(
    read: &impl Read,
    fleet: FleetNo,
    message: u128,
    agent: AgentNo,
) -> Result<Option<u64>, StorageError> {
    match read.get(Cf::Delivery, fan_out_key(fleet, message, agent).bytes())? {
        Some(bytes) => Ok(Some(KeyReader::new("fan_out", &bytes).u64()?)),
        None => Ok(None),
    }
}

/// Recipients of a message from number `from` on, with their places, at most `limit`.
pub fn fan_out_list(
    read: &impl Read,
    fleet: FleetNo,
    message: u128,
    from: AgentNo,
    limit: usize,
) -> Result<Vec<(AgentNo, u64)>, StorageError> {
    let upper = prefix_end(Key::table(FAN_OUT).u32(fleet).u128(message).bytes());
    read.scan(
        Cf::Delivery,
        fan_out_key(fleet, message, from).bytes(),
        &upper,
        limit,
    )?
    .iter()
    .map(|(key, value)| {
        let mut reader = KeyReader::new("fan_out", key);
        let (_, _, _) = (reader.u8()?, reader.u32()?, reader.u128()?);
        Ok((reader.u32()?, KeyReader::new("fan_out", value).u64()?))
    })
    .collect()
}

/// Writes a fan-out row.
pub fn put_fan_out(txn: &mut Txn, fleet: FleetNo, message: u128, agent: AgentNo, seq: u64) {
    txn.put(
        Cf::Delivery,
        fan_out_key(fleet, message, agent),
        seq.to_be_bytes().to_vec(),
    );
}

/// Removes a fan-out row.
pub fn delete_fan_out(txn: &mut Txn, fleet: FleetNo, message: u128, agent: AgentNo) {
    txn.delete(Cf::Delivery, fan_out_key(fleet, message, agent));
}

fn queue_key(fleet: FleetNo, agent: AgentNo) -> Key {
    Key::table(QUEUE).u32(fleet).u32(agent)
}

/// The inbox as a whole.
pub fn queue(read: &impl Read, fleet: FleetNo, agent: AgentNo) -> Result<Queue, StorageError> {
    Ok(read
        .record(Cf::Queue, queue_key(fleet, agent).bytes())?
        .unwrap_or_default())
}

/// Writes the inbox as a whole.
pub fn put_queue(txn: &mut Txn, fleet: FleetNo, agent: AgentNo, queue: &Queue) {
    txn.put_record(Cf::Queue, queue_key(fleet, agent), queue);
}

fn ready_key(fleet: FleetNo, agent: AgentNo, seq: u64) -> Key {
    Key::table(READY).u32(fleet).u32(agent).u64(seq)
}

/// Marks a delivery as one that can be handed out. The caller keeps [`Queue`] in step.
pub fn put_ready(txn: &mut Txn, fleet: FleetNo, agent: AgentNo, seq: u64, message_type: &str) {
    txn.put(
        Cf::Queue,
        ready_key(fleet, agent, seq),
        message_type.as_bytes().to_vec(),
    );
}

/// Takes the mark away.
pub fn delete_ready(txn: &mut Txn, fleet: FleetNo, agent: AgentNo, seq: u64) {
    txn.delete(Cf::Queue, ready_key(fleet, agent, seq));
}

/// Ready deliveries from `from` on with their message types, in accepted order.
pub fn ready(
    read: &impl Read,
    fleet: FleetNo,
    agent: AgentNo,
    from: u64,
    limit: usize,
) -> Result<Vec<(u64, String)>, StorageError> {
    let upper = prefix_end(Key::table(READY).u32(fleet).u32(agent).bytes());
    read.scan(
        Cf::Queue,
        ready_key(fleet, agent, from).bytes(),
        &upper,
        limit,
    )?
    .into_iter()
    .map(|(key, value)| {
        let mut reader = KeyReader::new("ready", &key);
        let (_, _, _) = (reader.u8()?, reader.u32()?, reader.u32()?);
        Ok((reader.u64()?, String::from_utf8_lossy(&value).into_owned()))
    })
    .collect()
}
