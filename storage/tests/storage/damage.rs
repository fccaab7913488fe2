//! Damage on disk: a flipped byte is reported, never read as if it were data.

use std::fs;
use std::path::{Path, PathBuf};

use ekho_storage::{Cf, Read, Row, State, StateOptions, StorageError};

use crate::{dump, fresh, rows};

/// Enough rows for several blocks a file, with bodies that go to blob files.
fn fill(state: &State) {
    let mut txn = state.begin();
    for number in 0..400u64 {
        for cf in Cf::ALL {
            let value: Vec<u8> = (0..300)
                .map(|byte| (byte * 7 + number * 13 + cf as u64) as u8)
                .collect();
            txn.put(cf, number.to_be_bytes(), value);
        }
    }
    txn.commit().unwrap();
    state.flush().unwrap();
}

/// Table and blob files of the only generation.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(dir.join("000001"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|ext| ext == "sst" || ext == "blob")
        })
        .collect();
    found.sort();
    found
}

fn flip(path: &Path, position: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[position] ^= 0x40;
    fs::write(path, bytes).unwrap();
}

/// Opens and reads everything: all rows, or the first error on the way.
fn read_all(dir: &Path) -> Result<Vec<(Cf, Vec<Row>)>, StorageError> {
    let state = State::open(dir, &StateOptions::default())?;
    let view = state.view();
    let mut all = Vec::new();
    for cf in Cf::ALL {
        all.push((cf, view.scan(cf, &[], &[0xff; 64], usize::MAX)?));
    }
    Ok(all)
}

#[test]
fn an_undamaged_state_is_scrubbed_row_by_row() {
    let (_dir, state) = fresh();
    fill(&state);
    let mut heard = Vec::new();
    let scrubbed = state.scrub(|so_far| {
        heard.push(so_far);
        true
    });
    assert_eq!(scrubbed.unwrap(), 400 * Cf::ALL.len() as u64);
    assert!(!heard.is_empty() && heard.is_sorted(), "{heard:?}");
    let stopped = state.scrub(|_| false).unwrap();
    assert!(stopped < 400 * Cf::ALL.len() as u64, "stopped at {stopped}");
}

/// The first block of every file holds rows: damage there is found by a scrub and by reading.
#[test]
fn a_flipped_byte_in_the_data_of_any_file_is_found() {
    let (dir, state) = fresh();
    fill(&state);
    drop(state);
    let files = files(dir.path());
    assert!(
        files.len() > Cf::ALL.len(),
        "a table file a family, and a blob file: {files:?}"
    );
    for path in files {
        // Behind the header of a blob file.
        let position = 64;
        flip(&path, position);
        match State::open(dir.path(), &StateOptions::default()) {
            Err(error) => assert!(matches!(error, StorageError::Database(_)), "{error}"),
            Ok(state) => {
                let scrubbed = state.scrub(|_| true);
                assert!(scrubbed.is_err(), "scrub missed {}", path.display());
                drop(state);
                assert!(
                    read_all(dir.path()).is_err(),
                    "reading missed {}",
                    path.display()
                );
            }
        }
        flip(&path, position);
    }
    assert!(
        read_all(dir.path()).is_ok(),
        "every byte is back in its place"
    );
}

/// Anywhere else, a flip is an error or of no consequence. It never changes what is read.
#[test]
fn a_flipped_byte_never_becomes_data() {
    let (dir, state) = fresh();
    fill(&state);
    let content = dump(&state.view());
    drop(state);
    let files = files(dir.path());
    let of = |extension: &str| {
        files
            .iter()
            .find(|path| path.extension().is_some_and(|ext| ext == extension))
    };
    let mut reported = 0;
    for path in [of("sst").unwrap(), of("blob").unwrap()] {
        let length = fs::metadata(path).unwrap().len() as usize;
        for part in 0..16 {
            let position = length * part / 16 + part;
            flip(path, position);
            match read_all(dir.path()) {
                Ok(read) => assert_eq!(read, content, "byte {position} of {}", path.display()),
                Err(_) => reported += 1,
            }
            flip(path, position);
        }
    }
    assert!(reported >= 16, "only {reported} of 32 flips were reported");
}

#[test]
fn a_file_that_is_missing_or_cut_is_refused() {
    let (dir, state) = fresh();
    fill(&state);
    drop(state);
    for path in files(dir.path()) {
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(read_all(dir.path()).is_err(), "missing {}", path.display());
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        assert!(read_all(dir.path()).is_err(), "cut {}", path.display());
        fs::write(&path, &bytes).unwrap();
    }
    let state = State::open(dir.path(), &StateOptions::default()).unwrap();
    assert_eq!(rows(&state.view(), Cf::Body).len(), 400);
}

/// A full disk can be waited for; damage cannot.
#[test]
fn only_a_full_disk_counts_as_no_space() {
    let full = StorageError::Io {
        path: "state".into(),
        source: std::io::Error::from(std::io::ErrorKind::StorageFull),
    };
    assert!(full.is_no_space());
    let corrupt = StorageError::Corrupt {
        table: "agent",
        detail: "x".into(),
    };
    assert!(!corrupt.is_no_space());
    let denied = StorageError::Io {
        path: "state".into(),
        source: std::io::Error::from(std::io::ErrorKind::PermissionDenied),
    };
    assert!(!denied.is_no_space());
}
