//! Golden files: the bytes of every version of every record, as they may lie on a disk.
//!
//! `golden/TABLE.vN.hex` holds one encoded example a line. A line that no longer decodes to its
//! example, or an example that no longer encodes to its line, is a change of the format: it needs
//! a new version and a reader for the old one, not a new file. `UPDATE_GOLDEN=1` writes files
//! that are missing and touches no other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Once;

use ekho_storage::{Record, StorageError, decode, encode};

use crate::examples;

/// Decodes the bytes of a line and compares them with the example of that number.
type Verify = Box<dyn Fn(usize, &[u8])>;

/// One version of one record with its examples.
pub struct Entry {
    table: &'static str,
    version: u8,
    /// The version this release writes.
    newest: u8,
    examples: usize,
    /// The examples encoded; empty for a version that is only read.
    encoded: Vec<Vec<u8>>,
    verify: Verify,
    decode: fn(&[u8]) -> Result<(), StorageError>,
}

/// What version `version` of a record must decode to, line by line.
pub fn entry<R>(version: u8, examples: Vec<R>) -> Entry
where
    R: Record + PartialEq + Debug + 'static,
{
    let current = version == R::VERSION;
    Entry {
        table: R::TABLE,
        version,
        newest: R::VERSION,
        examples: examples.len(),
        encoded: if current {
            examples.iter().map(encode).collect()
        } else {
            Vec::new()
        },
        verify: Box::new(move |number, bytes| {
            let decoded: R = decode(bytes).unwrap();
            assert_eq!(
                decoded,
                examples[number],
                "{} v{version}, line {}",
                R::TABLE,
                number + 1
            );
        }),
        decode: |bytes| decode::<R>(bytes).map(|_| ()),
    }
}

impl Entry {
    fn path(&self) -> PathBuf {
        directory().join(format!("{}.v{}.hex", self.table, self.version))
    }

    fn lines(&self) -> Vec<Vec<u8>> {
        let path = self.path();
        let text = fs::read_to_string(&path).unwrap_or_else(|error| {
            panic!(
                "{}: {error}; UPDATE_GOLDEN=1 writes golden files that are missing",
                path.display()
            )
        });
        text.lines()
            .map(|line| hex::decode(line).unwrap())
            .collect()
    }

    /// Writes the file if there is none and that is what was asked for.
    fn write_missing(&self) {
        if std::env::var_os("UPDATE_GOLDEN").is_none() || self.encoded.is_empty() {
            return;
        }
        let lines: String = self
            .encoded
            .iter()
            .map(|bytes| hex::encode(bytes) + "\n")
            .collect();
        match fs::File::create_new(self.path()) {
            Ok(mut file) => file.write_all(lines.as_bytes()).unwrap(),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists, "{error}"),
        }
    }
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// All entries, with the files that were missing written once if that is asked for.
fn entries() -> Vec<Entry> {
    static WRITTEN: Once = Once::new();
    let entries = examples::all();
    WRITTEN.call_once(|| entries.iter().for_each(Entry::write_missing));
    entries
}

#[test]
fn golden_files_decode_to_their_examples_and_back() {
    for entry in entries() {
        let lines = entry.lines();
        let name = entry.path().display().to_string();
        for (number, bytes) in lines.iter().enumerate() {
            assert!(
                number < entry.examples,
                "{name}: line {} has no example",
                number + 1
            );
            assert_eq!(bytes[0], entry.version, "{name}, line {}", number + 1);
            (entry.verify)(number, bytes);
        }
        for (number, bytes) in entry.encoded.iter().enumerate() {
            let line = lines.get(number).map(hex::encode);
            let expected = hex::encode(bytes);
            assert_eq!(
                line.as_ref(),
                Some(&expected),
                "{name}, line {}",
                number + 1
            );
        }
    }
}

/// The tables named by `record!(Type, "table")` and by hand-written `const TABLE` in the sources.
fn tables_in_sources() -> BTreeSet<String> {
    let tables = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tables");
    let mut found = BTreeSet::new();
    for file in fs::read_dir(tables).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        for line in text.lines().map(str::trim) {
            let named =
                line.starts_with("record!(") || line.starts_with("const TABLE: &'static str");
            if let Some(name) = named.then(|| line.split('"').nth(1)).flatten() {
                found.insert(name.to_string());
            }
        }
    }
    found
}

#[test]
fn every_version_of_every_record_has_an_entry() {
    let mut versions: BTreeMap<String, (u8, Vec<u8>)> = BTreeMap::new();
    for entry in entries() {
        let known = versions
            .entry(entry.table.into())
            .or_insert((entry.newest, Vec::new()));
        known.1.push(entry.version);
    }
    for (table, (newest, mut listed)) in versions.clone() {
        listed.sort_unstable();
        assert_eq!(
            listed,
            (1..=newest).collect::<Vec<u8>>(),
            "versions of {table}"
        );
    }
    let listed: BTreeSet<String> = versions.into_keys().collect();
    assert_eq!(
        listed,
        tables_in_sources(),
        "record types in examples.rs and in src/tables"
    );
}

#[test]
fn no_golden_file_is_without_an_entry() {
    let expected: BTreeSet<PathBuf> = entries().iter().map(Entry::path).collect();
    let found: BTreeSet<PathBuf> = fs::read_dir(directory())
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn a_record_of_a_newer_release_is_refused_by_name() {
    for entry in entries() {
        for mut bytes in entry.lines() {
            bytes[0] = entry.newest + 1;
            let refused = (entry.decode)(&bytes).unwrap_err();
            let StorageError::Newer {
                table,
                version,
                known,
            } = refused
            else {
                panic!("{}: {refused}", entry.table)
            };
            assert_eq!(
                (table, version, known),
                (entry.table, entry.newest + 1, entry.newest)
            );
        }
    }
}

#[test]
fn a_record_that_is_cut_short_or_too_long_is_corrupt() {
    for entry in entries() {
        for bytes in entry.lines() {
            for length in 0..bytes.len() {
                let cut = (entry.decode)(&bytes[..length]);
                assert!(
                    matches!(cut, Err(StorageError::Corrupt { table, .. }) if table == entry.table),
                    "{} cut to {length} bytes: {cut:?}",
                    entry.table
                );
            }
            let longer = [bytes.as_slice(), &[0]].concat();
            let refused = (entry.decode)(&longer);
            assert!(
                matches!(refused, Err(StorageError::Corrupt { .. })),
                "{}: {refused:?}",
                entry.table
            );
            let unknown = [&[0], &bytes[1..]].concat();
            let refused = (entry.decode)(&unknown);
            assert!(
                matches!(refused, Err(StorageError::Corrupt { .. })),
                "{}: {refused:?}",
                entry.table
            );
        }
    }
}
