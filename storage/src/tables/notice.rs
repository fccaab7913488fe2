//! Notices: conversations an agent reported as stalled.

use bincode::{Decode, Encode};

use super::{AgentNo, FleetNo, TimeMs, record, registry};
use crate::{Cf, Key, Read, StorageError, Txn};

/// A reported stall. It is over when a newer message is accepted in the conversation.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Notice {
    /// The conversation's newest message then, by its place in the fleet's accepted order.
    pub message_seq: u64,
    /// When it was reported.
    pub at_ms: TimeMs,
}
record!(Notice, "notice");

fn key(fleet: FleetNo, agent: AgentNo, conversation: &str) -> Key {
    Key::table(registry::NOTICE)
        .u32(fleet)
        .u32(agent)
        .text(conversation)
}

/// The stall this agent reported for a conversation.
pub fn get(
    read: &impl Read,
    fleet: FleetNo,
    agent: AgentNo,
    conversation: &str,
) -> Result<Option<Notice>, StorageError> {
    read.record(Cf::Registry, key(fleet, agent, conversation).bytes())
}

/// Writes a stall.
pub fn put(txn: &mut Txn, fleet: FleetNo, agent: AgentNo, conversation: &str, notice: &Notice) {
    txn.put_record(Cf::Registry, key(fleet, agent, conversation), notice);
}

/// Forgets a stall.
pub fn delete(txn: &mut Txn, fleet: FleetNo, agent: AgentNo, conversation: &str) {
    txn.delete(Cf::Registry, key(fleet, agent, conversation));
}
