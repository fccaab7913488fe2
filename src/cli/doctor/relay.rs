//! The port: free, taken by our relay, or taken by something else.

use std::io::ErrorKind;

use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};

use super::Finding;
use crate::cli::here;
use crate::config::Config;

const CHECK: &str = "port";
const SERVICE: &str = "ekho-relay";

pub(super) async fn port(config: &Config) -> Finding {
    let address = here::address(config);
    if config.port == 0 {
        return Finding::ok(CHECK, "a free one is taken at each start");
    }
    let connected = tokio::time::timeout(here::PATIENCE, TcpStream::connect(&address)).await;
    if !matches!(connected, Ok(Ok(_))) {
        return can_bind(config).await;
    }
    match here::ask(config, "/").await {
        Ok((_, root)) if root.get("service").and_then(Value::as_str) == Some(SERVICE) => {
            running(&address, &root)
        }
        _ => Finding::fail(
            CHECK,
            format!("{address} is in use by something that is not a relay"),
            "stop that program (ss -ltnp shows it), or choose another EKHO_PORT",
        ),
    }
}

fn running(address: &str, root: &Value) -> Finding {
    let version = root
        .get("version")
        .and_then(Value::as_str)
        .unwrap_or("unknown");
    if root.get("setup_required").and_then(Value::as_bool) == Some(true) {
        return Finding::warn(
            CHECK,
            format!("a relay (version {version}) answers at {address} and is not set up"),
            "stop it, run `ekho setup`, and start it again",
        );
    }
    Finding::ok(
        CHECK,
        format!("a relay (version {version}) answers at {address}"),
    )
}

async fn can_bind(config: &Config) -> Finding {
    let host = config.host.as_str();
    match TcpListener::bind((host, config.port)).await {
        Ok(_) => Finding::ok(CHECK, format!("{host}:{} is free", config.port)),
        Err(error) => {
            let mend = match error.kind() {
                ErrorKind::PermissionDenied => {
                    "ports below 1024 need CAP_NET_BIND_SERVICE; choose another EKHO_PORT"
                }
                ErrorKind::AddrInUse => {
                    "stop what holds it (ss -ltnp shows it), or choose another EKHO_PORT"
                }
                _ => {
                    "choose an EKHO_HOST that is an address of this machine (ip address shows them)"
                }
            };
            Finding::fail(
                CHECK,
                format!("{host}:{} cannot be listened on: {error}", config.port),
                mend,
            )
        }
    }
}
