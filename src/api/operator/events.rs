//! What happened, and how things stand.

use axum::Json;
use axum::extract::State;
use ekho_storage::tables::fleet;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::SignedIn;
use super::agents::{AgentView, agent_view, fleet_id};
use super::audit::{EventView, event_view};
use super::license::{self, LicenseProblem};
use super::list::{ListParams, ListQuery, Paging, direction, number_of};
use crate::api::openapi::Routes;
use crate::api::path::PathId;
use crate::api::{ApiError, App};
use crate::machine::outcome::Refusal;
use crate::service::events::{Filter, PublicEvent};

/// What leaves out events.
const FILTERS: [&str; 7] = [
    "type",
    "actor_id",
    "resource_id",
    "conversation_id",
    "search",
    "dateFrom",
    "dateTo",
];

pub fn router() -> Routes {
    Routes::default()
        .routes(routes!(list))
        .routes(routes!(detail))
        .routes(routes!(overview))
}

/// Which events.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what is read")]
struct Filters {
    /// A type, such as `message.queued`, or the part of it before the dot.
    r#type: Option<String>,
    actor_id: Option<String>,
    resource_id: Option<String>,
    conversation_id: Option<String>,
    /// Part of the type, of an id or of the payload, in any case of letters.
    search: Option<String>,
    /// By default `desc`.
    #[param(rename = "sortOrder", schema_with = direction, required = false)]
    sort_order: String,
    /// Then or later.
    #[param(rename = "dateFrom", format = DateTime)]
    date_from: Option<String>,
    /// Then or earlier.
    #[param(rename = "dateTo", format = DateTime)]
    date_to: Option<String>,
}

/// Events.
#[derive(Serialize, ToSchema)]
struct EventList {
    events: Vec<EventView>,
    /// How many are kept; with filters, of those known of.
    total: u64,
    #[serde(flatten)]
    paging: Paging,
}

/// What happened, newest first unless asked for from the oldest on.
#[utoipa::path(
    get,
    path = "/v1/operator/events",
    operation_id = "list_events",
    params(ListParams, Filters),
    responses((status = 200, body = EventList)),
)]
async fn list(
    State(app): State<App>,
    operator: SignedIn,
    query: ListQuery,
) -> Result<Json<EventList>, ApiError> {
    let from = query.cursor(|text| number_of("evt_", text))?;
    query.choice("sortBy", &["created_at"])?;
    let descending = query.descending(true)?;
    let search = query.text("search").map(str::to_lowercase);
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
            && search.as_ref().is_none_or(|text| has(event, text))
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
    let place = (from, descending);
    let (page, all) = app
        .service
        .events(operator.fleet(), &tags, place, query.up_to(), wanted)
        .await?;
    let counted = FILTERS.iter().all(|name| query.text(name).is_none());
    let next = page.next.map(|seq| crate::id::from_number("evt_", seq));
    let shown = page.rows.iter().skip(query.skip());
    Ok(Json(EventList {
        events: shown.map(event_view).collect(),
        total: query.total(counted.then_some(all), page.rows.len(), &next),
        paging: query.paging(next),
    }))
}

/// One event.
#[derive(Serialize, ToSchema)]
struct OneEvent {
    event: EventView,
}

/// One event.
#[utoipa::path(
    get,
    path = "/v1/operator/events/{id}",
    operation_id = "get_event",
    responses((status = 200, body = OneEvent)),
)]
async fn detail(
    State(app): State<App>,
    operator: SignedIn,
    event_id: PathId,
) -> Result<Json<OneEvent>, ApiError> {
    let seq = number_of("evt_", &event_id.get()?).ok_or(Refusal::NotFound)?;
    let found = app.service.event(operator.fleet(), seq).await?;
    Ok(Json(OneEvent {
        event: event_view(&found),
    }))
}

/// Whether an event has a text, in lower case, in its type, its ids or what it says.
fn has(event: &PublicEvent, text: &str) -> bool {
    let ids = [event.actor_id.as_deref(), event.conversation_id.as_deref()];
    let (kind, payload) = (event.event.kind.as_str(), event.event.payload.as_str());
    let fixed = [kind, payload, event.resource_id.as_str()];
    let mut texts = fixed.into_iter().chain(ids.into_iter().flatten());
    texts.any(|one| one.to_lowercase().contains(text))
}

/// How things stand.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Overview {
    /// The 10 newest.
    agents: Vec<AgentView>,
    pending_approvals: u64,
    queued_messages: u64,
    dead_letter_count: u64,
    quarantined_agent_count: u64,
    #[serde(rename = "rateLimitViolationsLast24h")]
    rate_violations: u64,
    /// The 20 newest.
    recent_events: Vec<EventView>,
    /// What hooks and extensions add, by name; null of one that did not answer in its time.
    extensions: Map<String, Value>,
    license: OverviewLicense,
}

/// How the relay stands with its licence.
#[derive(Serialize, ToSchema)]
struct OverviewLicense {
    /// oss or pro.
    tier: &'static str,
    /// What is wrong with it, or soon will be.
    problems: Vec<LicenseProblem>,
}

/// How things stand.
#[utoipa::path(
    get,
    path = "/v1/operator/overview",
    operation_id = "get_overview",
    responses((status = 200, body = Overview)),
)]
async fn overview(State(app): State<App>, operator: SignedIn) -> Result<Json<Overview>, ApiError> {
    // At the same time: one that is slow costs no more than its time.
    let (overview, extensions) = tokio::join!(
        app.service.overview(operator.fleet()),
        app.service.extension_overview(operator.fleet()),
    );
    let (overview, extensions) = (overview?, extensions?);
    let fleet_id = fleet_id(&app.service.view(), operator.fleet())?;
    let agents = overview.agents.iter();
    let license = license::view(overview.license, operator.fleet() == fleet::FIRST);
    Ok(Json(Overview {
        agents: agents
            .map(|(agent, live)| agent_view(&fleet_id, agent, live))
            .collect(),
        pending_approvals: overview.pending_approvals,
        queued_messages: overview.queued,
        dead_letter_count: overview.dead_letters,
        quarantined_agent_count: overview.quarantined,
        rate_violations: overview.rate_violations,
        recent_events: overview.events.iter().map(event_view).collect(),
        license: OverviewLicense {
            tier: license.tier,
            problems: license.problems,
        },
        extensions,
    }))
}
