//! What reading and writing share: how a tar archive is laid out, and hashes of what goes through.

use std::io::{self, Read};

use sha2::{Digest, Sha256};

/// Everything in a tar archive is a multiple of this.
const BLOCK_BYTES: u64 = 512;
/// Two empty blocks end it.
pub(super) const END_BYTES: u64 = 2 * BLOCK_BYTES;

/// What a file of this length takes: its header, and itself in whole blocks.
pub(super) fn entry_bytes(size_bytes: u64) -> u64 {
    let blocks = size_bytes.div_ceil(BLOCK_BYTES).saturating_add(1);
    blocks.saturating_mul(BLOCK_BYTES)
}

/// The line of the end mark for a file.
pub(super) fn sum_line(digest: &[u8], name: &str) -> String {
    format!("{}  {name}\n", hex::encode(digest))
}

/// Hashes and counts what is read through it.
pub(super) struct Hashing<R> {
    from: R,
    sha256: Sha256,
    crc32: crc32fast::Hasher,
    read_bytes: u64,
}

/// What went through.
pub(super) struct Hashed {
    pub sha256: [u8; 32],
    pub crc32: u32,
    pub read_bytes: u64,
}

impl<R: Read> Hashing<R> {
    pub fn new(from: R) -> Self {
        Hashing {
            from,
            sha256: Sha256::new(),
            crc32: crc32fast::Hasher::new(),
            read_bytes: 0,
        }
    }

    pub fn finish(self) -> Hashed {
        Hashed {
            sha256: self.sha256.finalize().into(),
            crc32: self.crc32.finalize(),
            read_bytes: self.read_bytes,
        }
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.sha256.update(&buffer[..count]);
        self.crc32.update(&buffer[..count]);
        self.read_bytes += count as u64;
        Ok(count)
    }
}
