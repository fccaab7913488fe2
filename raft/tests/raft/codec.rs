//! Records on disk: the bytes of version 1 are fixed, and no damaged record is read.
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use bytes::Bytes;
use ekho_raft::codec::{self, CodecError, Identity};
use ekho_raft::types::{CommandBatch, Peer, TypeConfig};
use openraft::alias::{EntryOf, LogIdOf, StoredMembershipOf, VoteOf};
use openraft::impls::leader_id_adv::LeaderId;
use openraft::{EntryPayload, Membership};

fn log_id(term: u64, node_id: u64, index: u64) -> LogIdOf<TypeConfig> {
    LogIdOf::<TypeConfig> {
        leader_id: LeaderId { term, node_id },
        index,
    }
}

fn membership() -> Membership<u64, Peer> {
    let peer = |address: &str| Peer {
        address: address.into(),
    };
    let nodes = BTreeMap::from([
        (1, peer("a:4001")),
        (2, peer("b:4001")),
        (300, peer("c:4001")),
    ]);
    Membership::new(vec![BTreeSet::from([1, 2]), BTreeSet::from([2])], nodes).unwrap()
}

fn entries() -> Vec<EntryOf<TypeConfig>> {
    let commands = [
        Bytes::from_static(b"first"),
        Bytes::new(),
        Bytes::from_static(&[0xff; 3]),
    ];
    let batch = CommandBatch {
        now_ms: 1_764_000_000_123,
        commands: commands.into(),
    };
    let entry = |index, payload| EntryOf::<TypeConfig> {
        log_id: log_id(7, 2, index),
        payload,
    };
    vec![
        entry(0, EntryPayload::Blank),
        entry(250, EntryPayload::Normal(batch)),
        entry(70_000, EntryPayload::Membership(membership())),
    ]
}

fn encode(entry: &EntryOf<TypeConfig>) -> Vec<u8> {
    let mut record = Vec::new();
    codec::encode_entry(entry, &mut record).unwrap();
    record
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// One line a record: its name and its bytes. A line here never changes; a new version adds
/// lines.
const GOLDEN: &str = include_str!("../golden/records-v1.txt");

#[test]
fn version_1_is_written_as_it_always_was() {
    let stored = StoredMembershipOf::<TypeConfig>::new(Some(log_id(7, 2, 9)), membership());
    let vote = VoteOf::<TypeConfig> {
        leader_id: LeaderId {
            term: 70_000,
            node_id: 3,
        },
        committed: true,
    };
    let identity = Identity {
        cluster_id: "cluster".into(),
        node_id: 300,
    };
    let mut records: Vec<(&str, Vec<u8>)> = ["blank", "commands", "membership"]
        .into_iter()
        .zip(entries().iter().map(encode))
        .collect();
    records.push((
        "log-id",
        codec::encode_log_id(&log_id(7, 2, u64::MAX)).unwrap(),
    ));
    records.push(("vote", codec::encode_vote(&vote).unwrap()));
    records.push((
        "stored-membership",
        codec::encode_membership(&stored).unwrap(),
    ));
    records.push(("identity", codec::encode_identity(&identity).unwrap()));
    let written: String = records
        .iter()
        .map(|(name, bytes)| format!("{name} {}\n", hex(bytes)))
        .collect();
    assert_eq!(written, GOLDEN);
}

#[test]
fn version_1_is_read() {
    let golden: BTreeMap<&str, Bytes> = GOLDEN
        .lines()
        .map(|line| {
            let (name, text) = line.split_once(' ').unwrap();
            let bytes = (0..text.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
                .collect::<Vec<_>>();
            (name, Bytes::from(bytes))
        })
        .collect();
    for (name, entry) in ["blank", "commands", "membership"]
        .into_iter()
        .zip(entries())
    {
        assert_eq!(codec::decode_entry(&golden[name]).unwrap(), entry);
        assert_eq!(codec::check_entry(&golden[name]).unwrap(), entry.log_id);
    }
    assert_eq!(
        codec::decode_log_id(&golden["log-id"]).unwrap(),
        log_id(7, 2, u64::MAX)
    );
    assert!(codec::decode_vote(&golden["vote"]).unwrap().committed);
    let stored = codec::decode_membership(&golden["stored-membership"]).unwrap();
    assert_eq!(stored.membership(), &membership());
    assert_eq!(
        codec::decode_identity(&golden["identity"]).unwrap().node_id,
        300
    );
}

#[test]
fn commands_share_the_memory_of_their_record() {
    let record = Bytes::from(encode(&entries()[1]));
    let EntryPayload::Normal(batch) = codec::decode_entry(&record).unwrap().payload else {
        panic!("not a batch");
    };
    let range = record.as_ptr_range();
    assert!(range.contains(&batch.commands[0].as_ptr()));
}

#[test]
fn no_single_flipped_bit_is_read() {
    for entry in entries() {
        let record = encode(&entry);
        for bit in 0..record.len() * 8 {
            let mut flipped = record.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(
                codec::decode_entry(&Bytes::from(flipped)).is_err(),
                "bit {bit}"
            );
        }
        for length in 0..record.len() {
            let cut = Bytes::copy_from_slice(&record[..length]);
            assert!(codec::decode_entry(&cut).is_err(), "cut at {length}");
        }
    }
}

#[test]
fn a_newer_version_is_named_as_such() {
    let mut record = encode(&entries()[0]);
    let length = record.len();
    record[0] = codec::VERSION + 1;
    let crc = crc32fast::hash(&record[..length - 4]);
    record[length - 4..].copy_from_slice(&crc.to_le_bytes());
    let error = codec::decode_entry(&Bytes::from(record)).unwrap_err();
    assert_eq!(error, CodecError::Newer(codec::VERSION + 1));
}
