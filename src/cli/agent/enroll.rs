//! `ekho agent enroll`: a one-time token becomes an identity, kept in a file.

use clap::Args;
use ekho_client::{EkhoAgentClient, EnrollRequest};
use serde_json::json;

use super::identity::{As, Identity};
use crate::cli::{CliError, print, print_json, private};

const EXAMPLES: &str = "\
Examples:
  ekho agent enroll --fleet flt_0199… --token ent_… --name Writer
  ekho agent enroll --fleet flt_0199… --token ent_… --name Writer --url https://relay.example.org
  ekho agent enroll --fleet flt_0199… --token ent_… --name Scout --agent ./scout.json

`ekho token create` prints a token and the fleet's id. The secret is kept in the file alone,
readable only by you: who has it acts as the agent.";

/// Become an agent with a one-time token
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct EnrollArgs {
    /// Id of the fleet
    #[arg(long, value_name = "ID")]
    fleet: String,

    /// The token; it is good once and for an hour
    #[arg(long, value_name = "TOKEN")]
    token: String,

    /// How people see the agent
    #[arg(long, value_name = "NAME")]
    name: String,

    /// What runs it: custom, openclaw, langgraph, autogen or another short word
    #[arg(long, value_name = "WORD", default_value = "custom")]
    runtime: String,

    /// Something that it can do; may be given several times
    #[arg(long = "capability", value_name = "WORD")]
    capabilities: Vec<String>,

    /// As JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    who: As,
}

pub(super) async fn run(args: EnrollArgs) -> Result<(), CliError> {
    let path = args.who.file()?;
    if path.exists() {
        return Err(CliError::Usage(format!(
            "{} holds an agent already: name another file with --agent",
            path.display()
        )));
    }
    let asked = args.who.relays();
    let urls = asked
        .clone()
        .unwrap_or_else(|| vec!["http://127.0.0.1:4000".into()]);
    let ca_file = args.who.ca_file()?;
    let mut builder = EkhoAgentClient::builder("", "").relays(urls);
    if let Some(file) = &ca_file {
        builder = builder.root_certificate_pem(std::fs::read(file)?);
    }
    // Now, and not when there is a secret that would be lost.
    let nothing = json!({});
    private::write(&path, &nothing)?;
    let mut request = EnrollRequest::new(args.fleet, args.token, args.name);
    request.runtime = args.runtime;
    request.capabilities = args.capabilities;
    let enrolled = match builder.enroll(&request).await {
        Ok(enrolled) => enrolled,
        Err(error) => {
            std::fs::remove_file(&path)?;
            return Err(error.into());
        }
    };
    let told = enrolled.relay_base_url.clone().into_iter().collect();
    let identity = Identity {
        agent_id: enrolled.agent_id.clone(),
        secret: enrolled.secret.clone(),
        relay_urls: asked.unwrap_or(told),
        ca_file,
    };
    private::write(&path, &identity)?;
    if args.json {
        return print_json(&json!({ "agent_id": enrolled.agent_id, "file": path }));
    }
    print(&format!(
        "enrolled as {}, kept in {}",
        enrolled.agent_id,
        path.display()
    ))
}
