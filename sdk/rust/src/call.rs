//! One agent call before it is sent: what every try of it has in common. Data only.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;

use crate::retry::Repeat;
use crate::signing::Signer;

/// The signer in use; replaced when credentials are rotated.
#[derive(Debug)]
pub(crate) struct SignerCell(RwLock<Arc<Signer>>);

impl SignerCell {
    pub(crate) fn new(signer: Signer) -> Self {
        Self(RwLock::new(Arc::new(signer)))
    }

    pub(crate) fn get(&self) -> Arc<Signer> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set(&self, signer: Signer) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(signer);
    }
}

/// One call, as often as it has to be tried.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) method: Method,
    /// Path and query string, percent-encoded, from the first slash.
    pub(crate) target: String,
    pub(crate) body: Option<Bytes>,
    /// None: the call is not signed.
    pub(crate) signer: Option<&'a SignerCell>,
    /// Extra headers, the same on every try.
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) repeat: Repeat,
    /// How long the relay may take on purpose, on top of the request timeout.
    pub(crate) relay_wait: Duration,
    /// True for sends: they share the agent's rate window, so one 429 holds all of them back.
    pub(crate) rate_limited: bool,
}

impl<'a> Call<'a> {
    pub(crate) fn new(method: Method, target: impl Into<String>) -> Self {
        Self {
            method,
            target: target.into(),
            body: None,
            signer: None,
            headers: Vec::new(),
            repeat: Repeat::Harmless,
            relay_wait: Duration::ZERO,
            rate_limited: false,
        }
    }

    pub(crate) fn signed_by(mut self, signer: &'a SignerCell) -> Self {
        self.signer = Some(signer);
        self
    }
}
