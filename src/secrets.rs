//! The two secrets of a relay: one keys the operators' sessions, the master seals agents' keys on
//! disk. They come from configuration, else from `DATA_DIR/secrets.toml`, which setup makes. While
//! the master secret is changed there is a third, which takes its place.
//!
//! Touches that file and nothing else.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};

use rand::Rng;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::config::Config;

/// The file of the data directory that holds what configuration does not.
pub const FILE_NAME: &str = "secrets.toml";
/// The value that examples carry and nobody may keep.
const PLACEHOLDER: &str = "change-me";
/// Used when nothing is set and `EKHO_DEV_INSECURE` allows it. Fixed, so that a restarted relay
/// still opens what it sealed.
const DEVELOPMENT: &str = "insecure-development-secret";
/// A shorter secret can be guessed offline by whoever has a copy of the data.
const SHORT_CHARS: usize = 16;
const GENERATED_BYTES: usize = 32;
/// First lines of a file while the master secret is changed, and afterwards.
const CHANGING: &str = "The master secret is being changed: see docs/runbooks/master-secret.md.";
const CHANGED: &str = "Keep a copy apart from the data: without it no agent can sign in.";
const MAX_FILE_BYTES: u64 = 64 << 10;

/// The secrets a relay runs with.
#[derive(Clone)]
pub struct Secrets {
    /// Seals agents' keys on disk.
    pub master: Zeroizing<String>,
    /// Takes the master secret's place, while that is changed.
    pub next_master: Option<Zeroizing<String>>,
    /// Keys the operators' sessions.
    pub session: Zeroizing<String>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

/// Why there are no secrets to run with.
#[derive(Debug, Error)]
pub enum SecretsError {
    /// Neither configuration nor the file has a session secret.
    #[error(
        "no session secret in EKHO_OPERATOR_SESSION_SECRET or {path}: run `ekho setup`, which makes \
         one (or EKHO_DEV_INSECURE=1, to start without)",
        path = path.display()
    )]
    Missing {
        /// The file that was looked for.
        path: PathBuf,
    },
    /// A secret is the one of the examples.
    #[error(
        "{variable} is `change-me`, which everybody knows: set another one, or unset it and run \
         `ekho setup` (EKHO_DEV_INSECURE=1 starts with it)"
    )]
    Placeholder {
        /// The variable of the secret.
        variable: &'static str,
    },
    /// Others can read the file.
    #[error("{path} can be read by others (mode {mode:04o}): chmod 600 {path}", path = path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file is not one that setup wrote. What is in it is not shown.
    #[error("{path} is damaged ({why}): restore it from your copy", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        why: &'static str,
    },
    /// The next master secret is the present one.
    #[error("that is the present master secret")]
    NotNew,
    /// There is another next one.
    #[error(
        "{path} has another next_master_secret already, which the relay may have begun to use",
        path = path.display()
    )]
    AnotherNext {
        /// The file.
        path: PathBuf,
    },
    /// There is nothing to finish.
    #[error("{path} has no next_master_secret", path = path.display())]
    NoNext {
        /// The file.
        path: PathBuf,
    },
    /// The environment, not the file, has the secrets.
    #[error(
        "{variable} is set, and the file would not be looked at: change the master secret where \
         that is set"
    )]
    Configured {
        /// The variable.
        variable: &'static str,
    },
    /// The directory holds a relay's data, but not the secrets that open it.
    #[error(
        "{dir} holds a relay's data and no {FILE_NAME}: restore that file from your copy, or set \
         EKHO_OPERATOR_SESSION_SECRET and EKHO_MASTER_SECRET as they were",
        dir = dir.display()
    )]
    Lost {
        /// The data directory.
        dir: PathBuf,
    },
    /// The file cannot be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What the file holds; either may be absent where configuration gave it when setup ran.
#[derive(Default, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
struct Stored {
    #[serde(skip_serializing_if = "Option::is_none")]
    operator_session_secret: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    master_secret: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_master_secret: Option<String>,
}

/// Secrets, with what an operator should know about them.
#[derive(Debug)]
pub struct Resolved {
    /// The secrets.
    pub secrets: Secrets,
    /// One sentence each.
    pub warnings: Vec<String>,
    /// Whether the session secret comes from the file.
    pub session_from_file: bool,
    /// Whether the master secret comes from the file.
    pub master_from_file: bool,
}

/// Where the secrets file of a data directory is.
pub fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(FILE_NAME)
}

