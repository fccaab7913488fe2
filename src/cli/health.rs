//! `ekho health`: one question to the relay on this machine, for those who watch over a process and
//! have nothing else to ask with, such as a container without a shell.

use clap::Args;
use serde_json::{Value, json};

use super::{CliError, Place, here, print, print_json};
use crate::config::Config;
use crate::tailnet;

const EXAMPLES: &str = "\
Examples:
  ekho health            can it take writes? (/readyz)
  ekho health --alive    does the process answer? (/healthz)
  ekho health --json

Exit code 1 where it is not, or where nobody answers within 3 seconds.";

/// Ask the relay on this machine whether it is ready.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct HealthArgs {
    #[command(flatten)]
    place: Place,

    /// Ask only whether the process answers
    #[arg(long)]
    alive: bool,

    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: HealthArgs) -> Result<(), CliError> {
    let mut config = Config::load(&args.place.flags())?;
    tailnet::settle(&mut config).await?;
    if config.port == 0 {
        return Err(CliError::Usage(
            "with EKHO_PORT=0 nobody knows beforehand where the relay listens: choose a port"
                .into(),
        ));
    }
    let (word, path) = match args.alive {
        true => ("alive", "/healthz"),
        false => ("ready", "/readyz"),
    };
    let refusal = match here::ask(&config, path).await {
        Ok((status, _)) if status.is_success() => None,
        Ok((_, body)) => Some(reason(&body)),
        Err(_) => Some("no_answer".into()),
    };
    if args.json {
        let mut report = json!({ word: refusal.is_none() });
        if let Some(reason) = &refusal {
            report["reason"] = reason.as_str().into();
        }
        print_json(&report)?;
    }
    match refusal {
        None if args.json => Ok(()),
        None => print(word),
        Some(_) if args.json => Err(CliError::Reported),
        Some(reason) => Err(CliError::Unhealthy {
            address: here::address(&config),
            word,
            reason,
        }),
    }
}

fn reason(body: &Value) -> String {
    let reason = body["reason"].as_str();
    reason.unwrap_or("not_a_relay").to_string()
}
