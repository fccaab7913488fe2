//! A flipped bit in what a node has on its disk.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::{Faults, RECOVERY, sleep_ms};
use crate::rng::Rng;

impl Faults {
    /// Flips a bit of a node that does not run, lets it run as far as it does, and rebuilds it: damage
    /// that is not noticed yet must not meet that of another node.
    pub(super) async fn bit_flip(
        &mut self,
        target: usize,
        lasts_ms: u64,
        rng: &mut Rng,
    ) -> io::Result<()> {
        let event = self.begin(&[target], "bit flipped");
        self.cluster.kill(target)?;
        self.cluster.disk(target).detach()?;
        let files = self.cluster.disk(target).files();
        let what = flip_one(&files, rng)?;
        self.cluster.disk(target).attach()?;
        self.cluster.start(target, None)?;
        let ready = self.cluster.wait_ready(target, RECOVERY / 3).await?;
        // What is noticed late is noticed while it serves.
        sleep_ms(lasts_ms).await;
        let well = ready && self.cluster.ended(target)?.is_none() && self.cluster.runs(target);
        let verdict = if well { "not noticed" } else { "noticed" };
        self.notes.push(format!("node {target}: {what}: {verdict}"));
        self.cluster.kill(target)?;
        self.remove(target).await?;
        self.rejoin(target).await?;
        self.timeline.end(event);
        Ok(())
    }
}

/// What a node's directory holds data in.
const DATA: [&str; 3] = ["log", "state", "snapshots"];

/// Flips one bit of one file of a node's log, state or snapshots, each as likely; which.
fn flip_one(dir: &Path, rng: &mut Rng) -> io::Result<String> {
    let mut files = Vec::new();
    collect(dir, &mut files)?;
    files.retain(|(path, size)| *size > 0 && is_data(path));
    files.sort();
    let of = |data: &str| -> Vec<(PathBuf, u64)> {
        let within = files
            .iter()
            .filter(|(path, _)| path.starts_with(dir.join(data)));
        within.cloned().collect()
    };
    let kinds: Vec<_> = DATA.into_iter().map(of).collect();
    let kinds: Vec<_> = kinds
        .into_iter()
        .filter(|files| !files.is_empty())
        .collect();
    if kinds.is_empty() {
        return Ok("no file to flip a bit in".into());
    }
    let files = rng.pick(&kinds);
    let (path, size) = rng.pick(files).clone();
    let (offset, bit) = (rng.between(0, size - 1), rng.index(8));
    let file = OpenOptions::new().read(true).write(true).open(&path)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset)?;
    byte[0] ^= 1 << bit;
    file.write_all_at(&byte, offset)?;
    let path = path.strip_prefix(dir).unwrap_or(&path).display();
    Ok(format!(
        "bit {bit} of byte {offset} of {size} flipped in {path}"
    ))
}

/// What holds data; not lock files, and not what RocksDB writes for people.
fn is_data(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name != "LOCK" && !name.starts_with("LOG") && !name.starts_with("OPTIONS")
}

fn collect(dir: &Path, files: &mut Vec<(PathBuf, u64)>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        if meta.is_dir() {
            collect(&entry.path(), files)?;
        } else if meta.is_file() {
            files.push((entry.path(), meta.len()));
        }
    }
    Ok(())
}
