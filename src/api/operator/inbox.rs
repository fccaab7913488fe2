//! What waits for an agent, as operators see it.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::SignedIn;
use super::list::{ListParams, ListQuery, Paging, number_of};
use super::messages::{MessageHead, message_head};
use crate::api::openapi::Routes;
use crate::api::path::PathId;
use crate::api::{ApiError, App};
use crate::id;
use crate::service::waiting::Waiting;

/// Of cursors: places in an inbox.
const PREFIX: &str = "inb_";

pub fn router() -> Routes {
    Routes::default().routes(routes!(list))
}

/// A message that waits for an agent, without what it says.
#[derive(Serialize, ToSchema)]
struct WaitingView {
    #[serde(flatten)]
    head: MessageHead,
    /// How often it was handed out before.
    attempts: u32,
    last_failure_reason: Option<String>,
}

fn view(waiting: &Waiting) -> WaitingView {
    WaitingView {
        head: message_head(&waiting.message),
        attempts: waiting.delivery.attempts,
        last_failure_reason: waiting.delivery.last_failure_reason.clone(),
    }
}

/// Messages that wait for an agent.
#[derive(Serialize, ToSchema)]
struct WaitingList {
    messages: Vec<WaitingView>,
    /// How many there are.
    total: u64,
    #[serde(flatten)]
    paging: Paging,
}

/// What the agent's polls would hand out now, in their order.
#[utoipa::path(
    get,
    path = "/v1/operator/agents/{id}/inbox",
    operation_id = "list_waiting_messages",
    params(ListParams),
    responses((status = 200, body = WaitingList)),
)]
async fn list(
    State(app): State<App>,
    operator: SignedIn,
    agent_id: PathId,
    query: ListQuery,
) -> Result<Json<WaitingList>, ApiError> {
    let after = query.cursor(|text| number_of(PREFIX, text))?.unwrap_or(0);
    let wants = query.skip() + query.limit;
    let (page, total) = app
        .service
        .waiting(operator.fleet(), &agent_id.get()?, after, wants)
        .await?;
    let next_cursor = page.next.map(|seq| id::from_number(PREFIX, seq));
    Ok(Json(WaitingList {
        messages: page.rows.iter().skip(query.skip()).map(view).collect(),
        total,
        paging: query.paging(next_cursor),
    }))
}
