//! Rate windows and violations.

use bincode::{Decode, Encode};

use super::{AgentNo, FleetNo, TimeMs, meta, record, registry};
use crate::{Cf, Key, KeyReader, Read, StorageError, Txn};

/// An agent's present window.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct RateWindow {
    /// When the window began.
    pub start_ms: TimeMs,
    /// Messages accepted in it.
    pub count: u64,
}
record!(RateWindow, "rate_window");

fn key(fleet: FleetNo, agent: AgentNo) -> Key {
    Key::table(meta::AGENT_RATE).u32(fleet).u32(agent)
}

/// The agent's window.
pub fn get(read: &impl Read, fleet: FleetNo, agent: AgentNo) -> Result<RateWindow, StorageError> {
    Ok(read
        .record(Cf::Meta, key(fleet, agent).bytes())?
        .unwrap_or_default())
}

/// Writes the agent's window.
pub fn put(txn: &mut Txn, fleet: FleetNo, agent: AgentNo, window: &RateWindow) {
    txn.put_record(Cf::Meta, key(fleet, agent), window);
}

/// What one agent sent another, as one policy counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair<'a> {
    /// The fleet.
    pub fleet: FleetNo,
    /// The policy, by public id.
    pub policy: &'a str,
    /// Who sent.
    pub sender: AgentNo,
    /// Who received.
    pub recipient: AgentNo,
}

impl Pair<'_> {
    fn key(&self) -> Key {
        Key::table(registry::PAIR_RATE)
            .u32(self.fleet)
            .text(self.policy)
            .u32(self.sender)
            .u32(self.recipient)
    }
}

/// The window of a pair that was counted last.
pub fn pair(read: &impl Read, pair: &Pair<'_>) -> Result<RateWindow, StorageError> {
    Ok(read
        .record(Cf::Registry, pair.key().bytes())?
        .unwrap_or_default())
}

/// Writes the window of a pair.
pub fn put_pair(txn: &mut Txn, pair: &Pair<'_>, window: &RateWindow) {
    txn.put_record(Cf::Registry, pair.key(), window);
}

/// Removes the window of a pair.
pub fn delete_pair(txn: &mut Txn, pair: &Pair<'_>) {
    txn.delete(Cf::Registry, pair.key());
}

fn violation_key(fleet: FleetNo, agent: AgentNo, at_ms: TimeMs, seq: u64) -> Key {
    Key::table(registry::VIOLATION)
        .u32(fleet)
        .u32(agent)
        .u64(at_ms)
        .u64(seq)
}

/// Records a refusal.
pub fn put_violation(txn: &mut Txn, fleet: FleetNo, agent: AgentNo, at_ms: TimeMs, seq: u64) {
    txn.put(
        Cf::Registry,
        violation_key(fleet, agent, at_ms, seq),
        Vec::new(),
    );
}

/// Removes a refusal that is no longer counted.
pub fn delete_violation(txn: &mut Txn, fleet: FleetNo, agent: AgentNo, at_ms: TimeMs, seq: u64) {
    txn.delete(Cf::Registry, violation_key(fleet, agent, at_ms, seq));
}

/// Refusals since `since_ms`, counted up to `limit`.
pub fn violations_since(
    read: &impl Read,
    fleet: FleetNo,
    agent: AgentNo,
    since_ms: TimeMs,
    limit: usize,
) -> Result<usize, StorageError> {
    let upper = crate::prefix_end(
        Key::table(registry::VIOLATION)
            .u32(fleet)
            .u32(agent)
            .bytes(),
    );
    Ok(read
        .scan(
            Cf::Registry,
            violation_key(fleet, agent, since_ms, 0).bytes(),
            &upper,
            limit,
        )?
        .len())
}

/// Refusals with their times and numbers, newest first, at most `limit`.
pub fn violations_rev(
    read: &impl Read,
    fleet: FleetNo,
    agent: AgentNo,
    limit: usize,
) -> Result<Vec<(TimeMs, u64)>, StorageError> {
    let prefix = Key::table(registry::VIOLATION).u32(fleet).u32(agent);
    let upper = crate::prefix_end(prefix.bytes());
    read.scan_rev(Cf::Registry, prefix.bytes(), &upper, limit)?
        .iter()
        .map(|(key, _)| {
            let mut reader = KeyReader::new("violation", &key[prefix.bytes().len()..]);
            Ok((reader.u64()?, reader.u64()?))
        })
        .collect()
}
