//! Every `EKHO_*` variable in one typed place.
//!
//! A value comes from a flag, else the environment, else a TOML file, else the default. The file
//! is the one named by `EKHO_CONFIG`, else `./ekho.toml`, else `DATA_DIR/ekho.toml`; its keys are
//! the variables in lower case without `EKHO_`. Everything wrong is reported at once, and a
//! variable that means nothing here is a warning, never an error.
//!
//! Reads the environment and that file; touches nothing else.

mod a2a;
mod cluster;
mod entry;
mod loader;
mod node;
mod oidc;
mod operators;
mod otlp;
mod parse;
mod seeds;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ekho_storage::tables::attachment::AttachmentSettings;
use ekho_storage::tables::settings::Settings;
use ipnet::IpNet;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::ingress::oidc::Oidc;
use crate::ingress::proxies::TrustedProxies;
use crate::tailnet;

pub use self::a2a::A2a;
pub use self::cluster::Cluster;
pub use self::entry::{Entry, Scope, Source};
use self::loader::Loader;
pub use self::operators::Tailnet;
pub use self::otlp::Otlp;

/// What is shown instead of a secret.
const MASK: &str = "********";

/// The configuration is not usable; says everything that is wrong with it.
#[derive(Debug, Error)]
#[error("{}", problems.join("\n"))]
pub struct ConfigError {
    /// One sentence a problem.
    pub problems: Vec<String>,
}

/// The effective configuration of a node.
#[derive(Clone)]
pub struct Config {
    /// Where everything is stored.
    pub data_dir: PathBuf,
    /// Name or address to listen on, IPv6 without brackets.
    pub host: String,
    /// Port to listen on; 0 takes a free one.
    pub port: u16,
    /// How agents reach the relay, without a slash at its end.
    pub base_url: String,
    /// Certificate and key, where TLS is served.
    pub tls: Option<TlsPaths>,
    /// Start with weak or missing secrets.
    pub dev_insecure: bool,
    /// Keys the operators' sessions; [`Secrets`](crate::secrets::Secrets) decides what is used.
    pub operator_session_secret: Option<Zeroizing<String>>,
    /// Seals agents' keys at rest; [`Secrets`](crate::secrets::Secrets) decides what is used.
    pub master_secret: Option<Zeroizing<String>>,
    /// The master secret to come, while it is changed.
    pub next_master_secret: Option<Zeroizing<String>>,
    /// The OpenID provider that operators may sign in with.
    pub oidc: Option<Oidc>,
    /// Proxies whose headers say who the client is.
    pub proxies: TrustedProxies,
    /// What a tailnet says about operators.
    pub tailnet: Tailnet,
    /// The socket of tailscaled's local API.
    pub tailscaled_socket: PathBuf,
    /// How it answers A2A.
    pub a2a: A2a,
    /// Networks of the inside that requests to addresses that others chose may reach.
    pub outbound_networks: Vec<IpNet>,
    /// Largest body of a request.
    pub body_limit_bytes: usize,
    /// Longest time for the head of a request to arrive.
    pub header_timeout: Duration,
    /// Longest time a connection may lie idle between requests.
    pub idle_timeout: Duration,
    /// Longest time requests in flight may take to finish at shutdown.
    pub shutdown_timeout: Duration,
    /// Connections at once; further ones are answered 503.
    pub max_connections: usize,
    /// How the node is one of a cluster.
    pub cluster: Cluster,
    /// The licence and how to check it.
    pub license: LicenseConfig,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Which log lines are written: tracing directives.
    pub log_filter: String,
    /// Where traces and metrics are sent, if anywhere.
    pub otlp: Option<Otlp>,
    /// Free bytes of the disk below which writes are refused.
    pub disk_free_min_bytes: u64,
    /// Memory for blocks read from the state.
    pub block_cache_bytes: usize,
    /// Memory for writes to the state not yet flushed.
    pub write_buffer_bytes: usize,
    /// First values of the replicated settings; used by setup only.
    pub settings: Settings,
    /// First values of what decides about attachments; used once.
    pub attachments: AttachmentSettings,
    /// Uploads at once.
    pub attachment_uploads: usize,
    /// Every setting with its value and source, secrets masked.
    pub entries: Vec<Entry>,
    /// What is odd, but no reason not to start. One sentence each.
    pub warnings: Vec<String>,
}

/// Where a licence comes from, and the key that it is checked with.
#[derive(Clone, Default)]
pub struct LicenseConfig {
    /// The licence itself. Stands above the file.
    pub key: Option<Zeroizing<String>>,
    /// The file that holds it.
    pub path: Option<PathBuf>,
    /// PEM file with the public key to check it with, in place of the vendor's.
    pub public_key_path: Option<PathBuf>,
}

