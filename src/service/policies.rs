//! Policies as operators see them.

use std::sync::Arc;

use ekho_storage::StorageError;
use ekho_storage::tables::agent::{self, Agent};
use ekho_storage::tables::message::{Message, Priority, Recipient};
use ekho_storage::tables::policy::{self, Draft, PairRate, Policy};
use ekho_storage::tables::rate::Pair;
use ekho_storage::tables::{AgentNo, FleetNo, TimeMs};

use super::operators::Caller;
use super::{Service, ServiceError};
use crate::clock::now_ms;
use crate::id;
use crate::machine::command::OperatorRequest;
use crate::machine::outcome::{Imported, Outcome, Refusal};
use crate::machine::policy::{Body, Party, Question, Rules, sent_in_window};

/// A message nobody sent.
pub struct Hypothetical {
    /// Public id of the sender, who need not exist.
    pub sender_agent_id: String,
    /// Public id of the recipient, who need not exist either.
    pub recipient_agent_id: Option<String>,
    /// Its type.
    pub message_type: String,
    /// Its priority.
    pub priority: Priority,
    /// Its conversation.
    pub conversation_id: String,
    /// Its body, JSON.
    pub body: String,
    /// When it is sent.
    pub at_ms: TimeMs,
}

impl Hypothetical {
    /// One that was sent, as if it were sent again.
    pub fn of(message: &Message, body: &[u8], at_ms: TimeMs) -> Self {
        Hypothetical {
            sender_agent_id: message.sender_id.clone(),
            recipient_agent_id: match &message.recipient {
                Recipient::Agent(id) => Some(id.clone()),
                Recipient::Group(_) | Recipient::Broadcast => None,
            },
            message_type: message.message_type.clone(),
            priority: message.priority,
            conversation_id: message.conversation_id.clone(),
            body: String::from_utf8_lossy(body).into_owned(),
            at_ms,
        }
    }
}

impl Service {
    /// Policies of a fleet in the order in which they are looked at.
    pub async fn policies(&self, fleet: FleetNo) -> Result<Arc<Rules>, ServiceError> {
        let view = self.operator_view().await?;
        Ok(self.rules.get(&view, fleet)?)
    }

    /// The same with one that is not stored, new or in the place of another.
    pub async fn policies_with(
        &self,
        fleet: FleetNo,
        draft: Draft,
        replaces: Option<String>,
    ) -> Result<Arc<Rules>, ServiceError> {
        let view = self.operator_view().await?;
        let mut policies = policy::list(&view, fleet)?;
        let now_ms = now_ms();
        let mut added = Policy {
            id: replaces.clone().unwrap_or_else(|| id::new_id("pol_")),
            version: 0,
            draft,
            created_ms: now_ms,
            updated_ms: now_ms,
            updated_by: String::new(),
        };
        if let Some(replaces) = replaces {
            let known = policies.iter().position(|policy| policy.id == replaces);
            let known = policies.remove(known.ok_or(Refusal::NotFound)?);
            (added.created_ms, added.version) = (known.created_ms, known.version);
        }
        policies.push(added);
        Ok(Arc::new(Rules::new(policies)))
    }

    /// One policy.
    pub async fn policy(&self, fleet: FleetNo, policy_id: &str) -> Result<Policy, ServiceError> {
        let view = self.operator_view().await?;
        policy::get(&view, fleet, policy_id)?.ok_or(Refusal::NotFound.into())
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

    /// Asks about a message nobody sent, with all that is known of its sender and recipient.
    pub fn preview<T>(
        &self,
        fleet: FleetNo,
        message: &Hypothetical,
        ask: impl FnOnce(&Question<'_>) -> Result<T, StorageError>,
    ) -> Result<T, ServiceError> {
        let view = self.view();
        let find = |id: &str| -> Result<Option<Agent>, StorageError> {
            Ok(agent::by_id(&view, id)?.filter(|agent| agent.fleet == fleet))
        };
        let sender = find(&message.sender_agent_id)?;
        let recipient_id = message.recipient_agent_id.as_deref();
        let recipient = match recipient_id {
            Some(id) => find(id)?,
            None => None,
        };
        let no = |agent: &Option<Agent>| -> AgentNo { agent.as_ref().map_or(0, |agent| agent.no) };
        let sent = |policy: &str, rate: &PairRate| {
            let pair = Pair {
                fleet,
                policy,
                sender: no(&sender),
                recipient: no(&recipient),
            };
            Ok(sent_in_window(&view, &pair, rate, message.at_ms)?.count)
        };
        let asked = Question {
            sender: party(&message.sender_agent_id, sender.as_ref()),
            recipient: recipient_id.map(|id| party(id, recipient.as_ref())),
            message_type: &message.message_type,
            priority: message.priority,
            conversation_id: &message.conversation_id,
            body: &Body::new(message.body.as_bytes()),
            now_ms: message.at_ms,
            sent: &sent,
        };
        Ok(ask(&asked)?)
    }

    /// Makes a set of policies hold. Those without an id are the ones of the same name, where
    /// there is just one, or new.
    pub async fn import_policies(
        &self,
        caller: &Caller,
        policies: Vec<(Option<String>, Draft)>,
        delete_others: bool,
        dry_run: bool,
    ) -> Result<Imported, ServiceError> {
        let view = self.operator_view().await?;
        let present = policy::list(&view, caller.principal.fleet)?;
        let of_that_name = |name: &str| {
            let mut found = present.iter().filter(|one| one.draft.name == name);
            match (found.next(), found.next()) {
                (Some(only), None) => Some(only.id.clone()),
                _ => None,
            }
        };
        let policies: Vec<(String, Draft)> = policies
            .into_iter()
            .map(|(policy_id, draft)| {
                let known = policy_id.or_else(|| of_that_name(&draft.name));
                (known.unwrap_or_else(|| id::new_id("pol_")), draft)
            })
            .collect();
        let request = OperatorRequest::ImportPolicies {
            policies,
            delete_others,
            dry_run,
        };
        match self.order(caller, request).await? {
            Outcome::PoliciesImported(done) => Ok(done),
            outcome => Err(ServiceError::unexpected(&outcome)),
        }
    }
}

fn party<'a>(id: &'a str, agent: Option<&'a Agent>) -> Party<'a> {
    Party {
        id,
        labels: agent.map_or(&[], |agent| &agent.labels),
        capabilities: agent.map_or(&[], |agent| &agent.capabilities),
    }
}
