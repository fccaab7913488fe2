//! `ekho a2a`: A2A clients that cannot sign, and their bearer tokens.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Until, a2a_elsewhere};
use crate::cli::ask::Sure;
use crate::cli::client::{Query, under};
use crate::cli::paging::Paging;
use crate::cli::remote::{Relay, Remote};
use crate::cli::show::Columns;
use crate::cli::{CliError, print, print_json, say};

const PATH: &str = "/v1/operator/a2a/clients";

const COLUMNS: Columns<'static> = &[
    ("id", "id"),
    ("name", "name"),
    ("agents", "agents"),
    ("rate", "rate_max_messages"),
    ("created", "created_at"),
    ("revoked", "revoked"),
];

const EXAMPLES: &str = "\
Examples:
  ekho a2a client create --name planner --agent agent_…
  ekho a2a client list
  ekho a2a client token agent_… --for 720h
  ekho a2a client delete-token agent_… tok_… --yes

A client of the A2A protocol that cannot sign acts with a bearer token, which is printed this once.
It is an agent without an inbox: `ekho agents pause`, `quarantine` and `revoke` take its id.";

/// Clients of the A2A protocol that cannot sign, agents elsewhere, and push notifications.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct A2aArgs {
    #[command(subcommand)]
    command: A2aCommand,

    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum A2aCommand {
    Client(ClientArgs),
    Remote(a2a_elsewhere::RemoteArgs),
    Push(a2a_elsewhere::PushArgs),
}

/// Who may ask agents for something with a bearer token.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
struct ClientArgs {
    #[command(subcommand)]
    command: ClientCommand,
}

#[derive(Debug, Subcommand)]
enum ClientCommand {
    List(ListArgs),
    Show(ShowArgs),
    Create(CreateArgs),
    Change(ChangeArgs),
    Token(TokenArgs),
    DeleteToken(DeleteTokenArgs),
}

/// Every client, in the order in which they were made.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho a2a client list\n  ekho a2a client list --all --json")]
struct ListArgs {
    #[command(flatten)]
    paging: Paging,
}

/// One client with its tokens.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho a2a client show agent_…")]
struct ShowArgs {
    /// The client's id
    client: String,
}

/// Make a client, and print its first token.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho a2a client create --name planner
  ekho a2a client create --name planner --agent agent_…,agent_… --rate 10 --for 720h --json")]
struct CreateArgs {
    /// What people call it
    #[arg(long)]
    name: String,

    #[command(flatten)]
    reach: Reach,

    #[command(flatten)]
    until: Until,
}

/// Change whom a client may reach, and how often: what is given, the rest stays.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho a2a client change agent_… --agent agent_…,agent_…
  ekho a2a client change agent_… --all-agents --rate 10
  ekho a2a client change agent_… --default-rate")]
struct ChangeArgs {
    /// The client's id
    client: String,

    #[command(flatten)]
    reach: Reach,

    /// It may reach every agent
    #[arg(long, conflicts_with = "agents")]
    all_agents: bool,

    /// It may send as many messages as every agent
    #[arg(long, conflicts_with = "rate")]
    default_rate: bool,
}

/// Give a client another token, and print it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho a2a client token agent_…
  ekho a2a client token agent_… --for 720h > planner.token")]
struct TokenArgs {
    /// The client's id
    client: String,

    #[command(flatten)]
    until: Until,
}

/// Take a token of a client back. It is good for nothing from then on.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho a2a client delete-token agent_… tok_… --yes")]
struct DeleteTokenArgs {
    /// The client's id
    client: String,

    /// The token's id
    token: String,

    #[command(flatten)]
    sure: Sure,
}

/// Whom a client may reach, and how often.
#[derive(Debug, Args)]
struct Reach {
    /// Agents that it may reach [default: all]
    #[arg(long = "agent", value_name = "AGENT", value_delimiter = ',')]
    agents: Vec<String>,

    /// Messages that it may send in a window [default: as many as every agent]
    #[arg(long, value_name = "MESSAGES")]
    rate: Option<u64>,
}

impl Reach {
    /// As the API takes it.
    fn request(self) -> Value {
        let mut request = json!({ "agents": self.agents });
        if let Some(rate) = self.rate {
            request["rate_max_messages"] = rate.into();
        }
        request
    }
}

pub(in crate::cli) async fn run(args: A2aArgs) -> Result<(), CliError> {
    let A2aArgs { command, remote } = args;
    let ClientArgs { command } = match command {
        A2aCommand::Client(args) => args,
        A2aCommand::Remote(args) => {
            return remote
                .run(async |relay| a2a_elsewhere::remote(relay, args).await)
                .await;
        }
        A2aCommand::Push(args) => {
            return remote
                .run(async |relay| a2a_elsewhere::push(relay, args).await)
                .await;
        }
    };
    if let ClientCommand::DeleteToken(args) = &command {
        let what = format!("Take {} of {} back", args.token, args.client);
        args.sure.check(&what)?;
    }
    remote
        .run(async |relay| match command {
            ClientCommand::List(args) => {
                let answer = args
                    .paging
                    .get(relay, PATH, Query::new(), "clients")
                    .await?;
                relay.rows(&answer, "clients", COLUMNS)
            }
            ClientCommand::Show(args) => {
                let answer = relay.get(&under(PATH, &args.client, "")).await?;
                relay.one(&answer, &answer)
            }
            ClientCommand::Create(args) => create(relay, args).await,
            ClientCommand::Change(args) => change(relay, args).await,
            ClientCommand::Token(args) => token(relay, args).await,
            ClientCommand::DeleteToken(args) => {
                let tokens = under(PATH, &args.client, "/tokens");
                let answer = relay.delete(&under(&tokens, &args.token, "")).await?;
                relay.done(&answer, &format!("took {} back", args.token))
            }
        })
        .await
}

async fn create(relay: &Relay, args: CreateArgs) -> Result<(), CliError> {
    let mut request = args.reach.request();
    request["name"] = args.name.into();
    if let Some(time) = args.until.time()? {
        request["expires_at"] = time.into();
    }
    let answer = relay.post(PATH, &request).await?;
    let id = answer["client_id"].as_str().unwrap_or_default();
    made(relay, &answer, &format!("made {id}"))
}

async fn change(relay: &Relay, args: ChangeArgs) -> Result<(), CliError> {
    let path = under(PATH, &args.client, "");
    let before = relay.get(&path).await?;
    let agents = match args.reach.agents {
        agents if args.all_agents || !agents.is_empty() => json!(agents),
        _ => before["agents"].clone(),
    };
    let rate = match args.reach.rate {
        rate if args.default_rate || rate.is_some() => json!(rate),
        _ => before["rate_max_messages"].clone(),
    };
    let change = json!({ "agents": agents, "rate_max_messages": rate });
    let answer = relay.put(&path, &change).await?;
    relay.done(&answer, &format!("changed {}", args.client))
}

async fn token(relay: &Relay, args: TokenArgs) -> Result<(), CliError> {
    let mut request = json!({});
    if let Some(time) = args.until.time()? {
        request["expires_at"] = time.into();
    }
    let path = under(PATH, &args.client, "/tokens");
    let answer = relay.post(&path, &request).await?;
    let id = answer["token_id"].as_str().unwrap_or_default();
    made(relay, &answer, &format!("made {id}"))
}

/// Prints a token alone on standard output, so that it can be put where it is needed.
fn made(relay: &Relay, answer: &Value, sentence: &str) -> Result<(), CliError> {
    if relay.is_json() {
        return print_json(answer);
    }
    say(sentence);
    print(answer["token"].as_str().unwrap_or_default())
}
