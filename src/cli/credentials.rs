//! `credentials.json`: how the owner signs in, kept by setup for the owner's eyes.
//!
//! While setup runs the same data lies in `credentials.json.pending`, so that a set-up cut short
//! after the relay has taken the password does not lose it. `ekho credentials` shows the file to
//! whoever may read it, also where nothing else could: in a container without a shell.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{CliError, Place, print, print_json, say};
use crate::config::Config;
use crate::secrets;

const FILE_NAME: &str = "credentials.json";
const PENDING: &str = "credentials.json.pending";

const EXAMPLES: &str = "\
Examples:
  ekho credentials
  ekho credentials --json
  ekho credentials --forget    shows them for the last time, and removes the file

`ekho setup` and `ekho serve --setup` leave them in the data directory of the node that began.
Without the file, commands on that machine need `ekho login`.";

/// Show how the owner signs in: what setup left in credentials.json, with the password.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CredentialsArgs {
    #[command(flatten)]
    place: Place,

    /// As JSON
    #[arg(long)]
    json: bool,

    /// Remove the file once it is shown
    #[arg(long)]
    forget: bool,
}

pub(super) fn run(args: &CredentialsArgs) -> Result<(), CliError> {
    let config = Config::load(&args.place.flags())?;
    let path = path(&config.data_dir);
    let there = Credentials::read(&path)?.ok_or_else(|| CliError::Content {
        path: path.clone(),
        why: "it is not there: nobody ran `ekho setup` here, or somebody took it away".into(),
    })?;
    if args.json {
        print_json(&there)?;
    } else {
        print(&format!(
            "relay     {}\nfleet     {} ({})\nowner     {}\npassword  {}",
            there.relay_url, there.fleet_name, there.fleet_id, there.email, there.password
        ))?;
    }
    if args.forget {
        let removed = fs::remove_file(&path).and_then(|()| sync_directory(&config.data_dir));
        removed.map_err(|source| CliError::File {
            path: path.clone(),
            source,
        })?;
        say(&format!("{} is removed", path.display()));
    }
    Ok(())
}

/// The owner's sign-in data.
#[derive(Clone, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub(super) struct Credentials {
    /// How agents reach the relay.
    pub relay_url: String,
    /// Known when the relay is set up.
    #[serde(default)]
    pub fleet_id: String,
    pub fleet_name: String,
    pub email: String,
    pub password: String,
}

/// Where the file of a data directory is.
pub(super) fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE_NAME)
}

/// Where the file of an unfinished setup is.
pub(super) fn pending_path(data_dir: &Path) -> PathBuf {
    data_dir.join(PENDING)
}

impl Credentials {
    /// Reads a file; none where it is not there.
    pub fn read(path: &Path) -> Result<Option<Self>, CliError> {
        let failed = |source| CliError::File {
            path: path.to_path_buf(),
            source,
        };
        let bytes = match fs::read(path) {
            Ok(bytes) => Zeroizing::new(bytes),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mode = fs::metadata(path).map_err(failed)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            say(&format!(
                "warning: {0} can be read by others: chmod 600 {0}",
                path.display()
            ));
        }
        // The parser's own error could quote what is in the file.
        let credentials = serde_json::from_slice(&bytes).map_err(|_| CliError::Content {
            path: path.to_path_buf(),
            why: "it is not the JSON that `ekho setup` writes".into(),
        })?;
        Ok(Some(credentials))
    }

    /// Writes a file for its owner only; what was there is replaced.
    pub fn write(&self, path: &Path) -> Result<(), CliError> {
        let failed = |source| CliError::File {
            path: path.to_path_buf(),
            source,
        };
        let text = serde_json::to_vec_pretty(self).map_err(|error| failed(error.into()))?;
        secrets::replace(path, &Zeroizing::new(text)).map_err(failed)
    }

    /// Ends a setup: what was pending, now whole, takes its place.
    pub fn finish(&self, data_dir: &Path) -> Result<(), CliError> {
        let (pending, path) = (pending_path(data_dir), path(data_dir));
        self.write(&pending)?;
        let renamed = fs::rename(&pending, &path).and_then(|()| sync_directory(data_dir));
        renamed.map_err(|source| CliError::File { path, source })
    }
}

fn sync_directory(data_dir: &Path) -> io::Result<()> {
    File::open(data_dir)?.sync_all()
}
