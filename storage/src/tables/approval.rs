//! Approvals: what an agent asked to be allowed.

use bincode::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::{AgentNo, FleetNo, TimeMs, record, registry};
use crate::{Cf, Key, Read, StorageError, Txn, decode};

/// A proposed action, or a message that waits for an operator.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Approval {
    /// The UUID behind `apr_…`.
    pub uuid: u128,
    /// Who asked.
    pub agent: AgentNo,
    /// The conversation it belongs to.
    pub conversation_id: String,
    /// What kind of action.
    pub action_type: String,
    /// What it is, for people.
    pub summary: String,
    /// How risky the agent holds it to be.
    pub risk: Risk,
    /// The details, JSON as received.
    pub payload: String,
    /// Where it stands.
    pub status: ApprovalStatus,
    /// The message that waits for it, where there is one.
    pub message: Option<u128>,
    /// When it was asked.
    pub requested_ms: TimeMs,
    /// When it was decided.
    pub resolved_ms: Option<TimeMs>,
    /// Who decided, an operator's public id.
    pub resolved_by: Option<String>,
    /// What came of it, JSON as received.
    pub output: Option<String>,
    /// Why it was decided as it was.
    pub reason: Option<String>,
    /// When nobody may decide any more, for an action.
    pub expires_ms: Option<TimeMs>,
    /// Who said yes first, where two must.
    pub first_yes: Option<String>,
    /// When it is removed; 0 while it is pending.
    pub removed_ms: TimeMs,
}
record!(Approval, "approval");

/// How risky an action is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Risk {
    /// Low.
    Low,
    /// Medium.
    Medium,
    /// High.
    High,
    /// Critical.
    Critical,
}

impl Risk {
    /// The word used on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Risk::Low => "low",
            Risk::Medium => "medium",
            Risk::High => "high",
            Risk::Critical => "critical",
        }
    }
}

/// Where an approval stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum ApprovalStatus {
    /// Waits for an operator.
    Pending,
    /// Allowed.
    Approved,
    /// Refused.
    Rejected,
    /// Done.
    Executed,
    /// Not done.
    Cancelled,
    /// Tried and failed.
    Failed,
    /// Nobody decided in time.
    Expired,
}

impl ApprovalStatus {
    /// The word used on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            ApprovalStatus::Pending => "pending",
            ApprovalStatus::Approved => "approved",
            ApprovalStatus::Rejected => "rejected",
            ApprovalStatus::Executed => "executed",
            ApprovalStatus::Cancelled => "cancelled",
            ApprovalStatus::Failed => "failed",
            ApprovalStatus::Expired => "expired",
        }
    }
}

fn key(fleet: FleetNo, uuid: u128) -> Key {
    Key::table(registry::APPROVAL).u32(fleet).u128(uuid)
}

/// The approval with this UUID.
pub fn get(read: &impl Read, fleet: FleetNo, uuid: u128) -> Result<Option<Approval>, StorageError> {
    read.record(Cf::Registry, key(fleet, uuid).bytes())
}

/// Approvals with a UUID below `before`, which is asked before it; newest first, at most `limit`.
pub fn list_rev(
    read: &impl Read,
    fleet: FleetNo,
    before: u128,
    limit: usize,
) -> Result<Vec<Approval>, StorageError> {
    let (lower, upper) = (key(fleet, 0), key(fleet, before));
    read.scan_rev(Cf::Registry, lower.bytes(), upper.bytes(), limit)?
        .iter()
        .map(|(_, value)| decode(value))
        .collect()
}

/// Removes an approval.
pub fn delete(txn: &mut Txn, fleet: FleetNo, uuid: u128) {
    txn.delete(Cf::Registry, key(fleet, uuid));
}

/// Writes an approval.
pub fn put(txn: &mut Txn, fleet: FleetNo, approval: &Approval) {
    txn.put_record(Cf::Registry, key(fleet, approval.uuid), approval);
}
