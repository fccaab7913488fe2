//! Messages of one agent, page by page.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::Object;
use utoipa_axum::routes;

use super::SignedIn;
use super::list::{ListParams, ListQuery, Paging, number_of};
use super::messages::{MessageHead, message_head};
use crate::api::code::Code;
use crate::api::fields::Invalid;
use crate::api::openapi::Routes;
use crate::api::{ApiError, App, words};
use crate::id;
use crate::service::agent_messages::{AgentMessage, Direction};

/// Which way a message went.
const DIRECTIONS: [&str; 2] = ["sent", "received"];

pub fn router() -> Routes {
    Routes::default().routes(routes!(list))
}

fn direction() -> Object {
    words::one_of(DIRECTIONS)
}

/// Whose messages.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what is read")]
struct Filters {
    /// The agent.
    agent_id: String,
    /// Only those that it sent, or that were meant for it.
    #[param(schema_with = direction, required = false)]
    direction: String,
}

/// A message that an agent sent, or that was meant for it.
#[derive(Serialize, ToSchema)]
struct AgentMessageView {
    #[serde(flatten)]
    head: MessageHead,
    #[schema(schema_with = direction)]
    direction: &'static str,
    /// What became of it at this agent, or at the only one that it was sent to; null for one that
    /// was sent to several.
    status: Option<&'static str>,
    /// Agents that it was meant for.
    delivery_count: u32,
    /// Of those, the ones where it has not ended.
    open_deliveries: u32,
}

fn view(found: &AgentMessage) -> AgentMessageView {
    AgentMessageView {
        head: message_head(&found.message),
        direction: match found.direction {
            Direction::Sent => "sent",
            Direction::Received => "received",
        },
        status: found.status,
        delivery_count: found.message.delivery_count,
        open_deliveries: found.open,
    }
}

/// Messages of an agent.
#[derive(Serialize, ToSchema)]
struct AgentMessages {
    messages: Vec<AgentMessageView>,
    #[serde(flatten)]
    paging: Paging,
}

/// Messages that an agent sent or that were meant for it, newest first.
#[utoipa::path(
    get,
    path = "/v1/operator/messages",
    operation_id = "list_messages_of_agent",
    params(ListParams, Filters),
    responses((status = 200, body = AgentMessages)),
    extensions(("x-codes" = json!([Code::NotFound]))),
)]
async fn list(
    State(app): State<App>,
    operator: SignedIn,
    query: ListQuery,
) -> Result<Json<AgentMessages>, ApiError> {
    let before = query.cursor(|text| number_of("evt_", text))?;
    let direction = match query.choice("direction", &DIRECTIONS)? {
        Some("sent") => Some(Direction::Sent),
        Some(_) => Some(Direction::Received),
        None => None,
    };
    let agent_id = query
        .text("agent_id")
        .ok_or_else(|| Invalid::field("agent_id", "required"))?;
    let page = app
        .service
        .messages_of(
            operator.fleet(),
            agent_id,
            direction,
            before.unwrap_or(u64::MAX),
            query.up_to(),
        )
        .await?;
    let next = page.next.map(|seq| id::from_number("evt_", seq));
    Ok(Json(AgentMessages {
        messages: page.rows.iter().skip(query.skip()).map(view).collect(),
        paging: query.paging(next),
    }))
}
