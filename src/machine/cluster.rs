//! The cluster's nodes: tokens to join by, joining, and what nodes are meant to be.
//!
//! Apply only notes what is wanted. Consensus' own list follows, and whether it safely can is
//! asked before: see `service/cluster.rs`.

use ekho_storage::StorageError;
use ekho_storage::tables::cluster::{
    self, Cluster, JoinToken, NODES_MAX, NodeEntry, Part, TOKENS_MAX,
};
use ekho_storage::tables::event::{Actor, EventKind, Resource};
use ekho_storage::tables::fleet;

use super::access::Principal;
use super::apply::Apply;
use super::command::{Debugging, Join, NewJoinToken};
use super::outcome::{Outcome, Refusal};

/// Numbers begin after the one of the first node.
const FIRST_NODE_ID: u64 = 1;

/// Makes a token by which one node can join.
pub(crate) fn create_token(
    apply: &mut Apply<'_>,
    by: &Principal,
    new: NewJoinToken,
) -> Result<Outcome, StorageError> {
    let mut cluster = cluster::get(apply.txn)?;
    let now_ms = apply.now();
    cluster
        .tokens
        .retain(|token| token.expires_ms > now_ms && token.used_by.is_none());
    if cluster.tokens.len() >= TOKENS_MAX {
        let limit = TOKENS_MAX as u64;
        return Ok(Outcome::Refused(Refusal::LimitReached { limit }));
    }
    let token = JoinToken {
        id: new.id,
        hash: new.hash,
        part: new.part,
        created_by: by.operator.id.clone(),
        created_ms: now_ms,
        expires_ms: now_ms.saturating_add(new.ttl_ms),
        used_by: None,
    };
    let payload =
        serde_json::json!({ "part": token.part.as_str(), "expires_ms": token.expires_ms });
    let resource = Resource::Other("join_token".into(), token.id.clone());
    cluster.tokens.push(token);
    cluster::put(apply.txn, &cluster);
    record(
        apply,
        EventKind::JoinTokenCreated,
        actor(by),
        resource,
        &payload,
    )?;
    Ok(Outcome::Done)
}

/// Takes a token back.
pub(crate) fn delete_token(
    apply: &mut Apply<'_>,
    by: &Principal,
    id: &str,
) -> Result<Outcome, StorageError> {
    let mut cluster = cluster::get(apply.txn)?;
    let before = cluster.tokens.len();
    cluster.tokens.retain(|token| token.id != id);
    if cluster.tokens.len() == before {
        return Ok(Outcome::Refused(Refusal::NotFound));
    }
    cluster::put(apply.txn, &cluster);
    let resource = Resource::Other("join_token".into(), id.into());
    let payload = serde_json::json!({});
    record(
        apply,
        EventKind::JoinTokenDeleted,
        actor(by),
        resource,
        &payload,
    )?;
    Ok(Outcome::Done)
}

/// Takes up a node, by a token or because it holds the cluster's secret. One that asked before
/// keeps its number.
pub(crate) fn join(apply: &mut Apply<'_>, join: Join) -> Result<Outcome, StorageError> {
    let mut cluster = cluster::get(apply.txn)?;
    let known = cluster
        .nodes
        .iter()
        .find(|entry| entry.key_hash == join.key_hash);
    if let Some(known) = known {
        return Ok(match known.part {
            Part::Removed => Outcome::Refused(Refusal::Conflict(
                "this node was removed; empty its data directory to join anew".into(),
            )),
            _ => Outcome::Joined {
                node_id: known.node_id,
            },
        });
    }
    let now_ms = apply.now();
    let node_id = cluster.last_node_id.max(FIRST_NODE_ID) + 1;
    let part = match &join.token_hash {
        None => join.part,
        Some(hash) => {
            let token = cluster.tokens.iter_mut().find(|token| {
                token.hash == *hash && token.used_by.is_none() && token.expires_ms > now_ms
            });
            let Some(token) = token else {
                return Ok(Outcome::Refused(Refusal::InvalidToken));
            };
            token.used_by = Some(node_id);
            token.part
        }
    };
    let live = cluster
        .nodes
        .iter()
        .filter(|entry| entry.part != Part::Removed);
    if live.count() >= NODES_MAX {
        let limit = NODES_MAX as u64;
        return Ok(Outcome::Refused(Refusal::LimitReached { limit }));
    }
    let entry = NodeEntry {
        node_id,
        part,
        key_hash: join.key_hash,
        address: join.address,
        joined_ms: now_ms,
    };
    let payload = serde_json::json!({ "part": part.as_str(), "address": entry.address });
    cluster.last_node_id = node_id;
    cluster.nodes.push(entry);
    cluster::put(apply.txn, &cluster);
    record(
        apply,
        EventKind::NodeJoined,
        Actor::System,
        node(node_id),
        &payload,
    )?;
    Ok(Outcome::Joined { node_id })
}

