//! A relay: the node, its service and its timers, put together.

use std::sync::Arc;
use std::time::Duration;

use ekho_raft::{Limits, NodeConfig};
use ekho_storage::tables::counter::{self, Counter};
use ekho_storage::tables::{fleet, settings};
use ekho_storage::{State, StateOptions, StorageError};
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::now_ms;
use crate::config::Config;
use crate::effects::followers;
use crate::effects::heartbeats::Heartbeats;
use crate::effects::indexer::{self, Progress};
use crate::effects::waiters::Waiters;
use crate::effects::{license, timer};
use crate::extension::Extension;
use crate::hooks::{Hooks, is_slug};
use crate::identity::{Identity, IdentityError};
use crate::ingress::guard::NonceGuard;
use crate::ingress::oidc::{BuildError, Provider};
use crate::ingress::seal::{SealError, Sealer};
use crate::ingress::tokens::TokenHasher;
use crate::license::Configured;
use crate::machine::{FLEETS_MAX, RelayMachine};
use crate::metrics::{Metrics, NodeGauges, StateCounts};
use crate::secrets::Secrets;
use crate::service::backup;
use crate::service::operators::SetUp;
use crate::service::{RelayNode, Service, ServiceError};

/// Live views of operators at once.
const LIVE_STREAMS: usize = 1000;

/// Long reads of counters at once: each may take a core for a second.
const ANALYSES_AT_ONCE: usize = 2;

/// Password hashes computed at once: each takes a core for tens of milliseconds.
const HASHING_AT_ONCE: usize = 2;

/// A running relay. Dropping it does not stop it; see [`Relay::shutdown`].
pub struct Relay {
    service: Arc<Service>,
    tasks: TaskTracker,
}

/// Why a relay did not open. Each says what to do.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The data directory does not say who this node is.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Another process has the data directory open.
    #[error("data directory {path} is in use by another process; stop it first")]
    InUse {
        /// The directory.
        path: String,
    },
    /// The state database.
    #[error(transparent)]
    State(#[from] StorageError),
    /// The node.
    #[error(transparent)]
    Node(#[from] ekho_raft::StartError),
    /// The master secret.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// Sign-in by an OpenID provider.
    #[error(transparent)]
    Oidc(#[from] BuildError),
    /// Another master secret than the one the state was sealed with.
    #[error(
        "the master secret is not the one agents' secrets were sealed with; start with the EKHO_MASTER_SECRET (or secrets.toml) of the first set-up"
    )]
    WrongMasterSecret,
    /// An extension that cannot be told apart from others.
    #[error(
        "extension {name:?}: a name has 1 to 64 lower case letters, digits and hyphens, and no other extension has it"
    )]
    Extension {
        /// Its name.
        name: String,
    },
    /// The node did not come to lead.
    #[error("the node did not become ready: {0}")]
    NotReady(String),
}

impl Relay {
    /// Opens the data directory and starts the node. Returns when it serves: at once for a
    /// single node, whose log is replayed first.
    pub async fn open(
        config: &Config,
        secrets: &Secrets,
        metrics: Arc<Metrics>,
    ) -> Result<Self, OpenError> {
        Relay::open_with(config, secrets, metrics, Vec::new()).await
    }

