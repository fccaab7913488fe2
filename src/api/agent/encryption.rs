//! Keys that agents publish for others to encrypt to (docs/encryption.md).

use axum::Json;
use axum::extract::State;
use ekho_storage::tables::encryption_key::{EncryptionKey, KeySignature};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::api::code::Code;
use crate::api::fields::Fields;
use crate::api::openapi::Routes;
use crate::api::path::PathId;
use crate::api::signed::Signed;
use crate::api::{ApiError, App};
use crate::clock::Iso;
use crate::ingress::keys;

pub fn router() -> Routes {
    Routes::default()
        .routes(routes!(publish, revoke))
        .routes(routes!(of_agent))
}

/// A key to encrypt to.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct NewEncryptionKey {
    /// X25519: base64 of the 32 bytes.
    #[schema(min_length = 43, max_length = 44)]
    public_key: String,
    /// The identity key that signed it; needs `signature`.
    #[schema(max_length = 64)]
    signed_by_key_id: Option<String>,
    /// Ed25519 signature of the statement about the key, in base64; needs `signed_by_key_id`.
    #[schema(max_length = 88)]
    signature: Option<String>,
}

/// A key is published.
#[derive(Serialize, ToSchema)]
struct EncryptionKeyPublished {
    key_id: String,
}

/// Publishes the key that others encrypt to when they write to the agent, in place of the one
/// before.
#[utoipa::path(
    put,
    path = "/v1/encryption-key",
    operation_id = "publish_encryption_key",
    request_body = NewEncryptionKey,
    responses((status = 200, body = EncryptionKeyPublished)),
    extensions(("x-codes" = json!([Code::Conflict, Code::KeyRevoked, Code::LimitReached]))),
)]
async fn publish(
    State(app): State<App>,
    signed: Signed,
) -> Result<Json<EncryptionKeyPublished>, ApiError> {
    let mut fields = Fields::parse(&signed.body)?;
    let public_key = keys::x25519(&fields.text("public_key", 44));
    if public_key.is_none() {
        fields.wrong("public_key", "expected an X25519 key: base64 of 32 bytes");
    }
    let key_id = fields.optional_text("signed_by_key_id", 64);
    let signature = fields.optional_text("signature", 88);
    if key_id.is_some() != signature.is_some() {
        fields.wrong("signature", "signature and signed_by_key_id go together");
    }
    let signature = signature.map(|text| keys::signature(&text));
    if signature == Some(None) {
        fields.wrong("signature", "expected base64 of 64 bytes");
    }
    fields.finish()?;
    let own_word = key_id.zip(signature.flatten());
    let own_word = own_word.map(|(key_id, signature)| KeySignature { key_id, signature });
    let key_id = app
        .service
        .publish_encryption_key(&signed.caller, public_key.unwrap_or_default(), own_word)
        .await?;
    Ok(Json(EncryptionKeyPublished { key_id }))
}

/// A key is revoked.
#[derive(Serialize, ToSchema)]
struct EncryptionKeyRevoked {
    /// Null where there was none.
    revoked_key_id: Option<String>,
}

/// Revokes the agent's present encryption key for good: nobody encrypts to it any more, and it
/// cannot be published again.
#[utoipa::path(
    delete,
    path = "/v1/encryption-key",
    operation_id = "revoke_encryption_key",
    responses((status = 200, body = EncryptionKeyRevoked)),
)]
async fn revoke(
    State(app): State<App>,
    signed: Signed,
) -> Result<Json<EncryptionKeyRevoked>, ApiError> {
    let revoked_key_id = app.service.revoke_encryption_key(&signed.caller).await?;
    Ok(Json(EncryptionKeyRevoked { revoked_key_id }))
}

/// A key that an agent published.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct EncryptionKeyView {
    key_id: String,
    /// X25519: base64 of the 32 bytes.
    public_key: String,
    /// The identity key that signed it.
    signed_by_key_id: Option<String>,
    signature: Option<String>,
    published_at: Iso,
    /// Whether it is the one to encrypt to.
    current: bool,
    revoked_at: Option<Iso>,
}

impl EncryptionKeyView {
    pub(in crate::api) fn new((key, current): (EncryptionKey, bool)) -> Self {
        let (signed_by_key_id, signature) = key
            .signed
            .map(|signed| (signed.key_id, keys::signature_shown(&signed.signature)))
            .unzip();
        EncryptionKeyView {
            key_id: key.key_id,
            public_key: keys::encryption_key_shown(&key.public_key),
            signed_by_key_id,
            signature,
            published_at: Iso(key.published_ms),
            current,
            revoked_at: key.revoked.map(|revoked| Iso(revoked.at_ms)),
        }
    }
}

/// Keys of an agent to encrypt to.
#[derive(Serialize, ToSchema)]
struct EncryptionKeys {
    agent_id: String,
    /// The one published last first, at most 50.
    keys: Vec<EncryptionKeyView>,
}

/// Keys that an agent of the fleet published, the one published last first; for any agent of it.
#[utoipa::path(
    get,
    path = "/v1/agents/{id}/encryption-keys",
    operation_id = "list_encryption_keys",
    responses((status = 200, body = EncryptionKeys)),
)]
async fn of_agent(
    State(app): State<App>,
    agent_id: PathId,
    signed: Signed,
) -> Result<Json<EncryptionKeys>, ApiError> {
    let agent_id = agent_id.get()?;
    let view = app.service.read(&signed.caller).await?;
    let fleet = signed.caller.agent.fleet;
    let found = app.service.encryption_keys(&view, fleet, &agent_id)?;
    let keys = found.into_iter().map(EncryptionKeyView::new);
    Ok(Json(EncryptionKeys {
        keys: keys.collect(),
        agent_id,
    }))
}
