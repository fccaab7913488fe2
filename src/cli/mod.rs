//! The `ekho` command: parses the command line, runs one command, turns its outcome into an exit
//! code. Results go to standard output, everything else to standard error.
//!
//! Exit codes: 0 done, 1 failed, 2 the command line or the configuration is wrong.

mod agent;
mod ask;
mod audit;
mod backup;
pub mod bench;
mod client;
mod cluster;
mod config;
mod credentials;
mod doctor;
mod error;
mod files;
mod health;
mod help;
mod here;
mod import;
mod license;
mod lines;
mod login;
mod manual;
mod mcp;
mod openapi;
mod operator;
mod paging;
mod private;
mod rebuilt;
mod remote;
mod renewal;
mod secrets;
mod serve;
mod session;
mod setup;
mod show;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, FromArgMatches, Parser, Subcommand};
use serde_json::json;

pub use self::client::{ClientError, Refused};
pub use self::error::CliError;

use crate::config::{Config, Flags, LogFormat, Source};
use crate::{server, telemetry};

const ABOUT: &str = "A private, signed, store-and-forward message relay for AI agents";

#[derive(Debug, Parser)]
#[command(name = "ekho", version, about = ABOUT, after_help = help::FIRST_STEPS, max_term_width = 100)]
#[command(subcommand_required = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::ServeArgs),
    Setup(setup::SetupArgs),
    Doctor(doctor::DoctorArgs),
    Health(health::HealthArgs),
    Credentials(credentials::CredentialsArgs),
    Config(config::ConfigArgs),
    Login(login::LoginArgs),
    Logout(login::LogoutArgs),
    #[command(flatten)]
    Operator(operator::OperatorCommand),
    Agent(agent::AgentArgs),
    Mcp(mcp::McpArgs),
    Audit(audit::AuditArgs),
    Backup(backup::BackupArgs),
    Cluster(cluster::ClusterArgs),
    Secrets(secrets::SecretsArgs),
    Import(import::ImportArgs),
    License(license::LicenseArgs),
    #[command(after_help = BENCH_EXAMPLES)]
    Bench(bench::BenchArgs),
    Openapi(openapi::OpenapiArgs),
    Completions(manual::CompletionsArgs),
    Man(manual::ManArgs),
    Version(VersionArgs),
}

const BENCH_EXAMPLES: &str = "\
Examples:
  ekho bench                                      64 connections, 30 s, 512 B bodies
  ekho bench -c 256 --duration-seconds 60 --json
  ekho bench --rate 5000                          open loop, with corrected latencies
  ekho bench --mode roundtrip                     from send to the answer of a long poll";

/// Print what this is.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho version\n  ekho version --json")]
struct VersionArgs {
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Where the configuration and the data are.
#[derive(Debug, Clone, Default, Args)]
struct Place {
    /// Configuration file [default: EKHO_CONFIG, else ./ekho.toml, else ekho.toml in the data
    /// directory]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Data directory [default: EKHO_DATA_DIR, else ./data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl Place {
    fn flags(&self) -> Flags {
        Flags {
            config: self.config.clone(),
            data_dir: self.data_dir.clone(),
            ..Flags::default()
        }
    }
}

/// Runs the command of this process's command line.
pub fn main() -> ExitCode {
    let matches = help::grouped::<Cli>().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    server::choose_crypto();
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read our output has enough of it.
        Err(CliError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            if let Some(sentence) = error.sentence() {
                say(&format!("ekho: {sentence}"));
            }
            ExitCode::from(error.exit_code())
        }
    }
}

/// How long a relay that has stopped waits for threads that still read its databases.
const LAST_READERS: Duration = Duration::from_secs(5);

