//! Backups that are named after their time, and of which the newest are kept. Touches no file that
//! is named otherwise.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use ekho_storage::tables::TimeMs;

use crate::cli::CliError;
use crate::clock::Iso;

const BEFORE: &str = "ekho-";
const BEHIND: &str = ".tar";
/// `20260131T120000.000Z`
const TIME_CHARS: usize = 20;

/// The name of a backup that is taken now. Names are in the order of their times.
pub(super) fn name(now_ms: TimeMs) -> String {
    let mut time = Iso(now_ms).to_string();
    time.retain(|char| !matches!(char, '-' | ':'));
    format!("{BEFORE}{time}{BEHIND}")
}

fn is_ours(name: &str) -> bool {
    let time = name
        .strip_prefix(BEFORE)
        .and_then(|rest| rest.strip_suffix(BEHIND));
    time.is_some_and(|time| {
        time.len() == TIME_CHARS
            && time.chars().enumerate().all(|(at, char)| match at {
                8 => char == 'T',
                15 => char == '.',
                19 => char == 'Z',
                _ => char.is_ascii_digit(),
            })
    })
}

/// Removes all but the newest and the one that was just made, whatever the clock said then; those that
/// are gone.
pub(super) fn thin_out(directory: &Path, keep: u64, made: &Path) -> Result<Vec<PathBuf>, CliError> {
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        move |source| CliError::File { path, source }
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed(directory))? {
        let name = entry.map_err(failed(directory))?.file_name();
        if let Some(name) = name.to_str().filter(|name| is_ours(name)) {
            names.push(name.to_string());
        }
    }
    names.retain(|name| made.file_name() != Some(name.as_ref()));
    names.sort();
    let keep = usize::try_from(keep.saturating_sub(1)).unwrap_or(usize::MAX);
    names.truncate(names.len().saturating_sub(keep));
    let mut removed = Vec::new();
    for name in names {
        let path = directory.join(name);
        match fs::remove_file(&path) {
            Ok(()) => removed.push(path),
            // Another run was quicker.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(failed(&path)(error)),
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept_and_strangers_are_not_touched() -> Result<(), Box<dyn std::error::Error>>
    {
        let directory = tempfile::tempdir()?;
        let day_ms = 24 * 3600 * 1000;
        let names: Vec<String> = (0..5)
            .map(|day| name(1_790_000_000_123 + day * day_ms))
            .collect();
        assert!(names.iter().all(|name| is_ours(name)), "{names:?}");
        let strangers = [
            "ekho.tar",
            "ekho-mine.tar",
            "ekho-20260131T120000.000Z.tar.partial",
        ];
        for name in names.iter().map(String::as_str).chain(strangers) {
            fs::write(directory.path().join(name), name)?;
        }
        let newest = directory.path().join(&names[4]);
        let removed = thin_out(directory.path(), 2, &newest)?;
        let wanted: Vec<PathBuf> = names[..3]
            .iter()
            .map(|name| directory.path().join(name))
            .collect();
        assert_eq!(removed, wanted);
        for name in names[3..].iter().map(String::as_str).chain(strangers) {
            assert!(directory.path().join(name).exists(), "{name}");
        }
        assert!(thin_out(directory.path(), 2, &newest)?.is_empty());
        // The clock was set back before this one was made.
        let made = directory.path().join(name(1_700_000_000_000));
        fs::write(&made, "made")?;
        let removed = thin_out(directory.path(), 1, &made)?;
        assert_eq!(removed.len(), 2);
        assert!(made.exists());
        Ok(())
    }
}
