//! A relay: the node, its service and its timers, put together.

mod gauges;

use std::sync::Arc;
use std::time::Duration;

use ekho_raft::blobs::Blobs;
use ekho_raft::network::{self, Authority, Listener, Peers, TlsError};
use ekho_raft::{Limits, NodeConfig};
use ekho_storage::tables::cluster;
use ekho_storage::{State, StateOptions, StorageError};
use parking_lot::Mutex;
use thiserror::Error;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::now_ms;
use crate::config::Config;
use crate::effects::followers;
use crate::effects::heartbeats::Heartbeats;
use crate::effects::indexer::{self, Progress};
use crate::effects::waiters::Waiters;
use crate::effects::{attachments, edge, license, nodes, pushes, remotes, resealing, timer};
use crate::extension::Extension;
use crate::hooks::{Hooks, is_slug};
use crate::identity::{Identity, IdentityError};
use crate::ingress::guard::NonceGuard;
use crate::ingress::oidc::{BuildError, Provider};
use crate::ingress::seal::{SealError, Sealer};
use crate::ingress::tokens::TokenHasher;
use crate::license::Configured;
use crate::machine::RelayMachine;
use crate::metrics::Metrics;
use crate::outward::Outward;
use crate::secrets::Secrets;
use crate::service::attachments::Attachments;
use crate::service::backup;
use crate::service::edge::Edge;
use crate::service::leader::Leader;
use crate::service::operators::SetUp;
use crate::service::{RelayNode, Service, ServiceError};

/// How often a node makes its certificate anew.
const RENEW: Duration = Duration::from_secs(24 * 3600);

/// Where files of attachments lie in the data directory.
pub const FILES: &str = "attachments";

/// The node that begins a cluster.
const FIRST_NODE: u64 = 1;

/// Live views of operators at once.
const LIVE_STREAMS: usize = 1000;

/// Long reads of counters at once: each may take a core for a second.
const ANALYSES_AT_ONCE: usize = 2;

/// Looks at what threads do at once.
const LOOKS_AT_ONCE: usize = 4;

/// Password hashes computed at once: each takes a core for tens of milliseconds.
const HASHING_AT_ONCE: usize = 2;
/// Between two parts of the look at everything stored, at most.
const SCRUB_PAUSE_MAX: Duration = Duration::from_secs(1);

