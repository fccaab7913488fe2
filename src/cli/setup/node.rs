//! What the node is to be and how it is reached: from flags or answers to settings, and these into
//! `ekho.toml` in the data directory, where every later command finds them.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::wizard;
use crate::cli::CliError;
use crate::config::{Config, Flags, Source};
use crate::identity::is_node;
use crate::{secrets, tailnet};

const FILE_NAME: &str = "ekho.toml";
const FIRST_LINE: &str = "# Made by `ekho setup`.";
const EVERYWHERE: &str = "0.0.0.0";
const LOOPBACK: &str = "127.0.0.1";
const HEADING: &str = "Node";

/// What a node is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Mode {
    /// Alone; others can join it later
    One,
    /// The first of several: others can reach it
    First,
    /// One more of a cluster that is there
    Join,
}

impl Mode {
    pub const ALL: [Mode; 3] = [Mode::One, Mode::First, Mode::Join];
}

/// From where the relay is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Network {
    /// This machine alone
    Loopback,
    /// Every network of this machine
    Lan,
    /// The tailnet alone, at the address that tailscaled names
    Tailnet,
}

impl Network {
    pub const ALL: [Network; 3] = [Network::Loopback, Network::Lan, Network::Tailnet];
}

/// The node, by flags. What is given is kept in `ekho.toml` in the data directory.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct NodeArgs {
    /// What the node is to be [default: one]
    #[arg(long, value_enum, help_heading = HEADING)]
    pub mode: Option<Mode>,

    /// From where the relay is reached [default: as configured, else loopback]
    #[arg(long, value_enum, help_heading = HEADING)]
    pub network: Option<Network>,

    /// Port to listen on [default: EKHO_PORT, else 4000]
    #[arg(long, value_name = "PORT", help_heading = HEADING,
          value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,

    /// How agents reach the relay [default: from network and port]
    #[arg(long, value_name = "URL", help_heading = HEADING)]
    pub base_url: Option<String>,

    /// Where other nodes reach this one [default: EKHO_NODE_ADDRESS]
    #[arg(long, value_name = "HOST:PORT", help_heading = HEADING)]
    pub node_address: Option<String>,

    /// Node-to-node address of the cluster to join; several with commas between
    #[arg(long, value_name = "HOST:PORT", help_heading = HEADING)]
    pub join: Option<String>,

    /// What `ekho cluster token create` printed, to join with [default: EKHO_JOIN_TOKEN]
    #[arg(long, value_name = "TOKEN", help_heading = HEADING)]
    pub token: Option<String>,
}

/// Variable, key in the file and value of a setting that is kept.
type Kept = (&'static str, &'static str, String);

impl NodeArgs {
    /// What the node is to be.
    pub fn mode(&self) -> Mode {
        self.mode.unwrap_or(Mode::One)
    }

    /// As flags that stand above the rest of the configuration.
    pub fn flags(&self, place: Flags, before: &Config) -> Result<Flags, CliError> {
        let host = self.network.map(|network| match network {
            Network::Loopback => LOOPBACK,
            Network::Lan => EVERYWHERE,
            Network::Tailnet => tailnet::HOST,
        });
        let base_url = match (&self.base_url, self.network) {
            (Some(url), _) => Some(url.clone()),
            // What follows from the address itself need not be kept.
            (None, Some(Network::Loopback | Network::Tailnet) | None) => None,
            (None, Some(Network::Lan)) => {
                let address = wizard::lan_address().ok_or_else(|| {
                    CliError::Usage(
                        "no address of this machine in a network is found: pass --base-url".into(),
                    )
                })?;
                let host = tailnet::bracketed(&address);
                let port = self.port.unwrap_or(before.port);
                let scheme = if before.tls.is_some() {
                    "https"
                } else {
                    "http"
                };
                Some(format!("{scheme}://{host}:{port}"))
            }
        };
        Ok(Flags {
            host: host.map(str::to_string),
            port: self.port,
            base_url,
            node_address: self.node_address.clone(),
            join: self.join.clone(),
            join_token: self.token.clone(),
            ..place
        })
    }

    /// Refuses what does not fit together.
    pub fn check(&self, config: &Config) -> Result<(), CliError> {
        let refuse = |why: &str| Err(CliError::Usage(why.into()));
        let cluster = &config.cluster;
        match self.mode() {
            Mode::One | Mode::First if self.join.is_some() || self.token.is_some() => {
                refuse("--join and --token are for --mode join")
            }
            Mode::First | Mode::Join if cluster.address.is_none() => refuse(
                "EKHO_NODE_ADDRESS is not set: say where other nodes reach this one, as HOST:PORT \
                 (--node-address)",
            ),
            Mode::Join if cluster.join.is_empty() => {
                refuse("--join is needed: a node of the cluster, as HOST:PORT")
            }
            Mode::Join if cluster.token.is_none() && config.master_secret.is_none() => refuse(
                "--token is needed: run `ekho cluster token create` on a node of the cluster",
            ),
            _ => Ok(()),
        }
    }

