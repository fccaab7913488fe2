//! The ways to sign in that this relay offers, and the one that takes no secret: by the tailnet.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::Given;
use super::session::{SignedInView, begun, user_agent};
use super::signed_in::require_csrf_header;
use crate::api::client::{Client, tailnet_required};
use crate::api::code::Code;
use crate::api::openapi::Routes;
use crate::api::{ApiError, App};
use crate::machine::outcome::Refusal;

pub fn router() -> Routes {
    Routes::default()
        .routes(routes!(methods))
        .routes(routes!(login))
}

/// The ways to sign in.
#[derive(Serialize, ToSchema)]
struct SignInMethods {
    /// With email and password.
    password: bool,
    /// At `/v1/operator/oidc/login`.
    oidc: bool,
    /// By the tailnet.
    tailnet: bool,
    /// Whom the tailnet names in this request, where they may sign in by it.
    tailnet_login: Option<String>,
}

/// The ways to sign in, for whoever did not yet.
#[utoipa::path(
    get,
    path = "/v1/operator/sign-in-methods",
    operation_id = "sign_in_methods",
    responses((status = 200, body = SignInMethods)),
    security(()),
)]
async fn methods(State(app): State<App>, client: Client) -> Json<SignInMethods> {
    let tailnet = app.tailnet.signs_in;
    Json(SignInMethods {
        password: true,
        oidc: app.service.oidc.is_some(),
        tailnet,
        tailnet_login: client.tailnet_login.filter(|_| tailnet),
    })
}

/// How somebody signs in whom the tailnet names.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct TailnetLogin {
    /// May be left out where there is one fleet.
    #[schema(min_length = 1, max_length = 255)]
    fleet_name: Option<String>,
    /// For browsers: the session comes in a cookie, the answer has no token.
    #[schema(default = false)]
    cookie: Option<bool>,
}

/// Signs in whom the tailnet names, without a password, where that is allowed.
#[utoipa::path(
    post,
    path = "/v1/operator/login/tailnet",
    operation_id = "login_by_tailnet",
    request_body = TailnetLogin,
    params(("x-ekho-csrf" = String, Header, description = "Any value: other sites cannot send it.")),
    responses((
        status = 200,
        body = SignedInView,
        headers(("set-cookie" = Option<String>, description = "The session, where it was asked for as a cookie.")),
    )),
    security(()),
    extensions(("x-codes" = json!([Code::NotFound, Code::Csrf, Code::NoOperator]))),
)]
async fn login(
    State(app): State<App>,
    client: Client,
    headers: HeaderMap,
    given: Given,
) -> Result<Response, ApiError> {
    let mut fields = given.fields()?;
    let in_cookie = fields.boolean("cookie", false);
    let fleet_name = fields.optional_text("fleet_name", 255);
    fields.finish()?;
    if !app.tailnet.signs_in {
        return Err(Refusal::NotFound.into());
    }
    // A browser comes as the same person wherever another site sends it.
    require_csrf_header(&headers)?;
    let login = client.tailnet_login.ok_or_else(tailnet_required)?;
    let address = client.address.to_string();
    let signed_in = app
        .service
        .sign_in_by_tailnet(fleet_name.as_deref(), login, address, user_agent(&headers))
        .await?;
    Ok(begun(&app, &signed_in, in_cookie))
}
