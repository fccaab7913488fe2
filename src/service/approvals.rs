//! Approvals as operators see them.

use ekho_storage::Place;
use ekho_storage::tables::approval::{self, Approval, ApprovalStatus, Order, Risk};
use ekho_storage::tables::counter::{self, Counter};
use ekho_storage::tables::{FleetNo, TimeMs, agent};

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

/// Which approvals, in which order.
pub struct Wanted<'a> {
    /// Where they stand.
    pub status: Option<ApprovalStatus>,
    /// How risky.
    pub risk: Option<Risk>,
    /// Part of the summary or the kind of action, in lower case.
    pub search: Option<&'a str>,
    /// Not asked before this time.
    pub from_ms: Option<TimeMs>,
    /// Nor after this one.
    pub to_ms: Option<TimeMs>,
    /// In this order.
    pub order: Order,
    /// Backwards.
    pub descending: bool,
}

impl Wanted<'_> {
    fn admits(&self, approval: &Approval) -> bool {
        let asked_ms = approval.requested_ms;
        self.status.is_none_or(|status| approval.status == status)
            && self.risk.is_none_or(|risk| approval.risk == risk)
            && self.from_ms.is_none_or(|from_ms| asked_ms >= from_ms)
            && self.to_ms.is_none_or(|to_ms| asked_ms <= to_ms)
            && self.search.is_none_or(|text| {
                approval.summary.to_lowercase().contains(text)
                    || approval.action_type.to_lowercase().contains(text)
            })
    }

    /// The counter that counts just these.
    fn counter(&self) -> Option<Counter> {
        let others = self.risk.is_some()
            || self.search.is_some()
            || self.from_ms.is_some()
            || self.to_ms.is_some();
        match self.status {
            _ if others => None,
            None => Some(Counter::Approvals),
            Some(ApprovalStatus::Pending) => Some(Counter::ApprovalsPending),
            Some(_) => None,
        }
    }
}

impl Service {
    /// Approvals that are wanted, behind a place; and how many there are in all, where that is
    /// known.
    pub async fn approvals(
        &self,
        fleet: FleetNo,
        wanted: &Wanted<'_>,
        from: Option<Place>,
        limit: usize,
    ) -> Result<(Page<Asked, Option<Place>>, Option<u64>), ServiceError> {
        let view = self.operator_view().await?;
        let read = |from: &Option<Place>, wants| {
            let by = (wanted.order, wanted.status);
            let from = from.as_deref();
            let rows = approval::list(&view, fleet, by, wanted.descending, from, wants)?;
            Ok(rows
                .into_iter()
                .map(|(place, row)| (Some(place), row))
                .collect())
        };
        let page = fill(from, limit, read, |_, approval| {
            if !wanted.admits(&approval) {
                return Ok(None);
            }
            let found = agent::get(&view, fleet, approval.agent)?;
            Ok(Some(Asked {
                approval,
                agent_id: found.map(|agent| agent.id).unwrap_or_default(),
            }))
        })?;
        let total = match wanted.counter() {
            Some(counter) => Some(counter::get(&view, fleet, counter)?),
            None => None,
        };
        Ok((page, total))
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
