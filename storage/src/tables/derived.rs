//! What is worked out from the audit log on every node: which events and messages belong to a tag,
//! which conversations had something said in them last, and how much happened when.
//!
//! Nothing here decides anything. It lies beside the state so that both are flushed, copied and
//! replaced together, and it can be worked out again from the events that are kept.

use std::collections::HashMap;

use bincode::{Decode, Encode};
use parking_lot::RwLock;

use super::{AgentNo, FleetNo, TimeMs, record};
use crate::{Cf, Key, KeyReader, Read, StorageError, Txn, decode, prefix_end};

/// Counts up when what is derived changes; what an older release worked out is thrown away.
const FORMAT: u8 = 1;

mod table {
    pub const FORMAT: u8 = 1;
    pub const POSITION: u8 = 2;
    pub const TAG: u8 = 3;
    pub const CONVERSATION: u8 = 4;
    pub const ACTIVITY: u8 = 5;
    pub const TOTALS: u8 = 6;
    pub const PAIR: u8 = 7;
}

/// The last event of each fleet that was removed.
#[derive(Debug, Default)]
pub struct Floors(RwLock<HashMap<FleetNo, u64>>);

impl Floors {
    /// Nothing about events up to this one is needed any more.
    pub fn raise(&self, fleet: FleetNo, seq: u64) {
        self.0.write().insert(fleet, seq);
    }
}

/// Whether a row is about events that were removed.
pub(crate) fn is_over(key: &[u8], value: &[u8], floors: &Floors) -> bool {
    let number = |bytes: Option<&[u8]>| {
        let bytes: Option<[u8; 8]> = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes.map(u64::from_be_bytes)
    };
    let fleet = key.get(1..5).and_then(|bytes| bytes.try_into().ok());
    let seq = match key.first() {
        Some(&(table::TAG | table::ACTIVITY)) => {
            number(key.len().checked_sub(8).map(|at| &key[at..]))
        }
        Some(&table::CONVERSATION) => number(value.get(..8)),
        _ => None,
    };
    match (fleet.map(FleetNo::from_be_bytes), seq) {
        (Some(fleet), Some(seq)) => floors
            .0
            .read()
            .get(&fleet)
            .is_some_and(|floor| seq <= *floor),
        _ => false,
    }
}

/// Throws everything away that an older release worked out; whether there was anything to do.
pub fn prepare(txn: &mut Txn) -> Result<bool, StorageError> {
    let key = Key::table(table::FORMAT);
    let stale = txn.get(Cf::Derived, key.bytes())? != Some(vec![FORMAT]);
    if stale {
        txn.delete_range(Cf::Derived, vec![0], vec![u8::MAX]);
        txn.put(Cf::Derived, key, vec![FORMAT]);
    }
    Ok(stale)
}

/// Number of the last event of a fleet that was looked at.
pub fn position(read: &impl Read, fleet: FleetNo) -> Result<u64, StorageError> {
    let key = Key::table(table::POSITION).u32(fleet);
    match read.get(Cf::Derived, key.bytes())? {
        Some(bytes) => KeyReader::new("position", &bytes).u64(),
        None => Ok(0),
    }
}

/// Notes how far a fleet's events were looked at.
pub fn put_position(txn: &mut Txn, fleet: FleetNo, seq: u64) {
    let key = Key::table(table::POSITION).u32(fleet);
    txn.put(Cf::Derived, key, seq.to_be_bytes().to_vec());
}

/// Something by which events are found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tag {
    /// The type of an event, or its part before the dot.
    Kind(String),
    /// An agent that did something or that it is about.
    Agent(AgentNo),
    /// An operator who did something.
    Operator(String),
    /// A conversation.
    Conversation(String),
    /// Something else that it is about, by public id.
    Thing(String),
    /// A word of an accepted message.
    Word(String),
}

impl Tag {
    fn key(&self, fleet: FleetNo) -> Key {
        let key = Key::table(table::TAG).u32(fleet);
        match self {
            Tag::Kind(name) => key.u8(1).text(name),
            Tag::Agent(no) => key.u8(2).u32(*no),
            Tag::Operator(id) => key.u8(3).text(id),
            Tag::Conversation(id) => key.u8(4).text(id),
            Tag::Thing(id) => key.u8(5).text(id),
            Tag::Word(word) => key.u8(6).text(word),
        }
    }
}

