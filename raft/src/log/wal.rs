//! Checks RocksDB's write-ahead files before RocksDB reads them.
//!
//! RocksDB cannot tell a write that a crash cut short from some kinds of damage: a flipped bit in
//! a length or type byte can make it take a record in the middle for the end and drop everything
//! behind it without a word. For this log that would be acknowledged commands. So every record is
//! checked here by stricter rules: the only fault forgiven is a last record that is incomplete
//! because the file ends inside it (or holds only zeros from there on, as some file systems leave
//! it). Since one write is synced before the next begins, that record was never acknowledged; it
//! is cut off, and RocksDB is then told to tolerate nothing.
//!
//! The format (RocksDB's `db/log_format.h`): blocks of 32 KiB; a record is
//! `masked crc32c (4) | length (2) | type (1) | payload`, the checksum over type and payload,
//! little endian; a record never crosses a block, a longer write is cut into FIRST, MIDDLE…, LAST.

use std::fs;
use std::io;
use std::path::Path;

use super::crc32c::crc32c;

const BLOCK: usize = 32 * 1024;
const HEADER: usize = 7;
const FULL: u8 = 1;
const FIRST: u8 = 2;
const MIDDLE: u8 = 3;
const LAST: u8 = 4;

/// How a file that is not damaged ends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// With a whole record.
    Whole,
    /// Inside a record that begins at this offset.
    Torn(u64),
}

/// What is wrong in a file, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) offset: u64,
    pub(crate) reason: &'static str,
}

/// Checks a whole file.
pub(crate) fn check(data: &[u8]) -> Result<Tail, Damage> {
    let mut offset = 0;
    // Where the write that is being assembled from fragments began.
    let mut begun: Option<usize> = None;
    while offset < data.len() {
        let damage = |reason| Damage {
            offset: offset as u64,
            reason,
        };
        let block_left = BLOCK - offset % BLOCK;
        if block_left < HEADER {
            let end = data.len().min(offset + block_left);
            if data[offset..end].iter().any(|byte| *byte != 0) {
                return Err(damage("the space left at the end of a block is not empty"));
            }
            offset = end;
            continue;
        }
        let torn = Tail::Torn(begun.unwrap_or(offset) as u64);
        let Some(header) = Header::read(&data[offset..]) else {
            return Ok(torn);
        };
        if header.kind == 0 && header.length == 0 {
            if data[offset..].iter().all(|byte| *byte == 0) {
                return Ok(torn);
            }
            return Err(damage("a record is missing in the middle"));
        }
        if HEADER + header.length > block_left {
            return Err(damage("a record is longer than its block"));
        }
        if !(FULL..=LAST).contains(&header.kind) {
            return Err(damage("a record has an unknown type"));
        }
        let end = offset + HEADER + header.length;
        if end > data.len() {
            // Cut short by a crash, or a length that was made longer than the file. In the
            // second case the records behind it are still there.
            if another_write_follows(data, offset + 1) {
                return Err(damage("a record claims to be longer than it is"));
            }
            return Ok(torn);
        }
        if !header.matches(&data[offset..end]) {
            return Err(damage("a record does not match its checksum"));
        }
        begun = match (header.kind, begun) {
            (FULL, None) => None,
            (FIRST, None) => Some(offset),
            (MIDDLE, Some(start)) => Some(start),
            (LAST, Some(_)) => None,
            _ => return Err(damage("the fragments of a record are not in order")),
        };
        offset = end;
    }
    match begun {
        Some(start) => Ok(Tail::Torn(start as u64)),
        None => Ok(Tail::Whole),
    }
}

struct Header {
    checksum: u32,
    length: usize,
    kind: u8,
}

impl Header {
    fn read(data: &[u8]) -> Option<Self> {
        let header: &[u8; HEADER] = data.first_chunk()?;
        let [c0, c1, c2, c3, l0, l1, kind] = *header;
        Some(Header {
            checksum: u32::from_le_bytes([c0, c1, c2, c3]),
            length: usize::from(u16::from_le_bytes([l0, l1])),
            kind,
        })
    }

