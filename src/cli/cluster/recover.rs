//! `ekho cluster recover`: a node that outlived the majority goes on alone, and says what that costs.

use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cli::ask::Sure;
use crate::cli::rebuilt::{lost_ms, refusing_until};
use crate::cli::{CliError, Place, log_warnings, print, print_json, warn_all};
use crate::clock::Iso;
use crate::config::Config;
use crate::rebuilding::{self, Survey};

const EXAMPLES: &str = "\
Examples:
  ekho cluster recover --accept-data-loss
  ekho cluster recover --accept-data-loss --lost-at 2026-01-31T12:00:00Z --yes

For when the majority of the voters is gone for good, and only then: what they accepted and did not
pass on to this node is lost, though it was answered. Choose the node whose log reaches furthest;
the command says how far, and asks before it changes anything. Stop the node first.

The node becomes a new cluster of one voter, so that none of the others, should they come back, can
mix what they hold with it: empty their data directories and let them join anew. Signed requests
are refused until the allowed skew of clocks (5 minutes by default) has passed since the others
accepted the last one: say when that was with --lost-at, or it is taken to be now.";

/// Give up the majority: make this node a cluster of its own, and lose what it does not hold.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RecoverArgs {
    /// Say that what only the others hold may be lost
    #[arg(long, required = true)]
    accept_data_loss: bool,

    /// When the others were lost, such as 2026-01-31T12:00:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    lost_at: Option<Timestamp>,

    #[command(flatten)]
    sure: Sure,

    #[command(flatten)]
    place: Place,

    /// The result as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: RecoverArgs) -> Result<(), CliError> {
    let config = Config::load(&args.place.flags())?;
    log_warnings(&config)?;
    warn_all(&config.warnings);
    let survey = rebuilding::survey(&config.data_dir).await?;
    let lost_ms = lost_ms(args.lost_at, survey.last_ms)?;
    if !args.json {
        print(&before(&survey))?;
    }
    args.sure
        .check("Make this node a cluster of its own, and lose what it does not hold")?;
    let recovered = rebuilding::recover(&config.data_dir, lost_ms).await?;
    let from = refusing_until(recovered.floor_ms);
    if args.json {
        return print_json(&json!({
            "node_id": recovered.identity.node_id,
            "from_cluster_id": survey.identity.cluster_id,
            "cluster_id": recovered.identity.cluster_id,
            "up_to": Iso(survey.last_ms),
            "held": held(&survey),
            "signed_requests_from": from,
        }));
    }
    print(&format!(
        "recovered: node {} is the only voter of cluster {}\n  lost             what the others \
         accepted after {} and did not pass on\n  signed requests  from {from} on\n\n\
         Next: `ekho serve`. Empty the data directories of the others before they join.",
        recovered.identity.node_id,
        recovered.identity.cluster_id,
        Iso(survey.last_ms),
    ))
}

fn held(survey: &Survey) -> Value {
    match &survey.holdings {
        Some(holdings) => json!(holdings),
        None => Value::Null,
    }
}

/// What there is, and what may be lost.
fn before(survey: &Survey) -> String {
    let identity = &survey.identity;
    let whose = format!(
        "node {} of cluster {}",
        identity.node_id, identity.cluster_id
    );
    let Some(holdings) = &survey.holdings else {
        return format!("{whose}: an earlier recovery was cut short and is finished now");
    };
    let entry = |index: Option<u64>| match index {
        Some(index) => format!("entry {index}"),
        None => "nothing".into(),
    };
    let decided = holdings.committed_index.max(holdings.applied_index);
    let mut text = format!(
        "{whose}\n  log      up to {}, term {}, known to be decided up to {}\n  written  {}",
        entry(holdings.last_log_index),
        holdings.term,
        entry(decided),
        Iso(survey.last_ms),
    );
    for member in &holdings.members {
        let part = if member.voter { "voter" } else { "learner" };
        let (id, address) = (member.node_id, &member.address);
        let line = format!("\n  member   {id} {part} {address}");
        text.push_str(line.trim_end());
    }
    text.push_str(
        "\n\nLost is what the others accepted and this node did not receive: anything that was \
         answered\nafter the time above may be among it.",
    );
    if holdings.last_log_index > decided {
        let first = decided.map_or(0, |index| index + 1);
        let last = holdings.last_log_index.unwrap_or_default();
        text.push_str(&format!(
            " Entries {first} to {last} count as decided,\nwhether they were answered or not."
        ));
    }
    text
}
