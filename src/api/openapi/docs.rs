//! The description itself, and the page to browse it. Both are part of the binary: the page loads
//! nothing from anywhere else, and may not.

use std::sync::{Arc, LazyLock};

use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use utoipa_axum::routes;
use utoipa_swagger_ui::Config;

use super::Routes;
use crate::api::ApiError;
use crate::api::code::Code;
use crate::api::path::PathId;
use crate::service::ServiceError;

/// What the page may do: run its own scripts, ask this relay.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

static DOCUMENT: LazyLock<Result<String, String>> =
    LazyLock::new(|| super::text().map_err(|error| error.to_string()));

static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
    Arc::new(
        Config::from("/openapi.json")
            // It would show the description to a server of somebody else.
            .validator_url("none")
            .deep_linking(true)
            .doc_expansion("none"),
    )
});

/// Routes of the description and its page.
pub fn router() -> Routes {
    Routes::default()
        .routes(routes!(document))
        .routes(routes!(page))
        // Parts of the page, and its address without the slash.
        .route("/docs", get(|| async { Redirect::permanent("/docs/") }))
        .route("/docs/{file}", get(part))
}

/// This description.
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "openapi",
    responses((status = 200, description = "OpenAPI 3.1.", body = Object)),
)]
async fn document() -> Result<Response, ApiError> {
    let text = DOCUMENT
        .as_ref()
        .map_err(|error| ServiceError::Internal(error.clone()))?;
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    Ok((headers, text.as_str()).into_response())
}

/// A page to browse this description.
#[utoipa::path(
    get,
    path = "/docs/",
    operation_id = "docs",
    responses((status = 200, description = "The page.", body = String, content_type = "text/html")),
)]
async fn page() -> Result<Response, ApiError> {
    file("index.html")
}

async fn part(name: PathId) -> Result<Response, ApiError> {
    file(&name.get()?)
}

fn file(name: &str) -> Result<Response, ApiError> {
    let found = utoipa_swagger_ui::serve(name, Arc::clone(&CONFIG))
        .map_err(|error| ServiceError::Internal(error.to_string()))?
        .ok_or_else(|| ApiError::new(Code::NotFound, "no such endpoint"))?;
    let headers: [(HeaderName, &str); 5] = [
        (header::CONTENT_TYPE, &found.content_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    Ok((headers, found.bytes.into_owned()).into_response())
}
