//! Public keys: those operators sign with, and those agents registered.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use ekho_storage::tables::signing_key::{AgentKey, Endorsement, KeyOwner, RevokedKey};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::list::{ListParams, ListQuery, Paging};
use super::{Done, Given, SignedIn, done};
use crate::api::agent::encryption::EncryptionKeyView;
use crate::api::code::Code;
use crate::api::fields::Fields;
use crate::api::openapi::Routes;
use crate::api::path::{PathId, PathIds};
use crate::api::{ApiError, App};
use crate::clock::Iso;
use crate::ingress::keys;
use crate::service::keys::{NewKey, ShownKey, ShownRevoked};

const ID_MAX_BYTES: usize = 255;
/// A key or a signature as a text, with room for line breaks.
const TEXT_MAX_BYTES: usize = 512;
const REASON_MAX_BYTES: usize = 1000;

pub fn router() -> Routes {
    Routes::default()
        .routes(routes!(list, register))
        .routes(routes!(list_revoked))
        .routes(routes!(detail))
        .routes(routes!(endorse))
        .routes(routes!(revoke))
        .routes(routes!(of_agent))
        .routes(routes!(revoke_of_agent))
}

/// A key that an operator signs with.
#[derive(Serialize, ToSchema)]
struct KeyView {
    /// A hash of the key.
    key_id: String,
    /// Base64 of the SubjectPublicKeyInfo.
    public_key: String,
    name: String,
    /// Who registered it.
    operator_id: String,
    /// Trusted by itself.
    root: bool,
    /// A root key, or endorsed by a trusted one.
    trusted: bool,
    created_at: Iso,
    endorsements: Vec<EndorsementView>,
}

/// One key vouches for another.
#[derive(Serialize, ToSchema)]
struct EndorsementView {
    endorsed_by_key_id: String,
    /// Base64 of the Ed25519 signature.
    endorsement_sig: String,
    /// Who brought it.
    operator_id: String,
    created_at: Iso,
}

impl From<&Endorsement> for EndorsementView {
    fn from(endorsement: &Endorsement) -> Self {
        EndorsementView {
            endorsed_by_key_id: endorsement.by_key_id.clone(),
            endorsement_sig: keys::signature_shown(&endorsement.signature),
            operator_id: endorsement.operator_id.clone(),
            created_at: Iso(endorsement.at_ms),
        }
    }
}

impl From<&ShownKey> for KeyView {
    fn from(shown: &ShownKey) -> Self {
        let key = &shown.key;
        KeyView {
            key_id: key.key_id.clone(),
            public_key: keys::shown(&key.public_key),
            name: key.name.clone(),
            operator_id: key.operator_id.clone(),
            root: key.is_root,
            trusted: shown.trust.is_some(),
            created_at: Iso(key.created_ms),
            endorsements: key.endorsements.iter().map(EndorsementView::from).collect(),
        }
    }
}

/// What an agent that enrols is told of a trusted key.
#[derive(Serialize, ToSchema)]
pub struct TrustedKeyView {
    key_id: String,
    public_key: String,
    endorsed_by_key_id: Option<String>,
    endorsement_sig: Option<String>,
}

impl From<&ShownKey> for TrustedKeyView {
    fn from(shown: &ShownKey) -> Self {
        let endorsement = shown.endorsement();
        TrustedKeyView {
            key_id: shown.key.key_id.clone(),
            public_key: keys::shown(&shown.key.public_key),
            endorsed_by_key_id: endorsement.map(|one| one.by_key_id.clone()),
            endorsement_sig: endorsement.map(|one| keys::signature_shown(&one.signature)),
        }
    }
}

/// Keys that operators sign with.
#[derive(Serialize, ToSchema)]
struct KeyList {
    keys: Vec<KeyView>,
    #[serde(flatten)]
    paging: Paging,
}