/// Finds the secrets: configuration first, then the file.
pub fn resolve(config: &Config) -> Result<Resolved, SecretsError> {
    let path = path(&config.data_dir);
    let mut stored = read(&path)?.unwrap_or_default();
    let mut warnings = Vec::new();
    let either = |configured: &Option<Zeroizing<String>>, stored: Option<String>| match configured {
        Some(secret) => (Some(secret.clone()), false),
        None => {
            let is_stored = stored.is_some();
            (stored.map(Zeroizing::new), is_stored)
        }
    };
    let (session, session_from_file) = either(
        &config.operator_session_secret,
        stored.operator_session_secret.take(),
    );
    let (master, master_from_file) = either(&config.master_secret, stored.master_secret.take());
    let session = match session {
        Some(secret) => secret,
        None if config.dev_insecure => {
            warnings
                .push("no session secret: using a public one, as EKHO_DEV_INSECURE allows".into());
            Zeroizing::new(DEVELOPMENT.to_string())
        }
        None => return Err(SecretsError::Missing { path }),
    };
    check(
        "EKHO_OPERATOR_SESSION_SECRET",
        &session,
        config.dev_insecure,
        &mut warnings,
    )?;
    let master = match master {
        Some(secret) => {
            check(
                "EKHO_MASTER_SECRET",
                &secret,
                config.dev_insecure,
                &mut warnings,
            )?;
            secret
        }
        None => {
            warnings.push(
                "EKHO_MASTER_SECRET is not set: the session secret seals agents' keys as well, and \
                 changing it would lock every agent out"
                    .into(),
            );
            session.clone()
        }
    };
    let stored_next = stored.next_master_secret.take();
    let (mut next_master, _) = either(&config.next_master_secret, stored_next);
    if let Some(next) = &next_master {
        let variable = "EKHO_NEXT_MASTER_SECRET";
        check(variable, next, config.dev_insecure, &mut warnings)?;
        // As it is for a moment, node after node, where the environment holds them.
        if *next == master {
            warnings.push(format!("{variable} is the master secret already: unset it"));
            next_master = None;
        }
    }
    Ok(Resolved {
        secrets: Secrets {
            master,
            next_master,
            session,
        },
        warnings,
        session_from_file,
        master_from_file,
    })
}

/// Keeps the secrets of a cluster that this node joined, where configuration does not have them.
/// What a file says already must be the same, but for a next master secret that it lacks.
pub fn keep(
    config: &Config,
    master: &str,
    next_master: Option<&str>,
    session: &str,
) -> Result<(), SecretsError> {
    let path = path(&config.data_dir);
    let wanted = |configured: bool, secret: &str| (!configured).then(|| secret.to_string());
    let next = next_master.and_then(|next| wanted(config.next_master_secret.is_some(), next));
    let stored = Stored {
        operator_session_secret: wanted(config.operator_session_secret.is_some(), session),
        master_secret: wanted(config.master_secret.is_some(), master),
        next_master_secret: next,
    };
    let first_line = "Of the cluster that this node joined.";
    if let Some(there) = read(&path)? {
        let (next_there, next) = (&there.next_master_secret, &stored.next_master_secret);
        let same = there.operator_session_secret == stored.operator_session_secret
            && there.master_secret == stored.master_secret
            && (next_there.is_none() || next.is_none() || next_there == next);
        return match same {
            true if next_there.is_none() && next.is_some() => rewrite(path, &stored, first_line),
            true => Ok(()),
            false => Err(SecretsError::Damaged {
                path,
                why: "it has other secrets than the cluster that was joined",
            }),
        };
    }
    if stored.operator_session_secret.is_none()
        && stored.master_secret.is_none()
        && stored.next_master_secret.is_none()
    {
        return Ok(());
    }
    write(path, &stored, first_line)
}

/// Keeps the master secret to come in the file; whether it was not there yet.
pub fn keep_next(config: &Config, next: &str) -> Result<bool, SecretsError> {
    if config.next_master_secret.is_some() {
        let variable = "EKHO_NEXT_MASTER_SECRET";
        return Err(SecretsError::Configured { variable });
    }
    let path = path(&config.data_dir);
    let resolved = resolve(config)?;
    check("the secret", next, config.dev_insecure, &mut Vec::new())?;
    if *resolved.secrets.master == next {
        return Err(SecretsError::NotNew);
    }
    match resolved.secrets.next_master {
        Some(there) if *there == next => return Ok(false),
        Some(_) => return Err(SecretsError::AnotherNext { path }),
        None => {}
    }
    let mut stored = read(&path)?.unwrap_or_default();
    stored.next_master_secret = Some(next.to_string());
    rewrite(path, &stored, CHANGING)?;
    Ok(true)
}

/// Puts the next master secret in the place of the present one, in the file.
pub fn finish(config: &Config) -> Result<(), SecretsError> {
    for (is_set, variable) in [
        (config.master_secret.is_some(), "EKHO_MASTER_SECRET"),
        (
            config.next_master_secret.is_some(),
            "EKHO_NEXT_MASTER_SECRET",
        ),
    ] {
        if is_set {
            return Err(SecretsError::Configured { variable });
        }
    }
    let path = path(&config.data_dir);
    let mut stored = read(&path)?.unwrap_or_default();
    let Some(next) = stored.next_master_secret.take() else {
        return Err(SecretsError::NoNext { path });
    };
    stored.master_secret = Some(next);
    rewrite(path, &stored, CHANGED)
}

fn rewrite(path: PathBuf, stored: &Stored, first_line: &str) -> Result<(), SecretsError> {
    let text = as_toml(&path, stored, first_line)?;
    replace(&path, text.as_bytes()).map_err(|source| SecretsError::Io { path, source })
}

