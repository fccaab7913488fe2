//! `ekho keys`: keys that operators sign with and agents identify themselves with. Private keys are
//! read here and signed with here; they never go to a relay.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use ed25519_dalek::{Signer, SigningKey};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::cli::ask::Sure;
use crate::cli::client::{Query, under};
use crate::cli::paging::Paging;
use crate::cli::remote::{Relay, Remote};
use crate::cli::show::{Columns, table};
use crate::cli::{CliError, print, print_json};
use crate::ingress::keys;
use crate::secrets;

const PATH: &str = "/v1/operator/keys";
const AGENTS: &str = "/v1/operator/agents";

/// What stands before the 32 bytes of a private Ed25519 key in PKCS #8 (RFC 8410, section 7).
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

const EXAMPLES: &str = "\
Examples:
  ekho keys generate --out ada.pem
  ekho keys register --key root.pem --name \"offline root\" --root
  ekho keys register --key ada.pem --name ada
  ekho keys endorse key_… --with root.pem
  ekho keys list
  ekho keys revoke key_… --reason \"laptop stolen\" --yes
  ekho keys agent agent_…
  ekho keys revoke-agent agent_… key_… --reason leaked --yes

Agents learn at their enrolment which operators' keys are trusted: root keys, and those that a chain
of endorsements leads to from one. `openssl genpkey -algorithm ed25519` makes keys as well.";

/// Keys that operators sign with and agents identify themselves with.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct KeysArgs {
    #[command(subcommand)]
    command: KeysCommand,

    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    List(ListArgs),
    Show(ShowArgs),
    Revoked(RevokedArgs),
    Generate(GenerateArgs),
    Register(RegisterArgs),
    Endorse(EndorseArgs),
    Revoke(RevokeArgs),
    Agent(AgentArgs),
    RevokeAgent(RevokeAgentArgs),
}

/// Operators' keys that are not revoked.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho keys list\n  ekho keys list --all --json")]
struct ListArgs {
    #[command(flatten)]
    paging: Paging,
}

/// One operator's key with its endorsements.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho keys show key_…")]
struct ShowArgs {
    /// The key's id
    key: String,
}

/// Keys that were revoked, of operators and agents.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho keys revoked")]
struct RevokedArgs {
    #[command(flatten)]
    paging: Paging,
}

/// Make a private key, in a file only you can read. Asks no relay.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho keys generate --out ada.pem")]
struct GenerateArgs {
    /// Where to; what is there already is not replaced
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Register the public half of a key of yours; signs with it to prove that you have it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho keys register --key ada.pem --name ada
  ekho keys register --key root.pem --name \"offline root\" --root")]
struct RegisterArgs {
    /// The private key, as PKCS #8 in PEM form
    #[arg(long, value_name = "FILE")]
    key: PathBuf,

    /// What people call it
    #[arg(long)]
    name: String,

    /// Trusted by itself; for owners
    #[arg(long)]
    root: bool,
}

/// Vouch for a key with a trusted one.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho keys endorse key_… --with root.pem")]
struct EndorseArgs {
    /// The id of the key to be trusted
    key: String,

    /// The private half of the trusted key, as PKCS #8 in PEM form
    #[arg(long, value_name = "FILE")]
    with: PathBuf,
}

/// Revoke an operator's key for good, and with it what is trusted through it alone.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho keys revoke key_… --reason \"laptop stolen\" --yes")]
struct RevokeArgs {
    /// The key's id
    key: String,

    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,

    #[command(flatten)]
    sure: Sure,
}

/// Keys that an agent registered.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho keys agent agent_…")]
struct AgentArgs {
    /// The agent's id
    agent: String,
}

/// Revoke a key of an agent for good.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho keys revoke-agent agent_… key_… --reason leaked --yes")]
struct RevokeAgentArgs {
    /// The agent's id
    agent: String,

    /// The key's id
    key: String,

    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,