/// Operators' keys that are not revoked, in the order of their ids.
#[utoipa::path(
    get,
    path = "/v1/operator/keys",
    operation_id = "list_keys",
    params(ListParams),
    responses((status = 200, body = KeyList)),
)]
async fn list(
    State(app): State<App>,
    operator: SignedIn,
    query: ListQuery,
) -> Result<Json<KeyList>, ApiError> {
    let after = after(&query)?;
    let wants = query.skip() + query.limit;
    let found = app.service.operator_keys(operator.fleet(), &after, wants);
    let (shown, next) = found.await?;
    let keys = shown.iter().skip(query.skip()).map(KeyView::from);
    Ok(Json(KeyList {
        keys: keys.collect(),
        paging: query.paging(next),
    }))
}

fn after(query: &ListQuery) -> Result<String, ApiError> {
    let is_id = |text: &str| text.starts_with("key_") && text.len() <= ID_MAX_BYTES;
    let cursor = query.cursor(|text| is_id(text).then(|| text.to_string()))?;
    Ok(cursor.unwrap_or_default())
}

/// A key that an operator signs with.
#[derive(Serialize, ToSchema)]
struct OneKey {
    key: KeyView,
}

/// A key that an operator signs with.
#[utoipa::path(
    get,
    path = "/v1/operator/keys/{id}",
    operation_id = "get_key",
    responses((status = 200, body = OneKey)),
)]
async fn detail(
    State(app): State<App>,
    operator: SignedIn,
    key_id: PathId,
) -> Result<Json<OneKey>, ApiError> {
    let key_id = key_id.get()?;
    let found = app.service.operator_key(operator.fleet(), &key_id).await?;
    let key = KeyView::from(&found);
    Ok(Json(OneKey { key }))
}

/// A key that is not to be used any more.
#[derive(Serialize, ToSchema)]
struct RevokedView {
    key_id: String,
    public_key: String,
    /// `operator` or `agent`.
    owner_kind: &'static str,
    owner_id: String,
    revoked_by: String,
    reason: String,
    revoked_at: Iso,
}

impl From<&ShownRevoked> for RevokedView {
    fn from(shown: &ShownRevoked) -> Self {
        let key = &shown.key;
        RevokedView {
            key_id: key.key_id.clone(),
            public_key: shown.public_key.clone(),
            owner_kind: match &key.owner {
                KeyOwner::Operator(..) => "operator",
                KeyOwner::Agent(..) => "agent",
            },
            owner_id: shown.owner_id.clone(),
            revoked_by: key.revoked_by.clone(),
            reason: key.reason.clone(),
            revoked_at: Iso(key.at_ms),
        }
    }
}

/// Revoked keys.
#[derive(Serialize, ToSchema)]
struct RevokedList {
    keys: Vec<RevokedView>,
    #[serde(flatten)]
    paging: Paging,
}

/// Revoked keys of operators and agents, in the order of their ids.
#[utoipa::path(
    get,
    path = "/v1/operator/keys/revoked",
    operation_id = "list_revoked_keys",
    params(ListParams),
    responses((status = 200, body = RevokedList)),
)]
async fn list_revoked(
    State(app): State<App>,
    operator: SignedIn,
    query: ListQuery,
) -> Result<Json<RevokedList>, ApiError> {
    let after = after(&query)?;
    let wants = query.skip() + query.limit;
    let view = app.service.operator_view().await?;
    let service = &app.service;
    let (shown, next) = service.revoked_keys(&view, operator.fleet(), &after, wants)?;
    let keys = shown.iter().skip(query.skip()).map(RevokedView::from);
    Ok(Json(RevokedList {
        keys: keys.collect(),
        paging: query.paging(next),
    }))
}

fn read_key(fields: &mut Fields<'_>) -> [u8; 32] {
    let text = fields.text("public_key", TEXT_MAX_BYTES);
    let key = keys::ed25519(&text);
    if key.is_none() && !text.is_empty() {
        let expected = "an Ed25519 key: base64 of its SubjectPublicKeyInfo or of its 32 bytes";
        fields.wrong("public_key", expected);
    }
    key.unwrap_or_default()
}

