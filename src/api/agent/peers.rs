//! Who else is in the fleet, for agents.

use axum::Json;
use axum::extract::State;
use ekho_storage::tables::agent::AgentStatus;
use ekho_storage::tables::agent_index::Order;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::Object;
use utoipa_axum::routes;

use crate::api::list::{ListParams, ListQuery, Paging};
use crate::api::openapi::Routes;
use crate::api::signed::Signed;
use crate::api::{ApiError, App, words};
use crate::service::directory::Wanted;

/// How often one answer looks on where those it found were revoked.
const LOOKS: usize = 10;

pub fn router() -> Routes {
    Routes::default().routes(routes!(list))
}

/// Describes the status of an agent that can be written to.
fn status() -> Object {
    words::one_of(AgentStatus::ALL.map(AgentStatus::as_str))
}

/// An agent, as others of its fleet see it.
#[derive(Serialize, ToSchema)]
struct PeerView {
    id: String,
    display_name: String,
    runtime: String,
    /// What it said at enrolment that it can do.
    capabilities: Vec<String>,
    #[schema(schema_with = status)]
    status: &'static str,
}

/// Agents of the fleet.
#[derive(Serialize, ToSchema)]
struct Peers {
    /// The caller is one of them; whoever was revoked is not.
    agents: Vec<PeerView>,
    #[serde(flatten)]
    paging: Paging,
}

/// Which agents.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what is read")]
struct Filters {
    /// Part of a name, in any case of letters, or a whole id.
    search: Option<String>,
}

/// Agents of the fleet, by their names.
#[utoipa::path(
    get,
    path = "/v1/agents",
    operation_id = "list_peers",
    params(ListParams, Filters),
    responses((status = 200, body = Peers)),
)]
async fn list(
    State(app): State<App>,
    query: ListQuery,
    signed: Signed,
) -> Result<Json<Peers>, ApiError> {
    let mut wanted = Wanted {
        status: None,
        search: query.text("search").map(str::to_string),
        from_ms: None,
        to_ms: None,
        order: Order::Name,
        descending: false,
        skip: query.skip(),
        limit: query.limit,
        cursor: query.cursor(|text| hex::decode(text).ok())?,
    };
    let view = app.service.read(&signed.caller).await?;
    let fleet = signed.caller.agent.fleet;
    let mut peers = Vec::new();
    for _ in 0..LOOKS {
        let found = app.service.look_for_agents(&view, fleet, &wanted)?;
        let live = found.agents.iter().filter(|(agent, _)| !agent.revoked);
        peers.extend(live.map(|(agent, live)| PeerView {
            id: agent.id.clone(),
            display_name: agent.display_name.clone(),
            runtime: agent.runtime.clone(),
            capabilities: agent.capabilities.clone(),
            status: agent.status(live).as_str(),
        }));
        (wanted.skip, wanted.cursor) = (0, found.next);
        wanted.limit = query.limit.saturating_sub(peers.len());
        if wanted.limit == 0 || wanted.cursor.is_none() {
            break;
        }
    }
    Ok(Json(Peers {
        agents: peers,
        paging: query.paging(wanted.cursor.map(hex::encode)),
    }))
}
