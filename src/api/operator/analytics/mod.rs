//! Counts over long times, as JSON, CSV or JSON lines.

mod asked;
mod csv;
mod shapes;

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use ekho_storage::tables::FleetNo;
use serde_json::{Value, json};
use utoipa_axum::routes;

use self::asked::{
    Asked, BY, DAY_MS, Format, MINUTE_MS, StepParams, TimeParams, TopParams, orders, to_value,
};
use self::shapes::{
    AnalyticsAgent, AnalyticsAgents, AnalyticsPair, AnalyticsPairs, AnalyticsPoint,
    AnalyticsThroughput,
};
use super::SignedIn;
use crate::api::code::Code;
use crate::api::fields::Invalid;
use crate::api::openapi::Routes;
use crate::api::query::pairs as query_pairs;
use crate::api::{ApiError, App};
use crate::clock::{Iso, now_ms};
use crate::service::analytics::{PairFilter, Steps, TooMuch};

/// Routes of analytics.
pub fn router() -> Routes {
    Routes::default()
        .routes(routes!(throughput))
        .routes(routes!(agents))
        .routes(routes!(pairs))
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
