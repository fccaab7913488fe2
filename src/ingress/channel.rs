//! Whether a request came by a way on which nobody else could read it.
//!
//! Asked only where a request carries a secret: the first one of an imported agent.

use std::net::SocketAddr;

use axum::extract::ConnectInfo;
use axum::http::{Extensions, HeaderMap, HeaderName};

use super::proxies::TrustedProxies;

/// Goes with every request that came over TLS.
#[derive(Clone, Copy, Debug)]
pub struct OverTls;

const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// What proxies add. On a request from this machine they say that it came from another.
const FORWARDED: [HeaderName; 3] = [
    HeaderName::from_static("forwarded"),
    HeaderName::from_static("x-forwarded-for"),
    FORWARDED_PROTO,
];

/// Whether nobody between the client and this relay could read the request: it came over TLS, by a
/// trusted proxy to which it came over TLS, or from a process on this machine.
pub fn is_private(proxies: &TrustedProxies, extensions: &Extensions, headers: &HeaderMap) -> bool {
    let over_tls = extensions.get::<OverTls>().is_some();
    let Some(ConnectInfo(peer)) = extensions.get::<ConnectInfo<SocketAddr>>() else {
        return false;
    };
    let peer = peer.ip().to_canonical();
    if proxies.has(peer) {
        // The proxy is nearer to the client and knows better.
        let mut said = headers.get_all(FORWARDED_PROTO).iter();
        match (said.next(), said.next()) {
            (Some(proto), None) => return proto.as_bytes().eq_ignore_ascii_case(b"https"),
            (Some(_), Some(_)) => return false,
            (None, _) => {}
        }
    }
    let is_local = peer.is_loopback() && !FORWARDED.iter().any(|name| headers.contains_key(name));
    over_tls || is_local
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_tls_a_proxy_that_had_it_and_this_machine_are_private()
    -> Result<(), Box<dyn std::error::Error>> {
        let proxies = TrustedProxies::new(vec!["10.0.0.0/8".parse()?]);
        let tls = true;
        let plain = false;
        for (peer, over_tls, header, private) in [
            ("192.0.2.1:1", tls, None, true),
            ("192.0.2.1:1", plain, None, false),
            (
                "192.0.2.1:1",
                plain,
                Some(("x-forwarded-proto", "https")),
                false,
            ),
            (
                "10.0.0.1:1",
                plain,
                Some(("x-forwarded-proto", "https")),
                true,
            ),
            (
                "10.0.0.1:1",
                plain,
                Some(("x-forwarded-proto", "http")),
                false,
            ),
            (
                "10.0.0.1:1",
                tls,
                Some(("x-forwarded-proto", "http")),
                false,
            ),
            ("10.0.0.1:1", plain, None, false),
            ("10.0.0.1:1", tls, None, true),
            ("127.0.0.1:1", plain, None, true),
            ("[::1]:1", plain, None, true),
            ("[::ffff:127.0.0.1]:1", plain, None, true),
            // A proxy on this machine that nobody said to trust.
            (
                "127.0.0.1:1",
                plain,
                Some(("x-forwarded-for", "192.0.2.1")),
                false,
            ),
            (
                "127.0.0.1:1",
                plain,
                Some(("x-forwarded-proto", "https")),
                false,
            ),
            (
                "127.0.0.1:1",
                plain,
                Some(("forwarded", "proto=https")),
                false,
            ),
        ] {
            let mut extensions = Extensions::new();
            extensions.insert(ConnectInfo(peer.parse::<SocketAddr>()?));
            if over_tls {
                extensions.insert(OverTls);
            }
            let mut headers = HeaderMap::new();
            if let Some((name, value)) = header {
                headers.insert(name, HeaderValue::from_str(value)?);
            }
            let found = is_private(&proxies, &extensions, &headers);
            assert_eq!(found, private, "{peer} {over_tls} {header:?}");
        }
        assert!(!is_private(&proxies, &Extensions::new(), &HeaderMap::new()));
        Ok(())
    }
}
