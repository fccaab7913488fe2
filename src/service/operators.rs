//! Operators: set-up, what they order, and operators themselves.

use ekho_storage::Read;
use ekho_storage::tables::FleetNo;
use ekho_storage::tables::agent::{self, Agent, AgentLive};
use ekho_storage::tables::fleet::{self, Fleet};
use ekho_storage::tables::operator::{self, Operator, Role, Scope};
use ekho_storage::tables::settings::Settings;
use zeroize::Zeroizing;

use super::{Service, ServiceError};
use crate::id;
use crate::machine::OPERATORS_MAX;
use crate::machine::access::{Need, Principal};
use crate::machine::command::{Bootstrap, Command, NewFleet, OperatorRequest};
use crate::machine::outcome::{Outcome, Refusal};

/// First set-up.
pub struct SetUp {
    /// Name of the fleet.
    pub fleet_name: String,
    /// Owner's sign-in name.
    pub email: String,
    /// Owner's password.
    pub password: Zeroizing<String>,
    /// Settings to begin with.
    pub settings: Settings,
}

/// Somebody who acts as an operator, in one request.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who, and what they may do.
    pub principal: Principal,
    /// Id of the request, for the audit log.
    pub request_id: String,
}

impl Caller {
    /// The address that the caller signed in from; empty for an API token.
    pub fn address(&self) -> &str {
        self.principal.address()
    }
}

impl Service {
    /// Sets the cluster up. Returns the fleet and whether it was there already.
    pub async fn set_up(&self, set_up: SetUp) -> Result<(Fleet, bool), ServiceError> {
        if let Some(fleet) = fleet::list(&self.view(), 1)?.into_iter().next() {
            return Ok((fleet, true));
        }
        let password_hash = self.hash_password(set_up.password).await?;
        let command = Command::Bootstrap(Bootstrap {
            fleet: NewFleet {
                fleet_id: id::new_id("flt_"),
                name: set_up.fleet_name,
                operator_id: id::new_id("opr_"),
                email: set_up.email.to_lowercase(),
                password_hash,
            },
            sealing_key_id: self.key_in_force()?,
            settings: set_up.settings,
        });
        let already = match self.propose(&command).await {
            Ok(_) => false,
            Err(ServiceError::Refused(Refusal::AlreadySetUp)) => true,
            Err(error) => return Err(error),
        };
        match fleet::list(&self.view(), 1)?.into_iter().next() {
            Some(fleet) => Ok((fleet, already)),
            None => Err(ServiceError::Internal(
                "set up, but there is no fleet".into(),
            )),
        }
    }

    /// Whether the cluster is set up.
    pub fn is_set_up(&self) -> Result<bool, ServiceError> {
        Ok(!fleet::list(&self.view(), 1)?.is_empty())
    }

    /// Makes an enrolment token.
    pub async fn create_enrollment_token(
        &self,
        by: &Caller,
    ) -> Result<Zeroizing<String>, ServiceError> {
        let token = Zeroizing::new(id::new_secret("ent_"));
        let token_hash = self.tokens.hash(&token);
        self.order(by, OperatorRequest::CreateEnrollmentToken { token_hash })
            .await?;
        Ok(token)
    }

    /// Adds an operator; their public id.
    pub async fn create_operator(
        &self,
        by: &Caller,
        email: &str,
        password: Zeroizing<String>,
        role: Role,
    ) -> Result<String, ServiceError> {
        by.principal.require(Need::Scope(Scope::Operators))?;
        let operator_id = id::new_id("opr_");
        let request = OperatorRequest::CreateOperator {
            operator_id: operator_id.clone(),
            email: email.to_lowercase(),
            password_hash: self.hash_password(password).await?,
            role,
        };
        self.order(by, request).await?;
        Ok(operator_id)
    }

    /// Operators of a fleet, in the order in which they were made.
    pub async fn operators(&self, fleet: FleetNo) -> Result<Vec<Operator>, ServiceError> {
        let view = self.operator_view().await?;
        Ok(operator::list(&view, fleet, OPERATORS_MAX)?)
    }

    /// Changes what an operator may do, or their password.
    pub async fn change_operator(
        &self,
        by: &Caller,
        operator_id: String,
        role: Option<Role>,
        password: Option<Zeroizing<String>>,
    ) -> Result<(), ServiceError> {
        by.principal.require(Need::Scope(Scope::Operators))?;
        let password_hash = match password {
            Some(password) => Some(self.hash_password(password).await?),
            None => None,
        };
        let request = OperatorRequest::ChangeOperator {
            operator_id,
            role,
            password_hash,
        };
        self.order(by, request).await.map(|_| ())
    }

    /// Does what an operator orders. Refused here where it is already clear, in apply otherwise.
    pub async fn order(
        &self,
        by: &Caller,
        request: OperatorRequest,
    ) -> Result<Outcome, ServiceError> {
        by.principal.require(request.needs())?;
        self.propose(&Command::Operator {
            token_hash: by.principal.token_hash,
            request_id: by.request_id.clone(),
            request,
        })
        .await
    }

    /// Reads for an operator: waits until the state shows all that was answered before.
    pub async fn operator_view(&self) -> Result<ekho_storage::View, ServiceError> {
        self.node.read_point().await?;
        Ok(self.view())
    }

    /// An agent of the fleet, by public id, with what heartbeats last said.
    pub fn agent_of(
        &self,
        view: &impl Read,
        fleet: u32,
        agent_id: &str,
    ) -> Result<Option<(Agent, AgentLive)>, ServiceError> {
        let found = agent::by_id(view, agent_id)?.filter(|agent| agent.fleet == fleet);
        found.map(|agent| self.with_live(view, agent)).transpose()
    }

    /// An agent with what heartbeats last said, those not yet in the log included.
    pub fn with_live(
        &self,
        view: &impl Read,
        agent: Agent,
    ) -> Result<(Agent, AgentLive), ServiceError> {
        let mut live = agent::live(view, agent.fleet, agent.no)?;
        if let Some(at_ms) = self.heartbeats.last(agent.fleet, agent.no) {
            live.last_seen_ms = live.last_seen_ms.max(at_ms);
        }
        Ok((agent, live))
    }
}
