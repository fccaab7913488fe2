//! Counts over long times: throughput and latency, who sends and receives most, who talks to whom.
//!
//! From rolled-up counters; an answer costs as many rows as there are spans in its range, times
//! the agents or pairs active in them, and refuses more than it can afford.

use std::collections::{BTreeMap, HashMap};

use ekho_storage::tables::license::Feature;
use ekho_storage::tables::rollup::{self, AgentTotals, Between, Pair, Span, Totals};
use ekho_storage::tables::{AgentNo, FleetNo, TimeMs, agent};
use ekho_storage::{StorageError, View};

use super::activity::{Edge, public_id};
use super::{Service, ServiceError};

/// Rows read for one answer.
const ROWS_MAX: usize = 500_000;
/// Points in time of one answer.
pub const POINTS_MAX: u64 = 2000;

/// A time in steps.
#[derive(Clone, Copy, Debug)]
pub struct Steps {
    /// The beginning of the first one.
    pub from_ms: TimeMs,
    /// How many there are.
    pub count: u64,
    /// How long one is.
    pub step_ms: u64,
}

impl Steps {
    /// The steps that a time lies in, each a whole multiple of its length since 1970.
    pub fn over(from_ms: TimeMs, to_ms: TimeMs, step_ms: u64) -> Self {
        let first = from_ms / step_ms;
        let last = to_ms.saturating_sub(1).max(from_ms) / step_ms;
        Steps {
            from_ms: first * step_ms,
            count: last - first + 1,
            step_ms,
        }
    }

    /// Their end.
    pub fn to_ms(&self) -> TimeMs {
        self.from_ms + self.count * self.step_ms
    }

    /// Which one a time lies in.
    fn place(&self, at_ms: TimeMs) -> usize {
        (at_ms.saturating_sub(self.from_ms) / self.step_ms) as usize
    }

    /// When one begins.
    fn begins_ms(&self, place: usize) -> TimeMs {
        self.from_ms + place as u64 * self.step_ms
    }

    /// The first and the last span in them.
    fn spans(&self, span: Span) -> (u32, u32) {
        (span.of(self.from_ms), span.of(self.to_ms() - 1))
    }

    /// The longest of these spans that the steps consist of and that is kept as long as they need;
    /// none where there is no such.
    fn best(&self, spans: &[Span], kept_ms: fn(Span) -> u64, now_ms: TimeMs) -> Option<Span> {
        let fits = |span: &&Span| {
            let whole = self.step_ms.is_multiple_of(span.ms());
            whole && self.from_ms.saturating_add(kept_ms(**span)) >= now_ms
        };
        spans.iter().rev().find(fits).copied()
    }
}

/// By what agents are put in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Messages sent.
    Sent,
    /// Bytes sent.
    SentBytes,
    /// Deliveries received.
    Received,
    /// Deliveries to it that failed.
    Failed,
    /// Messages that policies refused.
    Denied,
    /// Messages refused for rate.
    RateLimited,
}

impl By {
    fn of(self, totals: &AgentTotals) -> u64 {
        match self {
            By::Sent => totals.sent,
            By::SentBytes => totals.sent_bytes,
            By::Received => totals.received,
            By::Failed => totals.failed,
            By::Denied => totals.denied,
            By::RateLimited => totals.rate_limited,
        }
    }
}

/// What happened, step by step.
pub struct Throughput {
    /// Beginnings of the steps, and what happened in each.
    pub points: Vec<(TimeMs, Totals)>,
    /// All together.
    pub total: Totals,
}

/// An agent with its counts.
pub struct Talker {
    /// Public id; none for operators.
    pub agent_id: Option<String>,
    /// Its name.
    pub display_name: Option<String>,
    /// Its counts.
    pub totals: AgentTotals,
}

/// Two who talk, over time.
pub struct PairSeries {
    /// Who, and how much together.
    pub edge: Edge,
    /// Beginnings of the steps in which anything happened, and what.
    pub points: Vec<(TimeMs, Pair)>,
}

/// Which pairs.
#[derive(Clone, Copy, Debug, Default)]
pub struct PairFilter {
    /// From this agent only.
    pub sender: Option<AgentNo>,
    /// To this agent only.
    pub recipient: Option<AgentNo>,
}

