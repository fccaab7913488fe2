//! `ekho license`: making licences, for whoever has the private key, looking at them, and installing
//! one on a running relay.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use ekho_storage::tables::license::{Feature, License, Tier};
use serde_json::{Value, json};

use super::ask::Sure;
use super::remote::{Relay, Remote};
use super::show::clean;
use super::{CliError, Place, print, print_json, say, warn_all};
use crate::clock::{Iso, now_ms};
use crate::config::Config;
use crate::license::{self, LicenseError, Terms, Verifier};
use crate::secrets;

const DAY_MS: u64 = 24 * 3_600_000;

const ISSUE_EXAMPLES: &str = "\
Examples:
  ekho license issue --private-key vendor.pem --org Acme --max-fleets 5 --days 365
  ekho license issue --private-key vendor.pem --org Acme --max-fleets 5 --days 30 \\
      --features analytics,many_fleets --output acme.jwt

The key is an RSA private key in PEM form, of 2048 bits or more:
  openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out vendor.pem
  openssl pkey -in vendor.pem -pubout -out vendor.pub.pem";

const CHECK_EXAMPLES: &str = "\
Examples:
  ekho license show acme.jwt
  ekho license verify acme.jwt --public-key vendor.pub.pem

Exit code 1 where the licence is not signed by the key; with verify also where it does not hold now.";

const REMOTE_EXAMPLES: &str = "\
Examples:
  ekho license status
  ekho license install acme.jwt
  ekho license remove --yes";

/// The path of the relay's licence.
const PATH: &str = "/v1/operator/license";

/// What the relay's licence allows; make and check licences.
#[derive(Debug, Args)]
pub(super) struct LicenseArgs {
    #[command(subcommand)]
    command: LicenseCommand,
}

#[derive(Debug, Subcommand)]
enum LicenseCommand {
    /// How a running relay stands with its licence
    #[command(after_help = REMOTE_EXAMPLES)]
    Status(StatusArgs),
    /// Install a licence on a running relay, for all its nodes
    #[command(after_help = REMOTE_EXAMPLES)]
    Install(InstallArgs),
    /// Remove the licence that was installed
    #[command(after_help = REMOTE_EXAMPLES)]
    Remove(RemoveArgs),
    Issue(IssueArgs),
    /// Print what a licence says
    #[command(after_help = CHECK_EXAMPLES)]
    Show(CheckArgs),
    /// Check that a licence is signed as it must be and holds now
    #[command(after_help = CHECK_EXAMPLES)]
    Verify(CheckArgs),
}

#[derive(Debug, Args)]
struct StatusArgs {
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
struct InstallArgs {
    /// The licence
    file: PathBuf,

    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Args)]
struct RemoveArgs {
    #[command(flatten)]
    sure: Sure,

    #[command(flatten)]
    remote: Remote,
}

/// Make a licence with the vendor's private key.
#[derive(Debug, Args)]
#[command(after_help = ISSUE_EXAMPLES)]
struct IssueArgs {
    /// RSA private key, PEM
    #[arg(long, value_name = "FILE")]
    private_key: PathBuf,

    /// To whom
    #[arg(long, value_name = "NAME")]
    org: String,

    /// pro or oss
    #[arg(long, default_value = "pro", value_parser = tier)]
    tier: Tier,

    /// Fleets allowed
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    max_fleets: u64,

    /// What it allows, separated by commas: advanced_policies, many_fleets, analytics [default: all]
    #[arg(long, value_delimiter = ',', value_parser = feature)]
    features: Vec<String>,

    /// How long it holds
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=36_500))]
    days: u64,

    /// Write it to a new file, readable by you only [default: standard output]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct CheckArgs {
    /// The licence
    file: PathBuf,

    /// PEM public key to check it with [default: EKHO_LICENSE_PUBLIC_KEY_PATH, else the built-in one]
    #[arg(long, value_name = "FILE")]
    public_key: Option<PathBuf>,

    #[command(flatten)]
    place: Place,

    /// As JSON
    #[arg(long)]
    json: bool,
}

