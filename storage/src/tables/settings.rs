//! Replicated settings: every limit that decides an outcome, the same on all nodes.
//!
//! Environment variables only seed them at setup.

use std::collections::BTreeSet;

use bincode::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::approval::Risk;
use super::{meta, record};
use crate::{Cf, Key, Read, StorageError, Txn};

/// Limits and schedules of the relay. Durations carry their unit in the name.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct Settings {
    /// How far a request's timestamp may be from the leader's clock.
    pub timestamp_skew_ms: u64,
    /// A handed-out message not acked within this time is handed out again.
    pub delivery_timeout_ms: u64,
    /// Delay before redelivery 1, 2, …; after the last one the message is dead-lettered.
    pub retry_backoff_ms: Vec<u64>,
    /// Length of a rate window.
    pub rate_window_ms: u64,
    /// Messages one agent may send in a window.
    pub rate_max_messages: u64,
    /// Refusals within the violation window that quarantine an agent.
    pub violation_threshold: u64,
    /// Length of the violation window.
    pub violation_window_ms: u64,
    /// Expected longest time between two heartbeats.
    pub heartbeat_timeout_ms: u64,
    /// Silent timeouts after which an agent that reported before is quarantined.
    pub heartbeat_threshold: u64,
    /// How often agents are told to send heartbeats.
    pub heartbeat_interval_ms: u64,
    /// How often agents are told to poll.
    pub poll_interval_ms: u64,
    /// How long acked, expired and cancelled messages are kept.
    pub message_retention_ms: u64,
    /// How long dead letters are kept.
    pub dead_letter_retention_ms: u64,
    /// How long events of the audit log are kept.
    pub event_retention_ms: u64,
    /// How long an idempotency key is remembered.
    pub idempotency_ms: u64,
    /// How long an enrolment token can be used.
    pub enrollment_token_ms: u64,
    /// How long an operator's session lasts.
    pub session_ms: u64,
    /// Failed sign-ins to one account in a row after which nobody gets in for a while.
    pub login_failures_per_account: u64,
    /// The same from one address.
    pub login_failures_per_address: u64,
    /// How long that while is, and how long a failure counts.
    pub login_lockout_ms: u64,
    /// Risks of proposed actions that wait for an operator; the others are allowed at once.
    pub approval_risks: Vec<Risk>,
    /// Risks for which two operators must say yes.
    pub approval_two_person_risks: Vec<Risk>,
    /// How long a proposed action waits.
    pub approval_ttl_ms: u64,
    /// Most recipients one message may reach.
    pub max_fan_out: u64,
    /// Most agents a fleet may hold.
    pub max_agents: u64,
}
record!(Settings, "settings");

impl Default for Settings {
    fn default() -> Self {
        const HOUR: u64 = 3600 * SECOND;
        const DAY: u64 = 24 * HOUR;
        Settings {
            timestamp_skew_ms: 300 * SECOND,
            delivery_timeout_ms: 120 * SECOND,
            retry_backoff_ms: [60, 300, 900, 3600, 7200].map(|s| s * SECOND).to_vec(),
            rate_window_ms: 60 * SECOND,
            rate_max_messages: 30,
            violation_threshold: 5,
            violation_window_ms: 3600 * SECOND,
            heartbeat_timeout_ms: 90 * SECOND,
            heartbeat_threshold: 3,
            heartbeat_interval_ms: 30 * SECOND,
            poll_interval_ms: 5 * SECOND,
            message_retention_ms: 7 * DAY,
            dead_letter_retention_ms: 30 * DAY,
            event_retention_ms: 90 * DAY,
            idempotency_ms: DAY,
            enrollment_token_ms: HOUR,
            session_ms: 12 * HOUR,
            login_failures_per_account: 10,
            login_failures_per_address: 100,
            login_lockout_ms: 900 * SECOND,
            approval_risks: vec![Risk::High, Risk::Critical],
            approval_two_person_risks: Vec::new(),
            approval_ttl_ms: DAY,
            max_fan_out: 10_000,
            max_agents: 100_000,
        }
    }
}

