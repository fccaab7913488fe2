//! How much happens, and between whom.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Query, State};
use axum::routing::get;
use ekho_storage::tables::derived::{Span, Totals};
use serde_json::{Map, Value, json};

use super::SignedIn;
use crate::api::fields::Invalid;
use crate::api::{ApiError, App};
use crate::clock::{Iso, now_ms};
use crate::service::activity::{Edge, Window};

/// Minutes that may be asked for.
const WINDOW_MINUTES: std::ops::RangeInclusive<u64> = 5..=1440;

pub fn router() -> axum::Router<App> {
    axum::Router::new()
        .route("/v1/operator/activity", get(activity))
        .route("/v1/operator/topology", get(topology))
        .route("/v1/operator/fleet-health", get(health))
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

pub fn totals_view(totals: &Totals) -> Value {
    json!({
        "accepted": totals.accepted,
        "delivered": totals.delivered,
        "acked": totals.acked,
        "expired": totals.expired,
        "dead_lettered": totals.dead_lettered,
        "retried": totals.retried,
        "denied": totals.denied,
        "rate_limited": totals.rate_limited,
        "latency_ms": {
            "p50": totals.latency_ms(0.5),
            "p95": totals.latency_ms(0.95),
            "p99": totals.latency_ms(0.99),
        },
    })
}

pub fn edge_view(edge: &Edge) -> Value {
    json!({
        "sender_agent_id": edge.sender,
        "recipient_agent_id": edge.recipient,
        "messages": edge.pair.messages,
        "failed": edge.pair.failed,
    })
}

/// GET /v1/operator/activity: counts of every five minutes, oldest first.
async fn activity(
    State(app): State<App>,
    operator: SignedIn,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<Value>, ApiError> {
    let window = window(&query)?;
    let found = app.service.activity(operator.fleet(), window).await?;
    let spans: Vec<Value> = found
        .spans
        .iter()
        .map(|(at_ms, totals)| {
            let mut view = totals_view(totals);
            view["from"] = json!(Iso(*at_ms));
            view
        })
        .collect();
    Ok(Json(json!({
        "span_seconds": window.span.ms() / 1000,
        "spans": spans,
        "total": totals_view(&found.total),
    })))
}

/// GET /v1/operator/topology: who sent to whom, most first.
async fn topology(
    State(app): State<App>,
    operator: SignedIn,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<Value>, ApiError> {
    let window = window(&query)?;
    let edges = app.service.topology(operator.fleet(), window).await?;
    let edges: Vec<Value> = edges.iter().map(edge_view).collect();
    let from_ms = u64::from(window.numbers.0) * window.span.ms();
    Ok(Json(json!({ "from": Iso(from_ms), "edges": edges })))
}

/// GET /v1/operator/fleet-health: counts of everything, as they stand.
async fn health(State(app): State<App>, operator: SignedIn) -> Result<Json<Value>, ApiError> {
    let counts = app.service.fleet_counts(operator.fleet()).await?;
    let counts: Map<String, Value> = counts
        .into_iter()
        .map(|(name, count)| (name.to_string(), count.into()))
        .collect();
    Ok(Json(json!({ "counts": counts })))
}
