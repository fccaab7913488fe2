//! `ekho agent send`: a message to an agent, a room or all.

use std::io::{self, Read};

use clap::Args;
use ekho_client::{MessageType, Priority, Recipient, SendMessage};
use serde_json::{Value, json};

use super::identity::As;
use crate::cli::{CliError, print, print_json};
use crate::id;

const EXAMPLES: &str = "\
Examples:
  ekho agent send --to Reviewer \"the draft is ready\"
  ekho agent send --to agent_0199… --type handoff --conversation c-1 < draft.txt
  ekho agent send --to all --type alert \"the build is broken\"
  ekho agent send --to room_0199… --body '{\"text\": \"hello\", \"draft\": 2}'";

/// What is read from standard input at most; the relay may take less.
const STDIN_MAX_BYTES: u64 = 16 << 20;

/// Send a message
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct SendArgs {
    /// The text [default: standard input]
    #[arg(value_name = "TEXT", conflicts_with = "body")]
    text: Option<String>,

    /// To whom: an agent's id or name, a room's id, or `all`
    #[arg(long, value_name = "WHOM")]
    to: String,

    /// A whole body, a JSON object, in place of a text
    #[arg(long, value_name = "JSON")]
    body: Option<String>,

    /// What for: direct, broadcast, alert, handoff, claim, complete or control [default: direct, to
    /// all broadcast]
    #[arg(long = "type", value_name = "WORD")]
    message_type: Option<String>,

    /// Which conversation it belongs to [default: a new one, a room's own]
    #[arg(long, value_name = "ID")]
    conversation: Option<String>,

    /// low, normal, high or urgent
    #[arg(long, value_name = "WORD")]
    priority: Option<String>,

    /// How long it may wait for its recipient [default: 900]
    #[arg(long, value_name = "SECONDS")]
    ttl_seconds: Option<u32>,

    /// An operator has to agree first
    #[arg(long)]
    requires_approval: bool,

    /// As JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    who: As,
}

pub(super) async fn run(args: SendArgs) -> Result<(), CliError> {
    let client = args.who.client()?;
    let body = match (args.body, args.text) {
        (Some(body), _) => object(&body)?,
        (None, Some(text)) => json!({ "text": text }),
        (None, None) => json!({ "text": from_stdin()? }),
    };
    let recipient = client.whom(&args.to).await?;
    let usual = match recipient {
        Recipient::Broadcast => MessageType::Broadcast,
        _ => MessageType::Direct,
    };
    let conversation = args.conversation.unwrap_or_else(|| match &recipient {
        Recipient::Group { id } => id.clone(),
        _ => id::new_id("conv_"),
    });
    let message_type = args
        .message_type
        .as_deref()
        .map_or(usual, MessageType::from);
    let mut message = SendMessage::new(recipient, message_type, &conversation, body);
    message.priority = args.priority.as_deref().map(Priority::from);
    message.ttl_seconds = args.ttl_seconds;
    message.requires_approval = args.requires_approval;
    let sent = client.send_message(&message).await?;
    if args.json {
        return print_json(&json!({
            "message_id": sent.message_id,
            "status": sent.status,
            "conversation_id": conversation,
        }));
    }
    print(&format!(
        "{} {} in {conversation}",
        sent.message_id, sent.status
    ))
}

fn object(text: &str) -> Result<Value, CliError> {
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(Value::Object(object)),
        Ok(_) => Err(CliError::Usage("--body is a JSON object".into())),
        Err(error) => Err(CliError::Usage(format!("--body is a JSON object: {error}"))),
    }
}

fn from_stdin() -> Result<String, CliError> {
    let mut text = String::new();
    io::stdin()
        .lock()
        .take(STDIN_MAX_BYTES)
        .read_to_string(&mut text)?;
    Ok(text)
}
