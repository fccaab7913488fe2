//! Operators: set-up, sign-in, and what they order.

use ekho_storage::Read;
use ekho_storage::tables::agent::{self, Agent, AgentLive};
use ekho_storage::tables::fleet::{self, Fleet};
use ekho_storage::tables::operator::{self, Session};
use ekho_storage::tables::settings::Settings;
use ekho_storage::tables::system;
use zeroize::Zeroizing;

use super::{Service, ServiceError};
use crate::clock::now_ms;
use crate::id;
use crate::ingress::password;
use crate::machine::command::{Bootstrap, Command, CreateSession, OperatorRequest};
use crate::machine::outcome::{Outcome, Refusal};

/// A hash of no password, so that an unknown account takes as long as a wrong password.
const NO_PASSWORD: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

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

/// A signed-in operator.
pub struct SignedIn {
    /// The bearer token, told once.
    pub token: Zeroizing<String>,
    /// The fleet.
    pub fleet_id: String,
    /// When the session ends.
    pub expires_ms: u64,
}

impl Service {
    /// Sets the cluster up. Returns the fleet and whether it was there already.
    pub async fn set_up(&self, set_up: SetUp) -> Result<(Fleet, bool), ServiceError> {
        if let Some(fleet) = fleet::list(&self.view(), 1)?.into_iter().next() {
            return Ok((fleet, true));
        }
        let password_hash = self.hash_password(set_up.password).await?;
        let command = Command::Bootstrap(Bootstrap {
            fleet_id: id::new_id("flt_"),
            fleet_name: set_up.fleet_name,
            operator_id: id::new_id("opr_"),
            email: set_up.email.to_lowercase(),
            password_hash,
            sealing_key_id: self.sealer.key_id().to_string(),
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

    /// Whether secrets in the state open with this node's master secret.
    pub fn sealing_key_matches(&self) -> Result<bool, ServiceError> {
        let key_id = system::get(&self.view())?.sealing_key_id;
        Ok(key_id.is_empty() || key_id == self.sealer.key_id())
    }

    async fn hash_password(&self, password: Zeroizing<String>) -> Result<String, ServiceError> {
        let _permit = self
            .hashing
            .acquire()
            .await
            .map_err(|_| ServiceError::Stopping)?;
        tokio::task::spawn_blocking(move || password::hash(&password))
            .await
            .map_err(|error| ServiceError::Internal(error.to_string()))?
            .map_err(|error| ServiceError::Internal(error.to_string()))
    }

    /// Signs an operator in.
    pub async fn sign_in(
        &self,
        fleet_name: &str,
        email: &str,
        password: Zeroizing<String>,
    ) -> Result<SignedIn, ServiceError> {
        self.node.read_point().await?;
        let view = self.view();
        let email = email.to_lowercase();
        let fleet = fleet::by_name(&view, fleet_name)?;
        let found = match &fleet {
            Some(fleet) => operator::by_email(&view, fleet.no, &email)?,
            None => None,
        };
        let password_hash =
            found.map_or(NO_PASSWORD.to_string(), |operator| operator.password_hash);
        // Few at a time: each takes memory and tens of milliseconds of a core.
        let permit = self
            .hashing
            .acquire()
            .await
            .map_err(|_| ServiceError::Stopping)?;
        let checked = password_hash.clone();
        let matches = tokio::task::spawn_blocking(move || password::verify(&password, &checked))
            .await
            .map_err(|error| ServiceError::Internal(error.to_string()))?;
        drop(permit);
        let (true, Some(fleet)) = (matches, fleet) else {
            return Err(Refusal::InvalidCredentials.into());
        };
        let token = Zeroizing::new(id::new_secret("ekho_"));
        let token_hash = self.tokens.hash(&token);
        let command = Command::CreateSession(CreateSession {
            fleet: fleet.no,
            email,
            password_hash,
            token_hash,
        });
        match self.propose(&command).await? {
            Outcome::SessionCreated { expires_ms } => Ok(SignedIn {
                token,
                fleet_id: fleet.id,
                expires_ms,
            }),
            outcome => Err(ServiceError::unexpected(&outcome)),
        }
    }

    /// The session of a bearer token.
    pub async fn session(&self, token: &str) -> Result<Session, ServiceError> {
        let hash = self.tokens.hash(token);
        let mut found = operator::session(&self.view(), &hash)?;
        if found.is_none() {
            // It may have begun on another node a moment ago.
            self.node.read_point().await?;
            found = operator::session(&self.view(), &hash)?;
        }
        found
            .filter(|session| now_ms() < session.expires_ms)
            .ok_or(ServiceError::NotSignedIn)
    }

    /// What the session's operator may do; none when the operator is gone.
    pub fn role(&self, session: &Session) -> Result<Option<operator::Role>, ServiceError> {
        let found = operator::by_email(&self.view(), session.fleet, &session.email)?;
        Ok(found.map(|operator| operator.role))
    }

    /// Ends a session.
    pub async fn sign_out(&self, token: &str) -> Result<(), ServiceError> {
        let token_hash = self.tokens.hash(token);
        self.propose(&Command::DeleteSession { token_hash })
            .await
            .map(|_| ())
    }

    /// Makes an enrolment token.
    pub async fn create_enrollment_token(
        &self,
        session: &Session,
    ) -> Result<Zeroizing<String>, ServiceError> {
        let token = Zeroizing::new(id::new_secret("ent_"));
        let token_hash = self.tokens.hash(&token);
        self.order(
            session,
            OperatorRequest::CreateEnrollmentToken { token_hash },
        )
        .await?;
        Ok(token)
    }

    /// Does what an operator orders.
    pub async fn order(
        &self,
        session: &Session,
        request: OperatorRequest,
    ) -> Result<Outcome, ServiceError> {
        let operator_id = session.operator_id.clone();
        self.propose(&Command::Operator {
            fleet: session.fleet,
            operator_id,
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
