//! Counts over long times, as JSON, CSV or JSON lines.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use axum::Json;
use axum::extract::State;
use axum::http::{Uri, header};
use axum::response::{IntoResponse, Response};
use ekho_storage::tables::rollup::Totals;
use ekho_storage::tables::{FleetNo, TimeMs};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::schema::Object;
use utoipa_axum::routes;

use super::SignedIn;
use crate::api::code::Code;
use crate::api::fields::Invalid;
use crate::api::openapi::Routes;
use crate::api::query::pairs as query_pairs;
use crate::api::{ApiError, App, words};
use crate::clock::{Iso, now_ms, parse_iso};
use crate::service::ServiceError;
use crate::service::analytics::{By, POINTS_MAX, PairFilter, PairSeries, Steps, Talker, TooMuch};

const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 24 * 60 * MINUTE_MS;
/// The shortest step, and what every step is a multiple of.
const STEP_UNIT_SECONDS: u64 = 300;
const STEP_SECONDS: RangeInclusive<u64> = STEP_UNIT_SECONDS..=31 * DAY_MS / 1000;
/// How far back counts reach.
const REACH_MS: u64 = 400 * DAY_MS;
const TOP_MAX: usize = 100;
const TOP_DEFAULT: usize = 10;

const FORMATS: [(&str, Format); 3] = [
    ("json", Format::Json),
    ("csv", Format::Csv),
    ("jsonl", Format::JsonLines),
];

const BY: [(&str, By); 6] = [
    ("sent", By::Sent),
    ("sent_bytes", By::SentBytes),
    ("received", By::Received),
    ("failed", By::Failed),
    ("denied", By::Denied),
    ("rate_limited", By::RateLimited),
];

/// Routes of analytics.
pub fn router() -> Routes {
    Routes::default()
        .routes(routes!(throughput))
        .routes(routes!(agents))
        .routes(routes!(pairs))
}

/// By what agents are put in order.
fn orders() -> Object {
    words::choice(&BY)
}

/// In which form an answer comes.
fn formats() -> Object {
    words::choice(&FORMATS)
}

/// The time asked for, and the form of the answer.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what `Asked` reads")]
struct TimeParams {
    /// At most 400 days ago; by default a day before `to`.
    from: Option<Iso>,
    /// By default now.
    to: Option<Iso>,
    /// With csv and jsonl, the rows alone.
    #[param(schema_with = formats)]
    format: Option<String>,
}

/// How long a step is.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what `Asked` reads")]
struct StepParams {
    /// Seconds: a multiple of 300, of 3600 beyond the last two days, of 86400 for pairs beyond the
    /// last 32 days. At most 2,000 steps. By default what gives a few hundred.
    #[param(minimum = 300, maximum = 2_678_400)]
    step: Option<u64>,
}

/// How many of the first.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what `Asked` reads")]
struct TopParams {
    #[param(minimum = 1, maximum = 100, default = 10)]
    limit: Option<u64>,
}

/// Throughput over time.
#[derive(Serialize, ToSchema)]
struct AnalyticsThroughput {
    /// Beginning of the first step.
    from: Iso,
    /// End of the last step.
    to: Iso,
    /// Length of a step.
    step_seconds: u64,
    /// Every step, the oldest first.
    points: Vec<AnalyticsPoint>,
    /// All together.
    total: AnalyticsCounts,
}

/// What happened in one step.
#[derive(Serialize, ToSchema)]
struct AnalyticsPoint {
    /// When the step begins.
    from: Iso,
    /// What happened.
    #[serde(flatten)]
    counts: AnalyticsCounts,
}

/// Counts of a fleet.
#[derive(Serialize, ToSchema)]
struct AnalyticsCounts {
    /// Messages accepted.
    accepted: u64,
    /// Bytes of their bodies.
    accepted_bytes: u64,
    /// Deliveries handed out.
    delivered: u64,
    /// Deliveries acked.
    acked: u64,
    /// Deliveries put back to be handed out again.
    retried: u64,
    /// Deliveries taken back.
    cancelled: u64,
    /// What failed, and why.
    failures: AnalyticsFailures,
    /// From acceptance to ack; upper bounds, null without acks.
    latency_ms: AnalyticsLatency,
}

