//! Who is behind a proxy: the client's address, and the person whom a tailnet names.
//!
//! Headers count from trusted proxies only; from anybody else they are what a client made up.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName};
use ipnet::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Set by `tailscale serve`, which takes away what a client sends under this name.
const TAILNET_LOGIN: HeaderName = HeaderName::from_static("tailscale-user-login");
/// Proxies in a row that are looked at.
const HOPS_MAX: usize = 32;
/// Longest login name that is looked at.
const LOGIN_BYTES_MAX: usize = 255;

/// The proxies whose headers count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// These networks and addresses.
    pub fn new(networks: Vec<IpNet>) -> Self {
        TrustedProxies(networks)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this is one of them.
    pub fn has(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The address of the client: the nearest one in the chain of proxies that is not trusted.
    /// What stands before it in `X-Forwarded-For` is its own word.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        let named = headers.get_all(FORWARDED_FOR).iter().rev();
        let named = named.filter_map(|value| value.to_str().ok());
        let hops = named.flat_map(|value| value.rsplit(',')).take(HOPS_MAX);
        for hop in hops {
            if !self.has(client) {
                break;
            }
            match address(hop.trim()) {
                Some(address) => client = address,
                // Who says less than it could is as far as is known.
                None => break,
            }
        }
        client
    }

    /// The login name of the person whose request a trusted proxy passed on from the tailnet.
    pub fn tailnet_login(&self, peer: IpAddr, headers: &HeaderMap) -> Option<String> {
        if !self.has(peer.to_canonical()) {
            return None;
        }
        let mut values = headers.get_all(TAILNET_LOGIN).iter();
        let login = values.next()?.to_str().ok()?;
        // Two are one too many: one of them is not the proxy's.
        let is_plain = values.next().is_none()
            && (1..=LOGIN_BYTES_MAX).contains(&login.len())
            && login.bytes().all(|byte| byte.is_ascii_graphic());
        is_plain.then(|| login.to_lowercase())
    }
}

/// An address as proxies write it: bare, or with a port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = match text.strip_prefix('[') {
        Some(rest) => rest.split(']').next()?,
        None => text,
    };
    let parsed: Option<IpAddr> = bare.parse().ok();
    let parsed = parsed.or_else(|| {
        bare.parse()
            .ok()
            .map(|with: std::net::SocketAddr| with.ip())
    });
    parsed.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    type Test = Result<(), Box<dyn std::error::Error>>;

    fn proxies() -> Result<TrustedProxies, ipnet::AddrParseError> {
        let networks = ["127.0.0.1/32", "10.0.0.0/8", "fd00::/8"];
        let networks: Result<Vec<IpNet>, _> = networks.iter().map(|text| text.parse()).collect();
        networks.map(TrustedProxies::new)
    }

    fn headers(name: HeaderName, values: &[&str]) -> Result<HeaderMap, Box<dyn std::error::Error>> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name.clone(), HeaderValue::from_str(value)?);
        }
        Ok(headers)
    }

    #[test]
    fn the_client_is_the_nearest_that_is_not_trusted() -> Test {
        let proxies = proxies()?;
        for (peer, forwarded, client) in [
            ("192.0.2.1", vec!["198.51.100.9"], "192.0.2.1"),
            ("127.0.0.1", vec![], "127.0.0.1"),
            ("127.0.0.1", vec!["198.51.100.9"], "198.51.100.9"),
            ("::ffff:127.0.0.1", vec!["198.51.100.9"], "198.51.100.9"),
            // What the client made up stands before its address.
            (
                "127.0.0.1",
                vec!["203.0.113.1, 198.51.100.9"],
                "198.51.100.9",
            ),
            (
                "127.0.0.1",
                vec!["203.0.113.1", "198.51.100.9"],
                "198.51.100.9",
            ),
            // Through two proxies of ours.
            (
                "127.0.0.1",
                vec!["203.0.113.1, 198.51.100.9,10.1.2.3"],
                "198.51.100.9",
            ),
            ("127.0.0.1", vec!["10.0.0.5, 10.1.2.3"], "10.0.0.5"),
            ("fd00::1", vec!["[2001:db8::1]:443"], "2001:db8::1"),
            ("fd00::1", vec!["198.51.100.9:5000"], "198.51.100.9"),
            ("fd00::1", vec!["::ffff:198.51.100.9"], "198.51.100.9"),
            ("127.0.0.1", vec!["198.51.100.9, unknown"], "127.0.0.1"),
            (
                "127.0.0.1",
                vec!["198.51.100.9, unknown, 10.1.2.3"],
                "10.1.2.3",
            ),
            ("127.0.0.1", vec![""], "127.0.0.1"),
        ] {
            let headers = headers(FORWARDED_FOR, &forwarded)?;
            let found = proxies.client(peer.parse()?, &headers);
            assert_eq!(found, client.parse::<IpAddr>()?, "{peer} {forwarded:?}");
        }
        let headers = headers(FORWARDED_FOR, &["198.51.100.9"])?;
        let nobody = TrustedProxies::default();
        let found = nobody.client("127.0.0.1".parse()?, &headers);
        assert_eq!(found, "127.0.0.1".parse::<IpAddr>()?);
        Ok(())
    }

    #[test]
    fn a_tailnet_login_comes_from_a_trusted_proxy_only() -> Test {
        let proxies = proxies()?;
        let (ours, other) = ("127.0.0.1".parse()?, "192.0.2.1".parse()?);
        let long = "a".repeat(256);
        for (values, login) in [
            (vec!["Ada@Example.org"], Some("ada@example.org")),
            (vec!["ada@github"], Some("ada@github")),
            (vec![], None),
            (vec![""], None),
            (vec!["ada@example.org", "eve@example.org"], None),
            (vec!["ada lovelace"], None),
            (vec![long.as_str()], None),
        ] {
            let headers = headers(TAILNET_LOGIN, &values)?;
            let found = proxies.tailnet_login(ours, &headers);
            assert_eq!(found.as_deref(), login, "{values:?}");
            assert_eq!(proxies.tailnet_login(other, &headers), None);
        }
        Ok(())
    }
}
