//! A2A clients that cannot sign: identities with bearer tokens. To everything else of the operator
//! API each of them is an agent, which is paused, quarantined and revoked as any other.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use ekho_storage::tables::a2a_client::A2aClient;
use ekho_storage::tables::agent::Agent;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::list::{ListParams, ListQuery, Paging};
use super::{Done, Given, SignedIn, done};
use crate::api::code::Code;
use crate::api::fields::Fields;
use crate::api::openapi::Routes;
use crate::api::path::{PathId, PathIds};
use crate::api::{ApiError, App};
use crate::clock::{Iso, now_ms};
use crate::machine::command::OperatorRequest;
use crate::service::a2a_clients::{MadeToken, NewClient};

/// Agents that a client may be kept to.
const AGENTS_MAX: usize = 1000;
/// Messages of a window.
const RATE_MAX: u64 = 1_000_000;

pub fn router() -> Routes {
    Routes::default()
        .routes(routes!(list, create))
        .routes(routes!(get, change))
        .routes(routes!(create_token))
        .routes(routes!(revoke_token))
}

/// A client.
#[derive(Serialize, ToSchema)]
struct A2aClientView {
    /// As an agent's.
    id: String,
    name: String,
    /// The agents that it may reach; empty for all.
    agents: Vec<String>,
    /// Messages of a window; null for as many as every agent.
    rate_max_messages: Option<u64>,
    tokens: Vec<A2aTokenView>,
    created_by: String,
    created_at: Iso,
    revoked: bool,
}

/// A token of a client, without what it is.
#[derive(Serialize, ToSchema)]
struct A2aTokenView {
    id: String,
    created_at: Iso,
    expires_at: Option<Iso>,
    expired: bool,
}

/// Clients of the fleet.
#[derive(Serialize, ToSchema)]
struct A2aClientList {
    clients: Vec<A2aClientView>,
    #[serde(flatten)]
    paging: Paging,
}

/// A token was made.
#[derive(Serialize, ToSchema)]
struct A2aTokenMade {
    client_id: String,
    token_id: String,
    /// Told once.
    token: String,
}

fn view(agent: &Agent, client: &A2aClient) -> A2aClientView {
    let now = now_ms();
    A2aClientView {
        id: agent.id.clone(),
        name: agent.display_name.clone(),
        agents: client.agents.clone(),
        rate_max_messages: client.rate_max_messages,
        tokens: client
            .tokens
            .iter()
            .map(|token| A2aTokenView {
                id: token.id.clone(),
                created_at: Iso(token.created_ms),
                expires_at: token.expires_ms.map(Iso),
                expired: token.expires_ms.is_some_and(|until| until <= now),
            })
            .collect(),
        created_by: client.created_by.clone(),
        created_at: Iso(agent.created_ms),
        revoked: agent.revoked,
    }
}

fn made(made: MadeToken) -> (StatusCode, Json<A2aTokenMade>) {
    let body = A2aTokenMade {
        client_id: made.client_id,
        token_id: made.token_id,
        token: made.token.to_string(),
    };
    (StatusCode::CREATED, Json(body))
}

/// A2A clients of the fleet, in the order in which they were made.
#[utoipa::path(
    get,
    path = "/v1/operator/a2a/clients",
    operation_id = "list_a2a_clients",
    params(ListParams),
    responses((status = 200, body = A2aClientList)),
)]
async fn list(
    State(app): State<App>,
    operator: SignedIn,
    query: ListQuery,
) -> Result<Json<A2aClientList>, ApiError> {
    let after = query.cursor(|text| text.parse().ok())?.unwrap_or(0);
    let page = app
        .service
        .a2a_clients(operator.fleet(), after, query.up_to())
        .await?;
    let rows = page.rows.iter().skip(query.skip());
    Ok(Json(A2aClientList {
        clients: rows.map(|(agent, client)| view(agent, client)).collect(),
        paging: query.paging(page.next.map(|no| no.to_string())),
    }))
}

/// A client to be.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct NewA2aClientShape {
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// The agents that it may reach; all where it is empty or left out.
    #[schema(max_items = 1000)]
    agents: Option<Vec<String>>,
    /// Messages of a window; as many as every agent where it is left out.
    #[schema(minimum = 1, maximum = 1_000_000)]
    rate_max_messages: Option<u64>,
    /// When its token ends; never where it is left out.
    expires_at: Option<Iso>,
}

fn read_agents(fields: &mut Fields<'_>) -> Vec<String> {
    fields.texts("agents", AGENTS_MAX, 255)
}