    #[command(flatten)]
    sure: Sure,
}

const COLUMNS: Columns<'static> = &[
    ("id", "key_id"),
    ("name", "name"),
    ("operator", "operator_id"),
    ("root", "root"),
    ("trusted", "trusted"),
    ("since", "created_at"),
];

const REVOKED: Columns<'static> = &[
    ("id", "key_id"),
    ("of", "owner_id"),
    ("reason", "reason"),
    ("by", "revoked_by"),
    ("when", "revoked_at"),
];

const OF_AGENT: Columns<'static> = &[
    ("id", "key_id"),
    ("registered", "registered_at"),
    ("current", "current"),
    ("revoked", "revoked_at"),
    ("key", "public_key"),
];

pub(in crate::cli) async fn run(args: KeysArgs) -> Result<(), CliError> {
    let KeysArgs { command, remote } = args;
    match &command {
        KeysCommand::Generate(args) => return generate(&args.out, remote.is_json()),
        KeysCommand::Revoke(args) => {
            args.sure.check(&format!("Revoke {} for good", args.key))?;
        }
        KeysCommand::RevokeAgent(args) => {
            args.sure.check(&format!("Revoke {} for good", args.key))?;
        }
        _ => {}
    }
    remote
        .run(async |relay| match command {
            KeysCommand::List(args) => {
                let answer = args.paging.get(relay, PATH, Query::new(), "keys").await?;
                relay.rows(&answer, "keys", COLUMNS)
            }
            KeysCommand::Show(args) => {
                let answer = relay.get(&under(PATH, &args.key, "")).await?;
                show(relay, &answer)
            }
            KeysCommand::Revoked(args) => {
                let path = format!("{PATH}/revoked");
                let answer = args.paging.get(relay, &path, Query::new(), "keys").await?;
                relay.rows(&answer, "keys", REVOKED)
            }
            KeysCommand::Generate(_) => Ok(()),
            KeysCommand::Register(args) => register(relay, args).await,
            KeysCommand::Endorse(args) => endorse(relay, args).await,
            KeysCommand::Revoke(args) => revoke(relay, args).await,
            KeysCommand::Agent(args) => {
                let answer = relay.get(&under(AGENTS, &args.agent, "/keys")).await?;
                relay.rows(&answer, "keys", OF_AGENT)
            }
            KeysCommand::RevokeAgent(args) => {
                let keys = under(AGENTS, &args.agent, "/keys");
                let path = under(&keys, &args.key, "/revoke");
                let answer = relay.post(&path, &json!({ "reason": args.reason })).await?;
                relay.done(&answer, &format!("revoked {}", args.key))
            }
        })
        .await
}

/// A key, and who vouches for it in a table of its own.
fn show(relay: &Relay, answer: &Value) -> Result<(), CliError> {
    let mut key = answer["key"].clone();
    let endorsements = key["endorsements"].take();
    if let Some(fields) = key.as_object_mut() {
        fields.remove("endorsements");
    }
    relay.one(answer, &key)?;
    match endorsements.as_array().map(Vec::as_slice) {
        Some(rows @ [_, ..]) if !relay.is_json() => {
            print(&format!("\nEndorsed by:\n{}", table(ENDORSEMENTS, rows)))
        }
        _ => Ok(()),
    }
}

const ENDORSEMENTS: Columns<'static> = &[
    ("key", "endorsed_by_key_id"),
    ("brought by", "operator_id"),
    ("when", "created_at"),
];

fn generate(out: &Path, as_json: bool) -> Result<(), CliError> {
    let seed = Zeroizing::new(rand::random::<[u8; 32]>());
    let der = Zeroizing::new([PKCS8_PREFIX.as_slice(), seed.as_slice()].concat());
    let body = Zeroizing::new(STANDARD.encode(der.as_slice()));
    let text = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        body.as_str()
    );
    let text = Zeroizing::new(text);
    secrets::create(out, text.as_bytes()).map_err(|source| CliError::File {
        path: out.to_path_buf(),
        source,
    })?;
    let public = SigningKey::from_bytes(&seed).verifying_key().to_bytes();
    let (id, shown) = (keys::key_id(&public), keys::shown(&public));
    match as_json {
        true => print_json(&json!({ "key_id": id, "public_key": shown, "file": out })),
        false => print(&format!("made {id} in {}: {shown}", out.display())),
    }
}

