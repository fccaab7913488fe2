//! `ekho backup`: the whole relay in one file, taken while it runs, looked at without one, and made
//! a relay again.

mod create;
mod restore;
mod rotation;
mod show;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use super::CliError;
use crate::backup::{BackupError, Manifest};
use crate::clock::Iso;

const EXAMPLES: &str = "\
Examples:
  ekho backup create --output ekho.tar --label 'before the upgrade'
  ekho backup show ekho.tar
  ekho backup verify ekho.tar
  ekho backup restore ekho.tar --data-dir /var/lib/ekho

The master secret (secrets.toml, or EKHO_MASTER_SECRET) is not in a backup, and without it no agent
can sign in: keep it apart. Messages are in it, readable.";

/// Back up a running relay; check and restore backups.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct BackupArgs {
    #[command(subcommand)]
    command: BackupCommand,
}

#[derive(Debug, Subcommand)]
enum BackupCommand {
    Create(create::CreateArgs),
    Verify(show::VerifyArgs),
    Show(show::ShowArgs),
    Restore(restore::RestoreArgs),
}

pub(super) async fn run(args: BackupArgs) -> Result<(), CliError> {
    match args.command {
        BackupCommand::Create(args) => create::run(args).await,
        BackupCommand::Verify(args) => show::verify(&args),
        BackupCommand::Show(args) => show::show(&args),
        BackupCommand::Restore(args) => restore::run(args).await,
    }
}

/// What a backup says of itself, without the names of its files.
fn summary(file: &Path, size_bytes: u64, manifest: &Manifest) -> Value {
    json!({
        "file": file.display().to_string(),
        "size_bytes": size_bytes,
        "label": manifest.label,
        "up_to": Iso(manifest.point.at_ms),
        "log_index": manifest.point.log_index,
        "cluster_id": manifest.cluster_id,
        "release": manifest.release,
        "sealing_key_id": manifest.sealing_key_id,
        "fleets": manifest.counts.fleets,
        "agents": manifest.counts.agents,
        "messages_open": manifest.counts.messages_open,
        "messages_accepted": manifest.counts.messages_accepted,
        "files": manifest.files.len(),
        "attachments": manifest.attachments.files,
        "attachments_missing": manifest.attachments.missing,
    })
}

/// Which point in time a backup reaches to, for people.
fn point(manifest: &Manifest) -> String {
    format!(
        "everything accepted up to {} (log entry {})",
        Iso(manifest.point.at_ms),
        manifest.point.log_index
    )
}

/// A bar on a terminal.
fn bar(whole_bytes: Option<u64>) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(whole_bytes, ProgressDrawTarget::stderr_with_hz(4));
    let template = "{bar:40} {bytes} of {total_bytes}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

fn unusable(file: &Path) -> impl FnOnce(BackupError) -> CliError {
    let path: PathBuf = file.to_path_buf();
    move |source| match source {
        BackupError::Io(source) => CliError::File { path, source },
        source => CliError::Backup { path, source },
    }
}
