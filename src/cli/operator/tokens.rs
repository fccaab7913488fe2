//! `ekho tokens`: enrolment tokens, which admit agents, and API tokens, with which programs act for
//! an operator.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Until;
use super::operators::SESSIONS;
use crate::cli::ask::Sure;
use crate::cli::client::under;
use crate::cli::remote::{Relay, Remote};
use crate::cli::{CliError, print, print_json};

const SESSIONS_PATH: &str = "/v1/operator/sessions";

const EXAMPLES: &str = "\
Examples:
  ekho token create
  ekho tokens create-api --name ci --scope read,agents --for 2160h
  ekho tokens list
  ekho tokens revoke tok_… --yes

An enrolment token admits one agent to the fleet, once, within an hour. With an API token a program
acts for you, within the scopes you give it: EKHO_TOKEN or --token-file for these commands,
`Authorization: Bearer` for anything else.";

/// Enrolment tokens for agents, API tokens for programs.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct TokensArgs {
    #[command(subcommand)]
    command: TokensCommand,

    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum TokensCommand {
    Create(CreateArgs),
    CreateApi(CreateApiArgs),
    List(ListArgs),
    Revoke(RevokeArgs),
}

/// Make a token that lets one agent enrol.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho token create
  ekho token create --json
  ekho token create --url https://relay.example.org --credentials owner.json

A token admits one agent to the fleet, once, within an hour. The relay must be running.")]
struct CreateArgs {}

/// Make an API token with which a program acts for you. It is shown this once.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho tokens create-api --name ci --scope read,agents
  ekho tokens create-api --name report --scope read --for 24h --json")]
struct CreateApiArgs {
    /// What it is for
    #[arg(long)]
    name: String,

    /// What it may do, as far as you may: read, agents, messages, approvals, policies, …
    #[arg(long, value_name = "SCOPE", value_delimiter = ',', required = true)]
    scope: Vec<String>,

    #[command(flatten)]
    until: Until,
}

/// Your API tokens.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho tokens list")]
struct ListArgs {}

/// End one of your API tokens.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho tokens revoke tok_… --yes")]
struct RevokeArgs {
    /// Its id
    token: String,

    #[command(flatten)]
    sure: Sure,
}

pub(in crate::cli) async fn run(args: TokensArgs) -> Result<(), CliError> {
    let TokensArgs { command, remote } = args;
    if let TokensCommand::Revoke(args) = &command {
        args.sure
            .check(&format!("End the API token {}", args.token))?;
    }
    remote
        .run(async |relay| match command {
            TokensCommand::Create(CreateArgs {}) => create(relay).await,
            TokensCommand::CreateApi(args) => create_api(relay, args).await,
            TokensCommand::List(ListArgs {}) => list(relay).await,
            TokensCommand::Revoke(args) => {
                let answer = relay.delete(&under(SESSIONS_PATH, &args.token, "")).await?;
                relay.done(&answer, &format!("ended {}", args.token))
            }
        })
        .await
}

/// With all that it takes to enrol, where JSON is wanted.
async fn create(relay: &Relay) -> Result<(), CliError> {
    let made = relay
        .post("/v1/operator/enrollment-tokens", &json!({}))
        .await?;
    let token = made["token"].as_str().unwrap_or_default();
    if !relay.is_json() {
        return print(token);
    }
    // A token that may only do this may not read; the fleet is left out then.
    print_json(&json!({
        "token": token,
        "expires_in_seconds": made["expires_in_seconds"],
        "fleet_id": relay.fleet_id().await.ok(),
        "relay_url": relay.client().url(),
    }))
}

async fn create_api(relay: &Relay, args: CreateApiArgs) -> Result<(), CliError> {
    let mut body = json!({ "name": args.name, "scopes": args.scope });
    if let Some(time) = args.until.time()? {
        body["expires_at"] = time.into();
    }
    let answer = relay.post("/v1/operator/tokens", &body).await?;
    match relay.is_json() {
        true => print_json(&answer),
        false => print(answer["token"].as_str().unwrap_or_default()),
    }
}

async fn list(relay: &Relay) -> Result<(), CliError> {
    let mut answer = relay.get(SESSIONS_PATH).await?;
    let is_token = |one: &Value| one["kind"] == "api_token";
    if let Some(sessions) = answer["sessions"].as_array_mut() {
        sessions.retain(is_token);
    }
    relay.rows(&answer, "sessions", SESSIONS)
}
