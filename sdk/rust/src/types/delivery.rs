//! The life of a delivery: acks, nacks, leases, and what the sender may read of it.

use serde::{Deserialize, Serialize};

use super::{null_as_default, open_enum};

/// One message that was dealt with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AckItem {
    /// Which.
    pub message_id: String,
    /// Always "received".
    pub status: &'static str,
    /// When it was received.
    pub received_at: String,
}

impl AckItem {
    /// An ack of `message_id`, received now.
    pub fn now(message_id: impl Into<String>) -> Self {
        Self {
            message_id: message_id.into(),
            status: "received",
            received_at: crate::time::now_iso8601(),
        }
    }
}

/// One message that could not be dealt with and shall come again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NackItem {
    /// Which.
    pub message_id: String,
    /// Seconds until it comes again; None: the relay's schedule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_seconds: Option<u64>,
    /// Why; kept with the dead letter when it fails for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// One message that needs longer than the delivery timeout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseItem {
    /// Which.
    pub message_id: String,
    /// Seconds from now until it may be handed out again.
    pub extend_seconds: u64,
}

/// How many deliveries a call changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Updated {
    /// Only those that were open for this agent count.
    pub updated: u64,
}

/// Leases that were extended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LeasesAnswer {
    /// How many.
    pub updated: u64,
    /// Which, and until when.
    #[serde(default, deserialize_with = "null_as_default")]
    pub leases: Vec<LeaseGranted>,
}

/// One extended lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LeaseGranted {
    /// Which message.
    pub message_id: String,
    /// Until then it is not handed out again.
    pub lease_expires_at: String,
}

open_enum! {
    /// Where a delivery stands.
    DeliveryStatus {
        /// Waits to be handed out.
        Queued = "queued",
        /// Handed out and not acked yet.
        Delivered = "delivered",
        /// Dealt with.
        Acked = "acked",
        /// Its time to live ran out.
        Expired = "expired",
        /// Failed for good.
        DeadLettered = "dead_lettered",
        /// Taken back by its sender.
        Cancelled = "cancelled",
    }
}

/// What became of a message, as its sender sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MessageState {
    /// Its id.
    pub message_id: String,
    /// Where the message as a whole stands.
    pub status: String,
    /// When it was accepted.
    #[serde(default)]
    pub queued_at: Option<String>,
    /// When it expires.
    #[serde(default)]
    pub deadline_at: Option<String>,
    /// When it will be delivered at the earliest, for a scheduled message.
    #[serde(default)]
    pub deliver_at: Option<String>,
    /// One for each recipient.
    #[serde(default, deserialize_with = "null_as_default")]
    pub deliveries: Vec<DeliveryState>,
    /// How many recipients it has; `deliveries` shows at most 1,000.
    #[serde(default, deserialize_with = "null_as_default")]
    pub delivery_count: u64,
    /// The approval that it waits for.
    #[serde(default)]
    pub approval_id: Option<String>,
}

/// What became of a message for one recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DeliveryState {
    /// Id of the delivery.
    pub delivery_id: String,
    /// For whom.
    pub recipient_agent_id: String,
    /// Where it stands.
    pub status: DeliveryStatus,
    /// How often it was handed out.
    #[serde(default, deserialize_with = "null_as_default")]
    pub attempts: u32,
    /// Why the last attempt failed, such as "timeout" or the reason of a nack.
    #[serde(default)]
    pub last_failure_reason: Option<String>,
    /// When it was last handed out.
    #[serde(default)]
    pub delivered_at: Option<String>,
    /// When it was acked.
    #[serde(default)]
    pub acked_at: Option<String>,
}
