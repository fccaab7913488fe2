//! `ekho operators`: who steers the fleet, what they may do, and where they are signed in.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::cli::CliError;
use crate::cli::ask::{Sure, new_password, password};
use crate::cli::client::under;
use crate::cli::remote::{Relay, Remote};
use crate::cli::show::Columns;

const PATH: &str = "/v1/operator/operators";
const OWN_SESSIONS: &str = "/v1/operator/sessions";
const ROLES: [&str; 3] = ["owner", "operator", "viewer"];

const COLUMNS: Columns<'static> = &[
    ("id", "id"),
    ("email", "email"),
    ("role", "role"),
    ("since", "created_at"),
];

pub(super) const SESSIONS: Columns<'static> = &[
    ("id", "id"),
    ("kind", "kind"),
    ("name", "name"),
    ("scopes", "scopes"),
    ("address", "address"),
    ("program", "user_agent"),
    ("since", "created_at"),
    ("until", "expires_at"),
];

const EXAMPLES: &str = "\
Examples:
  ekho operators list
  ekho operators add ada@acme.example --role operator
  ekho operators role ada@acme.example viewer
  ekho operators password                          your own
  ekho operators sessions ada@acme.example
  ekho operators end-session ses_… --operator ada@acme.example
  ekho operators remove ada@acme.example --yes

An operator is named by id or email.";

/// Who steers the fleet, what they may do, where they are signed in.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct OperatorsArgs {
    #[command(subcommand)]
    command: OperatorsCommand,

    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum OperatorsCommand {
    List(ListArgs),
    Me(MeArgs),
    Add(AddArgs),
    Role(RoleArgs),
    Password(PasswordArgs),
    Remove(RemoveArgs),
    Sessions(SessionsArgs),
    EndSession(EndSessionArgs),
}

/// Every operator of the fleet.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho operators list")]
struct ListArgs {}

/// Who you are here, and what you may do.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho operators me")]
struct MeArgs {}

/// Add an operator; asks for their first password.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho operators add ada@acme.example --role operator
  pwgen 20 1 | tee first.txt | ekho operators add ada@acme.example --role viewer --password-stdin")]
struct AddArgs {
    /// Their email
    email: String,

    /// What they may do
    #[arg(long, value_parser = ROLES)]
    role: String,

    /// Read the password from the first line of standard input
    #[arg(long)]
    password_stdin: bool,
}

/// Change what an operator may do.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho operators role ada@acme.example viewer")]
struct RoleArgs {
    /// Their id or email
    operator: String,

    /// What they may do from now on
    #[arg(value_parser = ROLES)]
    role: String,
}

/// Change a password: your own, or an operator's, whose logins end.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho operators password
  ekho operators password ada@acme.example --password-stdin < new.txt")]
struct PasswordArgs {
    /// Their id or email [default: yourself]
    operator: Option<String>,

    /// Read from standard input: the new password; for your own, the present one on a line before
    #[arg(long)]
    password_stdin: bool,
}

/// Remove an operator with their sessions and API tokens.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho operators remove ada@acme.example --yes")]
struct RemoveArgs {
    /// Their id or email
    operator: String,

    #[command(flatten)]
    sure: Sure,
}

/// Where somebody is signed in, and with which API tokens programs act for them.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho operators sessions
  ekho operators sessions ada@acme.example")]
struct SessionsArgs {
    /// Their id or email [default: yourself]
    operator: Option<String>,
}

/// End a session or an API token.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho operators end-session ses_…
  ekho operators end-session ses_… --operator ada@acme.example
  ekho operators end-session --others")]
struct EndSessionArgs {
    /// Its id
    #[arg(required_unless_present = "others")]
    session: Option<String>,

    /// Whose it is, by id or email [default: your own]
    #[arg(long, value_name = "OPERATOR")]
    operator: Option<String>,

    /// All your other logins
    #[arg(long, conflicts_with_all = ["session", "operator"])]
    others: bool,
}

