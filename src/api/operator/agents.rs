//! Agents as operators see and steer them.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Query, State};
use ekho_storage::tables::agent::{self, Agent, AgentLive, HoldKind};
use ekho_storage::tables::{control, fleet};
use serde_json::{Value, json};

use super::list::ListQuery;
use super::{Given, SignedIn, done};
use crate::api::fields::Invalid;
use crate::api::path::PathId;
use crate::api::{ApiError, App};
use crate::clock::Iso;
use crate::id;
use crate::machine::command::OperatorRequest;
use crate::machine::outcome::Refusal;

/// GET /v1/operator/agents
pub async fn list(
    State(app): State<App>,
    operator: SignedIn,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<Value>, ApiError> {
    let query = ListQuery::read(query)?;
    let (from_ms, to_ms) = (query.time("dateFrom")?, query.time("dateTo")?);
    let view = app.service.operator_view().await?;
    let no = operator.fleet();
    let most = app.service.settings()?.max_agents as usize;
    let mut found = Vec::new();
    for agent in agent::list(&view, no, 0, most).map_err(crate::service::ServiceError::from)? {
        let (agent, live) = app.service.with_live(&view, agent)?;
        let status = agent.status(&live).as_str();
        let wanted = from_ms.is_none_or(|from_ms| agent.created_ms >= from_ms)
            && to_ms.is_none_or(|to_ms| agent.created_ms <= to_ms)
            && query.text("status").is_none_or(|wanted| wanted == status)
            && query.text("search").is_none_or(|text| {
                let text = text.to_lowercase();
                agent.display_name.to_lowercase().contains(&text) || agent.id.contains(&text)
            });
        if wanted {
            found.push((agent, live));
        }
    }
    match query.text("sortBy") {
        Some("display_name") => found.sort_by(|a, b| a.0.display_name.cmp(&b.0.display_name)),
        Some("status") => found.sort_by_key(|(agent, live)| agent.status(live).as_str()),
        Some("last_seen_at") => found.sort_by_key(|(_, live)| live.last_seen_ms),
        Some("created_at") | None => {}
        Some(_) => {
            let text = "one of display_name, status, last_seen_at, created_at";
            return Err(Invalid::field("sortBy", text).into());
        }
    }
    if query.text("sortOrder") == Some("desc") {
        found.reverse();
    }
    let total = found.len();
    let fleet_id = fleet_id(&view, no)?;
    let agents: Vec<Value> = found
        .iter()
        .skip(query.skip())
        .take(query.limit)
        .map(|(agent, live)| agent_view(&fleet_id, agent, live))
        .collect();
    Ok(Json(
        json!({ "agents": agents, "total": total, "page": query.page, "limit": query.limit }),
    ))
}

pub fn fleet_id(view: &ekho_storage::View, no: u32) -> Result<String, ApiError> {
    let fleet = fleet::get(view, no).map_err(crate::service::ServiceError::from)?;
    Ok(fleet.map(|fleet| fleet.id).unwrap_or_default())
}

pub fn agent_view(fleet_id: &str, agent: &Agent, live: &AgentLive) -> Value {
    let reason = match (&agent.hold, agent.auto_hold) {
        (Some(hold), _) => Some(hold.reason.as_str()),
        (None, Some(agent::AutoHold::HeartbeatTimeout)) => Some("heartbeat_timeout"),
        (None, Some(agent::AutoHold::RateLimitAbuse)) => Some("rate_limit_abuse"),
        (None, None) => None,
    };
    json!({
        "id": agent.id,
        "fleet_id": fleet_id,
        "display_name": agent.display_name,
        "runtime": agent.runtime,
        "hostname": agent.hostname,
        "capabilities": agent.capabilities,
        "status": agent.status(live).as_str(),
        "status_reason": reason,
        "reported_status": (!live.reported.is_empty()).then_some(&live.reported),
        "last_seen_at": (live.last_seen_ms > 0).then_some(Iso(live.last_seen_ms)),
        "created_at": Iso(agent.created_ms),
    })
}

/// GET /v1/operator/agents/{id}
pub async fn detail(
    State(app): State<App>,
    operator: SignedIn,
    agent_id: PathId,
) -> Result<Json<Value>, ApiError> {
    let agent_id = agent_id.get()?;
    let view = app.service.operator_view().await?;
    let no = operator.fleet();
    let (agent, live) = app
        .service
        .agent_of(&view, no, &agent_id)?
        .ok_or(Refusal::NotFound)?;
    let controls =
        control::list_rev(&view, no, agent.no, 50).map_err(crate::service::ServiceError::from)?;
    let controls: Vec<Value> = controls
        .iter()
        .map(|(seq, control)| {
            json!({
                "control_id": id::from_number("ctl_", *seq),
                "action": control.action,
                "reason": control.reason,
                "created_at": Iso(control.created_ms),
                "expires_at": control.expires_ms.map(Iso),
            })
        })
        .collect();
    let fleet_id = fleet_id(&view, no)?;
    Ok(Json(
        json!({ "agent": agent_view(&fleet_id, &agent, &live), "controls": controls }),
    ))
}

struct Order {
    reason: String,
    expires_ms: Option<u64>,
    redirect_agent_id: Option<String>,
}

fn read_order(given: &Given) -> Result<Order, ApiError> {
    let mut fields = given.fields()?;
    let order = Order {
        reason: fields.text("reason", 1000),
        expires_ms: fields.time("expires_at"),
        redirect_agent_id: fields.optional_text("redirect_agent_id", 255),
    };
    if order
        .expires_ms
        .is_some_and(|at| at <= crate::clock::now_ms())
    {
        fields.wrong("expires_at", "must be in the future");
    }
    fields.finish()?;
    Ok(order)
}

/// POST /v1/operator/agents/{id}/pause
pub async fn pause(
    State(app): State<App>,
    operator: SignedIn,
    agent_id: PathId,
    given: Given,
) -> Result<Json<Value>, ApiError> {
    let agent_id = agent_id.get()?;
    hold(app, operator, agent_id, given, HoldKind::Pause).await
}

/// POST /v1/operator/agents/{id}/quarantine
pub async fn quarantine(
    State(app): State<App>,
    operator: SignedIn,
    agent_id: PathId,
    given: Given,
) -> Result<Json<Value>, ApiError> {
    let agent_id = agent_id.get()?;
    hold(app, operator, agent_id, given, HoldKind::Quarantine).await
}

async fn hold(
    app: App,
    operator: SignedIn,
    agent_id: String,
    given: Given,
    kind: HoldKind,
) -> Result<Json<Value>, ApiError> {
    let order = read_order(&given)?;
    let request = OperatorRequest::Hold {
        agent_id,
        kind,
        reason: order.reason,
        expires_ms: order.expires_ms,
        redirect_agent_id: order.redirect_agent_id,
    };
    app.service.order(&operator.caller, request).await?;
    Ok(done())
}

/// POST /v1/operator/agents/{id}/resume
pub async fn resume(
    State(app): State<App>,
    operator: SignedIn,
    agent_id: PathId,
    given: Given,
) -> Result<Json<Value>, ApiError> {
    let agent_id = agent_id.get()?;
    let order = read_order(&given)?;
    let request = OperatorRequest::Resume {
        agent_id,
        reason: order.reason,
        expires_ms: order.expires_ms,
    };
    app.service.order(&operator.caller, request).await?;
    Ok(done())
}

/// POST /v1/operator/agents/{id}/revoke
pub async fn revoke(
    State(app): State<App>,
    operator: SignedIn,
    agent_id: PathId,
    given: Given,
) -> Result<Json<Value>, ApiError> {
    let agent_id = agent_id.get()?;
    let order = read_order(&given)?;
    let request = OperatorRequest::Revoke {
        agent_id,
        reason: order.reason,
    };
    app.service.order(&operator.caller, request).await?;
    Ok(done())
}
