//! Hooks as operators keep them: made, changed, removed, tried out, looked at.

use std::time::{Duration, Instant};

use ekho_storage::tables::hook::{self, Hook, HookDraft, HookEvent, OnFailure};
use ekho_storage::tables::operator::Scope;
use ekho_storage::tables::sequence::{self, Sequence};
use ekho_storage::tables::{FleetNo, TimeMs, fleet};
use zeroize::Zeroizing;

use super::operators::Caller;
use super::{Service, ServiceError};
use crate::clock::now_ms;
use crate::extension::{Call, Failure};
use crate::hooks::breaker::BreakerState;
use crate::hooks::handle::Seen;
use crate::hooks::http::HttpHook;
use crate::hooks::sign;
use crate::id;
use crate::machine::access::Need;
use crate::machine::command::{OperatorRequest, PutHook};
use crate::machine::outcome::{Outcome, Refusal};

/// What of a hook is to be otherwise; none stays as it is.
#[derive(Clone, Debug, Default)]
pub struct HookChange {
    /// Its name.
    pub name: Option<String>,
    /// Where it is.
    pub url: Option<String>,
    /// What it hears of.
    pub events: Option<Vec<HookEvent>>,
    /// Whether it is called.
    pub enabled: Option<bool>,
    /// How long it may take.
    pub timeout_ms: Option<u64>,
    /// What becomes of a message when it fails.
    pub on_failure: Option<OnFailure>,
    /// When it is asked.
    pub priority: Option<u32>,
    /// How long it is told again.
    pub retry_ms: Option<u64>,
}

impl HookChange {
    /// A hook with these fields in place of its own.
    pub fn apply(self, before: HookDraft) -> HookDraft {
        HookDraft {
            name: self.name.unwrap_or(before.name),
            url: self.url.unwrap_or(before.url),
            events: self.events.unwrap_or(before.events),
            enabled: self.enabled.unwrap_or(before.enabled),
            timeout_ms: self.timeout_ms.unwrap_or(before.timeout_ms),
            on_failure: self.on_failure.unwrap_or(before.on_failure),
            priority: self.priority.unwrap_or(before.priority),
            retry_ms: self.retry_ms.unwrap_or(before.retry_ms),
        }
    }
}

/// What a hook is where nothing else is said.
pub fn default_draft() -> HookDraft {
    HookDraft {
        name: String::new(),
        url: String::new(),
        events: Vec::new(),
        enabled: true,
        timeout_ms: 1000,
        on_failure: OnFailure::Closed,
        priority: 100,
        retry_ms: 3_600_000,
    }
}

/// How a hook fares.
pub struct HookStatus {
    /// What this node saw of it.
    pub seen: Seen,
    /// Its breakers on this node.
    pub breakers: Vec<(HookEvent, BreakerState)>,
    /// Events of the audit log that it was not told of, or that were not looked at, yet; none
    /// where it is told of none.
    pub behind: Option<u64>,
}

/// What came of trying a hook out.
pub struct HookTrial {
    /// The status it answered with, or why it did not.
    pub result: Result<u16, Failure>,
    /// How long that took.
    pub took: Duration,
}

impl Service {
    /// Hooks of a fleet in the order in which they are asked.
    pub async fn hooks(&self, fleet: FleetNo) -> Result<Vec<Hook>, ServiceError> {
        let mut hooks = hook::list(&self.operator_view().await?, fleet)?;
        hooks.sort_by(|a, b| (a.draft.priority, &a.id).cmp(&(b.draft.priority, &b.id)));
        Ok(hooks)
    }

    /// A hook of a fleet.
    pub async fn hook(&self, fleet: FleetNo, hook_id: &str) -> Result<Hook, ServiceError> {
        let view = self.operator_view().await?;
        let found = hook::get(&view, fleet, hook_id)?;
        found.ok_or_else(|| Refusal::NotFound.into())
    }

    /// Makes a hook; its id and its secret, which is told this once.
    pub async fn create_hook(
        &self,
        by: &Caller,
        draft: HookDraft,
    ) -> Result<(String, Zeroizing<String>), ServiceError> {
        let hook_id = id::new_id("hook_");
        let key = sign::new_key();
        let change = PutHook {
            hook_id: hook_id.clone(),
            from_version: 0,
            draft,
            sealed_secret: Some(self.seal(&hook_id, &key)?),
        };
        self.order(by, OperatorRequest::PutHook(Box::new(change)))
            .await?;
        Ok((hook_id, sign::told(&key)))
    }

