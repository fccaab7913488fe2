//! Sign-in by an OpenID provider: to its page, and back.

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{AppendHeaders, IntoResponse, Response};
use utoipa_axum::routes;

use super::session::user_agent;
use super::signed_in::{cookie, secure, set_cookie};
use crate::api::client::Client;
use crate::api::code::Code;
use crate::api::fields::Invalid;
use crate::api::openapi::Routes;
use crate::api::query::pairs;
use crate::api::{ApiError, App};
use crate::clock::now_ms;
use crate::ingress::oidc::{COOKIE_BYTES_MAX, LIFETIME_MS, OidcError, shown};
use crate::service::ServiceError;
use crate::service::oidc::Returned;

/// The cookie that holds a sign-in under way.
const FLOW_COOKIE: &str = "ekho_oidc";
/// Where it is sent to.
const FLOW_PATH: &str = "/v1/operator/oidc";
/// Where whoever signed in goes, unless they said so.
const DEFAULT_RETURN: &str = "/ui/";
/// Longest code, state or issuer that is taken.
const PARAMETER_BYTES_MAX: usize = 4096;

pub fn router() -> Routes {
    Routes::default()
        .routes(routes!(login))
        .routes(routes!(callback))
}

/// The cookie that holds a sign-in under way, or with none ends it. Lax, not strict: it has to come
/// with the browser from the provider's page.
fn flow_cookie(base_url: &str, value: Option<&str>) -> String {
    let max_age_seconds = value.map_or(0, |_| LIFETIME_MS / 1000);
    let value = value.unwrap_or_default();
    let secure = secure(base_url);
    format!(
        "{FLOW_COOKIE}={value}; Path={FLOW_PATH}; HttpOnly; SameSite=Lax; Max-Age={max_age_seconds}{secure}"
    )
}

fn redirect(location: &str, cookies: Vec<String>) -> Result<Response, ApiError> {
    let location = HeaderValue::from_str(location)
        .map_err(|error| ServiceError::Internal(format!("a place to go to: {error}")))?;
    let cookies = cookies.into_iter().map(|cookie| (SET_COOKIE, cookie));
    let headers = [
        (LOCATION, location),
        // It holds what is good once.
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    let cookies = AppendHeaders(cookies.collect::<Vec<_>>());
    Ok((StatusCode::SEE_OTHER, headers, cookies).into_response())
}

/// Where a sign-in ends.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what is read")]
struct LoginParams {
    /// A path on this relay.
    #[param(min_length = 1, max_length = 512, pattern = "^/", default = "/ui/")]
    return_to: Option<String>,
}

/// Sends a browser to the OpenID provider to sign in, where one is configured.
#[utoipa::path(
    get,
    path = "/v1/operator/oidc/login",
    operation_id = "login_by_oidc",
    params(LoginParams),
    responses((
        status = 303,
        description = "To the provider's page.",
        headers(
            ("location" = String, description = "The provider's page."),
            ("set-cookie" = String, description = "The sign-in under way."),
        ),
    )),
    security(()),
    extensions(("x-codes" = json!([Code::NotFound, Code::OidcUnavailable]))),
)]
async fn login(State(app): State<App>, uri: Uri) -> Result<Response, ApiError> {
    let query = pairs(uri.query())?;
    let return_to = query
        .get("return_to")
        .map_or(DEFAULT_RETURN, String::as_str);
    let begun = app.service.begin_oidc(return_to).await?;
    let begun = begun
        .ok_or_else(|| Invalid::field("return_to", "a path on this relay, of at most 512 bytes"))?;
    let cookie = flow_cookie(&app.service.base_url, Some(&begun.cookie));
    redirect(&begun.url, vec![cookie])
}

/// What the provider sends a browser back with (RFC 6749, section 4.1.2).
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what is read")]
struct CallbackParams {
    #[param(max_length = 4096)]
    state: Option<String>,
    #[param(max_length = 4096)]
    code: Option<String>,
    /// In place of `code`: why there is none.
    #[param(max_length = 4096)]
    error: Option<String>,
    /// The provider, where it says so (RFC 9207).
    #[param(max_length = 4096)]
    iss: Option<String>,
}

/// Takes a browser back from the OpenID provider, and signs it in.
#[utoipa::path(
    get,
    path = "/v1/operator/oidc/callback",
    operation_id = "oidc_callback",
    params(CallbackParams),
    responses((
        status = 303,
        description = "Signed in.",
        headers(
            ("location" = String, description = "Where the sign-in was to end."),
            ("set-cookie" = String, description = "The session."),
        ),
    )),
    security(()),
    extensions(("x-codes" = json!([
        Code::NotFound, Code::OidcFlow, Code::OidcRefused, Code::OidcUnavailable,
        Code::NoOperator, Code::LimitReached,
    ]))),
)]
async fn callback(
    State(app): State<App>,
    client: Client,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, ApiError> {
    let mut query = pairs(uri.query())?;
    if let Some((name, _)) = query
        .iter()
        .find(|(_, value)| value.len() > PARAMETER_BYTES_MAX)
    {
        let why = format!("at most {PARAMETER_BYTES_MAX} bytes");
        return Err(Invalid::field(name, why).into());
    }
    let mut take = |name: &str| query.remove(name);
    let state = take("state").unwrap_or_default();
    let kept = cookie(&headers, FLOW_COOKIE, COOKIE_BYTES_MAX);
    app.service.check_oidc(kept.as_deref(), &state)?;
    if let Some(error) = take("error") {
        let why = format!("the provider says {}", shown(&error));
        return Err(OidcError::Refused(why).into());
    }
    let code = take("code").filter(|code| !code.is_empty());
    let returned = Returned {
        cookie: kept,
        state,
        code: code.ok_or_else(|| Invalid::field("code", "required"))?,
        issuer: take("iss"),
        address: client.address.to_string(),
        user_agent: user_agent(&headers),
    };
    let (signed_in, return_to) = app.service.end_oidc(returned).await?;
    let base_url = &app.service.base_url;
    let seconds = signed_in.expires_ms.saturating_sub(now_ms()) / 1000;
    let cookies = vec![
        set_cookie(base_url, Some((&signed_in.token, seconds))),
        flow_cookie(base_url, None),
    ];
    redirect(&return_to, cookies)
}
