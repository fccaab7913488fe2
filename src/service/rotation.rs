//! Under which key something is sealed, and changing it: see `machine/rotation.rs` for what decides,
//! `effects/resealing.rs` for what the leader does.

use ekho_storage::tables::operator::Scope;
use ekho_storage::tables::rotation::{self, Rotation};
use ekho_storage::tables::sealed::{Place, Sealed};
use ekho_storage::tables::system;

use super::operators::Caller;
use super::{Service, ServiceError, import, pushes, totp};
use crate::ingress::seal::SealError;
use crate::machine::access::Need;
use crate::machine::command::OperatorRequest;

/// The keys of the relay, as this node knows them.
pub struct Keys {
    /// Id of the key in force.
    pub in_force: String,
    /// Id of the key of this node's next master secret.
    pub next: Option<String>,
    /// The latest change.
    pub rotation: Option<Rotation>,
    /// What each node holds.
    pub nodes: Vec<NodeKeys>,
}

/// The keys of a node.
pub struct NodeKeys {
    /// Its number.
    pub node_id: u64,
    /// Whether it was heard in the last seconds.
    pub is_reachable: bool,
    /// Ids of the keys that it holds: of its master secret, and of the next one.
    pub held: Vec<String>,
}

impl Service {
    /// Seals something that goes into the state, for `owner`.
    pub fn seal(&self, owner: &str, secret: &[u8]) -> Result<Vec<u8>, ServiceError> {
        Ok(match rotation::get(&self.view())? {
            Some(latest) => self.sealer.seal(&latest.to_key_id, owner, secret)?,
            None => self
                .sealer
                .seal_unnamed(&self.key_in_force()?, owner, secret)?,
        })
    }

    /// The id of the key in force; before set-up, that of the master secret.
    pub fn key_in_force(&self) -> Result<String, ServiceError> {
        let known = system::get(&self.view())?.sealing_key_id;
        match known.is_empty() {
            true => self
                .sealer
                .key_ids()
                .into_iter()
                .next()
                .ok_or_else(|| SealError::Key.into()),
            false => Ok(known),
        }
    }

    /// Whether this node holds the keys without which it can do nothing.
    pub fn holds_keys(&self) -> Result<bool, ServiceError> {
        let needed = rotation::needed_keys(&self.view())?;
        Ok(needed.iter().all(|key_id| self.sealer.holds(key_id)))
    }

    /// How the keys are.
    pub fn keys(&self) -> Result<Keys, ServiceError> {
        let nodes = self.cluster()?.nodes.into_iter();
        Ok(Keys {
            in_force: self.key_in_force()?,
            next: self.sealer.key_ids().into_iter().nth(1),
            rotation: rotation::get(&self.view())?,
            nodes: nodes
                .map(|node| NodeKeys {
                    node_id: node.node_id,
                    is_reachable: node.is_reachable,
                    held: node.keys,
                })
                .collect(),
        })
    }

    /// Begins to seal everything under the key of the next master secret, which every node must
    /// hold. The leader does it, and whoever leads after it goes on. Where it was begun before, a node
    /// may have gone away since.
    pub async fn rotate_master_secret(&self, by: &Caller) -> Result<Keys, ServiceError> {
        by.principal.require(Need::Scope(Scope::Cluster))?;
        let status = self.cluster_now().await?;
        let next = self.sealer.key_ids().into_iter().nth(1);
        let latest = rotation::get(&self.view())?.map(|latest| latest.to_key_id);
        if latest.is_some() && latest == next {
            return self.keys();
        }
        let lacks = |held: &[String]| next.as_ref().is_none_or(|next| !held.contains(next));
        let lacking = status
            .nodes
            .iter()
            .filter(|node| !node.is_reachable || lacks(&node.keys))
            .map(|node| node.node_id);
        let nodes: Vec<u64> = lacking.collect();
        let Some(to_key_id) = next.filter(|_| nodes.is_empty()) else {
            return Err(ServiceError::NextSecretMissing { nodes });
        };
        let request = OperatorRequest::RotateMasterSecret { to_key_id };
        self.order(by, request).await?;
        self.keys()
    }

    /// Seals what was read under another key; none where it is under that one, or does not open.
    pub fn resealed(&self, to_key_id: &str, one: &Sealed) -> Option<Vec<u8>> {
        if rotation::key_id(&one.sealed).as_deref() == Some(to_key_id) {
            return None;
        }
        let owner = match &one.place {
            Place::Credential(_) | Place::Remote(_) | Place::Hook(_) => one.id.clone(),
            Place::ImportedHash(_) => import::hash_owner(&one.id),
            Place::Totp(_) => totp::owner(&one.id),
            Place::Push(..) => pushes::owner(&one.id),
        };
        let opened = self.sealer.open(&owner, &one.sealed);
        match opened.and_then(|secret| self.sealer.seal(to_key_id, &owner, &secret)) {
            Ok(sealed) => Some(sealed),
            // It was of no use before either, and must not keep all others under the old key.
            Err(error) => {
                tracing::error!(%error, whose = one.id, place = ?one.place, "a secret is left as it is");
                None
            }
        }
    }
}
