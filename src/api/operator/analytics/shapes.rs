//! Counts as they are answered.

use ekho_storage::tables::TimeMs;
use ekho_storage::tables::rollup::{Pair, Totals};
use serde::Serialize;
use utoipa::ToSchema;

use crate::clock::Iso;
use crate::service::analytics::{PairSeries, Talker};

/// Throughput over time.
#[derive(Serialize, ToSchema)]
pub(super) struct AnalyticsThroughput {
    /// Beginning of the first step.
    pub(super) from: Iso,
    /// End of the last step.
    pub(super) to: Iso,
    /// Length of a step.
    pub(super) step_seconds: u64,
    /// Every step, the oldest first.
    pub(super) points: Vec<AnalyticsPoint>,
    /// All together.
    pub(super) total: AnalyticsCounts,
}

/// What happened in one step.
#[derive(Serialize, ToSchema)]
pub(super) struct AnalyticsPoint {
    /// When the step begins.
    pub(super) from: Iso,
    /// What happened.
    #[serde(flatten)]
    pub(super) counts: AnalyticsCounts,
}

/// Counts of a fleet.
#[derive(Serialize, ToSchema)]
pub(super) struct AnalyticsCounts {
    /// Messages accepted.
    pub(super) accepted: u64,
    /// Bytes of their bodies.
    pub(super) accepted_bytes: u64,
    /// Deliveries handed out.
    pub(super) delivered: u64,
    /// Deliveries acked.
    pub(super) acked: u64,
    /// Deliveries put back to be handed out again.
    pub(super) retried: u64,
    /// Deliveries taken back.
    pub(super) cancelled: u64,
    /// What failed, and why.
    pub(super) failures: AnalyticsFailures,
    /// From acceptance to ack; upper bounds, null without acks.
    pub(super) latency_ms: AnalyticsLatency,
}

/// What failed, and why.
#[derive(Serialize, ToSchema)]
pub(super) struct AnalyticsFailures {
    /// Deliveries whose time was over.
    pub(super) expired: u64,
    /// Deliveries given up because nobody acked in time.
    pub(super) timeout: u64,
    /// Deliveries given up because their recipient gave them back.
    pub(super) given_back: u64,
    /// Messages refused by policy.
    pub(super) policy: u64,
    /// Messages refused for rate.
    pub(super) rate: u64,
}

/// Percentiles of latency.
#[derive(Serialize, ToSchema)]
pub(super) struct AnalyticsLatency {
    /// Half of the acks.
    pub(super) p50: Option<u64>,
    /// 90 of 100.
    pub(super) p90: Option<u64>,
    /// 95 of 100.
    pub(super) p95: Option<u64>,
    /// 99 of 100.
    pub(super) p99: Option<u64>,
}

impl From<&Totals> for AnalyticsCounts {
    fn from(totals: &Totals) -> Self {
        AnalyticsCounts {
            accepted: totals.accepted,
            accepted_bytes: totals.accepted_bytes,
            delivered: totals.delivered,
            acked: totals.acked,
            retried: totals.retried,
            cancelled: totals.cancelled,
            failures: AnalyticsFailures {
                expired: totals.expired,
                timeout: totals.dead_lettered_timeout,
                given_back: totals
                    .dead_lettered
                    .saturating_sub(totals.dead_lettered_timeout),
                policy: totals.denied,
                rate: totals.rate_limited,
            },
            latency_ms: AnalyticsLatency {
                p50: totals.latency_ms(0.5),
                p90: totals.latency_ms(0.9),
                p95: totals.latency_ms(0.95),
                p99: totals.latency_ms(0.99),
            },
        }
    }
}

/// Agents that did most.
#[derive(Serialize, ToSchema)]
pub(super) struct AnalyticsAgents {
    /// Beginning of the time.
    pub(super) from: Iso,
    /// Its end.
    pub(super) to: Iso,
    /// By what they are in order.
    pub(super) by: &'static str,
    /// Agents, those with more first.
    pub(super) agents: Vec<AnalyticsAgent>,
}

/// An agent with its counts.
#[derive(Serialize, ToSchema)]
pub(super) struct AnalyticsAgent {
    /// Public id; null for operators.
    pub(super) agent_id: Option<String>,
    /// Its name.
    pub(super) display_name: Option<String>,
    /// Messages it sent.
    pub(super) sent: u64,
    /// Bytes of their bodies.
    pub(super) sent_bytes: u64,
    /// Deliveries made to it.
    pub(super) received: u64,
    /// Deliveries to it that expired or were given up.
    pub(super) failed: u64,
    /// Messages of it refused by policy.
    pub(super) denied: u64,
    /// Messages of it refused for rate.
    pub(super) rate_limited: u64,
}

impl From<Talker> for AnalyticsAgent {
    fn from(talker: Talker) -> Self {
        let totals = talker.totals;
        AnalyticsAgent {
            agent_id: talker.agent_id,
            display_name: talker.display_name,
            sent: totals.sent,
            sent_bytes: totals.sent_bytes,
            received: totals.received,
            failed: totals.failed,
            denied: totals.denied,
            rate_limited: totals.rate_limited,
        }
    }
}

/// Who talks to whom.
#[derive(Serialize, ToSchema)]
pub(super) struct AnalyticsPairs {
    /// Beginning of the first step.
    pub(super) from: Iso,
    /// End of the last step.
    pub(super) to: Iso,
    /// Length of a step.
    pub(super) step_seconds: u64,
    /// Pairs, those with more messages first.
    pub(super) pairs: Vec<AnalyticsPair>,
}

/// Two who talk.
#[derive(Serialize, ToSchema)]
pub(super) struct AnalyticsPair {
    /// The sender; null for operators.
    pub(super) sender_agent_id: Option<String>,
    /// The recipient.
    pub(super) recipient_agent_id: String,
    /// Deliveries made.
    pub(super) messages: u64,
    /// Deliveries that expired or were given up.
    pub(super) failed: u64,
    /// The steps in which anything happened, the oldest first.
    pub(super) points: Vec<AnalyticsPairPoint>,
}

/// What happened between two in one step.
#[derive(Serialize, ToSchema)]
pub(super) struct AnalyticsPairPoint {
    /// When the step begins.
    pub(super) from: Iso,
    /// Deliveries made.
    pub(super) messages: u64,
    /// Deliveries that expired or were given up.
    pub(super) failed: u64,
}

impl From<PairSeries> for AnalyticsPair {
    fn from(series: PairSeries) -> Self {
        let point = |(at_ms, pair): (TimeMs, Pair)| AnalyticsPairPoint {
            from: Iso(at_ms),
            messages: pair.messages,
            failed: pair.failed,
        };
        AnalyticsPair {
            sender_agent_id: series.edge.sender,
            recipient_agent_id: series.edge.recipient,
            messages: series.edge.pair.messages,
            failed: series.edge.pair.failed,
            points: series.points.into_iter().map(point).collect(),
        }
    }
}
