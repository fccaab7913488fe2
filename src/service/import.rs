//! What another relay held, on its way into the log: secrets sealed, passwords hashed.

use ekho_storage::tables::agent::{self, Agent};
use ekho_storage::tables::imported_secret::ImportedHash;
use ekho_storage::tables::operator::{self, Operator, Scope};
use ekho_storage::tables::{FleetNo, TimeMs, approval, fleet, message, policy, room, token};
use ekho_storage::{Read, StorageError};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::operators::Caller;
use super::{Service, ServiceError};
use crate::machine::access::Need;
use crate::machine::command::{Command, ImportAgent, ImportRow, OperatorRequest, ProveSecret};
use crate::machine::import;
use crate::machine::outcome::{Outcome, Refusal, RowOutcome};

/// A row as it was given, checked for form.
pub enum GivenRow {
    /// An agent, and SHA-256 of each of its secrets with the time when it stops working.
    Agent(Box<ImportAgent>, Vec<([u8; 32], Option<TimeMs>)>),
    /// An operator, and SHA-256 of the password where it is known.
    Operator(Operator, Option<[u8; 32]>),
    /// An enrolment token: its SHA-256, and when it stops working.
    Token([u8; 32], TimeMs),
    /// Anything without secrets.
    Other(ImportRow),
}

/// What a sealed hash is sealed for. No agent has such an id.
pub(super) fn hash_owner(agent_id: &str) -> String {
    format!("hash of {agent_id}")
}

impl Service {
    /// Takes rows over, each on its own; with `dry_run` it only says which are here already.
    pub async fn import(
        &self,
        by: &Caller,
        source: String,
        rows: Vec<GivenRow>,
        dry_run: bool,
    ) -> Result<Vec<RowOutcome>, ServiceError> {
        // Hashing passwords is costly on purpose, and not for everybody.
        by.principal.require(Need::Scope(Scope::Operators))?;
        let view = self.operator_view().await?;
        let fleet = by.principal.fleet;
        let mut outcomes = Vec::with_capacity(rows.len());
        let mut new = Vec::with_capacity(rows.len());
        for row in rows {
            let exists = self.is_here(&view, fleet, &row)?;
            if !exists && !dry_run {
                new.push(self.sealed(row).await?);
            }
            outcomes.push(match exists {
                true => RowOutcome::Exists,
                false => RowOutcome::Imported,
            });
        }
        if new.is_empty() {
            return Ok(outcomes);
        }
        let count = new.len();
        let request = OperatorRequest::Import { source, rows: new };
        let decided = match self.order(by, request).await? {
            Outcome::RowsImported(decided) if decided.len() == count => decided,
            outcome => return Err(ServiceError::unexpected(&outcome)),
        };
        let mut decided = decided.into_iter();
        for outcome in &mut outcomes {
            if *outcome == RowOutcome::Imported
                && let Some(decided) = decided.next()
            {
                *outcome = decided;
            }
        }
        Ok(outcomes)
    }

    async fn sealed(&self, row: GivenRow) -> Result<ImportRow, ServiceError> {
        Ok(match row {
            GivenRow::Agent(mut agent, hashes) => {
                let owner = hash_owner(&agent.id);
                for (hash, expires_ms) in hashes {
                    agent.hashes.push(ImportedHash {
                        sealed_hash: self.seal(&owner, &hash)?,
                        expires_ms,
                    });
                }
                ImportRow::Agent(agent)
            }
            GivenRow::Operator(mut operator, digest) => {
                if let Some(digest) = digest {
                    operator.password_hash = self.hash_digest(digest).await?;
                }
                ImportRow::Operator(operator)
            }
            GivenRow::Token(digest, expires_ms) => ImportRow::EnrollmentToken {
                token_hash: self.tokens.hash_sha256(&digest),
                expires_ms,
            },
            GivenRow::Other(row) => row,
        })
    }

    /// What an imported enrolment token lets into, and the hash under which it is stored; none
    /// where it did not come from another relay. It was handed out with the id that the fleet had
    /// there, so an id that no fleet has here is as good as the right one.
    pub(super) async fn imported_token(
        &self,
        fleet_id: &str,
        token: &str,
    ) -> Result<Option<(String, [u8; 32])>, ServiceError> {
        let token_hash = self.tokens.hash_sha256(&Sha256::digest(token).into());
        if !self.node.leadership().borrow().is_self {
            // It may have come by another node a moment ago.
            self.node.read_point().await?;
        }
        let view = self.view();
        let Some(found) = token::get(&view, &token_hash)? else {
            return Ok(None);
        };
        let fleet_id = match fleet::by_id(&view, fleet_id)? {
            Some(named) => Some(named.id),
            None => fleet::get(&view, found.fleet)?.map(|fleet| fleet.id),
        };
        Ok(fleet_id.map(|fleet_id| (fleet_id, token_hash)))
    }

    /// The hash of an imported agent's secret.
    pub fn open_imported_hash(
        &self,
        agent: &Agent,
        sealed_hash: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, ServiceError> {
        Ok(self.sealer.open(&hash_owner(&agent.id), sealed_hash)?)
    }

    /// Lets an imported agent sign with the secret that it showed. That another request did it at
    /// the same time is as good.
    pub async fn prove_secret(
        &self,
        agent: &Agent,
        sealed_hash: &[u8],
        secret: &[u8],
    ) -> Result<(), ServiceError> {
        let command = Command::ProveSecret(ProveSecret {
            fleet: agent.fleet,
            agent: agent.no,
            sealed_hash: sealed_hash.to_vec(),
            sealed_secret: self.seal(&agent.id, secret)?,
        });
        match self.propose(&command).await {
            Ok(_) | Err(ServiceError::Refused(Refusal::InvalidCredentials)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether a row is here already, as far as this node knows; apply decides.
    fn is_here(
        &self,
        read: &impl Read,
        fleet: FleetNo,
        row: &GivenRow,
    ) -> Result<bool, StorageError> {
        Ok(match row {
            GivenRow::Agent(agent, _) => {
                agent::locate(read, &agent.id)?.is_some_and(|(of, _)| of == fleet)
            }
            GivenRow::Operator(operator, _) => {
                operator::get(read, fleet, &operator.id)?.is_some()
                    || operator::by_email(read, fleet, &operator.email)?.is_some()
            }
            GivenRow::Token(digest, _) => {
                import::token::is_here(read, fleet, &self.tokens.hash_sha256(digest))?
            }
            GivenRow::Other(ImportRow::Room(room)) => room::get(read, fleet, &room.id)?.is_some(),
            GivenRow::Other(ImportRow::Policy { policy_id, .. }) => {
                policy::get(read, fleet, policy_id)?.is_some()
            }
            GivenRow::Other(ImportRow::Approval(asked)) => {
                approval::get(read, fleet, asked.uuid)?.is_some()
            }
            GivenRow::Other(ImportRow::Message(sent)) => {
                message::get(read, fleet, sent.message.uuid)?.is_some()
            }
            GivenRow::Other(ImportRow::Task(task)) => {
                import::task::is_here(read, fleet, task.uuid)?
            }
            GivenRow::Other(
                ImportRow::Agent(_) | ImportRow::Operator(_) | ImportRow::EnrollmentToken { .. },
            ) => false,
        })
    }
}
