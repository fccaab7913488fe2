//! Agents as operators see and steer them.

use axum::Json;
use axum::extract::State;
use ekho_storage::tables::agent::{Agent, AgentLive, AgentStatus, AutoHold, HoldKind};
use ekho_storage::tables::agent_index::Order;
use ekho_storage::tables::control::Control;
use ekho_storage::tables::{control, fleet};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::Object;
use utoipa_axum::routes;

use super::audit::{EventView, event_view};
use super::list::{ListParams, ListQuery, Paging, direction};
use super::messages::{MessageHead, message_head};
use super::{Done, Given, SignedIn, done};
use crate::api::code::Code;
use crate::api::fields::Invalid;
use crate::api::openapi::Routes;
use crate::api::path::PathId;
use crate::api::{ApiError, App, words};
use crate::clock::Iso;
use crate::id;
use crate::machine::command::OperatorRequest;
use crate::machine::outcome::Refusal;
use crate::service::directory::Wanted;

/// Events shown with an agent.
const RECENT_EVENTS: usize = 20;
/// What a list can be sorted by.
const ORDERS: [&str; 4] = ["created_at", "display_name", "last_seen_at", "status"];
/// Agents asked for by their ids.
const IDS_MAX: usize = 100;
/// Labels of one agent.
const LABELS_MAX: usize = 50;
const LABEL_MAX_BYTES: usize = 64;

pub fn router() -> Routes {
    Routes::default()
        .routes(routes!(list))
        .routes(routes!(detail))
        .routes(routes!(rate_limits))
        .routes(routes!(label))
        .routes(routes!(pause))
        .routes(routes!(quarantine))
        .routes(routes!(resume))
        .routes(routes!(revoke))
}

/// Describes the status of an agent.
fn agent_status() -> Object {
    words::one_of(AgentStatus::ALL.map(AgentStatus::as_str))
}

fn order() -> Object {
    words::one_of(ORDERS)
}

/// An agent.
#[derive(Serialize, ToSchema)]
pub struct AgentView {
    id: String,
    fleet_id: String,
    display_name: String,
    runtime: String,
    hostname: Option<String>,
    capabilities: Vec<String>,
    /// What operators call it, for policies.
    labels: Vec<String>,
    #[schema(schema_with = agent_status)]
    status: &'static str,
    /// What the operator gave with the hold; `heartbeat_timeout`, `rate_limit_abuse` or
    /// `policy_violation` where the relay quarantined the agent by itself.
    status_reason: Option<String>,
    /// From its last heartbeat.
    reported_status: Option<String>,
    last_seen_at: Option<Iso>,
    created_at: Iso,
}

/// Which agents, and in which order.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query, rename_all = "camelCase")]
#[allow(dead_code, reason = "describes what is read")]
struct Filters {
    #[param(schema_with = agent_status, required = false)]
    status: String,
    /// Part of a name, in any case of letters, or a whole id.
    search: Option<String>,
    /// Up to 100 ids, with commas between them: these agents, in this order, in place of all other
    /// filters. Who is not known is left out.
    ids: Option<String>,
    /// Enrolled then or later.
    #[param(format = DateTime)]
    date_from: Option<String>,
    /// Enrolled then or earlier.
    #[param(format = DateTime)]
    date_to: Option<String>,
    /// By default `created_at`.
    #[param(schema_with = order, required = false)]
    sort_by: String,
    /// By default `asc`.
    #[param(schema_with = direction, required = false)]
    sort_order: String,
}

/// Agents.
#[derive(Serialize, ToSchema)]
struct AgentList {
    agents: Vec<AgentView>,
    /// How many there are; with `search`, `dateFrom` or `dateTo`, of those looked at.
    total: u64,
    #[serde(flatten)]
    paging: Paging,
}

/// Agents of the fleet.
///
/// With `search`, `dateFrom` or `dateTo`, one answer looks at 1,000 agents at most, of which it
/// sorts and counts those that match; `next_cursor` goes on behind them.
#[utoipa::path(
    get,
    path = "/v1/operator/agents",
    operation_id = "list_agents",
    params(ListParams, Filters),
    responses((status = 200, body = AgentList)),
)]
async fn list(
    State(app): State<App>,
    operator: SignedIn,
    query: ListQuery,
) -> Result<Json<AgentList>, ApiError> {
    let words = AgentStatus::ALL.map(AgentStatus::as_str);
    let status = query.choice("status", &words)?;
    let order = match query.choice("sortBy", &ORDERS)? {
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
        descending: query.descending(false)?,
        skip: query.skip(),
        limit: query.limit,
        cursor: query.cursor(|text| hex::decode(text).ok())?,
    };
    if let Some(ids) = query.text("ids") {
        return by_ids(&app, &operator, &query, ids).await;
    }
    let no = operator.fleet();
    let found = app.service.find_agents(no, wanted).await?;
    let fleet_id = fleet_id(&app.service.view(), no)?;
    let agents = found
        .agents
        .iter()
        .map(|(agent, live)| agent_view(&fleet_id, agent, live))
        .collect();
    Ok(Json(AgentList {
        agents,
        total: found.total,
        paging: query.paging(found.next.map(hex::encode)),
    }))
}

