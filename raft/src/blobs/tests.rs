#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write;

use super::*;

fn fresh() -> (tempfile::TempDir, Blobs) {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(&dir.path().join("blobs")).unwrap();
    (dir, blobs)
}

fn written(blobs: &Blobs, content: &[u8]) -> BlobHash {
    let mut incoming = blobs.begin().unwrap();
    incoming.write_all(content).unwrap();
    incoming.finish().unwrap().hash
}

fn temporary(blobs: &Blobs) -> usize {
    fs::read_dir(blobs.0.dir.join(TEMPORARY)).unwrap().count()
}

#[test]
fn a_file_has_its_name_when_it_is_whole() {
    let (_dir, blobs) = fresh();
    let mut incoming = blobs.begin().unwrap();
    incoming.write_all(b"abc").unwrap();
    assert_eq!(temporary(&blobs), 1);
    drop(incoming);
    assert_eq!(temporary(&blobs), 0);
    let hash = written(&blobs, b"abc");
    let name = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(hex(&hash), name);
    assert_eq!(parse(name), Some(hash));
    assert!(blobs.path(&hash).ends_with(format!("ba/78/{name}")));
    assert_eq!(blobs.size(&hash).unwrap(), Some(3));
    assert_eq!(blobs.check(&hash).unwrap(), Look::Whole);
    assert_eq!(blobs.list(0xba).unwrap(), [hash]);
    assert_eq!(blobs.list(0xbb).unwrap(), [[0; 32]; 0]);
    // The same once more is the same file.
    assert_eq!(written(&blobs, b"abc"), hash);
    assert_eq!(temporary(&blobs), 0);
    let part = blobs.read(&hash, 1, 10).unwrap().unwrap();
    assert_eq!(part, (3, Bytes::from_static(b"bc")));
}

#[test]
fn what_differs_from_its_name_is_noticed_and_mended_by_the_next() {
    let (_dir, blobs) = fresh();
    let hash = written(&blobs, b"abc");
    fs::write(blobs.path(&hash), b"abd").unwrap();
    assert_eq!(blobs.check(&hash).unwrap(), Look::Damaged);
    assert_eq!(written(&blobs, b"abc"), hash);
    assert_eq!(blobs.check(&hash).unwrap(), Look::Whole);
    fs::write(blobs.path(&hash), b"abd").unwrap();
    assert!(!blobs.renew(&hash).unwrap());
    assert_eq!(blobs.check(&hash).unwrap(), Look::Missing);
    let mut incoming = blobs.begin().unwrap();
    incoming.write_all(b"abd").unwrap();
    assert!(incoming.finish_as(&hash).is_err());
    assert_eq!(blobs.check(&hash).unwrap(), Look::Missing);
    assert_eq!(temporary(&blobs), 0);
}

#[test]
fn what_is_held_or_young_is_not_removed() {
    let (_dir, blobs) = fresh();
    let hash = written(&blobs, b"abc");
    assert!(!blobs.remove_idle(&hash, Duration::from_secs(60)).unwrap());
    let (first, second) = (blobs.hold(hash), blobs.hold(hash));
    assert!(!blobs.remove_idle(&hash, Duration::ZERO).unwrap());
    drop(first);
    assert!(!blobs.remove_idle(&hash, Duration::ZERO).unwrap());
    drop(second);
    // A file that another node counts on is as young as its last look at it.
    let path = blobs.path(&hash);
    let long_ago = SystemTime::now() - Duration::from_secs(3600);
    let file = File::options().write(true).open(&path).unwrap();
    file.set_times(FileTimes::new().set_modified(long_ago))
        .unwrap();
    assert!(blobs.renew(&hash).unwrap());
    assert!(!blobs.remove_idle(&hash, Duration::from_secs(60)).unwrap());
    assert!(blobs.remove_idle(&hash, Duration::ZERO).unwrap());
    assert_eq!(blobs.check(&hash).unwrap(), Look::Missing);
}

#[test]
fn what_came_to_nothing_is_taken_back_where_nobody_counts_on_it() {
    let (_dir, blobs) = fresh();
    let store = || {
        let mut incoming = blobs.begin().unwrap();
        incoming.write_all(b"abc").unwrap();
        incoming.finish().unwrap()
    };
    let (first, again) = (store(), store());
    let hash = first.hash;
    // It was there before.
    assert!(!blobs.take_back(again).unwrap());
    let other = blobs.hold(hash);
    assert!(!blobs.take_back(first).unwrap());
    drop(other);
    blobs.discard(&hash).unwrap();
    assert!(blobs.take_back(store()).unwrap());
    assert_eq!(blobs.check(&hash).unwrap(), Look::Missing);
    let told = store();
    blobs.promise(hash);
    assert!(!blobs.take_back(told).unwrap());
    assert_eq!(blobs.check(&hash).unwrap(), Look::Whole);
}

#[test]
fn a_file_in_part_outlives_a_start_and_is_checked_at_its_end() {
    let (dir, blobs) = fresh();
    let hash = written(&blobs, b"abcdef");
    blobs.discard(&hash).unwrap();
    let mut partial = blobs.partial(hash).unwrap();
    partial.append(b"abc").unwrap();
    drop(partial);
    // Left over from what was being written when the process ended.
    drop(blobs.begin().unwrap());
    fs::write(blobs.0.dir.join(TEMPORARY).join("left"), b"x").unwrap();
    let blobs = Blobs::open(&dir.path().join("blobs")).unwrap();
    assert_eq!(temporary(&blobs), 0);
    assert_eq!(blobs.list_partial().unwrap(), [hash]);
    let mut partial = blobs.partial(hash).unwrap();
    assert_eq!(partial.size_bytes(), 3);
    partial.append(b"def").unwrap();
    assert!(partial.finish().unwrap());
    assert_eq!(blobs.check(&hash).unwrap(), Look::Whole);
    assert!(blobs.list_partial().unwrap().is_empty());
    let mut partial = blobs.partial([1; 32]).unwrap();
    partial.append(b"something else").unwrap();
    assert!(!partial.finish().unwrap());
    assert!(blobs.list_partial().unwrap().is_empty());
}

#[test]
fn a_spool_has_no_name() {
    let (_dir, blobs) = fresh();
    let mut spool = blobs.spool().unwrap();
    spool.write_all(b"abc").unwrap();
    assert_eq!(temporary(&blobs), 0);
}