/// What failed, and why.
#[derive(Serialize, ToSchema)]
struct AnalyticsFailures {
    /// Deliveries whose time was over.
    expired: u64,
    /// Deliveries given up because nobody acked in time.
    timeout: u64,
    /// Deliveries given up because their recipient gave them back.
    given_back: u64,
    /// Messages refused by policy.
    policy: u64,
    /// Messages refused for rate.
    rate: u64,
}

/// Percentiles of latency.
#[derive(Serialize, ToSchema)]
struct AnalyticsLatency {
    /// Half of the acks.
    p50: Option<u64>,
    /// 90 of 100.
    p90: Option<u64>,
    /// 95 of 100.
    p95: Option<u64>,
    /// 99 of 100.
    p99: Option<u64>,
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
struct AnalyticsAgents {
    /// Beginning of the time.
    from: Iso,
    /// Its end.
    to: Iso,
    /// By what they are in order.
    by: &'static str,
    /// Agents, those with more first.
    agents: Vec<AnalyticsAgent>,
}

/// An agent with its counts.
#[derive(Serialize, ToSchema)]
struct AnalyticsAgent {
    /// Public id; null for operators.
    agent_id: Option<String>,
    /// Its name.
    display_name: Option<String>,
    /// Messages it sent.
    sent: u64,
    /// Bytes of their bodies.
    sent_bytes: u64,
    /// Deliveries made to it.
    received: u64,
    /// Deliveries to it that expired or were given up.
    failed: u64,
    /// Messages of it refused by policy.
    denied: u64,
    /// Messages of it refused for rate.
    rate_limited: u64,
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
struct AnalyticsPairs {
    /// Beginning of the first step.
    from: Iso,
    /// End of the last step.
    to: Iso,
    /// Length of a step.
    step_seconds: u64,
    /// Pairs, those with more messages first.
    pairs: Vec<AnalyticsPair>,
}

/// Two who talk.
#[derive(Serialize, ToSchema)]
struct AnalyticsPair {
    /// The sender; null for operators.
    sender_agent_id: Option<String>,
    /// The recipient.
    recipient_agent_id: String,
    /// Deliveries made.
    messages: u64,
    /// Deliveries that expired or were given up.
    failed: u64,
    /// The steps in which anything happened, the oldest first.
    points: Vec<AnalyticsPairPoint>,
}

/// What happened between two in one step.
#[derive(Serialize, ToSchema)]
struct AnalyticsPairPoint {
    /// When the step begins.
    from: Iso,
    /// Deliveries made.
    messages: u64,
    /// Deliveries that expired or were given up.
    failed: u64,
}

impl From<PairSeries> for AnalyticsPair {
    fn from(series: PairSeries) -> Self {
        let point =
            |(at_ms, pair): (TimeMs, ekho_storage::tables::rollup::Pair)| AnalyticsPairPoint {
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

/// What the fleet did, step by step: throughput, failures, latency.
///
/// Needs a licence for analytics.
#[utoipa::path(
    get,
    path = "/v1/operator/analytics",
    operation_id = "analytics_throughput",
    params(TimeParams, StepParams),
    responses((
        status = 200,
        description = "With csv and jsonl the rows alone.",
        content(
            (AnalyticsThroughput = "application/json"),
            (String = "text/csv"),
            (String = "application/x-ndjson"),
        ),
    )),
    extensions(("x-codes" = json!([Code::LicenseRequired]))),
)]
async fn throughput(
    State(app): State<App>,
    operator: SignedIn,
    uri: Uri,
) -> Result<Response, ApiError> {
    let asked = Asked::read(query_pairs(uri.query())?, now_ms())?;
    let steps = asked.steps()?;
    let found = app
        .service
        .throughput(operator.fleet(), steps, asked.now_ms);
    let found = found.await?.map_err(refusal)?;
    let points = found.points.iter().map(|(at_ms, totals)| AnalyticsPoint {
        from: Iso(*at_ms),
        counts: totals.into(),
    });
    let view = AnalyticsThroughput {
        from: Iso(steps.from_ms),
        to: Iso(steps.to_ms()),
        step_seconds: steps.step_ms / 1000,
        points: points.collect(),
        total: (&found.total).into(),
    };
    asked.answer(&view, "points")
}

/// By what.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what is read")]
struct AgentsParams {
    #[param(schema_with = orders)]
    by: Option<String>,
}

/// Agents that did most of something.
///
/// Needs a licence for analytics.
#[utoipa::path(
    get,
    path = "/v1/operator/analytics/agents",
    operation_id = "analytics_agents",
    params(TimeParams, TopParams, AgentsParams),
    responses((
        status = 200,
        description = "With csv and jsonl the rows alone.",
        content(
            (AnalyticsAgents = "application/json"),
            (String = "text/csv"),
            (String = "application/x-ndjson"),
        ),
    )),
    extensions(("x-codes" = json!([Code::LicenseRequired]))),
)]
async fn agents(
    State(app): State<App>,
    operator: SignedIn,
    uri: Uri,
) -> Result<Response, ApiError> {
    let asked = Asked::read(query_pairs(uri.query())?, now_ms())?;
    let (by, order) = match asked.text("by") {
        None => BY[0],
        Some(text) => *BY.iter().find(|(name, _)| *name == text).ok_or_else(|| {
            Invalid::field("by", format!("one of {}", BY.map(|by| by.0).join(", ")))
        })?,
    };
    // Counted by the hour, and by the day where that is long ago or long.
    let is_long = asked.to_ms - asked.from_ms > 7 * DAY_MS;
    let is_past = asked.now_ms.saturating_sub(asked.from_ms) > 31 * DAY_MS;
    let step_ms = if is_long || is_past {
        DAY_MS
    } else {
        60 * MINUTE_MS
    };
    let steps = Steps::over(asked.from_ms, asked.to_ms, step_ms);
    let limit = asked.limit()?;
    let found = app
        .service
        .top_talkers(operator.fleet(), steps, order, limit, asked.now_ms)
        .await?
        .map_err(refusal)?;
    let view = AnalyticsAgents {
        from: Iso(steps.from_ms),
        to: Iso(steps.to_ms()),
        by,
        agents: found.into_iter().map(AnalyticsAgent::from).collect(),
    };
    asked.answer(&view, "agents")
}

/// Which pairs.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what is read")]
struct PairsParams {
    /// From this agent only.
    sender_agent_id: Option<String>,
    /// To this agent only.
    recipient_agent_id: Option<String>,
}

/// Who sent most to whom, over time.
///
/// Needs a licence for analytics.
#[utoipa::path(
    get,
    path = "/v1/operator/analytics/pairs",
    operation_id = "analytics_pairs",
    params(TimeParams, StepParams, TopParams, PairsParams),
    responses((
        status = 200,
        description = "With csv and jsonl the rows alone.",
        content(
            (AnalyticsPairs = "application/json"),
            (String = "text/csv"),
            (String = "application/x-ndjson"),
        ),
    )),
    extensions(("x-codes" = json!([Code::LicenseRequired]))),
)]
async fn pairs(State(app): State<App>, operator: SignedIn, uri: Uri) -> Result<Response, ApiError> {
    let asked = Asked::read(query_pairs(uri.query())?, now_ms())?;
    let steps = asked.steps()?;
    let limit = asked.limit()?;
    let fleet = operator.fleet();
    let filter = PairFilter {
        sender: agent_no(&app, fleet, asked.text("sender_agent_id"))?,
        recipient: agent_no(&app, fleet, asked.text("recipient_agent_id"))?,
    };
    let found = app
        .service
        .top_pairs(fleet, steps, filter, limit, asked.now_ms)
        .await?
        .map_err(refusal)?;
    let view = AnalyticsPairs {
        from: Iso(steps.from_ms),
        to: Iso(steps.to_ms()),
        step_seconds: steps.step_ms / 1000,
        pairs: found.into_iter().map(AnalyticsPair::from).collect(),
    };
    match asked.format {
        Format::Json => asked.answer(&view, "pairs"),
        _ => asked.answer(&flat(&view)?, "pairs"),
    }
}