/// Tags an event.
pub fn put_tag(txn: &mut Txn, fleet: FleetNo, tag: &Tag, seq: u64) {
    txn.put(Cf::Derived, tag.key(fleet).u64(seq), Vec::new());
}

/// Whether an event has a tag.
pub fn has_tag(
    read: &impl Read,
    fleet: FleetNo,
    tag: &Tag,
    seq: u64,
) -> Result<bool, StorageError> {
    read.exists(Cf::Derived, tag.key(fleet).u64(seq).bytes())
}

/// Numbers of events with a tag below `before`, newest first, at most `limit`.
pub fn tagged_rev(
    read: &impl Read,
    fleet: FleetNo,
    tag: &Tag,
    before: u64,
    limit: usize,
) -> Result<Vec<u64>, StorageError> {
    let prefix = tag.key(fleet);
    let upper = prefix.clone().u64(before);
    numbers(read.scan_rev(Cf::Derived, prefix.bytes(), upper.bytes(), limit)?)
}

/// Numbers of events with a tag from `from` on, oldest first, at most `limit`.
pub fn tagged(
    read: &impl Read,
    fleet: FleetNo,
    tag: &Tag,
    from: u64,
    limit: usize,
) -> Result<Vec<u64>, StorageError> {
    let prefix = tag.key(fleet);
    let (lower, upper) = (prefix.clone().u64(from), prefix_end(prefix.bytes()));
    numbers(read.scan(Cf::Derived, lower.bytes(), &upper, limit)?)
}

fn numbers(rows: Vec<crate::Row>) -> Result<Vec<u64>, StorageError> {
    rows.iter()
        .map(|(key, _)| KeyReader::new("tag", &key[key.len().saturating_sub(8)..]).u64())
        .collect()
}

/// A conversation as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conversation {
    /// The event of its newest message.
    pub last_seq: u64,
    /// Messages accepted in it.
    pub messages: u64,
    /// When the first one was, as far as is known.
    pub first_ms: TimeMs,
    /// When the newest one was.
    pub last_ms: TimeMs,
}

fn conversation_key(fleet: FleetNo, id: &str) -> Key {
    Key::table(table::CONVERSATION).u32(fleet).text(id)
}

/// The conversation with this id.
pub fn conversation(
    read: &impl Read,
    fleet: FleetNo,
    id: &str,
) -> Result<Option<Conversation>, StorageError> {
    if id.len() > 255 {
        return Ok(None);
    }
    let found = read.get(Cf::Derived, conversation_key(fleet, id).bytes())?;
    let Some(bytes) = found else { return Ok(None) };
    let mut reader = KeyReader::new("derived conversation", &bytes);
    Ok(Some(Conversation {
        last_seq: reader.u64()?,
        messages: reader.u64()?,
        first_ms: reader.u64()?,
        last_ms: reader.u64()?,
    }))
}

/// Writes a conversation, in place of what it was before.
pub fn put_conversation(
    txn: &mut Txn,
    fleet: FleetNo,
    id: &str,
    before: Option<&Conversation>,
    after: &Conversation,
) {
    let activity = |seq| Key::table(table::ACTIVITY).u32(fleet).u64(seq);
    if let Some(before) = before {
        txn.delete(Cf::Derived, activity(before.last_seq));
    }
    txn.put(
        Cf::Derived,
        activity(after.last_seq),
        id.as_bytes().to_vec(),
    );
    let value = Key::new()
        .u64(after.last_seq)
        .u64(after.messages)
        .u64(after.first_ms)
        .u64(after.last_ms);
    txn.put(Cf::Derived, conversation_key(fleet, id), value.into_bytes());
}

/// Conversations whose newest message was accepted with an event below `before`, newest first.
pub fn conversations_rev(
    read: &impl Read,
    fleet: FleetNo,
    before: u64,
    limit: usize,
) -> Result<Vec<String>, StorageError> {
    let lower = Key::table(table::ACTIVITY).u32(fleet);
    let upper = lower.clone().u64(before);
    let rows = read.scan_rev(Cf::Derived, lower.bytes(), upper.bytes(), limit)?;
    let text = |(_, value): crate::Row| String::from_utf8_lossy(&value).into_owned();
    Ok(rows.into_iter().map(text).collect())
}

