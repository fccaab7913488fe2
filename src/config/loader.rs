//! Looks each setting up in flags, environment, file and default, in this order, and records what
//! it found. Reads the environment and at most one TOML file; knows no setting.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::MASK;
use super::entry::{Entry, Scope, Source};

/// A larger file is not a configuration.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Variables of the original relay that are accepted and do nothing here, and why.
const UNUSED: [(&str, &str); 3] = [
    (
        "EKHO_SWEEP_INTERVAL_MS",
        "nothing is swept here: what is due happens when it is due",
    ),
    (
        "EKHO_SHIELDCORTEX_PATH",
        "extensions are hooks here: run the example content-scanner and register it, as docs/hooks.md says",
    ),
    (
        "EKHO_SHIELDCORTEX_PROFILE",
        "the relay scans nothing itself; the example content-scanner reads it, see docs/hooks.md",
    ),
];

/// Variables of the OpenTelemetry specification, and ours that stand above them. They are environment
/// as well, and so stand above the file.
const STANDARD: [(&str, &str); 3] = [
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "EKHO_OTLP_ENDPOINT"),
    ("OTEL_EXPORTER_OTLP_HEADERS", "EKHO_OTLP_HEADERS"),
    ("OTEL_SERVICE_NAME", "EKHO_OTLP_SERVICE_NAME"),
];

/// Variables that the commands of operators read, and no relay.
const FOR_COMMANDS: [&str; 2] = ["EKHO_TOKEN", "EKHO_SESSION_FILE"];

/// Which setting, and what to say of it.
#[derive(Clone, Copy)]
pub(super) struct Spec {
    pub variable: &'static str,
    pub scope: Scope,
    pub about: &'static str,
}

/// The values found so far, and what is wrong with them.
#[derive(Default)]
pub(super) struct Loader {
    flags: BTreeMap<&'static str, (&'static str, String)>,
    environment: BTreeMap<String, String>,
    file: Option<File>,
    /// Variables asked for; whatever else is set is unknown.
    known: BTreeSet<&'static str>,
    pub entries: Vec<Entry>,
    pub warnings: Vec<String>,
    pub problems: Vec<String>,
}

struct File {
    path: PathBuf,
    values: BTreeMap<String, String>,
    is_private: bool,
}

/// A value as text, before it is parsed.
struct Found {
    text: String,
    source: Source,
}

impl Loader {
    /// Takes what begins with `EKHO_`, or is of a standard, and is not empty: an empty variable counts
    /// as unset, because container tools pass on unset variables as empty ones.
    pub fn new(environment: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut loader = Loader::default();
        for (name, value) in environment {
            let is_ours = |name: &&str| name.starts_with("EKHO_") || is_standard(name);
            let Some(name) = name.to_str().filter(is_ours) else {
                continue;
            };
            match value.into_string() {
                Ok(value) if value.is_empty() => {}
                Ok(value) => {
                    loader.environment.insert(name.to_string(), value);
                }
                Err(_) => loader.problems.push(format!("{name} is not UTF-8 text")),
            }
        }
        loader
    }

    /// Notes a flag that stands above the variable.
    pub fn flag(&mut self, variable: &'static str, flag: &'static str, value: Option<String>) {
        if let Some(value) = value {
            self.flags.insert(variable, (flag, value));
        }
    }

    /// The text of a flag or variable, before any file is read.
    pub fn early(&mut self, variable: &'static str) -> Option<String> {
        self.known.insert(variable);
        let flag = self.flags.get(variable).map(|(_, value)| value.clone());
        flag.or_else(|| self.environment.get(variable).cloned())
    }

