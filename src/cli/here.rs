//! The relay on this machine, as its configuration says where it listens. No secret is sent to it,
//! so that who answers need not be proven.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;

use crate::config::Config;

/// How long it is waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

/// Where the relay would be reached from this machine.
pub(super) fn address(config: &Config) -> String {
    match config.host.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) if address.is_unspecified() => format!("127.0.0.1:{}", config.port),
        Ok(IpAddr::V6(address)) if address.is_unspecified() => format!("[::1]:{}", config.port),
        Ok(IpAddr::V6(address)) => format!("[{address}]:{}", config.port),
        _ => format!("{}:{}", config.host, config.port),
    }
}

/// What it answers at a path: the status, and the JSON.
pub(super) async fn ask(
    config: &Config,
    path: &str,
) -> Result<(StatusCode, Value), reqwest::Error> {
    let scheme = if config.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let client = reqwest::Client::builder()
        .timeout(PATIENCE)
        .no_proxy()
        .tls_danger_accept_invalid_certs(true)
        .tls_danger_accept_invalid_hostnames(true)
        .build()?;
    let url = format!("{scheme}://{}{path}", address(config));
    let answer = client.get(url).send().await?;
    let status = answer.status();
    Ok((status, answer.json().await?))
}
