//! Whether an address names this machine. Knows nothing but URLs.

use std::net::IpAddr;

use reqwest::Url;

/// Whether the host is `localhost` or an address of loopback. A proxy for the rest of the world
/// cannot reach what is there: its own loopback is another.
pub fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_matches(['[', ']']);
    host == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn only_this_machine_is_loopback() {
        for (text, expected) in [
            ("http://localhost:4000", true),
            ("http://LOCALHOST", true),
            ("https://127.0.0.1", true),
            ("http://127.1.2.3:1/path", true),
            ("http://[::1]:4000", true),
            ("http://localhost.example.org", false),
            ("http://127.0.0.1.example.org", false),
            ("http://10.0.0.1", false),
            ("http://[2001:db8::1]", false),
        ] {
            assert_eq!(is_loopback(&text.parse().unwrap()), expected, "{text}");
        }
    }
}
