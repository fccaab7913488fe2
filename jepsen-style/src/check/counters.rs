//! What the relay says it counted, against what the history implies once everything is drained.

use super::{Facts, Found};
use crate::history::Counters;

/// Every counter that the history determines has exactly that value.
pub(super) fn match_the_history(facts: &Facts<'_>, counters: &Counters, found: &mut Found) {
    // A message whose sender was not answered counts where a recipient saw it; drained, there is
    // none that nobody saw.
    let messages = facts.ids.len() as u64;
    let deliveries: u64 = facts
        .ids
        .values()
        .map(|no| facts.history.messages[*no].recipients.len() as u64)
        .sum();
    let expected = [
        ("ekho_messages_accepted_total", messages),
        ("ekho_messages_total{status=\"done\"}", messages),
        ("ekho_messages_total{status=\"queued\"}", 0),
        ("ekho_messages_total{status=\"cancelled\"}", 0),
        ("ekho_deliveries_total{status=\"acked\"}", deliveries),
        ("ekho_deliveries_total{status=\"queued\"}", 0),
        ("ekho_deliveries_total{status=\"delivered\"}", 0),
        ("ekho_deliveries_total{status=\"expired\"}", 0),
        ("ekho_deliveries_total{status=\"dead_lettered\"}", 0),
        ("ekho_deliveries_total{status=\"cancelled\"}", 0),
        ("ekho_dead_letters_total", 0),
        ("ekho_rate_violations_24h", 0),
    ];
    for (name, expected) in expected {
        let counted = counters.get(name);
        if counted != Some(expected) {
            let counted = counted.map_or("nothing".to_string(), |counted| counted.to_string());
            found.add(
                "miscounted",
                format!("{name} is {counted}, the history implies {expected}"),
            );
        }
    }
}
