//! Approvals as operators see them.

use ekho_storage::tables::approval::{self, Approval};
use ekho_storage::tables::{FleetNo, agent};

use super::{Service, ServiceError};
use crate::machine::outcome::Refusal;

/// Rows that one page looks at, however few match.
const SCANNED: usize = 1000;

/// A page of a list with a filter.
pub struct Page<T, C> {
    /// What matched.
    pub rows: Vec<T>,
    /// Where to go on; none at the end.
    pub next: Option<C>,
}

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
        let found = approval::list_rev(&view, fleet, before, SCANNED)?;
        let full = found.len() == SCANNED;
        let mut page = Page {
            next: found.last().filter(|_| full).map(|last| last.uuid),
            rows: Vec::new(),
        };
        for approval in found.into_iter().filter(|one| wanted(one)) {
            if page.rows.len() == limit {
                page.next = page.rows.last().map(|last: &Asked| last.approval.uuid);
                break;
            }
            let found = agent::get(&view, fleet, approval.agent)?;
            page.rows.push(Asked {
                approval,
                agent_id: found.map(|agent| agent.id).unwrap_or_default(),
            });
        }
        Ok(page)
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
