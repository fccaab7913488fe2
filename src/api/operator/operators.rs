//! Operators: who they are, what they may do, and what acts for them.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use ekho_storage::tables::operator::{Operator, Role, Scope};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::Object;
use utoipa_axum::routes;

use super::list::{ListParams, ListQuery, Paging};
use super::session::{SessionList, read_password, sessions_of};
use super::{Done, Given, SignedIn, done};
use crate::api::code::Code;
use crate::api::fields::Invalid;
use crate::api::openapi::Routes;
use crate::api::path::{PathId, PathIds};
use crate::api::{ApiError, App, words};
use crate::clock::Iso;
use crate::machine::access::Need;
use crate::machine::command::OperatorRequest;

/// What operators may be.
pub const ROLES: [(&str, Role); 3] = [
    ("owner", Role::Owner),
    ("operator", Role::Operator),
    ("viewer", Role::Viewer),
];

pub fn router() -> Routes {
    Routes::default()
        .routes(routes!(list, create))
        .routes(routes!(change, delete))
        .routes(routes!(sessions))
        .routes(routes!(end_session))
}

/// Describes a role.
pub fn role() -> Object {
    words::choice(&ROLES)
}

/// An operator.
#[derive(Serialize, ToSchema)]
struct OperatorView {
    id: String,
    email: String,
    #[schema(schema_with = role)]
    role: &'static str,
    created_at: Iso,
}

/// Which operators.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what is read")]
struct Filters {
    /// Part of the email, in any case of letters.
    search: Option<String>,
}

/// Operators of the fleet.
#[derive(Serialize, ToSchema)]
struct OperatorList {
    operators: Vec<OperatorView>,
    total: usize,
    #[serde(flatten)]
    paging: Paging,
}

fn view(operator: &Operator) -> OperatorView {
    OperatorView {
        id: operator.id.clone(),
        email: operator.email.clone(),
        role: operator.role.as_str(),
        created_at: Iso(operator.created_ms),
    }
}

/// Operators of the fleet.
#[utoipa::path(
    get,
    path = "/v1/operator/operators",
    operation_id = "list_operators",
    params(ListParams, Filters),
    responses((status = 200, body = OperatorList)),
)]
async fn list(
    State(app): State<App>,
    operator: SignedIn,
    query: ListQuery,
) -> Result<Json<OperatorList>, ApiError> {
    let search = query.text("search").map(str::to_lowercase);
    let mut operators = app.service.operators(operator.fleet()).await?;
    operators.retain(|one| search.as_ref().is_none_or(|text| one.email.contains(text)));
    let (page, paging) = query.page_of(&operators, |one| &one.id)?;
    Ok(Json(OperatorList {
        operators: page.iter().map(view).collect(),
        total: operators.len(),
        paging,
    }))
}

/// An operator to be.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct NewOperator {
    /// The case of letters does not count.
    #[schema(min_length = 1, max_length = 255)]
    email: String,
    #[schema(min_length = 8, max_length = 1024)]
    password: String,
    #[schema(schema_with = role)]
    role: String,
}

/// An operator was made.
#[derive(Serialize, ToSchema)]
struct OperatorMade {
    operator_id: String,
}

/// Makes an operator.
#[utoipa::path(
    post,
    path = "/v1/operator/operators",
    operation_id = "create_operator",
    request_body = NewOperator,
    responses((status = 201, body = OperatorMade)),
    extensions(("x-codes" = json!([Code::Conflict, Code::LimitReached]))),
)]
async fn create(
    State(app): State<App>,
    operator: SignedIn,
    given: Given,
) -> Result<(StatusCode, Json<OperatorMade>), ApiError> {
    let mut fields = given.fields()?;
    let email = fields.text("email", 255);
    let role = fields.choice("role", &ROLES, None);
    let password = read_password(&mut fields, "password");
    fields.finish()?;
    let role = role.ok_or_else(|| Invalid::field("role", "required"))?;
    let operator_id = app
        .service
        .create_operator(&operator.caller, &email, password, role)
        .await?;
    Ok((StatusCode::CREATED, Json(OperatorMade { operator_id })))
}

/// What is to change of an operator.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct OperatorChange {
    #[schema(schema_with = role, required = false)]
    role: String,
    /// A new one ends their logins.
    #[schema(min_length = 8, max_length = 1024)]
    password: Option<String>,
}

/// Changes an operator: what is given changes.
#[utoipa::path(
    put,
    path = "/v1/operator/operators/{id}",
    operation_id = "change_operator",
    request_body = OperatorChange,
    responses((status = 200, body = Done)),
    extensions(("x-codes" = json!([Code::Conflict]))),
)]
async fn change(
    State(app): State<App>,
    operator: SignedIn,
    operator_id: PathId,
    given: Given,
) -> Result<Json<Done>, ApiError> {
    let operator_id = operator_id.get()?;
    let mut fields = given.fields()?;
    let role = match fields.has("role") {
        true => fields.choice("role", &ROLES, None),
        false => None,
    };
    let password = match fields.has("password") {
        true => Some(read_password(&mut fields, "password")),
        false => None,
    };
    fields.finish()?;
    app.service
        .change_operator(&operator.caller, operator_id, role, password)
        .await?;
    Ok(done())
}

/// Removes an operator; their sessions and API tokens end.
#[utoipa::path(
    delete,
    path = "/v1/operator/operators/{id}",
    operation_id = "delete_operator",
    responses((status = 200, body = Done)),
    extensions(("x-codes" = json!([Code::Conflict]))),
)]
async fn delete(
    State(app): State<App>,
    operator: SignedIn,
    operator_id: PathId,
) -> Result<Json<Done>, ApiError> {
    let operator_id = operator_id.get()?;
    let request = OperatorRequest::DeleteOperator { operator_id };
    app.service.order(&operator.caller, request).await?;
    Ok(done())
}

/// An operator's sessions and API tokens, newest first.
#[utoipa::path(
    get,
    path = "/v1/operator/operators/{id}/sessions",
    operation_id = "list_sessions_of_operator",
    responses((status = 200, body = SessionList)),
)]
async fn sessions(
    State(app): State<App>,
    operator: SignedIn,
    operator_id: PathId,
) -> Result<Json<SessionList>, ApiError> {
    let needs = Need::Scope(Scope::Operators);
    operator.caller.principal.require(needs)?;
    sessions_of(&app, &operator, &operator_id.get()?).await
}

/// Ends a session or an API token of an operator.
#[utoipa::path(
    delete,
    path = "/v1/operator/operators/{id}/sessions/{session}",
    operation_id = "end_session_of_operator",
    responses((status = 200, body = Done)),
)]
async fn end_session(
    State(app): State<App>,
    operator: SignedIn,
    ids: PathIds,
) -> Result<Json<Done>, ApiError> {
    let [operator_id, session_id] = ids.get()?;
    let request = OperatorRequest::EndSession {
        operator_id: Some(operator_id),
        session_id,
    };
    app.service.order(&operator.caller, request).await?;
    Ok(done())
}
