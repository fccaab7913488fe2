//! Use cases: builds commands, reads the state. The only caller of raft.

pub mod a2a_clients;
pub mod actions;
pub mod activity;
pub mod agent_messages;
pub mod agents;
pub mod analytics;
pub mod approvals;
pub mod attachments;
pub mod backup;
pub mod cards;
pub mod cluster;
pub mod conversations;
pub mod dead_letters;
pub mod debug;
pub mod directory;
pub mod edge;
pub mod encryption;
pub mod error;
pub mod events;
pub mod fleets;
pub mod hooks;
pub mod import;
pub mod inbox;
pub mod judging;
pub mod keys;
pub mod leader;
pub mod license;
pub mod messages;
pub mod oidc;
pub mod operators;
pub mod page;
pub mod policies;
pub mod protocol;
pub mod pushes;
pub mod remotes;
pub mod rotation;
pub mod sessions;
pub mod steering;
pub mod task_lists;
pub mod tasks;
pub mod timeline;
pub mod totp;
pub mod waiting;

use std::sync::Arc;

use ekho_raft::Node;
use ekho_raft::blobs::Blobs;
use ekho_storage::tables::TimeMs;
use ekho_storage::tables::agent::Agent;
use ekho_storage::tables::settings::{self, Settings};
use ekho_storage::{State, View};
use tokio_util::sync::CancellationToken;

use crate::effects::heartbeats::Heartbeats;
use crate::effects::indexer::Progress;
use crate::effects::waiters::Waiters;
use crate::hooks::Hooks;
use crate::ingress::guard::NonceGuard;
use crate::ingress::oidc::Provider;
use crate::ingress::seal::Sealer;
use crate::ingress::tokens::TokenHasher;
use crate::license::Configured;
use crate::machine::RelayMachine;
use crate::machine::command::Auth;
use crate::machine::policy::RuleCache;
use crate::metrics::Metrics;
use crate::outward::Outward;
use crate::secrets::Secrets;

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
    /// What this node has for being an edge.
    pub edge: edge::Edge,
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
    /// Sends requests to addresses that others chose.
    pub outward: Outward,
    /// The OpenID provider that operators may sign in with.
    pub oidc: Option<Provider>,
    /// What is measured.
    pub metrics: Arc<Metrics>,
    /// The relay's address as agents are told.
    pub base_url: String,
    /// The cluster's id.
    pub cluster_id: String,
    /// Fingerprint of the authority of the cluster's nodes, by the master secret.
    pub node_fingerprint: [u8; 32],
    /// What a node that joins is given.
    pub secrets: Secrets,
    /// Cancelled when the node is about to stop: long polls and streams end, leadership goes
    /// elsewhere.
    pub draining: CancellationToken,
    /// Cancelled when the node stops: timers end.
    pub stopping: CancellationToken,
    /// Cancelled when the state on disk was found damaged.
    pub damaged: CancellationToken,
    /// Cancelled when the node lacks a key that is in use.
    pub keyless: CancellationToken,
    /// Who follows A2A tasks here.
    pub task_streams: Arc<tasks::TaskStreams>,
    /// Bounds the live views of operators.
    pub live_streams: Arc<tokio::sync::Semaphore>,
    /// Bounds long reads of counters.
    pub analyses: tokio::sync::Semaphore,
    /// What this node has for attachments.
    pub attachments: attachments::Attachments,
    /// Their files.
    pub blobs: Blobs,
    /// Bounds backups taken from this node.
    pub backups: Arc<tokio::sync::Semaphore>,
    /// Bounds password hashing, which is costly on purpose.
    pub hashing: tokio::sync::Semaphore,
    /// Bounds looks at what threads do.
    pub looks: tokio::sync::Semaphore,
    /// Lets one at a time read all metrics.
    pub scrapes: Arc<tokio::sync::Semaphore>,
    /// When the node was opened.
    pub began: std::time::Instant,
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
    /// Makes the node ready to stop.
    pub fn start_draining(&self) {
        if !self.draining.is_cancelled() {
            tracing::info!("draining: long polls and streams end, leadership goes elsewhere");
        }
        self.node.set_draining(true);
        self.draining.cancel();
    }

    /// Reads the state as this node has it.
    pub fn view(&self) -> View {
        self.state.view()
    }

    /// The replicated settings.
    pub fn settings(&self) -> Result<Settings, ServiceError> {
        Ok(settings::get(&self.view())?)
    }

    /// Uses up the nonce of a read and waits until the state shows all that was answered before.
    pub async fn read(&self, caller: &Caller) -> Result<View, ServiceError> {
        self.vouch(caller).await?;
        Ok(self.view())
    }
}