/// The number of an agent to look for; one that no agent has where there is no such agent.
fn agent_no(app: &App, fleet: FleetNo, id: Option<&str>) -> Result<Option<u32>, ApiError> {
    let Some(id) = id else { return Ok(None) };
    let found = app.service.agent_no(fleet, id)?;
    Ok(Some(found.unwrap_or(u32::MAX)))
}

fn refusal(too_much: TooMuch) -> ApiError {
    match too_much {
        TooMuch::Forgotten => Invalid::field(
            "step",
            "steps this short are not kept this long; take longer ones, or begin later",
        ),
        TooMuch::Rows => Invalid::field(
            "from",
            "this takes more counters than one answer reads; take longer steps, or less time",
        ),
    }
    .into()
}

/// In which form an answer is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    Csv,
    JsonLines,
}

/// What every call here is asked with.
struct Asked {
    given: HashMap<String, String>,
    now_ms: TimeMs,
    from_ms: TimeMs,
    to_ms: TimeMs,
    format: Format,
}

impl Asked {
    /// Reads `from`, `to` and `format`; by default the last day, as JSON.
    fn read(given: HashMap<String, String>, now_ms: TimeMs) -> Result<Self, Invalid> {
        let time = |name: &str, default: TimeMs| match given.get(name) {
            None => Ok(default),
            Some(text) => parse_iso(text)
                .ok_or_else(|| Invalid::field(name, "a time in ISO 8601 with an offset")),
        };
        let to_ms = time("to", now_ms)?.min(now_ms);
        let from_ms = time("from", to_ms.saturating_sub(DAY_MS))?;
        if from_ms >= to_ms {
            return Err(Invalid::field(
                "from",
                "it has to lie before to, and before now",
            ));
        }
        if from_ms < now_ms.saturating_sub(REACH_MS) {
            return Err(Invalid::field("from", "at most 400 days ago"));
        }
        let format = match given.get("format") {
            None => Some(Format::Json),
            Some(text) => FORMATS
                .iter()
                .find(|(name, _)| name == text)
                .map(|(_, format)| *format),
        };
        let format = format.ok_or_else(|| Invalid::field("format", "one of json, csv, jsonl"))?;
        Ok(Asked {
            given,
            now_ms,
            from_ms,
            to_ms,
            format,
        })
    }

