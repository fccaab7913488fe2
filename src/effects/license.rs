//! Says in the log, on every node, how the relay stands with its licence: at the start, and when
//! that changes.

use std::sync::Arc;
use std::time::Duration;

use ekho_storage::tables::license::Tier;

use crate::clock::Iso;
use crate::service::Service;
use crate::service::license::Standing;

/// Between two looks: one small read from memory.
const LOOK: Duration = Duration::from_secs(1);

/// Runs until the node drains.
pub async fn run(service: Arc<Service>) {
    let mut said: Option<Standing> = None;
    loop {
        match service.license_standing() {
            Ok(now) => {
                if said.as_ref().is_none_or(|before| differs(before, &now)) {
                    say(said.as_ref(), &now);
                    said = Some(now);
                }
            }
            Err(error) => tracing::warn!(%error, "the licence cannot be looked at"),
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = service.stopping.cancelled() => return,
        }
    }
}

/// Whether there is something new to say; the number of fleets alone is not.
fn differs(before: &Standing, now: &Standing) -> bool {
    let codes = |standing: &Standing| -> Vec<&'static str> {
        standing
            .problems
            .iter()
            .map(|problem| problem.code)
            .collect()
    };
    before.license != now.license || before.tier != now.tier || codes(before) != codes(now)
}

fn say(before: Option<&Standing>, now: &Standing) {
    for problem in &now.problems {
        tracing::warn!(code = problem.code, "licence: {}", problem.text);
    }
    if let Some((license, _)) = &now.license {
        tracing::info!(
            tier = now.tier.as_str(),
            org = license.org,
            max_fleets = now.max_fleets,
            expires_at = %Iso(license.expires_ms),
            "licence in force"
        );
    }
    let was_pro = before.is_some_and(|before| before.tier == Tier::Pro);
    let is_problem = before.is_none() && !now.problems.is_empty();
    if now.tier == Tier::Oss && (was_pro || is_problem) {
        tracing::warn!(
            "no licence in force: this is the free tier. Fleets and their data go on working; what \
             needs a licence can be neither made nor changed"
        );
    }
}
