//! How log records look on disk.
//!
//! Every record is `version (1 byte) | bincode 2, standard configuration | crc32 (4 bytes, little
//! endian) of all before it`. The checksum is ours and not only RocksDB's, so that a record stays
//! checkable wherever it is carried: log, state, snapshot manifest, wire. A changed record gets a
//! new version and keeps the reader of the old one; `tests/codec.rs` holds golden bytes.

use bincode::{BorrowDecode, Encode};
use bytes::Bytes;
use openraft::EntryPayload;
use thiserror::Error;

use crate::types::{CommandBatch, Entry, LeaderId, LogId, Membership, Payload, Peer};
use crate::types::{StoredMembership, Vote, log_id};

/// The version this release writes.
pub const VERSION: u8 = 1;

const CRC_BYTES: usize = 4;
const CONFIG: bincode::config::Configuration = bincode::config::standard();

/// Why a record could not be read.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum CodecError {
    /// Shorter than a record can be.
    #[error("the record has only {0} bytes")]
    Short(usize),
    /// The bytes are not the ones that were written.
    #[error("the checksum is {actual:08x}, but {stored:08x} was stored")]
    Checksum {
        /// What the bytes sum to.
        actual: u32,
        /// What the record says.
        stored: u32,
    },
    /// Written by a newer release.
    #[error("record version {0} is newer than this release reads ({VERSION})")]
    Newer(u8),
    /// The checksum is right, but the content is not a record of this kind.
    #[error("the record does not decode: {0}")]
    Malformed(String),
}

#[derive(Encode, BorrowDecode)]
pub(crate) struct LogIdV1 {
    term: u64,
    node_id: u64,
    index: u64,
}

#[derive(Encode, BorrowDecode)]
pub(crate) struct VoteV1 {
    term: u64,
    node_id: u64,
    committed: bool,
}

#[derive(Encode, BorrowDecode)]
struct MembershipV1 {
    /// One set of voters, or two while the membership changes.
    configs: Vec<Vec<u64>>,
    /// Voters and learners with their addresses.
    nodes: Vec<(u64, String)>,
}

#[derive(Encode, BorrowDecode)]
struct StoredMembershipV1 {
    log_id: Option<LogIdV1>,
    membership: MembershipV1,
}

#[derive(Encode, BorrowDecode)]
struct IdentityV1 {
    cluster_id: String,
    node_id: u64,
}

#[derive(Encode, BorrowDecode)]
enum PayloadV1<'a> {
    Blank,
    Commands {
        now_ms: u64,
        commands: Vec<&'a [u8]>,
    },
    Membership(MembershipV1),
}

#[derive(Encode, BorrowDecode)]
struct EntryV1<'a> {
    log_id: LogIdV1,
    payload: PayloadV1<'a>,
}

/// Whose log this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster the log belongs to.
    pub cluster_id: String,
    /// The node that wrote it.
    pub node_id: u64,
}

/// Appends the record of `entry` to `buffer`.
pub fn encode_entry(entry: &Entry, buffer: &mut Vec<u8>) -> Result<(), CodecError> {
    let payload = match &entry.payload {
        EntryPayload::Blank => PayloadV1::Blank,
        EntryPayload::Normal(batch) => PayloadV1::Commands {
            now_ms: batch.now_ms,
            commands: batch.commands.iter().map(Bytes::as_ref).collect(),
        },
        EntryPayload::Membership(membership) => PayloadV1::Membership(membership.into()),
    };
    seal(
        &EntryV1 {
            log_id: (&entry.log_id).into(),
            payload,
        },
        buffer,
    )
}

/// Reads an entry. Its commands share `record`'s memory.
pub fn decode_entry(record: &Bytes) -> Result<Entry, CodecError> {
    let entry: EntryV1<'_> = open(record)?;
    let payload: Payload = match entry.payload {
        PayloadV1::Blank => EntryPayload::Blank,
        PayloadV1::Commands { now_ms, commands } => EntryPayload::Normal(CommandBatch {
            now_ms,
            commands: commands
                .into_iter()
                .map(|command| record.slice_ref(command))
                .collect(),
        }),
        PayloadV1::Membership(membership) => EntryPayload::Membership(membership.try_into()?),
    };
    Ok(Entry {
        log_id: entry.log_id.into(),
        payload,
    })
}

/// Checks a record of an entry and reads only where it belongs, which is what a start needs to
/// know about every entry.
pub fn check_entry(record: &[u8]) -> Result<LogId, CodecError> {
    // The log id comes first and bincode does not need the rest to read it.
    let log_id: LogIdV1 = read(body(record)?)?;
    Ok(log_id.into())
}

/// Encodes a log id.
pub fn encode_log_id(log_id: &LogId) -> Result<Vec<u8>, CodecError> {
    sealed(&LogIdV1::from(log_id))
}

/// Reads a log id.
pub fn decode_log_id(record: &[u8]) -> Result<LogId, CodecError> {
    open::<LogIdV1>(record).map(LogId::from)
}

/// Encodes a vote.
pub fn encode_vote(vote: &Vote) -> Result<Vec<u8>, CodecError> {
    sealed(&VoteV1::from(vote))
}

/// Reads a vote.
pub fn decode_vote(record: &[u8]) -> Result<Vote, CodecError> {
    open::<VoteV1>(record).map(Vote::from)
}

