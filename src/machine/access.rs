//! Who acts as an operator, and what they may do.
//!
//! Asked twice: where a request comes in, to refuse early and to read, and again in apply, where
//! it decides. A command carries the hash of the bearer token it came with, so that what was
//! ended, removed or demoted a moment ago has no effect any more.

use ekho_storage::tables::operator::{self, Operator, Scope, Scopes};
use ekho_storage::tables::session::{self, Origin, Session};
use ekho_storage::tables::{FleetNo, TimeMs, fleet};
use ekho_storage::{Read, StorageError};

use super::command::OperatorRequest;
use super::outcome::Refusal;

/// Somebody who acts as an operator.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The fleet.
    pub fleet: FleetNo,
    /// The operator.
    pub operator: Operator,
    /// What lets them act.
    pub session: Session,
    /// Keyed hash of its token.
    pub token_hash: [u8; 32],
    /// What they may do.
    pub scopes: Scopes,
}

/// What a call needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A scope.
    Scope(Scope),
    /// That a person signed in, not a program with an API token.
    Login,
}

/// Who a token stands for; none where nobody, any more.
pub fn principal(
    read: &impl Read,
    token_hash: [u8; 32],
    now_ms: TimeMs,
) -> Result<Option<Principal>, StorageError> {
    let Some(session) = session::get(read, &token_hash)? else {
        return Ok(None);
    };
    if session.expires_ms.is_some_and(|at_ms| at_ms <= now_ms) {
        return Ok(None);
    }
    if fleet::is_archived(read, session.fleet)? {
        return Ok(None);
    }
    let Some(operator) = operator::get(read, session.fleet, &session.operator_id)? else {
        return Ok(None);
    };
    let mut role = operator.role.scopes();
    if session.fleet != fleet::FIRST {
        role = role.without(Scopes::of(&Scope::RELAY));
    }
    let scopes = match &session.origin {
        Origin::Login { .. } => role,
        Origin::ApiToken { scopes, .. } => role.and(*scopes),
    };
    Ok(Some(Principal {
        fleet: session.fleet,
        operator,
        session,
        token_hash,
        scopes,
    }))
}

impl Principal {
    /// The address that they signed in from; empty for an API token.
    pub fn address(&self) -> &str {
        match &self.session.origin {
            Origin::Login { address, .. } => address,
            Origin::ApiToken { .. } => "",
        }
    }

    /// Refuses what they may not do.
    pub fn require(&self, need: Need) -> Result<(), Refusal> {
        match need {
            Need::Scope(scope) if self.scopes.has(scope) => Ok(()),
            Need::Scope(scope) => Err(Refusal::Forbidden(scope)),
            Need::Login if matches!(self.session.origin, Origin::Login { .. }) => Ok(()),
            Need::Login => Err(Refusal::LoginOnly),
        }
    }
}

impl OperatorRequest {
    /// What it takes to ask for this.
    pub fn needs(&self) -> Need {
        match self {
            OperatorRequest::CreateEnrollmentToken { .. }
            | OperatorRequest::RevokeAgentKey { .. }
            | OperatorRequest::Hold { .. }
            | OperatorRequest::Resume { .. }
            | OperatorRequest::Revoke { .. }
            | OperatorRequest::SetLabels { .. }
            | OperatorRequest::IssueSecret { .. }
            | OperatorRequest::CreateA2aClient(_)
            | OperatorRequest::ChangeA2aClient { .. }
            | OperatorRequest::CreateA2aToken { .. }
            | OperatorRequest::RevokeA2aToken { .. }
            | OperatorRequest::CreateA2aRemote(_)
            | OperatorRequest::ChangeA2aRemote(_) => Need::Scope(Scope::Agents),
            OperatorRequest::RetryPush { .. } => Need::Scope(Scope::Messages),
            OperatorRequest::DecideApproval { .. } => Need::Scope(Scope::Approvals),
            OperatorRequest::Redrive { .. }
            | OperatorRequest::Purge { .. }
            | OperatorRequest::Send(_)
            | OperatorRequest::SendWith { .. }
            | OperatorRequest::CreateAttachment(_)
            | OperatorRequest::Cancel { .. }
            | OperatorRequest::Redirect { .. } => Need::Scope(Scope::Messages),
            // What may happen to the fleet's own messages.
            OperatorRequest::ChangeFleetSettings(_)
            | OperatorRequest::PutPolicy { .. }
            | OperatorRequest::DeletePolicy { .. }
            | OperatorRequest::ImportPolicies { .. }
            | OperatorRequest::RollBackPolicy { .. } => Need::Scope(Scope::Policies),
            OperatorRequest::ChangeSettings { .. }
            | OperatorRequest::ChangeAttachmentSettings { .. }
            | OperatorRequest::InstallLicense(_) => Need::Scope(Scope::Settings),
            OperatorRequest::CreateFleet(_)
            | OperatorRequest::RenameFleet { .. }
            | OperatorRequest::ArchiveFleet { .. }
            | OperatorRequest::RestoreFleet { .. } => Need::Scope(Scope::Fleets),
            OperatorRequest::CreateJoinToken(_)
            | OperatorRequest::DeleteJoinToken { .. }
            | OperatorRequest::SetNodePart { .. }
            | OperatorRequest::NodeMoved { .. }
            | OperatorRequest::NodeDebugged { .. }
            | OperatorRequest::RotateMasterSecret { .. } => Need::Scope(Scope::Cluster),
            OperatorRequest::PutHook(_)
            | OperatorRequest::DeleteHook { .. }
            | OperatorRequest::RotateHookSecret { .. } => Need::Scope(Scope::Hooks),
            OperatorRequest::TakeBackup { .. } => Need::Scope(Scope::Backup),
            // It makes operators, besides all else that it may make.
            OperatorRequest::Import { .. }
            | OperatorRequest::CreateOperator { .. }
            | OperatorRequest::ResetTotp { .. }
            | OperatorRequest::ChangeOperator { .. }
            | OperatorRequest::DeleteOperator { .. }
            | OperatorRequest::RegisterKey { is_root: true, .. }
            | OperatorRequest::EndorseKey { .. }
            | OperatorRequest::EndSession {
                operator_id: Some(_),
                ..
            } => Need::Scope(Scope::Operators),
            // It depends on whose key it is, which apply finds out.
            OperatorRequest::RevokeKey { .. } => Need::Scope(Scope::Read),
            OperatorRequest::RegisterKey { is_root: false, .. }
            | OperatorRequest::EndSession {
                operator_id: None, ..
            }
            | OperatorRequest::EndOtherSessions
            | OperatorRequest::ChangePassword { .. }
            | OperatorRequest::BeginTotp { .. }
            | OperatorRequest::ConfirmTotp { .. }
            | OperatorRequest::DisableTotp { .. }
            | OperatorRequest::CreateApiToken { .. } => Need::Login,
        }
    }
}
