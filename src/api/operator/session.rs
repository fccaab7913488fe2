//! Sign-in, sign-out, sessions, passwords, API tokens, enrolment tokens.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use ekho_storage::tables::fleet;
use ekho_storage::tables::operator::{Scope, Scopes};
use ekho_storage::tables::session::{Origin, Session};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::Object;
use utoipa_axum::routes;
use zeroize::Zeroizing;

use super::operators::role;
use super::signed_in::set_cookie;
use super::totp::read_shown;
use super::{Done, Given, SignedIn, done};
use crate::api::client::Client;
use crate::api::code::Code;
use crate::api::fields::Fields;
use crate::api::openapi::Routes;
use crate::api::path::PathId;
use crate::api::{ApiError, App, words};
use crate::clock::{Iso, now_ms};
use crate::ingress::password::{MAX_BYTES, MIN_CHARS};
use crate::machine::command::OperatorRequest;
use crate::machine::outcome::{Outcome, Refusal};
use crate::service::ServiceError;
use crate::service::sessions::{SignIn, SignedIn as Begun};

pub fn router() -> Routes {
    Routes::default()
        .routes(routes!(login))
        .routes(routes!(logout))
        .routes(routes!(me))
        .routes(routes!(change_password))
        .routes(routes!(list, end_others))
        .routes(routes!(end))
        .routes(routes!(create_api_token))
        .routes(routes!(create_enrollment_token))
}

/// Describes a scope.
fn scope() -> Object {
    words::one_of(Scope::ALL.iter().map(|scope| scope.as_str()))
}

/// Describes a list of scopes.
fn scopes() -> utoipa::openapi::schema::Array {
    utoipa::openapi::schema::ArrayBuilder::new()
        .items(scope())
        .build()
}

/// Who signs in.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct Login {
    #[schema(min_length = 1, max_length = 255)]
    fleet_name: String,
    /// The case of letters does not count.
    #[schema(min_length = 1, max_length = 255)]
    email: String,
    #[schema(min_length = 8, max_length = 1024)]
    password: String,
    /// Of the authenticator, where the account has a second factor.
    #[schema(min_length = 1, max_length = 6)]
    totp_code: Option<String>,
    /// In place of `totp_code`, once.
    #[schema(min_length = 1, max_length = 64)]
    recovery_code: Option<String>,
    /// For browsers: the session comes in a cookie, the answer has no token.
    #[schema(default = false)]
    cookie: Option<bool>,
}

/// A session began.
#[derive(Serialize, ToSchema)]
pub struct SignedInView {
    fleet_id: String,
    expires_at: Iso,
    /// The bearer token; left out where a cookie was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    token: Option<String>,
}

/// Signs in.
#[utoipa::path(
    post,
    path = "/v1/operator/login",
    operation_id = "login",
    request_body = Login,
    responses((
        status = 200,
        body = SignedInView,
        headers(("set-cookie" = Option<String>, description = "The session, where it was asked for as a cookie.")),
    )),
    security(()),
    extensions(("x-codes" = json!([Code::InvalidCredentials, Code::LockedOut, Code::TotpRequired]))),
)]
async fn login(
    State(app): State<App>,
    client: Client,
    headers: HeaderMap,
    given: Given,
) -> Result<Response, ApiError> {
    let mut fields = given.fields()?;
    let in_cookie = fields.boolean("cookie", false);
    let fleet_name = fields.text("fleet_name", 255);
    let email = fields.text("email", 255);
    let password = read_password(&mut fields, "password");
    let shown = read_shown(&mut fields);
    fields.finish()?;
    let sign_in = SignIn {
        fleet_name,
        email,
        password,
        shown,
        address: client.address.to_string(),
        user_agent: user_agent(&headers),
    };
    let signed_in = app.service.sign_in(sign_in).await.map_err(wrong_password)?;
    Ok(begun(&app, &signed_in, in_cookie))
}

