//! Counts shown to people, kept as things happen and never by scanning.

use super::agent::AgentStatus;
use super::{FleetNo, meta};
use crate::{Cf, Key, Read, StorageError, Txn};

/// What is counted, per fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Counter {
    /// Deliveries waiting to be handed out.
    DeliveryQueued = 1,
    /// Deliveries handed out and not yet acked.
    DeliveryDelivered = 2,
    /// Deliveries acked, ever.
    DeliveryAcked = 3,
    /// Deliveries expired, ever.
    DeliveryExpired = 4,
    /// Deliveries dead-lettered, ever.
    DeliveryDeadLettered = 5,
    /// Deliveries cancelled, ever.
    DeliveryCancelled = 6,
    /// Messages with an open delivery.
    MessageOpen = 10,
    /// Messages whose deliveries have all ended, ever.
    MessageDone = 12,
    /// Messages taken back by their sender, ever.
    MessageCancelled = 13,
    /// Messages accepted, ever.
    MessageAccepted = 14,
    /// Agents in state healthy.
    AgentHealthy = 20,
    /// Agents in state degraded.
    AgentDegraded = 21,
    /// Agents in state paused.
    AgentPaused = 22,
    /// Agents in state quarantined.
    AgentQuarantined = 23,
    /// Agents revoked.
    AgentRevoked = 24,
    /// Dead letters stored now.
    DeadLetters = 30,
    /// Rate violations of the last 24 hours.
    RateViolations = 31,
    /// Approvals waiting for a decision.
    ApprovalsPending = 32,
    /// Fleets that are not archived; of the whole relay.
    FleetsInUse = 40,
    /// Fleets whose sends edge nodes may store; of the whole relay.
    FleetsAtEdge = 41,
    /// Approvals stored now.
    Approvals = 33,
    /// A2A tasks stored now that wait for their agent.
    TaskSubmitted = 50,
    /// Those that are worked on.
    TaskWorking = 51,
    /// Those that wait for their client.
    TaskInputRequired = 52,
    /// Those that wait for an authorization.
    TaskAuthRequired = 53,
    /// Those that are done.
    TaskCompleted = 54,
    /// Those that failed.
    TaskFailed = 55,
    /// Those that were called off.
    TaskCanceled = 56,
    /// Those that were refused.
    TaskRejected = 57,
    /// Attachments stored now.
    Attachments = 60,
    /// Bytes of their contents, each counted once.
    AttachmentBytes = 61,
}

impl Counter {
    /// The counter of agents in a status.
    pub fn of_agents(status: AgentStatus) -> Self {
        match status {
            AgentStatus::Healthy => Counter::AgentHealthy,
            AgentStatus::Degraded => Counter::AgentDegraded,
            AgentStatus::Paused => Counter::AgentPaused,
            AgentStatus::Quarantined => Counter::AgentQuarantined,
            AgentStatus::Revoked => Counter::AgentRevoked,
        }
    }
}

fn key(fleet: FleetNo, counter: Counter) -> Key {
    Key::table(meta::COUNTER).u32(fleet).u8(counter as u8)
}

/// The count.
pub fn get(read: &impl Read, fleet: FleetNo, counter: Counter) -> Result<u64, StorageError> {
    let Some(bytes) = read.get(Cf::Meta, key(fleet, counter).bytes())? else {
        return Ok(0);
    };
    let bytes: [u8; 8] = bytes
        .as_slice()
        .try_into()
        .map_err(|_| StorageError::Corrupt {
            table: "counter",
            detail: format!("{} bytes instead of 8", bytes.len()),
        })?;
    Ok(u64::from_le_bytes(bytes))
}

/// Changes the count by `by`. It never goes below zero: a count that would is corrected there.
pub fn add(txn: &mut Txn, fleet: FleetNo, counter: Counter, by: i64) -> Result<(), StorageError> {
    let value = get(txn, fleet, counter)?.saturating_add_signed(by);
    txn.put(Cf::Meta, key(fleet, counter), value.to_le_bytes().to_vec());
    Ok(())
}
