//! `ekho setup`: data directory, secrets, a fleet and its owner. Run again, it changes nothing.
//!
//! At a terminal it asks; by flags it asks nothing. The order makes every interruption harmless:
//! secrets are on disk before anything is sealed with them, and the password is on disk before the
//! relay is told.
//!
//! - `node`: what the node is to be and how it is reached, kept in `ekho.toml`
//! - `owner`: the fleet and its owner
//! - `wizard`: the questions
//! - `trial`: the first token, and a test agent

mod node;
mod owner;
#[cfg(test)]
mod tests;
mod trial;
mod wizard;

use std::path::Path;
use std::sync::Arc;

use clap::Args;
use rustix::process::{getpid, kill_process};
use serde_json::{Map, Value, json};
use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

use self::node::{Mode, NodeArgs};
use self::owner::{Given, Owner, check_email, check_fleet};
use self::trial::{Tried, Wishes};
use super::credentials::{self, Credentials};
use super::doctor::{self, Status};
use super::files::{FileLimit, make_data_dir};
use super::{CliError, Place, log_warnings, print, print_json, say, warn_all};
use crate::config::{Config, Flags};
use crate::identity::{self, Identity, is_node};
use crate::metrics::Metrics;
use crate::relay::Relay;
use crate::service::operators::SetUp;
use crate::{joining, secrets, tailnet};

/// Where the packages put the unit, and the directory that it serves.
const UNITS: [&str; 2] = [
    "/usr/lib/systemd/system/ekho.service",
    "/etc/systemd/system/ekho.service",
];
const UNIT_DATA_DIR: &str = "/var/lib/ekho";
/// The node that began its cluster.
const FIRST_NODE: u64 = 1;

const EXAMPLES: &str = "\
Examples:
  ekho setup                        asks for what it needs
  ekho setup --non-interactive      fleet main, owner owner@localhost, a password is made
  ekho setup --data-dir /var/lib/ekho --fleet acme --email ops@acme.example
  pass show ekho | ekho setup --password-stdin
  ekho setup --non-interactive --network lan --enroll-token --smoke-test
  ekho setup --non-interactive --network tailnet --mode first --node-address relay-1:4001
  ekho setup --non-interactive --network tailnet --mode join --node-address relay-2:4001 \\
    --join relay-1:4001 --token ekho-join-…

The first run also gives the replicated settings their values; `ekho config` shows them.";

/// Make the data directory, the secrets, a fleet and its owner. May be run again.
#[derive(Debug, Default, Args)]
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

    /// Look at the machine as `ekho doctor` does, and stop where something has to be mended first
    #[arg(long)]
    check: bool,

    /// Make a first enrolment token, which lets one agent enrol within an hour
    #[arg(long)]
    enroll_token: bool,

    /// Let a test agent enrol, send, receive, ack and be revoked again
    #[arg(long)]
    smoke_test: bool,

    /// As JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    node: NodeArgs,
}

/// What was done, in lines for people and as JSON.
struct Outcome {
    text: String,
    json: Map<String, Value>,
}

pub(super) async fn run(mut args: SetupArgs) -> Result<(), CliError> {
    let before = Config::load(&args.place.flags())?;
    log_warnings(&before)?;
    let outcome = set_up_in(before, &mut args).await?;
    match args.json {
        true => print_json(&outcome.json),
        false => print(&outcome.text),
    }
}

