//! `ekho setup`: data directory, secrets, a fleet and its owner. Run again, it changes nothing.
//!
//! The order makes every interruption harmless: secrets are on disk before anything is sealed with
//! them, and the password is on disk before the relay is told.

use std::io::{self, BufRead, IsTerminal, Write};
use std::sync::Arc;

use clap::Args;
use zeroize::Zeroizing;

use super::credentials::{self, Credentials};
use super::files::{FileLimit, make_data_dir};
use super::{CliError, Place, log_warnings, print, say, warn_all};
use crate::config::{Config, Flags};
use crate::ingress::password::{MAX_BYTES, MIN_CHARS};
use crate::metrics::Metrics;
use crate::relay::Relay;
use crate::secrets;
use crate::service::operators::SetUp;

const DEFAULT_FLEET: &str = "main";
const DEFAULT_EMAIL: &str = "owner@localhost";
const MAX_FLEET_CHARS: usize = 120;
const MAX_EMAIL_CHARS: usize = 255;
/// 32 letters and digits that are not taken for one another: five bits each.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
const GROUPS: usize = 5;
const GROUP_CHARS: usize = 5;

const EXAMPLES: &str = "\
Examples:
  ekho setup                        asks for what it needs
  ekho setup --non-interactive      fleet main, owner owner@localhost, a password is made
  ekho setup --data-dir /var/lib/ekho --fleet acme --email ops@acme.example
  pass show ekho | ekho setup --password-stdin

The first run also gives the replicated settings their values; `ekho config` shows them.";

/// Make the data directory, the secrets, a fleet and its owner. May be run again.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct SetupArgs {
    #[command(flatten)]
    place: Place,

    /// Name of the fleet [default: main]
    #[arg(long, value_name = "NAME")]
    fleet: Option<String>,

    /// The owner's email, to sign in with [default: owner@localhost]
    #[arg(long, value_name = "EMAIL")]
    email: Option<String>,

    /// Read the owner's password from the first line of standard input, and ask nothing
    #[arg(long)]
    password_stdin: bool,

    /// Ask nothing: use the defaults and make a password
    #[arg(long)]
    non_interactive: bool,
}

pub(super) async fn run(args: SetupArgs) -> Result<(), CliError> {
    let config = Config::load(&args.place.flags())?;
    log_warnings(&config)?;
    warn_all(&config.warnings);
    print(&set_up_in(&config, &args).await?)
}

/// Sets up what is not, and returns what to tell the operator.
async fn set_up_in(config: &Config, args: &SetupArgs) -> Result<String, CliError> {
    args.fleet.as_deref().map_or(Ok(()), check_fleet)?;
    args.email.as_deref().map_or(Ok(()), check_email)?;
    if let Some(there) = Credentials::read(&credentials::path(&config.data_dir))? {
        return report_there(config, &there);
    }
    if args.asks() && !io::stdin().is_terminal() {
        return Err(CliError::Usage(
            "there is no terminal to ask in: pass --non-interactive or --password-stdin".into(),
        ));
    }
    // What can be known beforehand is checked before anything is made.
    let given = if args.asks() {
        None
    } else {
        Some(ask(args, &config.base_url)?)
    };
    make_data_dir(&config.data_dir)?;
    secrets::ensure(config)?;
    let resolved = secrets::resolve(config)?;
    warn_all(&resolved.warnings);
    FileLimit::of(config).raise();
    let metrics = Arc::new(Metrics::new()?);
    let relay = Relay::open(config, &resolved.secrets, metrics).await?;
    let outcome = set_up(&relay, config, args, given).await;
    relay.shutdown().await;
    outcome
}

/// Sets up a cluster that formed by itself, as `ekho setup --non-interactive` would have.
pub(super) async fn set_up_first(relay: &Relay, config: &Config) -> Result<(), CliError> {
    let args = SetupArgs {
        place: Place::default(),
        fleet: None,
        email: None,
        password_stdin: false,
        non_interactive: true,
    };
    let given = Some(ask(&args, &config.base_url)?);
    set_up(relay, config, &args, given).await?;
    let credentials = credentials::path(&config.data_dir);
    tracing::info!(credentials = %credentials.display(), "the cluster is set up");
    Ok(())
}

impl SetupArgs {
    /// Where the configuration and the data are.
    pub(super) fn flags(&self) -> Flags {
        self.place.flags()
    }

    /// Whether questions are asked.
    fn asks(&self) -> bool {
        !self.non_interactive && !self.password_stdin
    }
}

/// Says what is there, without a secret.
fn report_there(config: &Config, there: &Credentials) -> Result<String, CliError> {
    secrets::resolve(config)?;
    Ok(format!(
        "already set up in {dir}; nothing was changed\n  relay        {url}\n  fleet        {fleet} \
         ({id})\n  owner        {email}\n  credentials  {credentials}",
        dir = config.data_dir.display(),
        url = there.relay_url,
        fleet = there.fleet_name,
        id = there.fleet_id,
        email = there.email,
        credentials = credentials::path(&config.data_dir).display(),
    ))
}

/// An owner, and whether the password was made here.
type Owner = (Credentials, bool);

