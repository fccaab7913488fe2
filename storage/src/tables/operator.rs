//! Operators and their sessions.

use bincode::{Decode, Encode};

use super::{FleetNo, TimeMs, record, registry};
use crate::{Cf, Key, Read, StorageError, Txn};

/// What an operator may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Role {
    /// Everything, operators included.
    Owner,
    /// Everything but operators and settings.
    Operator,
    /// Reading only.
    Viewer,
}

/// A person who steers a fleet.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Operator {
    /// Public id, `opr_…`.
    pub id: String,
    /// Sign-in name, lower case, unique in the fleet.
    pub email: String,
    /// argon2id in PHC string form.
    pub password_hash: String,
    /// What this operator may do.
    pub role: Role,
    /// When the operator was created.
    pub created_ms: TimeMs,
}
record!(Operator, "operator");

/// A signed-in operator. The key is a keyed hash of the bearer token; the token is not stored.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Session {
    /// The fleet signed in to.
    pub fleet: FleetNo,
    /// The operator's sign-in name.
    pub email: String,
    /// The operator's public id, the actor of audit events.
    pub operator_id: String,
    /// When the session began.
    pub created_ms: TimeMs,
    /// When it ends.
    pub expires_ms: TimeMs,
}
record!(Session, "session");

fn operator_key(fleet: FleetNo, email: &str) -> Key {
    Key::table(registry::OPERATOR).u32(fleet).text(email)
}

/// The operator who signs in with `email`.
pub fn by_email(
    read: &impl Read,
    fleet: FleetNo,
    email: &str,
) -> Result<Option<Operator>, StorageError> {
    if email.len() > 255 {
        return Ok(None);
    }
    read.record(Cf::Registry, operator_key(fleet, email).bytes())
}

/// Writes an operator.
pub fn put(txn: &mut Txn, fleet: FleetNo, operator: &Operator) {
    txn.put_record(Cf::Registry, operator_key(fleet, &operator.email), operator);
}

fn session_key(token_hash: &[u8; 32]) -> Key {
    Key::table(registry::SESSION).raw(token_hash)
}

/// The session of a token.
pub fn session(read: &impl Read, token_hash: &[u8; 32]) -> Result<Option<Session>, StorageError> {
    read.record(Cf::Registry, session_key(token_hash).bytes())
}

/// Writes a session.
pub fn put_session(txn: &mut Txn, token_hash: &[u8; 32], session: &Session) {
    txn.put_record(Cf::Registry, session_key(token_hash), session);
}

/// Removes a session.
pub fn delete_session(txn: &mut Txn, token_hash: &[u8; 32]) {
    txn.delete(Cf::Registry, session_key(token_hash));
}
