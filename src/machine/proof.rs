//! How somebody signs in, as it stands in the log.
//!
//! A proof was checked where the request came in: a password against its hash, a code against a
//! secret. It carries what it was checked against, so that apply can refuse what no longer holds,
//! and what may be used only once.

use bincode::{Decode, Encode};
use ekho_storage::tables::FleetNo;
use ekho_storage::tables::operator::Role;
use ekho_storage::tables::session::Method;

/// A sign-in.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct CreateSession {
    /// Fleet.
    pub fleet: FleetNo,
    /// Who signs in, and what shows it.
    pub proof: Proof,
    /// Keyed hash of the token.
    pub token_hash: [u8; 32],
    /// The session's public id.
    pub session_id: String,
    /// The address it came from.
    pub address: String,
    /// The program used, as it named itself.
    pub user_agent: String,
}

/// Who signs in, and what shows it.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum Proof {
    /// They know the password.
    Password {
        /// Who, by public id.
        operator_id: String,
        /// The hash that the password was checked against; a changed password voids the sign-in.
        password_hash: String,
        /// The second factor; none where none was shown.
        second: Option<SecondFactor>,
    },
    /// An OpenID provider vouches for them.
    Oidc {
        /// The operator's email, lower case.
        email: String,
        /// What the provider calls them.
        subject: String,
        /// Their role from now on; none where the provider does not say.
        role: Option<Role>,
        /// Public id and role to add them with, where they are not there and may be added.
        first: Option<(String, Role)>,
    },
    /// Their request came through the tailnet, which names them.
    Tailnet {
        /// The operator's email, lower case.
        email: String,
    },
}

impl Proof {
    /// The way they came.
    pub fn method(&self) -> Method {
        match self {
            Proof::Password { .. } => Method::Password,
            Proof::Oidc { .. } => Method::Oidc,
            Proof::Tailnet { .. } => Method::Tailnet,
        }
    }
}

/// A second factor whose code fits. Whether it was used before, apply decides.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum SecondFactor {
    /// A code of the authenticator.
    Totp {
        /// The secret it fits.
        secret_id: String,
        /// The step of time it is for.
        step: u64,
    },
    /// A recovery code.
    Recovery {
        /// The secret it stands in for.
        secret_id: String,
        /// Its keyed hash.
        code_hash: [u8; 32],
    },
}

/// A failed try to sign in.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct LoginFailed {
    /// The fleet named, where it exists.
    pub fleet: Option<FleetNo>,
    /// The account named.
    pub email: String,
    /// The address it came from.
    pub address: String,
}