    /// Whether the checksum is that of `record`, header included.
    fn matches(&self, record: &[u8]) -> bool {
        let crc = crc32c(&record[HEADER - 1..]);
        let masked = crc.rotate_right(15).wrapping_add(0xa282_ead8);
        masked == self.checksum
    }
}

/// Whether a valid beginning of a write stands anywhere from `start` to the end of that block,
/// which is the last one. The fragments of the write that was cut short do not count.
fn another_write_follows(data: &[u8], start: usize) -> bool {
    (start..data.len().saturating_sub(HEADER)).any(|offset| {
        let Some(header) = Header::read(&data[offset..]) else {
            return false;
        };
        let end = offset + HEADER + header.length;
        matches!(header.kind, FULL | FIRST)
            && header.length > 0
            && end <= data.len()
            && header.matches(&data[offset..end])
    })
}

/// Checks the file at `path` and cuts off a torn tail. Returns how many bytes that were.
pub(crate) fn check_and_trim(path: &Path) -> io::Result<Result<u64, Damage>> {
    let data = fs::read(path)?;
    match check(&data) {
        Err(damage) => Ok(Err(damage)),
        Ok(Tail::Whole) => Ok(Ok(0)),
        Ok(Tail::Torn(keep_bytes)) => {
            let file = fs::OpenOptions::new().write(true).open(path)?;
            file.set_len(keep_bytes)?;
            file.sync_all()?;
            Ok(Ok(data.len() as u64 - keep_bytes))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, payload: &[u8]) -> Vec<u8> {
        let mut covered = vec![kind];
        covered.extend_from_slice(payload);
        let masked = crc32c(&covered).rotate_right(15).wrapping_add(0xa282_ead8);
        let mut record = masked.to_le_bytes().to_vec();
        record.extend_from_slice(&(payload.len() as u16).to_le_bytes());
        record.extend_from_slice(&covered);
        record
    }

    /// Three writes; the middle one spans two blocks.
    fn file() -> (Vec<u8>, Vec<usize>) {
        let mut data = record(FULL, &[7; 100]);
        let second = data.len();
        let room = BLOCK - data.len() - HEADER;
        data.extend(record(FIRST, &vec![8; room]));
        data.extend(record(LAST, &[9; 50]));
        let third = data.len();
        data.extend(record(FULL, &[10; 40]));
        (data, vec![0, second, third])
    }

    #[test]
    fn a_whole_file_passes() {
        assert_eq!(check(&file().0), Ok(Tail::Whole));
        assert_eq!(check(&[]), Ok(Tail::Whole));
    }

    #[test]
    fn every_cut_is_torn_at_the_write_it_falls_in() {
        let (data, starts) = file();
        for length in 0..data.len() {
            let start = starts
                .iter()
                .rev()
                .find(|start| **start <= length)
                .copied()
                .unwrap_or(0);
            let expected = if start == length {
                Tail::Whole
            } else {
                Tail::Torn(start as u64)
            };
            assert_eq!(check(&data[..length]), Ok(expected), "cut at {length}");
        }
    }

    #[test]
    fn a_tail_of_zeros_is_torn() {
        let (mut data, starts) = file();
        let third = starts[2];
        data[third..].fill(0);
        data.resize(third + 4096, 0);
        assert_eq!(check(&data), Ok(Tail::Torn(third as u64)));
    }

    #[test]
    fn no_flipped_bit_before_the_last_write_is_forgiven() {
        let (data, starts) = file();
        // Every bit of the first write and of all headers, and a sample of the long payload.
        let end = starts[2] * 8;
        let headers = (0..(starts[1] + 2 * HEADER) * 8).chain((BLOCK - 8) * 8..end);
        for bit in headers.chain((0..end).step_by(101)) {
            let mut flipped = data.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(
                check(&flipped).is_err(),
                "bit {bit} was taken for a torn tail"
            );
        }
    }

    #[test]
    fn a_flipped_bit_in_the_last_write_never_passes_as_whole() {
        let (data, starts) = file();
        for bit in starts[2] * 8..data.len() * 8 {
            let mut flipped = data.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(check(&flipped), Ok(Tail::Whole), "bit {bit}");
        }
    }
}
