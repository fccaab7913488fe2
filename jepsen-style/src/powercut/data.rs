//! Writes to one file that no sync covered yet: how the file was before each of them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::{Lost, Survives};
use crate::rng::Rng;

/// More than this and the kernel would have written it back by itself.
const KEPT_BYTES: usize = 256 << 20;
const PAGE_BYTES: u64 = 4096;

/// Notes to undo the unsynced changes of a file.
pub(super) struct Unsynced {
    file: File,
    changes: Vec<Change>,
    old_bytes: usize,
}

/// A write, or a change of size.
struct Change {
    offset: u64,
    /// How many bytes it concerns from there.
    length: u64,
    /// What was there, as far as the file reached.
    old: Vec<u8>,
    old_size: u64,
}

impl Unsynced {
    /// None yet; `file` can be read and written.
    pub(super) fn new(file: File) -> Self {
        Unsynced {
            file,
            changes: Vec::new(),
            old_bytes: 0,
        }
    }

    /// Notes how these bytes are, before they are written.
    pub(super) fn before_write(&mut self, offset: u64, length: u64) -> io::Result<()> {
        let old_size = self.file.metadata()?.len();
        let overlap = (offset + length).min(old_size).saturating_sub(offset);
        let mut old = vec![0; overlap as usize];
        self.file.read_exact_at(&mut old, offset)?;
        self.old_bytes += old.len();
        self.changes.push(Change {
            offset,
            length,
            old,
            old_size,
        });
        if self.old_bytes > KEPT_BYTES {
            self.changes.clear();
            self.old_bytes = 0;
        }
        Ok(())
    }

    /// Notes how the file is, before its size becomes this.
    pub(super) fn before_resize(&mut self, size: u64) -> io::Result<()> {
        let old_size = self.file.metadata()?.len();
        self.before_write(size, old_size.saturating_sub(size))
    }

    /// Undoes what does not survive.
    pub(super) fn cut(self, survives: Survives, rng: &mut Rng, lost: &mut Lost) -> io::Result<()> {
        let kept = match survives {
            Survives::Nothing | Survives::Pages => 0,
            Survives::Beginning => rng.index(self.changes.len() + 1),
        };
        let written = match survives {
            Survives::Pages => self.some_pages(rng)?,
            _ => Vec::new(),
        };
        let last_size = self.file.metadata()?.len();
        let mut torn = None;
        for (place, change) in self.changes.iter().enumerate().skip(kept).rev() {
            if survives == Survives::Beginning && place == kept {
                torn = self.beginning_of(change, rng)?;
            }
            self.file.set_len(change.old_size)?;
            self.file.write_all_at(&change.old, change.offset)?;
            lost.writes += 1;
            lost.bytes += change.length;
        }
        for (offset, bytes) in written.into_iter().chain(torn) {
            self.file.write_all_at(&bytes, offset)?;
        }
        // Pages beyond the size that the file had in the end would be news.
        if self.file.metadata()?.len() > last_size && survives == Survives::Pages {
            self.file.set_len(last_size)?;
        }
        lost.files += usize::from(kept < self.changes.len());
        Ok(())
    }

    /// The first bytes of a write, as the file has them now.
    fn beginning_of(&self, change: &Change, rng: &mut Rng) -> io::Result<Option<(u64, Vec<u8>)>> {
        let size = self.file.metadata()?.len();
        let there = change.length.min(size.saturating_sub(change.offset));
        if there < 2 {
            return Ok(None);
        }
        let mut bytes = vec![0; rng.between(0, there - 1) as usize];
        self.file.read_exact_at(&mut bytes, change.offset)?;
        Ok(Some((change.offset, bytes)))
    }

    /// About half of the pages that were touched, as the file has them now.
    fn some_pages(&self, rng: &mut Rng) -> io::Result<Vec<(u64, Vec<u8>)>> {
        let size = self.file.metadata()?.len();
        let touched: std::collections::BTreeSet<u64> = self
            .changes
            .iter()
            .flat_map(|change| {
                let end = (change.offset + change.length).min(size);
                change.offset / PAGE_BYTES..end.div_ceil(PAGE_BYTES)
            })
            .collect();
        let mut pages = Vec::new();
        for page in touched {
            if rng.chance(50) {
                continue;
            }
            let offset = page * PAGE_BYTES;
            let mut bytes = vec![0; PAGE_BYTES.min(size - offset) as usize];
            self.file.read_exact_at(&mut bytes, offset)?;
            pages.push((offset, bytes));
        }
        Ok(pages)
    }
}