async fn set_up(
    relay: &Relay,
    config: &Config,
    args: &SetupArgs,
    given: Option<Owner>,
) -> Result<String, CliError> {
    let pending_path = credentials::pending_path(&config.data_dir);
    let pending = Credentials::read(&pending_path)?;
    let (mut owner, is_made) = match (relay.is_set_up()?, pending) {
        // An earlier run was cut short after the relay had been told.
        (true, Some(pending)) => (pending, true),
        (true, None) => {
            return Ok(format!(
                "already set up in {}; nothing was changed (credentials.json is not there any more)",
                config.data_dir.display()
            ));
        }
        (false, _) => {
            let owner = match given {
                Some(given) => given,
                None => ask(args, &config.base_url)?,
            };
            owner.0.write(&pending_path)?;
            owner
        }
    };
    let request = SetUp {
        fleet_name: owner.fleet_name.clone(),
        email: owner.email.clone(),
        password: Zeroizing::new(owner.password.clone()),
        settings: config.settings.clone(),
    };
    let (fleet_id, _) = relay.set_up(request).await?;
    owner.fleet_id = fleet_id;
    owner.finish(&config.data_dir)?;
    report_made(config, &owner, is_made)
}

fn report_made(
    config: &Config,
    owner: &Credentials,
    show_password: bool,
) -> Result<String, CliError> {
    let password = if show_password {
        owner.password.as_str()
    } else {
        "(the one you gave)"
    };
    Ok(format!(
        "set up in {dir}\n  relay        {url}\n  fleet        {fleet} ({id})\n  owner        \
         {email}\n  password     {password}\n  credentials  {credentials} (only you can read it)\n\n\
         The password is not shown again. Next: `ekho doctor`, then `ekho serve`.",
        dir = config.data_dir.display(),
        url = owner.relay_url,
        fleet = owner.fleet_name,
        id = owner.fleet_id,
        email = owner.email,
        credentials = credentials::path(&config.data_dir).display(),
    ))
}

/// The owner to be, from flags, standard input, the terminal or defaults.
fn ask(args: &SetupArgs, relay_url: &str) -> Result<Owner, CliError> {
    let interactive = args.asks();
    let field = |given: &Option<String>, question: &str, default: &str, check: Check| match given {
        Some(given) => Ok(given.clone()),
        None if interactive => prompt(question, default, check),
        None => Ok(default.to_string()),
    };
    let fleet_name = field(&args.fleet, "Name of the fleet", DEFAULT_FLEET, check_fleet)?;
    let email = field(&args.email, "Owner's email", DEFAULT_EMAIL, check_email)?;
    let password = if args.password_stdin {
        let mut line = Zeroizing::new(String::new());
        io::stdin().lock().read_line(&mut line)?;
        let password = line.trim_end_matches(['\r', '\n']);
        check_password(password)?;
        Some(password.to_string())
    } else if interactive {
        prompt_password()?
    } else {
        None
    };
    let is_made = password.is_none();
    let password = password.unwrap_or_else(make_password);
    let relay_url = relay_url.to_string();
    Ok((
        Credentials {
            relay_url,
            fleet_id: String::new(),
            fleet_name,
            email,
            password,
        },
        is_made,
    ))
}

type Check = fn(&str) -> Result<(), CliError>;

fn prompt(question: &str, default: &str, check: Check) -> Result<String, CliError> {
    loop {
        write!(io::stderr(), "{question} [{default}]: ")?;
        let mut line = String::new();
        if io::stdin().lock().read_line(&mut line)? == 0 {
            return Err(CliError::Usage(
                "the input ended before every question was answered".into(),
            ));
        }
        let answer = match line.trim() {
            "" => default,
            answer => answer,
        };
        match check(answer) {
            Ok(()) => return Ok(answer.to_string()),
            Err(error) => say(&error.to_string()),
        }
    }
}

fn prompt_password() -> Result<Option<String>, CliError> {
    loop {
        let first = Zeroizing::new(rpassword::prompt_password("Owner's password [make one]: ")?);
        if first.is_empty() {
            return Ok(None);
        }
        if let Err(error) = check_password(&first) {
            say(&error.to_string());
            continue;
        }
        let again = Zeroizing::new(rpassword::prompt_password("The same again: ")?);
        if first == again {
            return Ok(Some(first.to_string()));
        }
        say("the two differ");
    }
}

fn check_fleet(name: &str) -> Result<(), CliError> {
    let is_good = (1..=MAX_FLEET_CHARS).contains(&name.chars().count())
        && name.trim() == name
        && !name.chars().any(char::is_control);
    if is_good {
        return Ok(());
    }
    Err(CliError::Usage(format!(
        "the fleet's name: 1 to {MAX_FLEET_CHARS} characters, no blanks around it"
    )))
}

fn check_email(email: &str) -> Result<(), CliError> {
    let parts = email.split_once('@');
    let is_good = email.chars().count() <= MAX_EMAIL_CHARS
        && parts.is_some_and(|(name, host)| !name.is_empty() && !host.is_empty())
        && !email.chars().any(|c| c.is_control() || c.is_whitespace());
    if is_good {
        Ok(())
    } else {
        Err(CliError::Usage("the owner's email: NAME@HOST".into()))
    }
}

fn check_password(password: &str) -> Result<(), CliError> {
    if password.chars().count() >= MIN_CHARS && password.len() <= MAX_BYTES {
        return Ok(());
    }
    Err(CliError::Usage(format!(
        "the password: at least {MIN_CHARS} characters, at most {MAX_BYTES} bytes"
    )))
}

/// A password of 125 random bits, in groups that can be read out.
fn make_password() -> String {
    let letters: Vec<u8> = rand::random_iter::<u8>()
        .map(|byte| ALPHABET[usize::from(byte) % ALPHABET.len()])
        .take(GROUPS * GROUP_CHARS)
        .collect();
    let groups: Vec<String> = letters
        .chunks(GROUP_CHARS)
        .map(|group| String::from_utf8_lossy(group).into_owned())
        .collect();
    groups.join("-")
}

#[cfg(test)]
#[path = "setup_tests.rs"]
mod tests;
