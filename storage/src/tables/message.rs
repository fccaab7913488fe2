//! Messages: the envelope, and the body in its own family.

use bincode::{Decode, Encode};

use super::{AgentNo, FleetNo, TimeMs, record};
use crate::{Cf, Key, Read, StorageError, Txn};

/// An accepted message without its body.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Message {
    /// The UUID behind `msg_…`.
    pub uuid: u128,
    /// Its place in the fleet's accepted order.
    pub seq: u64,
    /// The sender's number.
    pub sender: AgentNo,
    /// The sender's public id.
    pub sender_id: String,
    /// To whom it was addressed.
    pub recipient: Recipient,
    /// direct, broadcast, alert, handoff, …
    pub message_type: String,
    /// low, normal, high or urgent.
    pub priority: Priority,
    /// The approval it waited for, where an operator had to agree.
    pub approval: Option<u128>,
    /// Free data beside the body, JSON as received.
    pub metadata: Option<String>,
    /// What policies and extensions call it.
    pub tags: Vec<String>,
    /// The conversation it belongs to.
    pub conversation_id: String,
    /// Chosen by the sender to match answers.
    pub correlation_id: String,
    /// End-to-end signature fields, passed on untouched.
    pub envelope: Option<Envelope>,
    /// When it was accepted.
    pub created_ms: TimeMs,
    /// Not handed out before this time.
    pub deliver_at_ms: TimeMs,
    /// Worth nothing after this time.
    pub deadline_ms: TimeMs,
    /// Where it stands as a whole.
    pub state: MessageState,
    /// Its only recipient and place there, where there is one; otherwise see the fan-out rows.
    pub single: Option<(AgentNo, u64)>,
    /// Deliveries made.
    pub delivery_count: u32,
    /// Deliveries of a message with several recipients that have not ended; not kept for one.
    pub open: u32,
    /// Whether a delivery of a message with several recipients was dead-lettered.
    pub dead: bool,
    /// When the message is removed, where it ended in a dead letter; 0 otherwise. A redrive takes
    /// it back.
    pub dead_until_ms: TimeMs,
}
record!(Message, "message");

impl Message {
    /// What the sender is: operators have no number.
    pub fn sender_kind(&self) -> &'static str {
        match self.sender {
            0 => "operator",
            _ => "agent",
        }
    }
}

/// To whom a message is addressed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Recipient {
    /// One agent, by public id.
    Agent(String),
    /// The members of a room, by its id.
    Group(String),
    /// Every live agent of the fleet but the sender.
    Broadcast,
}

impl Recipient {
    /// `agent`, `group` or `broadcast`, and the public id of which one.
    pub fn kind_and_id(&self) -> (&'static str, Option<&str>) {
        match self {
            Recipient::Agent(id) => ("agent", Some(id)),
            Recipient::Group(id) => ("group", Some(id)),
            Recipient::Broadcast => ("broadcast", None),
        }
    }
}

/// How urgent the sender holds a message to be. It does not change the order of delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Priority {
    /// Low.
    Low,
    /// Normal.
    Normal,
    /// High.
    High,
    /// Urgent.
    Urgent,
}

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum MessageState {
    /// Accepted; deliveries may be open.
    Open,
    /// Waits for an operator; not handed out.
    PendingApproval,
    /// An operator said no.
    Rejected,
    /// Taken back by its sender.
    Cancelled,
    /// All deliveries have ended.
    Done,
}

/// End-to-end signature fields of later clients.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Envelope {
    /// The sender's signature.
    pub agent_sig: String,
    /// The key it was made with.
    pub key_id: String,
    /// The text it covers.
    pub sig_canonical: String,
}

impl Priority {
    /// The word used on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Priority::Low => "low",
            Priority::Normal => "normal",
            Priority::High => "high",
            Priority::Urgent => "urgent",
        }
    }
}

fn key(fleet: FleetNo, uuid: u128) -> Key {
    Key::new().u32(fleet).u128(uuid)
}

/// The message with this UUID.
pub fn get(read: &impl Read, fleet: FleetNo, uuid: u128) -> Result<Option<Message>, StorageError> {
    read.record(Cf::Message, key(fleet, uuid).bytes())
}

/// Writes a message.
pub fn put(txn: &mut Txn, fleet: FleetNo, message: &Message) {
    txn.put_record(Cf::Message, key(fleet, message.uuid), message);
}

/// The body as received, JSON.
pub fn body(read: &impl Read, fleet: FleetNo, uuid: u128) -> Result<Option<Vec<u8>>, StorageError> {
    read.get(Cf::Body, key(fleet, uuid).bytes())
}

/// Writes the body.
pub fn put_body(txn: &mut Txn, fleet: FleetNo, uuid: u128, body: &[u8]) {
    txn.put(Cf::Body, key(fleet, uuid), body.to_vec());
}

/// Removes a body that is no message's, but another text.
pub fn delete_body(txn: &mut Txn, fleet: FleetNo, uuid: u128) {
    txn.delete(Cf::Body, key(fleet, uuid));
}

/// Removes a message and its body.
pub fn delete(txn: &mut Txn, fleet: FleetNo, uuid: u128) {
    txn.delete(Cf::Message, key(fleet, uuid));
    txn.delete(Cf::Body, key(fleet, uuid));
}