/// Agents that were named.
async fn by_ids(
    app: &App,
    operator: &SignedIn,
    query: &ListQuery,
    ids: &str,
) -> Result<Json<AgentList>, ApiError> {
    let ids: Vec<&str> = ids.split(',').collect();
    if ids.len() > IDS_MAX {
        return Err(Invalid::field("ids", format!("at most {IDS_MAX}")).into());
    }
    let no = operator.fleet();
    let view = app.service.operator_view().await?;
    let fleet_id = fleet_id(&view, no)?;
    let mut agents = Vec::with_capacity(ids.len());
    for id in ids {
        if let Some((agent, live)) = app.service.agent_of(&view, no, id)? {
            agents.push(agent_view(&fleet_id, &agent, &live));
        }
    }
    Ok(Json(AgentList {
        total: agents.len() as u64,
        agents,
        paging: query.paging(None),
    }))
}

/// The agent was refused for rate.
#[derive(Serialize, ToSchema)]
struct Violation {
    id: String,
    agent_id: String,
    created_at: Iso,
}

/// When an agent was refused for rate.
#[derive(Serialize, ToSchema)]
struct Violations {
    violations: Vec<Violation>,
}

/// When an agent was refused for rate, newest first, at least those of the last 24 hours.
#[utoipa::path(
    get,
    path = "/v1/operator/agents/{id}/rate-limits",
    operation_id = "list_rate_violations",
    responses((status = 200, body = Violations)),
)]
async fn rate_limits(
    State(app): State<App>,
    operator: SignedIn,
    agent_id: PathId,
) -> Result<Json<Violations>, ApiError> {
    let agent_id = agent_id.get()?;
    let found = app
        .service
        .rate_violations(operator.fleet(), &agent_id)
        .await?;
    let violations = found
        .iter()
        .map(|(at_ms, seq)| Violation {
            id: id::from_number("rlv_", *seq),
            agent_id: agent_id.clone(),
            created_at: Iso(*at_ms),
        })
        .collect();
    Ok(Json(Violations { violations }))
}

pub fn fleet_id(view: &ekho_storage::View, no: u32) -> Result<String, ApiError> {
    let fleet = fleet::get(view, no).map_err(crate::service::ServiceError::from)?;
    Ok(fleet.map(|fleet| fleet.id).unwrap_or_default())
}

pub fn agent_view(fleet_id: &str, agent: &Agent, live: &AgentLive) -> AgentView {
    let reason = match (&agent.hold, agent.auto_hold) {
        (Some(hold), _) => Some(hold.reason.as_str()),
        (None, auto_hold) => auto_hold.map(AutoHold::as_str),
    };
    AgentView {
        id: agent.id.clone(),
        fleet_id: fleet_id.into(),
        display_name: agent.display_name.clone(),
        runtime: agent.runtime.clone(),
        hostname: agent.hostname.clone(),
        capabilities: agent.capabilities.clone(),
        labels: agent.labels.clone(),
        status: agent.status(live).as_str(),
        status_reason: reason.map(str::to_string),
        reported_status: (!live.reported.is_empty()).then(|| live.reported.clone()),
        last_seen_at: (live.last_seen_ms > 0).then_some(Iso(live.last_seen_ms)),
        created_at: Iso(agent.created_ms),
    }
}

/// What an agent was told.
#[derive(Serialize, ToSchema)]
struct ControlView {
    control_id: String,
    action: String,
    reason: String,
    created_at: Iso,
    expires_at: Option<Iso>,
}

fn control_view((seq, control): &(u64, Control)) -> ControlView {
    ControlView {
        control_id: id::from_number("ctl_", *seq),
        action: control.action.clone(),
        reason: control.reason.clone(),
        created_at: Iso(control.created_ms),
        expires_at: control.expires_ms.map(Iso),
    }
}

/// An agent and what was about it lately, newest first.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct AgentDetail {
    agent: AgentView,
    controls: Vec<ControlView>,
    recent_events: Vec<EventView>,
    recent_messages: Vec<MessageHead>,
}