fn read_signature(fields: &mut Fields<'_>, name: &str) -> [u8; 64] {
    let text = fields.text(name, TEXT_MAX_BYTES);
    let signature = keys::signature(&text);
    if signature.is_none() && !text.is_empty() {
        fields.wrong(name, "an Ed25519 signature: base64 of 64 bytes");
    }
    signature.unwrap_or([0; 64])
}

/// A key of the caller's own.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct NewOperatorKey {
    /// For people.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// Ed25519: base64 of its SubjectPublicKeyInfo or of its 32 bytes.
    #[schema(min_length = 1, max_length = 512)]
    public_key: String,
    /// Its signature of the lines `ekho-operator-key-v1`, `register`, fleet id, operator id and
    /// public key, in base64.
    #[schema(min_length = 1, max_length = 512)]
    proof: String,
    /// Trusted by itself; takes the scope `operators`.
    #[schema(default = false)]
    root: Option<bool>,
}

/// A key was registered.
#[derive(Serialize, ToSchema)]
struct Registered {
    key_id: String,
}

/// Registers a key of the caller's own, who proves to have its private half.
#[utoipa::path(
    post,
    path = "/v1/operator/keys",
    operation_id = "register_key",
    request_body = NewOperatorKey,
    responses((status = 201, body = Registered)),
    extensions(("x-codes" = json!([
        Code::Conflict,
        Code::KeyRevoked,
        Code::LimitReached,
        Code::LoginOnly,
    ]))),
)]
async fn register(
    State(app): State<App>,
    operator: SignedIn,
    given: Given,
) -> Result<(StatusCode, Json<Registered>), ApiError> {
    let mut fields = given.fields()?;
    let new = NewKey {
        name: fields.text("name", 200),
        public_key: read_key(&mut fields),
        proof: read_signature(&mut fields, "proof"),
        is_root: fields.boolean("root", false),
    };
    fields.finish()?;
    let key_id = app.service.register_key(&operator.caller, new).await?;
    Ok((StatusCode::CREATED, Json(Registered { key_id })))
}

/// A trusted key vouches for another.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct NewEndorsement {
    #[schema(min_length = 1, max_length = 255)]
    endorsed_by_key_id: String,
    /// The signature, by the key that vouches, of the lines `ekho-operator-key-v1`, `endorse`,
    /// fleet id, id of that key, id of the key endorsed and its public key, in base64.
    #[schema(min_length = 1, max_length = 512)]
    signature: String,
}

/// Lets a trusted key vouch for another.
#[utoipa::path(
    post,
    path = "/v1/operator/keys/{id}/endorse",
    operation_id = "endorse_key",
    request_body = NewEndorsement,
    responses((status = 200, body = Done)),
    extensions(("x-codes" = json!([Code::Conflict, Code::LimitReached]))),
)]
async fn endorse(
    State(app): State<App>,
    operator: SignedIn,
    key_id: PathId,
    given: Given,
) -> Result<Json<Done>, ApiError> {
    let key_id = key_id.get()?;
    let mut fields = given.fields()?;
    let by_key_id = fields.text("endorsed_by_key_id", ID_MAX_BYTES);
    let signature = read_signature(&mut fields, "signature");
    fields.finish()?;
    app.service
        .endorse_key(&operator.caller, key_id, by_key_id, signature)
        .await?;
    Ok(done())
}

fn read_reason(given: &Given) -> Result<String, ApiError> {
    let mut fields = given.fields()?;
    let reason = fields.text("reason", REASON_MAX_BYTES);
    fields.finish()?;
    Ok(reason)
}

/// Why a key is revoked.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct KeyRevocation {
    #[schema(min_length = 1, max_length = 1000)]
    reason: String,
}