/// Changes what a node is meant to be.
pub(crate) fn set_part(
    apply: &mut Apply<'_>,
    by: &Principal,
    node_id: u64,
    part: Part,
) -> Result<Outcome, StorageError> {
    let mut cluster = cluster::get(apply.txn)?;
    let before = cluster.part(node_id);
    if before == Part::Removed || node_id > cluster.last_node_id.max(FIRST_NODE_ID) {
        return Ok(Outcome::Refused(Refusal::NotFound));
    }
    if before == part {
        return Ok(Outcome::Done);
    }
    if (before == Part::Edge || part == Part::Edge) && part != Part::Removed {
        let why = "what an edge node is does not change: remove it, and join it anew".into();
        return Ok(Outcome::Refused(Refusal::Conflict(why)));
    }
    if part != Part::Voter && last_voter(&cluster, node_id) {
        let why = "it is the only node that votes".into();
        return Ok(Outcome::Refused(Refusal::Conflict(why)));
    }
    match cluster
        .nodes
        .iter_mut()
        .find(|entry| entry.node_id == node_id)
    {
        Some(entry) => entry.part = part,
        None => {
            cluster.nodes.push(NodeEntry {
                node_id,
                part,
                key_hash: [0; 32],
                address: String::new(),
                joined_ms: 0,
            });
            cluster.nodes.sort_by_key(|entry| entry.node_id);
        }
    }
    forget_removed(&mut cluster);
    cluster::put(apply.txn, &cluster);
    let kind = match part {
        Part::Removed => EventKind::NodeRemoved,
        _ => EventKind::NodeChanged,
    };
    let payload = serde_json::json!({ "before": before.as_str(), "after": part.as_str() });
    record(apply, kind, actor(by), node(node_id), &payload)?;
    Ok(Outcome::Done)
}

/// Every node understands the commands of this level now.
pub(crate) fn raise_level(apply: &mut Apply<'_>, level: u32) -> Result<Outcome, StorageError> {
    let mut cluster = cluster::get(apply.txn)?;
    if level > cluster.feature_level {
        cluster.feature_level = level;
        cluster::put(apply.txn, &cluster);
    }
    Ok(Outcome::Done)
}

/// Notes that an operator had leadership moved, or a node made ready to stop.
pub(crate) fn moved(
    apply: &mut Apply<'_>,
    by: &Principal,
    node_id: u64,
    is_drain: bool,
) -> Result<Outcome, StorageError> {
    let kind = match is_drain {
        true => EventKind::NodeDrained,
        false => EventKind::LeaderTransferred,
    };
    let payload = serde_json::json!({});
    record(apply, kind, actor(by), node(node_id), &payload)?;
    Ok(Outcome::Done)
}

/// Notes that an operator looks into a node.
pub(crate) fn debugged(
    apply: &mut Apply<'_>,
    by: &Principal,
    node_id: u64,
    what: &Debugging,
) -> Result<Outcome, StorageError> {
    let (kind, payload) = match what {
        Debugging::Log { filter, lasting_ms } => (
            EventKind::NodeLogChanged,
            serde_json::json!({ "filter": filter, "lasting_ms": lasting_ms }),
        ),
    };
    record(apply, kind, actor(by), node(node_id), &payload)?;
    Ok(Outcome::Done)
}

/// Numbers are never given again, so that of most removed nodes nothing has to be known.
fn forget_removed(cluster: &mut Cluster) {
    const REMOVED_MAX: usize = 200;
    let is_removed = |entry: &&NodeEntry| entry.part == Part::Removed;
    let removed = cluster.nodes.iter().filter(is_removed).count();
    let mut surplus = removed.saturating_sub(REMOVED_MAX);
    cluster.nodes.retain(|entry| {
        let keep = surplus == 0 || entry.part != Part::Removed;
        surplus -= usize::from(!keep);
        keep
    });
}

/// Whether no other node votes. The first node votes without an entry.
fn last_voter(cluster: &Cluster, node_id: u64) -> bool {
    let is_other_voter = |other: u64| other != node_id && cluster.part(other) == Part::Voter;
    let mut numbers = cluster.nodes.iter().map(|entry| entry.node_id);
    !is_other_voter(FIRST_NODE_ID) && !numbers.any(is_other_voter)
}

fn actor(by: &Principal) -> Actor {
    Actor::Operator(by.operator.id.clone())
}

fn node(node_id: u64) -> Resource {
    Resource::Other("node".into(), node_id.to_string())
}

/// In the audit log of the first fleet, whose owners look after the relay.
fn record(
    apply: &mut Apply<'_>,
    kind: EventKind,
    actor: Actor,
    resource: Resource,
    payload: &serde_json::Value,
) -> Result<(), StorageError> {
    apply.record_with(
        fleet::FIRST,
        kind,
        actor,
        resource,
        None,
        payload.to_string(),
    )
}