/// The answer to who signed in: a token, or for a browser a cookie.
pub fn begun(app: &App, signed_in: &Begun, in_cookie: bool) -> Response {
    let answer = Json(SignedInView {
        fleet_id: signed_in.fleet_id.clone(),
        expires_at: Iso(signed_in.expires_ms),
        token: (!in_cookie).then(|| signed_in.token.to_string()),
    });
    if !in_cookie {
        return answer.into_response();
    }
    let seconds = signed_in.expires_ms.saturating_sub(now_ms()) / 1000;
    let cookie = set_cookie(&app.service.base_url, Some((&signed_in.token, seconds)));
    ([(header::SET_COOKIE, cookie)], answer).into_response()
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
pub fn wrong_password(error: ServiceError) -> ApiError {
    match error {
        ServiceError::Refused(Refusal::InvalidCredentials) => {
            ApiError::new(Code::InvalidCredentials, "invalid credentials")
        }
        error => error.into(),
    }
}

/// What the program calls itself, shortened: shown to whom the session belongs.
pub fn user_agent(headers: &HeaderMap) -> String {
    let name = headers
        .get(header::USER_AGENT)
        .and_then(|value| value.to_str().ok());
    name.unwrap_or_default().chars().take(200).collect()
}

/// Who is asking.
#[derive(Serialize, ToSchema)]
struct Me {
    operator_id: String,
    fleet_id: String,
    fleet_name: String,
    /// Whether it is the fleet whose owners administer the relay.
    first_fleet: bool,
    email: String,
    #[schema(schema_with = role)]
    role: &'static str,
    /// What this session or API token may do.
    #[schema(schema_with = scopes)]
    scopes: Vec<&'static str>,
    session: SessionView,
}

/// Who is asking, and what they may do.
#[utoipa::path(
    get,
    path = "/v1/operator/me",
    operation_id = "me",
    responses((status = 200, body = Me)),
)]
async fn me(State(app): State<App>, operator: SignedIn) -> Result<Json<Me>, ApiError> {
    let principal = &operator.caller.principal;
    let found = fleet::get(&app.service.view(), principal.fleet).map_err(ServiceError::from)?;
    let fleet = found.ok_or(Refusal::NotFound)?;
    Ok(Json(Me {
        operator_id: principal.operator.id.clone(),
        first_fleet: fleet.no == fleet::FIRST,
        fleet_id: fleet.id,
        fleet_name: fleet.name,
        email: principal.operator.email.clone(),
        role: principal.operator.role.as_str(),
        scopes: names(&principal.scopes),
        session: session_view(&principal.session, true),
    }))
}

fn names(scopes: &Scopes) -> Vec<&'static str> {
    scopes.list().iter().map(|scope| scope.as_str()).collect()
}

/// A session or an API token.
#[derive(Serialize, ToSchema)]
pub struct SessionView {
    id: String,
    created_at: Iso,
    /// Null: it does not end by itself.
    expires_at: Option<Iso>,
    /// Whether it is the one that asks.
    current: bool,
    #[serde(flatten)]
    about: About,
}

/// What acts: somebody who signed in, or a program.
#[derive(Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum About {
    /// Somebody signed in.
    Login {
        /// password, oidc or tailnet.
        method: &'static str,
        address: String,
        user_agent: String,
    },
    /// A program has a token.
    ApiToken {
        name: String,
        #[schema(schema_with = scopes)]
        scopes: Vec<&'static str>,
    },
}

/// Sessions and API tokens, newest first.
#[derive(Serialize, ToSchema)]
pub struct SessionList {
    sessions: Vec<SessionView>,
}

/// The caller's own sessions and API tokens, newest first.
#[utoipa::path(
    get,
    path = "/v1/operator/sessions",
    operation_id = "list_sessions",
    responses((status = 200, body = SessionList)),
)]
async fn list(State(app): State<App>, operator: SignedIn) -> Result<Json<SessionList>, ApiError> {
    let operator_id = operator.caller.principal.operator.id.clone();
    sessions_of(&app, &operator, &operator_id).await
}

/// Sessions and API tokens of an operator, newest first.
pub async fn sessions_of(
    app: &App,
    operator: &SignedIn,
    operator_id: &str,
) -> Result<Json<SessionList>, ApiError> {
    let own = &operator.caller.principal.session.id;
    let sessions = app.service.sessions(operator.fleet(), operator_id).await?;
    let view = |session: &Session| session_view(session, session.id == *own);
    let sessions = sessions.iter().map(view).collect();
    Ok(Json(SessionList { sessions }))
}

fn session_view(session: &Session, current: bool) -> SessionView {
    let about = match &session.origin {
        Origin::Login {
            method,
            address,
            user_agent,
        } => About::Login {
            method: method.as_str(),
            address: address.clone(),
            user_agent: user_agent.clone(),
        },
        Origin::ApiToken { name, scopes } => About::ApiToken {
            name: name.clone(),
            scopes: names(scopes),
        },
    };
    SessionView {
        id: session.id.clone(),
        created_at: Iso(session.created_ms),
        expires_at: session.expires_ms.map(Iso),
        current,
        about,
    }
}

