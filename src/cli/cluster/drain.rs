//! `ekho cluster drain`: a node that is about to stop.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::{NODES, PATH};
use crate::cli::CliError;
use crate::cli::client::under;
use crate::cli::remote::{Relay, Remote};

/// Make a node ready to stop: leadership goes elsewhere, long polls end.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho cluster drain 1
  ekho cluster drain --linger-seconds 5

A node that is told to stop by SIGTERM drains by itself, and takes no connections any more. Lingering
before that leaves time for whoever sends requests there to see that it is not ready.")]
pub(super) struct DrainArgs {
    /// The node [default: the one that answers]
    node_id: Option<u64>,

    /// Wait for so long afterwards, also where draining failed
    #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=600))]
    linger_seconds: u64,

    #[command(flatten)]
    remote: Remote,
}

pub(super) async fn run(args: DrainArgs) -> Result<(), CliError> {
    let work = async |relay: &Relay| {
        let node_id = match args.node_id {
            Some(node_id) => node_id,
            None => relay.get(PATH).await?["node_id"]
                .as_u64()
                .unwrap_or_default(),
        };
        let path = under(NODES, &node_id.to_string(), "/drain");
        let answer = relay.post(&path, &json!({})).await?;
        relay.done(&answer, &format!("node {node_id} is ready to stop"))
    };
    let outcome = args.remote.clone().run(work).await;
    tokio::time::sleep(Duration::from_secs(args.linger_seconds)).await;
    outcome
}
