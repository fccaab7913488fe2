//! Operators: who they are, what they may do, and what acts for them.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use ekho_storage::tables::operator::{Operator, Role, Scope};
use serde_json::{Value, json};

use super::session::{read_password, sessions_of};
use super::{Given, SignedIn, done};
use crate::api::fields::Invalid;
use crate::api::path::PathId;
use crate::api::{ApiError, App};
use crate::clock::Iso;
use crate::machine::access::Need;
use crate::machine::command::OperatorRequest;

const ROLES: [(&str, Role); 3] = [
    ("owner", Role::Owner),
    ("operator", Role::Operator),
    ("viewer", Role::Viewer),
];

fn view(operator: &Operator) -> Value {
    json!({
        "id": operator.id,
        "email": operator.email,
        "role": operator.role.as_str(),
        "created_at": Iso(operator.created_ms),
    })
}

/// GET /v1/operator/operators
pub async fn list(State(app): State<App>, operator: SignedIn) -> Result<Json<Value>, ApiError> {
    let operators = app.service.operators(operator.fleet()).await?;
    let views: Vec<Value> = operators.iter().map(view).collect();
    Ok(Json(json!({ "operators": views })))
}

/// POST /v1/operator/operators
pub async fn create(
    State(app): State<App>,
    operator: SignedIn,
    given: Given,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let mut fields = given.fields()?;
    let email = fields.text("email", 255);
    let role = fields.choice("role", &ROLES, None);
    let password = read_password(&mut fields, "password");
    fields.finish()?;
    let role = role.ok_or_else(|| Invalid::field("role", "required"))?;
    let id = app
        .service
        .create_operator(&operator.caller, &email, password, role)
        .await?;
    Ok((StatusCode::CREATED, Json(json!({ "operator_id": id }))))
}

/// PUT /v1/operator/operators/{id}: what is given changes.
pub async fn change(
    State(app): State<App>,
    operator: SignedIn,
    operator_id: PathId,
    given: Given,
) -> Result<Json<Value>, ApiError> {
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

/// DELETE /v1/operator/operators/{id}
pub async fn delete(
    State(app): State<App>,
    operator: SignedIn,
    operator_id: PathId,
) -> Result<Json<Value>, ApiError> {
    let operator_id = operator_id.get()?;
    let request = OperatorRequest::DeleteOperator { operator_id };
    app.service.order(&operator.caller, request).await?;
    Ok(done())
}

/// GET /v1/operator/operators/{id}/sessions
pub async fn sessions(
    State(app): State<App>,
    operator: SignedIn,
    operator_id: PathId,
) -> Result<Json<Value>, ApiError> {
    let needs = Need::Scope(Scope::Operators);
    operator.caller.principal.require(needs)?;
    sessions_of(&app, &operator, &operator_id.get()?).await
}

/// DELETE /v1/operator/operators/{id}/sessions/{session}
pub async fn end_session(
    State(app): State<App>,
    operator: SignedIn,
    axum::extract::Path((operator_id, session_id)): axum::extract::Path<(String, String)>,
) -> Result<Json<Value>, ApiError> {
    let request = OperatorRequest::EndSession {
        operator_id: Some(operator_id),
        session_id,
    };
    app.service.order(&operator.caller, request).await?;
    Ok(done())
}
