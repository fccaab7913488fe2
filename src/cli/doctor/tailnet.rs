//! The tailnet: whether this machine is in one, which addresses it gives, and what is missing where
//! the configuration relies on it.

use std::net::IpAddr;

use super::Finding;
use crate::config::Config;
use crate::tailnet::{self, Served, Status, TailnetError};

const CHECK: &str = "tailnet";
/// Complaints of tailscaled that are repeated.
const HEALTH_MAX: usize = 8;
const INSTALL: &str = "install Tailscale and run `sudo tailscale up`; EKHO_TAILSCALED_SOCKET names \
                       a socket elsewhere. See docs/tailscale.md";
const DEFAULT_NODE_PORT: &str = "4001";

pub(super) async fn look(config: &Config) -> Vec<Finding> {
    let socket = &config.tailscaled_socket;
    let status = match tailnet::status(socket).await {
        Ok(status) => status,
        Err(error) => return vec![unknown(config, &error)],
    };
    if !status.is_running() {
        let found = format!(
            "tailscaled is here and not connected ({})",
            status.backend_state
        );
        return vec![match relies(config) {
            Some(setting) => Finding::fail(
                CHECK,
                format!("{found}, and {setting} relies on it"),
                status.mend(),
            ),
            None => Finding::warn(CHECK, found, status.mend()),
        }];
    }
    let mut findings = vec![here(config, &status)];
    findings.extend(name(&status));
    findings.extend(interface(config, &status));
    findings.extend(listens(config, &status));
    findings.extend(node_address(config, &status));
    findings.extend(match tailnet::served(socket).await {
        Ok(served) => serve(config, &served),
        Err(error) => Some(Finding::warn(
            CHECK,
            format!("what `tailscale serve` passes on is not known: {error}"),
            "run doctor as a user who may ask tailscaled",
        )),
    });
    let health = status.health().iter().take(HEALTH_MAX);
    findings.extend(health.map(|problem| {
        Finding::warn(
            CHECK,
            format!("tailscaled says: {problem}"),
            "see `tailscale status`",
        )
    }));
    findings
}

/// The setting that cannot be obeyed without a tailnet.
fn relies(config: &Config) -> Option<&'static str> {
    match config {
        config if config.host == tailnet::HOST => Some("EKHO_HOST"),
        config if config.cluster.listens_in_tailnet().is_some() => Some("EKHO_NODE_LISTEN"),
        config if config.tailnet.is_required => Some("EKHO_OPERATOR_REQUIRE_TAILNET"),
        config if config.tailnet.signs_in => Some("EKHO_OPERATOR_TAILNET_LOGIN"),
        _ => None,
    }
}

fn unknown(config: &Config, error: &TailnetError) -> Finding {
    match (relies(config), error) {
        (Some(setting), error) => {
            Finding::fail(CHECK, format!("{setting} relies on it: {error}"), INSTALL)
        }
        (None, TailnetError::Absent { .. }) => {
            Finding::ok(CHECK, "no tailscaled here, and nothing relies on it")
        }
        (None, error) => Finding::warn(
            CHECK,
            error.to_string(),
            "run doctor as a user who may ask tailscaled",
        ),
    }
}

/// Who this machine is there, and what to set to use it.
fn here(config: &Config, status: &Status) -> Finding {
    let addresses: Vec<String> = status.addresses().iter().map(ToString::to_string).collect();
    let reached_at = status.reached_at().unwrap_or_default();
    let uses_it = relies(config).is_some() || tailnet_host(&config.base_url, status);
    let proposal = if uses_it {
        String::new()
    } else {
        format!(
            "; to be reached there: EKHO_HOST=tailscale, which gives \
             EKHO_BASE_URL=http://{reached_at}:{port}, and for a cluster \
             EKHO_NODE_ADDRESS={reached_at}:{DEFAULT_NODE_PORT}; or `tailscale serve --bg {port}`",
            port = config.port,
        )
    };
    Finding::ok(
        CHECK,
        format!(
            "this machine is {reached_at} ({}){proposal}",
            addresses.join(", ")
        ),
    )
}

/// Whether a URL is of this machine in the tailnet.
fn tailnet_host(url: &str, status: &Status) -> bool {
    let url = url.parse::<reqwest::Url>();
    let host = url.as_ref().ok().and_then(reqwest::Url::host_str);
    host.is_some_and(|host| is_this_machine(host, status))
}

fn is_this_machine(host: &str, status: &Status) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    status
        .name()
        .is_some_and(|name| name.eq_ignore_ascii_case(host))
        || address.is_ok_and(|address| status.addresses().contains(&address))
}

fn name(status: &Status) -> Option<Finding> {
    status.name().is_none().then(|| {
        Finding::warn(
            CHECK,
            "MagicDNS is off, so that the machine has an address and no name",
            "switch MagicDNS on in the admin console of the tailnet, or use the address",
        )
    })
}

fn interface(config: &Config, status: &Status) -> Option<Finding> {
    let needs = config.is_in_tailnet() && !status.has_interface();
    needs.then(|| Finding::fail(CHECK, TailnetError::NoInterface.to_string(), INSTALL))
}

/// Other nodes are spoken to over the tailnet, and everybody else could connect as well.
fn listens(config: &Config, status: &Status) -> Option<Finding> {
    let (host, port) = config.cluster.address.as_ref()?.rsplit_once(':')?;
    let listen = config.cluster.listen.rsplit_once(':')?.0;
    let is_wide = matches!(listen, "0.0.0.0" | "[::]");
    (is_wide && is_this_machine(host, status)).then(|| {
        Finding::warn(
            CHECK,
            format!(
                "other nodes come over the tailnet, and {} is open to every network",
                config.cluster.listen
            ),
            format!("set EKHO_NODE_LISTEN={}:{port}", tailnet::HOST),
        )
    })
}

/// An address of the tailnet that is another machine's.
fn node_address(config: &Config, status: &Status) -> Option<Finding> {
    let address = config.cluster.address.as_ref()?;
    let (host, port) = address.rsplit_once(':')?;
    let suffix = status.name()?.split_once('.')?.1;
    let is_of_tailnet = host.to_ascii_lowercase().ends_with(&format!(".{suffix}"));
    (is_of_tailnet && !is_this_machine(host, status)).then(|| {
        Finding::fail(
            CHECK,
            format!("EKHO_NODE_ADDRESS is {address}, which is another machine of the tailnet"),
            format!(
                "set EKHO_NODE_ADDRESS={}:{port}",
                status.reached_at().unwrap_or_default()
            ),
        )
    })
}

/// `tailscale serve` in front of the relay, which says who its operators are.
fn serve(config: &Config, served: &Served) -> Option<Finding> {
    let sites = served.to_port(config.port);
    let needs = config.tailnet.is_required || config.tailnet.signs_in;
    match (sites.is_empty(), needs) {
        (false, _) => {
            let sites: Vec<String> = sites.iter().map(|site| format!("https://{site}")).collect();
            Some(Finding::ok(
                CHECK,
                format!(
                    "`tailscale serve` passes {} on to this relay",
                    sites.join(", ")
                ),
            ))
        }
        (true, true) => Some(Finding::fail(
            CHECK,
            format!(
                "operators are to come by `tailscale serve`, which passes nothing on to port {}",
                config.port
            ),
            format!("tailscale serve --bg {}", config.port),
        )),
        (true, false) => None,
    }
}