impl PairFilter {
    fn admits(&self, (sender, recipient): Between) -> bool {
        self.sender.is_none_or(|wanted| wanted == sender)
            && self.recipient.is_none_or(|wanted| wanted == recipient)
    }
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TooMuch {
    /// Nothing that short is kept that long.
    Forgotten,
    /// More counters than one answer reads.
    Rows,
}

type Answer<T> = Result<Result<T, TooMuch>, ServiceError>;

impl Service {
    /// What a fleet did, step by step.
    pub async fn throughput(
        &self,
        fleet: FleetNo,
        steps: Steps,
        now_ms: TimeMs,
    ) -> Answer<Throughput> {
        let view = self.analytics_view(fleet).await?;
        let Some(span) = steps.best(&Span::TOTALS, Span::totals_kept_ms, now_ms) else {
            return Ok(Err(TooMuch::Forgotten));
        };
        let read = move || throughput(&view, fleet, steps, span);
        self.in_background(read).await.map(Ok)
    }

    /// Agents that did most of something, first those that did more.
    pub async fn top_talkers(
        &self,
        fleet: FleetNo,
        steps: Steps,
        by: By,
        limit: usize,
        now_ms: TimeMs,
    ) -> Answer<Vec<Talker>> {
        let view = self.analytics_view(fleet).await?;
        let Some(span) = steps.best(&Span::AGENTS, Span::detail_kept_ms, now_ms) else {
            return Ok(Err(TooMuch::Forgotten));
        };
        let names = view.clone();
        let found = self
            .in_background(move || top_agents(&view, fleet, steps, span, (by, limit)))
            .await?;
        let Some(found) = found else {
            return Ok(Err(TooMuch::Rows));
        };
        let named = |(no, totals)| talker(&names, fleet, no, totals);
        found
            .into_iter()
            .map(named)
            .collect::<Result<_, _>>()
            .map(Ok)
    }

    /// Who sent most to whom, over time.
    pub async fn top_pairs(
        &self,
        fleet: FleetNo,
        steps: Steps,
        filter: PairFilter,
        limit: usize,
        now_ms: TimeMs,
    ) -> Answer<Vec<PairSeries>> {
        let view = self.analytics_view(fleet).await?;
        let Some(span) = steps.best(&Span::PAIRS, Span::detail_kept_ms, now_ms) else {
            return Ok(Err(TooMuch::Forgotten));
        };
        let names = view.clone();
        let found = self
            .in_background(move || top_pairs(&view, fleet, steps, span, (filter, limit)))
            .await?;
        let Some(found) = found else {
            return Ok(Err(TooMuch::Rows));
        };
        let series = |(between, pair, points): Series| {
            let points = points.into_iter();
            Ok(PairSeries {
                edge: Edge::of(&names, fleet, between, pair)?,
                points: points
                    .map(|(at, pair)| (steps.begins_ms(at), pair))
                    .collect(),
            })
        };
        found
            .into_iter()
            .map(series)
            .collect::<Result<_, _>>()
            .map(Ok)
    }

    /// The number of an agent of the fleet; 0 for operators is not one.
    pub fn agent_no(
        &self,
        fleet: FleetNo,
        agent_id: &str,
    ) -> Result<Option<AgentNo>, ServiceError> {
        let found = agent::locate(&self.view(), agent_id)?;
        Ok(found.filter(|(of, _)| *of == fleet).map(|(_, no)| no))
    }

    async fn analytics_view(&self, fleet: FleetNo) -> Result<View, ServiceError> {
        let view = self.operator_view().await?;
        self.require_feature(&view, Feature::Analytics)?;
        self.worked_out(fleet).await?;
        Ok(view)
    }

