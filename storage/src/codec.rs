//! Records on disk: one version byte, then bincode 2 in its standard configuration.
//!
//! A record that changes gets a new version and keeps a reader for the old one in
//! [`Record::decode_old`]. The golden files under `tests/golden` hold one encoded example of
//! every version ever written.

use bincode::config::{self, Configuration, Limit, LittleEndian, Varint};

use crate::StorageError;

/// More than any record holds; a damaged length is refused instead of allocated.
const LIMIT_BYTES: usize = 64 << 20;
const CONFIG: Configuration<LittleEndian, Varint, Limit<LIMIT_BYTES>> =
    config::standard().with_limit::<LIMIT_BYTES>();

/// A value stored in a table.
pub trait Record: bincode::Encode + bincode::Decode<()> {
    /// The table's name, for errors and golden files.
    const TABLE: &'static str;
    /// The version written by this release.
    const VERSION: u8 = 1;

    /// Reads a version older than [`Record::VERSION`].
    fn decode_old(version: u8, _bytes: &[u8]) -> Result<Self, StorageError> {
        Err(StorageError::Corrupt {
            table: Self::TABLE,
            detail: format!("unknown version {version}"),
        })
    }
}

/// Encodes a record with its version byte.
pub fn encode<R: Record>(record: &R) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(128);
    bytes.push(R::VERSION);
    // Encoding into memory fails only for types bincode cannot represent, and none of our
    // records holds one; the golden tests would show it.
    if let Err(error) = bincode::encode_into_std_write(record, &mut bytes, CONFIG) {
        unreachable!("record of {} cannot be encoded: {error}", R::TABLE);
    }
    bytes
}

/// Decodes a record of any version this release knows.
pub fn decode<R: Record>(bytes: &[u8]) -> Result<R, StorageError> {
    let Some((&version, rest)) = bytes.split_first() else {
        return Err(StorageError::Corrupt {
            table: R::TABLE,
            detail: "empty record".into(),
        });
    };
    if version > R::VERSION {
        return Err(StorageError::Newer {
            table: R::TABLE,
            version,
            known: R::VERSION,
        });
    }
    if version < R::VERSION {
        return R::decode_old(version, rest);
    }
    let (record, used) = bincode::decode_from_slice::<R, _>(rest, CONFIG).map_err(|error| {
        StorageError::Corrupt {
            table: R::TABLE,
            detail: error.to_string(),
        }
    })?;
    if used != rest.len() {
        return Err(StorageError::Corrupt {
            table: R::TABLE,
            detail: format!("{} bytes left over", rest.len() - used),
        });
    }
    Ok(record)
}
