//! What a start checks before it believes a log: files, identity, and every entry retained.

use std::fs;
use std::path::Path;

use rocksdb::{DB, WriteOptions};

use super::db::{self, damaged_entry, database_error, family, index_of, key, read_options};
use super::tail::Sizes;
use super::wal;
use crate::codec::{self, CodecError, Identity};
use crate::error::StartError;
use crate::types::{LogId, Vote};

/// What a verified log holds.
#[derive(Default)]
pub(super) struct Recovered {
    pub(super) vote: Option<Vote>,
    pub(super) committed: Option<LogId>,
    pub(super) purged: Option<LogId>,
    pub(super) last: Option<LogId>,
    pub(super) sizes: Sizes,
}

/// Checks write-ahead files and manifest, which RocksDB would read more leniently than a log of
/// acknowledged commands allows.
pub(super) fn check_files(dir: &Path) -> Result<(), StartError> {
    let io = |error| StartError::io(dir, error);
    let current = fs::read_to_string(dir.join("CURRENT")).unwrap_or_default();
    for file in fs::read_dir(dir).map_err(io)? {
        let path = file.map_err(io)?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let result = if name.ends_with(".log") {
            wal::check_and_trim(&path).map_err(|error| StartError::io(&path, error))?
        } else if !name.is_empty() && name == current.trim() {
            // RocksDB forgives a torn end here itself: the change it describes did not happen.
            let data = fs::read(&path).map_err(|error| StartError::io(&path, error))?;
            wal::check(&data).map(|_| 0)
        } else {
            continue;
        };
        match result {
            Ok(0) => {}
            Ok(cut_bytes) => tracing::warn!(
                file = %path.display(),
                cut_bytes,
                "the last write to the log was cut short by a crash and was never acknowledged; \
                 removed it"
            ),
            Err(damage) => {
                return Err(StartError::Damaged {
                    what: path.display().to_string(),
                    detail: format!("{} (at byte {})", damage.reason, damage.offset),
                });
            }
        }
    }
    Ok(())
}

/// Writes the identity into a new log, or compares it.
pub(super) fn claim(db: &DB, dir: &Path, identity: &Identity) -> Result<(), StartError> {
    let meta = family(db, db::META);
    if let Some(record) = db.get_cf(meta, db::IDENTITY).map_err(database_error)? {
        let found = codec::decode_identity(&record)
            .map_err(|error| StartError::record("the log's identity", error))?;
        if found != *identity {
            let name = |id: &Identity| format!("node {} of cluster {}", id.node_id, id.cluster_id);
            return Err(StartError::Foreign {
                dir: dir.to_path_buf(),
                found: name(&found),
                expected: name(identity),
            });
        }
        return Ok(());
    }
    let mut iterator = db.raw_iterator_cf(family(db, db::ENTRIES));
    iterator.seek_to_first();
    if iterator.valid() {
        return Err(StartError::Damaged {
            what: "the log".into(),
            detail: "it holds entries but not whose they are".into(),
        });
    }
    let record = codec::encode_identity(identity)
        .map_err(|error| StartError::record("the log's identity", error))?;
    let mut options = WriteOptions::default();
    options.set_sync(true);
    db.put_cf_opt(meta, db::IDENTITY, record, &options)
        .map_err(database_error)
}

/// Reads everything that is retained: each entry must be intact, in its place, and follow the one
/// before it.
pub(super) fn verify(db: &DB) -> Result<Recovered, StartError> {
    let mut recovered = Recovered {
        vote: read_meta(db, db::VOTE, "the vote", codec::decode_vote)?,
        committed: read_meta(
            db,
            db::COMMITTED,
            "the committed position",
            codec::decode_log_id,
        )?,
        purged: read_meta(db, db::PURGED, "the purged position", codec::decode_log_id)?,
        ..Recovered::default()
    };
    recovered.last = recovered.purged;
    let mut options = read_options(u64::MAX);
    options.fill_cache(false);
    options.set_readahead_size(1 << 20);
    let mut iterator = db.raw_iterator_cf_opt(family(db, db::ENTRIES), options);
    iterator.seek(key(recovered.purged.map_or(0, |purged| purged.index + 1)));
    while let Some((row_key, record)) = iterator.item() {
        let index = index_of(row_key)?;
        let log_id = codec::check_entry(record)
            .map_err(|error| StartError::record(format!("log entry {index}"), error))?;
        let expected = recovered.last.map_or(0, |last| last.index + 1);
        if index != expected || log_id.index != index {
            return Err(damaged_entry(index, &log_id, expected));
        }
        if recovered
            .last
            .is_some_and(|last| last.leader_id > log_id.leader_id)
        {
            return Err(StartError::Damaged {
                what: format!("log entry {index}"),
                detail: "its term is older than that of the entry before it".into(),
            });
        }
        recovered.sizes.push(index, record.len() as u64);
        recovered.last = Some(log_id);
        iterator.next();
    }
    iterator.status().map_err(database_error)?;
    if recovered.committed.is_some_and(|committed| {
        recovered
            .last
            .is_none_or(|last| last.index < committed.index)
    }) {
        return Err(StartError::Damaged {
            what: "the log".into(),
            detail: "it ends before an entry that was already committed".into(),
        });
    }
    Ok(recovered)
}

fn read_meta<T>(
    db: &DB,
    meta_key: &[u8],
    what: &str,
    decode: impl Fn(&[u8]) -> Result<T, CodecError>,
) -> Result<Option<T>, StartError> {
    db.get_cf(family(db, db::META), meta_key)
        .map_err(database_error)?
        .map(|record| decode(&record).map_err(|error| StartError::record(what, error)))
        .transpose()
}
