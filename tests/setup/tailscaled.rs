//! What stands in for tailscaled: a socket that answers `/localapi/v0/status` and
//! `/localapi/v0/serve-config` in the shape that tailscaled does (ipn/ipnstate and ipn/serve.go of
//! its source), and refuses what it would refuse.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

/// The host that tailscaled's own clients name; it answers no other.
const HOST: &str = "local-tailscaled.sock";

/// A stand-in that says of its machine what a test wants.
pub struct Tailscaled {
    pub socket: PathBuf,
    says: Arc<Mutex<Says>>,
    serving: JoinHandle<()>,
}

#[derive(Clone)]
struct Says {
    status: Value,
    serve: Value,
}

impl Tailscaled {
    /// One whose machine is in the tailnet, under an address and perhaps a name.
    pub fn running(dir: &Path, address: IpAddr, name: Option<&str>) -> Self {
        let socket = dir.join("tailscaled.sock");
        let listener = UnixListener::bind(&socket).expect("a socket");
        let says = Arc::new(Mutex::new(Says {
            status: running(address, name),
            serve: Value::Null,
        }));
        let router = Router::new()
            .route("/localapi/v0/status", get(status))
            .route("/localapi/v0/serve-config", get(serve))
            .with_state(Arc::clone(&says));
        let serving = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("the stand-in");
        });
        Tailscaled {
            socket,
            says,
            serving,
        }
    }

    /// Its machine is not connected.
    pub fn is(&self, backend_state: &str, auth_url: &str) {
        let status = &mut self.says.lock().status;
        status["BackendState"] = backend_state.into();
        status["AuthURL"] = auth_url.into();
        if backend_state != "Running" {
            status["TailscaleIPs"] = Value::Null;
            status["CurrentTailnet"] = Value::Null;
        }
    }

    /// Changes what it says of its machine.
    pub fn says(&self, change: impl FnOnce(&mut Value)) {
        change(&mut self.says.lock().status);
    }

    /// `tailscale serve --bg PORT` was called.
    pub fn serves(&self, name: &str, port: u16) {
        self.says.lock().serve = json!({
            "TCP": { "443": { "HTTPS": true } },
            "Web": { format!("{name}:443"): {
                "Handlers": { "/": { "Proxy": format!("http://127.0.0.1:{port}") } } } },
        });
    }
}

impl Drop for Tailscaled {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// What tailscaled says of a machine that is connected.
pub fn running(address: IpAddr, name: Option<&str>) -> Value {
    let suffix = name
        .and_then(|name| name.split_once('.'))
        .map_or("tail1a2b.ts.net", |(_, rest)| rest);
    json!({
        "Version": "1.98.1-t0123456-g89abcde",
        "TUN": true,
        "BackendState": "Running",
        "HaveNodeKey": true,
        "AuthURL": "",
        "TailscaleIPs": [address, "fd7a:115c:a1e0::1234"],
        "Self": {
            "ID": "n1234567CNTRL",
            "PublicKey": "nodekey:0000000000000000000000000000000000000000000000000000000000000001",
            "HostName": "relay",
            "DNSName": format!("{}.", name.unwrap_or("relay.tail1a2b.ts.net")),
            "OS": "linux",
            "UserID": 1,
            "TailscaleIPs": [address],
            "Online": true,
        },
        "Health": [],
        "MagicDNSSuffix": suffix,
        "CurrentTailnet": {
            "Name": "acme.example",
            "MagicDNSSuffix": suffix,
            "MagicDNSEnabled": name.is_some(),
        },
        "CertDomains": null,
        "Peer": null,
        "User": { "1": { "ID": 1, "LoginName": "ada@acme.example", "DisplayName": "Ada" } },
        "ClientVersion": null,
    })
}

async fn status(State(says): State<Arc<Mutex<Says>>>, request: Request) -> Response {
    answer(&request, &says.lock().status)
}

async fn serve(State(says): State<Arc<Mutex<Says>>>, request: Request) -> Response {
    answer(&request, &says.lock().serve)
}

fn answer(request: &Request, body: &Value) -> Response {
    let host = request.headers().get(header::HOST);
    if host.is_none_or(|host| host != HOST) {
        return (StatusCode::FORBIDDEN, "invalid localapi request").into_response();
    }
    axum::Json(body.clone()).into_response()
}
