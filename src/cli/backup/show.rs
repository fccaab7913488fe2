//! `ekho backup show` and `verify`: what a backup says of itself, and whether it is whole.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{bar, point, summary, unusable};
use crate::backup::{self, Nothing, Opened};
use crate::cli::{CliError, print, print_json, show as shown};

/// What a backup says of itself: label, point in time, how much is in it.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  ekho backup show ekho.tar\n  ekho backup show ekho.tar --json"
)]
pub(super) struct ShowArgs {
    /// The backup
    file: PathBuf,

    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Check a backup: nothing changed, nothing missing. Needs no relay.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho backup verify ekho.tar
  ekho backup verify ekho.tar --json

Reads all of it and compares every file with its SHA-256. Exit code 1 where anything differs.")]
pub(super) struct VerifyArgs {
    /// The backup
    file: PathBuf,

    /// The result as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn show(args: &ShowArgs) -> Result<(), CliError> {
    let opened = Opened::open(&args.file).map_err(unusable(&args.file))?;
    let summary = summary(&args.file, opened.size_bytes, &opened.manifest);
    match args.json {
        true => print_json(&summary),
        false => print(&shown::fields(&summary)),
    }
}

pub(super) fn verify(args: &VerifyArgs) -> Result<(), CliError> {
    let checked = Opened::open(&args.file).and_then(|opened| {
        let bar = bar(Some(opened.size_bytes));
        let checked = backup::read(bar.wrap_read(opened.file), &mut Nothing);
        bar.finish_and_clear();
        checked
    });
    match checked {
        Ok(checked) if args.json => {
            let mut result = summary(&args.file, checked.size_bytes, &checked.manifest);
            result["intact"] = true.into();
            print_json(&result)
        }
        Ok(checked) => print(&format!(
            "intact: {} files, {}, {}",
            checked.manifest.files.len() as u64 + checked.manifest.attachments.files,
            indicatif::BinaryBytes(checked.size_bytes),
            point(&checked.manifest)
        )),
        Err(error) => {
            if args.json {
                print_json(&json!({ "intact": false, "why": error.to_string() }))?;
            }
            Err(unusable(&args.file)(error))
        }
    }
}
