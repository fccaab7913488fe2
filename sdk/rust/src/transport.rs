//! One HTTP call to a relay: built and signed anew for every try, answered with its bytes or with
//! the error of the last try. Touches the network and nothing of the domain.

use std::net::IpAddr;
use std::sync::{Mutex, Once, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::call::Call;
use crate::error::{EkhoError, EkhoRequestError};
use crate::retry::{RetryPolicy, Targets, run};

/// Error bodies are short; a page from some proxy is cut here.
const MAX_ERROR_BODY_BYTES: usize = 64 * 1024;

/// Connections to one cluster of relays.
#[derive(Debug)]
pub(crate) struct Transport {
    relays: Vec<Relay>,
    targets: Targets,
    retry: RetryPolicy,
    request_timeout: Duration,
    stream_idle_timeout: Duration,
    max_answer_bytes: usize,
    /// No send leaves before this instant.
    sends_held_until: Mutex<Option<Instant>>,
}

/// One node.
#[derive(Debug)]
struct Relay {
    /// Without a trailing slash.
    base_url: String,
    http: reqwest::Client,
}

/// What a [`Transport`] is made of.
#[derive(Debug, Clone)]
pub(crate) struct TransportOptions {
    pub(crate) relays: Vec<String>,
    pub(crate) retry: RetryPolicy,
    pub(crate) connect_timeout: Duration,
    pub(crate) request_timeout: Duration,
    pub(crate) stream_idle_timeout: Duration,
    pub(crate) max_answer_bytes: usize,
    pub(crate) root_certificates_pem: Vec<Vec<u8>>,
}

impl Transport {
    pub(crate) fn new(options: TransportOptions) -> Result<Self, EkhoError> {
        if options.relays.is_empty() {
            return Err(EkhoError::invalid("no relay address was given"));
        }
        install_crypto_provider();
        let relays = options
            .relays
            .iter()
            .map(|relay| {
                let base_url = checked_base_url(relay)?;
                let http = http_client(&base_url, &options)?;
                Ok(Relay { base_url, http })
            })
            .collect::<Result<Vec<_>, EkhoError>>()?;
        Ok(Self {
            targets: Targets::new(relays.len()),
            relays,
            retry: options.retry,
            request_timeout: options.request_timeout,
            stream_idle_timeout: options.stream_idle_timeout,
            max_answer_bytes: options.max_answer_bytes,
            sends_held_until: Mutex::new(None),
        })
    }

    pub(crate) fn stream_idle_timeout(&self) -> Duration {
        self.stream_idle_timeout
    }

    pub(crate) fn retry_policy(&self) -> &RetryPolicy {
        &self.retry
    }

    /// Makes the call and reads its answer as it is.
    pub(crate) async fn raw(&self, call: &Call<'_>) -> Result<(Bytes, HeaderMap), EkhoError> {
        run(&self.retry, &self.targets, call.repeat, |relay| {
            self.attempt_whole(relay, call)
        })
        .await
    }

    /// Makes the call and reads its answer as JSON. An empty answer is read as `null`.
    pub(crate) async fn json<T: DeserializeOwned>(&self, call: &Call<'_>) -> Result<T, EkhoError> {
        let (bytes, _) = self.raw(call).await?;
        let bytes = if bytes.is_empty() {
            &b"null"[..]
        } else {
            &bytes[..]
        };
        serde_json::from_slice(bytes).map_err(|source| EkhoError::Decode {
            path: call.target.clone(),
            source,
        })
    }

    /// Makes the call and hands over the answer once its head is here.
    pub(crate) async fn open(&self, call: &Call<'_>) -> Result<Response, EkhoError> {
        run(
            &self.retry,
            &self.targets,
            call.repeat,
            |relay| async move {
                let head = self.attempt(relay, call, None);
                match tokio::time::timeout(self.request_timeout, head).await {
                    Ok(outcome) => outcome,
                    Err(_) => Err(EkhoError::Timeout {
                        path: call.target.clone(),
                        waited: self.request_timeout,
                    }),
                }
            },
        )
        .await
    }

    async fn attempt_whole(
        &self,
        relay: usize,
        call: &Call<'_>,
    ) -> Result<(Bytes, HeaderMap), EkhoError> {
        let timeout = self.request_timeout.saturating_add(call.relay_wait);
        let mut response = self.attempt(relay, call, Some(timeout)).await?;
        let headers = std::mem::take(response.headers_mut());
        let bytes = read_up_to(&mut response, self.max_answer_bytes)
            .await
            .map_err(|source| transport_error(call, source))?
            .ok_or_else(|| EkhoError::AnswerTooLarge {
                path: call.target.clone(),
                limit_bytes: self.max_answer_bytes,
            })?;
        Ok((bytes, headers))
    }

    /// One try: signs now, sends, and turns every status but 2xx into an error.
    async fn attempt(
        &self,
        relay: usize,
        call: &Call<'_>,
        timeout: Option<Duration>,
    ) -> Result<Response, EkhoError> {
        if call.rate_limited {
            self.wait_for_rate_window().await;
        }
        let Relay { base_url, http } = &self.relays[relay];
        let target = format!("{base_url}{}", call.target);
        let mut request = http.request(call.method.clone(), target);
        if let Some(timeout) = timeout {
            request = request.timeout(timeout);
        }
        if let Some(signer) = call.signer {
            let body = call.body.as_deref().unwrap_or_default();
            let signed = signer.get().sign(call.method.as_str(), &call.target, body);
            for (name, value) in signed.pairs() {
                request = request.header(name, value);
            }
        }
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        if let Some(body) = &call.body {
            request = request
                .header(CONTENT_TYPE, "application/json")
                .body(body.clone());
        }
        let mut response = request
            .send()
            .await
            .map_err(|source| transport_error(call, source))?;
        let status_code = response.status().as_u16();
        if response.status().is_success() {
            return Ok(response);
        }
        let retry_after_seconds = header_text(response.headers(), RETRY_AFTER.as_str())
            .and_then(|text| text.trim().parse().ok());
        let request_id = header_text(response.headers(), "x-request-id").map(str::to_owned);
        // The status alone is worth reporting when the body cannot be read to its end.
        let body = read_up_to(&mut response, MAX_ERROR_BODY_BYTES).await;
        let body = body.ok().flatten().unwrap_or_default();
        let refusal = EkhoRequestError::from_answer(
            &call.target,
            status_code,
            &body,
            retry_after_seconds,
            request_id,
        );
        if call.rate_limited && status_code == 429 {
            self.hold_sends(refusal.retry_after());
        }
        tracing::debug!(
            path = %call.target,
            status_code,
            code = refusal.code.as_deref(),
            "the relay refused a try"
        );
        Err(Box::new(refusal).into())
    }

    /// Every refused send counts towards the agent's quarantine, so after one refusal no other
    /// send of this client is tried before the window opens again.
    fn hold_sends(&self, retry_after: Option<Duration>) {
        let Some(wait) = retry_after.filter(|wait| *wait <= self.retry.max_retry_after) else {
            return;
        };
        let until = Instant::now() + wait;
        let mut held = self
            .sends_held_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *held = Some(held.map_or(until, |earlier| earlier.max(until)));
    }

    async fn wait_for_rate_window(&self) {
        let held = *self
            .sends_held_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(until) = held {
            tokio::time::sleep_until(until).await;
        }
    }
}

/// What a relay is called with.
fn http_client(base_url: &str, options: &TransportOptions) -> Result<reqwest::Client, EkhoError> {
    let mut http = reqwest::Client::builder()
        .connect_timeout(options.connect_timeout)
        // A signature is for one path on one relay: a redirect could only be misread.
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("ekho-client-rust/", env!("CARGO_PKG_VERSION")));
    if is_loopback(base_url) {
        // A proxy for the rest of the world cannot reach a relay on this machine.
        http = http.no_proxy();
    }
    for pem in &options.root_certificates_pem {
        let certificates = reqwest::Certificate::from_pem_bundle(pem)
            .map_err(|error| EkhoError::invalid(format!("root certificate: {error}")))?;
        if certificates.is_empty() {
            return Err(EkhoError::invalid(
                "root certificate: no certificate in the PEM",
            ));
        }
        for certificate in certificates {
            http = http.add_root_certificate(certificate);
        }
    }
    http.build()
        .map_err(|error| EkhoError::invalid(format!("HTTP client: {error}")))
}

