//! Who acts as an operator: a bearer token in a header, or in the cookie of a browser.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method, header};
use ekho_storage::tables::FleetNo;
use ekho_storage::tables::operator::Scope;

use crate::api::code::Code;
use crate::api::fields::{Fields, Invalid};
use crate::api::observe::request_id;
use crate::api::openapi::shapes::Done;
use crate::api::signed::read_body;
use crate::api::{ApiError, App};
use crate::machine::access::Need;
use crate::service::ServiceError;
use crate::service::operators::Caller;

/// The cookie that holds a browser's session.
const COOKIE: &str = "ekho_session";
/// Longest bearer token that is looked at.
const TOKEN_BYTES_MAX: usize = 255;

/// A browser sends its cookie with requests that other sites make it send. This header they cannot
/// make it send: it needs the relay's leave (CORS), which is never given.
const CSRF_HEADER: HeaderName = HeaderName::from_static("x-ekho-csrf");

/// Somebody who acts as an operator. Reading takes the scope for it; everything else names its
/// own where it is ordered.
pub struct SignedIn {
    /// Who, and in which request.
    pub caller: Caller,
}

impl SignedIn {
    /// The fleet.
    pub fn fleet(&self) -> FleetNo {
        self.caller.principal.fleet
    }
}

impl SignedIn {
    /// Whoever it is, whatever they may do.
    async fn any(parts: &Parts, app: &App) -> Result<Self, ApiError> {
        let reads = parts.method == Method::GET;
        let token = match bearer(&parts.headers) {
            Some(token) => token,
            None => {
                let found = cookie(&parts.headers, COOKIE, TOKEN_BYTES_MAX);
                let token = found.ok_or(ServiceError::NotSignedIn)?;
                if !reads {
                    require_csrf_header(&parts.headers)?;
                }
                token
            }
        };
        let principal = app.service.principal(&token).await?;
        Ok(SignedIn {
            caller: Caller {
                principal,
                request_id: request_id().unwrap_or_default(),
            },
        })
    }
}

impl FromRequestParts<App> for SignedIn {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let signed_in = SignedIn::any(parts, app).await?;
        if parts.method == Method::GET {
            let principal = &signed_in.caller.principal;
            principal.require(Need::Scope(Scope::Read))?;
        }
        Ok(signed_in)
    }
}

/// Somebody who acts as an operator and need not be allowed to read: what they GET has a scope of
/// its own.
pub struct MayNotRead(pub SignedIn);

impl FromRequestParts<App> for MayNotRead {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        SignedIn::any(parts, app).await.map(MayNotRead)
    }
}

/// Refuses what another site may have made a browser send.
pub fn require_csrf_header(headers: &HeaderMap) -> Result<(), ApiError> {
    if headers.contains_key(&CSRF_HEADER) {
        return Ok(());
    }
    Err(ApiError::new(
        Code::Csrf,
        "what a browser sends by itself and changes something needs the header x-ekho-csrf",
    ))
}

/// A token in `Authorization`. A header that is there and no bearer token is not passed over.
fn bearer(headers: &HeaderMap) -> Option<String> {
    let header = headers.get(header::AUTHORIZATION)?;
    let token = header
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, token)| {
            scheme.eq_ignore_ascii_case("bearer") && token.len() <= TOKEN_BYTES_MAX
        })
        .map(|(_, token)| token.trim().to_string());
    Some(token.unwrap_or_default())
}

/// The value of a cookie, where it is there and not longer than it can be.
pub fn cookie(headers: &HeaderMap, wanted: &str, max_bytes: usize) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, value)| *name == wanted && (1..=max_bytes).contains(&value.len()))
        .map(|(_, value)| value.to_string())
}

/// What keeps a cookie off plain HTTP, where the relay is not reached over it.
pub fn secure(base_url: &str) -> &'static str {
    match base_url.starts_with("https:") {
        true => "; Secure",
        false => "",
    }
}

/// The cookie that begins a browser's session, or with no token ends it. Scripts cannot read it,
/// other sites cannot have it sent, and over HTTPS it never travels in the open.
pub fn set_cookie(base_url: &str, token: Option<(&str, u64)>) -> String {
    let secure = secure(base_url);
    let (value, max_age_seconds) = token.unwrap_or_default();
    format!(
        "{COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={max_age_seconds}{secure}"
    )
}

/// The body of a request, read within the limit once it is known who asks.
pub struct Given(Bytes);

impl Given {
    /// The body as an object, to be read field by field.
    pub fn fields(&self) -> Result<Fields<'_>, Invalid> {
        Fields::parse(&self.0)
    }

    /// The body as it came.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl FromRequest<App> for Given {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        read_body(&parts.headers, body, app.body_limit_bytes)
            .await
            .map(Given)
    }
}

/// The answer to what was done and has nothing more to say.
pub fn done() -> Json<Done> {
    Json(Done { ok: true })
}
