//! Looks at the nodes twice a second, as anybody could, and notes which of them are ready and which
//! leads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::actor::Nodes;
use crate::cluster::is_ready;
use crate::cluster_api;
use crate::operator::Operator;
use crate::timeline::{Kind, Timeline};

const PAUSE: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(1);

/// Looks until it is told to stop. `node_addresses` are those between nodes, by which members are
/// known.
pub async fn observe(
    nodes: Nodes,
    node_addresses: Vec<String>,
    mut operator: Operator,
    timeline: Timeline,
    stop: Arc<AtomicBool>,
) {
    let count = nodes.addresses.len();
    let mut not_ready: Vec<Option<usize>> = vec![None; count];
    let mut leads: Option<(usize, usize)> = None;
    let mut turn = 0;
    while !stop.load(Ordering::Relaxed) {
        for (no, address) in nodes.addresses.iter().enumerate() {
            let ready = is_ready(*address).await;
            match (ready, not_ready[no]) {
                (false, None) => {
                    not_ready[no] = Some(timeline.begin(Kind::NotReady, &[no], "not ready"));
                }
                (true, Some(event)) => {
                    timeline.end(event);
                    not_ready[no] = None;
                }
                _ => {}
            }
        }
        if count > 1 {
            turn += 1;
            operator.turn_to(turn);
            let status = tokio::time::timeout(PATIENCE, cluster_api::status(&mut operator));
            let status = status.await.ok().flatten();
            let leader = status.and_then(|status| {
                let address = status.leader_address()?;
                let place = node_addresses.iter().position(|known| known == address)?;
                Some((place, status.term))
            });
            if let Some((place, term)) = leader
                && leads.is_none_or(|(before, _)| before != place)
            {
                if let Some((_, event)) = leads {
                    timeline.end(event);
                }
                let what = format!("leads in term {term}");
                leads = Some((place, timeline.begin(Kind::Leads, &[place], what)));
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}
