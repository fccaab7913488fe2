//! Who signed a request: the checks that need no log, cheapest first.

use axum::http::{HeaderMap, Method};
use ekho_storage::tables::agent::{self, Agent};
use ekho_storage::tables::{TimeMs, fleet, imported_secret, settings, system};
use subtle::ConstantTimeEq;

use super::signing::{Signable, SignatureHeaders, hash};
use crate::clock::{now_ms, parse_iso};
use crate::machine::outcome::Refusal;
use crate::service::{Caller, Service, ServiceError};

/// What of a request is signed, and how it came.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its target without the query, as sent.
    pub path: &'a str,
    /// Whether nobody else could read it on its way.
    pub is_private: bool,
}

/// Checks a request's signature and returns who signed it and the hash of the body. Nothing is
/// recorded: the nonce is used up with what the request asks for.
pub async fn authenticate(
    service: &Service,
    received: Received<'_>,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<(Caller, [u8; 32]), ServiceError> {
    let headers = SignatureHeaders::read(headers).ok_or(ServiceError::MissingHeaders)?;
    let body_hash = hash(body);
    let caller = authenticate_hash(service, received, &headers, &body_hash).await?;
    Ok((caller, body_hash))
}

/// The same for a body that was hashed as it came.
pub async fn authenticate_hash(
    service: &Service,
    received: Received<'_>,
    headers: &SignatureHeaders<'_>,
    body_hash: &[u8; 32],
) -> Result<Caller, ServiceError> {
    let signable = Signable {
        method: received.method,
        path: received.path,
        body_hash,
    };
    let look = || check(service, headers, signable);
    match looked_at(service, look).await {
        Err(ServiceError::InvalidSignature) => {
            prove(service, headers, signable, received.is_private).await?;
            looked_at(service, look).await
        }
        checked => checked,
    }
}

/// The first request of an imported agent, of whose secret only a hash is known: where it shows the
/// secret and is signed with it, the agent can sign from now on. Any other request is refused.
async fn prove(
    service: &Service,
    headers: &SignatureHeaders<'_>,
    signable: Signable<'_>,
    is_private: bool,
) -> Result<(), ServiceError> {
    let (agent, _) = signer(service, headers)?;
    let secrets = imported_secret::get(&service.view(), agent.fleet, agent.no)?;
    let Some(secrets) = secrets else {
        return Err(ServiceError::InvalidSignature);
    };
    let Some(secret) = headers.secret else {
        return Err(ServiceError::SecretNotShown);
    };
    if !is_private {
        return Err(ServiceError::SecretInTheOpen);
    }
    let shown = hash(secret.as_bytes());
    for one in &secrets.hashes {
        if one.expires_ms.is_some_and(|at_ms| at_ms <= now_ms()) {
            continue;
        }
        let known = service.open_imported_hash(&agent, &one.sealed_hash)?;
        let is_it: bool = known.as_slice().ct_eq(&shown).into();
        if is_it && signable.verify(headers, secret.as_bytes()) {
            return service
                .prove_secret(&agent, &one.sealed_hash, secret.as_bytes())
                .await;
        }
    }
    Err(ServiceError::InvalidSignature)
}

/// Whether a request can be signed at all, before its body is read: by an agent that is there, and
/// not too long ago.
pub async fn expect_signed(
    service: &Service,
    headers: &SignatureHeaders<'_>,
) -> Result<(), ServiceError> {
    looked_at(service, || signer(service, headers).map(|_| ())).await
}

async fn looked_at<T>(
    service: &Service,
    check: impl Fn() -> Result<T, ServiceError>,
) -> Result<T, ServiceError> {
    match check() {
        // It may have enrolled, or got a new secret, on another node a moment ago.
        Err(
            ServiceError::InvalidSignature | ServiceError::Refused(Refusal::InvalidCredentials),
        ) if !service.node.leadership().borrow().is_self => {
            service.node.read_point().await?;
            check()
        }
        checked => checked,
    }
}

/// Who says that they signed, and when.
fn signer(
    service: &Service,
    headers: &SignatureHeaders<'_>,
) -> Result<(Agent, TimeMs), ServiceError> {
    let view = service.view();
    let agent = agent::by_id(&view, headers.agent_id)?
        .filter(|agent| !agent.revoked)
        .ok_or(Refusal::InvalidCredentials)?;
    if fleet::is_archived(&view, agent.fleet)? {
        return Err(Refusal::InvalidCredentials.into());
    }
    let now = now_ms();
    let skew_ms = settings::get(&view)?.timestamp_skew_ms;
    let timestamp_ms = parse_iso(headers.timestamp)
        .filter(|timestamp_ms| now.abs_diff(*timestamp_ms) <= skew_ms)
        .ok_or(Refusal::TimestampSkew)?;
    let floor_ms = system::get(&service.view())?.timestamp_floor_ms;
    if timestamp_ms <= floor_ms {
        // After a restore or recovery a fresh signature is refused as well until then. One that was
        // made in time and comes a moment later: whoever signs again is heard.
        let retry_after_ms = floor_ms.saturating_sub(now) + 1;
        return Err(ServiceError::BeforeFloor { retry_after_ms });
    }
    Ok((agent, timestamp_ms))
}

fn check(
    service: &Service,
    headers: &SignatureHeaders<'_>,
    signable: Signable<'_>,
) -> Result<Caller, ServiceError> {
    let (agent, timestamp_ms) = signer(service, headers)?;
    let now = now_ms();
    for credential in &agent.credentials {
        if credential.valid_until_ms.is_some_and(|until| until <= now) {
            continue;
        }
        let secret = service.sealer.open(&agent.id, &credential.sealed_secret)?;
        if signable.verify(headers, &secret) {
            let caller = Caller {
                credential: credential.id,
                nonce: headers.nonce.to_string(),
                timestamp_ms,
                agent,
            };
            return Ok(caller);
        }
    }
    Err(ServiceError::InvalidSignature)
}
