//! Approvals: what an agent asked to be allowed.

use bincode::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::{AgentNo, FleetNo, TimeMs, record, registry};
use crate::{Cf, Key, KeyReader, Place, Read, StorageError, Txn, decode, page};

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
    /// All of them, the least first.
    pub const ALL: [Risk; 4] = [Risk::Low, Risk::Medium, Risk::High, Risk::Critical];

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
    /// All of them.
    pub const ALL: [ApprovalStatus; 7] = [
        ApprovalStatus::Pending,
        ApprovalStatus::Approved,
        ApprovalStatus::Rejected,
        ApprovalStatus::Executed,
        ApprovalStatus::Cancelled,
        ApprovalStatus::Failed,
        ApprovalStatus::Expired,
    ];

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

/// An order of approvals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Order {
    /// As they were asked.
    Requested = 0,
    /// By risk, and as they were asked.
    Risk = 1,
    /// By summary, letters in any case.
    Summary = 2,
}

/// The rows of the order by status, and as they were asked.
const BY_STATUS: u8 = 3;
/// Bytes of a summary that count for its place.
const SUMMARY_BYTES: usize = 64;

fn order(fleet: FleetNo, order: u8) -> Key {
    Key::table(registry::APPROVAL_ORDER).u32(fleet).u8(order)
}

fn by_status(fleet: FleetNo, status: ApprovalStatus) -> Key {
    order(fleet, BY_STATUS).u8(status as u8)
}

/// Rows of an approval that never change.
fn fixed_rows(fleet: FleetNo, approval: &Approval) -> [Key; 2] {
    let summary = approval.summary.to_lowercase();
    let summary = &summary[..summary.floor_char_boundary(SUMMARY_BYTES)];
    [
        order(fleet, Order::Risk as u8)
            .u8(approval.risk as u8)
            .u128(approval.uuid),
        order(fleet, Order::Summary as u8)
            .raw(summary.as_bytes())
            .u8(0)
            .u128(approval.uuid),
    ]
}

/// Approvals in an order with their places, at most `limit`, after `from` where it is given. With a
/// status only those that have it; only in the order in which they were asked.
pub fn list(
    read: &impl Read,
    fleet: FleetNo,
    (by, status): (Order, Option<ApprovalStatus>),
    descending: bool,
    from: Option<&[u8]>,
    limit: usize,
) -> Result<Vec<(Place, Approval)>, StorageError> {
    let prefix = match (by, status) {
        (Order::Requested, Some(status)) => by_status(fleet, status),
        (Order::Requested, None) => Key::table(registry::APPROVAL).u32(fleet),
        (by, _) => order(fleet, by as u8),
    };
    let found = page(read, Cf::Registry, prefix.bytes(), descending, from, limit)?;
    let mut approvals = Vec::with_capacity(found.len());
    for (place, value) in found {
        let approval = match value.is_empty() {
            false => decode(&value)?,
            true => {
                let at = place.len().saturating_sub(16);
                let uuid = KeyReader::new("approval order", &place[at..]).u128()?;
                match get(read, fleet, uuid)? {
                    Some(approval) => approval,
                    None => continue,
                }
            }
        };
        approvals.push((place, approval));
    }
    Ok(approvals)
}

/// Removes an approval.
pub fn delete(txn: &mut Txn, fleet: FleetNo, approval: &Approval) {
    txn.delete(Cf::Registry, key(fleet, approval.uuid));
    for row in fixed_rows(fleet, approval) {
        txn.delete(Cf::Registry, row);
    }
    txn.delete(
        Cf::Registry,
        by_status(fleet, approval.status).u128(approval.uuid),
    );
}

/// Writes an approval; whether it is a new one.
pub fn put(txn: &mut Txn, fleet: FleetNo, approval: &Approval) -> Result<bool, StorageError> {
    let before = get(txn, fleet, approval.uuid)?;
    if let Some(before) = &before {
        txn.delete(
            Cf::Registry,
            by_status(fleet, before.status).u128(approval.uuid),
        );
    } else {
        for row in fixed_rows(fleet, approval) {
            txn.put(Cf::Registry, row, Vec::new());
        }
    }
    txn.put(
        Cf::Registry,
        by_status(fleet, approval.status).u128(approval.uuid),
        Vec::new(),
    );
    txn.put_record(Cf::Registry, key(fleet, approval.uuid), approval);
    Ok(before.is_none())
}
