//! A2A agents elsewhere that agents of the fleet call through the relay. To everything else of the
//! operator API each of them is an agent, which is paused, quarantined and revoked as any other.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode};
use ekho_storage::tables::a2a_remote::A2aRemote;
use ekho_storage::tables::agent::Agent;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;
use zeroize::Zeroizing;

use super::list::{ListParams, ListQuery, Paging};
use super::{Done, Given, SignedIn, done};
use crate::api::code::Code;
use crate::api::fields::Fields;
use crate::api::openapi::Routes;
use crate::api::path::PathId;
use crate::api::{ApiError, App};
use crate::clock::Iso;
use crate::service::remotes::NewRemote;

/// Longest address of a card.
const URL_MAX_BYTES: usize = 2048;
/// Longest credentials.
const SECRET_MAX_BYTES: usize = 4096;

pub fn router() -> Routes {
    Routes::default()
        .routes(routes!(list, create))
        .routes(routes!(change))
}

/// An agent elsewhere.
#[derive(Serialize, ToSchema)]
struct A2aRemoteView {
    id: String,
    name: String,
    card_url: String,
    /// Scheme of HTTP by which it is shown who calls.
    scheme: Option<String>,
    /// Whether credentials go with that.
    has_credentials: bool,
    created_by: String,
    created_at: Iso,
    revoked: bool,
}

/// Agents elsewhere.
#[derive(Serialize, ToSchema)]
struct A2aRemoteList {
    remotes: Vec<A2aRemoteView>,
    #[serde(flatten)]
    paging: Paging,
}

fn view(agent: &Agent, remote: &A2aRemote) -> A2aRemoteView {
    A2aRemoteView {
        id: agent.id.clone(),
        name: agent.display_name.clone(),
        card_url: remote.card_url.clone(),
        scheme: remote.scheme.clone(),
        has_credentials: remote.sealed.is_some(),
        created_by: remote.created_by.clone(),
        created_at: Iso(agent.created_ms),
        revoked: agent.revoked,
    }
}

/// A2A agents elsewhere, in the order in which they were registered.
#[utoipa::path(
    get,
    path = "/v1/operator/a2a/remotes",
    operation_id = "list_a2a_remotes",
    params(ListParams),
    responses((status = 200, body = A2aRemoteList)),
)]
async fn list(
    State(app): State<App>,
    operator: SignedIn,
    query: ListQuery,
) -> Result<Json<A2aRemoteList>, ApiError> {
    let after = query.cursor(|text| text.parse().ok())?.unwrap_or(0);
    let page = app
        .service
        .a2a_remotes(operator.fleet(), after, query.up_to())
        .await?;
    let rows = page.rows.iter().skip(query.skip());
    Ok(Json(A2aRemoteList {
        remotes: rows.map(|(agent, remote)| view(agent, remote)).collect(),
        paging: query.paging(page.next.map(|no| no.to_string())),
    }))
}

/// An agent elsewhere to be.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct NewA2aRemoteShape {
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// Where its card is.
    #[schema(min_length = 1, max_length = 2048)]
    card_url: String,
    /// Scheme of HTTP by which to show who calls, such as `Bearer`.
    #[schema(min_length = 1, max_length = 64)]
    scheme: Option<String>,
    /// What goes with the scheme.
    #[schema(min_length = 1, max_length = 4096)]
    credentials: Option<String>,
}

/// An agent elsewhere was registered.
#[derive(Serialize, ToSchema)]
struct A2aRemoteMade {
    agent_id: String,
}

fn read_remote(app: &App, fields: &mut Fields<'_>, name: String) -> NewRemote {
    let new = NewRemote {
        name,
        card_url: fields.text("card_url", URL_MAX_BYTES),
        scheme: fields.optional_text("scheme", 64),
        credentials: fields
            .optional_text("credentials", SECRET_MAX_BYTES)
            .map(Zeroizing::new),
    };
    if !new.card_url.is_empty()
        && let Err(why) = app.service.outward.check(&new.card_url)
    {
        fields.wrong("card_url", why.to_string());
    }
    let credentials = new.credentials.as_ref().map(|text| text.as_str());
    for (field, text) in [
        ("scheme", new.scheme.as_deref()),
        ("credentials", credentials),
    ] {
        if text.is_some_and(|text| HeaderValue::from_str(text).is_err()) {
            fields.wrong(field, "visible ASCII: it goes into a header");
        }
    }
    if new.credentials.is_some() && new.scheme.is_none() {
        fields.required("scheme");
    }
    new
}

/// Registers an A2A agent elsewhere. It is an agent of the fleet from then on.
#[utoipa::path(
    post,
    path = "/v1/operator/a2a/remotes",
    operation_id = "create_a2a_remote",
    request_body = NewA2aRemoteShape,
    responses((status = 201, body = A2aRemoteMade)),
    extensions(("x-codes" = json!([Code::LimitReached, Code::Conflict, Code::SecretChanged]))),
)]
async fn create(
    State(app): State<App>,
    operator: SignedIn,
    given: Given,
) -> Result<(StatusCode, Json<A2aRemoteMade>), ApiError> {
    let mut fields = given.fields()?;
    let name = fields.text("name", 200);
    let new = read_remote(&app, &mut fields, name);
    fields.finish()?;
    let agent_id = app.service.create_a2a_remote(&operator.caller, new).await?;
    Ok((StatusCode::CREATED, Json(A2aRemoteMade { agent_id })))
}

/// Where an agent elsewhere is, and what it is shown.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct A2aRemoteChange {
    /// Where its card is.
    #[schema(min_length = 1, max_length = 2048)]
    card_url: String,
    /// Scheme of HTTP by which to show who calls, such as `Bearer`.
    #[schema(min_length = 1, max_length = 64)]
    scheme: Option<String>,
    /// What goes with the scheme.
    #[schema(min_length = 1, max_length = 4096)]
    credentials: Option<String>,
}

/// Sets where an A2A agent elsewhere is, and what it is shown.
#[utoipa::path(
    put,
    path = "/v1/operator/a2a/remotes/{id}",
    operation_id = "change_a2a_remote",
    request_body = A2aRemoteChange,
    responses((status = 200, body = Done)),
    extensions(("x-codes" = json!([Code::SecretChanged]))),
)]
async fn change(
    State(app): State<App>,
    operator: SignedIn,
    agent_id: PathId,
    given: Given,
) -> Result<Json<Done>, ApiError> {
    let agent_id = agent_id.get()?;
    let mut fields = given.fields()?;
    let new = read_remote(&app, &mut fields, String::new());
    fields.finish()?;
    app.service
        .change_a2a_remote(&operator.caller, agent_id, new)
        .await?;
    Ok(done())
}
