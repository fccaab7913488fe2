//! What the browser carries from the start of a sign-in to its end: a sealed cookie.
//!
//! Sealed, because it holds the PKCE verifier and what must come back; in the browser and not in
//! a node's memory, so that any node can end what another began.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use super::OidcError;
use crate::ingress::seal::{SealError, Sealer};

/// How long somebody may take at the provider.
pub const LIFETIME_MS: u64 = 10 * 60 * 1000;
/// Longest cookie that is looked at.
pub const COOKIE_BYTES_MAX: usize = 2048;
/// Longest path to return to.
const RETURN_BYTES_MAX: usize = 512;
/// Whom the cookie is sealed for. No agent is called so.
const OWNER: &str = "oidc sign-in";

/// A sign-in under way.
#[derive(Serialize, Deserialize)]
pub struct Flow {
    /// Comes back in the address.
    pub state: String,
    /// Comes back inside the ID token.
    pub nonce: String,
    /// Shows the provider that whoever brings the code began the sign-in (RFC 7636).
    pub verifier: String,
    /// Where to go when signed in.
    pub return_to: String,
    expires_ms: u64,
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.verifier.zeroize();
    }
}

fn random() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

impl Flow {
    /// Begins a sign-in; none where `return_to` is not a path on this relay.
    pub fn new(return_to: &str, now_ms: u64) -> Option<Self> {
        is_local(return_to).then(|| Flow {
            state: random(),
            nonce: random(),
            verifier: random(),
            return_to: return_to.into(),
            expires_ms: now_ms + LIFETIME_MS,
        })
    }

    /// What the provider is shown of the verifier.
    pub fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(&self.verifier))
    }

    /// The value of the cookie.
    pub fn seal(&self, sealer: &Sealer, key_id: &str) -> Result<String, SealError> {
        // Plain texts and a number always become JSON.
        let json = serde_json::to_vec(self).map_err(|_| SealError::Key)?;
        Ok(URL_SAFE_NO_PAD.encode(sealer.seal_unnamed(key_id, OWNER, &json)?))
    }

    /// The sign-in that a cookie is about, provided `state` is its.
    pub fn open(
        cookie: Option<&str>,
        state: &str,
        sealer: &Sealer,
        now_ms: u64,
    ) -> Result<Self, OidcError> {
        let flow = cookie.and_then(|cookie| {
            let sealed = URL_SAFE_NO_PAD.decode(cookie).ok()?;
            let json = sealer.open(OWNER, &sealed).ok()?;
            serde_json::from_slice::<Flow>(&json).ok()
        });
        flow.filter(|flow| now_ms < flow.expires_ms)
            .filter(|flow| bool::from(flow.state.as_bytes().ct_eq(state.as_bytes())))
            .ok_or(OidcError::Flow)
    }
}

/// Whether a browser sent there stays on this host. `//host` and, for browsers, `/\host` would not.
fn is_local(path: &str) -> bool {
    path.len() <= RETURN_BYTES_MAX
        && path.starts_with('/')
        && !path.starts_with("//")
        && path
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_this_host_are_returned_to() {
        for good in ["/", "/ui/", "/ui/agents?status=paused#top", "/a//b"] {
            assert!(is_local(good), "{good}");
        }
        let long = format!("/{}", "a".repeat(512));
        for bad in [
            "",
            "ui",
            "//evil.example",
            "/\\evil.example",
            "/a\\b",
            "https://evil.example",
            "/a\r\nSet-Cookie: x=1",
            "/\t/evil.example",
            "/ü",
            long.as_str(),
        ] {
            assert!(!is_local(bad), "{bad:?}");
            assert!(Flow::new(bad, 0).is_none());
        }
    }

    #[test]
    fn a_flow_opens_in_its_time_with_its_state_and_key() -> Result<(), SealError> {
        let sealer = Sealer::of("master", None)?;
        let key_id = Sealer::key_id_of("master")?;
        let Some(flow) = Flow::new("/ui/", 1000) else {
            panic!("a good path")
        };
        let cookie = flow.seal(&sealer, &key_id)?;
        assert!(cookie.len() < COOKIE_BYTES_MAX);
        let open = |cookie: Option<&str>, state: &str, sealer: &Sealer, at_ms| {
            Flow::open(cookie, state, sealer, at_ms).map(|flow| flow.verifier.clone())
        };
        let last_ms = 1000 + LIFETIME_MS - 1;
        let opened = open(Some(&cookie), &flow.state, &sealer, last_ms);
        assert_eq!(opened.ok().as_ref(), Some(&flow.verifier));
        let other = Sealer::of("other", None)?;
        for refused in [
            open(Some(&cookie), &flow.state, &sealer, last_ms + 1),
            open(Some(&cookie), &flow.nonce, &sealer, 1000),
            open(Some(&cookie), "", &sealer, 1000),
            open(Some(&cookie), &flow.state, &other, 1000),
            open(Some(&cookie[1..]), &flow.state, &sealer, 1000),
            open(Some(""), &flow.state, &sealer, 1000),
            open(None, &flow.state, &sealer, 1000),
        ] {
            assert!(matches!(refused, Err(OidcError::Flow)));
        }
        Ok(())
    }

    #[test]
    fn the_challenge_is_that_of_the_rfc() {
        // RFC 7636, appendix B.
        let flow = Flow {
            state: String::new(),
            nonce: String::new(),
            verifier: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".into(),
            return_to: "/".into(),
            expires_ms: 0,
        };
        assert_eq!(
            flow.challenge(),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }
}
