//! How a node becomes one of the cluster: what it asks, what it is told, and the token that lets
//! it ask.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use ekho_raft::ProposeError;
use ekho_storage::tables::cluster::{self, Part};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::machine::command::{self, Command, Join};
use crate::machine::outcome::{Outcome, Refusal};
use crate::service::Service;

/// What a token begins with.
const PREFIX: &str = "ekho-join-";
/// Longest address.
pub const ADDRESS_MAX_BYTES: usize = 255;
const KEY_BYTES: usize = 32;
const BAD_TOKEN: &str = "its token is not known, was used, or has expired";

/// What a join token holds.
#[derive(Clone, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct Token {
    /// The cluster it is of.
    #[serde(rename = "c")]
    pub cluster_id: String,
    /// Fingerprint of the authority of its nodes, in hex.
    #[serde(rename = "f")]
    fingerprint: String,
    /// What only the cluster and the token's holder know.
    #[serde(rename = "s")]
    pub secret: String,
}

impl Token {
    /// A token of a cluster.
    pub fn new(cluster_id: &str, fingerprint: [u8; 32], secret: &str) -> Self {
        Token {
            cluster_id: cluster_id.into(),
            fingerprint: hex::encode(fingerprint),
            secret: secret.into(),
        }
    }

    /// As people carry it.
    pub fn text(&self) -> Zeroizing<String> {
        let json = Zeroizing::new(serde_json::to_vec(self).unwrap_or_default());
        Zeroizing::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(&*json)))
    }

    /// Reads what [`Token::text`] wrote.
    pub fn read(text: &str) -> Option<Self> {
        let json = URL_SAFE_NO_PAD.decode(text.trim().strip_prefix(PREFIX)?);
        serde_json::from_slice(&Zeroizing::new(json.ok()?)).ok()
    }

    /// Fingerprint of the authority of the cluster's nodes.
    pub fn fingerprint(&self) -> Option<[u8; 32]> {
        let mut fingerprint = [0; 32];
        hex::decode_to_slice(&self.fingerprint, &mut fingerprint).ok()?;
        Some(fingerprint)
    }
}

/// What somebody outside the cluster asks one of its nodes.
#[derive(Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Outside {
    /// Which cluster are you of? For holders of the secret only.
    Probe,
    /// Take me up.
    Join(JoinRequest),
}

/// A node that wants to join.
#[derive(Serialize, Deserialize)]
pub struct JoinRequest {
    /// The secret of its token; none where it holds the cluster's secret.
    pub token_secret: Option<String>,
    /// What it made up for itself, 32 bytes in hex. One that asks again with the same gets the
    /// same answer.
    pub key: String,
    /// Where other nodes reach it, `host:port`.
    pub address: String,
    /// What it wants to be, where no token says it.
    pub part: String,
    /// Its release.
    pub release: String,
    /// The feature level it understands.
    pub feature_level: u32,
}

/// What it is told.
#[derive(Serialize, Deserialize)]
#[serde(tag = "told", rename_all = "snake_case")]
pub enum Told {
    /// The cluster this node is of, if it is of one.
    Cluster {
        /// Its id.
        cluster_id: Option<String>,
        /// Its number there.
        #[serde(default)]
        node_id: Option<u64>,
        /// The nodes of the cluster, as it sees them.
        #[serde(default)]
        nodes: Vec<Seen>,
    },
    /// The node is one of the cluster.
    Joined(Joined),
    /// It is not; the sentence says why.
    Refused {
        /// Why.
        why: String,
    },
    /// Nobody can say now; ask again.
    NotNow {
        /// Why.
        why: String,
    },
}

/// A node as another one sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Seen {
    /// Its number.
    pub node_id: u64,
    /// Where other nodes reach it.
    pub address: String,
    /// Whether it was heard in the last seconds.
    pub is_reachable: bool,
    /// Why not.
    pub failure: Option<String>,
}

/// What a node needs to know to be one of the cluster.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub struct Joined {
    /// The cluster.
    pub cluster_id: String,
    /// Its number.
    pub node_id: u64,
    /// What sealed secrets open with.
    pub master_secret: String,
    /// What takes its place, while that is changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_master_secret: Option<String>,
    /// What keys operators' sessions.
    pub session_secret: String,
}

fn answer(told: &Told) -> Bytes {
    serde_json::to_vec(told).unwrap_or_default().into()
}

fn refused(why: impl Into<String>) -> Bytes {
    answer(&Told::Refused { why: why.into() })
}

impl Service {
    fn tell_cluster(&self) -> Told {
        let status = match self.cluster() {
            Ok(status) => status,
            Err(error) => {
                return Told::NotNow {
                    why: error.to_string(),
                };
            }
        };
        let nodes = status.nodes.into_iter();
        let nodes = nodes.filter(|node| node.part != Part::Removed);
        Told::Cluster {
            cluster_id: Some(status.cluster_id),
            node_id: Some(status.node_id),
            nodes: nodes
                .map(|node| Seen {
                    node_id: node.node_id,
                    address: node.address,
                    is_reachable: node.is_reachable,
                    failure: node.failure,
                })
                .collect(),
        }
    }

    /// Answers somebody who is not of the cluster, and holds its secret or does not.
    pub(in crate::service) async fn answer_outsider(
        &self,
        request: &Bytes,
        is_holder: bool,
    ) -> Result<Bytes, ProposeError> {
        match serde_json::from_slice(request) {
            Ok(Outside::Probe) if is_holder => Ok(answer(&self.tell_cluster())),
            Ok(Outside::Probe) => Ok(refused("only who holds the cluster's secret may ask that")),
            Ok(Outside::Join(_)) => match self.ask_to_join(request, is_holder).await {
                Ok(answer) => Ok(answer),
                // Asking again is harmless: a node that was taken up gets the same answer.
                Err(error) => Ok(answer(&Told::NotNow {
                    why: error.to_string(),
                })),
            },
            Err(error) => Ok(refused(format!("not understood: {error}"))),
        }
    }

