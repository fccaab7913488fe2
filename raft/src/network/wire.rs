//! What nodes say to each other, as bytes. Records as in [`crate::codec`]: a version, bincode, a
//! checksum. Our own shapes and not openraft's, so that two releases understand each other
//! whatever openraft each was built with.
//!
//! Entries follow the head of an append as they lie in the log, one after the other: a follower
//! keeps a slice of what it received.

use bincode::{BorrowDecode, Encode};
use bytes::{BufMut, Bytes, BytesMut};
use openraft::raft::{TransferLeaderError, VoteResponse};

use super::{Append, Appended, Ballot, HandedOver, Handover, Installed, LeaderVote, Voted};
use crate::codec::{self, CodecError, LogIdV1, VoteV1};
use crate::types::{LogId, Vote};

/// Length of the head, before it.
const LENGTH_BYTES: usize = 4;

#[derive(Encode, BorrowDecode)]
struct AppendV1 {
    vote: VoteV1,
    previous: Option<LogIdV1>,
    committed: Option<LogIdV1>,
    /// Bytes of each entry's record.
    entries: Vec<u32>,
}

#[derive(Encode, BorrowDecode)]
enum AppendedV1 {
    Success,
    Partial(Option<LogIdV1>),
    Conflict,
    HigherVote(VoteV1),
}

#[derive(Encode, BorrowDecode)]
struct BallotV1 {
    vote: VoteV1,
    last: Option<LogIdV1>,
    is_handover: bool,
}

#[derive(Encode, BorrowDecode)]
struct VotedV1 {
    vote: VoteV1,
    granted: bool,
    last: Option<LogIdV1>,
}

#[derive(Encode, BorrowDecode)]
struct HandoverV1 {
    from: VoteV1,
    to: u64,
    last: Option<LogIdV1>,
}

#[derive(Encode, BorrowDecode)]
enum HandedOverV1 {
    Accepted,
    VoteChanged {
        expected: VoteV1,
        actual: VoteV1,
    },
    NotFlushed {
        expected: Option<LogIdV1>,
        actual: Option<LogIdV1>,
    },
}

fn stored(log_id: &Option<LogId>) -> Option<LogIdV1> {
    log_id.as_ref().map(LogIdV1::from)
}

fn read(log_id: Option<LogIdV1>) -> Option<LogId> {
    log_id.map(LogId::from)
}

/// A message that can be sent.
pub(crate) trait Message: Sized {
    fn encode(&self) -> Result<Bytes, CodecError>;
    fn decode(bytes: &Bytes) -> Result<Self, CodecError>;
}

impl Message for Append {
    fn encode(&self) -> Result<Bytes, CodecError> {
        let mut records = Vec::new();
        let mut entries = Vec::with_capacity(self.entries.len());
        for entry in &self.entries {
            let before = records.len();
            codec::encode_entry(entry, &mut records)?;
            entries.push(length(records.len() - before)?);
        }
        let head = codec::sealed(&AppendV1 {
            vote: VoteV1::from(&self.vote),
            previous: stored(&self.prev_log_id),
            committed: stored(&self.leader_commit),
            entries,
        })?;
        let mut bytes = BytesMut::with_capacity(LENGTH_BYTES + head.len() + records.len());
        bytes.put_u32_le(length(head.len())?);
        bytes.put_slice(&head);
        bytes.put_slice(&records);
        Ok(bytes.freeze())
    }

    fn decode(bytes: &Bytes) -> Result<Self, CodecError> {
        let (head, mut rest) = split_head(bytes)?;
        let head: AppendV1 = codec::open(&head)?;
        let mut entries = Vec::with_capacity(head.entries.len().min(rest.len()));
        for size_bytes in head.entries {
            let size_bytes = size_bytes as usize;
            if size_bytes > rest.len() {
                return Err(CodecError::Short(bytes.len()));
            }
            entries.push(codec::decode_entry(&rest.split_to(size_bytes))?);
        }
        if !rest.is_empty() {
            let left = format!("{} bytes are left over", rest.len());
            return Err(CodecError::Malformed(left));
        }
        Ok(Append {
            vote: head.vote.into(),
            prev_log_id: read(head.previous),
            entries,
            leader_commit: read(head.committed),
        })
    }
}