    /// Reads many rows off the async threads, few at a time.
    pub(super) async fn in_background<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, ServiceError> {
        let turn = self.analyses.acquire().await;
        let _turn = turn.map_err(|_| ServiceError::Stopping)?;
        let done = tokio::task::spawn_blocking(read).await;
        Ok(done.map_err(|error| ServiceError::Internal(error.to_string()))??)
    }
}

fn throughput(
    view: &View,
    fleet: FleetNo,
    steps: Steps,
    span: Span,
) -> Result<Throughput, StorageError> {
    let (from, to) = steps.spans(span);
    let mut points: Vec<(TimeMs, Totals)> = (0..steps.count as usize)
        .map(|place| (steps.begins_ms(place), Totals::default()))
        .collect();
    let mut total = Totals::default();
    for (number, totals) in rollup::totals_between(view, fleet, span, from, to)? {
        total.add(&totals);
        let place = steps.place(u64::from(number) * span.ms());
        if let Some((_, point)) = points.get_mut(place) {
            point.add(&totals);
        }
    }
    Ok(Throughput { points, total })
}

fn top_agents(
    view: &View,
    fleet: FleetNo,
    steps: Steps,
    span: Span,
    (by, limit): (By, usize),
) -> Result<Option<Vec<(AgentNo, AgentTotals)>>, StorageError> {
    let mut sums: BTreeMap<AgentNo, AgentTotals> = BTreeMap::new();
    let spans = steps.spans(span);
    let whole = rollup::each_agent(view, fleet, span, spans, ROWS_MAX, |no, more| {
        sums.entry(no).or_default().add(more);
    })?;
    if !whole {
        return Ok(None);
    }
    let mut sums: Vec<(AgentNo, AgentTotals)> = sums.into_iter().collect();
    sums.retain(|(_, totals)| by.of(totals) > 0);
    sums.sort_by_key(|(_, totals)| std::cmp::Reverse(by.of(totals)));
    sums.truncate(limit);
    Ok(Some(sums))
}

/// A pair, its counts together, and its counts by step.
type Series = (Between, Pair, BTreeMap<usize, Pair>);

fn top_pairs(
    view: &View,
    fleet: FleetNo,
    steps: Steps,
    span: Span,
    (filter, limit): (PairFilter, usize),
) -> Result<Option<Vec<Series>>, StorageError> {
    // Twice over the rows: which pairs, then what they did when. Keeping the second for all pairs
    // would take memory for many that are not shown.
    let mut sums: HashMap<Between, Pair> = HashMap::new();
    let spans = steps.spans(span);
    let whole = rollup::each_pair(view, fleet, span, spans, ROWS_MAX, |_, between, more| {
        if filter.admits(between) {
            sums.entry(between).or_default().add(more);
        }
    })?;
    if !whole {
        return Ok(None);
    }
    let mut top: Vec<(Between, Pair)> = sums.into_iter().collect();
    top.sort_by_key(|(between, pair)| (std::cmp::Reverse(pair.messages), *between));
    top.truncate(limit);
    let mut points: HashMap<Between, BTreeMap<usize, Pair>> = top
        .iter()
        .map(|(between, _)| (*between, BTreeMap::new()))
        .collect();
    rollup::each_pair(
        view,
        fleet,
        span,
        spans,
        ROWS_MAX,
        |number, between, more| {
            if let Some(points) = points.get_mut(&between) {
                let place = steps.place(u64::from(number) * span.ms());
                points.entry(place).or_default().add(more);
            }
        },
    )?;
    let series = top.into_iter().map(|(between, pair)| {
        let points = points.remove(&between).unwrap_or_default();
        (between, pair, points)
    });
    Ok(Some(series.collect()))
}

fn talker(
    view: &View,
    fleet: FleetNo,
    no: AgentNo,
    totals: AgentTotals,
) -> Result<Talker, ServiceError> {
    if no == 0 {
        return Ok(Talker {
            agent_id: None,
            display_name: None,
            totals,
        });
    }
    let found = agent::get(view, fleet, no)?;
    Ok(Talker {
        agent_id: Some(public_id(view, fleet, no)?),
        display_name: found.map(|agent| agent.display_name),
        totals,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: u64 = 3_600_000;
    const DAY_MS: u64 = 24 * HOUR_MS;
    const NOW_MS: TimeMs = 20_000 * DAY_MS;

    #[test]
    fn steps_are_whole_and_cover_the_time_asked_for() {
        let steps = Steps::over(HOUR_MS + 1, 3 * HOUR_MS, HOUR_MS);
        assert_eq!((steps.from_ms, steps.count), (HOUR_MS, 2));
        let steps = Steps::over(HOUR_MS, 3 * HOUR_MS + 1, HOUR_MS);
        assert_eq!(
            (steps.from_ms, steps.count, steps.to_ms()),
            (HOUR_MS, 3, 4 * HOUR_MS)
        );
        assert_eq!(steps.place(2 * HOUR_MS), 1);
        assert_eq!(steps.begins_ms(2), 3 * HOUR_MS);
        let moment = Steps::over(HOUR_MS, HOUR_MS, HOUR_MS);
        assert_eq!(moment.count, 1);
    }

    #[test]
    fn the_longest_counters_that_fit_are_read() {
        let best = |ago_ms, step_ms| {
            let steps = Steps::over(NOW_MS - ago_ms, NOW_MS, step_ms);
            steps.best(&Span::PAIRS, Span::detail_kept_ms, NOW_MS)
        };
        assert_eq!(best(HOUR_MS, 300_000), Some(Span::FiveMinutes));
        assert_eq!(best(DAY_MS, 2 * HOUR_MS), Some(Span::Hour));
        assert_eq!(best(DAY_MS, DAY_MS), Some(Span::Day));
        assert_eq!(best(30 * DAY_MS, HOUR_MS), Some(Span::Hour));
        assert_eq!(
            best(3 * DAY_MS, 300_000),
            None,
            "five minutes are kept two days"
        );
        assert_eq!(
            best(300 * DAY_MS, HOUR_MS),
            None,
            "hours of pairs are kept 32 days"
        );
        assert_eq!(best(300 * DAY_MS, DAY_MS), Some(Span::Day));
    }
}
