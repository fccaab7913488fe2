//! A2A agents elsewhere: as operators register them, and what the relay does for them.

use ekho_storage::View;
use ekho_storage::tables::a2a_remote::{self, A2aRemote};
use ekho_storage::tables::agent::{self, Agent};
use ekho_storage::tables::{AgentNo, FleetNo};
use zeroize::Zeroizing;

use super::operators::Caller;
use super::page::{Page, fill};
use super::{Service, ServiceError};
use crate::id;
use crate::machine::command::{Command, NewA2aRemote, OperatorRequest, RemoteRequest};
use crate::machine::outcome::{Outcome, Refusal};

/// An agent elsewhere to be registered or changed.
pub struct NewRemote {
    /// For people.
    pub name: String,
    /// Where its card is.
    pub card_url: String,
    /// Scheme of HTTP by which to show who calls.
    pub scheme: Option<String>,
    /// What goes with the scheme.
    pub credentials: Option<Zeroizing<String>>,
}

impl Service {
    /// Registers an agent elsewhere; its public id.
    pub async fn create_a2a_remote(
        &self,
        by: &Caller,
        new: NewRemote,
    ) -> Result<String, ServiceError> {
        let agent_id = id::new_id("agent_");
        let new = self.sealed_remote(agent_id.clone(), new)?;
        let request = OperatorRequest::CreateA2aRemote(Box::new(new));
        self.order(by, request).await?;
        Ok(agent_id)
    }

    /// Changes where an agent elsewhere is, and what it is shown.
    pub async fn change_a2a_remote(
        &self,
        by: &Caller,
        agent_id: String,
        new: NewRemote,
    ) -> Result<(), ServiceError> {
        let new = self.sealed_remote(agent_id, new)?;
        let request = OperatorRequest::ChangeA2aRemote(Box::new(new));
        self.order(by, request).await.map(|_| ())
    }

    fn sealed_remote(
        &self,
        agent_id: String,
        new: NewRemote,
    ) -> Result<NewA2aRemote, ServiceError> {
        let sealed = match &new.credentials {
            Some(credentials) => Some(self.seal(&agent_id, credentials.as_bytes())?),
            None => None,
        };
        Ok(NewA2aRemote {
            agent_id,
            name: new.name,
            card_url: new.card_url,
            scheme: new.scheme,
            sealed,
        })
    }

    /// Agents elsewhere of a fleet, in the order in which they were registered, behind this one.
    pub async fn a2a_remotes(
        &self,
        fleet: FleetNo,
        after: AgentNo,
        limit: usize,
    ) -> Result<Page<(Agent, A2aRemote), AgentNo>, ServiceError> {
        let view = self.operator_view().await?;
        let read = |after: &AgentNo, wants| {
            let from = after.saturating_add(1);
            Ok(a2a_remote::list(&view, fleet, from, wants)?)
        };
        fill(after, limit, read, |no, remote: A2aRemote| {
            let found = agent::get(&view, fleet, *no)?;
            Ok(found.map(|agent| (agent, remote)))
        })
    }

    /// The header by which an agent elsewhere is shown who calls.
    pub fn remote_authorization(
        &self,
        agent: &Agent,
        remote: &A2aRemote,
    ) -> Result<Option<Zeroizing<String>>, ServiceError> {
        let Some(scheme) = &remote.scheme else {
            return Ok(None);
        };
        let Some(sealed) = &remote.sealed else {
            return Ok(Some(Zeroizing::new(scheme.clone())));
        };
        let credentials = self.sealer.open(&agent.id, sealed)?;
        let credentials = String::from_utf8_lossy(&credentials);
        Ok(Some(Zeroizing::new(format!("{scheme} {credentials}"))))
    }

    /// An agent elsewhere that is in use.
    pub fn remote(
        &self,
        view: &View,
        fleet: FleetNo,
        no: AgentNo,
    ) -> Result<Option<(Agent, A2aRemote)>, ServiceError> {
        let agent = agent::get(view, fleet, no)?.filter(|agent| !agent.revoked);
        let remote = a2a_remote::get(view, fleet, no)?;
        Ok(agent.zip(remote))
    }

    /// Does something for an agent elsewhere.
    pub async fn act_for_remote(
        &self,
        agent: &Agent,
        request: RemoteRequest,
    ) -> Result<Outcome, ServiceError> {
        /// As with other messages: who changes hooks all the time must not keep us here.
        const TRIES: usize = 5;
        let mut request = request;
        for _ in 0..TRIES {
            if let RemoteRequest::Update(update) = &mut request {
                let messages = vec![(agent, &mut update.carrier)];
                self.judge_stored(agent.fleet, messages).await?;
            }
            let (fleet, agent) = (agent.fleet, agent.no);
            let request = request.clone();
            let command = Command::Remote {
                fleet,
                agent,
                request,
            };
            match self.propose(&command).await {
                Err(ServiceError::Refused(Refusal::ExtensionsNotAsked)) => {}
                outcome => return outcome,
            }
        }
        Err(Refusal::ExtensionsNotAsked.into())
    }
}