pub(in crate::cli) async fn run(args: OperatorsArgs) -> Result<(), CliError> {
    let OperatorsArgs { command, remote } = args;
    if let OperatorsCommand::Remove(args) = &command {
        args.sure.check(&format!("Remove {}", args.operator))?;
    }
    remote
        .run(async |relay| match command {
            OperatorsCommand::List(ListArgs {}) => {
                relay.rows(&relay.get(PATH).await?, "operators", COLUMNS)
            }
            OperatorsCommand::Me(MeArgs {}) => {
                let answer = relay.get("/v1/operator/me").await?;
                let mut shown = answer.clone();
                // The session has a command of its own.
                if let Some(fields) = shown.as_object_mut() {
                    fields.remove("session");
                }
                relay.one(&answer, &shown)
            }
            OperatorsCommand::Add(args) => add(relay, args).await,
            OperatorsCommand::Role(args) => {
                let id = id_of(relay, &args.operator).await?;
                let body = json!({ "role": args.role });
                let answer = relay.put(&under(PATH, &id, ""), &body).await?;
                relay.done(&answer, &format!("{} is {} now", args.operator, args.role))
            }
            OperatorsCommand::Password(args) => change_password(relay, args).await,
            OperatorsCommand::Remove(args) => {
                let id = id_of(relay, &args.operator).await?;
                let answer = relay.delete(&under(PATH, &id, "")).await?;
                relay.done(&answer, &format!("removed {}", args.operator))
            }
            OperatorsCommand::Sessions(args) => {
                let path = match &args.operator {
                    Some(operator) => under(PATH, &id_of(relay, operator).await?, "/sessions"),
                    None => OWN_SESSIONS.into(),
                };
                relay.rows(&relay.get(&path).await?, "sessions", SESSIONS)
            }
            OperatorsCommand::EndSession(args) => end_session(relay, args).await,
        })
        .await
}

/// The id of an operator named by id or email.
async fn id_of(relay: &Relay, operator: &str) -> Result<String, CliError> {
    if !operator.contains('@') {
        return Ok(operator.to_string());
    }
    let answer = relay.get(PATH).await?;
    let email = operator.to_lowercase();
    let all = answer["operators"].as_array().into_iter().flatten();
    let mut found = all.filter(|one| one["email"] == Value::String(email.clone()));
    match found.next().and_then(|one| one["id"].as_str()) {
        Some(id) => Ok(id.to_string()),
        None => Err(CliError::NotFound(format!(
            "there is no operator {operator}"
        ))),
    }
}

async fn add(relay: &Relay, args: AddArgs) -> Result<(), CliError> {
    let password = new_password(args.password_stdin, "Their first password")?;
    let body = json!({
        "email": args.email,
        "role": args.role,
        "password": password.as_str(),
    });
    let answer = relay.post(PATH, &body).await?;
    let id = answer["operator_id"].as_str().unwrap_or_default();
    relay.done(&answer, &format!("added {} as {id}", args.email))
}

async fn change_password(relay: &Relay, args: PasswordArgs) -> Result<(), CliError> {
    let stdin = args.password_stdin;
    let Some(operator) = args.operator else {
        let current = password(stdin, "Your present password")?;
        let new = new_password(stdin, "Your new password")?;
        let body = json!({
            "current_password": current.as_str(),
            "new_password": new.as_str(),
        });
        let answer = relay.post("/v1/operator/password", &body).await?;
        return relay.done(
            &answer,
            "changed your password; your other logins have ended",
        );
    };
    let id = id_of(relay, &operator).await?;
    let new = new_password(stdin, "Their new password")?;
    let body = json!({ "password": new.as_str() });
    let answer = relay.put(&under(PATH, &id, ""), &body).await?;
    let sentence = format!("changed the password of {operator}; their logins have ended");
    relay.done(&answer, &sentence)
}

async fn end_session(relay: &Relay, args: EndSessionArgs) -> Result<(), CliError> {
    let Some(session) = args.session else {
        let answer = relay.delete(OWN_SESSIONS).await?;
        return relay.done(&answer, &format!("other logins ended: {}", answer["ended"]));
    };
    let path = match &args.operator {
        Some(operator) => {
            let sessions = under(PATH, &id_of(relay, operator).await?, "/sessions");
            under(&sessions, &session, "")
        }
        None => under(OWN_SESSIONS, &session, ""),
    };
    let answer = relay.delete(&path).await?;
    relay.done(&answer, &format!("ended {session}"))
}