/// Sets up what is not, and returns what to tell the operator. `before` is the configuration
/// without the flags about the node.
async fn set_up_in(mut before: Config, args: &mut SetupArgs) -> Result<Outcome, CliError> {
    args.fleet.as_deref().map_or(Ok(()), check_fleet)?;
    args.email.as_deref().map_or(Ok(()), check_email)?;
    if let Some(there) = Credentials::read(&credentials::path(&before.data_dir))? {
        warn_all(&before.warnings);
        node::check_same(&before, &args.flags(&before)?)?;
        return set_up_before(&before, args, there).await;
    }
    if args.asks() && !wizard::has_terminal() {
        return Err(CliError::Usage(
            "there is no terminal to ask in: pass --non-interactive or --password-stdin".into(),
        ));
    }
    let is_new = !is_node(&before.data_dir);
    if !is_new {
        node::check_same(&before, &args.flags(&before)?)?;
        if let Some(outcome) = joined_before(&before)? {
            return Ok(outcome);
        }
    }
    let mut wishes = args.wishes();
    let mut given = None;
    if args.asks() && is_new {
        (before, given) = ask_all(before, args, &mut wishes).await?;
    }
    let flags = args.flags(&before)?;
    let mut config = Config::load(&flags)?;
    warn_all(&config.warnings);
    args.node.check(&config)?;
    args.check_joining()?;
    if args.check {
        check_machine(&config).await?;
    }
    tailnet::settle(&mut config).await?;
    // What can be known beforehand is checked before anything is made.
    if !args.asks() && args.node.mode() != Mode::Join {
        given = Some(owner::choose(&args.given(), &config.base_url)?);
    }
    if let Some((owner, _)) = &mut given {
        owner.relay_url.clone_from(&config.base_url);
    }
    let work = async {
        make_data_dir(&config.data_dir)?;
        warn_all(&node::keep(&config, &before, &flags)?);
        match args.node.mode() {
            Mode::Join if is_new => join(&config).await,
            _ => make(&config, args, given, wishes).await,
        }
    };
    if !args.asks() {
        return work.await;
    }
    // The questions are over: from here on, who interrupts ends the process as ever.
    let mut interrupted = signal(SignalKind::interrupt()).map_err(CliError::Runtime)?;
    tokio::select! {
        outcome = work => outcome,
        _ = interrupted.recv() => Err(stop_at_once()),
    }
}

/// Ends the process, as a signal that is not listened to would. The next run finishes the work.
fn stop_at_once() -> CliError {
    say("interrupted: `ekho setup`, run again, finishes what was begun");
    // Leaving main would run the databases' destructors under their own threads' feet.
    match kill_process(getpid(), rustix::process::Signal::KILL) {
        Ok(()) => CliError::NotSure,
        Err(error) => CliError::Fatal(error.to_string()),
    }
}

/// Asks for everything that flags do not say. Nothing is made meanwhile.
async fn ask_all(
    mut before: Config,
    args: &mut SetupArgs,
    wishes: &mut Wishes,
) -> Result<(Config, Option<Owner>), CliError> {
    // Prompts read from the terminal in this thread; with a listener of its own the signal of
    // Ctrl-C becomes an answer, after which the terminal can be put right.
    let _listened_to = signal(SignalKind::interrupt()).map_err(CliError::Runtime)?;
    if args.place.data_dir.is_none() {
        args.place.data_dir = Some(wizard::data_dir(&before.data_dir)?.into());
        before = Config::load(&args.place.flags())?;
        if is_node(&before.data_dir) {
            let dir = before.data_dir.display();
            return Err(CliError::Usage(format!(
                "{dir} is a node's already: run `ekho setup --data-dir {dir}`"
            )));
        }
    }
    wizard::environment(&before).await?;
    wizard::node(&mut args.node, &before).await?;
    let mut given = None;
    if args.node.mode() != Mode::Join {
        given = Some(owner::choose(&args.given(), &before.base_url)?);
        wishes.token |= wizard::confirm("Make a token for a first agent", true)?;
        wishes.smoke_test |= wizard::confirm("Try the relay with a test agent", true)?;
    }
    let question = format!("Set up in {}", before.data_dir.display());
    match wizard::confirm(&question, true)? {
        true => Ok((before, given)),
        false => Err(CliError::NotSure),
    }
}

async fn check_machine(config: &Config) -> Result<(), CliError> {
    let findings = doctor::look_at_machine(config).await;
    if findings.iter().all(|one| one.status < Status::Fail) {
        return Ok(());
    }
    say(&doctor::render(&findings));
    Err(CliError::Reported)
}

/// Becomes a node of a cluster that is there.
async fn join(config: &Config) -> Result<Outcome, CliError> {
    joining::become_member(config).await?;
    let path = config.data_dir.join(identity::FILE_NAME);
    let identity = Identity::read(&path).map_err(joining::JoinError::from)?;
    let identity = identity.ok_or_else(|| CliError::Trial("it joined no cluster".into()))?;
    let (cluster_id, node_id) = (&identity.cluster_id, identity.node_id);
    let dir = config.data_dir.display();
    Ok(Outcome {
        text: format!(
            "joined {cluster_id} as node {node_id}, set up in {dir}\n  relay  {url}\n\nIt takes \
             part once it runs. Next: {next}.",
            url = config.base_url,
            next = next_start(&config.data_dir),
        ),
        json: object(json!({
            "data_dir": config.data_dir,
            "relay_url": config.base_url,
            "cluster_id": cluster_id,
            "node_id": node_id,
        })),
    })
}