    /// Changes a hook.
    pub async fn change_hook(
        &self,
        by: &Caller,
        hook_id: &str,
        change: HookChange,
    ) -> Result<Hook, ServiceError> {
        // Someone else may change it at the same moment: begin again from theirs.
        const TRIES: usize = 10;
        let mut tries = 0;
        loop {
            let before = self.hook(by.principal.fleet, hook_id).await?;
            let put = PutHook {
                hook_id: hook_id.into(),
                from_version: before.version,
                draft: change.clone().apply(before.draft),
                sealed_secret: None,
            };
            tries += 1;
            let result = self
                .order(by, OperatorRequest::PutHook(Box::new(put)))
                .await;
            match result {
                Ok(_) => return self.hook(by.principal.fleet, hook_id).await,
                Err(error @ ServiceError::Refused(Refusal::Conflict(_))) => {
                    let after = self.hook(by.principal.fleet, hook_id).await?;
                    if after.version == before.version || tries == TRIES {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Removes a hook.
    pub async fn delete_hook(&self, by: &Caller, hook_id: String) -> Result<(), ServiceError> {
        let request = OperatorRequest::DeleteHook { hook_id };
        self.order(by, request).await.map(|_| ())
    }

    /// Replaces a hook's secret; the new one, told this once, and until when the old one signs.
    pub async fn rotate_hook_secret(
        &self,
        by: &Caller,
        hook_id: String,
        overlap_ms: u64,
    ) -> Result<(Zeroizing<String>, TimeMs), ServiceError> {
        let key = sign::new_key();
        let request = OperatorRequest::RotateHookSecret {
            sealed_secret: self.seal(&hook_id, &key)?,
            hook_id,
            overlap_ms,
        };
        match self.order(by, request).await? {
            Outcome::Rotated {
                previous_valid_until_ms,
                ..
            } => Ok((sign::told(&key), previous_valid_until_ms)),
            outcome => Err(ServiceError::unexpected(&outcome)),
        }
    }

    /// Sends a hook a signed request that asks nothing, whether it is enabled or not. Its breakers
    /// do not hear of it.
    pub async fn try_hook(&self, by: &Caller, hook_id: &str) -> Result<HookTrial, ServiceError> {
        by.principal.require(Need::Scope(Scope::Hooks))?;
        let fleet_no = by.principal.fleet;
        let hook = self.hook(fleet_no, hook_id).await?;
        let fleet = fleet::get(&self.view(), fleet_no)?;
        let call = Call {
            id: id::new_id("ping_"),
            fleet_id: fleet.map(|fleet| fleet.id).unwrap_or_default(),
            at_ms: now_ms(),
        };
        let http = HttpHook::new(&hook, &self.sealer, self.extensions.clients());
        let began = Instant::now();
        let limit = Duration::from_millis(hook.draft.timeout_ms);
        let result = match tokio::time::timeout(limit, http.ping(&call)).await {
            Ok(result) => result,
            Err(_) => Err(Failure::Timeout),
        };
        Ok(HookTrial {
            result,
            took: began.elapsed(),
        })
    }

    /// How a hook fares on this node.
    pub async fn hook_status(
        &self,
        fleet: FleetNo,
        hook_id: &str,
    ) -> Result<HookStatus, ServiceError> {
        let hook = self.hook(fleet, hook_id).await?;
        let view = self.view();
        let all = self.extensions.of(&view, &self.sealer, fleet)?;
        let handle = all.handles.iter().find(|one| one.follower == hook_id);
        let handle = handle.ok_or(Refusal::NotFound)?;
        let behind = match hook.draft.follows() {
            true => {
                let head = sequence::last(&view, fleet, Sequence::Event)?;
                let position = hook::position(&view, fleet, hook_id)?.unwrap_or(head);
                Some(head.saturating_sub(position))
            }
            false => None,
        };
        let events = hook.draft.events.iter();
        Ok(HookStatus {
            seen: handle.seen(),
            breakers: events
                .map(|event| (*event, handle.breaker(*event)))
                .collect(),
            behind,
        })
    }
}