/// Makes an A2A client with its first token.
#[utoipa::path(
    post,
    path = "/v1/operator/a2a/clients",
    operation_id = "create_a2a_client",
    request_body = NewA2aClientShape,
    responses((status = 201, body = A2aTokenMade)),
    extensions(("x-codes" = json!([
        Code::UnknownRecipient, Code::LimitReached, Code::Conflict
    ]))),
)]
async fn create(
    State(app): State<App>,
    operator: SignedIn,
    given: Given,
) -> Result<(StatusCode, Json<A2aTokenMade>), ApiError> {
    let mut fields = given.fields()?;
    let new = NewClient {
        name: fields.text("name", 200),
        agents: read_agents(&mut fields),
        rate_max_messages: fields.number("rate_max_messages", 1..=RATE_MAX),
        expires_ms: fields.time("expires_at"),
    };
    fields.finish()?;
    let token = app.service.create_a2a_client(&operator.caller, new).await?;
    Ok(made(token))
}

/// An A2A client.
#[utoipa::path(
    get,
    path = "/v1/operator/a2a/clients/{id}",
    operation_id = "get_a2a_client",
    responses((status = 200, body = A2aClientView)),
)]
async fn get(
    State(app): State<App>,
    operator: SignedIn,
    client_id: PathId,
) -> Result<Json<A2aClientView>, ApiError> {
    let (agent, client) = app
        .service
        .a2a_client(operator.fleet(), &client_id.get()?)
        .await?;
    Ok(Json(view(&agent, &client)))
}

/// What a client may reach, and how often.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct A2aClientChange {
    /// The agents that it may reach; all where it is empty or left out.
    #[schema(max_items = 1000)]
    agents: Option<Vec<String>>,
    /// Messages of a window; as many as every agent where it is left out.
    #[schema(minimum = 1, maximum = 1_000_000)]
    rate_max_messages: Option<u64>,
}

/// Sets what an A2A client may reach, and how often.
#[utoipa::path(
    put,
    path = "/v1/operator/a2a/clients/{id}",
    operation_id = "change_a2a_client",
    request_body = A2aClientChange,
    responses((status = 200, body = Done)),
    extensions(("x-codes" = json!([Code::UnknownRecipient]))),
)]
async fn change(
    State(app): State<App>,
    operator: SignedIn,
    client_id: PathId,
    given: Given,
) -> Result<Json<Done>, ApiError> {
    let client_id = client_id.get()?;
    let mut fields = given.fields()?;
    let request = OperatorRequest::ChangeA2aClient {
        client_id,
        agents: read_agents(&mut fields),
        rate_max_messages: fields.number("rate_max_messages", 1..=RATE_MAX),
    };
    fields.finish()?;
    app.service.order(&operator.caller, request).await?;
    Ok(done())
}

/// A token to be.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct NewA2aTokenShape {
    /// When it ends; never where it is left out.
    expires_at: Option<Iso>,
}

/// Gives an A2A client another token.
#[utoipa::path(
    post,
    path = "/v1/operator/a2a/clients/{id}/tokens",
    operation_id = "create_a2a_token",
    request_body = NewA2aTokenShape,
    responses((status = 201, body = A2aTokenMade)),
    extensions(("x-codes" = json!([Code::LimitReached]))),
)]
async fn create_token(
    State(app): State<App>,
    operator: SignedIn,
    client_id: PathId,
    given: Given,
) -> Result<(StatusCode, Json<A2aTokenMade>), ApiError> {
    let client_id = client_id.get()?;
    let mut fields = given.fields()?;
    let expires_ms = fields.time("expires_at");
    fields.finish()?;
    let token = app
        .service
        .create_a2a_token(&operator.caller, client_id, expires_ms)
        .await?;
    Ok(made(token))
}

/// Takes a token of an A2A client back.
#[utoipa::path(
    delete,
    path = "/v1/operator/a2a/clients/{id}/tokens/{token_id}",
    operation_id = "revoke_a2a_token",
    responses((status = 200, body = Done)),
)]
async fn revoke_token(
    State(app): State<App>,
    operator: SignedIn,
    ids: PathIds,
) -> Result<Json<Done>, ApiError> {
    let [client_id, token_id] = ids.get()?;
    let request = OperatorRequest::RevokeA2aToken {
        client_id,
        token_id,
    };
    app.service.order(&operator.caller, request).await?;
    Ok(done())
}
