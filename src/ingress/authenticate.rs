//! Who signed a request: the checks that need no log, cheapest first.

use axum::http::{HeaderMap, Method};
use ekho_storage::tables::{agent, fleet, settings, system};

use super::signing::{Signable, SignatureHeaders, hash};
use crate::clock::{now_ms, parse_iso};
use crate::machine::outcome::Refusal;
use crate::service::{Caller, Service, ServiceError};

/// Checks a request's signature and returns who signed it and the hash of the body. Nothing is
/// recorded: the nonce is used up with what the request asks for.
pub async fn authenticate(
    service: &Service,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<(Caller, [u8; 32]), ServiceError> {
    let headers = SignatureHeaders::read(headers).ok_or(ServiceError::MissingHeaders)?;
    match check(service, method, path, &headers, body) {
        // It may have enrolled, or got a new secret, on another node a moment ago.
        Err(
            ServiceError::InvalidSignature | ServiceError::Refused(Refusal::InvalidCredentials),
        ) if !service.node.leadership().borrow().is_self => {
            service.node.read_point().await?;
            check(service, method, path, &headers, body)
        }
        checked => checked,
    }
}

fn check(
    service: &Service,
    method: &Method,
    path: &str,
    headers: &SignatureHeaders<'_>,
    body: &[u8],
) -> Result<(Caller, [u8; 32]), ServiceError> {
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
    if timestamp_ms <= floor_ms && now <= floor_ms {
        // After a restore or recovery: a fresh signature is refused as well until then.
        let retry_after_ms = floor_ms - now + 1;
        return Err(ServiceError::BeforeFloor { retry_after_ms });
    }
    let body_hash = hash(body);
    let signable = Signable {
        method,
        path,
        body_hash: &body_hash,
    };
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
            return Ok((caller, body_hash));
        }
    }
    Err(ServiceError::InvalidSignature)
}
