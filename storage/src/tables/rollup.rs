//! How much happened when: counts by five minutes, hour and day, of a fleet, of each agent and of
//! each pair of agents that wrote to each other. Part of what is [`derived`](super::derived).
//!
//! Reading costs as many rows as there are spans, and agents or pairs active in them, however many
//! messages are behind the counts.

use bincode::{Decode, Encode};

use super::derived::table;
use super::{AgentNo, FleetNo, TimeMs, depth, record};
use crate::{Cf, Key, KeyReader, Read, Record, StorageError, Txn, decode};

const DAY_MS: u64 = 24 * 3_600_000;
/// Rows read at once.
const CHUNK: usize = 4096;

/// How long one row of counts is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Span {
    /// For the last two days.
    FiveMinutes = 1,
    /// For the last 400 days; of agents and pairs, for the last 32.
    Hour = 2,
    /// For the last 400 days; of agents and pairs only.
    Day = 3,
}

impl Span {
    /// Those in which a fleet is counted.
    pub const TOTALS: [Span; 2] = [Span::FiveMinutes, Span::Hour];
    /// Those in which pairs are counted.
    pub const PAIRS: [Span; 3] = [Span::FiveMinutes, Span::Hour, Span::Day];
    /// Those in which agents are counted.
    pub const AGENTS: [Span; 2] = [Span::Hour, Span::Day];

    /// Its length.
    pub fn ms(self) -> u64 {
        match self {
            Span::FiveMinutes => 300_000,
            Span::Hour => 3_600_000,
            Span::Day => DAY_MS,
        }
    }

    /// How long a fleet's counts are kept.
    pub fn totals_kept_ms(self) -> u64 {
        match self {
            Span::FiveMinutes => 2 * DAY_MS,
            Span::Hour | Span::Day => 400 * DAY_MS,
        }
    }

    /// How long counts of agents and pairs are kept.
    pub fn detail_kept_ms(self) -> u64 {
        match self {
            Span::FiveMinutes => 2 * DAY_MS,
            Span::Hour => 32 * DAY_MS,
            Span::Day => 400 * DAY_MS,
        }
    }

    /// The number of the span that a time falls into.
    pub fn of(self, at_ms: TimeMs) -> u32 {
        u32::try_from(at_ms / self.ms()).unwrap_or(u32::MAX)
    }
}

/// Upper bounds of the latency counts, the last of which has none.
pub const LATENCY_BOUNDS_MS: [u64; 17] = [
    5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 900_000,
    3_600_000, 21_600_000,
];

/// What happened in a fleet within a span.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Totals {
    /// Messages accepted.
    pub accepted: u64,
    /// Deliveries handed out.
    pub delivered: u64,
    /// Deliveries acked.
    pub acked: u64,
    /// Deliveries expired.
    pub expired: u64,
    /// Deliveries given up.
    pub dead_lettered: u64,
    /// Deliveries put back after a timeout or nack.
    pub retried: u64,
    /// Messages refused by policy.
    pub denied: u64,
    /// Messages refused for rate.
    pub rate_limited: u64,
    /// Acks by time since the message was accepted; see [`LATENCY_BOUNDS_MS`].
    pub latency: [u64; LATENCY_BOUNDS_MS.len() + 1],
    /// Bytes of the bodies of accepted messages.
    pub accepted_bytes: u64,
    /// Of the deliveries given up, those whose recipient had never acked in time.
    pub dead_lettered_timeout: u64,
    /// Of the deliveries put back, those whose recipient had not acked in time.
    pub retried_timeout: u64,
    /// Deliveries taken back by their sender or an operator.
    pub cancelled: u64,
}
record!(Totals, "totals");

impl Totals {
    /// Adds the counts of another span.
    pub fn add(&mut self, other: &Totals) {
        self.accepted += other.accepted;
        self.delivered += other.delivered;
        self.acked += other.acked;
        self.expired += other.expired;
        self.dead_lettered += other.dead_lettered;
        self.retried += other.retried;
        self.denied += other.denied;
        self.rate_limited += other.rate_limited;
        self.accepted_bytes += other.accepted_bytes;
        self.dead_lettered_timeout += other.dead_lettered_timeout;
        self.retried_timeout += other.retried_timeout;
        self.cancelled += other.cancelled;
        for (own, more) in self.latency.iter_mut().zip(other.latency) {
            *own += more;
        }
    }

