//! Changing the master secret: how far it is, and the command to begin.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use ekho_storage::tables::fleet;
use ekho_storage::tables::operator::Scope;
use ekho_storage::tables::rotation::Rotation;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::SignedIn;
use crate::api::code::Code;
use crate::api::openapi::Routes;
use crate::api::{ApiError, App};
use crate::clock::Iso;
use crate::machine::outcome::Refusal;
use crate::service::rotation::{Keys, NodeKeys};

/// Routes of the master secret.
pub fn router() -> Routes {
    Routes::default().routes(routes!(status, rotate))
}

/// The keys of the relay, as the node that answers knows them. An id tells nothing about its key.
#[derive(Serialize, ToSchema)]
struct MasterSecretView {
    /// Id of the key in force.
    key_id: String,
    /// Id of the key of the next master secret that the node holds; null where it holds none.
    next_key_id: Option<String>,
    /// The latest change of the master secret; null before the first.
    rotation: Option<RotationView>,
    /// What each node holds.
    nodes: Vec<NodeKeysView>,
}

/// A change of the master secret.
#[derive(Serialize, ToSchema)]
struct RotationView {
    /// Id of the key that was in force before.
    from_key_id: String,
    /// Id of the key that everything is sealed under.
    to_key_id: String,
    /// The operator who began it.
    began_by: String,
    began_at: Iso,
    /// Secrets that were sealed anew so far.
    resealed: u64,
    /// Since when the new key is in force; null while that is under way.
    done_at: Option<Iso>,
}

/// The keys that a node holds.
#[derive(Serialize, ToSchema)]
struct NodeKeysView {
    node_id: u64,
    /// Whether it was heard in the last seconds.
    reachable: bool,
    /// Ids: of its master secret's key, then of the next one's. Empty where it did not say.
    key_ids: Vec<String>,
}

impl From<Rotation> for RotationView {
    fn from(rotation: Rotation) -> Self {
        RotationView {
            from_key_id: rotation.from_key_id,
            to_key_id: rotation.to_key_id,
            began_by: rotation.began_by,
            began_at: Iso(rotation.began_ms),
            resealed: rotation.resealed,
            done_at: rotation.done_ms.map(Iso),
        }
    }
}

impl From<Keys> for MasterSecretView {
    fn from(keys: Keys) -> Self {
        let node = |node: NodeKeys| NodeKeysView {
            node_id: node.node_id,
            reachable: node.is_reachable,
            key_ids: node.held,
        };
        MasterSecretView {
            key_id: keys.in_force,
            next_key_id: keys.next,
            rotation: keys.rotation.map(RotationView::from),
            nodes: keys.nodes.into_iter().map(node).collect(),
        }
    }
}

/// Which master secret is in force, and how far a change of it is.
///
/// Answered by any node from what it knows, also without a leader.
#[utoipa::path(
    get,
    path = "/v1/operator/cluster/master-secret",
    operation_id = "get_master_secret",
    responses((status = 200, body = MasterSecretView)),
)]
async fn status(
    State(app): State<App>,
    operator: SignedIn,
) -> Result<Json<MasterSecretView>, ApiError> {
    // What concerns the whole relay is for those who look after it.
    if operator.fleet() != fleet::FIRST {
        return Err(Refusal::Forbidden(Scope::Cluster).into());
    }
    Ok(Json(app.service.keys()?.into()))
}

/// Begins to seal everything under the next master secret.
///
/// Refused unless every node is known to hold the same one. The leader does it, and whoever leads
/// after it goes on; asked again, it says how far that is.
#[utoipa::path(
    post,
    path = "/v1/operator/cluster/master-secret",
    operation_id = "rotate_master_secret",
    responses((status = 202, body = MasterSecretView)),
    extensions(("x-codes" = json!([Code::Conflict, Code::NextSecretMissing]))),
)]
async fn rotate(
    State(app): State<App>,
    operator: SignedIn,
) -> Result<(StatusCode, Json<MasterSecretView>), ApiError> {
    let keys = app.service.rotate_master_secret(&operator.caller).await?;
    Ok((StatusCode::ACCEPTED, Json(keys.into())))
}
