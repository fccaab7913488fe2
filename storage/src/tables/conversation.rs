//! Conversations: their messages in order, and who takes part.

use super::{AgentNo, FleetNo, registry};
use crate::{Cf, Key, KeyReader, Read, StorageError, Txn, prefix_end};

const MESSAGE: u8 = 1;

fn message_key(fleet: FleetNo, conversation: &str, seq: u64) -> Key {
    Key::table(MESSAGE).u32(fleet).text(conversation).u64(seq)
}

/// Adds a message, by its place in the fleet's accepted order.
pub fn put_message(txn: &mut Txn, fleet: FleetNo, conversation: &str, seq: u64, message: u128) {
    txn.put(
        Cf::Index,
        message_key(fleet, conversation, seq),
        message.to_be_bytes().to_vec(),
    );
}

/// Removes a message.
pub fn delete_message(txn: &mut Txn, fleet: FleetNo, conversation: &str, seq: u64) {
    txn.delete(Cf::Index, message_key(fleet, conversation, seq));
}

/// The newest messages with a place below `before`, newest first, at most `limit`.
pub fn messages_rev(
    read: &impl Read,
    fleet: FleetNo,
    conversation: &str,
    before: u64,
    limit: usize,
) -> Result<Vec<(u64, u128)>, StorageError> {
    let lower = message_key(fleet, conversation, 0);
    let upper = message_key(fleet, conversation, before);
    read.scan_rev(Cf::Index, lower.bytes(), upper.bytes(), limit)?
        .iter()
        .map(|(key, value)| {
            let mut reader = KeyReader::new("conversation", key);
            let (_, _, _) = (reader.u8()?, reader.u32()?, reader.text()?);
            Ok((reader.u64()?, KeyReader::new("conversation", value).u128()?))
        })
        .collect()
}

fn participant_key(fleet: FleetNo, conversation: &str, agent: AgentNo) -> Key {
    Key::table(registry::PARTICIPANT)
        .u32(fleet)
        .text(conversation)
        .u32(agent)
}

/// Notes that an agent sent or was sent something in a conversation.
pub fn put_participant(
    txn: &mut Txn,
    fleet: FleetNo,
    conversation: &str,
    agent: AgentNo,
) -> Result<(), StorageError> {
    let key = participant_key(fleet, conversation, agent);
    // Nearly always there already; looking is cheaper than writing it again.
    if !txn.exists(Cf::Registry, key.bytes())? {
        txn.put(Cf::Registry, key, Vec::new());
    }
    Ok(())
}

/// Whether an agent takes part in a conversation.
pub fn is_participant(
    read: &impl Read,
    fleet: FleetNo,
    conversation: &str,
    agent: AgentNo,
) -> Result<bool, StorageError> {
    read.exists(
        Cf::Registry,
        participant_key(fleet, conversation, agent).bytes(),
    )
}

/// Forgets who takes part, at most `limit` of them; says how many those were.
pub fn delete_participants(
    txn: &mut Txn,
    fleet: FleetNo,
    conversation: &str,
    limit: usize,
) -> Result<usize, StorageError> {
    let prefix = Key::table(registry::PARTICIPANT)
        .u32(fleet)
        .text(conversation);
    let end = prefix_end(prefix.bytes());
    let rows = txn.scan(Cf::Registry, prefix.bytes(), &end, limit)?;
    let removed = rows.len();
    for (key, _) in rows {
        txn.delete(Cf::Registry, key);
    }
    Ok(removed)
}
