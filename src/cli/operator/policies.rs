//! `ekho policies`: which messages are allowed.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::messages::PRIORITIES;
use super::policy_file::{self, ExportArgs, ImportArgs, read_file};
use crate::cli::CliError;
use crate::cli::ask::Sure;
use crate::cli::client::under;
use crate::cli::print;
use crate::cli::remote::{Relay, Remote};
use crate::cli::show::{self, Columns};

pub(super) const PATH: &str = "/v1/operator/policies";
/// Fields of an answer that no request has.
const READ_ONLY: [&str; 5] = ["id", "version", "created_at", "updated_at", "updated_by"];

const COLUMNS: Columns<'static> = &[
    ("id", "id"),
    ("name", "name"),
    ("action", "rule.action"),
    ("when", "rule.conditions"),
    ("agent", "scope_id"),
    ("enabled", "enabled"),
    ("dry run", "dry_run"),
    ("priority", "priority"),
    ("version", "version"),
];

const EXAMPLES: &str = "\
Examples:
  ekho policies list
  ekho policies create --name \"no shouting\" --action deny --message-type alert,broadcast
  ekho policies create --file policy.yaml
  ekho policies edit pol_… --message-priority urgent
  ekho policies preview --sender agent_… --recipient agent_… --message-type alert
  ekho policies disable pol_…
  ekho policies versions pol_…
  ekho policies rollback pol_… 2
  ekho policies delete pol_… --yes
  ekho policies export --out policies.yaml
  ekho policies import policies.yaml --dry-run

A policy in a file is the object of the API, as YAML or JSON:

  name: no shouting
  scope_kind: fleet
  rule:
    action: deny
    conditions: { message_type: [alert, broadcast] }";

/// Which messages are allowed: rules, their versions, and what they would do.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct PoliciesArgs {
    #[command(subcommand)]
    command: PoliciesCommand,

    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum PoliciesCommand {
    List(ListArgs),
    Show(ShowArgs),
    Create(CreateArgs),
    Edit(EditArgs),
    Enable(EnableArgs),
    Disable(DisableArgs),
    Delete(DeleteArgs),
    Versions(VersionsArgs),
    Rollback(RollbackArgs),
    Preview(PreviewArgs),
    Export(ExportArgs),
    Import(ImportArgs),
}

/// Every policy, in the order in which they are looked at.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho policies list\n  ekho policies list --json")]
struct ListArgs {}

/// One policy.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho policies show pol_…")]
struct ShowArgs {
    /// The policy's id
    policy: String,
}

/// Make a policy, from a file or from flags.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho policies create --name \"no shouting\" --action deny --message-type alert,broadcast
  ekho policies create --name \"quiet writer\" --action deny --agent agent_… --dry-run
  ekho policies create --file policy.yaml
  ekho policies create --file - < policy.json")]
struct CreateArgs {
    #[command(flatten)]
    given: Given,
}

/// Change a policy: what is given, the rest stays; with a file, the whole of it anew.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho policies edit pol_… --message-priority urgent --dry-run false
  ekho policies edit pol_… --file policy.yaml")]
struct EditArgs {
    /// The policy's id
    policy: String,

    #[command(flatten)]
    given: Given,
}

/// Switch a policy on.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho policies enable pol_…")]
struct EnableArgs {
    /// The policy's id
    policy: String,
}

/// Switch a policy off; it stays where it is.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho policies disable pol_…")]
struct DisableArgs {
    /// The policy's id
    policy: String,
}

/// Remove a policy.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho policies delete pol_… --yes")]
struct DeleteArgs {
    /// The policy's id
    policy: String,

    #[command(flatten)]
    sure: Sure,
}

/// What a policy said before, who changed it and when, the newest first.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho policies versions pol_…")]
struct VersionsArgs {
    /// The policy's id
    policy: String,
}

/// Make what a policy said in an earlier version its newest one.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ekho policies rollback pol_… 2")]
struct RollbackArgs {
    /// The policy's id
    policy: String,

    /// The version, as `ekho policies versions` shows it
    version: u32,
}

/// What would be decided about a message, and why; nothing is sent.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho policies preview --sender agent_… --recipient agent_… --message-type alert
  ekho policies preview --file message.yaml")]
struct PreviewArgs {
    /// Who would send it
    #[arg(long, value_name = "AGENT", required_unless_present = "file")]
    sender: Option<String>,

    /// Who would receive it
    #[arg(long, value_name = "AGENT")]
    recipient: Option<String>,

