//! What a program and its hooks may ask of a running agent: send, propose, report, look.

use std::sync::Arc;
use std::time::Duration;

use super::hooks::AgentHooks;
use super::shared::{Phase, Shared};
use crate::client::EkhoAgentClient;
use crate::error::EkhoError;
use crate::retry::Backoff;
use crate::types::{
    ActionReport, ActionState, ActionStatus, Decision, OkAnswer, ProposeAction, SendAnswer,
    SendMessage,
};

/// Bound of the pauses while no relay can be asked about an approval.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A handle on a running agent; cheap to clone. It does not keep the agent running.
#[derive(Debug)]
pub struct AgentHandle<H> {
    shared: Arc<Shared<H>>,
}

impl<H> Clone for AgentHandle<H> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

/// How a proposed action was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ActionOutcome {
    /// True if the action may be taken.
    pub approved: bool,
    /// The approval to report the result to; None where no operator was asked.
    pub approval_id: Option<String>,
    /// Where the approval stands; None where no operator was asked.
    pub status: Option<ActionStatus>,
    /// Why, where the relay says so.
    pub reason: Option<String>,
}

/// How a running agent is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AdapterStatus {
    /// True while an operator's pause or quarantine is in force.
    pub paused: bool,
    /// Messages taken and not finished.
    pub messages_in_work: usize,
    /// Polls in a row that failed, each after the client's own retries; 0 while all is well.
    pub consecutive_failures: u32,
    /// Why the last one failed.
    pub last_error: Option<String>,
}

impl<H: AgentHooks> AgentHandle<H> {
    pub(super) fn new(shared: Arc<Shared<H>>) -> Self {
        Self { shared }
    }

    pub(super) fn shared(&self) -> &Arc<Shared<H>> {
        &self.shared
    }

    /// The client, for calls that need no adapter.
    pub fn client(&self) -> &EkhoAgentClient {
        &self.shared.client
    }

    /// The program's hooks, with whatever state they hold.
    pub fn hooks(&self) -> &H {
        &self.shared.hooks
    }

    /// True while an operator's pause or quarantine is in force.
    pub fn is_paused(&self) -> bool {
        self.shared.paused()
    }

    /// How the agent is doing.
    pub fn status(&self) -> AdapterStatus {
        let reach = self.shared.reach();
        AdapterStatus {
            paused: self.shared.paused(),
            messages_in_work: self.shared.lanes().in_work_count(),
            consecutive_failures: reach.consecutive_failures,
            last_error: reach.last_error,
        }
    }

    /// Sends a message; see [`EkhoAgentClient::send_message`]. Its conversation counts as active in
    /// the next heartbeat.
    pub async fn send(&self, message: &SendMessage) -> Result<SendAnswer, EkhoError> {
        self.shared.lanes().touch(&message.conversation_id);
        self.shared.client.send_message(message).await
    }

    /// Proposes an action and waits for the decision, however long an operator takes.
    ///
    /// Errors: [`EkhoError::RefusedByHook`], [`EkhoError::Stopped`], and those of
    /// [`EkhoAgentClient::propose_action`] and [`EkhoAgentClient::get_action`]; while no relay can
    /// be reached the wait goes on.
    pub async fn propose_action(&self, action: &ProposeAction) -> Result<ActionOutcome, EkhoError> {
        let hooks = &self.shared.hooks;
        hooks
            .before_action(action)
            .await
            .map_err(EkhoError::RefusedByHook)?;
        let answer = self.shared.client.propose_action(action).await?;
        let approval_id = match (answer.decision, answer.approval_id) {
            (Decision::PendingApproval, Some(approval_id)) => approval_id,
            (Decision::PendingApproval, None) => {
                return Err(EkhoError::Decode {
                    path: "/v1/actions/propose".to_owned(),
                    source: serde::de::Error::missing_field("approval_id"),
                });
            }
            // A word this version does not know is no permission.
            (decision, approval_id) => {
                return Ok(ActionOutcome {
                    approved: decision == Decision::Allow,
                    approval_id,
                    status: None,
                    reason: answer.reason,
                });
            }
        };
        hooks.on_approval_pending(&approval_id, action).await;
        let decided = self.wait_for_decision(&approval_id).await?;
        Ok(ActionOutcome {
            approved: decided.status.was_approved(),
            approval_id: Some(approval_id),
            status: Some(decided.status),
            reason: answer.reason,
        })
    }

    async fn wait_for_decision(&self, approval_id: &str) -> Result<ActionState, EkhoError> {
        let interval = self.shared.options.approval_poll_interval;
        let mut backoff = Backoff::new(interval, LONGEST_PAUSE);
        let mut pause = interval;
        while self.shared.pause_unless(Phase::Closed, pause).await {
            pause = match self.shared.client.get_action(approval_id).await {
                Ok(state) if !state.status.is_pending() => return Ok(state),
                Ok(_) => {
                    backoff.reset();
                    interval
                }
                Err(error) if error.is_transient() => {
                    tracing::warn!(approval_id, %error, "an approval could not be looked up");
                    backoff.next_delay(Some(interval))
                }
                Err(error) => return Err(error),
            };
        }
        Err(EkhoError::Stopped)
    }

    /// Reports what came of an approved action.
    pub async fn report_action_result(&self, report: &ActionReport) -> Result<OkAnswer, EkhoError> {
        self.shared.client.action_result(report).await
    }
}
