//! The promises of the relay as a small program: lists, and rules read from top to bottom.
//!
//! Nothing here knows tables, indexes or counters. Time-driven changes happen to the model when
//! the machine has done them ([`Model::settle`]): a tick may be bounded and late, but what it does
//! is not up to it.

mod people;
mod rules;
pub mod run;
mod settle;
pub mod steps;
mod traffic;

use std::collections::BTreeMap;

use ekho::machine::outcome::Sent;
use ekho_storage::tables::agent::{AutoHold, HoldKind};

use crate::rig::{DAY, HOUR, MINUTE, SECOND};

pub const RATE_WINDOW_MS: u64 = MINUTE;
pub const RATE_MAX_MESSAGES: u64 = 6;
pub const VIOLATION_THRESHOLD: usize = 2;
const VIOLATION_WINDOW_MS: u64 = HOUR;
const DELIVERY_TIMEOUT_MS: u64 = 120 * SECOND;
/// Shorter than the default, which the examples go through to its end.
const BACKOFF_MS: [u64; 2] = [60 * SECOND, 300 * SECOND];
const SILENCE_MS: u64 = 270 * SECOND;
const RETENTION_MS: u64 = 7 * DAY;
const DEAD_LETTER_RETENTION_MS: u64 = 30 * DAY;
const IDEMPOTENCY_MS: u64 = DAY;

#[derive(Default)]
pub struct Model {
    pub now: u64,
    pub agents: Vec<AgentModel>,
    /// Members of each room.
    pub rooms: Vec<Vec<usize>>,
    pub messages: Vec<MessageModel>,
    pub deliveries: Vec<DeliveryModel>,
    keys: BTreeMap<(usize, u8), KeyModel>,
    /// When each stored dead letter may be removed.
    dead_letters: Vec<u64>,
    leader_since: u64,
}

#[derive(Default)]
pub struct AgentModel {
    pub hold: Option<HoldModel>,
    pub auto_hold: Option<AutoHold>,
    pub degraded: bool,
    pub revoked: bool,
    /// Credentials with the end of their validity, newest last; the index is the number less one.
    pub credentials: Vec<Option<u64>>,
    last_seq: u64,
    window_start: u64,
    window_count: u64,
    violations: Vec<u64>,
    last_heard: Option<u64>,
    /// Silence before this is not held against it.
    watched_from: u64,
}

pub struct HoldModel {
    pub kind: HoldKind,
    pub until: Option<u64>,
    pub redirect: Option<usize>,
}

pub struct MessageModel {
    pub uuid: u128,
    pub sender: usize,
    pub approval: Approval,
    pub approval_uuid: u128,
    deliver_at: u64,
    /// When it may be removed, once all its deliveries have ended.
    pub remove_at: Option<u64>,
    pub cancelled: bool,
    pub removed: bool,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Approval {
    None,
    Pending,
    Closed,
}

#[derive(Clone)]
pub struct DeliveryModel {
    pub message: usize,
    pub agent: usize,
    pub seq: u64,
    pub place: Place,
    pub attempts: u32,
    pub retries: u32,
    pub deliver_at: u64,
    pub deadline: u64,
    pub message_type: &'static str,
    ended_at: Option<u64>,
}

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Place {
    Ready,
    /// Waits for an operator.
    Held,
    Waiting {
        until: u64,
    },
    Out {
        until: u64,
    },
    Ended(End),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End {
    Acked,
    Expired,
    DeadLettered,
    Cancelled,
}

struct KeyModel {
    other_request: bool,
    answer: Sent,
    forget_at: u64,
}

/// What a send asks for, with its names resolved.
pub struct Wanted {
    pub uuid: u128,
    pub approval_uuid: u128,
    /// None where the recipient does not exist for the sender.
    pub recipients: Option<Vec<usize>>,
    pub message_type: &'static str,
    pub ttl_ms: u64,
    pub delay_ms: Option<u64>,
    pub requires_approval: bool,
    pub key: Option<(u8, bool)>,
}
