//! A backup as written is whole; any other is refused with what is wrong.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::*;

fn manifest() -> Manifest {
    Manifest {
        ekho_backup: FORM,
        release: "0.1.0".into(),
        cluster_id: "clu_1".into(),
        label: Some("before the upgrade".into()),
        point: Point {
            at_ms: 1_795_000_000_123,
            log_index: 42,
        },
        sealing_key_id: "k".into(),
        counts: Counts::default(),
        files: [
            ("000007.sst", 1000),
            ("CURRENT", 16),
            ("EMPTY", 0),
            ("big.blob", 70_000),
        ]
        .map(|(name, size_bytes)| BackupFile {
            name: name.into(),
            size_bytes,
        })
        .to_vec(),
        attachments: attached(),
    }
}

/// Files of attachments, in the order of their hashes.
fn attachments() -> Vec<([u8; 32], Vec<u8>)> {
    let mut all: Vec<([u8; 32], Vec<u8>)> = [b"one".to_vec(), vec![7; 3000]]
        .into_iter()
        .map(|bytes| (Sha256::digest(&bytes).into(), bytes))
        .collect();
    all.sort();
    all
}

fn attached() -> Attached {
    let mut attached = Attached::default();
    attachments()
        .iter()
        .for_each(|(_, bytes)| attached.add(bytes.len() as u64));
    attached
}

/// Everything in order: state and attachments.
fn everything() -> Vec<(String, Vec<u8>)> {
    let files = manifest().files;
    let of_state = files.iter().map(|file| (file.name.clone(), content(file)));
    let attached = attachments().into_iter();
    let attached = attached.map(|(hash, bytes)| (hex::encode(hash), bytes));
    of_state.chain(attached).collect()
}

/// Writes the backup out of this directory.
fn write_from(
    manifest: &Manifest,
    dir: &Path,
    crc32s: &[u32],
    sink: impl Write,
) -> Result<(), BackupError> {
    let sizes: Vec<([u8; 32], u64)> = attachments()
        .iter()
        .map(|(hash, bytes)| (*hash, bytes.len() as u64))
        .collect();
    let source = Source {
        state: dir,
        crc32s,
        attachments: dir,
        attached: &sizes,
    };
    write(manifest, &source, sink)
}

fn put_attachments(dir: &Path) {
    for (hash, bytes) in attachments() {
        fs::write(dir.join(hex::encode(hash)), bytes).unwrap();
    }
}

/// What is in the file with this name.
fn content(file: &BackupFile) -> Vec<u8> {
    let bytes = file.name.bytes().cycle().zip(0u8..=255);
    let bytes = bytes.map(|(a, b)| a ^ b).cycle();
    bytes.take(file.size_bytes as usize).collect()
}

fn written() -> Vec<u8> {
    let manifest = manifest();
    let dir = tempfile::tempdir().unwrap();
    let mut crc32s = Vec::new();
    for file in &manifest.files {
        fs::write(dir.path().join(&file.name), content(file)).unwrap();
        crc32s.push(crc32fast::hash(&content(file)));
    }
    put_attachments(dir.path());
    let mut bytes = Vec::new();
    write_from(&manifest, dir.path(), &crc32s, &mut bytes).unwrap();
    bytes
}

/// Keeps what it is given.
#[derive(Default)]
struct Keep(Vec<(String, Vec<u8>)>);

impl Take for Keep {
    fn begin(&mut self, _: &Manifest) -> Result<(), BackupError> {
        Ok(())
    }

    fn file(&mut self, file: &BackupFile, content: &mut dyn Read) -> Result<(), BackupError> {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes)?;
        self.0.push((file.name.clone(), bytes));
        Ok(())
    }

    fn attachment(&mut self, hash: &[u8; 32], content: &mut dyn Read) -> Result<(), BackupError> {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes)?;
        self.0.push((hex::encode(hash), bytes));
        Ok(())
    }
}

#[test]
fn a_backup_is_read_as_it_was_written() {
    let bytes = written();
    let mut keep = Keep::default();
    let checked = read(bytes.as_slice(), &mut keep).unwrap();
    assert_eq!(checked.manifest, manifest());
    assert_eq!(checked.size_bytes, bytes.len() as u64);
    assert_eq!(keep.0, everything());
    assert_eq!(read(bytes.as_slice(), &mut Nothing).unwrap(), checked);

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("backup.tar");
    fs::write(&path, &bytes).unwrap();
    let opened = Opened::open(&path).unwrap();
    assert_eq!(opened.manifest, manifest());
    assert_eq!(opened.size_bytes, bytes.len() as u64);
    assert!(read(opened.file, &mut Nothing).is_ok());
    for cut in [0, 1, 511, 512, 2000, bytes.len() - 1] {
        fs::write(&path, &bytes[..cut]).unwrap();
        assert!(Opened::open(&path).is_err(), "cut at {cut}");
    }
    fs::write(&path, [bytes.as_slice(), b"x"].concat()).unwrap();
    assert!(matches!(Opened::open(&path), Err(BackupError::Longer(1))));
}

#[test]
fn every_cut_is_noticed() {
    let bytes = written();
    let json_ends = 1024 + manifest().to_json().unwrap().len();
    for cut in (0..bytes.len())
        .step_by(97)
        .chain(bytes.len() - 1100..bytes.len())
    {
        let error = read(&bytes[..cut], &mut Nothing).unwrap_err();
        if cut > json_ends {
            assert!(
                matches!(error, BackupError::CutShort { .. }),
                "cut at {cut}: {error}"
            );
        }
    }
    let longer = [bytes.as_slice(), &[0; 512]].concat();
    let error = read(longer.as_slice(), &mut Nothing).unwrap_err();
    assert!(matches!(error, BackupError::Longer(512)), "{error}");
}