    /// Takes up a node, as the leader.
    pub(in crate::service) async fn join_here(
        &self,
        request: &[u8],
        is_holder: bool,
    ) -> Result<Bytes, ProposeError> {
        let Ok(Outside::Join(request)) = serde_json::from_slice(request) else {
            return Ok(refused("not understood"));
        };
        let address = request.address.clone();
        match self.take_up(request, is_holder).await? {
            Ok(node_id) => {
                tracing::info!(node_id, address, "a node joined");
                Ok(answer(&Told::Joined(Joined {
                    cluster_id: self.cluster_id.clone(),
                    node_id,
                    master_secret: self.secrets.master.to_string(),
                    next_master_secret: self.secrets.next_master.as_deref().cloned(),
                    session_secret: self.secrets.session.to_string(),
                })))
            }
            Err(why) => {
                tracing::warn!(address, why, "refused to take up a node");
                Ok(refused(why))
            }
        }
    }

    async fn take_up(
        &self,
        request: JoinRequest,
        is_holder: bool,
    ) -> Result<Result<u64, String>, ProposeError> {
        let mut key = [0; KEY_BYTES];
        if hex::decode_to_slice(&request.key, &mut key).is_err() {
            return Ok(Err(format!("its key is not {KEY_BYTES} bytes in hex")));
        }
        if let Err(why) = check_address(&request.address) {
            return Ok(Err(why));
        }
        if request.token_secret.is_none() && !is_holder {
            return Ok(Err("it has neither a token nor the cluster's secret".into()));
        }
        let part = Part::JOINABLE
            .into_iter()
            .find(|part| part.as_str() == request.part);
        let Some(part) = part else {
            return Ok(Err(format!("{:?} is not what a node can be", request.part)));
        };
        let row = match cluster::get(&self.view()) {
            Ok(row) => row,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let needed = row.feature_level;
        if request.feature_level < needed {
            return Ok(Err(format!(
                "release {} is too old for this cluster: it understands feature level {}, and {} \
                 is in use",
                request.release, request.feature_level, needed
            )));
        }
        let join = Join {
            token_hash: request
                .token_secret
                .as_deref()
                .map(|secret| self.tokens.hash(secret)),
            key_hash: Sha256::digest(key).into(),
            address: request.address,
            part,
        };
        // Apply decides; but what cannot be good costs no entry of the log, whoever asks how often.
        let is_known = row.nodes.iter().any(|node| node.key_hash == join.key_hash);
        let is_open = |hash| {
            let mut tokens = row.tokens.iter().filter(|token| token.used_by.is_none());
            tokens.any(|token| token.hash == hash)
        };
        if !is_known && join.token_hash.is_some_and(|hash| !is_open(hash)) {
            return Ok(Err(BAD_TOKEN.into()));
        }
        let join = Command::Join(join);
        if let Err(refusal) = self.check_level(&join) {
            return Ok(Err(refusal.to_string()));
        }
        let outcome = self.node.propose(command::encode(&join)).await?;
        Ok(match command::decode(&outcome) {
            Ok(Outcome::Joined { node_id }) => Ok(node_id),
            Ok(Outcome::Refused(Refusal::InvalidToken)) => Err(BAD_TOKEN.into()),
            Ok(Outcome::Refused(Refusal::Conflict(why))) => Err(why),
            Ok(Outcome::Refused(Refusal::LimitReached { limit })) => Err(format!(
                "the cluster has {limit} nodes, more are not allowed"
            )),
            Ok(outcome) => Err(format!("unexpected outcome {outcome:?}")),
            Err(error) => Err(error.to_string()),
        })
    }
}

/// Refuses what is not `host:port` of a host that others can reach.
pub fn check_address(address: &str) -> Result<(), String> {
    let wrong = |why: &str| Err(format!("{address:?} {why}"));
    if address.len() > ADDRESS_MAX_BYTES {
        return wrong("is too long for an address");
    }
    let Some((host, port)) = address.rsplit_once(':') else {
        return wrong("is not host:port");
    };
    if host.is_empty()
        || port.parse::<u16>().is_ok_and(|port| port == 0)
        || port.parse::<u16>().is_err()
    {
        return wrong("is not host:port");
    }
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let unspecified = bare
        .parse::<std::net::IpAddr>()
        .is_ok_and(|ip| ip.is_unspecified());
    if unspecified {
        return wrong("is no address that other nodes can reach");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_being_carried() {
        let token = Token::new("clu_1", [9; 32], "join_secret");
        let read = Token::read(&format!(" {}\n", *token.text()));
        let read = read.as_ref();
        assert_eq!(read.map(|token| token.cluster_id.as_str()), Some("clu_1"));
        assert_eq!(read.and_then(Token::fingerprint), Some([9; 32]));
        assert_eq!(read.map(|token| token.secret.as_str()), Some("join_secret"));
        assert!(Token::read("ekho-join-").is_none());
        assert!(Token::read("something").is_none());
    }

    #[test]
    fn addresses_are_those_that_others_can_reach() {
        for good in ["10.0.0.1:4001", "ekho-0.ekho:4001", "[fd7a::1]:4001"] {
            assert_eq!(check_address(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "host",
            ":4001",
            "host:0",
            "host:99999",
            "0.0.0.0:1",
            "[::]:1",
        ] {
            assert!(check_address(bad).is_err(), "{bad}");
        }
    }
}
