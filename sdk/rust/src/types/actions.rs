//! Actions that may need an operator's approval: propose, look up, report.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::open_enum;

open_enum! {
    /// How much harm an action could do. High and critical ones wait for an operator.
    RiskLevel {
        /// Hardly any.
        Low = "low",
        /// Some.
        Medium = "medium",
        /// Much.
        High = "high",
        /// Beyond repair.
        Critical = "critical",
    }
}

/// POST /v1/actions/propose.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProposeAction {
    /// Conversation in which the action came up.
    pub conversation_id: String,
    /// What kind of action.
    pub action_type: String,
    /// What an operator should read.
    pub summary: String,
    /// How much harm it could do.
    pub risk_level: RiskLevel,
    /// Its details: a JSON object.
    #[serde(default = "nothing")]
    pub payload: Value,
}

fn nothing() -> Value {
    Value::Object(serde_json::Map::new())
}

open_enum! {
    /// The relay's word on a proposal.
    Decision {
        /// Go ahead.
        Allow = "allow",
        /// Do not.
        Deny = "deny",
        /// An operator decides.
        PendingApproval = "pending_approval",
    }
}

/// Answer to a proposal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProposeAnswer {
    /// The relay's word.
    pub decision: Decision,
    /// Id of the approval to wait for.
    #[serde(default)]
    pub approval_id: Option<String>,
    /// Why, where the relay says so.
    #[serde(default)]
    pub reason: Option<String>,
}

open_enum! {
    /// Where an approval stands.
    ActionStatus {
        /// An operator has yet to decide.
        Pending = "pending",
        /// The same in the words of later relays.
        PendingApproval = "pending_approval",
        /// The operator agreed.
        Approved = "approved",
        /// The operator refused.
        Rejected = "rejected",
        /// The agent reports it done.
        Executed = "executed",
        /// The agent reports it given up.
        Cancelled = "cancelled",
        /// The agent reports that it failed.
        Failed = "failed",
        /// Nobody decided in time.
        Expired = "expired",
    }
}

impl ActionStatus {
    /// True while an operator has yet to decide.
    pub fn is_pending(&self) -> bool {
        matches!(self, Self::Pending | Self::PendingApproval)
    }

    /// True once an operator agreed, whatever came of it.
    pub fn was_approved(&self) -> bool {
        matches!(self, Self::Approved | Self::Executed)
    }
}

/// GET /v1/actions/{id}: what the proposing agent may read of an approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ActionState {
    /// Its id.
    pub id: String,
    /// Where it stands.
    pub status: ActionStatus,
    /// What kind of action.
    #[serde(default)]
    pub action_type: Option<String>,
    /// How much harm it could do.
    #[serde(default)]
    pub risk_level: Option<RiskLevel>,
    /// What the operator read.
    #[serde(default)]
    pub summary: Option<String>,
    /// When it was proposed.
    #[serde(default)]
    pub requested_at: Option<String>,
    /// When it was decided.
    #[serde(default)]
    pub resolved_at: Option<String>,
}

open_enum! {
    /// What came of an approved action.
    ActionResult {
        /// Done.
        Executed = "executed",
        /// Given up.
        Cancelled = "cancelled",
        /// Tried without success.
        Failed = "failed",
    }
}

/// POST /v1/actions/result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActionReport {
    /// Which approval.
    pub approval_id: String,
    /// What came of it.
    pub result: ActionResult,
    /// When it was over.
    #[serde(default = "crate::time::now_iso8601")]
    pub completed_at: String,
    /// What it produced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
}

impl ActionReport {
    /// A report of an action that is over now.
    pub fn now(approval_id: impl Into<String>, result: ActionResult) -> Self {
        Self {
            approval_id: approval_id.into(),
            result,
            completed_at: crate::time::now_iso8601(),
            output: None,
        }
    }
}
