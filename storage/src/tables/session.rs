//! What lets somebody act as an operator: sessions, begun by signing in, and API tokens, made for
//! programs. Both are found by a keyed hash of the bearer token, which itself is not stored.

use bincode::{Decode, Encode};

use super::operator::Scopes;
use super::{FleetNo, TimeMs, record, registry};
use crate::{Cf, Key, KeyReader, Read, StorageError, Txn, prefix_end};

/// What a bearer token stands for.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Session {
    /// The fleet.
    pub fleet: FleetNo,
    /// Public id of the operator.
    pub operator_id: String,
    /// Public id, `ses_…` or `tok_…`.
    pub id: String,
    /// When it began.
    pub created_ms: TimeMs,
    /// When it ends by itself; none for an API token without an end.
    pub expires_ms: Option<TimeMs>,
    /// Where it came from, for its owner to recognise it.
    pub origin: Origin,
}
record!(Session, "session");

/// How a session came to be.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Origin {
    /// Somebody signed in.
    Login {
        /// How they proved who they are.
        method: Method,
        /// The address it came from.
        address: String,
        /// The program that was used, as it named itself.
        user_agent: String,
    },
    /// An API token: made once, for a program.
    ApiToken {
        /// Its name, for people.
        name: String,
        /// The most it may do; never more than its operator may.
        scopes: Scopes,
    },
}

/// How somebody proved who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Method {
    /// With a password, and a second factor where they have one.
    Password,
    /// An OpenID provider vouched for them.
    Oidc,
    /// The tailnet that their request came through.
    Tailnet,
}

impl Method {
    /// The word used on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Password => "password",
            Method::Oidc => "oidc",
            Method::Tailnet => "tailnet",
        }
    }
}

fn key(token_hash: &[u8; 32]) -> Key {
    Key::table(registry::SESSION).raw(token_hash)
}

fn owner_key(fleet: FleetNo, operator_id: &str) -> Key {
    Key::table(registry::SESSION_BY_OPERATOR)
        .u32(fleet)
        .text(operator_id)
}

/// The session of a token.
pub fn get(read: &impl Read, token_hash: &[u8; 32]) -> Result<Option<Session>, StorageError> {
    read.record(Cf::Registry, key(token_hash).bytes())
}

/// Sessions and API tokens of an operator with the hashes of their tokens, oldest first within
/// each kind; at most `limit`.
pub fn list(
    read: &impl Read,
    fleet: FleetNo,
    operator_id: &str,
    limit: usize,
) -> Result<Vec<([u8; 32], Session)>, StorageError> {
    let prefix = owner_key(fleet, operator_id);
    let end = prefix_end(prefix.bytes());
    let mut found = Vec::new();
    for (_, hash) in read.scan(Cf::Registry, prefix.bytes(), &end, limit)? {
        let hash: [u8; 32] = KeyReader::new("session index", &hash)
            .rest()
            .try_into()
            .map_err(|_| StorageError::Corrupt {
                table: "session index",
                detail: "a token hash has another length than 32".into(),
            })?;
        if let Some(session) = get(read, &hash)? {
            found.push((hash, session));
        }
    }
    Ok(found)
}

/// Writes a session.
pub fn put(txn: &mut Txn, token_hash: &[u8; 32], session: &Session) {
    txn.put_record(Cf::Registry, key(token_hash), session);
    txn.put(
        Cf::Registry,
        owner_key(session.fleet, &session.operator_id).text(&session.id),
        token_hash.to_vec(),
    );
}

/// Removes a session.
pub fn delete(txn: &mut Txn, token_hash: &[u8; 32], session: &Session) {
    txn.delete(Cf::Registry, key(token_hash));
    txn.delete(
        Cf::Registry,
        owner_key(session.fleet, &session.operator_id).text(&session.id),
    );
}
