//! `ekho mcp`: an agent as an MCP server.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::agent::identity::As;
use super::{CliError, say};
use crate::id;
use crate::mcp::{Files, HttpOptions, Server, serve_http};

const EXAMPLES: &str = "\
Examples:
  ekho mcp                                over standard input and output, as MCP hosts start it
  ekho mcp --agent ./scout.json
  ekho mcp --files ./shared               the model may send and save files of this folder
  ekho mcp --http 127.0.0.1:4100          streamable HTTP at http://127.0.0.1:4100/mcp
  ekho mcp --http 0.0.0.0:4100 --allow-host agent-host:4100

A host's configuration:
  {\"mcpServers\": {\"ekho\": {\"command\": \"ekho\", \"args\": [\"mcp\"],
    \"env\": {\"EKHO_AGENT_FILE\": \"/home/me/.config/ekho/agent.json\"}}}}

Over HTTP callers show the token in EKHO_MCP_TOKEN as `Authorization: Bearer …`; where there is
none, one is made and told at the start.";

const TOKEN_VARIABLE: &str = "EKHO_MCP_TOKEN";
const TOKEN_MIN_CHARS: usize = 16;

/// Serve an agent's tools to a language model, by MCP
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct McpArgs {
    /// Listen on this address for streamable HTTP, in place of standard input and output
    #[arg(long, value_name = "ADDRESS")]
    http: Option<SocketAddr>,

    /// A name of this host that callers may ask for, beside localhost; may be given several times
    #[arg(long = "allow-host", value_name = "HOST", requires = "http")]
    hosts: Vec<String>,

    /// A page that may call from a browser, such as https://app.example; may be given several times
    #[arg(long = "allow-origin", value_name = "ORIGIN", requires = "http")]
    origins: Vec<String>,

    /// A folder whose files the model may send, and in which it may save attachments
    #[arg(long, value_name = "FOLDER", conflicts_with = "http")]
    files: Option<PathBuf>,

    #[command(flatten)]
    who: As,
}

pub(super) async fn run(args: McpArgs) -> Result<(), CliError> {
    let agent = args.who.client()?;
    let files = args.files.as_deref().map(Files::new).transpose();
    let files = files.map_err(|error| CliError::Usage(format!("--files: {error}")))?;
    let server = Server::new(agent, files);
    let Some(listen) = args.http else {
        return Ok(server.serve_stdio().await?);
    };
    let given = std::env::var(TOKEN_VARIABLE)
        .ok()
        .filter(|token| !token.is_empty());
    let token = Zeroizing::new(given.clone().unwrap_or_else(|| id::new_secret("mcp_")));
    if token.len() < TOKEN_MIN_CHARS {
        return Err(CliError::Usage(format!(
            "{TOKEN_VARIABLE} has at least {TOKEN_MIN_CHARS} characters"
        )));
    }
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        stopping.cancel();
    });
    let told = given.is_none().then(|| token.to_string());
    let options = HttpOptions {
        listen,
        token,
        hosts: args.hosts,
        origins: args.origins,
    };
    serve_http(server, options, stop, |address| {
        say(&format!("MCP at http://{address}/mcp; Ctrl-C stops"));
        if let Some(token) = told {
            say(&format!("Authorization: Bearer {token}"));
        }
    })
    .await?;
    Ok(())
}
