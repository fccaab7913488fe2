//! Where A2A clients want to be told of their tasks: what they say of it, and what operators see.

use ekho_storage::View;
use ekho_storage::tables::FleetNo;
use ekho_storage::tables::task;
use ekho_storage::tables::task_push::{self, GaveUp, Push};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::page::{Page, fill};
use super::tasks::Party;
use super::{Service, ServiceError};
use crate::machine::command::{NewPush, TaskRequest};
use crate::machine::outcome::{Outcome, Refusal};
use crate::machine::task_push::PUSHES_MAX;

/// A configuration with its secrets.
pub struct PushText {
    /// Its id.
    pub id: String,
    /// As it is stored.
    pub push: Push,
    /// Its secrets.
    pub secrets: Secrets,
}

/// What a receiver wants to be shown.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Secrets {
    /// A token, told as it is.
    pub token: Option<Zeroizing<String>>,
    /// What goes with the scheme.
    pub credentials: Option<Zeroizing<String>>,
}

impl Service {
    /// A configuration to be made, its secrets encrypted.
    pub fn new_push(
        &self,
        id: String,
        url: String,
        scheme: Option<String>,
        secrets: &Secrets,
    ) -> Result<NewPush, ServiceError> {
        let text = serde_json::to_vec(secrets).map(Zeroizing::new);
        let text = text.map_err(|error| ServiceError::Internal(error.to_string()))?;
        Ok(NewPush {
            sealed: self.seal(&owner(&id), &text)?,
            id,
            url,
            scheme,
        })
    }

    /// Opens what is stored of a configuration.
    pub fn push_text(&self, id: String, push: Push) -> Result<PushText, ServiceError> {
        let text = self.sealer.open(&owner(&id), &push.sealed)?;
        let secrets = serde_json::from_slice(&text)
            .map_err(|error| ServiceError::Internal(error.to_string()))?;
        Ok(PushText { id, push, secrets })
    }

    /// Says where a client wants to be told of its task.
    pub async fn put_push(
        &self,
        by: &Party,
        task: u128,
        push: NewPush,
    ) -> Result<(), ServiceError> {
        self.done(by, TaskRequest::PutPush { task, push }).await
    }

    /// Takes that back.
    pub async fn delete_push(
        &self,
        by: &Party,
        task: u128,
        id: String,
    ) -> Result<(), ServiceError> {
        self.done(by, TaskRequest::DeletePush { task, id }).await
    }

    async fn done(&self, by: &Party, request: TaskRequest) -> Result<(), ServiceError> {
        match self.do_task(by, request).await? {
            Outcome::Done => Ok(()),
            outcome => Err(ServiceError::unexpected(&outcome)),
        }
    }

    /// Where the client of a task wants to be told of it. The agent is nobody to know.
    pub fn pushes(
        &self,
        view: &View,
        by: &Party,
        task: u128,
    ) -> Result<Vec<PushText>, ServiceError> {
        let agent = by.agent();
        let found = task::get(view, agent.fleet, task)?;
        if found.is_none_or(|task| task.client != agent.no) {
            return Err(Refusal::NotFound.into());
        }
        task_push::list(view, agent.fleet, task, PUSHES_MAX as usize)?
            .into_iter()
            .map(|(id, push)| self.push_text(id, push))
            .collect()
    }

    /// Configurations of a fleet that were given up, the latest first.
    pub async fn pushes_given_up(
        &self,
        fleet: FleetNo,
        after: Option<GaveUp>,
        limit: usize,
    ) -> Result<Page<(u128, String, Push), Option<GaveUp>>, ServiceError> {
        let view = self.operator_view().await?;
        let read = |after: &Option<GaveUp>, wants| {
            let rows = task_push::gave_up(&view, fleet, after.as_ref(), wants)?;
            Ok(rows.into_iter().map(|row| (Some(row), ())).collect())
        };
        fill(after, limit, read, |place, ()| {
            let Some((_, (task, id))) = place else {
                return Ok(None);
            };
            let push = task_push::get(&view, fleet, *task, id)?;
            Ok(push.map(|push| (*task, id.clone(), push)))
        })
    }
}

/// Whose secrets they are, to the sealer; no agent's id looks like this.
pub(super) fn owner(id: &str) -> String {
    format!("task push {id}")
}
