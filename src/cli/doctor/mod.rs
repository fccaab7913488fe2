//! `ekho doctor`: what would keep a relay from running well, and how to mend it.
//!
//! Each check is a function that looks and says; none changes anything but a scratch file it
//! removes again.

mod directory;
mod machine;
mod nodes;
mod relay;
mod tailnet;
#[cfg(test)]
mod tests;

use clap::Args;
use serde::Serialize;

use super::{CliError, Place, print, print_json};
use crate::config::Config;

const EXAMPLES: &str = "\
Examples:
  ekho doctor
  ekho doctor --data-dir /var/lib/ekho --json

Exit code 1 where a check failed; warnings do not count. May be run beside a running relay.";

/// Check directory, disk, clock, port, file limit, configuration, secrets, tailnet and other nodes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    place: Place,

    /// As JSON
    #[arg(long)]
    json: bool,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Status {
    Ok,
    Warn,
    Fail,
}

impl Status {
    fn label(self) -> &'static str {
        match self {
            Status::Ok => "OK",
            Status::Warn => "WARN",
            Status::Fail => "FAIL",
        }
    }
}

/// What a check found.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Finding {
    check: &'static str,
    pub(super) status: Status,
    found: String,
    /// How to mend it; none where nothing needs mending.
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Finding {
            check,
            status: Status::Ok,
            found: found.into(),
            mend: None,
        }
    }

    fn warn(check: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Finding {
            check,
            status: Status::Warn,
            found: found.into(),
            mend: Some(mend.into()),
        }
    }

    fn fail(check: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Finding {
            check,
            status: Status::Fail,
            found: found.into(),
            mend: Some(mend.into()),
        }
    }
}

pub(super) async fn run(args: DoctorArgs) -> Result<(), CliError> {
    let findings = match Config::load(&args.place.flags()) {
        Ok(config) => look(&config).await,
        // Without a configuration there is no directory, port or limit to look at.
        Err(error) => error
            .problems
            .into_iter()
            .map(|problem| Finding::fail("configuration", problem, "correct the setting"))
            .collect(),
    };
    let is_ok = findings.iter().all(|finding| finding.status < Status::Fail);
    if args.json {
        print_json(&serde_json::json!({ "ok": is_ok, "checks": findings }))?;
    } else {
        print(&render(&findings))?;
    }
    if is_ok {
        Ok(())
    } else {
        Err(CliError::Reported)
    }
}

/// What the checks find that need no relay: for a machine that is to get one.
pub(super) async fn look_at_machine(config: &Config) -> Vec<Finding> {
    let mut findings = directory::look(config);
    findings.push(machine::clock().await);
    findings.push(machine::file_limit(config));
    findings.extend(tailnet::look(config).await);
    findings
}

/// What every check finds.
pub(super) async fn look(config: &Config) -> Vec<Finding> {
    let mut findings = machine::configuration(config);
    findings.extend(machine::secrets(config));
    findings.extend(directory::look(config));
    findings.push(machine::clock().await);
    findings.push(machine::file_limit(config));
    findings.extend(machine::tls(config));
    findings.extend(tailnet::look(config).await);
    // What listens at the machine's address in the tailnet is found there.
    let mut settled = config.clone();
    if crate::tailnet::settle(&mut settled).await.is_ok() {
        findings.push(relay::port(&settled).await);
        findings.extend(nodes::look(&settled).await);
    }
    findings
}

/// As lines for people.
pub(super) fn render(findings: &[Finding]) -> String {
    let width = findings
        .iter()
        .map(|finding| finding.check.len())
        .max()
        .unwrap_or(0);
    let mut lines = Vec::new();
    for finding in findings {
        lines.push(format!(
            "{:<5} {:<width$}  {}",
            finding.status.label(),
            finding.check,
            finding.found
        ));
        if let Some(mend) = &finding.mend {
            lines.push(format!("{:<5} {:<width$}  -> {mend}", "", ""));
        }
    }
    let count = |status| {
        findings
            .iter()
            .filter(|finding| finding.status == status)
            .count()
    };
    lines.push(format!(
        "\n{} in order, {} to look at, {} to mend",
        count(Status::Ok),
        count(Status::Warn),
        count(Status::Fail)
    ));
    lines.join("\n")
}
