//! Cards signed with a key of their fleet (8.4), and the keys for those who verify them.

use a2a::{AgentCard, AgentCardSignature};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ed25519_dalek::{Signer, SigningKey};
use ekho_storage::tables::fleet::Fleet;
use serde_json::{Value, json};

use super::card::CACHE;
use super::failure::Failure;
use crate::api::{ApiError, App};
use crate::ingress::signing::hash;
use crate::service::ServiceError;

/// Where the keys are.
const JWKS_PATH: &str = "/.well-known/jwks.json";

pub fn router() -> Router<App> {
    Router::new().route(JWKS_PATH, get(keys))
}

/// The id of a key: the beginning of its hash.
fn key_id(key: &SigningKey) -> String {
    let hash = hash(key.verifying_key().as_bytes());
    BASE64.encode(&hash[..12])
}

/// Signs a card with the key of its fleet (8.4), as the protocol has it, and where that is another
/// text also as the official SDKs for Python and JavaScript verify it: one good signature is enough.
pub fn signed(app: &App, fleet: &Fleet, mut card: AgentCard) -> Result<AgentCard, Failure> {
    let internal = |error: serde_json::Error| ServiceError::Internal(error.to_string());
    let key = app.service.card_key(&fleet.id)?;
    let mut value = serde_json::to_value(&card).map_err(internal)?;
    without_defaults(&mut value);
    let mut payloads = vec![serde_json_canonicalizer::to_vec(&value).map_err(internal)?];
    without_empty(&mut value);
    payloads.push(serde_json_canonicalizer::to_vec(&value).map_err(internal)?);
    payloads.dedup();
    let protected = json!({
        "alg": "EdDSA",
        "typ": "JOSE",
        "kid": key_id(&key),
        "jku": format!("{}{JWKS_PATH}", app.service.base_url),
    });
    let protected = BASE64.encode(protected.to_string());
    let signatures = payloads.iter().map(|payload| {
        let input = format!("{protected}.{}", BASE64.encode(payload));
        let signature = key.sign(input.as_bytes());
        AgentCardSignature {
            protected: protected.clone(),
            signature: BASE64.encode(signature.to_bytes()),
            header: None,
        }
    });
    card.signatures = Some(signatures.collect());
    Ok(card)
}

/// Leaves out all that is empty, and what is empty without that. So the SDKs do it (1.3), although
/// a field that is required, or an entry of a map, is more than nothing.
fn without_empty(value: &mut Value) {
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    };
    match value {
        Value::Array(values) => {
            values.iter_mut().for_each(without_empty);
            values.retain(|value| !is_empty(value));
        }
        Value::Object(fields) => {
            fields.values_mut().for_each(without_empty);
            fields.retain(|_, value| !is_empty(value));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Leaves out what has its default and is not required (8.4.1): of what cards hold here, empty
/// lists of scopes, and that an extension is not required.
fn without_defaults(card: &mut Value) {
    let extensions = card.pointer_mut("/capabilities/extensions");
    for extension in extensions
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if let Some(extension) = extension.as_object_mut() {
            extension.retain(|name, value| name != "required" || *value != json!(false));
        }
    }
    let requirements = card.pointer_mut("/securityRequirements");
    for requirement in requirements
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        let schemes = requirement
            .pointer_mut("/schemes")
            .and_then(Value::as_object_mut);
        for (_, scopes) in schemes.into_iter().flatten() {
            if scopes["list"] == json!([]) {
                *scopes = json!({});
            }
        }
    }
}

/// The keys that cards are signed with, as a JSON Web Key Set (RFC 7517).
async fn keys(State(app): State<App>) -> Result<Response, ApiError> {
    let keys = app.service.card_keys()?;
    let keys: Vec<Value> = keys
        .iter()
        .map(|key| {
            json!({
                "kty": "OKP",
                "crv": "Ed25519",
                "x": BASE64.encode(key.verifying_key().as_bytes()),
                "kid": key_id(key),
                "alg": "EdDSA",
                "use": "sig",
            })
        })
        .collect();
    let headers = [(header::CACHE_CONTROL, CACHE)];
    Ok((headers, Json(json!({ "keys": keys }))).into_response())
}