impl Message for Appended {
    fn encode(&self) -> Result<Bytes, CodecError> {
        sealed(&match self {
            Appended::Success => AppendedV1::Success,
            Appended::PartialSuccess(upto) => AppendedV1::Partial(stored(upto)),
            Appended::Conflict => AppendedV1::Conflict,
            Appended::HigherVote(vote) => AppendedV1::HigherVote(vote.into()),
        })
    }

    fn decode(bytes: &Bytes) -> Result<Self, CodecError> {
        Ok(match codec::open(bytes)? {
            AppendedV1::Success => Appended::Success,
            AppendedV1::Partial(upto) => Appended::PartialSuccess(read(upto)),
            AppendedV1::Conflict => Appended::Conflict,
            AppendedV1::HigherVote(vote) => Appended::HigherVote(vote.into()),
        })
    }
}

impl Message for Ballot {
    fn encode(&self) -> Result<Bytes, CodecError> {
        sealed(&BallotV1 {
            vote: VoteV1::from(&self.vote),
            last: stored(&self.last_log_id),
            is_handover: self.leadership_transfer,
        })
    }

    fn decode(bytes: &Bytes) -> Result<Self, CodecError> {
        let ballot: BallotV1 = codec::open(bytes)?;
        let mut request = Ballot::new(ballot.vote.into(), read(ballot.last));
        request.leadership_transfer = ballot.is_handover;
        Ok(request)
    }
}

impl Message for Voted {
    fn encode(&self) -> Result<Bytes, CodecError> {
        sealed(&VotedV1 {
            vote: VoteV1::from(&self.vote),
            granted: self.vote_granted,
            last: stored(&self.last_log_id),
        })
    }

    fn decode(bytes: &Bytes) -> Result<Self, CodecError> {
        let voted: VotedV1 = codec::open(bytes)?;
        let vote = Vote::from(voted.vote);
        Ok(VoteResponse::new(vote, read(voted.last), voted.granted))
    }
}

impl Message for Handover {
    fn encode(&self) -> Result<Bytes, CodecError> {
        sealed(&HandoverV1 {
            from: VoteV1::from(self.from_leader()),
            to: *self.to_node_id(),
            last: self.last_log_id().map(LogIdV1::from),
        })
    }

    fn decode(bytes: &Bytes) -> Result<Self, CodecError> {
        let handover: HandoverV1 = codec::open(bytes)?;
        let from = Vote::from(handover.from);
        Ok(Handover::new(from, handover.to, read(handover.last)))
    }
}

impl Message for HandedOver {
    fn encode(&self) -> Result<Bytes, CodecError> {
        sealed(&match self {
            Ok(()) => HandedOverV1::Accepted,
            Err(TransferLeaderError::VoteChanged { expected, actual }) => {
                HandedOverV1::VoteChanged {
                    expected: expected.into(),
                    actual: actual.into(),
                }
            }
            Err(TransferLeaderError::LogNotFlushed { expected, actual }) => {
                HandedOverV1::NotFlushed {
                    expected: stored(expected),
                    actual: stored(actual),
                }
            }
        })
    }

    fn decode(bytes: &Bytes) -> Result<Self, CodecError> {
        Ok(match codec::open(bytes)? {
            HandedOverV1::Accepted => Ok(()),
            HandedOverV1::VoteChanged { expected, actual } => {
                Err(TransferLeaderError::VoteChanged {
                    expected: expected.into(),
                    actual: actual.into(),
                })
            }
            HandedOverV1::NotFlushed { expected, actual } => {
                Err(TransferLeaderError::LogNotFlushed {
                    expected: read(expected),
                    actual: read(actual),
                })
            }
        })
    }
}

impl Message for Installed {
    fn encode(&self) -> Result<Bytes, CodecError> {
        codec::encode_vote(&self.vote).map(Bytes::from)
    }

    fn decode(bytes: &Bytes) -> Result<Self, CodecError> {
        codec::decode_vote(bytes).map(Installed::new)
    }
}

impl Message for LeaderVote {
    fn encode(&self) -> Result<Bytes, CodecError> {
        codec::encode_vote(self).map(Bytes::from)
    }

