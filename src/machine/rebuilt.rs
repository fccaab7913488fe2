//! Backups that are taken, and the beginning of a cluster that was made of one or of a survivor.

use ekho_storage::StorageError;
use ekho_storage::tables::event::{Actor, EventKind, Resource};
use ekho_storage::tables::{cluster, fleet};

use super::FLEETS_MAX;
use super::access::Principal;
use super::apply::{Apply, payload};
use super::command::{Rebuilt, Source};
use super::outcome::Outcome;

/// Writes down who takes a backup, before it is taken: it holds that as well.
pub(crate) fn backup_taken(
    apply: &mut Apply<'_>,
    by: &Principal,
    label: String,
) -> Result<Outcome, StorageError> {
    let actor = Actor::Operator(by.operator.id.clone());
    let resource = Resource::Other("backup".into(), String::new());
    let payload = payload(&[("label", &label)]);
    apply.record_with(
        by.fleet,
        EventKind::BackupTaken,
        actor,
        resource,
        None,
        payload,
    )?;
    Ok(Outcome::Done)
}

/// Begins a new cluster with an old state. What the old cluster accepted and is not in it is
/// unknown, nonces among it, so no timestamp is taken that it may have accepted.
pub(crate) fn begin(apply: &mut Apply<'_>, rebuilt: &Rebuilt) -> Result<Outcome, StorageError> {
    let skew_ms = apply.settings.timestamp_skew_ms;
    apply.system.memory_lost(rebuilt.lost_ms, skew_ms);
    let floor_ms = apply.system.timestamp_floor_ms;
    // Its nodes are not of this cluster, nor can anybody join by what admitted them. Their numbers
    // are not given again.
    let mut cluster = cluster::get(apply.txn)?;
    cluster.nodes.clear();
    cluster.tokens.clear();
    cluster::put(apply.txn, &cluster);
    let mut what = serde_json::json!({
        "lost_ms": rebuilt.lost_ms,
        "timestamp_floor_ms": floor_ms,
    });
    let kind = match &rebuilt.source {
        Source::Backup { at_ms, .. } => {
            what["backup_ms"] = (*at_ms).into();
            EventKind::RelayRestored
        }
        Source::Survivor { .. } => EventKind::RelayRecovered,
    };
    // Every fleet's log goes on from an older state, so each says so; about the cluster the first
    // one is told, whose owners administer it.
    for fleet in fleet::list(apply.txn, FLEETS_MAX as usize)? {
        let mut what = what.clone();
        if fleet.no == fleet::FIRST {
            what["from_cluster_id"] = rebuilt.from_cluster_id.as_str().into();
            what["cluster_id"] = rebuilt.cluster_id.as_str().into();
            match &rebuilt.source {
                Source::Backup { label, .. } => what["label"] = label.as_str().into(),
                Source::Survivor { node_id } => what["node_id"] = (*node_id).into(),
            }
        }
        let resource = Resource::Other("relay".into(), String::new());
        apply.record_with(
            fleet.no,
            kind,
            Actor::System,
            resource,
            None,
            what.to_string(),
        )?;
    }
    Ok(Outcome::Done)
}