fn run(command: Command) -> Result<(), CliError> {
    let is_relay = matches!(command, Command::Serve(_));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("ekho")
        .build()
        .map_err(CliError::Runtime)?;
    let outcome = runtime.block_on(async {
        match command {
            Command::Serve(args) => serve::run(args).await,
            Command::Setup(args) => setup::run(args).await,
            Command::Doctor(args) => doctor::run(args).await,
            Command::Health(args) => health::run(args).await,
            Command::Credentials(args) => credentials::run(&args),
            Command::Config(args) => config::run(&args).await,
            Command::Login(args) => login::login(args).await,
            Command::Logout(args) => login::logout(args).await,
            Command::Operator(command) => operator::run(command).await,
            Command::Agent(args) => agent::run(args).await,
            Command::Mcp(args) => mcp::run(args).await,
            Command::Audit(args) => audit::run(args).await,
            Command::Backup(args) => backup::run(args).await,
            Command::Cluster(args) => cluster::run(args).await,
            Command::Secrets(args) => secrets::run(args).await,
            Command::Import(args) => import::run(args).await,
            Command::License(args) => license::run(args).await,
            Command::Bench(args) => bench::run(args).await.map_err(CliError::from),
            Command::Openapi(args) => openapi::run(&args),
            Command::Completions(args) => manual::completions(&args),
            Command::Man(args) => manual::man(&args),
            Command::Version(args) => version(&args),
        }
    });
    // A blocking task that hangs must not keep the process from ending. But databases have to be
    // closed before it does, and whoever holds them last closes them: a task that was told to end, or
    // a thread whose client has left. Where both happen at once, the process ends by SIGABRT.
    if is_relay {
        runtime.shutdown_timeout(LAST_READERS);
    } else {
        runtime.shutdown_background();
    }
    outcome
}

fn version(args: &VersionArgs) -> Result<(), CliError> {
    let version = env!("CARGO_PKG_VERSION");
    if args.json {
        let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
        print_json(&json!({ "name": "ekho", "version": version, "os": os, "arch": arch }))
    } else {
        print(&format!("ekho {version}"))
    }
}

/// Begins logging for a command that is not the relay: only what matters, unless asked for more.
fn log_warnings(config: &Config) -> Result<(), CliError> {
    let asked = config
        .entries
        .iter()
        .any(|entry| entry.variable == "EKHO_LOG" && entry.source != Source::Default);
    let filter = if asked {
        config.log_filter.as_str()
    } else {
        // The engine remarks on every first election.
        "warn,openraft=error"
    };
    Ok(telemetry::init(LogFormat::Pretty, filter)?)
}

/// Writes a line to standard output.
fn print(line: &str) -> Result<(), CliError> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    Ok(stdout.flush()?)
}

fn print_json(value: &impl serde::Serialize) -> Result<(), CliError> {
    let text = serde_json::to_string_pretty(value).map_err(io::Error::from)?;
    print(&text)
}

/// Writes a line to standard error. Where even that fails there is nobody to tell.
fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

fn warn_all(warnings: &[String]) {
    for warning in warnings {
        say(&format!("warning: {warning}"));
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_command_is_well_formed_and_shows_examples() {
        let mut cli = Cli::command();
        cli.build();
        cli.clone().debug_assert();
        check(&cli, "ekho");
    }

    /// Every command that does something has an example that begins with its own name.
    fn check(command: &clap::Command, name: &str) {
        let nested: Vec<_> = command
            .get_subcommands()
            .filter(|nested| nested.get_name() != "help")
            .collect();
        for nested in &nested {
            check(nested, &format!("{name} {}", nested.get_name()));
        }
        if !nested.is_empty() {
            return;
        }
        let help = command.get_after_help().map(ToString::to_string);
        let help = help.unwrap_or_default();
        // The one command that is known by its short name.
        let name = match name {
            "ekho tokens create" => "ekho token create",
            name => name,
        };
        assert!(
            help.contains("Examples:") && help.contains(name),
            "{name} has no example: {help}"
        );
        assert!(command.get_about().is_some(), "{name} says nothing");
    }
}
