//! Who asks, in which version of the protocol, and whom.

use axum::body::Body;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri};
use bytes::Bytes;

use super::failure::Failure;
use crate::api::query::pairs;
use crate::api::signed::{read_body, received};
use crate::api::{ApiError, App};
use crate::ingress::authenticate::authenticate;
use crate::service::ServiceError;
use crate::service::tasks::Party;

/// The header that names the version (3.6), which may be a parameter of the query as well.
const VERSION: &str = "a2a-version";

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// 0.3, which clients speak that name none.
    V03,
    /// 1.0.
    V1,
}

impl Version {
    /// The version that the client names; an error where it is none of these.
    pub fn of(headers: &HeaderMap, uri: &Uri) -> Result<Self, Failure> {
        let header = headers.get(VERSION).map(|value| value.to_str());
        let named = match header {
            Some(Ok(text)) => text.trim().to_string(),
            Some(Err(_)) => "?".into(),
            None => {
                let pairs = pairs(uri.query()).unwrap_or_default();
                let mut pairs = pairs.into_iter();
                let found = pairs.find(|(name, _)| name.eq_ignore_ascii_case(VERSION));
                found.map(|(_, value)| value).unwrap_or_default()
            }
        };
        match named.as_str() {
            "" | "0.3" => Ok(Version::V03),
            "1.0" => Ok(Version::V1),
            other => Err(Failure::version(other, "1.0, 0.3")),
        }
    }
}

/// A request whose sender is known.
#[derive(Clone)]
pub struct Ask {
    /// What answers it.
    pub app: App,
    /// Who asks.
    pub by: Party,
    /// Whom the address names; empty where it names nobody.
    pub tenant: String,
}

/// Reads the body and finds out who asks, by token or by signature.
pub async fn identify(app: &App, parts: &Parts, body: Body) -> Result<(Party, Bytes), Failure> {
    let body = read_body(&parts.headers, body, app.body_limit_bytes).await?;
    let party = who(app, parts, &body).await.map_err(ApiError::from)?;
    Ok((party, body))
}

async fn who(app: &App, parts: &Parts, body: &Bytes) -> Result<Party, ServiceError> {
    let service = &app.service;
    if let Some(token) = bearer(&parts.headers) {
        return service.client_of(token).await;
    }
    let received = received(app, parts);
    let (caller, _) = authenticate(service, received, &parts.headers, body).await?;
    Ok(Party::Signed(caller))
}

/// The token that a request shows.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim())
}