    /// Reads the file. Says whether it is there; anything else wrong with it is a problem.
    pub fn read_file(&mut self, path: &Path) -> bool {
        let mut refuse = |why: String| {
            self.problems.push(format!("{}: {why}", path.display()));
            true
        };
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                return false;
            }
            Err(error) => return refuse(error.to_string()),
        };
        if !metadata.is_file() || metadata.len() > MAX_FILE_BYTES {
            return refuse(format!("not a file of at most {MAX_FILE_BYTES} bytes"));
        }
        let text = match fs::read_to_string(path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) => return refuse(error.to_string()),
        };
        let table: toml::Table = match text.parse() {
            Ok(table) => table,
            Err(error) => {
                // Its Display would quote the line, which may hold a secret.
                let error: toml::de::Error = error;
                let line = error.span().map_or(0, |span| line_of(&text, span.start));
                return refuse(format!("line {line}: {}", error.message()));
            }
        };
        let mut values = BTreeMap::new();
        for (key, value) in table {
            match plain(&value) {
                Some(text) => {
                    values.insert(key, text);
                }
                None => self.problems.push(format!(
                    "{key} in {}: text, a number, true, false or a list of numbers is allowed",
                    path.display()
                )),
            }
        }
        let is_private = metadata.permissions().mode() & 0o077 == 0;
        self.file = Some(File {
            path: path.to_path_buf(),
            values,
            is_private,
        });
        true
    }

    /// What the file says, whatever stands above it.
    pub fn in_file(&self, variable: &str) -> Option<&str> {
        self.file
            .as_ref()?
            .values
            .get(&key_of(variable))
            .map(String::as_str)
    }

    fn find(&mut self, variable: &'static str) -> Option<Found> {
        self.known.insert(variable);
        if let Some((flag, text)) = self.flags.get(variable) {
            return Some(Found {
                text: text.clone(),
                source: Source::Flag(flag),
            });
        }
        if let Some(text) = self.environment.get(variable) {
            return Some(Found {
                text: text.clone(),
                source: Source::Environment,
            });
        }
        for &(standard, _) in STANDARD.iter().filter(|(_, ours)| *ours == variable) {
            if let Some(text) = self.environment.get(standard) {
                return Some(Found {
                    text: text.clone(),
                    source: Source::Derived(standard),
                });
            }
        }
        let file = self.file.as_ref()?;
        let text = file
            .values
            .get(&key_of(variable))
            .filter(|text| !text.is_empty())?;
        Some(Found {
            text: text.clone(),
            source: Source::File(file.path.clone()),
        })
    }

    /// The value of a setting, parsed; none where it is not set, or set wrongly, which is noted.
    pub fn optional<T>(
        &mut self,
        spec: Spec,
        parse: impl FnOnce(&str) -> Result<T, String>,
        show: impl FnOnce(&T) -> String,
    ) -> Option<T> {
        let Some(found) = self.find(spec.variable) else {
            self.record(spec, None, Source::Default);
            return None;
        };
        match parse(&found.text) {
            Ok(value) => {
                self.record(spec, Some(show(&value)), found.source);
                Some(value)
            }
            Err(allowed) => {
                let what = named(spec.variable, &found.source);
                self.problems
                    .push(format!("{what} is {:?}: {allowed}", found.text));
                None
            }
        }
    }

    /// The value of a setting, or its default.
    pub fn value<T>(
        &mut self,
        spec: Spec,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, String>,
        show: impl Fn(&T) -> String,
    ) -> T {
        match self.optional(spec, parse, &show) {
            Some(value) => value,
            None => {
                self.fill(spec.variable, show(&default), Source::Default);
                default
            }
        }
    }

    /// A path. One in a file is meant from the file's directory.
    pub fn path(&mut self, spec: Spec) -> Option<PathBuf> {
        let base = self
            .file
            .as_ref()
            .and_then(|file| file.path.parent())
            .map(Path::to_path_buf);
        let Some(found) = self.find(spec.variable) else {
            self.record(spec, None, Source::Default);
            return None;
        };
        let path = match (&found.source, base) {
            (Source::File(_), Some(base)) => base.join(&found.text),
            _ => PathBuf::from(&found.text),
        };
        self.record(spec, Some(path.display().to_string()), found.source);
        Some(path)
    }

    /// A secret: never shown, not even when it is wrong.
    pub fn secret(&mut self, spec: Spec) -> Option<Zeroizing<String>> {
        let found = self.find(spec.variable);
        let Some(found) = found else {
            self.record(spec, None, Source::Default);
            return None;
        };
        if let (Source::File(path), Some(false)) = (
            &found.source,
            self.file.as_ref().map(|file| file.is_private),
        ) {
            self.warnings.push(format!(
                "{path} holds {key} and others can read it: chmod 600 {path}",
                path = path.display(),
                key = key_of(spec.variable),
            ));
        }
        self.record(spec, Some(MASK.to_string()), found.source);
        Some(Zeroizing::new(found.text))
    }

    fn record(&mut self, spec: Spec, value: Option<String>, source: Source) {
        let Spec {
            variable,
            scope,
            about,
        } = spec;
        self.entries.push(Entry {
            variable,
            value,
            source,
            scope,
            about,
        });
    }

    /// Gives an entry that was found unset a value from elsewhere.
    pub fn fill(&mut self, variable: &'static str, value: String, source: Source) {
        if let Some(entry) = self
            .entries
            .iter_mut()
            .find(|entry| entry.variable == variable)
        {
            entry.value = Some(value);
            entry.source = source;
        }
    }

    /// Warns of what is set and has no effect. Called when every setting was asked for.
    pub fn finish(&mut self) {
        let in_file = self.file.iter().flat_map(|file| {
            file.values.keys().map(|key| {
                (
                    variable_of(key),
                    format!("{key} in {}", file.path.display()),
                )
            })
        });
        let in_environment = self
            .environment
            .keys()
            .map(|name| (name.clone(), name.clone()));
        let set: Vec<(String, String)> = in_environment.chain(in_file).collect();
        for (variable, what) in set {
            if self.known.contains(variable.as_str())
                || FOR_COMMANDS.contains(&variable.as_str())
                || is_standard(&variable)
            {
                continue;
            }
            let unused = UNUSED.iter().find(|(name, _)| *name == variable);
            self.warnings.push(match unused {
                Some((_, why)) => format!("{what} is accepted and has no effect: {why}"),
                None => format!("{what} is not a setting of this relay and is ignored"),
            });
        }
    }
}

fn named(variable: &str, source: &Source) -> String {
    match source {
        Source::Flag(flag) => (*flag).to_string(),
        Source::Derived(standard) => (*standard).to_string(),
        Source::File(path) => format!("{} in {}", key_of(variable), path.display()),
        _ => variable.to_string(),
    }
}

fn is_standard(variable: &str) -> bool {
    STANDARD.iter().any(|(standard, _)| *standard == variable)
}

/// `EKHO_DATA_DIR` is `data_dir` in a file.
fn key_of(variable: &str) -> String {
    variable.trim_start_matches("EKHO_").to_ascii_lowercase()
}

fn variable_of(key: &str) -> String {
    format!("EKHO_{}", key.to_ascii_uppercase())
}

/// A value as an environment variable would hold it.
fn plain(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(switch) => Some(switch.to_string()),
        toml::Value::Array(items) => {
            let items: Option<Vec<String>> = items
                .iter()
                .map(|item| item.as_integer().map(|number| number.to_string()))
                .collect();
            items.map(|items| items.join(","))
        }
        _ => None,
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes()
        .take(offset)
        .filter(|byte| *byte == b'\n')
        .count()
        + 1
}
