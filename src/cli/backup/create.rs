//! `ekho backup create`: takes a backup from a running relay.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use axum::body::Bytes;
use clap::Args;
use indicatif::ProgressBar;
use tokio::sync::mpsc;

use super::{bar, point, rotation, summary, unusable};
use crate::backup::{self, Checked, Nothing};
use crate::cli::client::Query;
use crate::cli::remote::{Relay, Remote};
use crate::cli::{CliError, print, print_json, say};
use crate::clock::now_ms;
use crate::identity::sync_dir_of;

const PATH: &str = "/v1/operator/backup";
/// Chunks that wait to be written.
const CHUNKS: usize = 8;

/// Take a backup of a running relay, which goes on meanwhile. For owners of its first fleet, or an
/// API token with the scope `backup`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho backup create --output ekho.tar
  ekho backup create --output \"ekho-$(date +%F).tar\" --label nightly --json
  ekho backup create --directory /backups --keep 14

The file has its name when it is whole, checked and on disk, and not before.")]
pub(super) struct CreateArgs {
    /// Where to; a file that is not there yet, readable by you only
    #[arg(
        long,
        short,
        value_name = "FILE",
        required_unless_present = "directory",
        conflicts_with = "directory"
    )]
    output: Option<PathBuf>,

    /// Where to; a directory, in which the file is named after the time
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,

    /// Of the backups that are named so, keep the newest and remove the others, once the new one is
    /// whole
    #[arg(long, value_name = "COUNT", requires = "directory", value_parser = clap::value_parser!(u64).range(1..))]
    keep: Option<u64>,

    /// What to call it, in the backup and in the audit log
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,

    #[command(flatten)]
    remote: Remote,
}

pub(super) async fn run(args: CreateArgs) -> Result<(), CliError> {
    let CreateArgs {
        output,
        directory,
        keep,
        label,
        remote,
    } = args;
    let output = match (output, &directory) {
        (Some(output), _) => output,
        (None, Some(directory)) => directory.join(rotation::name(now_ms())),
        (None, None) => return Err(CliError::Usage("--output or --directory is needed".into())),
    };
    let partial = Partial::begin(&output)?;
    remote
        .run(async |relay| {
            let checked = download(relay, label, &partial).await?;
            partial.finish(&output)?;
            if let (Some(directory), Some(keep)) = (&directory, keep) {
                for removed in rotation::thin_out(directory, keep, &output)? {
                    say(&format!("removed {}", removed.display()));
                }
            }
            if relay.is_json() {
                return print_json(&summary(&output, checked.size_bytes, &checked.manifest));
            }
            let size = indicatif::BinaryBytes(checked.size_bytes);
            let what = point(&checked.manifest);
            print(&format!("saved {}: {size}, {what}", output.display()))
        })
        .await
}

/// Writes the relay's answer to the file and checks it on the way.
async fn download(
    relay: &Relay,
    label: Option<String>,
    partial: &Partial,
) -> Result<Checked, CliError> {
    let query: Query = label.map(|label| ("label", label)).into_iter().collect();
    let client = relay.client();
    let mut answer = client.download(PATH, &query).await?;
    let bar = bar(answer.content_length());
    let (sender, receiver) = mpsc::channel(CHUNKS);
    let path = partial.path.clone();
    let arriving = Arriving {
        receiver,
        chunk: Bytes::new(),
        file: partial.open()?,
        bar: bar.clone(),
    };
    let written = tokio::task::spawn_blocking(move || write(arriving).map_err(unusable(&path)));
    let mut failed = None;
    loop {
        match client.next_chunk(&mut answer).await {
            Ok(None) => break,
            Ok(Some(chunk)) => {
                if sender.send(chunk).await.is_err() {
                    // Who takes no more has found out why.
                    break;
                }
            }
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    drop(sender);
    let written = written
        .await
        .map_err(|error| CliError::Output(io::Error::other(error)))?;
    bar.finish_and_clear();
    match failed {
        Some(error) => Err(error.into()),
        None => written,
    }
}

fn write(mut arriving: Arriving) -> Result<Checked, backup::BackupError> {
    let checked = backup::read(&mut arriving, &mut Nothing)?;
    arriving.file.sync_all()?;
    Ok(checked)
}

/// What arrives, written to the file as it is read.
struct Arriving {
    receiver: mpsc::Receiver<Bytes>,
    chunk: Bytes,
    file: File,
    bar: ProgressBar,
}

impl Read for Arriving {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            match self.receiver.blocking_recv() {
                Some(chunk) => {
                    self.file.write_all(&chunk)?;
                    self.bar.inc(chunk.len() as u64);
                    self.chunk = chunk;
                }
                None => return Ok(0),
            }
        }
        let count = self.chunk.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.chunk.split_to(count));
        Ok(count)
    }
}

/// The file while it is not whole. It goes with this, unless it got its name.
struct Partial {
    path: PathBuf,
}

impl Partial {
    fn begin(output: &Path) -> Result<Self, CliError> {
        if output.exists() {
            return Err(CliError::Usage(format!(
                "--output: {} is there already; choose another name",
                output.display()
            )));
        }
        let Some(name) = output.file_name() else {
            return Err(CliError::Usage("--output: the name of a file".into()));
        };
        let mut name = name.to_os_string();
        name.push(".partial");
        Ok(Partial {
            path: output.with_file_name(name),
        })
    }

    fn open(&self) -> Result<File, CliError> {
        // What an earlier run left could be readable by others.
        let removed = match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let opened = removed.and_then(|()| options.open(&self.path));
        opened.map_err(|source| CliError::File {
            path: self.path.clone(),
            source,
        })
    }

    fn finish(&self, output: &Path) -> Result<(), CliError> {
        fs::rename(&self.path, output)
            .and_then(|()| sync_dir_of(output))
            .map_err(|source| CliError::File {
                path: output.to_path_buf(),
                source,
            })
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // After success it is not there; otherwise nobody can use it, and the error was told.
        let _ = fs::remove_file(&self.path);
    }
}
