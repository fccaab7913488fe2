//! The cluster: how its nodes are, join tokens, and what nodes are to be. Only owners of the first
//! fleet have the scope to change it.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use ekho_storage::tables::cluster::{JoinToken, Part};
use ekho_storage::tables::fleet;
use ekho_storage::tables::operator::Scope;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{Done, Given, SignedIn, done};
use crate::api::code::Code;
use crate::api::openapi::Routes;
use crate::api::path::PathId;
use crate::api::{ApiError, App};
use crate::clock::{Iso, now_ms};
use crate::machine::access::Need;
use crate::machine::outcome::Refusal;
use crate::service::cluster::{ClusterStatus, NodeStatus};

const TOKEN_TTL_SECONDS: u64 = 3600;
/// Numbers beyond it are not whole in JSON.
const NODE_ID_MAX: u64 = 1 << 53;
const TOKEN_TTL_MAX_SECONDS: u64 = 7 * 24 * 3600;

/// Routes of the cluster.
pub fn router() -> Routes {
    Routes::default()
        .routes(routes!(status))
        .routes(routes!(tokens, create_token))
        .routes(routes!(delete_token))
        .routes(routes!(transfer))
        .routes(routes!(remove))
        .routes(routes!(promote))
        .routes(routes!(demote))
        .routes(routes!(drain))
}

/// The cluster, as the node that answers knows it.
#[derive(Serialize, ToSchema)]
struct ClusterView {
    cluster_id: String,
    /// The node that answers.
    node_id: u64,
    /// The node that leads; null where none is known.
    leader: Option<u64>,
    /// Grows with every election.
    term: u64,
    /// Commands up to this level are in use; every node understands them.
    feature_level: u32,
    /// Whether who votes is changing at this moment: until that is decided, majorities of the
    /// voters before and after are needed.
    changing: bool,
    /// Whether enough voters can be reached to decide anything.
    can_decide: bool,
    /// Voters that can be reached.
    reachable_voters: usize,
    /// Voters that are needed to decide anything.
    needed_voters: usize,
    /// In the order of their numbers.
    nodes: Vec<NodeView>,
}

/// A node.
#[derive(Serialize, ToSchema)]
struct NodeView {
    node_id: u64,
    /// Where other nodes reach it.
    address: String,
    /// Where clients and browsers reach it; null where it was not heard yet.
    base_url: Option<String>,
    /// `leader`, `follower`, `candidate`, `learner` or `stopped`.
    role: String,
    /// What it is meant to be: `voter`, `learner`, `edge` or `removed`.
    part: &'static str,
    /// Whether it votes at present.
    voter: bool,
    /// Whether it was heard in the last seconds.
    reachable: bool,
    /// `ok`, `draining`, `disk_full`, `behind` or `unreachable`.
    health: &'static str,
    /// The end of its log.
    log_index: u64,
    /// Up to where it has applied.
    applied_index: u64,
    /// Entries it is behind.
    lag_entries: u64,
    /// The release it runs.
    version: String,
    /// Free bytes on its disk.
    disk_free_bytes: Option<u64>,
    /// How long it takes to answer the node that is asked.
    round_trip_ms: Option<f64>,
    /// Why it cannot be reached.
    failure: Option<String>,
    /// Sends that wait at an edge node to be forwarded; null of other nodes.
    outbox_entries: Option<u64>,
    /// How long the oldest of them has waited.
    outbox_oldest_seconds: Option<u64>,
    /// Files of attachments that it should have and does not; null where it does not say.
    missing_files: Option<u64>,
}

impl From<NodeStatus> for NodeView {
    fn from(node: NodeStatus) -> Self {
        /// A node further behind takes a while to catch up.
        const BEHIND_ENTRIES: u64 = 1000;
        let health = match &node {
            node if !node.is_reachable => "unreachable",
            node if node.disk_full => "disk_full",
            node if node.is_draining => "draining",
            node if node.lag_entries > BEHIND_ENTRIES => "behind",
            _ => "ok",
        };
        NodeView {
            node_id: node.node_id,
            address: node.address,
            base_url: Some(node.public_url).filter(|url| !url.is_empty()),
            role: node.role.as_str().into(),
            part: node.part.as_str(),
            voter: node.is_voter,
            reachable: node.is_reachable,
            health,
            log_index: node.last_log_index,
            applied_index: node.applied_index,
            lag_entries: node.lag_entries,
            version: node.release,
            disk_free_bytes: node.disk_free_bytes,
            round_trip_ms: node.round_trip.map(|took| took.as_secs_f64() * 1000.0),
            failure: node.failure,
            missing_files: node.files.map(|files| files.missing),
            outbox_entries: node.backlog.map(|backlog| backlog.entries),
            outbox_oldest_seconds: node.backlog.and_then(|backlog| {
                let waited_ms = now_ms().saturating_sub(backlog.oldest_ms?);
                Some(waited_ms / 1000)
            }),
        }
    }
}