/// Where TLS comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsPaths {
    /// PEM file with the certificate chain, the relay's own first.
    pub cert: PathBuf,
    /// PEM file with its private key.
    pub key: PathBuf,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// Values from the command line; they stand above all others.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--config`
    pub config: Option<PathBuf>,
    /// `--data-dir`
    pub data_dir: Option<PathBuf>,
    /// `--host`
    pub host: Option<String>,
    /// `--port`
    pub port: Option<u16>,
    /// `--base-url`
    pub base_url: Option<String>,
    /// `--node-address`
    pub node_address: Option<String>,
    /// `--join`
    pub join: Option<String>,
    /// `--token`
    pub join_token: Option<String>,
}

impl fmt::Debug for Config {
    /// As the entries, which mask secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(
                self.entries
                    .iter()
                    .map(|entry| (entry.variable, &entry.value)),
            )
            .finish()
    }
}

impl Config {
    /// The configuration of this process.
    pub fn load(flags: &Flags) -> Result<Self, ConfigError> {
        Self::from_parts(flags, std::env::vars_os(), Path::new(""))
    }

    /// The configuration for a given environment and working directory.
    pub fn from_parts(
        flags: &Flags,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        working_dir: &Path,
    ) -> Result<Self, ConfigError> {
        let mut loader = Loader::new(environment);
        let text = |path: &PathBuf| path.to_string_lossy().into_owned();
        loader.flag("EKHO_CONFIG", "--config", flags.config.as_ref().map(text));
        loader.flag(
            "EKHO_DATA_DIR",
            "--data-dir",
            flags.data_dir.as_ref().map(text),
        );
        loader.flag("EKHO_HOST", "--host", flags.host.clone());
        loader.flag(
            "EKHO_PORT",
            "--port",
            flags.port.map(|port| port.to_string()),
        );
        loader.flag("EKHO_BASE_URL", "--base-url", flags.base_url.clone());
        loader.flag(
            "EKHO_NODE_ADDRESS",
            "--node-address",
            flags.node_address.clone(),
        );
        loader.flag("EKHO_JOIN", "--join", flags.join.clone());
        loader.flag("EKHO_JOIN_TOKEN", "--token", flags.join_token.clone());
        node::read_file(&mut loader, working_dir);
        let config = node::read_settings(&mut loader);
        if loader.problems.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError {
                problems: loader.problems,
            })
        }
    }

    /// Whether the relay listens on this machine only.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost"
            || self
                .host
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    }

    /// Whether it listens at the machine's address in a tailnet, which is not known yet.
    pub fn is_in_tailnet(&self) -> bool {
        self.host == tailnet::HOST || self.cluster.listens_in_tailnet().is_some()
    }

    /// Puts the machine's address in the tailnet in place of `tailscale`, and how others reach the
    /// machine there into what agents are told, where nothing else is.
    pub fn in_tailnet_at(&mut self, address: IpAddr, reached_at: &str) {
        if let Some(port) = self.cluster.listens_in_tailnet() {
            self.cluster.listen = format!("{}:{port}", tailnet::bracketed(&address));
        }
        if self.host != tailnet::HOST {
            return;
        }
        self.host = address.to_string();
        let derived = self.entries.iter_mut().find(|entry| {
            entry.variable == "EKHO_BASE_URL" && matches!(entry.source, Source::Derived(_))
        });
        if let Some(entry) = derived {
            let scheme = if self.tls.is_some() { "https" } else { "http" };
            self.base_url = format!("{scheme}://{reached_at}:{}", self.port);
            entry.value = Some(self.base_url.clone());
            entry.source = Source::Derived("tailscaled");
        }
    }

    /// Whether anything says where the relay is; the default address says nothing.
    pub fn names_an_address(&self) -> bool {
        const NAMING: [&str; 4] = [
            "EKHO_BASE_URL",
            "EKHO_HOST",
            "EKHO_PORT",
            "EKHO_TLS_CERT_PATH",
        ];
        self.entries.iter().any(|entry| {
            let is_set = !matches!(entry.source, Source::Default | Source::Derived(_));
            is_set && NAMING.contains(&entry.variable)
        })
    }

    /// Puts the port that was taken in place of port 0.
    pub fn listening_on(&mut self, port: u16) {
        if self.port == 0 && self.base_url.ends_with(":0") {
            self.base_url = format!("{}:{port}", self.base_url.trim_end_matches(":0"));
        }
        self.port = port;
    }

    /// Notes that a secret which is not configured comes from a file of the data directory.
    pub fn came_from_file(&mut self, variable: &str, path: &Path) {
        if let Some(entry) = self
            .entries
            .iter_mut()
            .find(|entry| entry.variable == variable)
        {
            entry.value = Some(MASK.to_string());
            entry.source = Source::File(path.to_path_buf());
        }
    }
}
