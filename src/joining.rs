//! How a node with an empty data directory becomes one of a cluster: with a token, with the
//! cluster's secret, or together with others that are as empty as itself.
//!
//! What makes it a node is `cluster.json`; until that is written, everything here can be done
//! again. The key that the node makes up first is kept beside it, so that a node that asks twice
//! is one node.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ekho_raft::ProposeError;
use ekho_raft::network::{
    Answers, Asker, Authority, Identity, Listener, OutsideError, Outsider, TlsError,
    ask_from_outside,
};
use futures::FutureExt;
use futures::future::BoxFuture;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::clock::now_ms;
use crate::config::{Cluster, Config};
use crate::identity::{self, Identity as NodeIdentity, IdentityError, is_node};
use crate::ingress::seal::{SealError, Sealer};
use crate::secrets::{self, Secrets, SecretsError};
use crate::service::cluster::join::{JoinRequest, Joined, Outside, Seen, Token, Told};

/// The key that this node made up for itself.
const KEY_FILE: &str = "join.key";
/// How long one node is waited for.
const TTL: Duration = Duration::from_secs(15);
/// Between two rounds of asking.
const PAUSE: Duration = Duration::from_millis(500);
/// Between two lines about waiting.
const TELL: Duration = Duration::from_secs(10);
/// How long a node whose token is good may fail to reach anybody.
const PATIENCE: Duration = Duration::from_secs(120);

/// Why a node is not one of a cluster.
#[derive(Debug, Error)]
pub enum JoinError {
    /// The token is none.
    #[error(
        "EKHO_JOIN_TOKEN (--token) is no join token; make one with `ekho cluster token create`"
    )]
    Token,
    /// A node of the cluster says no.
    #[error("the cluster does not take this node: {0}")]
    Refused(String),
    /// Nobody answers.
    #[error("no node of the cluster answers: {0}")]
    Unreachable(String),
    /// Its answer makes no sense.
    #[error("a node answered what is not understood: {0}")]
    Answer(String),
    /// The node's address cannot be listened on.
    #[error("cannot listen for other nodes on {address}: {source}; see EKHO_NODE_LISTEN")]
    Listen {
        /// The address.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The data directory.
    #[error("data directory: {0}")]
    Io(#[from] std::io::Error),
    /// The secrets.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// The master secret.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The node's certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The identity could not be kept.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// What a node has become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    /// What it was before, or alone.
    Itself,
    /// One of a cluster that was there.
    Member,
    /// The first of a cluster, which nobody has set up.
    First,
}

/// Makes the node one of a cluster, where it is told to and is none yet.
pub async fn become_member(config: &Config) -> Result<Became, JoinError> {
    let cluster = &config.cluster;
    let Some(address) = &cluster.address else {
        return Ok(Became::Itself);
    };
    if is_node(&config.data_dir) || (cluster.join.is_empty() && cluster.peers.is_empty()) {
        return Ok(Became::Itself);
    }
    let key = own_key(&config.data_dir)?;
    let joining = Joining {
        config,
        cluster,
        request: |token_secret: Option<String>| {
            Outside::Join(JoinRequest {
                token_secret,
                key: key.to_string(),
                address: address.clone(),
                part: cluster.part.as_str().into(),
                release: env!("CARGO_PKG_VERSION").into(),
                feature_level: cluster.feature_level,
            })
        },
    };
    match &cluster.token {
        Some(token) => joining.by_token(token).await.map(|()| Became::Member),
        None => joining.by_secret(address).await,
    }
}

struct Joining<'a, R> {
    config: &'a Config,
    cluster: &'a Cluster,
    request: R,
}

