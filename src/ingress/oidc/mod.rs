//! Sign-in by an OpenID provider (OpenID Connect Core 1.0, authorization code flow with PKCE).
//!
//! - `flow`: what the browser carries from the start of a sign-in to its end
//! - `provider`: the provider over HTTP: what it says of itself, its keys, codes for tokens
//! - `token`: whether an ID token is one of the provider's, for us, for this sign-in
//! - `claims`: who it is about, and what they may do
//!
//! Nothing here changes the state: what comes out is a proof, which apply judges.

mod claims;
mod flow;
mod http;
mod provider;
mod token;

use std::path::PathBuf;

use ekho_storage::tables::operator::Role;
use thiserror::Error;
use zeroize::Zeroizing;

pub use claims::Person;
pub use flow::{COOKIE_BYTES_MAX, Flow, LIFETIME_MS};
pub use provider::{BuildError, Provider, shown};

/// An OpenID provider that operators may sign in with.
#[derive(Clone)]
pub struct Oidc {
    /// What the provider calls itself, without a slash at its end unless it has one.
    pub issuer: String,
    /// What it calls this relay.
    pub client_id: String,
    /// How this relay shows that it is that; none for a public client.
    pub client_secret: Option<Zeroizing<String>>,
    /// What is asked for.
    pub scopes: String,
    /// The claim that holds an operator's email, or a JSON pointer to it.
    pub claim: String,
    /// The fleet's name; none where the relay has only one.
    pub fleet: Option<String>,
    /// The role of operators who are not there yet, or whose groups give them none.
    pub default_role: Option<Role>,
    /// The claim that holds the groups, or a JSON pointer to it.
    pub groups_claim: String,
    /// What groups may do; empty where roles are not the provider's affair.
    pub roles: Vec<(Role, String)>,
    /// Certificates to trust beside the system's.
    pub ca_path: Option<PathBuf>,
}

/// Why somebody did not get in.
#[derive(Debug, Error)]
pub enum OidcError {
    /// No provider is configured.
    #[error("no OpenID provider is configured")]
    NotConfigured,
    /// What comes back does not belong to a sign-in that this browser began lately.
    #[error("this sign-in was not begun in this browser, or too long ago; begin again")]
    Flow,
    /// The provider, or what it sent, does not vouch for anybody.
    #[error("{0}")]
    Refused(String),
    /// The provider does not answer, or not as it must.
    #[error("the OpenID provider cannot be used: {0}")]
    Unavailable(String),
    /// Too many sign-ins at once.
    #[error("too many sign-ins at once")]
    Overloaded,
}

impl OidcError {
    fn refused(why: impl Into<String>) -> Self {
        OidcError::Refused(why.into())
    }

    fn unavailable(why: impl Into<String>) -> Self {
        OidcError::Unavailable(why.into())
    }
}
