//! A node that outlived the majority of its cluster becomes a cluster of its own.
//!
//! `cluster.becoming.json` says what it is becoming, from before anything is changed until all is.
//! While it is there the node does not start, and the next run goes on to the same end.

use std::path::Path;

use ekho_raft::{Holdings, inspect, rebuild};
use ekho_storage::tables::{TimeMs, system};

use super::{RebuildError, first_command, node_config, open_state};
use crate::identity::{BECOMING_FILE_NAME, FILE_NAME, Identity};
use crate::machine::command::Source;

/// What a node has to go on with.
#[derive(Clone, Debug)]
pub struct Survey {
    /// Who it is.
    pub identity: Identity,
    /// What it holds; none while an earlier run is unfinished, which has looked already.
    pub holdings: Option<Holdings>,
    /// The newest time it knows of.
    pub last_ms: TimeMs,
}

/// A node that became a cluster of its own.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// Who it is now.
    pub identity: Identity,
    /// Up to when it refuses signed requests.
    pub floor_ms: TimeMs,
}

/// Looks at the node in `data_dir`, and changes nothing.
pub async fn survey(data_dir: &Path) -> Result<Survey, RebuildError> {
    let identity = identity(data_dir)?;
    let state = open_state(data_dir).await?;
    let state_ms = system::get(&state.view())?.now_ms;
    if data_dir.join(BECOMING_FILE_NAME).exists() {
        return Ok(Survey {
            identity,
            holdings: None,
            last_ms: state_ms,
        });
    }
    let holdings = inspect(&node_config(data_dir, &identity), &state).await?;
    let mut others = holdings.members.iter().filter(|member| member.voter);
    if others.all(|member| member.node_id == identity.node_id) {
        return Err(RebuildError::Alone);
    }
    Ok(Survey {
        identity,
        last_ms: state_ms.max(holdings.last_command_ms.unwrap_or_default()),
        holdings: Some(holdings),
    })
}

/// Makes the node in `data_dir` the only voter of a new cluster. Nothing was accepted anywhere after
/// `lost_ms`.
pub async fn recover(data_dir: &Path, lost_ms: TimeMs) -> Result<Recovered, RebuildError> {
    let from = identity(data_dir)?;
    let becoming = data_dir.join(BECOMING_FILE_NAME);
    let to = match Identity::read(&becoming)? {
        Some(begun) => begun,
        None => {
            let to = Identity::in_new_cluster(from.node_id);
            to.write(&becoming)?;
            to
        }
    };
    let state = open_state(data_dir).await?;
    let source = Source::Survivor {
        node_id: from.node_id,
    };
    let (command, floor_ms) = first_command(&state, source, &from.cluster_id, &to, lost_ms)?;
    if from != to {
        let config = node_config(data_dir, &to);
        rebuild(&config, Some(&from.cluster_id), &state, command).await?;
        to.write(&data_dir.join(FILE_NAME))?;
    }
    Identity::remove(&becoming)?;
    Ok(Recovered {
        identity: to,
        floor_ms,
    })
}

fn identity(data_dir: &Path) -> Result<Identity, RebuildError> {
    let no_node = || RebuildError::NoNode {
        dir: data_dir.to_path_buf(),
    };
    if !data_dir.join("state").is_dir() {
        return Err(no_node());
    }
    Identity::read(&data_dir.join(FILE_NAME))?.ok_or_else(no_node)
}
