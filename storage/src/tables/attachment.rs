//! Attachments: files beside messages. The rows say what there is and who has to do with it; the
//! bytes lie in files of the nodes, by their SHA-256, and are nothing to the state. Written from
//! feature level 4 on.
//!
//! Beside its row an attachment is counted under its content, so that the same bytes count once in
//! a fleet, and listed under each message that binds it.

use std::ops::RangeInclusive;

use bincode::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::counter::{self, Counter};
use super::{AgentNo, FleetNo, TimeMs, meta, record};
use crate::{Cf, Key, KeyReader, Read, StorageError, Txn, decode, prefix_end};

const ATTACHMENT: u8 = 30;
const CONTENT: u8 = 31;
const OF_MESSAGE: u8 = 32;
const MESSAGE: u8 = 33;

/// SHA-256 of a content.
pub type Hash = [u8; 32];

/// An attachment.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Attachment {
    /// The UUID behind `att_…`.
    pub uuid: u128,
    /// Its name, as given.
    pub filename: String,
    /// Its type, as given.
    pub mime: String,
    /// What its bytes were recognised as; empty for nothing.
    pub sniffed: String,
    /// Its length.
    pub size_bytes: u64,
    /// SHA-256 of its bytes, which names its file.
    pub sha256: Hash,
    /// Who uploaded it.
    pub by: Uploader,
    /// When.
    pub created_ms: TimeMs,
    /// The time of its one entry in the due index, when it goes; 0 while a message binds it.
    pub expires_ms: TimeMs,
    /// Messages that bind it.
    pub messages: u32,
}
record!(Attachment, "attachment");

/// Who uploaded an attachment.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Uploader {
    /// An agent, by number.
    Agent(AgentNo),
    /// An operator, by public id.
    Operator(String),
}

/// A content that a fleet has, whatever its attachments call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Content {
    /// Its length.
    pub size_bytes: u64,
    /// Attachments that have it.
    pub attachments: u64,
}
record!(Content, "attachment_content");

/// What a message binds, in the order in which it names them.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Bound {
    /// Attachments.
    pub attachments: Vec<u128>,
}
record!(Bound, "attachment_bound");

/// What decides about attachments, the same on all nodes.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
pub struct AttachmentSettings {
    /// Bytes of one attachment.
    pub attachment_max_bytes: u64,
    /// Bytes of the contents of a fleet.
    pub attachment_fleet_max_bytes: u64,
    /// How long an attachment is kept that no message binds.
    pub attachment_unbound_ms: u64,
    /// How long nodes keep a file that no attachment names yet. An upload has half of it to become
    /// one.
    pub attachment_hold_ms: u64,
}
record!(AttachmentSettings, "attachment_settings");

impl Default for AttachmentSettings {
    fn default() -> Self {
        AttachmentSettings {
            attachment_max_bytes: 25 << 20,
            attachment_fleet_max_bytes: 10 << 30,
            attachment_unbound_ms: 24 * 3600 * 1000,
            attachment_hold_ms: 3600 * 1000,
        }
    }
}

impl AttachmentSettings {
    /// Each with its name, value, least and most.
    pub fn ranges(&self) -> [(&'static str, u64, RangeInclusive<u64>); 4] {
        const YEAR_MS: u64 = 366 * 24 * 3600 * 1000;
        [
            (
                "attachment_max_bytes",
                self.attachment_max_bytes,
                1024..=1 << 30,
            ),
            (
                "attachment_fleet_max_bytes",
                self.attachment_fleet_max_bytes,
                0..=1 << 50,
            ),
            (
                "attachment_unbound_ms",
                self.attachment_unbound_ms,
                1000..=YEAR_MS,
            ),
            (
                "attachment_hold_ms",
                self.attachment_hold_ms,
                1000..=24 * 3600 * 1000,
            ),
        ]
    }

    /// Whether every value is within what the relay can work with; the field and the range
    /// otherwise.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        for (name, value, range) in self.ranges() {
            if !range.contains(&value) {
                return Err((name, format!("from {} to {}", range.start(), range.end())));
            }
        }
        Ok(())
    }

    /// How long after its bytes began to be stored an upload may become an attachment.
    pub fn upload_ms(&self) -> u64 {
        self.attachment_hold_ms / 2
    }
}

fn key(fleet: FleetNo, uuid: u128) -> Key {
    Key::table(ATTACHMENT).u32(fleet).u128(uuid)
}

fn content_key(fleet: FleetNo, sha256: &Hash) -> Key {
    Key::table(CONTENT).u32(fleet).raw(sha256)
}

fn of_message_key(fleet: FleetNo, message: u128) -> Key {
    Key::table(OF_MESSAGE).u32(fleet).u128(message)
}

fn message_key(fleet: FleetNo, uuid: u128, message: u128) -> Key {
    Key::table(MESSAGE).u32(fleet).u128(uuid).u128(message)
}

/// The settings; none before they were first written.
pub fn settings(read: &impl Read) -> Result<Option<AttachmentSettings>, StorageError> {
    read.record(Cf::Meta, Key::table(meta::ATTACHMENTS).bytes())
}

/// Writes the settings.
pub fn put_settings(txn: &mut Txn, settings: &AttachmentSettings) {
    txn.put_record(Cf::Meta, Key::table(meta::ATTACHMENTS), settings);
}

/// The attachment with this UUID.
pub fn get(
    read: &impl Read,
    fleet: FleetNo,
    uuid: u128,
) -> Result<Option<Attachment>, StorageError> {
    read.record(Cf::Index, key(fleet, uuid).bytes())
}

/// Writes an attachment that is there already.
pub fn put(txn: &mut Txn, fleet: FleetNo, attachment: &Attachment) {
    txn.put_record(Cf::Index, key(fleet, attachment.uuid), attachment);
}

