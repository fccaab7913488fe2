//! Settings of a client and their defaults. Opens no connection but for an
//! enrolment.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;

use super::prepare::Extras;
use super::readers::ReaderKeys;
use super::{EkhoAgentClient, Inner, json_body};
use crate::call::{Call, SignerCell};
use crate::error::EkhoError;
use crate::identity::{AgentIdentity, EncryptionKey, KeyLearner, KeyRing, Verifier};
use crate::retry::{Repeat, RetryPolicy};
use crate::signing::Signer;
use crate::trace::TraceContext;
use crate::transport::{Transport, TransportOptions};
use crate::types::{EnrollAnswer, EnrollRequest};

/// An inbox answer carries at most 100 messages of at most 1 MiB with the relay's defaults.
const DEFAULT_MAX_ANSWER_BYTES: usize = 128 * 1024 * 1024;

/// Settings of an [`EkhoAgentClient`]; see [`EkhoAgentClient::builder`].
#[derive(Clone)]
#[must_use]
pub struct ClientBuilder {
    trace_context: Option<Arc<dyn Fn() -> TraceContext + Send + Sync>>,
    identity: Option<(AgentIdentity, String)>,
    key_ring: Option<KeyRing>,
    learn_keys: bool,
    encryption_keys: Vec<EncryptionKey>,
    agent_id: String,
    secret: String,
    transport: TransportOptions,
    poll_interval: Duration,
    heartbeat_interval: Duration,
}

impl ClientBuilder {
    pub(super) fn new(agent_id: String, secret: String) -> Self {
        Self {
            trace_context: None,
            identity: None,
            key_ring: None,
            learn_keys: false,
            encryption_keys: Vec::new(),
            agent_id,
            secret,
            transport: TransportOptions {
                relays: Vec::new(),
                retry: RetryPolicy::default(),
                connect_timeout: Duration::from_secs(5),
                request_timeout: Duration::from_secs(30),
                stream_idle_timeout: Duration::from_secs(60),
                max_answer_bytes: DEFAULT_MAX_ANSWER_BYTES,
                root_certificates_pem: Vec::new(),
            },
            poll_interval: Duration::from_secs(5),
            heartbeat_interval: Duration::from_secs(30),
        }
    }

    /// Adds a relay's base URL, such as `https://relay.example`. Given several nodes of a cluster,
    /// the client stays with one and moves on to the next where that one fails.
    pub fn relay(mut self, base_url: impl Into<String>) -> Self {
        self.transport.relays.push(base_url.into());
        self
    }

    /// Adds several base URLs, in order.
    pub fn relays<I>(mut self, base_urls: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.transport
            .relays
            .extend(base_urls.into_iter().map(Into::into));
        self
    }