/// A running relay. Dropping it does not stop it; see [`Relay::shutdown`].
pub struct Relay {
    service: Arc<Service>,
    tasks: TaskTracker,
    /// Serves other nodes, until all else has stopped.
    listening: CancellationToken,
    listener: Mutex<Option<JoinHandle<()>>>,
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
    /// Requests outward.
    #[error("requests to the outside cannot be made: {0}")]
    Outward(#[from] reqwest::Error),
    /// Sign-in by an OpenID provider.
    #[error(transparent)]
    Oidc(#[from] BuildError),
    /// Another master secret than the one the state was sealed with.
    #[error(
        "the master secret is not the one that agents' secrets are sealed with; start with the EKHO_MASTER_SECRET (or secrets.toml) that is in force, and while it is being changed with EKHO_NEXT_MASTER_SECRET (next_master_secret) as well"
    )]
    WrongMasterSecret,
    /// The cluster uses more than this node is to take part in.
    #[error(
        "the cluster uses feature level {present}, and EKHO_FEATURE_LEVEL_MAX is {max}: there is no way back below a level that is in use"
    )]
    FeatureLevel {
        /// What is in use.
        present: u32,
        /// What this node is to take part in.
        max: u32,
    },
    /// An extension that cannot be told apart from others.
    #[error(
        "extension {name:?}: a name has 1 to 64 lower case letters, digits and hyphens, and no other extension has it"
    )]
    Extension {
        /// Its name.
        name: String,
    },
    /// The node's certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address for other nodes cannot be listened on.
    #[error("cannot listen for other nodes on {address}: {source}; see EKHO_NODE_LISTEN")]
    Listen {
        /// The address.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The node is one of several and cannot be reached by them.
    #[error(
        "this node is one of {members}, and EKHO_NODE_ADDRESS does not say where the others reach it"
    )]
    NoAddress {
        /// How many there are.
        members: usize,
    },
    /// The directory of attachments' files.
    #[error("the files of attachments cannot be used: {0}")]
    Files(std::io::Error),
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
        let sealer = Sealer::new(secrets)?;
        let authorities = authorities(&sealer)?;
        let node_fingerprint = authorities.first().map(Authority::fingerprint);
        let door = match &config.cluster.address {
            Some(_) => Some(Door::open(config, &identity, authorities).await?),
            None => None,
        };
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
        let present = cluster::get(&state.view())?.feature_level;
        let max = config.cluster.feature_level;
        if present > max {
            return Err(OpenError::FeatureLevel { present, max });
        }
        let waiters = Arc::new(Waiters::default());
        let cluster_id = identity.cluster_id.clone();
        let mut node_config =
            NodeConfig::new(data_dir, identity.cluster_id, identity.node_id, now_ms);
        // Only the first node begins a cluster; those that joined wait to be added.
        node_config.bootstrap = identity.node_id == FIRST_NODE;
        node_config.public_url = config.base_url.clone();
        node_config.release = env!("CARGO_PKG_VERSION").into();
        node_config.feature_level = config.cluster.feature_level;
        node_config.keys = sealer.key_ids();
        if let Some(door) = &door {
            node_config.address = config.cluster.address.clone().unwrap_or_default();
            node_config.transport = Arc::new(Peers::new(door.identity.clone(), identity.node_id));
        }
        node_config.limits = Limits {
            disk_free_min_bytes: config.disk_free_min_bytes,
            // A command holds a whole request; a batch request is bounded by the body limit.
            command_bytes: config.body_limit_bytes * 2 + (64 << 10),
            ..Limits::default()
        };
        node_config.observer = metrics.observer();
        let blobs = Blobs::open(&data_dir.join(FILES)).map_err(OpenError::Files)?;
        node_config.blobs = Some(blobs.clone());
        let machine = RelayMachine::new(Arc::clone(&waiters));
        let node: RelayNode = RelayNode::start(node_config, state.clone(), machine).await?;
        let service = Arc::new(Service {
            node,
            state,
            guard: NonceGuard::default(),
            waiters,
            shown_controls: Default::default(),
            edge: Edge::new(data_dir.join("outbox"), config.cluster.outbox),
            heartbeats: Heartbeats::default(),
            sealer,
            tokens: TokenHasher::new(secrets.session.as_bytes()),
            rules: Default::default(),
            progress: Progress::default(),
            license: Configured::resolve(&config.license, now_ms()),
            extensions: Hooks::new(extensions, Arc::clone(&metrics)),
            outward: Outward::new(config.outbound_networks.clone())?,
            oidc,
            metrics,
            base_url: config.base_url.clone(),
            cluster_id,
            node_fingerprint: node_fingerprint.unwrap_or_default(),
            secrets: secrets.clone(),
            draining: CancellationToken::new(),
            stopping: CancellationToken::new(),
            damaged: CancellationToken::new(),
            keyless: CancellationToken::new(),
            task_streams: Arc::default(),
            live_streams: Arc::new(tokio::sync::Semaphore::new(LIVE_STREAMS)),
            analyses: tokio::sync::Semaphore::new(ANALYSES_AT_ONCE),
            attachments: Attachments::new(config.attachment_uploads, config.attachments.clone()),
            blobs,
            backups: Arc::new(tokio::sync::Semaphore::new(backup::AT_ONCE)),
            hashing: tokio::sync::Semaphore::new(HASHING_AT_ONCE),
            looks: tokio::sync::Semaphore::new(LOOKS_AT_ONCE),
            scrapes: Arc::new(tokio::sync::Semaphore::new(1)),
            began: std::time::Instant::now(),
        });
        let leader = Leader(Arc::downgrade(&service));
        service.node.answer_with(Arc::new(leader));
        let relay = Relay {
            service,
            tasks: TaskTracker::new(),
            listening: CancellationToken::new(),
            listener: Mutex::new(None),
        };
        match door {
            Some(door) => relay.let_in(door),
            None => relay.check_alone()?,
        }
        relay.wait_until_ready().await?;
        if !relay.holds_keys().await? {
            relay.shutdown().await;
            return Err(OpenError::WrongMasterSecret);
        }
        relay.watch_keys();
        relay.tasks.spawn(timer::run(Arc::clone(&relay.service)));
        relay.tasks.spawn(nodes::run(Arc::clone(&relay.service)));
        relay
            .tasks
            .spawn(resealing::run(Arc::clone(&relay.service)));
        relay.tasks.spawn(edge::watch(Arc::clone(&relay.service)));
        relay.tasks.spawn(edge::forward(Arc::clone(&relay.service)));
        relay.tasks.spawn(indexer::run(Arc::clone(&relay.service)));
        relay.tasks.spawn(license::run(Arc::clone(&relay.service)));
        relay
            .tasks
            .spawn(followers::run(Arc::clone(&relay.service)));
        relay.tasks.spawn(pushes::run(Arc::clone(&relay.service)));
        relay.tasks.spawn(remotes::run(Arc::clone(&relay.service)));
        relay
            .tasks
            .spawn(attachments::run(Arc::clone(&relay.service)));
        let service = Arc::clone(&relay.service);
        relay
            .tasks
            .spawn_blocking(move || attachments::read_all(&service));
        relay.scrub();
        Ok(relay)
    }

    /// Serves other nodes.
    fn let_in(&self, door: Door) {
        let (node, stop) = (self.service.node.clone(), self.listening.clone());
        let identity = door.identity.clone();
        let listener = tokio::spawn(async move {
            node.listen(&door.listener, door.identity, stop.cancelled_owned())
                .await;
        });
        *self.listener.lock() = Some(listener);
        let stopping = self.service.stopping.clone();
        self.tasks.spawn(async move {
            while let Some(()) = stopping
                .run_until_cancelled(tokio::time::sleep(RENEW))
                .await
            {
                match identity.renew(now_ms()) {
                    Ok(()) => tracing::info!("the node's certificate was made anew"),
                    Err(error) => tracing::error!(%error, "the node's certificate stays as it is"),
                }
            }
        });
    }

    /// Whether the node holds the keys that it needs. One of several may not have heard yet that
    /// they were changed, and is waited for.
    async fn holds_keys(&self) -> Result<bool, OpenError> {
        const PATIENCE: Duration = Duration::from_secs(10);
        let began = std::time::Instant::now();
        loop {
            let holds = self.service.holds_keys();
            let holds = holds.map_err(|error| OpenError::NotReady(error.to_string()))?;
            if holds || self.is_alone() || began.elapsed() > PATIENCE {
                return Ok(holds);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Has a node stop that learns it was started without a key which the others use by now.
    fn watch_keys(&self) {
        const LOOK: Duration = Duration::from_secs(1);
        let service = Arc::clone(&self.service);
        self.tasks.spawn(async move {
            let stopping = service.stopping.clone();
            while let Some(()) = stopping.run_until_cancelled(tokio::time::sleep(LOOK)).await {
                match service.holds_keys() {
                    Ok(true) => {}
                    Ok(false) => return service.keyless.cancel(),
                    Err(error) => tracing::error!(%error, "the key in force cannot be read"),
                }
            }
        });
    }

    /// Refuses to run one of several nodes that the others cannot reach.
    fn check_alone(&self) -> Result<(), OpenError> {
        match self.service.node.status().members.len() {
            0 | 1 => Ok(()),
            members => Err(OpenError::NoAddress { members }),
        }
    }

    /// Waits until the node leads, where it is alone. One of several serves at once, and says
    /// that there is no leader as long as there is none.
    async fn wait_until_ready(&self) -> Result<(), OpenError> {
        const PATIENCE: Duration = Duration::from_secs(60);
        let node = &self.service.node;
        if !self.is_alone() {
            return Ok(());
        }
        let ready = async {
            while let Err(error) = node.read_point().await {
                tracing::debug!(%error, "not leading yet");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            () = ready => Ok(()),
            reason = node.fatal() => Err(OpenError::NotReady(reason.to_string())),
            () = tokio::time::sleep(PATIENCE) => {
                Err(OpenError::NotReady(format!("no leader within {} s", PATIENCE.as_secs())))
            }
        }
    }

    /// Reads everything stored once, in the background, to find damage before it is needed.
    fn scrub(&self) {
        let service = Arc::clone(&self.service);
        self.tasks.spawn_blocking(move || {
            let stopping = service.stopping.clone();
            // A small share of one core: it may take minutes, requests may not wait for it.
            let mut resumed = std::time::Instant::now();
            let pace = |_| {
                // Whoever stops the relay waits for this.
                std::thread::sleep((resumed.elapsed() * 30).min(SCRUB_PAUSE_MAX));
                resumed = std::time::Instant::now();
                !stopping.is_cancelled()
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

    /// Whether this node is the only one of its cluster, as far as it knows: a node that begins one
    /// learns of it a moment after it is open.
    pub fn is_alone(&self) -> bool {
        let status = self.service.node.status();
        status.members.len() == 1 && status.members[0].node_id == status.node_id
    }

    /// Whether this node leads.
    pub fn leads(&self) -> bool {
        self.service.node.leadership().borrow().is_self
    }

    /// Resolves with a sentence when the node must stop.
    pub async fn fatal(&self) -> String {
        tokio::select! {
            reason = self.service.node.fatal() => reason.to_string(),
            () = self.service.damaged.cancelled() => {
                "the state on disk is damaged; rebuild this node from a peer or restore a backup".into()
            }
            () = self.service.keyless.cancelled() => OpenError::WrongMasterSecret.to_string(),
        }
    }

    /// Begins to stop: long polls and streams end, leadership goes elsewhere.
    pub async fn drain(&self) {
        self.service.start_draining();
        self.service.step_down().await;
    }

    /// Finishes what was accepted and makes it durable.
    pub async fn shutdown(&self) {
        const GRACE: Duration = Duration::from_secs(20);
        self.drain().await;
        self.service.stopping.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.service.node.shutdown(GRACE).await;
        // Until now others could catch up from this node, and it could hear what they decided.
        self.listening.cancel();
        let listener = self.listener.lock().take();
        if let Some(listener) = listener
            && let Err(error) = listener.await
        {
            tracing::error!(%error, "the listener for other nodes failed");
        }
    }
}

/// The authorities of the cluster's nodes, by the secrets that this one holds.
fn authorities(sealer: &Sealer) -> Result<Vec<Authority>, OpenError> {
    let seeds = sealer.node_seeds()?;
    let made = seeds.iter().map(|seed| Authority::from_seed(seed));
    Ok(made.collect::<Result<_, _>>()?)
}

/// Where other nodes come in.
struct Door {
    listener: Listener,
    identity: Arc<network::Identity>,
}

impl Door {
    async fn open(
        config: &Config,
        identity: &Identity,
        authorities: Vec<Authority>,
    ) -> Result<Self, OpenError> {
        let address = &config.cluster.listen;
        let listener = Listener::bind(address)
            .await
            .map_err(|source| OpenError::Listen {
                address: address.clone(),
                source,
            })?;
        let (cluster_id, node_id) = (&identity.cluster_id, identity.node_id);
        let identity = network::Identity::node(authorities, cluster_id, node_id, now_ms())?;
        Ok(Door {
            listener,
            identity: Arc::new(identity),
        })
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
