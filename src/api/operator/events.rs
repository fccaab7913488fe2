//! What happened, and how things stand.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Query, State};
use axum::routing::get;
use serde_json::{Value, json};

use super::SignedIn;
use super::agents::{agent_view, fleet_id};
use super::audit::event_view;
use super::list::{ListQuery, number_of};
use crate::api::{ApiError, App};
use crate::service::events::{Filter, PublicEvent};

pub fn router() -> axum::Router<App> {
    axum::Router::new()
        .route("/v1/operator/events", get(list))
        .route("/v1/operator/overview", get(overview))
}

/// GET /v1/operator/events: newest first.
async fn list(
    State(app): State<App>,
    operator: SignedIn,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<Value>, ApiError> {
    let query = ListQuery::read(query)?;
    let before = query.cursor(|text| number_of("evt_", text))?;
    let (from_ms, to_ms) = (query.time("dateFrom")?, query.time("dateTo")?);
    let is = |name: &str, value: Option<&str>| {
        query.text(name).is_none_or(|wanted| value == Some(wanted))
    };
    let wanted = |event: &PublicEvent| {
        let kind = event.event.kind;
        let at_ms = event.event.at_ms;
        query
            .text("type")
            .is_none_or(|text| text == kind.as_str() || text == kind.family())
            && is("actor_id", event.actor_id.as_deref())
            && is("resource_id", Some(&event.resource_id))
            && is("conversation_id", event.conversation_id.as_deref())
            && from_ms.is_none_or(|from_ms| at_ms >= from_ms)
            && to_ms.is_none_or(|to_ms| at_ms <= to_ms)
    };
    let filter = Filter {
        kind: query.text("type"),
        actor_id: query.text("actor_id"),
        resource_id: query.text("resource_id"),
        conversation_id: query.text("conversation_id"),
    };
    let tags = app.service.tags(operator.fleet(), &filter)?;
    let (wants, skip) = (query.skip() + query.limit, query.skip());
    let before = before.unwrap_or(u64::MAX);
    let page = app
        .service
        .events(operator.fleet(), &tags, before, wants, wanted)
        .await?;
    let next_cursor = page.next.map(|seq| crate::id::from_number("evt_", seq));
    let views = page.rows.iter().skip(skip).map(event_view).collect();
    Ok(Json(query.answer("events", views, next_cursor)))
}

/// GET /v1/operator/overview
async fn overview(State(app): State<App>, operator: SignedIn) -> Result<Json<Value>, ApiError> {
    let overview = app.service.overview(operator.fleet()).await?;
    let fleet_id = fleet_id(&app.service.view(), operator.fleet())?;
    let agents: Vec<Value> = overview
        .agents
        .iter()
        .map(|(agent, live)| agent_view(&fleet_id, agent, live))
        .collect();
    let events: Vec<Value> = overview.events.iter().map(event_view).collect();
    Ok(Json(json!({
        "agents": agents,
        "pendingApprovals": overview.pending_approvals,
        "queuedMessages": overview.queued,
        "deadLetterCount": overview.dead_letters,
        "quarantinedAgentCount": overview.quarantined,
        "rateLimitViolationsLast24h": overview.rate_violations,
        "recentEvents": events,
    })))
}