/// The content of this hash, where the fleet has it.
pub fn content(
    read: &impl Read,
    fleet: FleetNo,
    sha256: &Hash,
) -> Result<Option<Content>, StorageError> {
    read.record(Cf::Index, content_key(fleet, sha256).bytes())
}

/// Adds an attachment and counts it.
pub fn add(txn: &mut Txn, fleet: FleetNo, attachment: &Attachment) -> Result<(), StorageError> {
    let (sha256, size_bytes) = (&attachment.sha256, attachment.size_bytes);
    let content = match content(txn, fleet, sha256)? {
        Some(content) => Content {
            attachments: content.attachments + 1,
            ..content
        },
        None => {
            counter::add(txn, fleet, Counter::AttachmentBytes, size_bytes as i64)?;
            Content {
                size_bytes,
                attachments: 1,
            }
        }
    };
    txn.put_record(Cf::Index, content_key(fleet, sha256), &content);
    counter::add(txn, fleet, Counter::Attachments, 1)?;
    put(txn, fleet, attachment);
    Ok(())
}

/// Removes an attachment; whether it was the last of the fleet with its content.
pub fn remove(
    txn: &mut Txn,
    fleet: FleetNo,
    attachment: &Attachment,
) -> Result<bool, StorageError> {
    txn.delete(Cf::Index, key(fleet, attachment.uuid));
    counter::add(txn, fleet, Counter::Attachments, -1)?;
    let at = content_key(fleet, &attachment.sha256);
    match content(txn, fleet, &attachment.sha256)? {
        Some(content) if content.attachments > 1 => {
            let left = Content {
                attachments: content.attachments - 1,
                ..content
            };
            txn.put_record(Cf::Index, at, &left);
            Ok(false)
        }
        found => {
            let size_bytes = found.map_or(0, |content| content.size_bytes as i64);
            counter::add(txn, fleet, Counter::AttachmentBytes, -size_bytes)?;
            txn.delete(Cf::Index, at);
            Ok(true)
        }
    }
}

/// Contents of a fleet with a hash above this one, in the order of their hashes, at most `limit`.
pub fn contents(
    read: &impl Read,
    fleet: FleetNo,
    after: Option<&Hash>,
    limit: usize,
) -> Result<Vec<(Hash, Content)>, StorageError> {
    let prefix = Key::table(CONTENT).u32(fleet);
    let end = prefix_end(prefix.bytes());
    let lower = match after {
        None => prefix,
        // The first key after it.
        Some(hash) => Key::table(CONTENT)
            .u32(fleet)
            .raw(&[hash.as_slice(), &[0]].concat()),
    };
    read.scan(Cf::Index, lower.bytes(), &end, limit)?
        .iter()
        .map(|(key, value)| {
            let mut reader = KeyReader::new("attachment_content", key);
            let (_, _) = (reader.u8()?, reader.u32()?);
            let hash = reader
                .rest()
                .try_into()
                .map_err(|_| StorageError::Corrupt {
                    table: "attachment_content",
                    detail: "a hash has another length than 32".into(),
                })?;
            Ok((hash, decode(value)?))
        })
        .collect()
}

/// What a message binds, in the order in which it names them.
pub fn of_message(
    read: &impl Read,
    fleet: FleetNo,
    message: u128,
) -> Result<Vec<u128>, StorageError> {
    // Which is cached, so that messages of fleets without attachments cost nothing.
    if counter::get(read, fleet, Counter::Attachments)? == 0 {
        return Ok(Vec::new());
    }
    let bound: Option<Bound> = read.record(Cf::Index, of_message_key(fleet, message).bytes())?;
    Ok(bound.map(|bound| bound.attachments).unwrap_or_default())
}

/// Notes what a message binds.
pub fn put_of_message(txn: &mut Txn, fleet: FleetNo, message: u128, attachments: Vec<u128>) {
    for uuid in &attachments {
        txn.put(Cf::Index, message_key(fleet, *uuid, message), Vec::new());
    }
    let bound = Bound { attachments };
    txn.put_record(Cf::Index, of_message_key(fleet, message), &bound);
}

/// Forgets what a message bound.
pub fn delete_of_message(txn: &mut Txn, fleet: FleetNo, message: u128, attachments: &[u128]) {
    for uuid in attachments {
        txn.delete(Cf::Index, message_key(fleet, *uuid, message));
    }
    txn.delete(Cf::Index, of_message_key(fleet, message));
}

/// Messages that bind an attachment, the newest first, at most `limit`.
pub fn messages(
    read: &impl Read,
    fleet: FleetNo,
    uuid: u128,
    limit: usize,
) -> Result<Vec<u128>, StorageError> {
    let prefix = Key::table(MESSAGE).u32(fleet).u128(uuid);
    let end = prefix_end(prefix.bytes());
    read.scan_rev(Cf::Index, prefix.bytes(), &end, limit)?
        .iter()
        .map(|(key, _)| {
            let mut reader = KeyReader::new("attachment", key);
            let (_, _, _) = (reader.u8()?, reader.u32()?, reader.u128()?);
            reader.u128()
        })
        .collect()
}

/// Attachments of a fleet, the newest first, older than this one; at most `limit`.
pub fn list_rev(
    read: &impl Read,
    fleet: FleetNo,
    before: Option<u128>,
    limit: usize,
) -> Result<Vec<Attachment>, StorageError> {
    let prefix = Key::table(ATTACHMENT).u32(fleet);
    let end = match before {
        None => prefix_end(prefix.bytes()),
        Some(uuid) => key(fleet, uuid).into_bytes(),
    };
    read.scan_rev(Cf::Index, prefix.bytes(), &end, limit)?
        .iter()
        .map(|(_, value)| decode(value))
        .collect()
}