/// An agent, with the controls, events and messages about it.
#[utoipa::path(
    get,
    path = "/v1/operator/agents/{id}",
    operation_id = "get_agent",
    responses((status = 200, body = AgentDetail)),
)]
async fn detail(
    State(app): State<App>,
    operator: SignedIn,
    agent_id: PathId,
) -> Result<Json<AgentDetail>, ApiError> {
    let agent_id = agent_id.get()?;
    let view = app.service.operator_view().await?;
    let no = operator.fleet();
    let (agent, live) = app
        .service
        .agent_of(&view, no, &agent_id)?
        .ok_or(Refusal::NotFound)?;
    let controls =
        control::list_rev(&view, no, agent.no, 50).map_err(crate::service::ServiceError::from)?;
    let fleet_id = fleet_id(&view, no)?;
    let (events, messages) = app.service.recent(no, agent.no, RECENT_EVENTS).await?;
    Ok(Json(AgentDetail {
        agent: agent_view(&fleet_id, &agent, &live),
        controls: controls.iter().map(control_view).collect(),
        recent_events: events.iter().map(event_view).collect(),
        recent_messages: messages.iter().map(message_head).collect(),
    }))
}

/// A hold.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct Hold {
    #[schema(min_length = 1, max_length = 1000)]
    reason: String,
    /// In the future; the hold lifts then by itself.
    expires_at: Option<Iso>,
    /// As long as the hold lasts, new messages to the agent go to this one.
    #[schema(min_length = 1, max_length = 255)]
    redirect_agent_id: Option<String>,
}

/// The end of a hold.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct Release {
    #[schema(min_length = 1, max_length = 1000)]
    reason: String,
    /// In the future; until when the agent is shown the control.
    expires_at: Option<Iso>,
}

/// The end of an agent.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct Revocation {
    #[schema(min_length = 1, max_length = 1000)]
    reason: String,
}

/// All labels of an agent.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct Labels {
    /// At most 50 of up to 64 bytes.
    #[schema(max_items = 50)]
    labels: Vec<String>,
}

/// Labels an agent, in place of the labels it had. Policies know agents by them.
#[utoipa::path(
    put,
    path = "/v1/operator/agents/{id}/labels",
    operation_id = "label_agent",
    request_body = Labels,
    responses((status = 200, body = Done)),
)]
async fn label(
    State(app): State<App>,
    operator: SignedIn,
    agent_id: PathId,
    given: Given,
) -> Result<Json<Done>, ApiError> {
    let agent_id = agent_id.get()?;
    let mut fields = given.fields()?;
    let labels = fields.texts("labels", LABELS_MAX, LABEL_MAX_BYTES);
    if !fields.has("labels") {
        fields.required("labels");
    }
    fields.finish()?;
    let request = OperatorRequest::SetLabels { agent_id, labels };
    app.service.order(&operator.caller, request).await?;
    Ok(done())
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

/// Pauses an agent: no node accepts a message from it any more.
#[utoipa::path(
    post,
    path = "/v1/operator/agents/{id}/pause",
    operation_id = "pause_agent",
    request_body = Hold,
    responses((status = 200, body = Done)),
    extensions(("x-codes" = json!([Code::UnknownRecipient]))),
)]
async fn pause(
    State(app): State<App>,
    operator: SignedIn,
    agent_id: PathId,
    given: Given,
) -> Result<Json<Done>, ApiError> {
    let agent_id = agent_id.get()?;
    hold(app, operator, agent_id, given, HoldKind::Pause).await
}

/// Quarantines an agent: no node accepts a message from it any more.
#[utoipa::path(
    post,
    path = "/v1/operator/agents/{id}/quarantine",
    operation_id = "quarantine_agent",
    request_body = Hold,
    responses((status = 200, body = Done)),
    extensions(("x-codes" = json!([Code::UnknownRecipient]))),
)]
async fn quarantine(
    State(app): State<App>,
    operator: SignedIn,
    agent_id: PathId,
    given: Given,
) -> Result<Json<Done>, ApiError> {
    let agent_id = agent_id.get()?;
    hold(app, operator, agent_id, given, HoldKind::Quarantine).await
}

async fn hold(
    app: App,
    operator: SignedIn,
    agent_id: String,
    given: Given,
    kind: HoldKind,
) -> Result<Json<Done>, ApiError> {
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

/// Lifts every hold of an agent, also one that the relay set by itself.
#[utoipa::path(
    post,
    path = "/v1/operator/agents/{id}/resume",
    operation_id = "resume_agent",
    request_body = Release,
    responses((status = 200, body = Done)),
)]
async fn resume(
    State(app): State<App>,
    operator: SignedIn,
    agent_id: PathId,
    given: Given,
) -> Result<Json<Done>, ApiError> {
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

/// Revokes an agent, for good.
#[utoipa::path(
    post,
    path = "/v1/operator/agents/{id}/revoke",
    operation_id = "revoke_agent",
    request_body = Revocation,
    responses((status = 200, body = Done)),
)]
async fn revoke(
    State(app): State<App>,
    operator: SignedIn,
    agent_id: PathId,
    given: Given,
) -> Result<Json<Done>, ApiError> {
    let agent_id = agent_id.get()?;
    let order = read_order(&given)?;
    let request = OperatorRequest::Revoke {
        agent_id,
        reason: order.reason,
    };
    app.service.order(&operator.caller, request).await?;
    Ok(done())
}
