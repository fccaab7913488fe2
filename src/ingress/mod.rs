//! Who is asking: signatures, nonces of reads, sessions, sealed secrets.
//!
//! Nothing here changes the state. What only the log can decide, apply decides.

pub mod authenticate;
pub mod channel;
pub mod guard;
pub mod keys;
pub mod oidc;
pub mod password;
pub mod proxies;
pub mod seal;
pub mod signing;
pub mod tokens;
pub mod totp;