fn write(path: PathBuf, stored: &Stored, first_line: &str) -> Result<(), SecretsError> {
    let text = as_toml(&path, stored, first_line)?;
    create(&path, text.as_bytes()).map_err(|source| SecretsError::Io { path, source })
}

fn as_toml(
    path: &Path,
    stored: &Stored,
    first_line: &str,
) -> Result<Zeroizing<String>, SecretsError> {
    let text = Zeroizing::new(toml::to_string(stored).map_err(|_| SecretsError::Damaged {
        path: path.to_path_buf(),
        why: "cannot be written as TOML",
    })?);
    Ok(Zeroizing::new(format!("# {first_line}\n{}", text.as_str())))
}

/// Makes the secrets that neither configuration nor the file has, and keeps them in the file. An
/// existing file is not changed. Says whether one was made.
///
/// Where the directory already holds a relay's data, nothing new is made: a new master secret
/// could not open what is there.
pub fn ensure(config: &Config) -> Result<bool, SecretsError> {
    let path = path(&config.data_dir);
    if read(&path)?.is_some() {
        return Ok(false);
    }
    let needs_session = config.operator_session_secret.is_none();
    let needs_master = config.master_secret.is_none();
    if !needs_session && !needs_master {
        return Ok(false);
    }
    if config.data_dir.join("cluster.json").exists() {
        // A relay that ran with the session secret alone goes on with it.
        return if needs_session {
            Err(SecretsError::Lost {
                dir: config.data_dir.clone(),
            })
        } else {
            Ok(false)
        };
    }
    let stored = Stored {
        operator_session_secret: needs_session.then(generate),
        master_secret: needs_master.then(generate),
        next_master_secret: None,
    };
    let first_line =
        "Made by `ekho setup`. Keep a copy apart from the data: without it no agent can sign in.";
    write(path, &stored, first_line)?;
    Ok(true)
}

/// Writes a file that only its owner can read and that was not there before; whole and durable
/// when this returns, absent when it fails.
pub fn create(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = write_beside(path, content)?;
    // A link, unlike a rename, does not replace a file that came to be meanwhile.
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary)?;
    linked?;
    sync_parent(path)
}

/// As [`create`], but replaces what is there. It stays that owner's whose it was.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = write_beside(path, content)?;
    if let (Ok(before), Ok(now)) = (fs::metadata(path), fs::metadata(&temporary))
        && (before.uid(), before.gid()) != (now.uid(), now.gid())
    {
        chown(&temporary, Some(before.uid()), Some(before.gid()))?;
    }
    fs::rename(&temporary, path)?;
    sync_parent(path)
}

fn write_beside(path: &Path, content: &[u8]) -> io::Result<PathBuf> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.new", std::process::id()));
    let temporary = path.with_file_name(name);
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    Ok(temporary)
}

fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

/// A secret of 256 random bits, as text.
pub fn generate() -> String {
    let mut bytes = Zeroizing::new([0u8; GENERATED_BYTES]);
    rand::rng().fill_bytes(bytes.as_mut());
    hex::encode(bytes.as_ref())
}

fn check(
    variable: &'static str,
    secret: &str,
    dev_insecure: bool,
    warnings: &mut Vec<String>,
) -> Result<(), SecretsError> {
    if secret == PLACEHOLDER {
        if !dev_insecure {
            return Err(SecretsError::Placeholder { variable });
        }
        warnings.push(format!(
            "{variable} is `change-me`, as EKHO_DEV_INSECURE allows"
        ));
    } else if secret.chars().count() < SHORT_CHARS {
        warnings.push(format!(
            "{variable} has fewer than {SHORT_CHARS} characters and can be guessed"
        ));
    }
    Ok(())
}

fn read(path: &Path) -> Result<Option<Stored>, SecretsError> {
    let io = |source| SecretsError::Io {
        path: path.to_path_buf(),
        source,
    };
    let damaged = |why| SecretsError::Damaged {
        path: path.to_path_buf(),
        why,
    };
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    let metadata = file.metadata().map_err(io)?;
    if !metadata.is_file() || metadata.len() > MAX_FILE_BYTES {
        return Err(damaged("not a small file"));
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(SecretsError::Exposed {
            path: path.to_path_buf(),
            mode,
        });
    }
    let mut text = Zeroizing::new(String::new());
    file.read_to_string(&mut text).map_err(io)?;
    // The parser's own error would quote what is in the file.
    let stored: Stored =
        toml::from_str(&text).map_err(|_| damaged("not the TOML that setup writes"))?;
    let is_empty = |secret: &Option<String>| secret.as_ref().is_some_and(String::is_empty);
    if is_empty(&stored.operator_session_secret)
        || is_empty(&stored.master_secret)
        || is_empty(&stored.next_master_secret)
    {
        return Err(damaged("an empty secret"));
    }
    Ok(Some(stored))
}

#[cfg(test)]
#[path = "secrets_tests.rs"]
mod tests;
