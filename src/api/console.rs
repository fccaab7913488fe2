//! The console under `/ui/`, on every node.

use std::fmt::Write as _;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use reqwest::Url;
use tower_http::compression::CompressionLayer;

use super::code::Code;
use super::{ApiError, App};
use crate::console;

/// What the page may load, all of it from here; and whom it may ask, beside this node.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; \
                      frame-ancestors 'none'; connect-src 'self'";
/// Names of such files carry a hash of what is in them.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// Routes of the console. It is no part of the API, which describes itself.
pub fn router() -> Router<App> {
    Router::new()
        .route("/ui", get(|| async { Redirect::permanent("/ui/") }))
        .route("/ui/", get(page))
        .route("/ui/{*path}", get(file))
        .layer(CompressionLayer::new())
}

async fn page(state: State<App>, headers: HeaderMap) -> Result<Response, ApiError> {
    file(state, Path(String::new()), headers).await
}

async fn file(
    State(app): State<App>,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let Some(file) = console::file(&path) else {
        let text = match console::file("") {
            Some(_) => "no such file of the console",
            None => "this binary was built without the console; ./dev build makes one with it",
        };
        return Err(ApiError::new(Code::NotFound, text));
    };
    let mut answer = match headers.get(header::IF_NONE_MATCH) {
        Some(known) if known.as_bytes() == file.etag.as_bytes() => {
            StatusCode::NOT_MODIFIED.into_response()
        }
        _ => Body::from(file.bytes).into_response(),
    };
    let mut set = |name: HeaderName, text: &str| {
        if let Ok(value) = HeaderValue::from_str(text) {
            answer.headers_mut().insert(name, value);
        }
    };
    set(header::CONTENT_TYPE, &file.media_type);
    set(header::ETAG, &file.etag);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    match file.is_immutable {
        true => set(header::CACHE_CONTROL, FOR_EVER),
        false => set(header::CACHE_CONTROL, "no-cache"),
    }
    if file.is_page {
        set(header::CONTENT_SECURITY_POLICY, &policy(&app)?);
        set(header::REFERRER_POLICY, "same-origin");
        set(
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        );
    }
    Ok(answer)
}

/// The page asks other nodes whether they answer, before it goes on at one of them.
fn policy(app: &App) -> Result<String, ApiError> {
    let mut policy = POLICY.to_string();
    for node in app.service.cluster()?.nodes {
        if let Ok(url) = Url::parse(&node.public_url) {
            // Writing to a text does not fail.
            let _ = write!(policy, " {}", url.origin().ascii_serialization());
        }
    }
    Ok(policy)
}
