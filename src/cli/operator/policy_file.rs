//! `ekho policies export` and `import`: policies as a file.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use super::policies::PATH;
use super::read_text;
use crate::cli::ask::Sure;
use crate::cli::client::Query;
use crate::cli::remote::Relay;
use crate::cli::{CliError, print};

/// A larger file holds no policies.
const FILE_MAX_BYTES: u64 = 16 << 20;

/// Every policy as a file that `import` takes, in YAML.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho policies export > policies.yaml
  ekho policies export --out policies.yaml")]
pub(super) struct ExportArgs {
    /// Where to [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Make the policies of a file hold, all of them or nothing.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho policies import policies.yaml --dry-run
  ekho policies import policies.yaml
  ekho policies import policies.yaml --delete-others --yes")]
pub(super) struct ImportArgs {
    /// The file, YAML or JSON; - for standard input
    file: PathBuf,

    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,

    /// Remove all policies that are not in the file
    #[arg(long)]
    delete_others: bool,

    #[command(flatten)]
    sure: Sure,
}

impl ImportArgs {
    /// Asks where policies are to be removed.
    pub fn check(&self) -> Result<(), CliError> {
        match self.delete_others && !self.dry_run {
            true => self
                .sure
                .check("Remove the policies that are not in the file"),
            false => Ok(()),
        }
    }
}

pub(super) async fn export(relay: &Relay, args: &ExportArgs) -> Result<(), CliError> {
    let client = relay.client();
    let path = format!("{PATH}/export");
    let mut answer = client.download(&path, &Query::new()).await?;
    let mut text = Vec::new();
    while let Some(chunk) = client.next_chunk(&mut answer).await? {
        text.extend_from_slice(&chunk);
    }
    match &args.out {
        Some(path) => fs::write(path, &text).map_err(|source| CliError::File {
            path: path.clone(),
            source,
        }),
        None => print(String::from_utf8_lossy(&text).trim_end()),
    }
}

pub(super) async fn import(relay: &Relay, args: &ImportArgs) -> Result<(), CliError> {
    let policies = read_file(&args.file)?;
    let (others, dry) = (args.delete_others, args.dry_run);
    let path = format!("{PATH}/import?delete_others={others}&dry_run={dry}");
    let answer = relay.post(&path, &policies).await?;
    let count = |name: &str| answer[name].as_u64().unwrap_or_default();
    let would = if dry { "would be " } else { "" };
    let sentence = format!(
        "{would}created: {}, updated: {}, unchanged: {}, deleted: {}",
        count("created"),
        count("updated"),
        count("unchanged"),
        count("deleted")
    );
    relay.done(&answer, &sentence)
}

/// An object in YAML, of which JSON is a part.
pub(super) fn read_file(path: &Path) -> Result<Value, CliError> {
    let text = read_text(path, FILE_MAX_BYTES)?;
    let refuse = |why: String| CliError::Content {
        path: path.to_path_buf(),
        why,
    };
    let value: Value = serde_saphyr::from_str(&text).map_err(|error| refuse(error.to_string()))?;
    match value {
        Value::Object(_) => Ok(value),
        _ => Err(refuse("an object is expected, as YAML or JSON".into())),
    }
}
