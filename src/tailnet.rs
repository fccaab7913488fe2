//! What tailscaled on this machine says: whether the machine is in a tailnet, under which
//! addresses and which name, and what `tailscale serve` passes on. Asked over tailscaled's local
//! API, a Unix socket; nothing is ever changed there.
//!
//! `tailscale` as the host of `EKHO_HOST` or `EKHO_NODE_LISTEN` stands for the machine's address in
//! the tailnet. [`wait`] puts the address in its place once there is one.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::net::TcpListener;

use crate::config::Config;
use crate::loopback::is_loopback;

/// Stands for the address in the tailnet.
pub const HOST: &str = "tailscale";
/// The name that tailscaled answers to.
const API: &str = "http://local-tailscaled.sock/localapi/v0";
const TIMEOUT: Duration = Duration::from_secs(3);
/// An answer without peers has a few kilobytes.
const ANSWER_MAX_BYTES: usize = 1 << 20;
/// Between two looks for the address.
const PAUSE: Duration = Duration::from_millis(500);
/// Between two lines about waiting.
const TELL: Duration = Duration::from_secs(10);

/// Why nothing is known of a tailnet.
#[derive(Debug, Error)]
pub enum TailnetError {
    /// No tailscaled runs here.
    #[error("no tailscaled answers at {path}: is Tailscale installed, and running?", path = path.display())]
    Absent {
        /// The socket.
        path: PathBuf,
    },
    /// It does not answer as tailscaled does.
    #[error("tailscaled at {path}: {why}", path = path.display())]
    Answer {
        /// The socket.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The machine is not in the tailnet now.
    #[error("tailscaled is not connected: {0}")]
    NotRunning(String),
    /// It is, and has no address of it.
    #[error(
        "tailscaled works without a network interface (userspace networking), so that nothing can \
         listen at its address: use EKHO_HOST=127.0.0.1 and `tailscale serve`"
    )]
    NoInterface,
    /// It is, and has no address of it.
    #[error("tailscaled names no address of this machine")]
    NoAddress,
}