    fn decode(bytes: &Bytes) -> Result<Self, CodecError> {
        codec::decode_vote(bytes)
    }
}

fn sealed<T: Encode>(value: &T) -> Result<Bytes, CodecError> {
    codec::sealed(value).map(Bytes::from)
}

fn length(size_bytes: usize) -> Result<u32, CodecError> {
    u32::try_from(size_bytes).map_err(|_| CodecError::Malformed(format!("{size_bytes} bytes")))
}

/// A length, as many bytes, and the rest.
pub(crate) fn split_head(bytes: &Bytes) -> Result<(Bytes, Bytes), CodecError> {
    let short = || CodecError::Short(bytes.len());
    let (length, _) = bytes
        .split_first_chunk::<LENGTH_BYTES>()
        .ok_or_else(short)?;
    let end = LENGTH_BYTES + u32::from_le_bytes(*length) as usize;
    if end > bytes.len() {
        return Err(short());
    }
    Ok((bytes.slice(LENGTH_BYTES..end), bytes.slice(end..)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use openraft::EntryPayload;

    use super::*;
    use crate::types::{CommandBatch, Entry, LeaderId, log_id};

    fn vote() -> Vote {
        Vote {
            leader_id: LeaderId {
                term: 7,
                node_id: 2,
            },
            committed: true,
        }
    }

    fn append() -> Append {
        let commands = vec![Bytes::from_static(b"one"), Bytes::from_static(b"two")];
        Append {
            vote: vote(),
            prev_log_id: Some(log_id(6, 1, 40)),
            entries: vec![
                Entry {
                    log_id: log_id(7, 2, 41),
                    payload: EntryPayload::Blank,
                },
                Entry {
                    log_id: log_id(7, 2, 42),
                    payload: EntryPayload::Normal(CommandBatch {
                        now_ms: 5,
                        commands: commands.into(),
                    }),
                },
            ],
            leader_commit: None,
        }
    }

    #[test]
    fn an_append_arrives_as_it_was_sent() {
        let sent = append();
        let received = Append::decode(&sent.encode().unwrap()).unwrap();
        assert_eq!(received.vote, sent.vote);
        assert_eq!(received.prev_log_id, sent.prev_log_id);
        assert_eq!(received.entries, sent.entries);
        assert_eq!(received.leader_commit, sent.leader_commit);
    }

    #[test]
    fn a_damaged_append_is_refused_wherever_a_bit_flips() {
        let sent = append().encode().unwrap();
        for place in 0..sent.len() {
            let mut damaged = sent.to_vec();
            damaged[place] ^= 1;
            let read = Append::decode(&Bytes::from(damaged));
            assert!(read.is_err(), "byte {place}");
        }
        for length in 0..sent.len() {
            assert!(Append::decode(&sent.slice(..length)).is_err(), "{length}");
        }
    }

    #[test]
    fn answers_arrive_as_they_were_sent() {
        let upto = Some(log_id(7, 2, 41));
        for answer in [
            Appended::Success,
            Appended::PartialSuccess(upto),
            Appended::Conflict,
            Appended::HigherVote(vote()),
        ] {
            let received = Appended::decode(&answer.encode().unwrap()).unwrap();
            assert_eq!(received, answer);
        }
        let mut ballot = Ballot::new(vote(), upto);
        ballot.leadership_transfer = true;
        assert_eq!(Ballot::decode(&ballot.encode().unwrap()).unwrap(), ballot);
        let voted: Voted = VoteResponse::new(vote(), upto, true);
        assert_eq!(Voted::decode(&voted.encode().unwrap()).unwrap(), voted);
        let handover = Handover::new(vote(), 3, upto);
        let received = Handover::decode(&handover.encode().unwrap()).unwrap();
        assert_eq!(received, handover);
        let refused: HandedOver = Err(TransferLeaderError::LogNotFlushed {
            expected: upto,
            actual: None,
        });
        let received = HandedOver::decode(&refused.encode().unwrap()).unwrap();
        assert_eq!(received, refused);
        let installed = Installed::new(vote());
        let received = Installed::decode(&installed.encode().unwrap()).unwrap();
        assert_eq!(received, installed);
    }
}
