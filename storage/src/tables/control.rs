//! Controls: what the relay or an operator tells an agent through its inbox.

use bincode::{Decode, Encode};

use super::{AgentNo, FleetNo, TimeMs, record, registry};
use crate::{Cf, Key, KeyReader, Read, StorageError, Txn};

/// A control.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Control {
    /// pause, resume, quarantine, …
    pub action: String,
    /// Why.
    pub reason: String,
    /// When it was issued.
    pub created_ms: TimeMs,
    /// When it leaves the inbox; none: it stays until there are too many newer ones.
    pub expires_ms: Option<TimeMs>,
    /// The approval it is about.
    pub approval: Option<u128>,
}
record!(Control, "control");

impl Control {
    /// A control yet to be issued.
    pub fn new(action: &str, reason: &str, expires_ms: Option<TimeMs>) -> Self {
        Control {
            action: action.into(),
            reason: reason.into(),
            created_ms: 0,
            expires_ms,
            approval: None,
        }
    }

    /// Whether it says that the agent is held, or no longer is.
    pub fn is_hold(&self) -> bool {
        matches!(self.action.as_str(), "pause" | "quarantine" | "resume")
    }
}

fn key(fleet: FleetNo, agent: AgentNo, seq: u64) -> Key {
    Key::table(registry::CONTROL).u32(fleet).u32(agent).u64(seq)
}

/// Controls of an agent, newest first, at most `limit`.
pub fn list_rev(
    read: &impl Read,
    fleet: FleetNo,
    agent: AgentNo,
    limit: usize,
) -> Result<Vec<(u64, Control)>, StorageError> {
    let lower = key(fleet, agent, 0);
    let upper = key(fleet, agent, u64::MAX);
    read.scan_rev(Cf::Registry, lower.bytes(), upper.bytes(), limit)?
        .iter()
        .map(|(key, value)| {
            let mut reader = KeyReader::new("control", key);
            let (_, _, _) = (reader.u8()?, reader.u32()?, reader.u32()?);
            Ok((reader.u64()?, crate::decode(value)?))
        })
        .collect()
}

/// Writes a control.
pub fn put(txn: &mut Txn, fleet: FleetNo, agent: AgentNo, seq: u64, control: &Control) {
    txn.put_record(Cf::Registry, key(fleet, agent, seq), control);
}

/// Removes a control.
pub fn delete(txn: &mut Txn, fleet: FleetNo, agent: AgentNo, seq: u64) {
    txn.delete(Cf::Registry, key(fleet, agent, seq));
}