    /// What is to be in the file.
    fn kept(flags: &Flags) -> Vec<Kept> {
        let port = flags.port.map(|port| port.to_string());
        [
            ("EKHO_HOST", "host", flags.host.clone()),
            ("EKHO_PORT", "port", port),
            ("EKHO_BASE_URL", "base_url", flags.base_url.clone()),
            (
                "EKHO_NODE_ADDRESS",
                "node_address",
                flags.node_address.clone(),
            ),
        ]
        .into_iter()
        .filter_map(|(variable, key, value)| Some((variable, key, value?)))
        .collect()
    }
}

/// Refuses flags that say something else than the configuration of a node that is there already.
pub(super) fn check_same(config: &Config, flags: &Flags) -> Result<(), CliError> {
    let kept = NodeArgs::kept(flags);
    let differing = differing(config, &kept);
    if differing.is_empty() {
        return Ok(());
    }
    let file = in_effect(config).unwrap_or_else(|| config.data_dir.join(FILE_NAME));
    Err(CliError::Usage(format!(
        "already set up in {}: put {} into {}, and start the relay again",
        config.data_dir.display(),
        differing.join(", "),
        file.display()
    )))
}

/// The keys that are not set as they are to be.
fn differing<'a>(config: &Config, kept: &'a [Kept]) -> Vec<&'a str> {
    kept.iter()
        .filter(|(variable, _, value)| said(config, variable).is_none_or(|(is, _)| is != *value))
        .map(|(_, key, _)| *key)
        .collect()
}

/// Keeps what flags say in `ekho.toml`. `before` is the configuration without them. Says what to
/// warn of.
pub(super) fn keep(
    config: &Config,
    before: &Config,
    flags: &Flags,
) -> Result<Vec<String>, CliError> {
    let kept = NodeArgs::kept(flags);
    let differing = differing(before, &kept);
    if differing.is_empty() {
        return Ok(Vec::new());
    }
    let path = config.data_dir.join(FILE_NAME);
    if let Some(file) = in_effect(before)
        && !is_ours(&file, &path, config)
    {
        return Err(CliError::Usage(format!(
            "settings are in {}, which is not changed here: set {} there, and leave the flags out",
            file.display(),
            differing.join(", ")
        )));
    }
    let table: toml::Table = kept
        .iter()
        .map(|(_, key, value)| ((*key).to_string(), as_toml(key, value)))
        .collect();
    let text = format!("{FIRST_LINE} `ekho config` shows what else can be set.\n{table}");
    secrets::replace(&path, text.as_bytes()).map_err(|source| CliError::File { path, source })?;
    Ok(kept
        .iter()
        .filter(|(variable, _, value)| {
            said(before, variable)
                .is_some_and(|(is, source)| is != *value && source == Source::Environment)
        })
        .map(|(variable, _, value)| {
            format!("{variable} is set in the environment and stands above what is kept: {value}")
        })
        .collect())
}

/// The value of a setting that is set, and where.
fn said(config: &Config, variable: &str) -> Option<(String, Source)> {
    let mut entries = config.entries.iter();
    let entry = entries.find(|entry| entry.variable == variable)?;
    let is_set = !matches!(entry.source, Source::Default | Source::Derived(_));
    let value = entry.value.clone().filter(|_| is_set)?;
    Some((value, entry.source.clone()))
}

/// The file that settings are read from.
fn in_effect(config: &Config) -> Option<PathBuf> {
    let mut entries = config.entries.iter();
    let entry = entries.find(|entry| entry.variable == "EKHO_CONFIG")?;
    entry.value.clone().map(PathBuf::from)
}

/// Whether a file is what an earlier run that was cut short left.
fn is_ours(file: &Path, path: &Path, config: &Config) -> bool {
    file.canonicalize().ok() == path.canonicalize().ok()
        && !is_node(&config.data_dir)
        && fs::read_to_string(file).is_ok_and(|text| text.starts_with(FIRST_LINE))
}

fn as_toml(key: &str, value: &str) -> toml::Value {
    match (key, value.parse::<i64>()) {
        ("port", Ok(port)) => toml::Value::Integer(port),
        _ => toml::Value::String(value.into()),
    }
}