impl<R: Fn(Option<String>) -> Outside> Joining<'_, R> {
    async fn by_token(&self, token: &str) -> Result<(), JoinError> {
        let token = Token::read(token).ok_or(JoinError::Token)?;
        let fingerprint = token.fingerprint().ok_or(JoinError::Token)?;
        let request = encoded(&(self.request)(Some(token.secret.clone())))?;
        let joined = self
            .ask_all(&request, || Outsider::Fingerprint(fingerprint))
            .await?;
        if joined.cluster_id != token.cluster_id {
            let why = format!(
                "it is of {}, the token of {}",
                joined.cluster_id, token.cluster_id
            );
            return Err(JoinError::Answer(why));
        }
        self.keep(&joined)
    }

    /// Asks each address in turn, again and again, until one answers.
    async fn ask_all<'o>(
        &self,
        request: &Bytes,
        as_whom: impl Fn() -> Outsider<'o>,
    ) -> Result<Joined, JoinError> {
        let began = Instant::now();
        let mut told: Option<Instant> = None;
        loop {
            let mut failures = Vec::new();
            for address in &self.cluster.join {
                match ask(address, as_whom(), request).await {
                    Ok(Told::Joined(joined)) => return Ok(joined),
                    Ok(Told::Refused { why }) => return Err(JoinError::Refused(why)),
                    Ok(Told::NotNow { why }) => failures.push(format!("{address}: {why}")),
                    Ok(Told::Cluster { .. }) => {
                        return Err(JoinError::Answer("it was not asked that".into()));
                    }
                    Err(error) => failures.push(error.to_string()),
                }
            }
            let failures = failures.join("; ");
            if began.elapsed() > PATIENCE {
                return Err(JoinError::Unreachable(failures));
            }
            if told.is_none_or(|at| at.elapsed() > TELL) {
                told = Some(Instant::now());
                tracing::info!(failures, "waiting for a node of the cluster to join by");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Joins as a holder of the cluster's secret, or begins the cluster with others that hold it
    /// as well.
    async fn by_secret(&self, own: &str) -> Result<Became, JoinError> {
        let resolved = secrets::resolve(self.config)?;
        let request = encoded(&(self.request)(None))?;
        let identity = Arc::new(holder(&resolved.secrets)?);
        if self.cluster.peers.is_empty() {
            let joined = self
                .ask_all(&request, || Outsider::Holder(&identity))
                .await?;
            self.keep(&joined)?;
            return Ok(Became::Member);
        }
        let listener = listen(&self.cluster.listen).await?;
        let alone = listener.run_alone(
            identity.clone(),
            Arc::new(Empty),
            std::future::pending::<()>(),
        );
        tokio::select! {
            formed = self.form(own, &identity, &request) => formed,
            () = alone => Err(JoinError::Answer("the listener ended".into())),
        }
    }

    /// Asks the other nodes until one is of a cluster, or all are as empty as this one and this
    /// is the first of them. Only the first begins a cluster, and only when it has heard from
    /// every other node that there is none: one that lost its disk does not begin a second.
    async fn form(
        &self,
        own: &str,
        identity: &Identity,
        request: &Bytes,
    ) -> Result<Became, JoinError> {
        let probe = encoded(&Outside::Probe)?;
        let is_first = self.cluster.peers.first().is_some_and(|first| first == own);
        let others = || self.cluster.peers.iter().filter(|peer| *peer != own);
        let mut told: Option<Instant> = None;
        loop {
            let mut empty = 0;
            let mut waiting = Vec::new();
            for peer in others() {
                match ask(peer, Outsider::Holder(identity), &probe).await {
                    Ok(Told::Cluster {
                        cluster_id: None, ..
                    }) => empty += 1,
                    Ok(Told::Cluster { .. }) => {
                        match ask(peer, Outsider::Holder(identity), request).await {
                            Ok(Told::Joined(joined)) => {
                                self.keep(&joined)?;
                                return Ok(Became::Member);
                            }
                            Ok(Told::Refused { why }) => return Err(JoinError::Refused(why)),
                            Ok(Told::NotNow { why }) => waiting.push(format!("{peer}: {why}")),
                            Ok(Told::Cluster { .. }) => {
                                return Err(JoinError::Answer("it was not asked that".into()));
                            }
                            Err(error) => waiting.push(error.to_string()),
                        }
                    }
                    Ok(Told::Refused { why }) => return Err(JoinError::Refused(why)),
                    Ok(Told::NotNow { why }) => waiting.push(format!("{peer}: {why}")),
                    Ok(Told::Joined(_)) => {
                        return Err(JoinError::Answer("it was not asked that".into()));
                    }
                    Err(error) => waiting.push(error.to_string()),
                }
            }
            if is_first && empty == others().count() {
                tracing::info!("every node is empty: beginning a cluster");
                return Ok(Became::First);
            }
            if told.is_none_or(|at| at.elapsed() > TELL) {
                told = Some(Instant::now());
                let waiting = waiting.join("; ");
                tracing::info!(empty, waiting, "waiting for the cluster to form");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Writes down what makes this a node, the secrets first.
    fn keep(&self, joined: &Joined) -> Result<(), JoinError> {
        let next = joined.next_master_secret.as_deref();
        let (master, session) = (&joined.master_secret, &joined.session_secret);
        secrets::keep(self.config, master, next, session)?;
        let path = self.config.data_dir.join(identity::FILE_NAME);
        NodeIdentity::joined(&joined.cluster_id, joined.node_id).write(&path)?;
        tracing::info!(
            cluster_id = joined.cluster_id,
            node_id = joined.node_id,
            "joined the cluster"
        );
        Ok(())
    }
}

/// Who holds these secrets and is no node yet.
fn holder(secrets: &Secrets) -> Result<Identity, JoinError> {
    let seeds = Sealer::new(secrets)?.node_seeds()?;
    let authorities = seeds.iter().map(|seed| Authority::from_seed(seed));
    let authorities = authorities.collect::<Result<_, _>>()?;
    Ok(Identity::joining(authorities, now_ms())?)
}

/// Takes the address for other nodes.
pub async fn listen(address: &str) -> Result<Listener, JoinError> {
    let bound = Listener::bind(address).await;
    bound.map_err(|source| JoinError::Listen {
        address: address.into(),
        source,
    })
}

/// What a node without a cluster answers.
struct Empty;

impl Answers for Empty {
    fn answer(&self, from: Asker, request: Bytes) -> BoxFuture<'_, Result<Bytes, ProposeError>> {
        async move {
            let told = match (from, serde_json::from_slice(&request)) {
                (Asker::Holder, Ok(Outside::Probe)) => Told::Cluster {
                    cluster_id: None,
                    node_id: None,
                    nodes: Vec::new(),
                },
                (_, Ok(Outside::Join(_))) => Told::NotNow {
                    why: "this node is of no cluster yet".into(),
                },
                _ => Told::Refused {
                    why: "not understood".into(),
                },
            };
            Ok(serde_json::to_vec(&told).unwrap_or_default().into())
        }
        .boxed()
    }
}

fn encoded(request: &Outside) -> Result<Bytes, JoinError> {
    let json = serde_json::to_vec(request);
    json.map(Bytes::from)
        .map_err(|error| JoinError::Answer(error.to_string()))
}

async fn ask(address: &str, as_whom: Outsider<'_>, request: &Bytes) -> Result<Told, JoinError> {
    ask_within(address, as_whom, request, TTL).await
}

async fn ask_within(
    address: &str,
    as_whom: Outsider<'_>,
    request: &Bytes,
    ttl: Duration,
) -> Result<Told, JoinError> {
    let answer = ask_from_outside(address, as_whom, request.clone(), ttl).await;
    let answer = answer.map_err(|error| match error {
        OutsideError::Unreachable(why) => JoinError::Unreachable(why),
        OutsideError::Refused(error) => JoinError::Refused(error.to_string()),
    })?;
    let answer = Zeroizing::new(answer.to_vec());
    serde_json::from_slice(&answer).map_err(|error| JoinError::Answer(error.to_string()))
}

/// What a node says of its cluster.
#[derive(Debug)]
pub struct Known {
    /// The cluster; none where it is of none yet.
    pub cluster_id: Option<String>,
    /// Its number there.
    pub node_id: Option<u64>,
    /// The nodes, as it sees them.
    pub nodes: Vec<Seen>,
}

/// Asks the node at this address for its cluster, as a holder of the cluster's secret. It needs no
/// leader to answer.
pub async fn look(config: &Config, address: &str, ttl: Duration) -> Result<Known, JoinError> {
    let resolved = secrets::resolve(config)?;
    let identity = holder(&resolved.secrets)?;
    let probe = encoded(&Outside::Probe)?;
    match ask_within(address, Outsider::Holder(&identity), &probe, ttl).await? {
        Told::Cluster {
            cluster_id,
            node_id,
            nodes,
        } => Ok(Known {
            cluster_id,
            node_id,
            nodes,
        }),
        Told::Refused { why } | Told::NotNow { why } => Err(JoinError::Answer(why)),
        Told::Joined(_) => Err(JoinError::Answer("it was not asked that".into())),
    }
}

/// The key that this node made up for itself, made now if there is none.
fn own_key(data_dir: &Path) -> Result<Zeroizing<String>, JoinError> {
    let path = data_dir.join(KEY_FILE);
    match fs::read_to_string(&path) {
        Ok(key) => Ok(Zeroizing::new(key.trim().to_string())),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let key = Zeroizing::new(secrets::generate());
            secrets::create(&path, key.as_bytes())?;
            Ok(key)
        }
        Err(error) => Err(error.into()),
    }
}