    /// Notes how long after its acceptance a message was acked.
    pub fn acked_after(&mut self, ms: u64) {
        let place = LATENCY_BOUNDS_MS.partition_point(|bound| *bound < ms);
        self.latency[place] += 1;
    }

    /// The bound below which this share of the acks lies; none without acks, the last bound for
    /// what lies above all.
    pub fn latency_ms(&self, share: f64) -> Option<u64> {
        let all: u64 = self.latency.iter().sum();
        let wanted = (all as f64 * share).ceil() as u64;
        let mut seen = 0;
        let place = self.latency.iter().position(|count| {
            seen += count;
            *count > 0 && seen >= wanted
        })?;
        Some(LATENCY_BOUNDS_MS[place.min(LATENCY_BOUNDS_MS.len() - 1)])
    }
}

/// What one agent sent another within a span. An operator is agent 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Pair {
    /// Deliveries made.
    pub messages: u64,
    /// Deliveries that expired or were given up.
    pub failed: u64,
}
record!(Pair, "pair");

impl Pair {
    /// Adds the counts of another span.
    pub fn add(&mut self, other: Pair) {
        self.messages += other.messages;
        self.failed += other.failed;
    }
}

/// What one agent did within a span. An operator is agent 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct AgentTotals {
    /// Messages it sent that were accepted.
    pub sent: u64,
    /// Bytes of their bodies.
    pub sent_bytes: u64,
    /// Deliveries made to it.
    pub received: u64,
    /// Deliveries to it that expired or were given up.
    pub failed: u64,
    /// Messages of it that policies refused.
    pub denied: u64,
    /// Messages of it that were refused for rate.
    pub rate_limited: u64,
}
record!(AgentTotals, "agent_totals");

impl AgentTotals {
    /// Adds the counts of another span.
    pub fn add(&mut self, other: AgentTotals) {
        self.sent += other.sent;
        self.sent_bytes += other.sent_bytes;
        self.received += other.received;
        self.failed += other.failed;
        self.denied += other.denied;
        self.rate_limited += other.rate_limited;
    }
}

/// Sender and recipient.
pub type Between = (AgentNo, AgentNo);

pub(super) fn span_key(table: u8, fleet: FleetNo, span: Span, number: u32) -> Key {
    Key::table(table).u32(fleet).u8(span as u8).u32(number)
}

fn agent_key(fleet: FleetNo, span: Span, number: u32, agent: AgentNo) -> Key {
    span_key(table::AGENT, fleet, span, number).u32(agent)
}

fn pair_key(fleet: FleetNo, span: Span, number: u32, agents: Between) -> Key {
    span_key(table::PAIR, fleet, span, number)
        .u32(agents.0)
        .u32(agents.1)
}

/// What happened within a span.
pub fn totals(
    read: &impl Read,
    fleet: FleetNo,
    span: Span,
    number: u32,
) -> Result<Totals, StorageError> {
    let key = span_key(table::TOTALS, fleet, span, number);
    Ok(read.record(Cf::Derived, key.bytes())?.unwrap_or_default())
}

/// Writes what happened within a span.
pub fn put_totals(txn: &mut Txn, fleet: FleetNo, span: Span, number: u32, totals: &Totals) {
    let key = span_key(table::TOTALS, fleet, span, number);
    txn.put_record(Cf::Derived, key, totals);
}

/// What happened in each span from `from` to `to`, both included; quiet ones are left out.
pub fn totals_between(
    read: &impl Read,
    fleet: FleetNo,
    span: Span,
    from: u32,
    to: u32,
) -> Result<Vec<(u32, Totals)>, StorageError> {
    let mut found = Vec::new();
    let most = to.saturating_sub(from) as usize + 1;
    let place = (table::TOTALS, fleet, span);
    each(read, place, (from, to), most, |number, _, totals| {
        found.push((number, totals));
        Ok(())
    })?;
    Ok(found)
}

/// What one agent sent another within a span.
pub fn pair(
    read: &impl Read,
    fleet: FleetNo,
    span: Span,
    number: u32,
    agents: Between,
) -> Result<Pair, StorageError> {
    let key = pair_key(fleet, span, number, agents);
    Ok(read.record(Cf::Derived, key.bytes())?.unwrap_or_default())
}

