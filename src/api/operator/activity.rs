//! How much happens, and between whom.

use std::collections::{BTreeMap, HashMap};

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use ekho_storage::tables::rollup::{Span, Totals};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::SignedIn;
use crate::api::fields::Invalid;
use crate::api::openapi::Routes;
use crate::api::query::pairs;
use crate::api::{ApiError, App};
use crate::clock::{Iso, now_ms};
use crate::service::activity::{Edge, Window};

/// Minutes that may be asked for.
const WINDOW_MINUTES: std::ops::RangeInclusive<u64> = 5..=1440;

pub fn router() -> Routes {
    Routes::default()
        .routes(routes!(activity))
        .routes(routes!(topology))
        .routes(routes!(health))
}

/// How far back to look.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what is read")]
struct WindowParams {
    #[param(minimum = 5, maximum = 1440, default = 60)]
    window_minutes: Option<u64>,
}

/// The last `window_minutes`, by default an hour.
fn window(query: &HashMap<String, String>) -> Result<Window, Invalid> {
    let minutes = match query.get("window_minutes") {
        None => Some(60),
        Some(text) => text
            .parse()
            .ok()
            .filter(|minutes| WINDOW_MINUTES.contains(minutes)),
    };
    let minutes =
        minutes.ok_or_else(|| Invalid::field("window_minutes", "a whole number from 5 to 1440"))?;
    Ok(Window::last(Span::FiveMinutes, minutes * 60_000, now_ms()))
}

/// What became of messages within a time.
#[derive(Serialize, ToSchema)]
pub struct TotalsView {
    accepted: u64,
    delivered: u64,
    acked: u64,
    expired: u64,
    dead_lettered: u64,
    retried: u64,
    denied: u64,
    rate_limited: u64,
    latency_ms: LatencyView,
}

/// From acceptance to ack, as upper bounds; null where there was no ack.
#[derive(Serialize, ToSchema)]
struct LatencyView {
    p50: Option<u64>,
    p95: Option<u64>,
    p99: Option<u64>,
}

pub fn totals_view(totals: &Totals) -> TotalsView {
    TotalsView {
        accepted: totals.accepted,
        delivered: totals.delivered,
        acked: totals.acked,
        expired: totals.expired,
        dead_lettered: totals.dead_lettered,
        retried: totals.retried,
        denied: totals.denied,
        rate_limited: totals.rate_limited,
        latency_ms: LatencyView {
            p50: totals.latency_ms(0.5),
            p95: totals.latency_ms(0.95),
            p99: totals.latency_ms(0.99),
        },
    }
}

/// What one agent sent another.
#[derive(Serialize, ToSchema)]
pub struct EdgeView {
    /// Null for operators.
    sender_agent_id: Option<String>,
    recipient_agent_id: String,
    /// Deliveries made.
    messages: u64,
    /// Of those, expired or given up.
    failed: u64,
}

pub fn edge_view(edge: &Edge) -> EdgeView {
    EdgeView {
        sender_agent_id: edge.sender.clone(),
        recipient_agent_id: edge.recipient.clone(),
        messages: edge.pair.messages,
        failed: edge.pair.failed,
    }
}

/// Counts of a span.
#[derive(Serialize, ToSchema)]
struct SpanView {
    /// When it begins.
    from: Iso,
    #[serde(flatten)]
    totals: TotalsView,
    /// The most deliveries that waited at once to be handed out, as far as was seen; null before
    /// the node began to look.
    queued: Option<u64>,
}

/// How much happened.
#[derive(Serialize, ToSchema)]
struct Activity {
    span_seconds: u64,
    /// Oldest first; the last one is under way.
    spans: Vec<SpanView>,
    total: TotalsView,
}

/// Counts of every five minutes, oldest first.
#[utoipa::path(
    get,
    path = "/v1/operator/activity",
    operation_id = "get_activity",
    params(WindowParams),
    responses((status = 200, body = Activity)),
)]
async fn activity(
    State(app): State<App>,
    operator: SignedIn,
    uri: Uri,
) -> Result<Json<Activity>, ApiError> {
    let window = window(&pairs(uri.query())?)?;
    let found = app.service.activity(operator.fleet(), window).await?;
    let queued = found.queued.iter().chain(std::iter::repeat(&None));
    let spans = found.spans.iter().zip(queued);
    let spans = spans.map(|((at_ms, totals), queued)| SpanView {
        from: Iso(*at_ms),
        totals: totals_view(totals),
        queued: *queued,
    });
    Ok(Json(Activity {
        span_seconds: window.span.ms() / 1000,
        spans: spans.collect(),
        total: totals_view(&found.total),
    }))
}

/// Who sent to whom.
#[derive(Serialize, ToSchema)]
struct Topology {
    /// When the time looked at begins.
    from: Iso,
    /// Most first, at most 1,000.
    edges: Vec<EdgeView>,
}

/// Who sent to whom, most first.
#[utoipa::path(
    get,
    path = "/v1/operator/topology",
    operation_id = "get_topology",
    params(WindowParams),
    responses((status = 200, body = Topology)),
)]
async fn topology(
    State(app): State<App>,
    operator: SignedIn,
    uri: Uri,
) -> Result<Json<Topology>, ApiError> {
    let window = window(&pairs(uri.query())?)?;
    let edges = app.service.topology(operator.fleet(), window).await?;
    let from_ms = u64::from(window.numbers.0) * window.span.ms();
    Ok(Json(Topology {
        from: Iso(from_ms),
        edges: edges.iter().map(edge_view).collect(),
    }))
}

/// Counts of everything, as they stand.
#[derive(Serialize, ToSchema)]
struct Health {
    /// By name: agents by status, deliveries, dead letters and more.
    #[schema(value_type = BTreeMap<String, u64>)]
    counts: BTreeMap<&'static str, u64>,
}

/// Counts of everything, as they stand.
#[utoipa::path(
    get,
    path = "/v1/operator/fleet-health",
    operation_id = "get_fleet_health",
    responses((status = 200, body = Health)),
)]
async fn health(State(app): State<App>, operator: SignedIn) -> Result<Json<Health>, ApiError> {
    let counts = app.service.fleet_counts(operator.fleet()).await?;
    let counts = counts.into_iter().collect();
    Ok(Json(Health { counts }))
}