fn tier(text: &str) -> Result<Tier, String> {
    let found = Tier::ALL.into_iter().find(|tier| tier.as_str() == text);
    found.ok_or_else(|| "pro or oss".into())
}

fn feature(text: &str) -> Result<String, String> {
    let mut names = Feature::ALL.into_iter().map(Feature::as_str);
    match names.any(|name| name == text) {
        true => Ok(text.into()),
        false => Err("advanced_policies, many_fleets or analytics".into()),
    }
}

pub(super) async fn run(args: LicenseArgs) -> Result<(), CliError> {
    match args.command {
        LicenseCommand::Status(args) => {
            let work = async |relay: &Relay| shown(relay, &relay.get(PATH).await?);
            args.remote.run(work).await
        }
        LicenseCommand::Install(args) => {
            let text = license::read_text(&args.file)?;
            let work = async |relay: &Relay| {
                let body = json!({ "key": text.as_str() });
                shown(relay, &relay.put(PATH, &body).await?)
            };
            args.remote.run(work).await
        }
        LicenseCommand::Remove(args) => {
            args.sure.check("Remove the installed licence")?;
            let work = async |relay: &Relay| shown(relay, &relay.delete(PATH).await?);
            args.remote.run(work).await
        }
        LicenseCommand::Issue(args) => issue(args),
        LicenseCommand::Show(args) => check(args, false),
        LicenseCommand::Verify(args) => check(args, true),
    }
}

/// How the relay stands, and on standard error what is wrong.
fn shown(relay: &Relay, answer: &Value) -> Result<(), CliError> {
    relay.one(answer, answer)?;
    for problem in answer["problems"].as_array().into_iter().flatten() {
        let text = problem["text"].as_str().unwrap_or_default();
        say(&format!("warning: {}", clean(text)));
    }
    Ok(())
}

fn issue(args: IssueArgs) -> Result<(), CliError> {
    let key = license::read(&args.private_key)?;
    let terms = Terms {
        tier: args.tier,
        org: args.org,
        max_fleets: args.max_fleets,
        features: args.features,
        duration_ms: args.days * DAY_MS,
    };
    let text = license::issue(&key, &terms, now_ms())?;
    let Some(path) = args.output else {
        return print(&text);
    };
    secrets::create(&path, format!("{text}\n").as_bytes())
        .map_err(|source| CliError::File { path, source })
}

fn check(args: CheckArgs, must_hold: bool) -> Result<(), CliError> {
    let config = Config::load(&args.place.flags())?;
    warn_all(&config.warnings);
    let key = args.public_key.or(config.license.public_key_path);
    let verifier = Verifier::open(key.as_deref())?;
    let text = license::read_text(&args.file)?;
    let license = verifier.facts(&text)?;
    let now = verifier.verify(&text, now_ms());
    show(&license, &now, args.json)?;
    match now {
        Err(error) if must_hold => Err(error.into()),
        _ => Ok(()),
    }
}

fn show(
    license: &License,
    now: &Result<License, LicenseError>,
    as_json: bool,
) -> Result<(), CliError> {
    let (issued_at, expires_at) = (Iso(license.issued_ms), Iso(license.expires_ms));
    if as_json {
        return print_json(&json!({
            "tier": license.tier.as_str(),
            "org": license.org,
            "max_fleets": license.max_fleets,
            "features": license.features,
            "issued_at": issued_at,
            "expires_at": expires_at,
            "holds": now.is_ok(),
        }));
    }
    let features = match license.features.is_empty() {
        true => format!("all of {}", license.tier.as_str()),
        false => license.features.join(", "),
    };
    let holds = match now {
        Ok(_) => "yes".to_string(),
        Err(error) => format!("no: {error}"),
    };
    print(&format!(
        "tier        {}\norg         {}\nmax fleets  {}\nfeatures    {features}\nissued at   \
         {issued_at}\nexpires at  {expires_at}\nholds now   {holds}",
        license.tier.as_str(),
        license.org,
        license.max_fleets,
    ))
}