/// Writes what one agent sent another within a span.
pub fn put_pair(
    txn: &mut Txn,
    fleet: FleetNo,
    span: Span,
    number: u32,
    agents: Between,
    pair: &Pair,
) {
    txn.put_record(Cf::Derived, pair_key(fleet, span, number, agents), pair);
}

/// What one agent did within a span.
pub fn agent(
    read: &impl Read,
    fleet: FleetNo,
    span: Span,
    number: u32,
    agent: AgentNo,
) -> Result<AgentTotals, StorageError> {
    let key = agent_key(fleet, span, number, agent);
    Ok(read.record(Cf::Derived, key.bytes())?.unwrap_or_default())
}

/// Writes what one agent did within a span.
pub fn put_agent(
    txn: &mut Txn,
    fleet: FleetNo,
    span: Span,
    number: u32,
    agent: AgentNo,
    totals: &AgentTotals,
) {
    txn.put_record(Cf::Derived, agent_key(fleet, span, number, agent), totals);
}

/// Passes on who sent to whom in spans from `from` to `to`, both included: span, pair, counts.
/// Whether those were all; after `limit` rows it stops.
pub fn each_pair(
    read: &impl Read,
    fleet: FleetNo,
    span: Span,
    spans: (u32, u32),
    limit: usize,
    mut take: impl FnMut(u32, Between, Pair),
) -> Result<bool, StorageError> {
    let place = (table::PAIR, fleet, span);
    each(read, place, spans, limit, |number, mut key, pair| {
        take(number, (key.u32()?, key.u32()?), pair);
        Ok(())
    })
}

/// Passes on what agents did in spans from `from` to `to`, both included. Whether those were all;
/// after `limit` rows it stops.
pub fn each_agent(
    read: &impl Read,
    fleet: FleetNo,
    span: Span,
    spans: (u32, u32),
    limit: usize,
    mut take: impl FnMut(AgentNo, AgentTotals),
) -> Result<bool, StorageError> {
    let place = (table::AGENT, fleet, span);
    each(read, place, spans, limit, |_, mut key, totals| {
        take(key.u32()?, totals);
        Ok(())
    })
}

/// Reads the rows of some spans in their order, chunk by chunk.
fn each<T: Record>(
    read: &impl Read,
    (table, fleet, span): (u8, FleetNo, Span),
    (from, to): (u32, u32),
    limit: usize,
    mut take: impl FnMut(u32, KeyReader<'_>, T) -> Result<(), StorageError>,
) -> Result<bool, StorageError> {
    let mut lower = span_key(table, fleet, span, from).into_bytes();
    let upper = span_key(table, fleet, span, to.saturating_add(1));
    let mut left = limit;
    loop {
        // One more than is taken says whether there are more.
        let wants = CHUNK.min(left.saturating_add(1));
        let rows = read.scan(Cf::Derived, &lower, upper.bytes(), wants)?;
        for (key, value) in &rows {
            if left == 0 {
                return Ok(false);
            }
            left -= 1;
            let mut reader = KeyReader::new("rollup", key);
            let (_, _, _) = (reader.u8()?, reader.u32()?, reader.u8()?);
            take(reader.u32()?, reader, decode(value)?)?;
        }
        match rows.last() {
            Some((key, _)) if rows.len() == wants => {
                lower.clone_from(key);
                lower.push(0);
            }
            _ => return Ok(true),
        }
    }
}

/// Removes the counts of spans that have been kept long enough.
pub fn forget_spans(txn: &mut Txn, fleet: FleetNo, now_ms: TimeMs) {
    let totals = Span::TOTALS.map(|span| (table::TOTALS, span, span.totals_kept_ms()));
    let pairs = Span::PAIRS.map(|span| (table::PAIR, span, span.detail_kept_ms()));
    let agents = Span::AGENTS.map(|span| (table::AGENT, span, span.detail_kept_ms()));
    let depth = [(table::DEPTH, depth::SPAN, depth::SPAN.totals_kept_ms())];
    let all = totals.into_iter().chain(pairs).chain(agents).chain(depth);
    for (table, span, kept_ms) in all {
        let first_kept = span.of(now_ms.saturating_sub(kept_ms));
        let lower = span_key(table, fleet, span, 0).into_bytes();
        let upper = span_key(table, fleet, span, first_kept).into_bytes();
        txn.delete_range(Cf::Derived, lower, upper);
    }
}
