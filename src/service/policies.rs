//! Policies as operators see them.

use ekho_storage::tables::FleetNo;
use ekho_storage::tables::policy::{self, Policy};

use super::{Service, ServiceError};
use crate::machine::outcome::Refusal;
use crate::machine::policy::sort;

impl Service {
    /// Policies of a fleet in the order in which they are looked at.
    pub async fn policies(&self, fleet: FleetNo) -> Result<Vec<Policy>, ServiceError> {
        let view = self.operator_view().await?;
        let mut policies = policy::list(&view, fleet)?;
        sort(&mut policies);
        Ok(policies)
    }

    /// Versions of a policy, newest first.
    pub async fn policy_versions(
        &self,
        fleet: FleetNo,
        policy_id: &str,
    ) -> Result<Vec<Policy>, ServiceError> {
        let view = self.operator_view().await?;
        if policy::get(&view, fleet, policy_id)?.is_none() {
            return Err(Refusal::NotFound.into());
        }
        Ok(policy::versions(&view, fleet, policy_id)?)
    }
}
