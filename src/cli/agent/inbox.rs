//! `ekho agent inbox`: what waits, taken and shown.

use std::io;

use clap::Args;
use ekho_client::{AckItem, InboxQuery};
use serde_json::json;

use super::identity::As;
use crate::cli::{CliError, print};

const EXAMPLES: &str = "\
Examples:
  ekho agent inbox                     what waits, as lines of JSON
  ekho agent inbox --wait-seconds 60   until something comes
  ekho agent inbox --ack | jq -r .body.text

What is not acked comes again after the delivery timeout, two minutes unless the relay says
otherwise.";

/// Take what waits in the inbox
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct InboxArgs {
    /// Wait so long for something to come, at most 60
    #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=60))]
    wait_seconds: u32,

    /// Messages at most
    #[arg(long, value_name = "COUNT", default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..=100))]
    limit: u32,

    /// Ack them: they do not come again
    #[arg(long)]
    ack: bool,

    #[command(flatten)]
    who: As,
}

pub(super) async fn run(args: InboxArgs) -> Result<(), CliError> {
    let client = args.who.client()?;
    let query = InboxQuery {
        limit: Some(args.limit),
        wait_seconds: Some(args.wait_seconds),
        types: Vec::new(),
    };
    let inbox = client.get_inbox(&query).await?;
    for control in &inbox.controls {
        print(
            &json!({ "control": control.action.as_str(), "reason": control.reason }).to_string(),
        )?;
    }
    for message in &inbox.messages {
        print(&serde_json::to_string(message).map_err(io::Error::from)?)?;
    }
    // After they were printed: what nobody saw is not acked.
    if args.ack && !inbox.messages.is_empty() {
        let acks = inbox
            .messages
            .iter()
            .map(|one| AckItem::now(&one.message_id));
        client.ack_messages(acks.collect()).await?;
    }
    Ok(())
}
