//! Everything in the state that is sealed, wherever it is: for changing the master secret.
//!
//! Whoever adds something sealed to a table adds it here, and to `Command::sealed` in the state
//! machine.

use bincode::{Decode, Encode};

use super::task_push::{self, PushId};
use super::{AgentNo, FleetNo, a2a_remote, agent, fleet, hook, imported_secret, totp};
use crate::{Read, StorageError, Txn};

/// Where something sealed is, within its fleet.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Place {
    /// A secret that an agent signs with.
    Credential(AgentNo),
    /// The hash of a secret of an imported agent.
    ImportedHash(AgentNo),
    /// What an agent elsewhere is shown.
    Remote(AgentNo),
    /// The second factor of the operator with this public id.
    Totp(String),
    /// A secret of the hook with this public id.
    Hook(String),
    /// What the receiver of push notifications is shown: the task, and the id of the configuration.
    Push(u128, String),
}

/// Something sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The fleet.
    pub fleet: FleetNo,
    /// Where.
    pub place: Place,
    /// Public id of whose it is.
    pub id: String,
    /// As it is stored.
    pub sealed: Vec<u8>,
}

/// How far a walk through everything is.
#[derive(Clone, Debug)]
pub enum From {
    /// At this agent, by number.
    Agents(FleetNo, AgentNo),
    /// Behind the second factor of this operator.
    Totp(FleetNo, Option<String>),
    /// At the hooks.
    Hooks(FleetNo),
    /// Behind this configuration of push notifications.
    Pushes(FleetNo, Option<PushId>),
}

/// Where a walk begins; none where there is no fleet.
pub fn start(read: &impl Read) -> Result<Option<From>, StorageError> {
    next_fleet(read, 0)
}

fn next_fleet(read: &impl Read, after: FleetNo) -> Result<Option<From>, StorageError> {
    let fleets = fleet::list_after(read, after, 1)?;
    Ok(fleets.first().map(|fleet| From::Agents(fleet.no, 0)))
}

/// What is sealed in the next `limit` rows of a walk, and how far it is then; none at its end.
pub fn page(
    read: &impl Read,
    from: From,
    limit: usize,
) -> Result<(Vec<Sealed>, Option<From>), StorageError> {
    let mut found = Vec::new();
    let next = match from {
        From::Agents(fleet, no) => {
            let agents = agent::list(read, fleet, no, limit)?;
            for agent in &agents {
                of_agent(read, agent, &mut found)?;
            }
            match agents.last() {
                Some(last) if agents.len() == limit => Some(From::Agents(fleet, last.no + 1)),
                _ => Some(From::Totp(fleet, None)),
            }
        }
        From::Totp(fleet, after) => {
            let rows = totp::list(read, fleet, after.as_deref(), limit)?;
            let last = rows.last().map(|(operator_id, _)| operator_id.clone());
            let is_full = rows.len() == limit;
            found.extend(rows.into_iter().map(|(operator_id, totp)| Sealed {
                fleet,
                place: Place::Totp(operator_id.clone()),
                id: operator_id,
                sealed: totp.sealed_secret,
            }));
            match is_full {
                true => Some(From::Totp(fleet, last)),
                false => Some(From::Hooks(fleet)),
            }
        }
        From::Hooks(fleet) => {
            for hook in hook::list(read, fleet)? {
                found.extend(hook.secrets.into_iter().map(|secret| Sealed {
                    fleet,
                    place: Place::Hook(hook.id.clone()),
                    id: hook.id.clone(),
                    sealed: secret.sealed,
                }));
            }
            Some(From::Pushes(fleet, None))
        }
        From::Pushes(fleet, after) => {
            let rows = task_push::list_all(read, fleet, after.as_ref(), limit)?;
            let last = rows.last().map(|(push_id, _)| push_id.clone());
            let is_full = rows.len() == limit;
            found.extend(rows.into_iter().map(|((task, id), push)| Sealed {
                fleet,
                place: Place::Push(task, id.clone()),
                id,
                sealed: push.sealed,
            }));
            match is_full {
                true => Some(From::Pushes(fleet, last)),
                false => next_fleet(read, fleet)?,
            }
        }
    };
    Ok((found, next))
}

