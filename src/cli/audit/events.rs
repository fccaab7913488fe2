//! `ekho audit events` and `tail`: what happened, and what happens.

use clap::Args;
use ekho_client::sse::{SseEvent, SseParser};
use serde_json::Value;

use crate::cli::client::Query;
use crate::cli::operator::EVENTS;
use crate::cli::paging::{Paging, filters};
use crate::cli::remote::{Relay, Remote};
use crate::cli::{CliError, print, say, show};

/// A larger event is none.
const EVENT_MAX_BYTES: usize = 16 << 20;

/// What happened, the newest first.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho audit events --type agent.pause
  ekho audit events --by opr_… --from 2026-01-01T00:00:00Z --all
  ekho audit events --about agent_… --json")]
pub(super) struct EventsArgs {
    /// A type, such as message.queued, or its part before the dot
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,

    /// Of this agent or operator
    #[arg(long, value_name = "ID")]
    by: Option<String>,

    /// About this agent, message, policy or whatever it is
    #[arg(long, value_name = "ID")]
    about: Option<String>,

    /// In this conversation
    #[arg(long, value_name = "ID")]
    conversation: Option<String>,

    /// At this time or later
    #[arg(long, value_name = "TIME")]
    from: Option<String>,

    /// At this time or earlier
    #[arg(long, value_name = "TIME")]
    to: Option<String>,

    #[command(flatten)]
    paging: Paging,

    #[command(flatten)]
    remote: Remote,
}

/// What happens, as it happens, until Ctrl-C. With --json one event a line.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ekho audit tail
  ekho audit tail --type agent,message.dead_lettered
  ekho audit tail --after evt_… --json --count 10")]
pub(super) struct TailArgs {
    /// Only these types, or their parts before the dot
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',')]
    kinds: Vec<String>,

    /// Begin behind this event [default: with what comes]
    #[arg(long, value_name = "EVENT")]
    after: Option<String>,

    /// End after so many events
    #[arg(long, value_name = "EVENTS")]
    count: Option<u64>,

    #[command(flatten)]
    remote: Remote,
}

pub(super) async fn list(args: EventsArgs) -> Result<(), CliError> {
    let EventsArgs { paging, remote, .. } = &args;
    let query = filters(&[
        ("type", &args.kind),
        ("actor_id", &args.by),
        ("resource_id", &args.about),
        ("conversation_id", &args.conversation),
        ("dateFrom", &args.from),
        ("dateTo", &args.to),
    ]);
    remote
        .clone()
        .run(async |relay| {
            let path = "/v1/operator/events";
            let answer = paging.get(relay, path, query, "events").await?;
            relay.rows(&answer, "events", EVENTS)
        })
        .await
}

pub(super) async fn tail(args: TailArgs) -> Result<(), CliError> {
    let remote = args.remote.clone();
    remote
        .run(async |relay| {
            // Whoever ends it by Ctrl-C is signed out as well.
            tokio::select! {
                outcome = follow(relay, &args) => outcome,
                _ = tokio::signal::ctrl_c() => Ok(()),
            }
        })
        .await
}

async fn follow(relay: &Relay, args: &TailArgs) -> Result<(), CliError> {
    let mut query = Query::new();
    if !args.kinds.is_empty() {
        query.push(("types", args.kinds.join(",")));
    }
    let client = relay.client();
    let after = args.after.as_deref();
    let mut stream = client.follow("/v1/operator/stream", &query, after).await?;
    let mut parser = SseParser::new(EVENT_MAX_BYTES);
    let mut left = args.count.unwrap_or(u64::MAX);
    while left > 0 {
        let Some(chunk) = client.next_chunk(&mut stream).await? else {
            return Err(CliError::SignIn(
                "the relay ended the stream: it stops, or the session is over".into(),
            ));
        };
        let events = parser.push(&chunk);
        let events = events.map_err(|_| CliError::Stream("an event is too large".into()))?;
        for event in events {
            if left > 0 && one(relay, &event)? {
                left -= 1;
            }
        }
    }
    Ok(())
}

/// Prints what came; whether it was an event of the log.
fn one(relay: &Relay, event: &SseEvent) -> Result<bool, CliError> {
    let data: Value = serde_json::from_str(&event.data).unwrap_or_default();
    match event.name.as_str() {
        "event" if relay.is_json() => print(&data.to_string()).map(|()| true),
        "event" => print(&show::line(EVENTS, &data)).map(|()| true),
        "reset" => {
            say("events were left out: this is more than 10,000 behind, or they are gone");
            Ok(false)
        }
        _ => Ok(false),
    }
}
