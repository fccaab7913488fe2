//! The ceiling: a bare axum server that does for a send what no relay can leave out, and nothing
//! else. It checks the signature, parses the body and answers; it stores nothing, forgets at once
//! and remembers no nonce. What it answers in a second beside the load generator is the most that
//! this machine, this HTTP stack and this signature scheme allow.
//!
//! `cargo run --release --example ceiling -- --port 4100`, then `ekho bench --url
//! http://127.0.0.1:4100 --credentials FILE` with the credentials file that this program writes
//! when `--credentials FILE` is given. Loopback only; ends by itself after `--seconds`.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use clap::Parser;
use hmac::{Hmac, KeyInit, Mac};
use parking_lot::RwLock;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Keyed = Hmac<Sha256>;
type Agents = Arc<RwLock<HashMap<String, Keyed>>>;
type Answer = (StatusCode, [(&'static str, &'static str); 1], String);

/// A server that answers sends without storing them.
#[derive(Parser)]
struct Args {
    /// Port on the loopback address
    #[arg(long, default_value_t = 4100)]
    port: u16,
    /// End after this many seconds
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Write credentials for `ekho bench` here
    #[arg(long, value_name = "FILE")]
    credentials: Option<PathBuf>,
}

/// The fields of a send, as far as a relay must read them.
#[derive(Deserialize)]
#[allow(dead_code, reason = "parsing them is the work that is measured")]
struct Message {
    recipient: Recipient,
    message_type: String,
    #[serde(default)]
    priority: Option<String>,
    #[serde(default)]
    ttl_seconds: Option<u32>,
    conversation_id: String,
    correlation_id: String,
    body: Box<RawValue>,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "as above")]
struct Recipient {
    kind: String,
    id: Option<String>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, args.port)).await?;
    if let Some(path) = &args.credentials {
        let relay_url = format!("http://{}", listener.local_addr()?);
        let content = json!({ "relay_url": relay_url, "fleet_name": "ceiling", "email": "none", "password": "none" });
        let file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)?;
        serde_json::to_writer(file, &content)?;
    }
    eprintln!(
        "listening on {} for {} s",
        listener.local_addr()?,
        args.seconds
    );
    let app = Router::new()
        .route(
            "/healthz",
            get(async || answer(StatusCode::OK, r#"{"ok":true}"#.to_owned())),
        )
        .route(
            "/v1/operator/login",
            post(async || {
                answer(
                    StatusCode::OK,
                    r#"{"token":"t","fleet_id":"flt_0"}"#.to_owned(),
                )
            }),
        )
        .route(
            "/v1/operator/enrollment-tokens",
            post(async || answer(StatusCode::OK, r#"{"token":"t"}"#.to_owned())),
        )
        .route("/v1/enroll", post(enroll))
        .route("/v1/messages", post(send))
        .route("/v1/messages/{id}", get(known))
        .with_state(Agents::default());
    // A refusal to set the option costs latency, not correctness.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    let end = tokio::time::sleep(Duration::from_secs(args.seconds));
    axum::serve(listener, app)
        .with_graceful_shutdown(end)
        .await?;
    Ok(())
}

fn answer(status: StatusCode, body: String) -> Answer {
    (status, [("content-type", "application/json")], body)
}

fn refuse(status: StatusCode, why: &str) -> Answer {
    answer(status, json!({ "error": why }).to_string())
}

async fn enroll(State(agents): State<Agents>) -> Answer {
    let agent_id = format!("agent_{:032x}", rand::random::<u128>());
    let secret = format!("secret_{:032x}", rand::random::<u128>());
    let Ok(keyed) = Keyed::new_from_slice(secret.as_bytes()) else {
        return refuse(StatusCode::INTERNAL_SERVER_ERROR, "key");
    };
    agents.write().insert(agent_id.clone(), keyed);
    answer(
        StatusCode::OK,
        json!({ "agent_id": agent_id, "secret": secret }).to_string(),
    )
}

/// Tells an agent enrolled here (404) from one of an earlier run (401).
async fn known(State(agents): State<Agents>, headers: HeaderMap) -> Answer {
    match agents
        .read()
        .contains_key(header(&headers, "x-ekho-agent-id"))
    {
        true => refuse(StatusCode::NOT_FOUND, "message not found"),
        false => refuse(StatusCode::UNAUTHORIZED, "invalid agent credentials"),
    }
}

async fn send(
    State(agents): State<Agents>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let keyed = agents
        .read()
        .get(header(&headers, "x-ekho-agent-id"))
        .cloned();
    let Some(mut keyed) = keyed else {
        return refuse(StatusCode::UNAUTHORIZED, "invalid agent credentials");
    };
    let (timestamp, nonce) = (
        header(&headers, "x-ekho-timestamp"),
        header(&headers, "x-ekho-nonce"),
    );
    let body_hash = hex::encode(Sha256::digest(&body));
    for part in [
        method.as_str(),
        "\n",
        uri.path(),
        "\n",
        timestamp,
        "\n",
        nonce,
        "\n",
        &body_hash,
    ] {
        keyed.update(part.as_bytes());
    }
    let mut signature = [0; 32];
    let decoded = hex::decode_to_slice(header(&headers, "x-ekho-signature"), &mut signature);
    if decoded.is_err() || keyed.verify_slice(&signature).is_err() {
        return refuse(StatusCode::UNAUTHORIZED, "invalid signature");
    }
    if serde_json::from_slice::<Message>(&body).is_err() {
        return refuse(StatusCode::BAD_REQUEST, "not a message");
    }
    let id = rand::random::<u128>();
    answer(
        StatusCode::OK,
        format!(
            r#"{{"message_id":"msg_{id:032x}","status":"queued","queued_at":"2000-01-01T00:00:00.000Z"}}"#
        ),
    )
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}