    fn text(&self, name: &str) -> Option<&str> {
        let text = self.given.get(name).map(String::as_str);
        text.filter(|text| !text.is_empty())
    }

    /// Reads `step`, in seconds; by default what gives about a hundred points.
    fn steps(&self) -> Result<Steps, Invalid> {
        let wrong = || {
            let text =
                "seconds: a multiple of 300, of 3600 beyond the last two days, at most 31 days";
            Invalid::field("step", text)
        };
        let length_ms = self.to_ms - self.from_ms;
        let seconds = match self.given.get("step") {
            Some(text) => text.parse().map_err(|_| wrong())?,
            None => self.default_step_seconds(length_ms),
        };
        if !STEP_SECONDS.contains(&seconds) || !seconds.is_multiple_of(STEP_UNIT_SECONDS) {
            return Err(wrong());
        }
        let steps = Steps::over(self.from_ms, self.to_ms, seconds * 1000);
        if steps.count > POINTS_MAX {
            let text = format!("this makes {} points, at most {POINTS_MAX}", steps.count);
            return Err(Invalid::field("step", text));
        }
        Ok(steps)
    }

    /// The shortest of a few handy ones with at most 300 points whose counters are still there.
    fn default_step_seconds(&self, length_ms: u64) -> u64 {
        let age_ms = self.now_ms.saturating_sub(self.from_ms);
        let handy = [
            (300, DAY_MS + DAY_MS / 2),
            (3600, 31 * DAY_MS),
            (86_400, u64::MAX),
        ];
        handy
            .into_iter()
            .find(|(seconds, reach_ms)| age_ms <= *reach_ms && length_ms / (seconds * 1000) <= 300)
            .map_or(86_400, |(seconds, _)| seconds)
    }