/// Encodes a membership with the entry that set it.
pub fn encode_membership(stored: &StoredMembership) -> Result<Vec<u8>, CodecError> {
    sealed(&StoredMembershipV1 {
        log_id: stored.log_id().as_ref().map(LogIdV1::from),
        membership: stored.membership().into(),
    })
}

/// Reads a membership with the entry that set it.
pub fn decode_membership(record: &[u8]) -> Result<StoredMembership, CodecError> {
    let stored: StoredMembershipV1 = open(record)?;
    Ok(StoredMembership::new(
        stored.log_id.map(LogId::from),
        stored.membership.try_into()?,
    ))
}

/// Encodes an identity.
pub fn encode_identity(identity: &Identity) -> Result<Vec<u8>, CodecError> {
    sealed(&IdentityV1 {
        cluster_id: identity.cluster_id.clone(),
        node_id: identity.node_id,
    })
}

/// Reads an identity.
pub fn decode_identity(record: &[u8]) -> Result<Identity, CodecError> {
    let IdentityV1 {
        cluster_id,
        node_id,
    } = open(record)?;
    Ok(Identity {
        cluster_id,
        node_id,
    })
}

pub(crate) fn sealed<T: Encode>(value: &T) -> Result<Vec<u8>, CodecError> {
    let mut buffer = Vec::new();
    seal(value, &mut buffer)?;
    Ok(buffer)
}

pub(crate) fn seal<T: Encode>(value: &T, buffer: &mut Vec<u8>) -> Result<(), CodecError> {
    let start = buffer.len();
    buffer.push(VERSION);
    bincode::encode_into_std_write(value, buffer, CONFIG)
        .map_err(|error| CodecError::Malformed(error.to_string()))?;
    let crc = crc32fast::hash(&buffer[start..]);
    buffer.extend_from_slice(&crc.to_le_bytes());
    Ok(())
}

pub(crate) fn open<'a, T: BorrowDecode<'a, ()>>(record: &'a [u8]) -> Result<T, CodecError> {
    let body = body(record)?;
    let (value, used) = bincode::borrow_decode_from_slice(body, CONFIG)
        .map_err(|error| CodecError::Malformed(error.to_string()))?;
    if used != body.len() {
        return Err(CodecError::Malformed(format!(
            "{} bytes are left over",
            body.len() - used
        )));
    }
    Ok(value)
}

fn read<'a, T: BorrowDecode<'a, ()>>(body: &'a [u8]) -> Result<T, CodecError> {
    bincode::borrow_decode_from_slice(body, CONFIG)
        .map(|(value, _)| value)
        .map_err(|error| CodecError::Malformed(error.to_string()))
}

/// The content between version and checksum, once both are right.
fn body(record: &[u8]) -> Result<&[u8], CodecError> {
    let Some((covered, stored)) = record.split_last_chunk::<CRC_BYTES>() else {
        return Err(CodecError::Short(record.len()));
    };
    let stored = u32::from_le_bytes(*stored);
    let actual = crc32fast::hash(covered);
    if actual != stored {
        return Err(CodecError::Checksum { actual, stored });
    }
    match covered.split_first() {
        None => Err(CodecError::Short(record.len())),
        Some((&VERSION, body)) => Ok(body),
        Some((&version, _)) if version > VERSION => Err(CodecError::Newer(version)),
        Some((&version, _)) => Err(CodecError::Malformed(format!(
            "there is no version {version}"
        ))),
    }
}

impl From<&LogId> for LogIdV1 {
    fn from(log_id: &LogId) -> Self {
        let LeaderId { term, node_id } = log_id.leader_id;
        LogIdV1 {
            term,
            node_id,
            index: log_id.index,
        }
    }
}

impl From<LogIdV1> for LogId {
    fn from(stored: LogIdV1) -> Self {
        log_id(stored.term, stored.node_id, stored.index)
    }
}

impl From<&Vote> for VoteV1 {
    fn from(vote: &Vote) -> Self {
        let LeaderId { term, node_id } = vote.leader_id;
        VoteV1 {
            term,
            node_id,
            committed: vote.committed,
        }
    }
}

impl From<VoteV1> for Vote {
    fn from(stored: VoteV1) -> Self {
        let VoteV1 {
            term,
            node_id,
            committed,
        } = stored;
        Vote {
            leader_id: LeaderId { term, node_id },
            committed,
        }
    }
}

impl From<&Membership> for MembershipV1 {
    fn from(membership: &Membership) -> Self {
        MembershipV1 {
            configs: membership
                .get_joint_config()
                .iter()
                .map(|voters| voters.iter().copied().collect())
                .collect(),
            nodes: membership
                .nodes()
                .map(|(id, peer)| (*id, peer.address.clone()))
                .collect(),
        }
    }
}

impl TryFrom<MembershipV1> for Membership {
    type Error = CodecError;

    fn try_from(stored: MembershipV1) -> Result<Self, CodecError> {
        if stored.configs.is_empty() {
            // What a node holds before it belongs to a cluster.
            return Ok(Membership::default());
        }
        let configs = stored
            .configs
            .into_iter()
            .map(|voters| voters.into_iter().collect())
            .collect();
        let nodes: std::collections::BTreeMap<u64, Peer> = stored
            .nodes
            .into_iter()
            .map(|(id, address)| (id, Peer { address }))
            .collect();
        Membership::new(configs, nodes).map_err(|error| CodecError::Malformed(error.to_string()))
    }
}