impl From<ClusterStatus> for ClusterView {
    fn from(status: ClusterStatus) -> Self {
        ClusterView {
            can_decide: status.can_decide(),
            cluster_id: status.cluster_id,
            node_id: status.node_id,
            leader: status.leader,
            term: status.term,
            feature_level: status.feature_level.max(1),
            changing: status.is_changing,
            reachable_voters: status.reachable_voters,
            needed_voters: status.needed_voters,
            nodes: status.nodes.into_iter().map(NodeView::from).collect(),
        }
    }
}

/// How the cluster is.
///
/// Answered by any node from what it knows, also without a leader.
#[utoipa::path(
    get,
    path = "/v1/operator/cluster",
    operation_id = "get_cluster",
    responses((status = 200, body = ClusterView)),
)]
async fn status(State(app): State<App>, operator: SignedIn) -> Result<Json<ClusterView>, ApiError> {
    // What concerns the whole relay is for those who look after it.
    if operator.fleet() != fleet::FIRST {
        return Err(Refusal::Forbidden(Scope::Cluster).into());
    }
    Ok(Json(app.service.cluster()?.into()))
}

/// A join token that can still be used. Its secret is not shown again.
#[derive(Serialize, ToSchema)]
struct JoinTokenView {
    id: String,
    /// What the node becomes: `voter`, `learner` or `edge`.
    part: &'static str,
    /// The operator who made it.
    created_by: String,
    created_at: Iso,
    expires_at: Iso,
}

impl From<JoinToken> for JoinTokenView {
    fn from(token: JoinToken) -> Self {
        JoinTokenView {
            id: token.id,
            part: token.part.as_str(),
            created_by: token.created_by,
            created_at: Iso(token.created_ms),
            expires_at: Iso(token.expires_ms),
        }
    }
}

/// Join tokens.
#[derive(Serialize, ToSchema)]
struct JoinTokenList {
    tokens: Vec<JoinTokenView>,
}

/// The join tokens that can still be used.
#[utoipa::path(
    get,
    path = "/v1/operator/cluster/tokens",
    operation_id = "list_join_tokens",
    responses((status = 200, body = JoinTokenList)),
)]
async fn tokens(
    State(app): State<App>,
    operator: SignedIn,
) -> Result<Json<JoinTokenList>, ApiError> {
    let need = Need::Scope(Scope::Cluster);
    operator.caller.principal.require(need)?;
    let tokens = app.service.join_tokens().await?;
    Ok(Json(JoinTokenList {
        tokens: tokens.into_iter().map(JoinTokenView::from).collect(),
    }))
}

/// A join token to be made.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct NewJoinToken {
    /// What the node becomes: `voter`, `learner` or `edge`. By default `voter`.
    part: Option<String>,
    /// How long it can be used. By default an hour.
    #[schema(minimum = 1, maximum = 604_800)]
    ttl_seconds: Option<u64>,
}

/// A join token, shown once.
#[derive(Serialize, ToSchema)]
struct JoinTokenMade {
    id: String,
    /// What `ekho serve --join ADDRESS --token TOKEN` is started with.
    token: String,
    /// Where this node is reached by others, to join by.
    join: String,
    expires_at: Iso,
}

/// Makes a token by which one node can join.
#[utoipa::path(
    post,
    path = "/v1/operator/cluster/tokens",
    operation_id = "create_join_token",
    request_body = NewJoinToken,
    responses((status = 201, body = JoinTokenMade)),
    extensions(("x-codes" = json!([Code::Conflict, Code::LimitReached]))),
)]
async fn create_token(
    State(app): State<App>,
    operator: SignedIn,
    given: Given,
) -> Result<(StatusCode, Json<JoinTokenMade>), ApiError> {
    let mut fields = given.fields()?;
    let parts = Part::JOINABLE.map(|part| (part.as_str(), part));
    let part = fields.choice("part", &parts, Some(Part::Voter));
    let ttl_seconds = fields
        .number("ttl_seconds", 1..=TOKEN_TTL_MAX_SECONDS)
        .unwrap_or(TOKEN_TTL_SECONDS);
    fields.finish()?;
    let part = part.unwrap_or(Part::Voter);
    let ttl_ms = ttl_seconds * 1000;
    let made = app
        .service
        .create_join_token(&operator.caller, part, ttl_ms);
    let made = made.await?;
    let made = JoinTokenMade {
        id: made.id,
        token: made.token.to_string(),
        join: app.service.node.report().address,
        expires_at: Iso(made.expires_ms),
    };
    Ok((StatusCode::CREATED, Json(made)))
}

