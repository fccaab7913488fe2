//! How much happened when, and between whom: from counts kept as it happens.

use std::collections::HashMap;

use ekho_storage::tables::counter::{self, Counter};
use ekho_storage::tables::rollup::{self, Between, Pair, Span, Totals};
use ekho_storage::tables::{AgentNo, FleetNo, TimeMs, agent, depth};
use ekho_storage::{StorageError, View};

use super::{Service, ServiceError};

/// Rows of pairs read for one answer.
const PAIR_ROWS: usize = 200_000;
/// Pairs shown.
const PAIRS_SHOWN: usize = 1000;

/// A time in spans.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// How long one is.
    pub span: Span,
    /// The first and the last.
    pub numbers: (u32, u32),
}

impl Window {
    /// The last so many milliseconds before `now_ms`, the span that is under way included.
    pub fn last(span: Span, ms: u64, now_ms: TimeMs) -> Self {
        Self::between(span, now_ms.saturating_sub(ms) + 1, now_ms)
    }

    /// From one time to another.
    pub fn between(span: Span, from_ms: TimeMs, to_ms: TimeMs) -> Self {
        Window {
            span,
            numbers: (span.of(from_ms), span.of(to_ms)),
        }
    }
}

/// Who sent to whom, by public ids.
pub struct Edge {
    /// The sender; none for operators.
    pub sender: Option<String>,
    /// The recipient.
    pub recipient: String,
    /// How much.
    pub pair: Pair,
}

/// What happened within a window.
pub struct Activity {
    /// By span, oldest first; quiet ones are there too.
    pub spans: Vec<(TimeMs, Totals)>,
    /// The most deliveries that waited at once, by span of five minutes; where that is known.
    pub queued: Vec<Option<u64>>,
    /// All together.
    pub total: Totals,
}

impl Service {
    /// What happened within a window, span by span.
    pub async fn activity(&self, fleet: FleetNo, window: Window) -> Result<Activity, ServiceError> {
        let view = self.operator_view().await?;
        self.worked_out(fleet).await?;
        let Window { span, numbers } = window;
        let busy = rollup::totals_between(&view, fleet, span, numbers.0, numbers.1)?;
        let mut busy = busy.into_iter().peekable();
        let mut spans = Vec::new();
        let mut total = Totals::default();
        for number in numbers.0..=numbers.1 {
            let totals = busy.next_if(|(at, _)| *at == number);
            let totals = totals.map(|(_, totals)| totals).unwrap_or_default();
            total.add(&totals);
            spans.push((u64::from(number) * span.ms(), totals));
        }
        let queued = match span == depth::SPAN {
            true => depth::between(&view, fleet, numbers.0, numbers.1)?,
            false => Vec::new(),
        };
        Ok(Activity {
            spans,
            queued,
            total,
        })
    }

    /// Who sent to whom within a window, most first.
    pub async fn topology(
        &self,
        fleet: FleetNo,
        window: Window,
    ) -> Result<Vec<Edge>, ServiceError> {
        let view = self.operator_view().await?;
        self.worked_out(fleet).await?;
        let rows = view.clone();
        let sums = self.in_background(move || top_pairs(&rows, fleet, window));
        let sums = sums.await?;
        let edge = |(between, pair)| Edge::of(&view, fleet, between, pair);
        sums.into_iter().map(edge).collect()
    }

    /// A fleet's counters by name.
    pub async fn fleet_counts(
        &self,
        fleet: FleetNo,
    ) -> Result<Vec<(&'static str, u64)>, ServiceError> {
        const SHOWN: [(&str, Counter); 11] = [
            ("agents_healthy", Counter::AgentHealthy),
            ("agents_degraded", Counter::AgentDegraded),
            ("agents_paused", Counter::AgentPaused),
            ("agents_quarantined", Counter::AgentQuarantined),
            ("agents_revoked", Counter::AgentRevoked),
            ("queued", Counter::DeliveryQueued),
            ("delivered", Counter::DeliveryDelivered),
            ("dead_letters", Counter::DeadLetters),
            ("approvals_pending", Counter::ApprovalsPending),
            ("rate_violations_24h", Counter::RateViolations),
            ("messages_accepted", Counter::MessageAccepted),
        ];
        let view = self.operator_view().await?;
        SHOWN
            .into_iter()
            .map(|(name, counter)| Ok((name, counter::get(&view, fleet, counter)?)))
            .collect()
    }
}

/// The pairs that wrote most within a window.
fn top_pairs(
    view: &View,
    fleet: FleetNo,
    Window { span, numbers }: Window,
) -> Result<Vec<(Between, Pair)>, StorageError> {
    let mut sums: HashMap<Between, Pair> = HashMap::new();
    rollup::each_pair(view, fleet, span, numbers, PAIR_ROWS, |_, between, more| {
        sums.entry(between).or_default().add(more);
    })?;
    let mut sums: Vec<(Between, Pair)> = sums.into_iter().collect();
    let rank = |(between, pair): &(Between, Pair)| (std::cmp::Reverse(pair.messages), *between);
    if sums.len() > PAIRS_SHOWN {
        sums.select_nth_unstable_by_key(PAIRS_SHOWN, rank);
        sums.truncate(PAIRS_SHOWN);
    }
    sums.sort_unstable_by_key(rank);
    Ok(sums)
}

impl Edge {
    /// Gives numbers their public ids.
    pub(super) fn of(
        view: &View,
        fleet: FleetNo,
        (sender, recipient): Between,
        pair: Pair,
    ) -> Result<Self, ServiceError> {
        Ok(Edge {
            sender: match sender {
                0 => None,
                no => Some(public_id(view, fleet, no)?),
            },
            recipient: public_id(view, fleet, recipient)?,
            pair,
        })
    }
}

/// An agent's public id.
pub(super) fn public_id(view: &View, fleet: FleetNo, no: AgentNo) -> Result<String, ServiceError> {
    let found = agent::get(view, fleet, no)?;
    Ok(found.map_or_else(|| format!("agent number {no}"), |agent| agent.id))
}
