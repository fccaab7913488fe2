//! The disk forgets what was not synced and nothing else, asked directly and through the kernel.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use tempfile::TempDir;

use super::disk::ROOT;
use super::{Disk, Mount, Room, Survives};
use crate::rng::Rng;

/// A mounted disk; none where that takes rights that are missing.
fn mounted(backing: &TempDir) -> Option<(Mount, PathBuf)> {
    let point = backing.path().join("point");
    match Mount::new(&backing.path().join("backing"), &point) {
        Ok(mount) => Some((mount, point)),
        Err(error) => {
            eprintln!("summary: power cut: skipped, a FUSE file system takes root: {error}");
            None
        }
    }
}

fn sync_dir(path: &Path) {
    File::open(path).unwrap().sync_all().unwrap();
}

/// Runs a test on a mounted disk. One at a time: mounting starts a child, which holds open what
/// others have open until it is another program, and a disk with open files is not unmounted.
fn on_a_disk(test: impl FnOnce(&mut Mount, &Path)) {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock();
    let place = TempDir::new().unwrap();
    if let Some((mut mount, point)) = mounted(&place) {
        test(&mut mount, &point);
    }
}

fn cut(mount: &mut Mount, survives: Survives, seed: u64) {
    mount.cut(survives, &mut Rng::new(seed)).unwrap();
}

#[test]
fn what_was_synced_stays_and_the_rest_goes() {
    on_a_disk(|mount, point| {
        let path = point.join("a");
        let mut file = File::create(&path).unwrap();
        file.write_all(b"synced").unwrap();
        file.sync_data().unwrap();
        sync_dir(point);
        file.write_all(b" and more").unwrap();
        file.write_all_at(b"S", 0).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"Synced and more");
        drop(file);
        let lost = mount.cut(Survives::Nothing, &mut Rng::new(1)).unwrap();
        assert_eq!((lost.files, lost.writes, lost.names), (1, 2, 0));
        assert_eq!(fs::read(&path).unwrap(), b"synced");
        // The next life goes on from there.
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b" again").unwrap();
        file.sync_all().unwrap();
        drop(file);
        cut(mount, Survives::Nothing, 1);
        assert_eq!(fs::read(&path).unwrap(), b"synced again");
    });
}

#[test]
fn a_name_needs_the_sync_of_its_directory() {
    on_a_disk(|mount, point| {
        let synced = |path: PathBuf| {
            let mut file = File::create(path).unwrap();
            file.write_all(b"x").unwrap();
            file.sync_all().unwrap();
        };
        fs::create_dir(point.join("inner")).unwrap();
        sync_dir(point);
        synced(point.join("inner/kept"));
        sync_dir(&point.join("inner"));
        synced(point.join("inner/gone"));
        // A later sync elsewhere covers only what came before it.
        fs::remove_file(point.join("inner/kept")).unwrap();
        cut(mount, Survives::Nothing, 1);
        assert_eq!(fs::read(point.join("inner/kept")).unwrap(), b"x");
        assert!(!point.join("inner/gone").exists());
    });
}

#[test]
fn a_rename_is_undone_or_whole() {
    on_a_disk(|mount, point| {
        let (new, current) = (point.join("new"), point.join("CURRENT"));
        let write = |path: &Path, text: &[u8]| {
            let mut file = File::create(path).unwrap();
            file.write_all(text).unwrap();
            file.sync_all().unwrap();
        };
        write(&current, b"1");
        sync_dir(point);
        write(&new, b"2");
        fs::rename(&new, &current).unwrap();
        assert_eq!(fs::read(&current).unwrap(), b"2");
        cut(mount, Survives::Nothing, 1);
        assert_eq!(fs::read(&current).unwrap(), b"1");
        assert!(!new.exists());
        write(&new, b"3");
        fs::rename(&new, &current).unwrap();
        sync_dir(point);
        cut(mount, Survives::Nothing, 1);
        assert_eq!(fs::read(&current).unwrap(), b"3");
    });
}

#[test]
fn links_directories_and_truncation_are_undone() {
    on_a_disk(|mount, point| {
        let mut file = File::create(point.join("a")).unwrap();
        file.write_all(b"0123456789").unwrap();
        file.sync_all().unwrap();
        fs::create_dir(point.join("old")).unwrap();
        sync_dir(point);
        fs::hard_link(point.join("a"), point.join("b")).unwrap();
        std::os::unix::fs::symlink("a", point.join("c")).unwrap();
        assert_eq!(fs::read(point.join("c")).unwrap(), b"0123456789");
        assert_eq!(fs::read_link(point.join("c")).unwrap(), Path::new("a"));
        fs::remove_dir(point.join("old")).unwrap();
        fs::create_dir_all(point.join("deep/er")).unwrap();
        File::create(point.join("deep/er/file")).unwrap();
        assert_eq!(
            fs::remove_dir(point.join("deep")).unwrap_err().kind(),
            ErrorKind::DirectoryNotEmpty
        );
        file.set_len(10).unwrap();
        file.set_len(3).unwrap();
        file.set_len(20).unwrap();
        drop(file);
        cut(mount, Survives::Nothing, 1);
        assert_eq!(fs::read(point.join("a")).unwrap(), b"0123456789");
        let mut names: Vec<_> = fs::read_dir(point)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["a", "old"]);
    });
}

