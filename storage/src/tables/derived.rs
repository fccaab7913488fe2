//! What is worked out from the audit log on every node: which events and messages belong to a tag,
//! which conversations had something said in them last, and (in `rollup`) how much happened when.
//!
//! Nothing here decides anything. It lies beside the state so that both are flushed, copied and
//! replaced together, and it can be worked out again from the events that are kept.

use std::collections::HashMap;

use bincode::{Decode, Encode};
use parking_lot::RwLock;

use super::{AgentNo, FleetNo, TimeMs, record};
use crate::{Cf, Key, KeyReader, Read, StorageError, Txn, decode, prefix_end};

/// Counts up when what is derived changes; what an older release worked out is thrown away.
const FORMAT: u8 = 4;

pub(super) mod table {
    pub const FORMAT: u8 = 2;
    pub const POSITION: u8 = 2;
    pub const TAG: u8 = 3;
    pub const CONVERSATION: u8 = 4;
    pub const ACTIVITY: u8 = 5;
    pub const TOTALS: u8 = 6;
    pub const PAIR: u8 = 7;
    pub const AGENT: u8 = 8;
    pub const DEPTH: u8 = 9;
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
    /// The agent that sent the message that was accepted.
    Sender(AgentNo),
    /// An agent that the message was accepted for, or sent on to.
    Recipient(AgentNo),
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
            Tag::Sender(no) => key.u8(7).u32(*no),
            Tag::Recipient(no) => key.u8(8).u32(*no),
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

/// Participants of a conversation that are kept.
const PARTICIPANTS_MAX: usize = 50;

/// A conversation as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Conversation {
    /// Its public id.
    pub id: String,
    /// The event of its newest message.
    pub last_seq: u64,
    /// Messages accepted in it.
    pub messages: u64,
    /// When the first one was, as far as is known.
    pub first_ms: TimeMs,
    /// When the newest one was.
    pub last_ms: TimeMs,
    /// Agents that sent or were sent something in it, the first 50. Operators are none.
    pub participants: Vec<AgentNo>,
}
record!(Conversation, "conversation");

impl Conversation {
    /// Notes that an agent takes part.
    pub fn joined(&mut self, no: AgentNo) {
        let is_full = self.participants.len() == PARTICIPANTS_MAX;
        if no != 0 && !is_full && !self.participants.contains(&no) {
            self.participants.push(no);
        }
    }
}

fn conversation_key(fleet: FleetNo, id: &str) -> Key {
    Key::table(table::CONVERSATION).u32(fleet).text(id)
}

fn activity_key(fleet: FleetNo, last_seq: u64) -> Key {
    Key::table(table::ACTIVITY).u32(fleet).u64(last_seq)
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
    let Some(last_seq) = read.get(Cf::Derived, conversation_key(fleet, id).bytes())? else {
        return Ok(None);
    };
    let last_seq = KeyReader::new("derived conversation", &last_seq).u64()?;
    read.record(Cf::Derived, activity_key(fleet, last_seq).bytes())
}

/// Writes a conversation, in place of what it was when its newest message was the event `before`.
pub fn put_conversation(
    txn: &mut Txn,
    fleet: FleetNo,
    before: Option<u64>,
    conversation: &Conversation,
) {
    if let Some(before) = before {
        txn.delete(Cf::Derived, activity_key(fleet, before));
    }
    // The whole of it stands where it is listed, so that a page is one scan.
    let last_seq = conversation.last_seq;
    txn.put_record(Cf::Derived, activity_key(fleet, last_seq), conversation);
    let key = conversation_key(fleet, &conversation.id);
    txn.put(Cf::Derived, key, last_seq.to_be_bytes().to_vec());
}

/// Conversations whose newest message was accepted with an event below `before`, newest first.
pub fn conversations_rev(
    read: &impl Read,
    fleet: FleetNo,
    before: u64,
    limit: usize,
) -> Result<Vec<Conversation>, StorageError> {
    let (lower, upper) = (activity_key(fleet, 0), activity_key(fleet, before));
    let rows = read.scan_rev(Cf::Derived, lower.bytes(), upper.bytes(), limit)?;
    rows.iter().map(|(_, value)| decode(value)).collect()
}