    /// The same, with extensions that run in this process.
    pub async fn open_with(
        config: &Config,
        secrets: &Secrets,
        metrics: Arc<Metrics>,
        extensions: Vec<Arc<dyn Extension>>,
    ) -> Result<Self, OpenError> {
        check_names(&extensions)?;
        let data_dir = config.data_dir.as_path();
        let identity = Identity::of(data_dir)?;
        let sealer = Sealer::new(secrets.master.as_bytes())?;
        let oidc = config.oidc.as_ref().map(Provider::new).transpose()?;
        let options = StateOptions {
            block_cache_bytes: config.block_cache_bytes,
            write_buffer_bytes: config.write_buffer_bytes,
        };
        let dir = data_dir.join("state");
        let state = tokio::task::spawn_blocking(move || State::open(&dir, &options))
            .await
            .map_err(|error| OpenError::NotReady(error.to_string()))?
            .map_err(|error| match error {
                error if error.is_locked() => OpenError::InUse {
                    path: data_dir.display().to_string(),
                },
                error => OpenError::State(error),
            })?;
        let waiters = Arc::new(Waiters::default());
        let mut node_config =
            NodeConfig::new(data_dir, identity.cluster_id, identity.node_id, now_ms);
        node_config.limits = Limits {
            disk_free_min_bytes: config.disk_free_min_bytes,
            // A command holds a whole request; a batch request is bounded by the body limit.
            command_bytes: config.body_limit_bytes * 2 + (64 << 10),
            ..Limits::default()
        };
        node_config.observer = metrics.observer();
        let machine = RelayMachine::new(Arc::clone(&waiters));
        let node: RelayNode = RelayNode::start(node_config, state.clone(), machine).await?;
        let service = Arc::new(Service {
            node,
            state,
            guard: NonceGuard::default(),
            waiters,
            shown_controls: Default::default(),
            heartbeats: Heartbeats::default(),
            sealer,
            tokens: TokenHasher::new(secrets.session.as_bytes()),
            rules: Default::default(),
            progress: Progress::default(),
            license: Configured::resolve(&config.license, now_ms()),
            extensions: Hooks::new(extensions, Arc::clone(&metrics)),
            oidc,
            metrics,
            base_url: config.base_url.clone(),
            draining: CancellationToken::new(),
            damaged: CancellationToken::new(),
            live_streams: Arc::new(tokio::sync::Semaphore::new(LIVE_STREAMS)),
            analyses: tokio::sync::Semaphore::new(ANALYSES_AT_ONCE),
            backups: Arc::new(tokio::sync::Semaphore::new(backup::AT_ONCE)),
            hashing: tokio::sync::Semaphore::new(HASHING_AT_ONCE),
        });
        let relay = Relay {
            service,
            tasks: TaskTracker::new(),
        };
        relay.wait_until_leading().await?;
        if !relay
            .service
            .sealing_key_matches()
            .map_err(|error| OpenError::NotReady(error.to_string()))?
        {
            relay.shutdown().await;
            return Err(OpenError::WrongMasterSecret);
        }
        relay.tasks.spawn(timer::run(Arc::clone(&relay.service)));
        relay.tasks.spawn(indexer::run(Arc::clone(&relay.service)));
        relay.tasks.spawn(license::run(Arc::clone(&relay.service)));
        relay
            .tasks
            .spawn(followers::run(Arc::clone(&relay.service)));
        relay.scrub();
        Ok(relay)
    }

