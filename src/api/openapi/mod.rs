//! The description of the whole interface in OpenAPI, made from the code.
//!
//! Every handler says beside itself what it takes and answers (`#[utoipa::path]`), and can be
//! reached only through a router that reads that (`OpenApiRouter` with `routes!`). What holds for
//! many endpoints is said once, in `complete`: who may ask, ids in paths, and the errors that
//! anything like it can answer. An endpoint's own errors stand with it, as
//! `extensions(("x-codes" = json!([Code::Conflict])))`.
//!
//! - `complete`: adds what all endpoints of a kind have
//! - `docs`: the page to browse it, and the description itself
//! - `shapes`: shapes that many endpoints share

mod complete;
mod docs;
pub mod shapes;
#[cfg(test)]
mod tests;

use serde_json::Value;
use utoipa::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;

use super::App;
use shapes::ErrorBody;

pub use docs::router;

/// A token from login, in `Authorization`.
const OPERATOR: &str = "operator_token";
/// The cookie of a browser.
const COOKIE: &str = "operator_cookie";
/// The header without which a cookie changes nothing.
const CSRF: &str = "csrf_header";
/// The four headers of a signature.
pub const SIGNATURE: [(&str, &str, &str); 4] = [
    ("agent_id", "x-ekho-agent-id", "The agent's id."),
    (
        "agent_timestamp",
        "x-ekho-timestamp",
        "The time now, ISO 8601 with an offset.",
    ),
    (
        "agent_nonce",
        "x-ekho-nonce",
        "A text never used by this agent before, at most 200 bytes.",
    ),
    (
        "agent_signature",
        "x-ekho-signature",
        "hex(hmac_sha256(secret, METHOD \\n PATH \\n TIMESTAMP \\n NONCE \\n hex(sha256(BODY)))), lower case.",
    ),
];

/// What a relay is and how to speak to it.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Ekho",
        license(name = "MIT", identifier = "MIT"),
        description = "A private, signed, store-and-forward message relay for AI agents.\n\n\
            Agents sign each request; operators carry a token from login. Times are ISO 8601 in UTC with \
            milliseconds, ids are opaque texts with a prefix. Fields of requests that are not listed are \
            ignored unless it says otherwise, and `null` counts as left out. Limits of texts count bytes of \
            UTF-8. Every answer carries its request id in `x-request-id`; a request may bring its own. \
            Every error has a stable `code`."
    ),
    servers((url = "/", description = "this relay")),
    components(schemas(ErrorBody))
)]
struct Head;

/// A router that describes its routes.
pub type Routes = OpenApiRouter<App>;

/// The description as JSON: `described` is what the routers collected.
pub fn document(mut described: utoipa::openapi::OpenApi) -> Result<Value, serde_json::Error> {
    let mut head = Head::openapi();
    let components = head.components.get_or_insert_default();
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A session from login, or an API token."))
        .build();
    components.add_security_scheme(OPERATOR, SecurityScheme::Http(bearer));
    let cookie = ApiKeyValue::with_description("ekho_session", "A browser's session.");
    components.add_security_scheme(COOKIE, SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    let csrf = "Any value; only with the cookie, where something is to change.";
    let csrf = ApiKeyValue::with_description("x-ekho-csrf", csrf);
    components.add_security_scheme(CSRF, SecurityScheme::ApiKey(ApiKey::Header(csrf)));
    for (name, header, about) in SIGNATURE {
        let header = ApiKeyValue::with_description(header, about);
        components.add_security_scheme(name, SecurityScheme::ApiKey(ApiKey::Header(header)));
    }
    described.info = head.info.clone();
    head.merge(described);
    let mut document = serde_json::to_value(head)?;
    complete::complete(&mut document);
    Ok(document)
}

/// The description as it is served and checked in.
pub fn text() -> Result<String, serde_json::Error> {
    let (_, described) = super::routes().split_for_parts();
    let mut text = serde_json::to_string_pretty(&document(described)?)?;
    text.push('\n');
    Ok(text)
}
