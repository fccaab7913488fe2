//! Configuration, secrets, clock, file limit and TLS.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::process::Command;

use super::Finding;
use crate::cli::files::FileLimit;
use crate::config::{Config, Source};
use crate::secrets;
use crate::server::Tls;

/// A clock before this was never set: 2025-01-01.
const EARLIEST_SECONDS: u64 = 1_735_689_600;
/// Nor is one after this: 2100-01-01.
const LATEST_SECONDS: u64 = 4_102_444_800;
const TIMEDATECTL_TIMEOUT: Duration = Duration::from_secs(3);

pub(super) fn configuration(config: &Config) -> Vec<Finding> {
    const CHECK: &str = "configuration";
    if config.warnings.is_empty() {
        let entries = config.entries.iter();
        let set =
            entries.filter(|entry| !matches!(entry.source, Source::Default | Source::Derived(_)));
        let set: Vec<&str> = set.map(|entry| entry.variable).collect();
        let set = if set.is_empty() {
            "nothing is set".into()
        } else {
            set.join(", ")
        };
        return vec![Finding::ok(CHECK, format!("valid; {set}"))];
    }
    let warn = |warning: &String| Finding::warn(CHECK, warning.as_str(), "see `ekho config`");
    config.warnings.iter().map(warn).collect()
}

pub(super) fn secrets(config: &Config) -> Vec<Finding> {
    const CHECK: &str = "secrets";
    match secrets::resolve(config) {
        Ok(resolved) if resolved.warnings.is_empty() => {
            vec![Finding::ok(
                CHECK,
                "session and master secret are there, and only for their owner",
            )]
        }
        Ok(resolved) => resolved
            .warnings
            .into_iter()
            .map(|warning| {
                Finding::warn(
                    CHECK,
                    warning,
                    "for a new relay: unset the variables and run `ekho setup`",
                )
            })
            .collect(),
        // The sentences say how to mend it themselves.
        Err(error) => {
            let text = error.to_string();
            let (found, mend) = text
                .split_once(": ")
                .unwrap_or((&text, "see docs/operating.md"));
            vec![Finding::fail(CHECK, found, mend)]
        }
    }
}

pub(super) async fn clock() -> Finding {
    const CHECK: &str = "clock";
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    if !(EARLIEST_SECONDS..LATEST_SECONDS).contains(&now) {
        return Finding::fail(
            CHECK,
            format!("{now} seconds after 1970 cannot be today"),
            "set the clock: timedatectl set-ntp true, or date -s",
        );
    }
    match is_synchronised().await {
        Some(true) => Finding::ok(CHECK, "plausible and synchronised"),
        Some(false) => Finding::warn(
            CHECK,
            "plausible, but not synchronised; requests of agents are refused when clocks drift apart",
            "timedatectl set-ntp true, or run chrony or another NTP client",
        ),
        None => Finding::ok(
            CHECK,
            "plausible; whether it is synchronised is unknown here",
        ),
    }
}

/// What systemd knows; none where there is no systemd, as in a container.
async fn is_synchronised() -> Option<bool> {
    if Path::new("/run/systemd/timesync/synchronized").exists() {
        return Some(true);
    }
    let asked = Command::new("timedatectl")
        .args(["show", "--property=NTPSynchronized", "--value"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(TIMEDATECTL_TIMEOUT, asked)
        .await
        .ok()?
        .ok()?;
    match output.stdout.trim_ascii() {
        b"yes" => Some(true),
        b"no" => Some(false),
        _ => None,
    }
}

pub(super) fn file_limit(config: &Config) -> Finding {
    const CHECK: &str = "file limit";
    let limit = FileLimit::of(config);
    let connections = config.max_connections;
    if limit.is_enough() {
        return Finding::ok(CHECK, format!("enough for {connections} connections"));
    }
    Finding::warn(
        CHECK,
        format!(
            "{} open files are allowed, {} needed for {connections} connections",
            limit.hard, limit.wanted
        ),
        format!(
            "raise the hard limit (LimitNOFILE={} in systemd, ulimit -Hn), or lower EKHO_MAX_CONNECTIONS",
            limit.wanted
        ),
    )
}

pub(super) fn tls(config: &Config) -> Option<Finding> {
    const CHECK: &str = "TLS";
    let Some(paths) = &config.tls else {
        // A tailnet encrypts what passes through it.
        let is_seen = !config.is_loopback() && config.host != crate::tailnet::HOST;
        return is_seen.then(|| {
            Finding::warn(
                CHECK,
                format!(
                    "listening on {} without TLS: operators' passwords pass in clear text",
                    config.host
                ),
                "set EKHO_TLS_CERT_PATH and EKHO_TLS_KEY_PATH, or put a TLS proxy in front",
            )
        });
    };
    Some(match Tls::load(paths.clone()) {
        Ok(_) => Finding::ok(CHECK, "certificate and key belong together"),
        Err(error) => Finding::fail(
            CHECK,
            error.to_string(),
            "name a PEM certificate chain and its private key, readable by this user",
        ),
    })
}