    async fn wait_until_leading(&self) -> Result<(), OpenError> {
        const PATIENCE: Duration = Duration::from_secs(60);
        let ready = async {
            while let Err(error) = self.service.node.read_point().await {
                tracing::debug!(%error, "not leading yet");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            () = ready => Ok(()),
            reason = self.service.node.fatal() => Err(OpenError::NotReady(reason.to_string())),
            () = tokio::time::sleep(PATIENCE) => {
                Err(OpenError::NotReady(format!("no leader within {} s", PATIENCE.as_secs())))
            }
        }
    }

    /// Reads everything stored once, in the background, to find damage before it is needed.
    fn scrub(&self) {
        let service = Arc::clone(&self.service);
        self.tasks.spawn_blocking(move || {
            let draining = service.draining.clone();
            // A small share of one core: it may take minutes, requests may not wait for it.
            let mut resumed = std::time::Instant::now();
            let pace = |_| {
                std::thread::sleep(resumed.elapsed() * 30);
                resumed = std::time::Instant::now();
                !draining.is_cancelled()
            };
            if let Err(error) = service.state.scrub(pace) {
                tracing::error!(%error, "the state on disk is damaged; rebuild this node from a peer or restore a backup");
                service.damaged.cancel();
            }
        });
    }

    /// The use cases.
    pub fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// The HTTP interface.
    pub fn router(&self, config: &Config) -> axum::Router {
        crate::api::router(Arc::clone(&self.service), config)
    }

    /// Sets the cluster up; the fleet's id, and whether it was set up before.
    pub async fn set_up(&self, set_up: SetUp) -> Result<(String, bool), ServiceError> {
        let (fleet, already) = self.service.set_up(set_up).await?;
        Ok((fleet.id, already))
    }

    /// Whether the cluster is set up.
    pub fn is_set_up(&self) -> Result<bool, ServiceError> {
        self.service.is_set_up()
    }

    /// Resolves with a sentence when the node must stop.
    pub async fn fatal(&self) -> String {
        tokio::select! {
            reason = self.service.node.fatal() => reason.to_string(),
            () = self.service.damaged.cancelled() => {
                "the state on disk is damaged; rebuild this node from a peer or restore a backup".into()
            }
        }
    }

    /// Begins to stop: long polls and streams end, timers too.
    pub fn drain(&self) {
        self.service.draining.cancel();
    }

    /// Finishes what was accepted and makes it durable.
    pub async fn shutdown(&self) {
        const GRACE: Duration = Duration::from_secs(20);
        self.drain();
        self.tasks.close();
        self.tasks.wait().await;
        self.service.node.shutdown(GRACE).await;
    }
}

/// Refuses extensions that hooks could not be told apart from.
fn check_names(extensions: &[Arc<dyn Extension>]) -> Result<(), OpenError> {
    for (place, extension) in extensions.iter().enumerate() {
        let name = extension.name();
        let is_taken = extensions[..place].iter().any(|one| one.name() == name);
        if is_taken || !is_slug(name) {
            let name = name.to_string();
            return Err(OpenError::Extension { name });
        }
    }
    Ok(())
}

impl Service {
    /// Counts for the metrics page, read from the counters kept in apply.
    pub fn state_counts(&self) -> Result<StateCounts, ServiceError> {
        let view = self.view();
        let mut counts = StateCounts::default();
        let fleets = fleet::list(&view, FLEETS_MAX as usize)?;
        counts.fleets = fleet::in_use(&view)?;
        for fleet in fleets {
            let get = |counter| counter::get(&view, fleet.no, counter);
            let add = |list: &mut Vec<(&'static str, u64)>, name: &'static str, counter| {
                let value = get(counter)?;
                match list.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, sum)) => *sum += value,
                    None => list.push((name, value)),
                }
                Ok::<(), ServiceError>(())
            };
            for (name, counter) in [
                ("healthy", Counter::AgentHealthy),
                ("degraded", Counter::AgentDegraded),
                ("paused", Counter::AgentPaused),
                ("quarantined", Counter::AgentQuarantined),
                ("revoked", Counter::AgentRevoked),
            ] {
                add(&mut counts.agents, name, counter)?;
            }
            for (name, counter) in [
                ("queued", Counter::MessageOpen),
                ("done", Counter::MessageDone),
                ("cancelled", Counter::MessageCancelled),
            ] {
                add(&mut counts.messages, name, counter)?;
            }
            for (name, counter) in [
                ("queued", Counter::DeliveryQueued),
                ("delivered", Counter::DeliveryDelivered),
                ("acked", Counter::DeliveryAcked),
                ("expired", Counter::DeliveryExpired),
                ("dead_lettered", Counter::DeliveryDeadLettered),
                ("cancelled", Counter::DeliveryCancelled),
            ] {
                add(&mut counts.deliveries, name, counter)?;
            }
            counts.messages_accepted += get(Counter::MessageAccepted)?;
            counts.dead_letters += get(Counter::DeadLetters)?;
            counts.rate_violations_24h += get(Counter::RateViolations)?;
        }
        let standing = self.license_standing()?;
        counts.tier = standing.tier.as_str();
        counts.org = standing.license.map(|(license, _)| license.org);
        counts.heartbeats_recent = self.heartbeats.recent(now_ms());
        Ok(counts)
    }

    /// Gauges of this node for the metrics page.
    pub fn node_gauges(&self) -> Result<NodeGauges, ServiceError> {
        let status = self.node.status();
        let size = self.state.size_bytes()?;
        Ok(NodeGauges {
            disk_full: status.disk_full,
            state_disk_bytes: size.disk_bytes,
            state_memory_bytes: size.memory_bytes,
            log_bytes: status.log_size_bytes,
            log_index: status.applied_index.unwrap_or(0),
            long_polls: self.waiters.len() as u64,
        })
    }

    /// Whether this node can take requests, or why not.
    pub fn readiness(&self) -> Result<(), &'static str> {
        if self.draining.is_cancelled() {
            return Err("draining");
        }
        let status = self.node.status();
        if status.fatal.is_some() || self.damaged.is_cancelled() {
            return Err("failed");
        }
        // A leader answers reads once its guard has begun.
        if !self.guard.is_leading() {
            return Err("no_leader");
        }
        if status.disk_full {
            return Err("disk_full");
        }
        Ok(())
    }

    /// Whether settings in the environment differ from the replicated ones, which decide.
    pub fn settings_differ(&self, seeds: &settings::Settings) -> Result<bool, ServiceError> {
        Ok(self.is_set_up()? && self.settings()? != *seeds)
    }
}