/// What tailscaled says of this machine.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Status {
    /// `Running` where the machine is in the tailnet.
    pub backend_state: String,
    #[serde(rename = "TUN")]
    has_interface: bool,
    #[serde(rename = "AuthURL")]
    auth_url: String,
    #[serde(rename = "TailscaleIPs")]
    addresses: Option<Vec<IpAddr>>,
    #[serde(rename = "Self")]
    own: Option<Own>,
    health: Option<Vec<String>>,
    current_tailnet: Option<CurrentTailnet>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Own {
    #[serde(rename = "DNSName")]
    dns_name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct CurrentTailnet {
    #[serde(rename = "MagicDNSEnabled")]
    has_magic_dns: bool,
}

impl Status {
    /// Whether the machine is in the tailnet.
    pub fn is_running(&self) -> bool {
        self.backend_state == "Running"
    }

    /// The machine's address, IPv4 where it has one.
    pub fn address(&self) -> Option<IpAddr> {
        let all = self.addresses();
        let four = all.iter().find(|address| address.is_ipv4());
        four.or(all.first()).copied()
    }

    /// All of them.
    pub fn addresses(&self) -> &[IpAddr] {
        self.addresses.as_deref().unwrap_or_default()
    }

    /// The machine's name, where MagicDNS makes it known to the others.
    pub fn name(&self) -> Option<&str> {
        let tailnet = self.current_tailnet.as_ref()?;
        let name = self.own.as_ref()?.dns_name.trim_end_matches('.');
        (tailnet.has_magic_dns && !name.is_empty()).then_some(name)
    }

    /// How others reach the machine: its name, else its address.
    pub fn reached_at(&self) -> Option<String> {
        let address = || self.address().map(|address| bracketed(&address));
        self.name().map(str::to_string).or_else(address)
    }

    /// Whether programs can listen at the address.
    pub fn has_interface(&self) -> bool {
        self.has_interface
    }

    /// What tailscaled itself finds wrong.
    pub fn health(&self) -> &[String] {
        self.health.as_deref().unwrap_or_default()
    }

    /// What to do about a machine that is not in the tailnet.
    pub fn mend(&self) -> String {
        match self.backend_state.as_str() {
            "NeedsLogin" if !self.auth_url.is_empty() => {
                format!("sign this machine in at {}", self.auth_url)
            }
            "NeedsLogin" | "NoState" => "sign this machine in: sudo tailscale up".into(),
            "NeedsMachineAuth" => "approve this machine in the admin console of the tailnet".into(),
            "Stopped" => "connect this machine: sudo tailscale up".into(),
            "Starting" => "wait until it is connected".into(),
            state => format!("its state is {state:?}: see `tailscale status`"),
        }
    }

    /// Where to listen, once something can.
    fn listen_at(&self) -> Result<IpAddr, TailnetError> {
        if !self.is_running() {
            return Err(TailnetError::NotRunning(self.mend()));
        }
        if !self.has_interface {
            return Err(TailnetError::NoInterface);
        }
        self.address().ok_or(TailnetError::NoAddress)
    }
}

/// What `tailscale serve` passes on.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Served {
    web: Option<BTreeMap<String, Site>>,
    foreground: Option<BTreeMap<String, Served>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Site {
    handlers: Option<BTreeMap<String, Handler>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Handler {
    proxy: String,
}

impl Served {
    /// `NAME:PORT` of the sites that pass everything on to this port of this machine.
    pub fn to_port(&self, port: u16) -> Vec<String> {
        let own = self.web.iter().flatten().filter(|(_, site)| {
            let root = site
                .handlers
                .iter()
                .flatten()
                .find(|(path, _)| *path == "/");
            root.is_some_and(|(_, handler)| is_own_port(&handler.proxy, port))
        });
        let mut found: Vec<String> = own.map(|(name, _)| name.clone()).collect();
        let others = self.foreground.iter().flatten();
        found.extend(others.flat_map(|(_, served)| served.to_port(port)));
        found
    }
}

fn is_own_port(proxy: &str, port: u16) -> bool {
    let Ok(url) = proxy.parse::<reqwest::Url>() else {
        return false;
    };
    is_loopback(&url) && url.port_or_known_default() == Some(port)
}

/// What tailscaled behind this socket says of the machine.
pub async fn status(socket: &Path) -> Result<Status, TailnetError> {
    get(socket, "status?peers=false").await
}

/// What `tailscale serve` passes on.
pub async fn served(socket: &Path) -> Result<Served, TailnetError> {
    // Nothing that was ever served is null.
    let served: Option<Served> = get(socket, "serve-config").await?;
    Ok(served.unwrap_or_default())
}

async fn get<T: DeserializeOwned>(socket: &Path, path: &str) -> Result<T, TailnetError> {
    let refuse = |why: String| TailnetError::Answer {
        path: socket.to_path_buf(),
        why,
    };
    let failed = |error: reqwest::Error| refuse(innermost(&error));
    // Told apart here, because the client's errors do not.
    match tokio::net::UnixStream::connect(socket).await {
        Ok(_) => {}
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::ConnectionRefused
            ) =>
        {
            return Err(TailnetError::Absent {
                path: socket.to_path_buf(),
            });
        }
        Err(error) => return Err(refuse(error.to_string())),
    }
    let client = reqwest::Client::builder()
        .unix_socket(socket)
        .timeout(TIMEOUT)
        .build()
        .map_err(failed)?;
    let mut answer = client
        .get(format!("{API}/{path}"))
        .send()
        .await
        .map_err(failed)?;
    if !answer.status().is_success() {
        return Err(refuse(format!("it answers {}", answer.status())));
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(failed)? {
        if bytes.len() + chunk.len() > ANSWER_MAX_BYTES {
            return Err(refuse("its answer is too long".into()));
        }
        bytes.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&bytes).map_err(|error| refuse(format!("its answer: {error}")))
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// An address as it stands before a port.
pub fn bracketed(address: &IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// Puts what tailscaled says in place of `tailscale`, where the configuration says that. For
/// commands that only want to know where the relay is.
pub async fn settle(config: &mut Config) -> Result<(), TailnetError> {
    if !config.is_in_tailnet() {
        return Ok(());
    }
    let status = status(&config.tailscaled_socket).await?;
    put(config, &status, status.listen_at()?);
    Ok(())
}

/// The same, and waits until a program can listen there. At the start of a machine tailscaled is
/// often later than the relay.
pub async fn wait(config: &mut Config) -> Result<(), TailnetError> {
    if !config.is_in_tailnet() {
        return Ok(());
    }
    let mut told: Option<Instant> = None;
    loop {
        let why = match status(&config.tailscaled_socket).await {
            Ok(status) => match status.listen_at() {
                Ok(address) => match TcpListener::bind(SocketAddr::new(address, 0)).await {
                    Ok(_) => {
                        put(config, &status, address);
                        return Ok(());
                    }
                    Err(error) => format!("{address} cannot be listened on yet: {error}"),
                },
                // Waiting does not change it.
                Err(error @ TailnetError::NoInterface) => return Err(error),
                Err(error) => error.to_string(),
            },
            Err(error) => error.to_string(),
        };
        if told.is_none_or(|at| at.elapsed() > TELL) {
            told = Some(Instant::now());
            tracing::warn!("waiting for the tailnet: {why}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn put(config: &mut Config, status: &Status, address: IpAddr) {
    let reached_at = status.reached_at().unwrap_or_else(|| bracketed(&address));
    config.in_tailnet_at(address, &reached_at);
}

#[cfg(test)]
mod tests {
    use super::*;

    type Test = Result<(), Box<dyn std::error::Error>>;

    const RUNNING: &str = r#"{"Version": "1.98.1", "TUN": true, "BackendState": "Running",
        "AuthURL": "", "TailscaleIPs": ["fd7a:115c:a1e0::7", "100.64.0.7"],
        "Self": {"HostName": "relay", "DNSName": "relay.tail1a2b.ts.net.", "Online": true},
        "Health": null, "MagicDNSSuffix": "tail1a2b.ts.net",
        "CurrentTailnet": {"Name": "acme.example", "MagicDNSSuffix": "tail1a2b.ts.net",
                           "MagicDNSEnabled": true},
        "Peer": null, "User": null}"#;

    #[test]
    fn a_machine_is_known_by_its_name_or_else_its_address() -> Test {
        let status: Status = serde_json::from_str(RUNNING)?;
        assert_eq!(
            status.reached_at().as_deref(),
            Some("relay.tail1a2b.ts.net")
        );
        assert_eq!(status.listen_at()?.to_string(), "100.64.0.7");
        let text = RUNNING.replace(r#""MagicDNSEnabled": true"#, r#""MagicDNSEnabled": false"#);
        let unnamed: Status = serde_json::from_str(&text)?;
        assert_eq!(unnamed.reached_at().as_deref(), Some("100.64.0.7"));
        let text = text.replace(r#", "100.64.0.7""#, "");
        let six: Status = serde_json::from_str(&text)?;
        assert_eq!(six.reached_at().as_deref(), Some("[fd7a:115c:a1e0::7]"));
        Ok(())
    }

    #[test]
    fn a_machine_that_is_not_in_the_tailnet_is_told_what_to_do() -> Test {
        let signed_out = r#"{"BackendState": "NeedsLogin", "TUN": true, "TailscaleIPs": null,
            "AuthURL": "https://login.example/a/1", "CurrentTailnet": null}"#;
        let status: Status = serde_json::from_str(signed_out)?;
        assert!(!status.is_running() && status.reached_at().is_none());
        let error = status.listen_at().err().ok_or("it listens")?.to_string();
        assert!(error.contains("https://login.example/a/1"), "{error}");
        let text = RUNNING.replace(r#""TUN": true"#, r#""TUN": false"#);
        let userspace: Status = serde_json::from_str(&text)?;
        assert!(matches!(
            userspace.listen_at(),
            Err(TailnetError::NoInterface)
        ));
        Ok(())
    }

    #[test]
    fn what_is_served_is_found_by_the_port_it_goes_to() -> Test {
        let served: Served = serde_json::from_str(
            r#"{"TCP": {"443": {"HTTPS": true}},
                "Web": {"relay.tail1a2b.ts.net:443": {"Handlers": {"/": {"Proxy": "http://127.0.0.1:4000"}}},
                        "relay.tail1a2b.ts.net:8443": {"Handlers": {"/docs": {"Proxy": "http://127.0.0.1:4000"}}}},
                "Foreground": {"s1": {"Web": {"relay.tail1a2b.ts.net:9443":
                    {"Handlers": {"/": {"Proxy": "http://localhost:5000"}}}}}}}"#,
        )?;
        assert_eq!(served.to_port(4000), ["relay.tail1a2b.ts.net:443"]);
        assert_eq!(served.to_port(5000), ["relay.tail1a2b.ts.net:9443"]);
        assert!(served.to_port(4001).is_empty());
        Ok(())
    }
}