    /// Its type
    #[arg(long, value_name = "TYPE", required_unless_present = "file")]
    message_type: Option<String>,

    /// How urgent it would be [default: normal]
    #[arg(long, value_name = "PRIORITY", value_parser = PRIORITIES)]
    message_priority: Option<String>,

    /// The message as the API takes it, YAML or JSON; - for standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["sender", "recipient", "message_type", "message_priority"])]
    file: Option<PathBuf>,
}

/// A policy, or parts of one.
#[derive(Debug, Args)]
struct Given {
    /// The whole policy, YAML or JSON; - for standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["name", "action", "agent", "sender", "recipient", "message_type", "message_priority", "order", "dry_run", "enabled"])]
    file: Option<PathBuf>,

    /// What people call it
    #[arg(long)]
    name: Option<String>,

    /// What it does with a message that matches: allow, deny, or what the relay knows beside them
    #[arg(long)]
    action: Option<String>,

    /// Only messages from or to this agent
    #[arg(long)]
    agent: Option<String>,

    /// Only messages that one of these agents sends
    #[arg(long, value_name = "AGENT", value_delimiter = ',')]
    sender: Option<Vec<String>>,

    /// Only messages to one of these agents
    #[arg(long, value_name = "AGENT", value_delimiter = ',')]
    recipient: Option<Vec<String>>,

    /// Only messages of one of these types
    #[arg(long, value_name = "TYPE", value_delimiter = ',')]
    message_type: Option<Vec<String>>,

    /// Only messages this urgent
    #[arg(long, value_name = "PRIORITY", value_delimiter = ',', value_parser = PRIORITIES)]
    message_priority: Option<Vec<String>>,

    /// Its own priority: lower ones are looked at first [default: 100]
    #[arg(long, value_name = "NUMBER")]
    order: Option<u64>,

    /// Only record what it would deny
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    dry_run: Option<bool>,

    /// Whether it is looked at [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    enabled: Option<bool>,
}

pub(in crate::cli) async fn run(args: PoliciesArgs) -> Result<(), CliError> {
    let PoliciesArgs { command, remote } = args;
    match &command {
        PoliciesCommand::Delete(args) => {
            args.sure.check(&format!("Remove {}", args.policy))?;
        }
        PoliciesCommand::Import(args) => args.check()?,
        _ => {}
    }
    remote
        .run(async |relay| match command {
            PoliciesCommand::List(ListArgs {}) => {
                relay.rows(&relay.get(PATH).await?, "policies", COLUMNS)
            }
            PoliciesCommand::Show(args) => {
                let answer = relay.get(&under(PATH, &args.policy, "")).await?;
                relay.one(&answer, &answer["policy"])
            }
            PoliciesCommand::Create(args) => {
                let policy = args.given.over(json!({ "scope_kind": "fleet" }))?;
                let answer = relay.post(PATH, &policy).await?;
                let id = answer["policyId"].as_str().unwrap_or_default();
                relay.done(&answer, &format!("made {id}"))
            }
            PoliciesCommand::Edit(args) => edit(relay, args).await,
            PoliciesCommand::Enable(args) => switch(relay, &args.policy, true).await,
            PoliciesCommand::Disable(args) => switch(relay, &args.policy, false).await,
            PoliciesCommand::Delete(args) => {
                let answer = relay.delete(&under(PATH, &args.policy, "")).await?;
                relay.done(&answer, &format!("removed {}", args.policy))
            }
            PoliciesCommand::Versions(args) => {
                let answer = relay.get(&under(PATH, &args.policy, "/versions")).await?;
                relay.rows(&answer, "versions", VERSIONS)
            }
            PoliciesCommand::Rollback(args) => {
                let path = under(PATH, &args.policy, "/rollback");
                let answer = relay
                    .post(&path, &json!({ "version": args.version }))
                    .await?;
                let sentence = format!(
                    "{} says again what version {} said",
                    args.policy, args.version
                );
                relay.done(&answer, &sentence)
            }
            PoliciesCommand::Preview(args) => preview(relay, args).await,
            PoliciesCommand::Export(args) => policy_file::export(relay, &args).await,
            PoliciesCommand::Import(args) => policy_file::import(relay, &args).await,
        })
        .await
}

const VERSIONS: Columns<'static> = &[
    ("version", "version"),
    ("when", "updated_at"),
    ("by", "updated_by"),
    ("name", "name"),
    ("action", "rule.action"),
    ("conditions", "rule.conditions"),
    ("enabled", "enabled"),
    ("dry run", "dry_run"),
];