#[test]
fn a_beginning_survives_or_any_pages() {
    on_a_disk(|mount, point| {
        let path = point.join("a");
        let (mut lengths, mut holes) = (std::collections::BTreeSet::new(), 0);
        for seed in 0..30 {
            let survives = if seed % 2 == 0 {
                Survives::Beginning
            } else {
                Survives::Pages
            };
            let file = File::create(&path).unwrap();
            file.sync_all().unwrap();
            sync_dir(point);
            for page in 0..8_u64 {
                file.write_all_at(&[page as u8 + 1; 4096], page * 4096)
                    .unwrap();
            }
            drop(file);
            cut(mount, survives, seed);
            let left = fs::read(&path).unwrap();
            let right =
                |page: usize, bytes: &[u8]| bytes.iter().all(|byte| *byte == page as u8 + 1);
            let wrong = left
                .chunks(4096)
                .enumerate()
                .filter(|(page, bytes)| !right(*page, bytes))
                .collect::<Vec<_>>();
            if survives == Survives::Beginning {
                assert!(wrong.is_empty());
                lengths.insert(left.len());
            } else {
                assert!(
                    wrong
                        .iter()
                        .all(|(_, bytes)| bytes.iter().all(|byte| *byte == 0))
                );
                holes += wrong.len();
            }
        }
        assert!(lengths.len() > 5 && lengths.iter().any(|length| length % 4096 != 0));
        assert!(holes > 5);
    });
}

#[test]
fn a_full_disk_takes_nothing_and_reads_go_on() {
    on_a_disk(|mount, point| {
        let path = point.join("a");
        let mut file = File::create(&path).unwrap();
        file.write_all(b"0123").unwrap();
        mount.set_room(Room::None);
        let full = |error: std::io::Error| assert_eq!(error.kind(), ErrorKind::StorageFull);
        full(file.write_all(b"4").unwrap_err());
        full(File::create(point.join("b")).unwrap_err());
        full(fs::create_dir(point.join("c")).unwrap_err());
        // What is there can be overwritten, synced, read and removed.
        file.write_all_at(b"9", 0).unwrap();
        file.sync_all().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"9123");
        let free = |point: &Path| {
            let stat = rustix::fs::statvfs(point).unwrap();
            stat.f_bavail * stat.f_frsize
        };
        assert_eq!(free(point), 0);
        mount.set_room(Room::Says(1 << 20));
        assert_eq!(free(point), 1 << 20);
        file.write_all(b"4").unwrap();
        mount.set_room(Room::Plenty);
        assert!(free(point) > 1 << 20);
        fs::remove_file(&path).unwrap();
    });
}

#[test]
fn space_can_be_allocated_and_files_appended_to_and_locked() {
    on_a_disk(|_, point| {
        let path = point.join("a");
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&path)
            .unwrap();
        let keep = rustix::fs::FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(&file, keep, 0, 1 << 20).unwrap();
        file.write_all(b"one").unwrap();
        file.write_all(b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"onetwo");
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, 10).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 10);
        let other = File::open(&path).unwrap();
        file.lock().unwrap();
        assert!(other.try_lock().is_err());
        file.unlock().unwrap();
        other.try_lock().unwrap();
    });
}

#[test]
fn without_a_kernel_the_same_holds() {
    let place = TempDir::new().unwrap();
    let mut disk = Disk::open(place.path()).unwrap();
    let name = OsStr::new("a");
    let (seen, file) = disk.create(ROOT, name, 0o600).unwrap();
    disk.write(seen.ino, &file, 0, b"one").unwrap();
    disk.sync_file(seen.ino).unwrap();
    disk.sync_dir(ROOT).unwrap();
    disk.write(seen.ino, &file, 3, b"two").unwrap();
    // Forgotten by the kernel, it is remembered for the power cut.
    drop(file);
    disk.forget(seen.ino, 1);
    disk.create(ROOT, OsStr::new("b"), 0o600).unwrap();
    let lost = disk.cut(Survives::Nothing, &mut Rng::new(1)).unwrap();
    assert_eq!((lost.bytes, lost.names), (3, 1));
    let left = fs::read(place.path().join("files/a")).unwrap();
    assert_eq!(left, b"one");
    assert!(!place.path().join("files/b").exists());
}