/// How long one row of counts is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Span {
    /// Kept for two days.
    FiveMinutes = 1,
    /// Kept for 400 days.
    Hour = 2,
}

impl Span {
    /// Both.
    pub const ALL: [Span; 2] = [Span::FiveMinutes, Span::Hour];

    /// Its length.
    pub fn ms(self) -> u64 {
        match self {
            Span::FiveMinutes => 300_000,
            Span::Hour => 3_600_000,
        }
    }

    /// How long its counts are kept.
    pub fn kept_ms(self) -> u64 {
        const DAY_MS: u64 = 24 * 3_600_000;
        match self {
            Span::FiveMinutes => 2 * DAY_MS,
            Span::Hour => 400 * DAY_MS,
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

fn span_key(table: u8, fleet: FleetNo, span: Span, number: u32) -> Key {
    Key::table(table).u32(fleet).u8(span as u8).u32(number)
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
    txn.put_record(
        Cf::Derived,
        span_key(table::TOTALS, fleet, span, number),
        totals,
    );
}

/// What happened in each span from `from` to `to`, both included; quiet ones are left out.
pub fn totals_between(
    read: &impl Read,
    fleet: FleetNo,
    span: Span,
    from: u32,
    to: u32,
) -> Result<Vec<(u32, Totals)>, StorageError> {
    let lower = span_key(table::TOTALS, fleet, span, from);
    let upper = span_key(table::TOTALS, fleet, span, to.saturating_add(1));
    let most = to.saturating_sub(from) as usize + 1;
    read.scan(Cf::Derived, lower.bytes(), upper.bytes(), most)?
        .iter()
        .map(|(key, value)| {
            let mut reader = KeyReader::new("totals", key);
            let (_, _, _) = (reader.u8()?, reader.u32()?, reader.u8()?);
            Ok((reader.u32()?, decode(value)?))
        })
        .collect()
}

/// What one agent sent another within a span.
pub fn pair(
    read: &impl Read,
    fleet: FleetNo,
    span: Span,
    number: u32,
    agents: Between,
) -> Result<Pair, StorageError> {
    let key = span_key(table::PAIR, fleet, span, number)
        .u32(agents.0)
        .u32(agents.1);
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
    let key = span_key(table::PAIR, fleet, span, number)
        .u32(agents.0)
        .u32(agents.1);
    txn.put_record(Cf::Derived, key, pair);
}

/// Sender and recipient.
pub type Between = (AgentNo, AgentNo);

/// Who sent to whom in spans from `from` to `to`, both included, at most `limit` rows.
pub fn pairs_between(
    read: &impl Read,
    fleet: FleetNo,
    span: Span,
    (from, to): (u32, u32),
    limit: usize,
) -> Result<Vec<(Between, Pair)>, StorageError> {
    let lower = span_key(table::PAIR, fleet, span, from);
    let upper = span_key(table::PAIR, fleet, span, to.saturating_add(1));
    read.scan(Cf::Derived, lower.bytes(), upper.bytes(), limit)?
        .iter()
        .map(|(key, value)| {
            let mut reader = KeyReader::new("pair", key);
            let (_, _, _, _) = (reader.u8()?, reader.u32()?, reader.u8()?, reader.u32()?);
            Ok(((reader.u32()?, reader.u32()?), decode(value)?))
        })
        .collect()
}

/// Removes the counts of spans that have been kept long enough.
pub fn forget_spans(txn: &mut Txn, fleet: FleetNo, now_ms: TimeMs) {
    for span in Span::ALL {
        let first_kept = span.of(now_ms.saturating_sub(span.kept_ms()));
        for table in [table::TOTALS, table::PAIR] {
            let lower = span_key(table, fleet, span, 0).into_bytes();
            let upper = span_key(table, fleet, span, first_kept).into_bytes();
            txn.delete_range(Cf::Derived, lower, upper);
        }
    }
}
