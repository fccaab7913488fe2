//! Where traces and metrics are sent by OTLP. Nothing is, unless an address is given.
//!
//! The address, the headers and the service's name have names of the OpenTelemetry specification too;
//! our own variables stand above them, and they above the file.

use std::time::Duration;

use reqwest::Url;
use zeroize::Zeroizing;

use super::loader::Loader;
use super::node::node;
use super::seeds;

/// Longest name of the service.
const NAME_MAX_BYTES: usize = 255;

/// Where traces and metrics are sent.
#[derive(Clone)]
pub struct Otlp {
    /// The address of the collector, without a slash at its end; `/v1/traces` and `/v1/metrics`
    /// follow.
    pub endpoint: String,
    /// Headers that go with each request, names and values.
    pub headers: Vec<(String, Zeroizing<String>)>,
    /// What the service is called.
    pub service_name: String,
    /// Share of the traces begun here that is kept; what a caller began follows the caller.
    pub sample_ratio: f64,
    /// How often metrics are sent; none where they are not.
    pub metrics_interval: Option<Duration>,
}

/// Reads it.
pub(super) fn load(loader: &mut Loader) -> Option<Otlp> {
    let endpoint = loader.optional(
        node(
            "EKHO_OTLP_ENDPOINT",
            "collector that traces and metrics are sent to by OTLP over HTTP, such as \
             http://127.0.0.1:4318; none without it",
        ),
        endpoint,
        String::clone,
    );
    let headers = loader.secret(node(
        "EKHO_OTLP_HEADERS",
        "headers that go with them, NAME=VALUE with commas between",
    ));
    let headers = match headers.as_ref().map(|text| parse_headers(text)).transpose() {
        Ok(headers) => headers.unwrap_or_default(),
        Err(why) => {
            loader.problems.push(format!("EKHO_OTLP_HEADERS: {why}"));
            Vec::new()
        }
    };
    let service_name = loader.value(
        node("EKHO_OTLP_SERVICE_NAME", "what the service is called there"),
        "ekho".to_string(),
        |text| match text.len() {
            1..=NAME_MAX_BYTES => Ok(text.to_string()),
            _ => Err(format!("1 to {NAME_MAX_BYTES} bytes are allowed")),
        },
        String::clone,
    );
    let sample_ratio = loader.value(
        node(
            "EKHO_OTLP_SAMPLE_RATIO",
            "share of the traces begun here that is sent, 0 to 1; what a caller began follows the caller",
        ),
        1.0,
        |text| match text.parse::<f64>() {
            Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
            _ => Err("a number from 0 to 1 is allowed".into()),
        },
        f64::to_string,
    );
    let spec = node(
        "EKHO_OTLP_METRICS_SECONDS",
        "how often metrics are sent; 0 for not at all",
    );
    let seconds = seeds::number(loader, spec, 60, 0..=3600);
    Some(Otlp {
        endpoint: endpoint?,
        headers,
        service_name,
        sample_ratio,
        metrics_interval: (seconds > 0).then(|| Duration::from_secs(seconds)),
    })
}

fn endpoint(text: &str) -> Result<String, String> {
    let refuse = || Err("http://HOST:PORT or https://… without user and query is allowed".into());
    let Ok(url) = text.parse::<Url>() else {
        return refuse();
    };
    let is_plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    match matches!(url.scheme(), "http" | "https") && url.has_host() && is_plain {
        true => Ok(text.trim_end_matches('/').to_string()),
        false => refuse(),
    }
}

/// As the OpenTelemetry specification writes them: values may be percent-encoded.
fn parse_headers(text: &str) -> Result<Vec<(String, Zeroizing<String>)>, &'static str> {
    const MALFORMED: &str = "NAME=VALUE with commas between is allowed";
    let mut headers = Vec::new();
    for pair in text
        .split(',')
        .map(str::trim)
        .filter(|pair| !pair.is_empty())
    {
        let (name, value) = pair.split_once('=').ok_or(MALFORMED)?;
        let name = name.trim().to_ascii_lowercase();
        let value = percent_encoding::percent_decode_str(value.trim());
        let value = value.decode_utf8().map_err(|_| MALFORMED)?;
        let is_header = name.parse::<axum::http::HeaderName>().is_ok()
            && value.parse::<axum::http::HeaderValue>().is_ok();
        if !is_header {
            return Err(MALFORMED);
        }
        headers.push((name, Zeroizing::new(value.into_owned())));
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_pairs_with_commas_between() {
        let pair = |name: &str, value: &str| (name.to_string(), Zeroizing::new(value.to_string()));
        assert_eq!(
            parse_headers("Authorization=Bearer%20a b, x-org=1,"),
            Ok(vec![
                pair("authorization", "Bearer a b"),
                pair("x-org", "1")
            ])
        );
        assert_eq!(parse_headers(""), Ok(Vec::new()));
        for wrong in ["novalue", "a b=c", "a=b%0ac", "a=%ff"] {
            assert!(parse_headers(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_address_is_one_of_http() {
        assert_eq!(
            endpoint("http://127.0.0.1:4318/"),
            Ok("http://127.0.0.1:4318".into())
        );
        assert_eq!(
            endpoint("https://otlp.example.org/base"),
            Ok("https://otlp.example.org/base".into())
        );
        for wrong in [
            "127.0.0.1:4318",
            "grpc://a:4317",
            "http://u:p@a",
            "http://a/?b",
        ] {
            assert!(endpoint(wrong).is_err(), "{wrong}");
        }
    }
}
