//! Requests to addresses that others chose: webhooks of A2A clients, agents elsewhere. They reach
//! the outside world, and of the inside only what an operator allowed (A2A 13.2).
//!
//! An address is looked at when it is given, and again at every connection: names are resolved here,
//! and addresses that are not allowed are as good as none. Redirects are not followed, and no proxy
//! is used, which would resolve names by itself.

use std::error::Error as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use thiserror::Error;

/// Longest way to a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest address.
const URL_MAX_BYTES: usize = 2048;

/// Networks that are not the outside world (IANA's special-purpose registries).
const INSIDE: [&str; 23] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/127",
    "100::/64",
    "2001::/23",
    "2001:db8::/32",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
];

/// Why an address is not one that requests go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotOutward {
    /// It is none.
    #[error("expected https://HOST…, at most 2048 bytes")]
    NoUrl,
    /// It says who calls, or names a part.
    #[error("without user, password and fragment")]
    Extras,
    /// It is not encrypted, and not in a network where that is allowed.
    #[error("http is for networks that EKHO_OUTBOUND_ALLOWED_NETWORKS names: expected https")]
    Plain,
    /// It is within.
    #[error(
        "the address is not of the outside world, and EKHO_OUTBOUND_ALLOWED_NETWORKS does not name it"
    )]
    Inside,
}

/// Sends requests outward.
pub struct Outward {
    allowed: Arc<Vec<IpNet>>,
    /// To the outside world and to what is allowed, encrypted.
    encrypted: Client,
    /// To what is allowed only.
    plain: Client,
}

