//! Actions: propose, look at, report.

use ekho_storage::tables::approval::{self, Approval};

use super::{Caller, Service, ServiceError};
use crate::machine::command::{ActionResult, AgentRequest, Propose};
use crate::machine::outcome::{Decision, Outcome, Refusal};

impl Service {
    /// Proposes an action.
    pub async fn propose_action(
        &self,
        caller: Caller,
        propose: Propose,
    ) -> Result<Decision, ServiceError> {
        match self.signed(&caller, AgentRequest::Propose(propose)).await? {
            Outcome::Proposed(decision) => Ok(decision),
            outcome => Err(ServiceError::unexpected(&outcome)),
        }
    }

    /// An approval the caller asked for.
    pub async fn approval(&self, caller: &Caller, uuid: u128) -> Result<Approval, ServiceError> {
        let view = self.read(caller).await?;
        approval::get(&view, caller.agent.fleet, uuid)?
            .filter(|approval| approval.agent == caller.agent.no)
            .ok_or_else(|| Refusal::NotFound.into())
    }

    /// Reports what came of an action.
    pub async fn action_result(
        &self,
        caller: Caller,
        approval: u128,
        result: ActionResult,
        output: Option<String>,
    ) -> Result<(), ServiceError> {
        self.signed(
            &caller,
            AgentRequest::ActionResult {
                approval,
                result,
                output,
            },
        )
        .await
        .map(|_| ())
    }
}