#[test]
fn every_flipped_bit_that_counts_is_noticed() {
    let bytes = written();
    let whole = read(bytes.as_slice(), &mut Nothing).unwrap();
    for byte in (0..bytes.len()).step_by(13) {
        let mut flipped = bytes.clone();
        flipped[byte] ^= 1 << (byte % 8);
        // What fills up blocks is nobody's content.
        let mut keep = Keep::default();
        if let Ok(checked) = read(flipped.as_slice(), &mut keep) {
            assert_eq!(checked, whole, "byte {byte}");
            assert_eq!(keep.0, everything(), "byte {byte}");
        }
    }
    let place = bytes
        .windows(7)
        .position(|part| part == b"upgrade")
        .unwrap();
    let mut renamed = bytes.clone();
    renamed[place] = b'U';
    let error = read(renamed.as_slice(), &mut Nothing).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the backup is damaged: backup.json does not match its checksum"
    );
}

#[test]
fn a_source_that_changed_leaves_no_whole_backup() {
    let manifest = manifest();
    let dir = tempfile::tempdir().unwrap();
    put_attachments(dir.path());
    let crc32s: Vec<u32> = manifest
        .files
        .iter()
        .map(|file| crc32fast::hash(&content(file)))
        .collect();
    for file in &manifest.files {
        fs::write(dir.path().join(&file.name), content(file)).unwrap();
    }
    for name in ["000007.sst", "big.blob"] {
        let path = dir.path().join(name);
        let before = fs::read(&path).unwrap();
        let mut after = before.clone();
        after[500] ^= 1;
        for changed in [after.as_slice(), &before[..600]] {
            fs::write(&path, changed).unwrap();
            let mut bytes = Vec::new();
            let error = write_from(&manifest, dir.path(), &crc32s, &mut bytes).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
            assert!(read(bytes.as_slice(), &mut Nothing).is_err());
        }
        fs::write(&path, &before).unwrap();
    }
    let (hash, _) = attachments()[0];
    fs::write(dir.path().join(hex::encode(hash)), b"two").unwrap();
    let mut bytes = Vec::new();
    let error = write_from(&manifest, dir.path(), &crc32s, &mut bytes).unwrap_err();
    assert!(!matches!(error, BackupError::Io(_)), "{error}");
    assert!(read(bytes.as_slice(), &mut Nothing).is_err());
}

#[test]
fn a_backup_of_the_first_form_is_still_read() {
    let mut old = serde_json::to_value(manifest()).unwrap();
    old["ekho_backup"] = 1.into();
    old.as_object_mut().unwrap().remove("attachments");
    let old = Manifest::parse(old.to_string().as_bytes()).unwrap();
    assert_eq!((old.ekho_backup, old.attachments), (1, Attached::default()));
    let dir = tempfile::tempdir().unwrap();
    let mut crc32s = Vec::new();
    for file in &old.files {
        fs::write(dir.path().join(&file.name), content(file)).unwrap();
        crc32s.push(crc32fast::hash(&content(file)));
    }
    let source = Source {
        state: dir.path(),
        crc32s: &crc32s,
        attachments: dir.path(),
        attached: &[],
    };
    let mut bytes = Vec::new();
    write(&old, &source, &mut bytes).unwrap();
    assert_eq!(read(bytes.as_slice(), &mut Nothing).unwrap().manifest, old);
}

#[test]
fn what_is_no_backup_is_named() {
    let says = |bytes: &[u8]| read(bytes, &mut Nothing).unwrap_err().to_string();
    assert!(says(b"").contains("not a backup of Ekho: it is empty"));
    assert!(says(&[b'x'; 5000]).contains("no tar archive"));
    let mut other = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(2);
    header.set_cksum();
    other
        .append_data(&mut header, "notes.txt", b"hi".as_slice())
        .unwrap();
    let said = says(&other.into_inner().unwrap());
    assert!(said.contains("backup.json is not its first file"), "{said}");
}

#[test]
fn a_newer_form_names_the_release_to_use() {
    let newer = br#"{"ekho_backup": 3, "release": "9.1.0", "anything": []}"#;
    let error = Manifest::parse(newer).unwrap_err().to_string();
    assert!(
        error.contains("form 3") && error.contains("9.1.0"),
        "{error}"
    );
    assert!(Manifest::parse(b"{}").is_err());
    assert!(Manifest::parse(b"[]").is_err());
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    for name in [
        "",
        ".",
        "..",
        "../up",
        "/etc/passwd",
        "a/b",
        ".hidden",
        "a\0b",
        "é",
    ] {
        let mut manifest = manifest();
        manifest.files[0].name = name.into();
        let json = manifest.to_json().unwrap();
        assert!(Manifest::parse(&json).is_err(), "{name:?}");
    }
    let mut twice = manifest();
    twice.files[0].name = "CURRENT".into();
    assert!(Manifest::parse(&twice.to_json().unwrap()).is_err());
    let mut huge = manifest();
    huge.files[0].size_bytes = u64::MAX;
    huge.files[1].size_bytes = u64::MAX;
    // Adds up to something, and not to little.
    assert_eq!(huge.whole_bytes(100), u64::MAX);
}
