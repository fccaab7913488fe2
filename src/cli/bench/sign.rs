//! Renders signed requests (scheme of the agent API: HMAC-SHA256 over method, path, timestamp,
//! nonce and body hash). Pure: bytes in, bytes out.

use std::io::Write;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::clock::Stamp;
use super::enrol::Agent;
use super::error::BenchError;

/// One call before it is signed.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// Value of the Host header.
    pub host: &'a str,
    /// GET or POST.
    pub method: &'a str,
    /// Path with query string; the query is not signed.
    pub target: &'a str,
    /// The exact bytes sent; empty for none.
    pub body: &'a [u8],
}

/// Signs for one agent on one connection.
///
/// The HMAC is keyed once and cloned for each request. A nonce is a random prefix of this signer
/// and a counter, 32 hex digits: unique without asking for randomness each time.
#[derive(Debug, Clone)]
pub struct Signer {
    agent_id: String,
    keyed: Hmac<Sha256>,
    nonce: [u8; 32],
    counter: u64,
    stamp: Stamp,
    canonical: Vec<u8>,
}

impl Signer {
    /// A signer with a fresh nonce prefix.
    pub fn new(agent: &Agent) -> Result<Self, BenchError> {
        let keyed = Hmac::new_from_slice(agent.secret.as_bytes())
            .map_err(|_| BenchError::usage(format!("agent {}: unusable secret", agent.agent_id)))?;
        let mut nonce = [0; 32];
        put_hex(&mut nonce[..16], &rand::random::<u64>().to_be_bytes());
        Ok(Self {
            agent_id: agent.agent_id.clone(),
            keyed,
            nonce,
            counter: 0,
            stamp: Stamp::default(),
            canonical: Vec::with_capacity(256),
        })
    }

    /// Whom this signs for.
    pub fn agent_id(&self) -> &str {
        &self.agent_id
    }

    /// Replaces `out` with the whole request, signed at `now_us` (microseconds since the epoch).
    pub fn write_request(&mut self, out: &mut Vec<u8>, call: &Call<'_>, now_us: u64) {
        self.counter += 1;
        put_hex(&mut self.nonce[16..], &self.counter.to_be_bytes());
        let stamp = self.stamp.at(now_us);
        let signature = signature(&self.keyed, &mut self.canonical, call, stamp, &self.nonce);
        out.clear();
        for part in [
            call.method.as_bytes(),
            b" ",
            call.target.as_bytes(),
            b" HTTP/1.1\r\nhost: ",
            call.host.as_bytes(),
        ] {
            out.extend_from_slice(part);
        }
        for (name, value) in [
            (&b"\r\nx-ekho-agent-id: "[..], self.agent_id.as_bytes()),
            (b"\r\nx-ekho-timestamp: ", stamp),
            (b"\r\nx-ekho-nonce: ", &self.nonce),
            (b"\r\nx-ekho-signature: ", &signature),
        ] {
            out.extend_from_slice(name);
            out.extend_from_slice(value);
        }
        if !call.body.is_empty() {
            // Writing to a Vec cannot fail.
            let _ = write!(
                out,
                "\r\ncontent-type: application/json\r\ncontent-length: {}",
                call.body.len()
            );
        }
        out.extend_from_slice(b"\r\n\r\n");
        out.extend_from_slice(call.body);
    }
}

/// The signature in lower-case hex; `canonical` is scratch space.
fn signature(
    keyed: &Hmac<Sha256>,
    canonical: &mut Vec<u8>,
    call: &Call<'_>,
    stamp: &[u8],
    nonce: &[u8],
) -> [u8; 64] {
    let path = call.target.split('?').next().unwrap_or_default();
    let mut body_hash = [0; 64];
    put_hex(&mut body_hash, &Sha256::digest(call.body));
    canonical.clear();
    for part in [call.method.as_bytes(), path.as_bytes(), stamp, nonce] {
        canonical.extend_from_slice(part);
        canonical.push(b'\n');
    }
    canonical.extend_from_slice(&body_hash);
    let mut mac = keyed.clone();
    mac.update(canonical);
    let mut signature = [0; 64];
    put_hex(&mut signature, &mac.finalize().into_bytes());
    signature
}

/// Fills `out` with the lower-case hex of `bytes`; `out` is twice as long.
fn put_hex(out: &mut [u8], bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in out.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Vectors {
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        name: String,
        secret: String,
        method: String,
        target: String,
        body_utf8: String,
        timestamp: String,
        nonce: String,
        signature: String,
    }

    #[test]
    fn signatures_match_the_shared_vectors() {
        let vectors: Vectors =
            serde_json::from_str(include_str!("../../../sdk/vectors/signing.json")).unwrap();
        assert!(!vectors.cases.is_empty());
        for case in vectors.cases {
            let keyed = Hmac::new_from_slice(case.secret.as_bytes()).unwrap();
            let call = Call {
                host: "",
                method: &case.method,
                target: &case.target,
                body: case.body_utf8.as_bytes(),
            };
            let ours = signature(
                &keyed,
                &mut Vec::new(),
                &call,
                case.timestamp.as_bytes(),
                case.nonce.as_bytes(),
            );
            assert_eq!(
                String::from_utf8_lossy(&ours),
                case.signature,
                "{}",
                case.name
            );
        }
    }

    #[test]
    fn every_request_has_its_own_nonce_and_carries_what_it_signs() {
        let agent = Agent {
            agent_id: "agent_1".into(),
            secret: "s".into(),
        };
        let mut signer = Signer::new(&agent).unwrap();
        let call = Call {
            host: "relay:1",
            method: "POST",
            target: "/v1/acks?x=1",
            body: b"{}",
        };
        let mut requests = Vec::new();
        for _ in 0..3 {
            let mut out = b"left over".to_vec();
            signer.write_request(&mut out, &call, 1_795_404_960_007_000);
            requests.push(String::from_utf8(out).unwrap());
        }
        let nonces: std::collections::BTreeSet<&str> = requests
            .iter()
            .flat_map(|r| r.lines().find_map(|l| l.strip_prefix("x-ekho-nonce: ")))
            .collect();
        assert_eq!(nonces.len(), 3);
        let (head, body) = requests[0].split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with("POST /v1/acks?x=1 HTTP/1.1\r\nhost: relay:1\r\n"),
            "{head}"
        );
        assert!(
            head.contains("x-ekho-timestamp: 2026-11-23T03:36:00.007Z"),
            "{head}"
        );
        assert!(head.ends_with("content-length: 2"), "{head}");
        assert_eq!(body, "{}");
    }
}
