//! A snapshot on its way to another node.

use bytes::{Bytes, BytesMut};
use tokio::fs::File;
use tokio::io::AsyncReadExt;

use super::manifest::STATE;
use super::{SnapshotDir, SnapshotFile};
use crate::error::SnapshotError;

/// Read from a file at once.
const CHUNK_BYTES: usize = 256 << 10;

impl SnapshotDir {
    /// What describes it to whom it is offered.
    pub(crate) fn manifest(&self) -> Result<Vec<u8>, SnapshotError> {
        self.0
            .manifest
            .to_json()
            .map_err(|error| SnapshotError::io(&self.0.path, error))
    }

    /// Its files at these places of the manifest, to be read one after the other.
    pub(crate) fn outgoing(self, places: &[usize]) -> Outgoing {
        let files = places.iter().filter_map(|place| self.files().get(*place));
        Outgoing {
            files: files.cloned().collect::<Vec<_>>().into_iter(),
            open: None,
            snapshot: self,
        }
    }
}

/// Reads files as they are sent, and finds out whether they are still what they were. It sends
/// them all the same: to judge is the receiver's, and this node makes a new snapshot meanwhile.
pub(crate) struct Outgoing {
    snapshot: SnapshotDir,
    files: std::vec::IntoIter<SnapshotFile>,
    open: Option<Open>,
}

struct Open {
    expected: SnapshotFile,
    file: File,
    size_bytes: u64,
    hasher: crc32fast::Hasher,
}

impl Outgoing {
    /// What comes next; none at the end of the last file.
    pub(crate) async fn next(&mut self) -> std::io::Result<Option<Bytes>> {
        loop {
            let Some(open) = self.open.as_mut() else {
                let Some(expected) = self.files.next() else {
                    return Ok(None);
                };
                let path = self.snapshot.path().join(STATE).join(&expected.name);
                let file = match File::open(&path).await {
                    Ok(file) => file,
                    Err(error) => return Err(self.unreadable(&expected.name, error)),
                };
                self.open = Some(Open {
                    expected,
                    file,
                    size_bytes: 0,
                    hasher: crc32fast::Hasher::new(),
                });
                continue;
            };
            let mut chunk = BytesMut::with_capacity(CHUNK_BYTES);
            let count = match open.file.read_buf(&mut chunk).await {
                Ok(count) => count,
                Err(error) => {
                    let name = open.expected.name.clone();
                    return Err(self.unreadable(&name, error));
                }
            };
            if count > 0 {
                open.size_bytes += count as u64;
                open.hasher.update(&chunk);
                return Ok(Some(chunk.freeze()));
            }
            if let Some(Open {
                expected,
                size_bytes,
                hasher,
                ..
            }) = self.open.take()
                && (size_bytes, hasher.finalize()) != (expected.size_bytes, expected.crc32)
            {
                let detail = "it is not what it was when the snapshot was made";
                self.snapshot.found_damaged(&expected.name, detail);
            }
        }
    }

    fn unreadable(&self, name: &str, error: std::io::Error) -> std::io::Error {
        self.snapshot.found_damaged(name, &error.to_string());
        error
    }
}