    /// How many of the first are wanted.
    fn limit(&self) -> Result<usize, Invalid> {
        let Some(text) = self.given.get("limit") else {
            return Ok(TOP_DEFAULT);
        };
        text.parse()
            .ok()
            .filter(|limit| (1..=TOP_MAX).contains(limit))
            .ok_or_else(|| Invalid::field("limit", format!("a whole number from 1 to {TOP_MAX}")))
    }

    /// The answer in the form that is wanted: all of it, or its rows.
    fn answer(&self, view: &impl Serialize, rows: &str) -> Result<Response, ApiError> {
        let value = to_value(view)?;
        let empty = Vec::new();
        let rows = value[rows].as_array().unwrap_or(&empty);
        let (kind, text) = match self.format {
            Format::Json => return Ok(Json(value).into_response()),
            Format::Csv => ("text/csv; charset=utf-8", csv(rows)),
            Format::JsonLines => {
                let lines = rows.iter().map(|row| format!("{row}\n"));
                ("application/x-ndjson", lines.collect())
            }
        };
        Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
    }
}

fn to_value(view: &impl Serialize) -> Result<Value, ApiError> {
    serde_json::to_value(view).map_err(|error| ServiceError::Internal(error.to_string()).into())
}

/// One row for each pair and step.
fn flat(view: &AnalyticsPairs) -> Result<Value, ApiError> {
    let mut rows = Vec::new();
    for pair in &view.pairs {
        for point in &pair.points {
            let mut row = to_value(point)?;
            row["sender_agent_id"] = pair.sender_agent_id.clone().into();
            row["recipient_agent_id"] = pair.recipient_agent_id.clone().into();
            rows.push(row);
        }
    }
    Ok(json!({ "pairs": rows }))
}

/// Rows as CSV (RFC 4180), fields of nested objects as `outer.inner`.
fn csv(rows: &[Value]) -> String {
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let mut cells = Vec::new();
        flatten("", row, &mut cells);
        if number == 0 {
            let names: Vec<&str> = cells.iter().map(|(name, _)| name.as_str()).collect();
            text.push_str(&names.join(","));
            text.push_str("\r\n");
        }
        let values: Vec<String> = cells.into_iter().map(|(_, value)| value).collect();
        text.push_str(&values.join(","));
        text.push_str("\r\n");
    }
    text
}

fn flatten(name: &str, value: &Value, cells: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                let name = if name.is_empty() {
                    field.clone()
                } else {
                    format!("{name}.{field}")
                };
                flatten(&name, value, cells);
            }
        }
        Value::Null => cells.push((name.into(), String::new())),
        Value::String(text) => cells.push((name.into(), quoted(text))),
        other => cells.push((name.into(), other.to_string())),
    }
}

/// A text as a cell. One that a spreadsheet would take for a formula is kept from being one.
fn quoted(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        "'"
    } else {
        ""
    };
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn csv_quotes_flattens_and_disarms() {
        let rows = [
            json!({ "a": "x\"y", "b": { "c": 1, "d": null } }),
            json!({ "a": "=1+1", "b": { "c": 2, "d": 3 } }),
        ];
        let expected = "a,b.c,b.d\r\n\"x\"\"y\",1,\r\n\"'=1+1\",2,3\r\n";
        assert_eq!(csv(&rows), expected);
        assert_eq!(csv(&[]), "");
    }
}
