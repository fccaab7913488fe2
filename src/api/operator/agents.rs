//! Agents as operators see and steer them.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Query, State};
use ekho_storage::tables::agent::{self, Agent, AgentLive, AgentStatus, HoldKind};
use ekho_storage::tables::agent_index::Order;
use ekho_storage::tables::{control, fleet};
use serde_json::{Value, json};

use super::audit::event_view;
use super::list::ListQuery;
use super::messages::message_head;
use super::{Given, SignedIn, done};
use crate::api::path::PathId;
use crate::api::{ApiError, App};
use crate::clock::Iso;
use crate::id;
use crate::machine::command::OperatorRequest;
use crate::machine::outcome::Refusal;
use crate::service::directory::Wanted;

/// Events shown with an agent.
const RECENT_EVENTS: usize = 20;

/// GET /v1/operator/agents
pub async fn list(
    State(app): State<App>,
    operator: SignedIn,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<Value>, ApiError> {
    let query = ListQuery::read(query)?;
    let words = AgentStatus::ALL.map(AgentStatus::as_str);
    let status = query.choice("status", &words)?;
    let orders = ["created_at", "display_name", "last_seen_at", "status"];
    let order = match query.choice("sortBy", &orders)? {
        Some("display_name") => Order::Name,
        Some("last_seen_at") => Order::Seen,
        Some("status") => Order::Status,
        _ => Order::Created,
    };
    let wanted = Wanted {
        status: AgentStatus::ALL
            .into_iter()
            .find(|one| status == Some(one.as_str())),
        search: query.text("search").map(str::to_string),
        from_ms: query.time("dateFrom")?,
        to_ms: query.time("dateTo")?,
        order,
        descending: query.choice("sortOrder", &["asc", "desc"])? == Some("desc"),
        skip: query.skip(),
        limit: query.limit,
        cursor: query.cursor(|text| hex::decode(text).ok())?,
    };
    let no = operator.fleet();
    let found = app.service.find_agents(no, wanted).await?;
    let fleet_id = fleet_id(&app.service.view(), no)?;
    let agents = found
        .agents
        .iter()
        .map(|(agent, live)| agent_view(&fleet_id, agent, live))
        .collect();
    let mut answer = query.answer("agents", agents, found.next.map(hex::encode));
    answer["total"] = found.total.into();
    Ok(Json(answer))
}

/// GET /v1/operator/agents/{id}/rate-limits: when the agent was refused for rate, newest first.
pub async fn rate_limits(
    State(app): State<App>,
    operator: SignedIn,
    agent_id: PathId,
) -> Result<Json<Value>, ApiError> {
    let agent_id = agent_id.get()?;
    let found = app
        .service
        .rate_violations(operator.fleet(), &agent_id)
        .await?;
    let violations: Vec<Value> = found
        .iter()
        .map(|(at_ms, seq)| {
            json!({
                "id": id::from_number("rlv_", *seq),
                "agent_id": agent_id,
                "created_at": Iso(*at_ms),
            })
        })
        .collect();
    Ok(Json(json!({ "violations": violations })))
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
    let (events, messages) = app.service.recent(no, agent.no, RECENT_EVENTS).await?;
    let events: Vec<Value> = events.iter().map(event_view).collect();
    let messages: Vec<Value> = messages.iter().map(message_head).collect();
    Ok(Json(json!({
        "agent": agent_view(&fleet_id, &agent, &live),
        "controls": controls,
        "recentEvents": events,
        "recentMessages": messages,
    })))
}

struct Ordered {
    reason: String,
    expires_ms: Option<u64>,
    redirect_agent_id: Option<String>,
}

fn read_order(given: &Given) -> Result<Ordered, ApiError> {
    let mut fields = given.fields()?;
    let order = Ordered {
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