fn is_loopback(base_url: &str) -> bool {
    let url = reqwest::Url::parse(base_url).ok();
    let host = url.as_ref().and_then(reqwest::Url::host_str);
    let host = host.unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Accepts http and https; a path prefix is kept for proxies that strip it, and is not signed.
fn checked_base_url(text: &str) -> Result<String, EkhoError> {
    let url = reqwest::Url::parse(text)
        .map_err(|error| EkhoError::invalid(format!("relay address {text:?}: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(EkhoError::invalid(format!(
            "relay address {text:?}: not an http or https URL"
        )));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(EkhoError::invalid(format!(
            "relay address {text:?}: query and fragment have no meaning here"
        )));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// reqwest is built without a TLS provider of its own, so that a program has only one. Where the
/// program installed none, this installs ring's.
fn install_crypto_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // Fails only if another thread installed one in between, which serves as well.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
    });
}

fn transport_error(call: &Call<'_>, source: reqwest::Error) -> EkhoError {
    EkhoError::Transport {
        path: call.target.clone(),
        source: source.without_url(),
    }
}

fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The body, or None where it is longer than `limit_bytes`.
async fn read_up_to(
    response: &mut Response,
    limit_bytes: usize,
) -> Result<Option<Bytes>, reqwest::Error> {
    let Some(first) = response.chunk().await? else {
        return Ok(Some(Bytes::new()));
    };
    let Some(second) = response.chunk().await? else {
        return Ok((first.len() <= limit_bytes).then_some(first));
    };
    let mut whole = Vec::from(first);
    let mut next = Some(second);
    while let Some(chunk) = next {
        if whole.len().saturating_add(chunk.len()) > limit_bytes {
            return Ok(None);
        }
        whole.extend_from_slice(&chunk);
        next = response.chunk().await?;
    }
    Ok(Some(whole.into()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Transport, TransportOptions, checked_base_url, is_loopback};
    use crate::retry::RetryPolicy;

    #[tokio::test(start_paused = true)]
    async fn one_refused_send_holds_back_the_others() {
        let transport = Transport::new(TransportOptions {
            relays: vec!["http://127.0.0.1:1".to_owned()],
            retry: RetryPolicy::default(),
            connect_timeout: Duration::from_secs(1),
            request_timeout: Duration::from_secs(1),
            stream_idle_timeout: Duration::from_secs(1),
            max_answer_bytes: 1,
            root_certificates_pem: Vec::new(),
        })
        .unwrap();
        let waited = async || {
            let asked = Instant::now();
            transport.wait_for_rate_window().await;
            asked.elapsed().as_secs()
        };
        assert_eq!(waited().await, 0);
        transport.hold_sends(Some(Duration::from_secs(40)));
        transport.hold_sends(Some(Duration::from_secs(7)));
        assert_eq!(waited().await, 40, "the longest counts");
        assert_eq!(waited().await, 0, "the window is open again");
        transport.hold_sends(Some(Duration::from_secs(3600)));
        assert_eq!(
            waited().await,
            0,
            "beyond the policy: the caller is told instead"
        );
    }

    #[test]
    fn base_urls_lose_only_the_trailing_slash() {
        let cases = [
            ("http://127.0.0.1:4000", "http://127.0.0.1:4000"),
            ("http://127.0.0.1:4000/", "http://127.0.0.1:4000"),
            ("https://example.org/relay/", "https://example.org/relay"),
        ];
        for (given, kept) in cases {
            assert_eq!(checked_base_url(given).unwrap(), kept);
        }
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for (base_url, expected) in [
            ("http://localhost:4000", true),
            ("https://127.0.0.1/relay", true),
            ("http://[::1]:4000", true),
            ("http://127.0.0.1.example.org", false),
            ("https://10.0.0.1", false),
        ] {
            assert_eq!(is_loopback(base_url), expected, "{base_url}");
        }
    }

    #[test]
    fn other_addresses_are_refused() {
        for text in [
            "",
            "127.0.0.1:4000",
            "ftp://example.org",
            "http://h/?a=1",
            "http://h/#x",
        ] {
            assert!(checked_base_url(text).is_err(), "{text:?}");
        }
    }
}