/// A key was revoked.
#[derive(Serialize, ToSchema)]
struct KeysRevoked {
    /// Always true.
    ok: bool,
    /// Keys that were trusted through it alone.
    no_longer_trusted: Vec<String>,
}

/// Revokes an operator's key for good: the caller's own, or with the scope `operators` any.
#[utoipa::path(
    post,
    path = "/v1/operator/keys/{id}/revoke",
    operation_id = "revoke_key",
    request_body = KeyRevocation,
    responses((status = 200, body = KeysRevoked)),
    extensions(("x-codes" = json!([Code::KeyRevoked]))),
)]
async fn revoke(
    State(app): State<App>,
    operator: SignedIn,
    key_id: PathId,
    given: Given,
) -> Result<Json<KeysRevoked>, ApiError> {
    let key_id = key_id.get()?;
    let reason = read_reason(&given)?;
    let service = &app.service;
    let lost = service.revoke_key(&operator.caller, key_id, reason).await?;
    Ok(Json(KeysRevoked {
        ok: true,
        no_longer_trusted: lost,
    }))
}

/// A key that an agent registered.
#[derive(Serialize, ToSchema)]
struct AgentKeyView {
    key_id: String,
    public_key: String,
    registered_at: Iso,
    /// The one it registered last.
    current: bool,
    revoked_at: Option<Iso>,
    revoked_by: Option<String>,
}

fn agent_key_view(key: &AgentKey, current: bool, revoked: Option<&RevokedKey>) -> AgentKeyView {
    AgentKeyView {
        key_id: key.key_id.clone(),
        public_key: key.public_key.clone(),
        registered_at: Iso(key.registered_ms),
        current,
        revoked_at: revoked.map(|revoked| Iso(revoked.at_ms)),
        revoked_by: revoked.map(|revoked| revoked.revoked_by.clone()),
    }
}

/// Keys that an agent registered.
#[derive(Serialize, ToSchema)]
struct AgentKeys {
    /// At most 20, the newest first.
    keys: Vec<AgentKeyView>,
    /// Keys that others encrypt to; at most 50, the one published last first.
    encryption_keys: Vec<EncryptionKeyView>,
}

/// Keys that an agent registered, the newest first.
#[utoipa::path(
    get,
    path = "/v1/operator/agents/{id}/keys",
    operation_id = "list_agent_keys",
    responses((status = 200, body = AgentKeys)),
)]
async fn of_agent(
    State(app): State<App>,
    operator: SignedIn,
    agent_id: PathId,
) -> Result<Json<AgentKeys>, ApiError> {
    let agent_id = agent_id.get()?;
    let view = app.service.operator_view().await?;
    let found = app.service.agent_keys(&view, operator.fleet(), &agent_id)?;
    let views = found
        .iter()
        .map(|(key, current, revoked)| agent_key_view(key, *current, revoked.as_ref()));
    let published = app
        .service
        .encryption_keys(&view, operator.fleet(), &agent_id)?;
    Ok(Json(AgentKeys {
        keys: views.collect(),
        encryption_keys: published.into_iter().map(EncryptionKeyView::new).collect(),
    }))
}

/// Revokes a key of an agent for good, be it an identity key or one to encrypt to.
#[utoipa::path(
    post,
    path = "/v1/operator/agents/{id}/keys/{key}/revoke",
    operation_id = "revoke_agent_key",
    request_body = KeyRevocation,
    responses((status = 200, body = Done)),
    extensions(("x-codes" = json!([Code::Conflict, Code::KeyRevoked]))),
)]
async fn revoke_of_agent(
    State(app): State<App>,
    operator: SignedIn,
    ids: PathIds,
    given: Given,
) -> Result<Json<Done>, ApiError> {
    let [agent_id, key_id] = ids.get()?;
    let reason = read_reason(&given)?;
    app.service
        .revoke_agent_key(&operator.caller, agent_id, key_id, reason)
        .await?;
    Ok(done())
}
