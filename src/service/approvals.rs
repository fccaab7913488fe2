//! Approvals as operators see them.

use ekho_storage::tables::approval::{self, Approval};
use ekho_storage::tables::{FleetNo, agent};

use super::page::{Page, fill};
use super::{Service, ServiceError};
use crate::machine::outcome::Refusal;

/// An approval with the public id of who asked.
pub struct Asked {
    /// The approval.
    pub approval: Approval,
    /// Public id of the agent.
    pub agent_id: String,
}

impl Service {
    /// Approvals asked before this one that are wanted, newest first.
    pub async fn approvals(
        &self,
        fleet: FleetNo,
        before: u128,
        limit: usize,
        wanted: impl Fn(&Approval) -> bool,
    ) -> Result<Page<Asked, u128>, ServiceError> {
        let view = self.operator_view().await?;
        let read = |before, wants| {
            let rows = approval::list_rev(&view, fleet, before, wants)?;
            Ok(rows.into_iter().map(|one| (one.uuid, one)).collect())
        };
        fill(before, limit, read, |_, approval| {
            if !wanted(&approval) {
                return Ok(None);
            }
            let found = agent::get(&view, fleet, approval.agent)?;
            Ok(Some(Asked {
                approval,
                agent_id: found.map(|agent| agent.id).unwrap_or_default(),
            }))
        })
    }

    /// One approval.
    pub async fn asked_approval(&self, fleet: FleetNo, uuid: u128) -> Result<Asked, ServiceError> {
        let view = self.operator_view().await?;
        let approval = approval::get(&view, fleet, uuid)?.ok_or(Refusal::NotFound)?;
        let found = agent::get(&view, fleet, approval.agent)?;
        Ok(Asked {
            approval,
            agent_id: found.map(|agent| agent.id).unwrap_or_default(),
        })
    }
}