/// Resolves names to addresses that requests may go to.
struct Guard {
    allowed: Arc<Vec<IpNet>>,
    is_plain: bool,
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let (allowed, is_plain) = (Arc::clone(&self.allowed), self.is_plain);
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let found: Vec<SocketAddr> = found
                .filter(|address| may_reach(&allowed, address.ip(), is_plain))
                .collect();
            if found.is_empty() {
                return Err(NotOutward::Inside.into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

impl Outward {
    /// With the networks of the inside that are allowed.
    pub fn new(allowed: Vec<IpNet>) -> Result<Self, reqwest::Error> {
        let allowed = Arc::new(allowed);
        let build = |is_plain| {
            crate::server::choose_crypto();
            Client::builder()
                .user_agent(concat!("ekho/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECT_TIMEOUT)
                .redirect(Policy::none())
                .no_proxy()
                .dns_resolver(Guard {
                    allowed: Arc::clone(&allowed),
                    is_plain,
                })
                .build()
        };
        Ok(Outward {
            encrypted: build(false)?,
            plain: build(true)?,
            allowed,
        })
    }

    /// The address in a text, where requests may go there as far as the text tells.
    pub fn check(&self, text: &str) -> Result<Url, NotOutward> {
        if text.len() > URL_MAX_BYTES {
            return Err(NotOutward::NoUrl);
        }
        let url = Url::parse(text).map_err(|_| NotOutward::NoUrl)?;
        let is_plain = match url.scheme() {
            "https" => false,
            "http" => true,
            _ => return Err(NotOutward::NoUrl),
        };
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(NotOutward::Extras);
        }
        if is_plain && self.allowed.is_empty() {
            return Err(NotOutward::Plain);
        }
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or(NotOutward::NoUrl)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = host.parse::<IpAddr>()
            && !may_reach(&self.allowed, address, is_plain)
        {
            return Err(match is_plain {
                true => NotOutward::Plain,
                false => NotOutward::Inside,
            });
        }
        Ok(url)
    }

    /// The client for requests to an address that was checked.
    pub fn client(&self, url: &Url) -> &Client {
        match url.scheme() {
            "http" => &self.plain,
            _ => &self.encrypted,
        }
    }
}

/// What went wrong on the way, with its causes; the address is not repeated.
pub fn because(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".into();
    }
    let mut why = String::new();
    let mut cause = error.source();
    while let Some(next) = cause {
        if !why.is_empty() {
            why.push_str(": ");
        }
        why.push_str(&next.to_string());
        cause = next.source();
    }
    match why.is_empty() {
        true => "no answer".into(),
        false => why,
    }
}

/// Whether a request may go to an address: one of the outside, encrypted; or one that is allowed.
fn may_reach(allowed: &[IpNet], address: IpAddr, is_plain: bool) -> bool {
    let address = meant(address);
    allowed.iter().any(|network| network.contains(&address)) || !is_plain && !is_inside(address)
}

/// The address of version 4 within one of version 6, where it stands for one.
fn meant(address: IpAddr) -> IpAddr {
    let IpAddr::V6(six) = address else {
        return address;
    };
    let parts = six.segments();
    let last = || {
        let [a, b] = parts[6].to_be_bytes();
        let [c, d] = parts[7].to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match parts {
        // Mapped, compatible, and translated by NAT64.
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => last(),
        [0, 0, 0, 0, 0, 0, ..] if six != Ipv6Addr::LOCALHOST && six != Ipv6Addr::UNSPECIFIED => {
            last()
        }
        // 6to4.
        [0x2002, high, low, ..] => {
            let [a, b] = high.to_be_bytes();
            let [c, d] = low.to_be_bytes();
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        }
        _ => address,
    }
}

fn is_inside(address: IpAddr) -> bool {
    let networks = INSIDE.iter().filter_map(|text| text.parse::<IpNet>().ok());
    let mut networks = networks;
    networks.any(|network| network.contains(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outward(allowed: &[&str]) -> Outward {
        let allowed = allowed.iter().map(|text| text.parse().unwrap_or_default());
        match Outward::new(allowed.collect()) {
            Ok(outward) => outward,
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn every_network_of_the_inside_is_one() {
        for text in INSIDE {
            assert!(text.parse::<IpNet>().is_ok(), "{text}");
        }
    }

    #[test]
    fn only_the_outside_world_is_reached() {
        let outward = outward(&[]);
        for good in [
            "https://example.com/hook?a=b",
            "https://93.184.216.34:8443/",
            "https://[2606:2800:220:1::1]/",
        ] {
            assert!(outward.check(good).is_ok(), "{good}");
        }
        for inside in [
            "https://127.0.0.1/",
            "https://10.1.2.3/",
            "https://172.16.0.1/",
            "https://192.168.1.1/",
            "https://169.254.169.254/latest",
            "https://100.100.1.1/",
            "https://0.0.0.0/",
            "https://[::1]/",
            "https://[::]/",
            "https://[fd00::1]/",
            "https://[fe80::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://[64:ff9b::7f00:1]/",
            "https://[2002:7f00:1::]/",
            "https://0177.0.0.1/",
            "https://2130706433/",
        ] {
            let checked = outward.check(inside).map(|url| url.to_string());
            assert_eq!(checked, Err(NotOutward::Inside), "{inside}");
        }
        for (bad, why) in [
            ("", NotOutward::NoUrl),
            ("example.com", NotOutward::NoUrl),
            ("ftp://example.com/", NotOutward::NoUrl),
            ("file:///etc/passwd", NotOutward::NoUrl),
            ("http://example.com/", NotOutward::Plain),
            ("https://user:word@example.com/", NotOutward::Extras),
            ("https://example.com/#part", NotOutward::Extras),
        ] {
            let checked = outward.check(bad).map(|url| url.to_string());
            assert_eq!(checked, Err(why), "{bad}");
        }
    }

    #[test]
    fn what_is_allowed_is_reached_also_without_encryption() {
        let outward = outward(&["100.64.0.0/10", "127.0.0.0/8"]);
        for good in [
            "http://100.100.1.1/",
            "https://100.100.1.1/",
            "http://127.0.0.1:4000/",
            "http://[::ffff:127.0.0.1]/",
            // Its addresses are looked at when it is connected to.
            "http://receiver.example.com/",
        ] {
            assert!(outward.check(good).is_ok(), "{good}");
        }
        for bad in ["http://10.0.0.1/", "http://93.184.216.34/"] {
            let checked = outward.check(bad).map(|url| url.to_string());
            assert_eq!(checked, Err(NotOutward::Plain), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_name_that_stands_for_the_inside_is_not_connected_to() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let Ok(listener) = listener else {
            panic!("no port")
        };
        let port = listener.local_addr().map_or(0, |address| address.port());
        let url = format!("https://localhost:{port}/");
        let outward = outward(&[]);
        let Ok(checked) = outward.check(&url) else {
            panic!("the text alone does not tell")
        };
        let sent = outward.client(&checked).get(checked).send().await;
        let why = format!("{:?}", sent.err());
        assert!(why.contains("Inside"), "{why}");
        // Nobody knocked.
        let knocked = tokio::time::timeout(Duration::from_millis(200), listener.accept()).await;
        assert!(knocked.is_err());
    }
}
