//! What agents say of themselves in their A2A cards.

use bincode::{Decode, Encode};

use super::{AgentNo, FleetNo, TimeMs, record, registry};
use crate::{Cf, Key, Read, StorageError, Txn};

/// An agent's own part of its card.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct AgentCard {
    /// JSON object with the fields of an `AgentCard` that are an agent's to say.
    pub card: String,
    /// When it was last changed.
    pub updated_ms: TimeMs,
}
record!(AgentCard, "agent_card");

fn key(fleet: FleetNo, agent: AgentNo) -> Key {
    Key::table(registry::AGENT_CARD).u32(fleet).u32(agent)
}

/// What the agent says of itself, where it said anything.
pub fn get(
    read: &impl Read,
    fleet: FleetNo,
    agent: AgentNo,
) -> Result<Option<AgentCard>, StorageError> {
    read.record(Cf::Registry, key(fleet, agent).bytes())
}

/// Writes it.
pub fn put(txn: &mut Txn, fleet: FleetNo, agent: AgentNo, card: &AgentCard) {
    txn.put_record(Cf::Registry, key(fleet, agent), card);
}