/// Takes a join token back.
#[utoipa::path(
    delete,
    path = "/v1/operator/cluster/tokens/{id}",
    operation_id = "delete_join_token",
    responses((status = 200, body = Done)),
)]
async fn delete_token(
    State(app): State<App>,
    operator: SignedIn,
    id: PathId,
) -> Result<Json<Done>, ApiError> {
    let id = id.get()?;
    app.service.delete_join_token(&operator.caller, id).await?;
    Ok(done())
}

/// The node that is to lead.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct NewLeader {
    #[schema(minimum = 1)]
    node_id: u64,
}

/// What came of a change of the cluster.
#[derive(Serialize, ToSchema)]
struct NodeChange {
    node_id: u64,
    /// Whether it is so already; otherwise it will be, as soon as it can.
    done: bool,
}

fn changed(node_id: u64, is_done: bool) -> (StatusCode, Json<NodeChange>) {
    let status = match is_done {
        true => StatusCode::OK,
        false => StatusCode::ACCEPTED,
    };
    let done = is_done;
    (status, Json(NodeChange { node_id, done }))
}

/// Moves leadership to a node.
#[utoipa::path(
    post,
    path = "/v1/operator/cluster/transfer",
    operation_id = "transfer_leadership",
    request_body = NewLeader,
    responses((status = 200, body = NodeChange), (status = 202, body = NodeChange)),
    extensions(("x-codes" = json!([Code::NotFound, Code::Conflict]))),
)]
async fn transfer(
    State(app): State<App>,
    operator: SignedIn,
    given: Given,
) -> Result<(StatusCode, Json<NodeChange>), ApiError> {
    let mut fields = given.fields()?;
    let node_id = fields.number("node_id", 1..=NODE_ID_MAX);
    if node_id.is_none() {
        fields.required("node_id");
    }
    fields.finish()?;
    let node_id = node_id.unwrap_or_default();
    let is_done = app.service.transfer_leader(&operator.caller, node_id);
    Ok(changed(node_id, is_done.await?))
}

async fn set_part(
    app: &App,
    operator: &SignedIn,
    node_id: PathId,
    part: Part,
) -> Result<(StatusCode, Json<NodeChange>), ApiError> {
    let node_id = number(node_id)?;
    let is_done = app.service.set_node_part(&operator.caller, node_id, part);
    Ok(changed(node_id, is_done.await?))
}

fn number(node_id: PathId) -> Result<u64, ApiError> {
    let node_id = node_id.get()?.parse();
    node_id.map_err(|_| Refusal::NotFound.into())
}

/// Removes a node from the cluster, for good.
///
/// Refused where the others could not decide anything without it.
#[utoipa::path(
    delete,
    path = "/v1/operator/cluster/nodes/{id}",
    operation_id = "remove_node",
    responses((status = 200, body = NodeChange), (status = 202, body = NodeChange)),
    extensions(("x-codes" = json!([Code::Conflict]))),
)]
async fn remove(
    State(app): State<App>,
    operator: SignedIn,
    id: PathId,
) -> Result<(StatusCode, Json<NodeChange>), ApiError> {
    set_part(&app, &operator, id, Part::Removed).await
}

/// Makes a node vote.
#[utoipa::path(
    post,
    path = "/v1/operator/cluster/nodes/{id}/promote",
    operation_id = "promote_node",
    responses((status = 200, body = NodeChange), (status = 202, body = NodeChange)),
    extensions(("x-codes" = json!([Code::Conflict]))),
)]
async fn promote(
    State(app): State<App>,
    operator: SignedIn,
    id: PathId,
) -> Result<(StatusCode, Json<NodeChange>), ApiError> {
    set_part(&app, &operator, id, Part::Voter).await
}

/// Makes a node a learner: it has all data and does not vote.
///
/// Refused where the others could not decide anything without its vote.
#[utoipa::path(
    post,
    path = "/v1/operator/cluster/nodes/{id}/demote",
    operation_id = "demote_node",
    responses((status = 200, body = NodeChange), (status = 202, body = NodeChange)),
    extensions(("x-codes" = json!([Code::Conflict]))),
)]
async fn demote(
    State(app): State<App>,
    operator: SignedIn,
    id: PathId,
) -> Result<(StatusCode, Json<NodeChange>), ApiError> {
    set_part(&app, &operator, id, Part::Learner).await
}

/// Makes a node ready to stop.
///
/// Leadership goes elsewhere, long polls and streams end, and `/readyz` says `draining`; requests
/// are still answered. Starting the node again ends it.
#[utoipa::path(
    post,
    path = "/v1/operator/cluster/nodes/{id}/drain",
    operation_id = "drain_node",
    responses((status = 200, body = Done)),
    extensions(("x-codes" = json!([Code::Conflict]))),
)]
async fn drain(
    State(app): State<App>,
    operator: SignedIn,
    id: PathId,
) -> Result<Json<Done>, ApiError> {
    let node_id = number(id)?;
    app.service.drain_node(&operator.caller, node_id).await?;
    Ok(done())
}