fn of_agent(
    read: &impl Read,
    agent: &agent::Agent,
    found: &mut Vec<Sealed>,
) -> Result<(), StorageError> {
    let (fleet, no) = (agent.fleet, agent.no);
    let mut add = |place, sealed| {
        let id = agent.id.clone();
        found.push(Sealed {
            fleet,
            place,
            id,
            sealed,
        });
    };
    for credential in &agent.credentials {
        add(Place::Credential(no), credential.sealed_secret.clone());
    }
    for hash in imported_secret::get(read, fleet, no)?
        .unwrap_or_default()
        .hashes
    {
        add(Place::ImportedHash(no), hash.sealed_hash);
    }
    if let Some(sealed) = a2a_remote::get(read, fleet, no)?.and_then(|remote| remote.sealed) {
        add(Place::Remote(no), sealed);
    }
    Ok(())
}

/// Puts `after` where `before` is, if that is still there; whether it was.
pub fn replace(
    txn: &mut Txn,
    fleet: FleetNo,
    place: &Place,
    before: &[u8],
    after: Vec<u8>,
) -> Result<bool, StorageError> {
    match place {
        Place::Credential(no) => {
            let Some(mut agent) = agent::get(txn, fleet, *no)? else {
                return Ok(false);
            };
            let sealed = agent
                .credentials
                .iter_mut()
                .map(|one| &mut one.sealed_secret);
            let was = swap(sealed, before, after);
            if was {
                agent::put(txn, &agent);
            }
            Ok(was)
        }
        Place::ImportedHash(no) => {
            let Some(mut secrets) = imported_secret::get(txn, fleet, *no)? else {
                return Ok(false);
            };
            let sealed = secrets.hashes.iter_mut().map(|one| &mut one.sealed_hash);
            let was = swap(sealed, before, after);
            if was {
                imported_secret::put(txn, fleet, *no, &secrets);
            }
            Ok(was)
        }
        Place::Remote(no) => {
            let Some(mut remote) = a2a_remote::get(txn, fleet, *no)? else {
                return Ok(false);
            };
            let was = swap(remote.sealed.iter_mut(), before, after);
            if was {
                a2a_remote::put(txn, fleet, *no, &remote);
            }
            Ok(was)
        }
        Place::Totp(operator_id) => {
            let Some(mut totp) = totp::get(txn, fleet, operator_id)? else {
                return Ok(false);
            };
            let was = swap([&mut totp.sealed_secret].into_iter(), before, after);
            if was {
                totp::put(txn, fleet, operator_id, &totp);
            }
            Ok(was)
        }
        Place::Hook(hook_id) => {
            let Some(mut hook) = hook::get(txn, fleet, hook_id)? else {
                return Ok(false);
            };
            let sealed = hook.secrets.iter_mut().map(|one| &mut one.sealed);
            let was = swap(sealed, before, after);
            if was {
                hook::put(txn, fleet, &hook)?;
            }
            Ok(was)
        }
        Place::Push(task, id) => {
            let Some(mut push) = task_push::get(txn, fleet, *task, id)? else {
                return Ok(false);
            };
            let was = swap([&mut push.sealed].into_iter(), before, after);
            if was {
                task_push::put(txn, fleet, *task, id, &push)?;
            }
            Ok(was)
        }
    }
}

fn swap<'a>(
    mut sealed: impl Iterator<Item = &'a mut Vec<u8>>,
    before: &[u8],
    after: Vec<u8>,
) -> bool {
    let found = sealed.find(|sealed| sealed.as_slice() == before);
    found.map(|sealed| *sealed = after).is_some()
}