/// Ends one of the caller's sessions or API tokens.
#[utoipa::path(
    delete,
    path = "/v1/operator/sessions/{id}",
    operation_id = "end_session",
    responses((status = 200, body = Done)),
)]
async fn end(
    State(app): State<App>,
    operator: SignedIn,
    session_id: PathId,
) -> Result<Json<Done>, ApiError> {
    let request = OperatorRequest::EndSession {
        operator_id: None,
        session_id: session_id.get()?,
    };
    app.service.order(&operator.caller, request).await?;
    Ok(done())
}

/// Logins ended.
#[derive(Serialize, ToSchema)]
struct Ended {
    /// Always true.
    ok: bool,
    /// How many.
    ended: u64,
}

/// Ends the caller's other logins; API tokens stay.
#[utoipa::path(
    delete,
    path = "/v1/operator/sessions",
    operation_id = "end_other_sessions",
    responses((status = 200, body = Ended)),
)]
async fn end_others(State(app): State<App>, operator: SignedIn) -> Result<Json<Ended>, ApiError> {
    let request = OperatorRequest::EndOtherSessions;
    match app.service.order(&operator.caller, request).await? {
        Outcome::Updated(ended) => Ok(Json(Ended { ok: true, ended })),
        outcome => Err(ServiceError::unexpected(&outcome).into()),
    }
}

/// A password and the one that takes its place.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct PasswordChange {
    #[schema(min_length = 8, max_length = 1024)]
    current_password: String,
    #[schema(min_length = 8, max_length = 1024)]
    new_password: String,
}

/// Changes the caller's own password; their other logins end.
#[utoipa::path(
    post,
    path = "/v1/operator/password",
    operation_id = "change_password",
    request_body = PasswordChange,
    responses((status = 200, body = Done)),
    extensions(("x-codes" = json!([Code::InvalidCredentials, Code::LockedOut, Code::LoginOnly]))),
)]
async fn change_password(
    State(app): State<App>,
    operator: SignedIn,
    given: Given,
) -> Result<Json<Done>, ApiError> {
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

/// An API token to be.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct NewApiToken {
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// What it may do, as far as your role may.
    #[schema(schema_with = scopes)]
    scopes: Vec<String>,
    /// In the future; without it the token does not end by itself.
    expires_at: Option<Iso>,
}

/// An API token was made.
#[derive(Serialize, ToSchema)]
struct ApiTokenMade {
    id: String,
    /// Shown this once.
    token: String,
}

/// Makes an API token that acts for the caller.
#[utoipa::path(
    post,
    path = "/v1/operator/tokens",
    operation_id = "create_api_token",
    request_body = NewApiToken,
    responses((status = 201, body = ApiTokenMade)),
    extensions(("x-codes" = json!([Code::LimitReached, Code::LoginOnly]))),
)]
async fn create_api_token(
    State(app): State<App>,
    operator: SignedIn,
    given: Given,
) -> Result<(StatusCode, Json<ApiTokenMade>), ApiError> {
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
    let made = ApiTokenMade {
        id: made.id,
        token: made.token.to_string(),
    };
    Ok((StatusCode::CREATED, Json(made)))
}

/// Signs out: ends the session that asks, and its cookie.
#[utoipa::path(
    post,
    path = "/v1/operator/logout",
    operation_id = "logout",
    responses((
        status = 200,
        body = Done,
        headers(("set-cookie" = String, description = "Ends a browser's session.")),
    )),
)]
async fn logout(State(app): State<App>, operator: SignedIn) -> Result<Response, ApiError> {
    app.service.sign_out(&operator.caller).await?;
    let cookie = set_cookie(&app.service.base_url, None);
    Ok(([(header::SET_COOKIE, cookie)], done()).into_response())
}

/// A token that admits an agent.
#[derive(Serialize, ToSchema)]
struct EnrollmentToken {
    token: String,
    expires_in_seconds: u64,
}

/// Makes a token that admits one agent to the fleet, once.
#[utoipa::path(
    post,
    path = "/v1/operator/enrollment-tokens",
    operation_id = "create_enrollment_token",
    responses((status = 200, body = EnrollmentToken)),
)]
async fn create_enrollment_token(
    State(app): State<App>,
    operator: SignedIn,
) -> Result<Json<EnrollmentToken>, ApiError> {
    let token = app
        .service
        .create_enrollment_token(&operator.caller)
        .await?;
    Ok(Json(EnrollmentToken {
        token: token.to_string(),
        expires_in_seconds: app.service.settings()?.enrollment_token_ms / 1000,
    }))
}
