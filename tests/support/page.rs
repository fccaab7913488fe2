//! Pages of documentation that are written by running what they show.
//!
//! `UPDATE_DOCS=1` in the environment of a test writes its page anew; without it, the page is held
//! against what the commands print now. Ids, times and secrets are made stable: the first id of a
//! kind becomes number 1, every time the same one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use regex::{Captures, Regex};

/// The page so far, and a shell to go on with.
pub struct Session {
    home: PathBuf,
    page: String,
    stable: Stable,
    env: Vec<(String, String)>,
}

impl Session {
    /// A page that begins so, written by commands that run in `home`.
    pub fn new(home: &Path, head: &str, stable: Stable) -> Self {
        Session {
            home: home.to_path_buf(),
            page: head.into(),
            stable,
            env: Vec::new(),
        }
    }

    /// Sets a variable for the commands that follow, which the page does not show.
    pub fn env(&mut self, name: &str, value: &str) {
        self.env.push((name.into(), value.into()));
    }

    /// Shows this text in place of that from here on.
    pub fn replace(&mut self, from: &str, to: &'static str) {
        self.stable.replaced.push((from.into(), to));
    }

    /// Holds the page against the one in docs/, or writes that anew.
    pub fn check(self, name: &str) {
        let path = super::root().join("docs").join(name);
        if std::env::var_os("UPDATE_DOCS").is_some() {
            fs::write(&path, &self.page).unwrap();
        }
        let written = fs::read_to_string(&path).unwrap();
        for (number, (before, now)) in written.lines().zip(self.page.lines()).enumerate() {
            let line = number + 1;
            assert_eq!(
                before, now,
                "docs/{name}, line {line}; UPDATE_DOCS=1 writes it anew"
            );
        }
        assert_eq!(
            written, self.page,
            "docs/{name}; UPDATE_DOCS=1 writes it anew"
        );
    }

    /// A heading.
    pub fn title(&mut self, title: &str) {
        self.page.push_str(&format!("\n## {title}\n"));
    }

    /// A paragraph.
    pub fn text(&mut self, text: &str) {
        let text = self.stable.of(text);
        self.page.push_str(&format!("\n{text}\n"));
    }

    /// A line that the test runs in a way of its own.
    pub fn show(&mut self, line: &str) {
        self.page.push_str(&format!("\n    $ {line}\n"));
    }

    /// Runs a line that must succeed, writes down what it prints, and returns that.
    pub fn run(&mut self, line: &str) -> String {
        self.run_to(line, 0)
    }

    /// Runs a line that ends with this exit code.
    pub fn run_to(&mut self, line: &str, code: i32) -> String {
        let output = self.shell(line);
        assert_eq!(output.0, Some(code), "{line}: {}", output.1);
        let mut block = format!("\n    $ {line}\n");
        for printed in output.1.lines() {
            block.push_str(format!("    {printed}").trim_end());
            block.push('\n');
        }
        let block = self.stable.of(&block);
        self.page.push_str(&block);
        output.1
    }

    /// A line's exit code and all that it prints.
    fn shell(&self, line: &str) -> (Option<i32>, String) {
        let binary = super::binary();
        let binary = binary.parent().unwrap();
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("sh");
        command.args(["-c", &format!("({line}) 2>&1")]);
        command.current_dir(&self.home).env_clear();
        command.env("PATH", format!("{}:{path}", binary.display()));
        command.env("HOME", &self.home).stdin(Stdio::null());
        for (name, value) in &self.env {
            command.env(name, value);
        }
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), text)
    }
}

/// Makes a page the same however often it is written.
pub struct Stable {
    /// Digits seen, by prefix, in the order in which they came.
    ids: BTreeMap<String, Vec<String>>,
    replaced: Vec<(String, &'static str)>,
    id: Regex,
    iso: Regex,
    short: Regex,
    hash: Regex,
    latency: Regex,
    public_key: Regex,
    request: Regex,
    patterns: Vec<(Regex, &'static str)>,
    lines: Vec<fn(&str) -> Option<String>>,
}

impl Stable {
    /// Replaces these texts as they are.
    pub fn new(replaced: Vec<(String, &'static str)>) -> Self {
        Stable {
            ids: BTreeMap::new(),
            replaced,
            id: Regex::new(r"\b([a-z]+)_([0-9a-f]{64}|[0-9a-f]{32}|[0-9a-f]{16})").unwrap(),
            iso: Regex::new(r"\b20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z").unwrap(),
            short: Regex::new(r"\b20\d\d-\d\d-\d\d \d\d:\d\d:\d\dZ").unwrap(),
            public_key: Regex::new(r"MCowBQYDK2VwAyEA[A-Za-z0-9+/]{43}=").unwrap(),
            latency: Regex::new(r"after \d+ ms").unwrap(),
            hash: Regex::new(r"\b[0-9a-f]{64}\b").unwrap(),
            request: Regex::new(r"\breq_[0-9a-f]+").unwrap(),
            patterns: Vec::new(),
            lines: Vec::new(),
        }
    }

    /// Replaces lines that this knows.
    pub fn lines(&mut self, known: fn(&str) -> Option<String>) {
        self.lines.push(known);
    }

    /// Replaces what looks like this.
    pub fn pattern(&mut self, pattern: &str, to: &'static str) {
        self.patterns.push((Regex::new(pattern).unwrap(), to));
    }

    /// Text without what differs from run to run.
    pub fn of(&mut self, text: &str) -> String {
        let mut text = text.to_string();
        for (from, to) in &self.replaced {
            text = text.replace(from, to);
        }
        for (pattern, to) in &self.patterns {
            text = pattern.replace_all(&text, *to).into_owned();
        }
        for known in &self.lines {
            let lines = text.split('\n');
            let lines: Vec<String> = lines
                .map(|line| known(line).unwrap_or_else(|| line.to_string()))
                .collect();
            text = lines.join("\n");
        }
        let text = self.request.replace_all(&text, "req_…");
        let ids = &mut self.ids;
        // As long as before, so that tables stay in step.
        let text = self.id.replace_all(&text, |found: &Captures<'_>| {
            let (prefix, digits) = (&found[1], &found[2]);
            let known = ids.entry(prefix.into()).or_default();
            let place = known.iter().position(|one| one == digits);
            let place = place.unwrap_or_else(|| {
                known.push(digits.into());
                known.len() - 1
            });
            format!("{prefix}_{:0width$}", place + 1, width = digits.len())
        });
        let text = self.latency.replace_all(&text, "after 2 ms");
        let text = self.hash.replace_all(&text, "3f1c…");
        let text = self.public_key.replace_all(&text, "MCowBQYDK2VwAyEA…");
        let text = self.iso.replace_all(&text, "2026-01-31T12:00:00.000Z");
        let text = self.short.replace_all(&text, "2026-01-31 12:00:00Z");
        text.into_owned()
    }
}

/// The first word that begins so.
pub fn word(text: &str, prefix: &str) -> String {
    let mut words = text.split(|c: char| c.is_whitespace() || ",:;\"".contains(c));
    let found = words.find(|word| word.starts_with(prefix));
    found
        .unwrap_or_else(|| panic!("no {prefix} in {text}"))
        .to_string()
}