    /// How failed tries are repeated. Default: [`RetryPolicy::default`].
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.transport.retry = policy;
        self
    }

    /// Longest time to open a connection. Default: 5 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.transport.connect_timeout = timeout;
        self
    }

    /// Longest time of one try, on top of what a long poll asks to wait. Default: 30 s.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.transport.request_timeout = timeout;
        self
    }

    /// A stream on which nothing comes for this long, keep-alives included, is opened anew.
    /// Default: 60 s.
    pub fn stream_idle_timeout(mut self, timeout: Duration) -> Self {
        self.transport.stream_idle_timeout = timeout;
        self
    }

    /// The largest answer to hold in memory. Default: 128 MiB.
    pub fn max_answer_bytes(mut self, limit_bytes: usize) -> Self {
        self.transport.max_answer_bytes = limit_bytes;
        self
    }

    /// Also trusts these certificates (PEM), for a relay with a certificate of its own making.
    pub fn root_certificate_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.transport.root_certificates_pem.push(pem.into());
        self
    }

    /// How often an adapter polls where the relay does not hold long polls open. Default: 5 s.
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = interval;
        self
    }

    /// How often an adapter sends heartbeats. Default: 30 s.
    pub fn heartbeat_interval(mut self, interval: Duration) -> Self {
        self.heartbeat_interval = interval;
        self
    }

    /// Puts the trace context that this gives into the metadata of each message, as an
    /// OpenTelemetry propagator would write it: `traceparent`, `tracestate`, `baggage`.
    pub fn trace_context(
        mut self,
        context: impl Fn() -> TraceContext + Send + Sync + 'static,
    ) -> Self {
        self.trace_context = Some(Arc::new(context));
        self
    }

    /// Signs every message end to end. The fleet's id is part of what is signed.
    pub fn identity(mut self, identity: AgentIdentity, fleet_id: impl Into<String>) -> Self {
        self.identity = Some((identity, fleet_id.into()));
        self
    }

    /// Checks the end-to-end signatures of what comes in.
    pub fn key_ring(mut self, ring: KeyRing) -> Self {
        self.key_ring = Some(ring);
        self
    }

    /// Takes into the ring what the relay says of keys: who has which, and which were revoked.
    pub fn learn_keys(mut self) -> Self {
        self.learn_keys = true;
        self
    }

    /// Decrypts bodies that come in with any of these keys, and encrypts with the first.
    pub fn encryption_keys(mut self, keys: impl IntoIterator<Item = EncryptionKey>) -> Self {
        self.encryption_keys = keys.into_iter().collect();
        self
    }

    /// Replaces the credentials, as those of a fresh enrolment.
    pub fn credentials(mut self, agent_id: impl Into<String>, secret: impl Into<String>) -> Self {
        self.agent_id = agent_id.into();
        self.secret = secret.into();
        self
    }

    /// Enrols an agent over these settings; the builder's credentials are not used, so they may be
    /// empty. See [`EkhoAgentClient::enroll`].
    pub async fn enroll(&self, request: &EnrollRequest) -> Result<EnrollAnswer, EkhoError> {
        let transport = Transport::new(self.transport.clone())?;
        let mut call = Call::new(Method::POST, "/v1/enroll");
        call.body = Some(json_body(request)?);
        call.repeat = Repeat::OnlyIfUndone;
        transport.json(&call).await
    }

    /// The client. No connection is opened before its first call.
    ///
    /// Errors: [`EkhoError::InvalidArgument`] for missing or unusable credentials, relay addresses,
    /// certificates or intervals.
    pub fn build(self) -> Result<EkhoAgentClient, EkhoError> {
        if self.poll_interval.is_zero() || self.heartbeat_interval.is_zero() {
            return Err(EkhoError::invalid("intervals must be longer than zero"));
        }
        if self.learn_keys && self.key_ring.is_none() {
            return Err(EkhoError::invalid(
                "learn_keys needs a key ring to learn into",
            ));
        }
        let signer = Signer::new(self.agent_id.clone(), &self.secret)?;
        let extras = Extras {
            trace_context: self.trace_context,
            identity: self.identity,
            learner: self
                .key_ring
                .clone()
                .filter(|_| self.learn_keys)
                .map(KeyLearner::new),
            verifier: self
                .key_ring
                .clone()
                .map(|ring| Verifier::new(ring, self.agent_id.clone())),
            key_ring: self.key_ring,
            encryption_keys: self.encryption_keys,
            reader_keys: ReaderKeys::default(),
        };
        Ok(EkhoAgentClient {
            inner: Arc::new(Inner {
                agent_id: self.agent_id,
                signer: SignerCell::new(signer),
                transport: Transport::new(self.transport)?,
                extras,
                poll_interval: self.poll_interval,
                heartbeat_interval: self.heartbeat_interval,
            }),
        })
    }
}

impl std::fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("agent_id", &self.agent_id)
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use super::EkhoAgentClient;

    #[test]
    fn unusable_settings_are_refused() {
        let builder = || EkhoAgentClient::builder("agent_1", "secret");
        assert!(builder().build().is_err(), "no relay");
        assert!(builder().relay("relay.example").build().is_err(), "no URL");
        let relay = || builder().relay("http://127.0.0.1:1");
        assert!(relay().poll_interval(Duration::ZERO).build().is_err());
        assert!(relay().root_certificate_pem(*b"no PEM").build().is_err());
        assert!(relay().build().is_ok());
    }

    #[test]
    fn the_secret_never_shows() {
        let builder =
            EkhoAgentClient::builder("agent_1", "very-secret").relay("http://127.0.0.1:1");
        let shown = format!("{builder:?}{:?}", builder.clone().build().unwrap());
        assert!(!shown.contains("very-secret"), "{shown}");
    }
}