/// What to say of a node that joined a cluster: that has its fleets and owners already.
fn joined_before(config: &Config) -> Result<Option<Outcome>, CliError> {
    let path = config.data_dir.join(identity::FILE_NAME);
    let identity = Identity::read(&path).map_err(joining::JoinError::from)?;
    Ok(identity.filter(|own| own.node_id != FIRST_NODE).map(|own| {
        let (cluster_id, node_id) = (&own.cluster_id, own.node_id);
        Outcome {
            text: format!(
                "already node {node_id} of {cluster_id}, in {}; nothing was changed",
                config.data_dir.display()
            ),
            json: object(json!({
                "changed": false,
                "data_dir": config.data_dir,
                "cluster_id": cluster_id,
                "node_id": node_id,
            })),
        }
    }))
}

/// How the relay is started here.
fn next_start(data_dir: &Path) -> String {
    let is_unit =
        data_dir == Path::new(UNIT_DATA_DIR) && UNITS.iter().any(|unit| Path::new(unit).exists());
    match is_unit {
        true => "`sudo systemctl enable --now ekho`".into(),
        false => "`ekho serve`".into(),
    }
}

/// Makes what is not there yet, in a relay that nobody else reaches.
async fn make(
    config: &Config,
    args: &SetupArgs,
    given: Option<Owner>,
    wishes: Wishes,
) -> Result<Outcome, CliError> {
    secrets::ensure(config)?;
    let resolved = secrets::resolve(config)?;
    warn_all(&resolved.warnings);
    FileLimit::of(config).raise();
    let metrics = Arc::new(Metrics::new()?);
    let relay = Relay::open(config, &resolved.secrets, Arc::clone(&metrics)).await?;
    let outcome = async {
        let Some((owner, is_made)) = set_up(&relay, config, &args.given(), given).await? else {
            return Ok(nothing_changed(config));
        };
        let tried = trial::run(&relay, config, metrics, &owner, wishes).await;
        // The relay is set up in any case: what is shown once must be shown.
        let (tried, failure) = match tried {
            Ok(tried) => (tried, None),
            Err(error) => (Tried::default(), Some(error)),
        };
        let outcome = report_made(config, &owner, is_made, &tried);
        match failure {
            None => Ok(outcome),
            Some(error) => {
                match args.json {
                    true => print_json(&outcome.json)?,
                    false => print(&outcome.text)?,
                }
                Err(error)
            }
        }
    }
    .await;
    relay.shutdown().await;
    outcome
}

/// Sets up a relay that begins without anybody at hand, as `ekho setup --non-interactive` would have.
pub(super) async fn set_up_first(relay: &Relay, config: &Config) -> Result<(), CliError> {
    let given = Given::default();
    let owner = owner::choose(&given, &config.base_url)?;
    set_up(relay, config, &given, Some(owner)).await?;
    let credentials = credentials::path(&config.data_dir);
    tracing::info!(credentials = %credentials.display(), "set up; `ekho credentials` shows how to sign in");
    Ok(())
}

impl SetupArgs {
    /// The configuration that these flags make.
    fn flags(&self, before: &Config) -> Result<Flags, CliError> {
        self.node.flags(self.place.flags(), before)
    }

    /// Makes the node the first of several, where nothing else is said.
    pub(super) fn first_of_several(&mut self) {
        self.node.mode.get_or_insert(Mode::First);
    }

    /// Whether questions are asked.
    fn asks(&self) -> bool {
        !self.non_interactive && !self.password_stdin
    }

    /// Refuses what a node that joins would not look at.
    fn check_joining(&self) -> Result<(), CliError> {
        let ignored = [
            ("--fleet", self.fleet.is_some()),
            ("--email", self.email.is_some()),
            ("--password-stdin", self.password_stdin),
            ("--enroll-token", self.enroll_token),
            ("--smoke-test", self.smoke_test),
        ];
        let given = ignored.iter().find(|(_, is_given)| *is_given);
        match given.filter(|_| self.node.mode() == Mode::Join) {
            Some((flag, _)) => Err(CliError::Usage(format!(
                "{flag} is not for --mode join: the cluster has its fleets and owners already"
            ))),
            None => Ok(()),
        }
    }

    fn given(&self) -> Given {
        Given {
            fleet: self.fleet.clone(),
            email: self.email.clone(),
            password_stdin: self.password_stdin,
            asks: self.asks(),
        }
    }

    fn wishes(&self) -> Wishes {
        Wishes {
            token: self.enroll_token,
            smoke_test: self.smoke_test,
        }
    }
}