const SECOND: u64 = 1000;
const YEAR: u64 = 366 * 24 * 3600 * SECOND;

impl Settings {
    /// Settings that are one number: name, value, least and most.
    pub fn ranges(&self) -> impl Iterator<Item = (&'static str, u64, u64, u64)> {
        let ranges = [
            (
                "timestamp_skew_ms",
                self.timestamp_skew_ms,
                SECOND,
                24 * 3600 * SECOND,
            ),
            (
                "delivery_timeout_ms",
                self.delivery_timeout_ms,
                SECOND,
                YEAR,
            ),
            ("rate_window_ms", self.rate_window_ms, SECOND, YEAR),
            (
                "rate_max_messages",
                self.rate_max_messages,
                1,
                u64::from(u32::MAX),
            ),
            (
                "violation_threshold",
                self.violation_threshold,
                1,
                1_000_000,
            ),
            (
                "violation_window_ms",
                self.violation_window_ms,
                SECOND,
                YEAR,
            ),
            (
                "heartbeat_timeout_ms",
                self.heartbeat_timeout_ms,
                SECOND,
                YEAR,
            ),
            ("heartbeat_threshold", self.heartbeat_threshold, 1, 10_000),
            (
                "heartbeat_interval_ms",
                self.heartbeat_interval_ms,
                SECOND,
                YEAR,
            ),
            ("poll_interval_ms", self.poll_interval_ms, SECOND, YEAR),
            (
                "message_retention_ms",
                self.message_retention_ms,
                SECOND,
                100 * YEAR,
            ),
            (
                "dead_letter_retention_ms",
                self.dead_letter_retention_ms,
                SECOND,
                100 * YEAR,
            ),
            (
                "event_retention_ms",
                self.event_retention_ms,
                SECOND,
                100 * YEAR,
            ),
            ("idempotency_ms", self.idempotency_ms, SECOND, YEAR),
            (
                "enrollment_token_ms",
                self.enrollment_token_ms,
                SECOND,
                YEAR,
            ),
            ("session_ms", self.session_ms, SECOND, YEAR),
            (
                "login_failures_per_account",
                self.login_failures_per_account,
                1,
                1_000_000,
            ),
            (
                "login_failures_per_address",
                self.login_failures_per_address,
                1,
                1_000_000,
            ),
            ("login_lockout_ms", self.login_lockout_ms, SECOND, YEAR),
            ("approval_ttl_ms", self.approval_ttl_ms, SECOND, YEAR),
            ("max_fan_out", self.max_fan_out, 1, 1_000_000),
            ("max_agents", self.max_agents, 1, 10_000_000),
        ];
        ranges.into_iter()
    }

    /// Whether every value is within what the relay can work with; the field and the range
    /// otherwise.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        for (name, value, low, high) in self.ranges() {
            if !(low..=high).contains(&value) {
                return Err((name, format!("from {low} to {high}")));
            }
        }
        if self.retry_backoff_ms.len() > 100 || self.retry_backoff_ms.iter().any(|ms| *ms > YEAR) {
            return Err((
                "retry_backoff_ms",
                format!("at most 100 delays of at most {YEAR}"),
            ));
        }
        for (name, risks) in [
            ("approval_risks", &self.approval_risks),
            ("approval_two_person_risks", &self.approval_two_person_risks),
        ] {
            if risks.iter().collect::<BTreeSet<_>>().len() != risks.len() {
                return Err((name, "each risk once".into()));
            }
        }
        Ok(())
    }
}

/// Reads the settings; before setup they are the defaults.
pub fn get(read: &impl Read) -> Result<Settings, StorageError> {
    Ok(read
        .record(Cf::Meta, Key::table(meta::SETTINGS).bytes())?
        .unwrap_or_default())
}

/// Writes the settings.
pub fn put(txn: &mut Txn, settings: &Settings) {
    txn.put_record(Cf::Meta, Key::table(meta::SETTINGS), settings);
}