/// A private key from a file.
fn read_key(path: &Path) -> Result<SigningKey, CliError> {
    let refuse = |why: String| CliError::Content {
        path: path.to_path_buf(),
        why,
    };
    let pem = Zeroizing::new(fs::read(path).map_err(|source| CliError::File {
        path: path.to_path_buf(),
        source,
    })?);
    let der = PrivatePkcs8KeyDer::from_pem_slice(&pem)
        .map_err(|error| refuse(format!("a private key in PEM form is expected: {error}")))?;
    let bytes = der.secret_pkcs8_der();
    let seed = bytes
        .strip_prefix(&PKCS8_PREFIX)
        .and_then(|rest| rest.first_chunk());
    match seed {
        Some(seed) => Ok(SigningKey::from_bytes(seed)),
        None => Err(refuse("an Ed25519 key is expected".into())),
    }
}

fn sign(key: &SigningKey, statement: &str) -> String {
    keys::signature_shown(&key.sign(statement.as_bytes()).to_bytes())
}

async fn register(relay: &Relay, args: RegisterArgs) -> Result<(), CliError> {
    let key = read_key(&args.key)?;
    let public = key.verifying_key().to_bytes();
    let me = relay.get("/v1/operator/me").await?;
    let operator_id = me["operator_id"].as_str().unwrap_or_default();
    let statement = keys::register_statement(&relay.fleet_id().await?, operator_id, &public);
    let body = json!({
        "name": args.name,
        "public_key": keys::shown(&public),
        "proof": sign(&key, &statement),
        "root": args.root,
    });
    let answer = relay.post(PATH, &body).await?;
    let id = answer["key_id"].as_str().unwrap_or_default();
    let trust = match args.root {
        true => "trusted as a root",
        false => "to be trusted once a trusted key endorses it",
    };
    relay.done(&answer, &format!("registered {id}, {trust}"))
}

async fn endorse(relay: &Relay, args: EndorseArgs) -> Result<(), CliError> {
    let with = read_key(&args.with)?;
    let by_key_id = keys::key_id(&with.verifying_key().to_bytes());
    let found = relay.get(&under(PATH, &args.key, "")).await?;
    let public = found["key"]["public_key"].as_str().and_then(keys::ed25519);
    // What is signed is the key whose id was given, whatever the relay says.
    let public = public.filter(|public| keys::key_id(public) == args.key);
    let public = public.ok_or_else(|| {
        CliError::NotFound(format!("the relay's answer is not the key {}", args.key))
    })?;
    let statement = keys::endorse_statement(&relay.fleet_id().await?, &by_key_id, &public);
    let body = json!({
        "endorsed_by_key_id": by_key_id,
        "signature": sign(&with, &statement),
    });
    let path = under(PATH, &args.key, "/endorse");
    let answer = relay.post(&path, &body).await?;
    relay.done(&answer, &format!("{by_key_id} vouches for {}", args.key))
}

async fn revoke(relay: &Relay, args: RevokeArgs) -> Result<(), CliError> {
    let path = under(PATH, &args.key, "/revoke");
    let answer = relay.post(&path, &json!({ "reason": args.reason })).await?;
    let lost = answer["no_longer_trusted"].as_array();
    let lost: Vec<&str> = lost
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let more = match lost.is_empty() {
        true => String::new(),
        false => format!("; not trusted any more: {}", lost.join(", ")),
    };
    relay.done(&answer, &format!("revoked {}{more}", args.key))
}