/// Says what is there, without a secret; does with it what flags ask for.
async fn set_up_before(
    config: &Config,
    args: &SetupArgs,
    there: Credentials,
) -> Result<Outcome, CliError> {
    let resolved = secrets::resolve(config)?;
    let wishes = args.wishes();
    let mut tried = Tried::default();
    if wishes.token || wishes.smoke_test {
        let metrics = Arc::new(Metrics::new()?);
        let mut config = config.clone();
        tailnet::settle(&mut config).await?;
        let relay = Relay::open(&config, &resolved.secrets, Arc::clone(&metrics)).await?;
        let used = trial::run(&relay, &config, metrics, &there, wishes).await;
        relay.shutdown().await;
        tried = used?;
    }
    Ok(Outcome {
        text: format!(
            "already set up in {dir}; nothing was changed\n  relay        {url}\n  fleet        {fleet} \
             ({id})\n  owner        {email}\n  credentials  {credentials}{lines}",
            dir = config.data_dir.display(),
            url = there.relay_url,
            fleet = there.fleet_name,
            id = there.fleet_id,
            email = there.email,
            credentials = credentials::path(&config.data_dir).display(),
            lines = lines(&there, &tried),
        ),
        json: about(config, &there, &tried, false),
    })
}

fn nothing_changed(config: &Config) -> Outcome {
    Outcome {
        text: format!(
            "already set up in {}; nothing was changed (credentials.json is not there any more)",
            config.data_dir.display()
        ),
        json: object(json!({ "data_dir": config.data_dir, "changed": false })),
    }
}

/// The owner, and whether the password was made; none where the relay was set up before.
async fn set_up(
    relay: &Relay,
    config: &Config,
    said: &Given,
    given: Option<Owner>,
) -> Result<Option<Owner>, CliError> {
    let pending_path = credentials::pending_path(&config.data_dir);
    let pending = Credentials::read(&pending_path)?;
    let (mut owner, is_made) = match (relay.is_set_up()?, pending) {
        // An earlier run was cut short after the relay had been told.
        (true, Some(pending)) => (pending, true),
        (true, None) => return Ok(None),
        (false, _) => {
            let owner = match given {
                Some(given) => given,
                None => owner::choose(said, &config.base_url)?,
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
    Ok(Some((owner, is_made)))
}

fn report_made(
    config: &Config,
    owner: &Credentials,
    show_password: bool,
    tried: &Tried,
) -> Outcome {
    let password = if show_password {
        owner.password.as_str()
    } else {
        "(the one you gave)"
    };
    let mut json = about(config, owner, tried, true);
    if show_password {
        json.insert("password".into(), owner.password.clone().into());
    }
    Outcome {
        text: format!(
            "set up in {dir}\n  relay        {url}\n  fleet        {fleet} ({id})\n  owner        \
             {email}\n  password     {password}\n  credentials  {credentials} (only you can read \
             it){lines}\n\nThe password is not shown again. Next: `ekho doctor`, then {next}.",
            dir = config.data_dir.display(),
            url = owner.relay_url,
            fleet = owner.fleet_name,
            id = owner.fleet_id,
            email = owner.email,
            credentials = credentials::path(&config.data_dir).display(),
            lines = lines(owner, tried),
            next = next_start(&config.data_dir),
        ),
        json,
    }
}

/// What came of the first use.
fn lines(owner: &Credentials, tried: &Tried) -> String {
    let mut lines = String::new();
    if tried.smoke_test {
        lines.push_str(
            "\n  test         an agent enrolled, sent, received, acked and was revoked again",
        );
    }
    if let Some(token) = &tried.token {
        lines.push_str(&format!(
            "\n  first token  {token} (one agent, within an hour)\n\n  ekho agent enroll --fleet {} \
             --token {token} --name NAME --url {}",
            owner.fleet_id, owner.relay_url
        ));
    }
    lines
}

fn about(config: &Config, owner: &Credentials, tried: &Tried, changed: bool) -> Map<String, Value> {
    let mut json = object(json!({
        "changed": changed,
        "data_dir": config.data_dir,
        "relay_url": owner.relay_url,
        "fleet_id": owner.fleet_id,
        "fleet_name": owner.fleet_name,
        "email": owner.email,
        "credentials": credentials::path(&config.data_dir),
    }));
    if tried.smoke_test {
        json.insert("smoke_test".into(), "passed".into());
    }
    if let Some(token) = &tried.token {
        json.insert("enrollment_token".into(), token.clone().into());
    }
    json
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
