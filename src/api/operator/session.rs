//! Sign-in, sign-out, sessions, passwords, API tokens, enrolment tokens.

use std::net::SocketAddr;

use axum::Json;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use ekho_storage::tables::operator::{Scope, Scopes};
use ekho_storage::tables::session::{Origin, Session};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::signed_in::set_cookie;
use super::{Given, SignedIn, done};
use crate::api::fields::Fields;
use crate::api::path::PathId;
use crate::api::{ApiError, App};
use crate::clock::{Iso, now_ms};
use crate::ingress::password::{MAX_BYTES, MIN_CHARS};
use crate::machine::command::OperatorRequest;
use crate::machine::outcome::{Outcome, Refusal};
use crate::service::ServiceError;
use crate::service::sessions::SignIn;

/// POST /v1/operator/login
pub async fn login(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    given: Given,
) -> Result<Response, ApiError> {
    let mut fields = given.fields()?;
    let in_cookie = fields.boolean("cookie", false);
    let fleet_name = fields.text("fleet_name", 255);
    let email = fields.text("email", 255);
    let password = read_password(&mut fields, "password");
    fields.finish()?;
    let sign_in = SignIn {
        fleet_name,
        email,
        password,
        address: peer.ip().to_string(),
        user_agent: user_agent(&headers),
    };
    let signed_in = app.service.sign_in(sign_in).await.map_err(wrong_password)?;
    let mut answer = json!({
        "fleet_id": signed_in.fleet_id,
        "expires_at": Iso(signed_in.expires_ms),
    });
    if !in_cookie {
        answer["token"] = signed_in.token.as_str().into();
        return Ok(Json(answer).into_response());
    }
    let seconds = signed_in.expires_ms.saturating_sub(now_ms()) / 1000;
    let cookie = set_cookie(&app.service.base_url, Some((&signed_in.token, seconds)));
    Ok(([(header::SET_COOKIE, cookie)], Json(answer)).into_response())
}

/// A password that is to be checked or set.
pub fn read_password(fields: &mut Fields<'_>, name: &str) -> Zeroizing<String> {
    let password = Zeroizing::new(fields.text(name, MAX_BYTES));
    if !password.is_empty() && password.chars().count() < MIN_CHARS {
        fields.wrong(name, format!("at least {MIN_CHARS} characters"));
    }
    password
}

/// The refusal has the words of the agent API, where an agent is refused.
fn wrong_password(error: ServiceError) -> ApiError {
    match error {
        ServiceError::Refused(Refusal::InvalidCredentials) => ApiError::new(
            StatusCode::UNAUTHORIZED,
            "invalid_credentials",
            "invalid credentials",
        ),
        error => error.into(),
    }
}

/// What the program calls itself, shortened: shown to whom the session belongs.
fn user_agent(headers: &HeaderMap) -> String {
    let name = headers
        .get(header::USER_AGENT)
        .and_then(|value| value.to_str().ok());
    name.unwrap_or_default().chars().take(200).collect()
}

/// GET /v1/operator/me
pub async fn me(operator: SignedIn) -> Json<Value> {
    let principal = &operator.caller.principal;
    let scopes: Vec<&str> = principal.scopes.list().iter().map(|s| s.as_str()).collect();
    Json(json!({
        "operator_id": principal.operator.id,
        "email": principal.operator.email,
        "role": principal.operator.role.as_str(),
        "scopes": scopes,
        "session": session_view(&principal.session, true),
    }))
}

/// GET /v1/operator/sessions: the caller's own.
pub async fn list(State(app): State<App>, operator: SignedIn) -> Result<Json<Value>, ApiError> {
    let operator_id = operator.caller.principal.operator.id.clone();
    sessions_of(&app, &operator, &operator_id).await
}

/// Sessions and API tokens of an operator, newest first.
pub async fn sessions_of(
    app: &App,
    operator: &SignedIn,
    operator_id: &str,
) -> Result<Json<Value>, ApiError> {
    let own = &operator.caller.principal.session.id;
    let sessions = app.service.sessions(operator.fleet(), operator_id).await?;
    let view = |session: &Session| session_view(session, session.id == *own);
    let sessions: Vec<Value> = sessions.iter().map(view).collect();
    Ok(Json(json!({ "sessions": sessions })))
}

