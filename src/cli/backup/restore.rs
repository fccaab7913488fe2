//! `ekho backup restore`: a backup becomes a relay again, in an empty data directory.

use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;

use super::{bar, point, summary, unusable};
use crate::backup::{Manifest, Opened};
use crate::cli::rebuilt::{lost_ms, refusing_until};
use crate::cli::{CliError, Place, log_warnings, print, print_json, say, warn_all};
use crate::config::Config;
use crate::ingress::seal::Sealer;
use crate::rebuilding::{self, RebuildError};
use crate::secrets::{self, SecretsError};

const EXAMPLES: &str = "\
Examples:
  ekho backup restore ekho.tar --data-dir /var/lib/ekho
  ekho backup restore ekho.tar --lost-at 2026-01-31T12:00:00Z

Put the secrets.toml of the backed-up relay into the directory first (or set EKHO_MASTER_SECRET).
The relay becomes a new cluster of one node. What happened after the backup is undone: messages
acked since come again, agents and operators removed since are back.

No signed request that the old relay may have accepted is accepted again. What it accepted after
the backup is not known, so signed requests are refused until the allowed skew of clocks (5
minutes by default) has passed since it accepted the last one: say when that was with --lost-at,
or it is taken to be now. Nothing may be accepted by the old relay after that time.";

/// Make a backup a relay again, in an empty data directory.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RestoreArgs {
    /// The backup
    file: PathBuf,

    /// When the old relay was lost or stopped, such as 2026-01-31T12:00:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    lost_at: Option<Timestamp>,

    #[command(flatten)]
    place: Place,

    /// The result as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: RestoreArgs) -> Result<(), CliError> {
    let config = Config::load(&args.place.flags())?;
    log_warnings(&config)?;
    warn_all(&config.warnings);
    let data_dir = &config.data_dir;
    rebuilding::check_target(data_dir)?;
    let opened = Opened::open(&args.file).map_err(unusable(&args.file))?;
    let lost_ms = lost_ms(args.lost_at, opened.manifest.point.at_ms)?;
    let has_secrets = check_secrets(&config, &opened.manifest)?;
    let bar = bar(Some(opened.size_bytes));
    let source = bar.wrap_read(opened.file);
    let restored =
        rebuilding::restore(&args.file, &opened.manifest, source, data_dir, lost_ms).await;
    bar.finish_and_clear();
    let restored = restored?;
    if !has_secrets {
        say(&format!(
            "warning: there is no master secret yet: put the secrets.toml of the backed-up relay \
             into {} before you start it",
            data_dir.display()
        ));
    }
    if args.json {
        let mut result = summary(&args.file, opened.size_bytes, &restored.manifest);
        result["from_cluster_id"] = result["cluster_id"].take();
        result["cluster_id"] = restored.identity.cluster_id.into();
        result["data_dir"] = data_dir.display().to_string().into();
        result["signed_requests_from"] = refusing_until(restored.floor_ms).to_string().into();
        return print_json(&result);
    }
    print(&format!(
        "restored into {}: {}\n  cluster          {} (was {})\n  signed requests  from {} on\n\n\
         Next: `ekho serve`.",
        data_dir.display(),
        point(&restored.manifest),
        restored.identity.cluster_id,
        restored.manifest.cluster_id,
        refusing_until(restored.floor_ms),
    ))
}

/// Refuses a master secret that the backup's secrets do not open with; whether there is one.
fn check_secrets(config: &Config, manifest: &Manifest) -> Result<bool, CliError> {
    let held = match (secrets::resolve(config), &config.master_secret) {
        (Ok(resolved), _) => {
            warn_all(&resolved.warnings);
            let sealer = Sealer::new(&resolved.secrets);
            sealer.map(|sealer| sealer.key_ids())
        }
        (Err(SecretsError::Missing { .. }), Some(master)) => {
            Sealer::key_id_of(master).map(|key_id| vec![key_id])
        }
        (Err(SecretsError::Missing { .. }), None) => return Ok(false),
        (Err(error), _) => return Err(error.into()),
    };
    let held = held.map_err(crate::relay::OpenError::Seal)?;
    let sealed_with = &manifest.sealing_key_id;
    if !sealed_with.is_empty() && !held.contains(sealed_with) {
        let dir = config.data_dir.clone();
        return Err(RebuildError::WrongMasterSecret { dir }.into());
    }
    Ok(true)
}
