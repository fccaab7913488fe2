//! `ekho config`: the effective settings and where each comes from, secrets masked.

use clap::Args;
use comfy_table::{ContentArrangement, Table};
use serde_json::json;

use super::{CliError, Place, print, print_json, warn_all};
use crate::config::{Config, Entry, Scope};
use crate::secrets::{self, Resolved};
use crate::tailnet;

const EXAMPLES: &str = "\
Examples:
  ekho config
  ekho config --json
  EKHO_PORT=5000 ekho config --data-dir /var/lib/ekho

A value comes from a flag, else the environment, else the file, else the default. Settings of the
second table are replicated: they take their values at setup and not later.";

/// Show every setting, its value and where it comes from.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ConfigArgs {
    #[command(flatten)]
    place: Place,

    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &ConfigArgs) -> Result<(), CliError> {
    let mut config = Config::load(&args.place.flags())?;
    let mut warnings = std::mem::take(&mut config.warnings);
    if let Err(error) = tailnet::settle(&mut config).await {
        warnings.push(error.to_string());
    }
    // Missing secrets are no reason not to show the rest.
    match secrets::resolve(&config) {
        Ok(resolved) => {
            show_stored(&mut config, &resolved);
            warnings.extend(resolved.warnings);
        }
        Err(error) => warnings.push(error.to_string()),
    }
    if args.json {
        return print_json(&json!({ "settings": config.entries, "warnings": warnings }));
    }
    print("Read at each start of this node:")?;
    print(&table(
        config
            .entries
            .iter()
            .filter(|entry| entry.scope == Scope::Node),
    ))?;
    print("\nReplicated; these are the values that setup would begin with:")?;
    print(&table(
        config
            .entries
            .iter()
            .filter(|entry| entry.scope == Scope::Setup),
    ))?;
    warn_all(&warnings);
    Ok(())
}

/// Says of secrets that the file gives that they are set, and by what.
fn show_stored(config: &mut Config, resolved: &Resolved) {
    let path = secrets::path(&config.data_dir);
    for (variable, from_file) in [
        ("EKHO_OPERATOR_SESSION_SECRET", resolved.session_from_file),
        ("EKHO_MASTER_SECRET", resolved.master_from_file),
    ] {
        if from_file {
            config.came_from_file(variable, &path);
        }
    }
}

fn table<'a>(entries: impl Iterator<Item = &'a Entry>) -> String {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["setting", "value", "from", "what"]);
    for entry in entries {
        let (value, source) = match &entry.value {
            Some(value) => (value.clone(), entry.source.to_string()),
            None => ("-".to_string(), "not set".to_string()),
        };
        table.add_row([entry.variable, &value, &source, entry.about]);
    }
    table.trim_fmt()
}