fn session_view(session: &Session, current: bool) -> Value {
    let mut view = json!({
        "id": session.id,
        "created_at": Iso(session.created_ms),
        "expires_at": session.expires_ms.map(Iso),
        "current": current,
    });
    let about = match &session.origin {
        Origin::Login {
            address,
            user_agent,
        } => json!({ "kind": "login", "address": address, "user_agent": user_agent }),
        Origin::ApiToken { name, scopes } => {
            let scopes: Vec<&str> = scopes.list().iter().map(|scope| scope.as_str()).collect();
            json!({ "kind": "api_token", "name": name, "scopes": scopes })
        }
    };
    if let (Value::Object(view), Value::Object(about)) = (&mut view, about) {
        view.extend(about);
    }
    view
}

/// DELETE /v1/operator/sessions/{id}: ends one of the caller's sessions or API tokens.
pub async fn end(
    State(app): State<App>,
    operator: SignedIn,
    session_id: PathId,
) -> Result<Json<Value>, ApiError> {
    let request = OperatorRequest::EndSession {
        operator_id: None,
        session_id: session_id.get()?,
    };
    app.service.order(&operator.caller, request).await?;
    Ok(done())
}

/// DELETE /v1/operator/sessions: ends the caller's other logins.
pub async fn end_others(
    State(app): State<App>,
    operator: SignedIn,
) -> Result<Json<Value>, ApiError> {
    let request = OperatorRequest::EndOtherSessions;
    match app.service.order(&operator.caller, request).await? {
        Outcome::Updated(ended) => Ok(Json(json!({ "ok": true, "ended": ended }))),
        outcome => Err(ServiceError::unexpected(&outcome).into()),
    }
}

/// POST /v1/operator/password: changes the caller's own.
pub async fn change_password(
    State(app): State<App>,
    operator: SignedIn,
    given: Given,
) -> Result<Json<Value>, ApiError> {
    let mut fields = given.fields()?;
    let current = read_password(&mut fields, "current_password");
    let new = read_password(&mut fields, "new_password");
    fields.finish()?;
    app.service
        .change_password(&operator.caller, current, new)
        .await
        .map_err(wrong_password)?;
    Ok(done())
}

/// POST /v1/operator/tokens: an API token that acts for the caller.
pub async fn create_api_token(
    State(app): State<App>,
    operator: SignedIn,
    given: Given,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let mut fields = given.fields()?;
    let name = fields.text("name", 200);
    let mut scopes = Vec::new();
    for name in fields.texts("scopes", Scope::ALL.len(), 32) {
        match Scope::ALL.iter().find(|scope| scope.as_str() == name) {
            Some(scope) => scopes.push(*scope),
            None => fields.wrong("scopes", format!("there is no scope {name:?}")),
        }
    }
    if scopes.is_empty() {
        fields.required("scopes");
    }
    let expires_ms = fields.time("expires_at");
    if expires_ms.is_some_and(|at_ms| at_ms <= now_ms()) {
        fields.wrong("expires_at", "expected a time in the future");
    }
    fields.finish()?;
    let made = app
        .service
        .create_api_token(&operator.caller, name, Scopes::of(&scopes), expires_ms)
        .await?;
    Ok((
        StatusCode::CREATED,
        Json(json!({ "id": made.id, "token": made.token.as_str() })),
    ))
}

/// POST /v1/operator/logout
pub async fn logout(State(app): State<App>, operator: SignedIn) -> Result<Response, ApiError> {
    app.service.sign_out(&operator.caller).await?;
    let cookie = set_cookie(&app.service.base_url, None);
    Ok(([(header::SET_COOKIE, cookie)], Json(json!({ "ok": true }))).into_response())
}

/// POST /v1/operator/enrollment-tokens
pub async fn create_enrollment_token(
    State(app): State<App>,
    operator: SignedIn,
) -> Result<Json<Value>, ApiError> {
    let token = app
        .service
        .create_enrollment_token(&operator.caller)
        .await?;
    let seconds = app.service.settings()?.enrollment_token_ms / 1000;
    Ok(Json(
        json!({ "token": token.as_str(), "expires_in_seconds": seconds }),
    ))
}
