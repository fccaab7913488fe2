//! Use cases: builds commands, reads the state. The only caller of raft.

pub mod actions;
pub mod activity;
pub mod agents;
pub mod analytics;
pub mod approvals;
pub mod backup;
pub mod conversations;
pub mod dead_letters;
pub mod directory;
pub mod error;
pub mod events;
pub mod fleets;
pub mod hooks;
pub mod inbox;
pub mod judging;
pub mod keys;
pub mod license;
pub mod messages;
pub mod oidc;
pub mod operators;
pub mod page;
pub mod policies;
pub mod sessions;
pub mod steering;
pub mod timeline;
pub mod totp;
pub mod waiting;

use std::sync::Arc;

use ekho_raft::Node;
use ekho_storage::tables::agent::Agent;
use ekho_storage::tables::settings::{self, Settings};
use ekho_storage::tables::{TimeMs, nonce as nonces, system};
use ekho_storage::{State, View};
use tokio_util::sync::CancellationToken;

use crate::clock::now_ms;
use crate::effects::heartbeats::Heartbeats;
use crate::effects::indexer::Progress;
use crate::effects::waiters::Waiters;
use crate::hooks::Hooks;
use crate::ingress::guard::{NonceGuard, Verdict};
use crate::ingress::oidc::Provider;
use crate::ingress::seal::Sealer;
use crate::ingress::tokens::TokenHasher;
use crate::license::Configured;
use crate::machine::RelayMachine;
use crate::machine::command::{self, AgentRequest, Auth, Command};
use crate::machine::outcome::{Outcome, Refusal};
use crate::machine::policy::RuleCache;
use crate::metrics::Metrics;

pub use error::ServiceError;

/// The node of this relay.
pub type RelayNode = Node<RelayMachine<Arc<Waiters>>>;

/// Everything a use case needs. Shared by all requests.
pub struct Service {
    /// The Raft node.
    pub node: RelayNode,
    /// The state it applies to.
    pub state: State,
    /// Nonces of reads, while this node leads.
    pub guard: NonceGuard,
    /// Who waits for which inbox here.
    pub waiters: Arc<Waiters>,
    /// Controls this node has shown.
    pub shown_controls: inbox::ShownControls,
    /// Heartbeats not yet in the log.
    pub heartbeats: Heartbeats,
    /// Opens and seals agents' secrets.
    pub sealer: Sealer,
    /// Hashes tokens.
    pub tokens: TokenHasher,
    /// Policies made ready to be asked.
    pub rules: RuleCache,
    /// How far the audit log was worked out.
    pub progress: Progress,
    /// The licence that this node is configured with.
    pub license: Configured,
    /// Hooks and extensions.
    pub extensions: Hooks,
    /// The OpenID provider that operators may sign in with.
    pub oidc: Option<Provider>,
    /// What is measured.
    pub metrics: Arc<Metrics>,
    /// The relay's address as agents are told.
    pub base_url: String,
    /// Cancelled when the node is to stop: long polls and streams end.
    pub draining: CancellationToken,
    /// Cancelled when the state on disk was found damaged.
    pub damaged: CancellationToken,
    /// Bounds the live views of operators.
    pub live_streams: Arc<tokio::sync::Semaphore>,
    /// Bounds long reads of counters.
    pub analyses: tokio::sync::Semaphore,
    /// Bounds backups taken from this node.
    pub backups: Arc<tokio::sync::Semaphore>,
    /// Bounds password hashing, which is costly on purpose.
    pub hashing: tokio::sync::Semaphore,
}

/// An agent whose signature was checked.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who it is.
    pub agent: Agent,
    /// The credential it signed with.
    pub credential: u32,
    /// The nonce it used.
    pub nonce: String,
    /// The time it signed.
    pub timestamp_ms: TimeMs,
}