async fn edit(relay: &Relay, args: EditArgs) -> Result<(), CliError> {
    let path = under(PATH, &args.policy, "");
    let before = match args.given.file {
        Some(_) => json!({}),
        None => current(relay, &path).await?,
    };
    let answer = relay.put(&path, &args.given.over(before)?).await?;
    relay.done(&answer, &format!("changed {}", args.policy))
}

async fn switch(relay: &Relay, policy: &str, on: bool) -> Result<(), CliError> {
    let path = under(PATH, policy, "");
    let mut changed = current(relay, &path).await?;
    changed["enabled"] = on.into();
    let answer = relay.put(&path, &changed).await?;
    let state = if on { "on" } else { "off" };
    relay.done(&answer, &format!("switched {policy} {state}"))
}

/// A policy as a request would hold it.
async fn current(relay: &Relay, path: &str) -> Result<Value, CliError> {
    let mut policy = relay.get(path).await?["policy"].take();
    if let Some(policy) = policy.as_object_mut() {
        policy.retain(|name, value| !READ_ONLY.contains(&name.as_str()) && !value.is_null());
    }
    Ok(policy)
}

impl Given {
    /// What is given over what there was.
    fn over(&self, before: Value) -> Result<Value, CliError> {
        if let Some(path) = &self.file {
            let mut policy = read_file(path)?;
            if let Some(policy) = policy.as_object_mut() {
                policy.retain(|name, _| !READ_ONLY.contains(&name.as_str()));
            }
            return Ok(policy);
        }
        let mut policy = before;
        if let Some(agent) = &self.agent {
            policy["scope_kind"] = "agent".into();
            policy["scope_id"] = agent.as_str().into();
        }
        let fields = [
            ("name", json!(self.name)),
            ("priority", json!(self.order)),
            ("dry_run", json!(self.dry_run)),
            ("enabled", json!(self.enabled)),
        ];
        for (name, value) in fields.into_iter().filter(|(_, value)| !value.is_null()) {
            policy[name] = value;
        }
        if let Some(action) = &self.action {
            policy["rule"]["action"] = action.as_str().into();
        }
        let conditions = [
            ("sender_agent_id", &self.sender),
            ("recipient_agent_id", &self.recipient),
            ("message_type", &self.message_type),
            ("priority", &self.message_priority),
        ];
        for (name, values) in conditions {
            if let Some(values) = values {
                policy["rule"]["conditions"][name] = json!(values);
            }
        }
        if policy["rule"].is_null() {
            policy["rule"] = Value::Object(Map::new());
        }
        Ok(policy)
    }
}

/// What a preview says, in a sentence.
fn verdict(answer: &Value) -> String {
    let mut text = match (answer["allowed"].as_bool(), answer["outcome"].as_str()) {
        (Some(true), Some("allow") | None) => "allowed".to_string(),
        (Some(true), Some(action)) => format!("allowed, with {action}"),
        _ => "denied".into(),
    };
    match answer["decided_by"]["name"].as_str() {
        Some(name) => text.push_str(&format!(", by {name:?}")),
        None => text.push_str(", as no policy matches"),
    }
    if let Some(name) = answer["dry_run"]["name"].as_str() {
        text.push_str(&format!("; {name:?}, a dry run, would decide otherwise"));
    }
    let tags = answer["tags"].as_array().into_iter().flatten();
    let tags: Vec<&str> = tags.filter_map(Value::as_str).collect();
    if !tags.is_empty() {
        text.push_str(&format!("; tagged {}", tags.join(", ")));
    }
    show::clean(&text)
}

async fn preview(relay: &Relay, args: PreviewArgs) -> Result<(), CliError> {
    let question = match &args.file {
        Some(path) => read_file(path)?,
        None => json!({
            "sender_agent_id": args.sender,
            "recipient_agent_id": args.recipient,
            "message_type": args.message_type,
            "priority": args.message_priority.as_deref().unwrap_or("normal"),
        }),
    };
    let path = format!("{PATH}/preview");
    let answer = relay.post(&path, &question).await?;
    if relay.is_json() {
        return relay.done(&answer, "");
    }
    print(&verdict(&answer))?;
    let rows = answer["policies"].as_array().map(Vec::as_slice);
    let columns: Columns<'_> = &[
        ("id", "id"),
        ("name", "name"),
        ("action", "action"),
        ("matched", "matched"),
        ("why", "why"),
    ];
    match rows.unwrap_or_default() {
        [] => Ok(()),
        rows => print(&format!("\n{}", show::table(columns, rows))),
    }
}