impl Caller {
    fn auth(&self, nonce: Option<String>) -> Auth {
        Auth {
            fleet: self.agent.fleet,
            agent: self.agent.no,
            credential: self.credential,
            nonce,
            timestamp_ms: self.timestamp_ms,
        }
    }
}

impl Service {
    /// Reads the state as this node has it.
    pub fn view(&self) -> View {
        self.state.view()
    }

    /// The replicated settings.
    pub fn settings(&self) -> Result<Settings, ServiceError> {
        Ok(settings::get(&self.view())?)
    }

    /// Proposes a command and waits for its outcome.
    pub async fn propose(&self, command: &Command) -> Result<Outcome, ServiceError> {
        let outcome = self.node.propose(command::encode(command)).await?;
        match command::decode(&outcome)? {
            Outcome::Refused(refusal) => Err(ServiceError::Refused(refusal)),
            outcome => Ok(outcome),
        }
    }

    /// Does what an agent signed. Its nonce is used up in the same step.
    pub async fn signed(
        &self,
        caller: Caller,
        request: AgentRequest,
    ) -> Result<Outcome, ServiceError> {
        // A read may have used the nonce, which the log does not know; and none may use it until
        // the log has decided.
        let (fleet, agent) = (caller.agent.fleet, caller.agent.no);
        let Some(in_flight) = self.guard.begin(fleet, agent, &caller.nonce, now_ms()) else {
            return Err(Refusal::ReplayedNonce.into());
        };
        let auth = caller.auth(Some(caller.nonce.clone()));
        let outcome = self.propose(&Command::Signed { auth, request }).await;
        if !matches!(outcome, Err(ServiceError::OutcomeUnknown)) {
            in_flight.decided();
        }
        outcome
    }

    /// Does what an agent signed and [`Service::vouch`] accepted.
    pub async fn vouched(
        &self,
        caller: &Caller,
        request: AgentRequest,
    ) -> Result<Outcome, ServiceError> {
        self.propose(&Command::Signed {
            auth: caller.auth(None),
            request,
        })
        .await
    }

    /// Uses up the nonce of a request that may change nothing, without a disk write where that
    /// is possible.
    pub async fn vouch(&self, caller: &Caller) -> Result<(), ServiceError> {
        let (fleet, agent) = (caller.agent.fleet, caller.agent.no);
        let now = now_ms();
        let view = self.view();
        let skew_ms = settings::get(&view)?.timestamp_skew_ms;
        let system = system::get(&view)?;
        if caller.timestamp_ms <= system.timestamp_floor_ms {
            return Err(Refusal::TimestampSkew.into());
        }
        let keep_ms = system.nonce_memory_ms(skew_ms);
        let (nonce, timestamp_ms) = (&caller.nonce, caller.timestamp_ms);
        match self
            .guard
            .take(fleet, agent, nonce, timestamp_ms, now, keep_ms)
        {
            Verdict::Accepted => {}
            Verdict::Replayed => return Err(Refusal::ReplayedNonce.into()),
            Verdict::BeforeLeadership => return Err(ServiceError::BeforeLeadership),
            Verdict::NotLeading => {
                return Err(ServiceError::NoLeader {
                    retry_after_ms: 1000,
                });
            }
            Verdict::NeedsLog => {
                self.signed(caller.clone(), AgentRequest::RecordNonce)
                    .await?;
                return Ok(());
            }
        }
        // A write may have used it. Looked up after the guard, which knows of writes under way:
        // one that is no longer under way is in the state.
        let since_ms = now.saturating_sub(keep_ms);
        if nonces::used(&self.view(), fleet, agent, nonce, since_ms, now_ms())? {
            return Err(Refusal::ReplayedNonce.into());
        }
        Ok(())
    }

    /// Uses up the nonce of a read and waits until the state shows all that was answered before.
    pub async fn read(&self, caller: &Caller) -> Result<View, ServiceError> {
        self.vouch(caller).await?;
        self.node.read_point().await?;
        Ok(self.view())
    }
}
