//! From text to a value, or to a sentence on what is allowed. Pure.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use ekho_storage::tables::approval::Risk;
use ekho_storage::tables::operator::Role;
use ipnet::IpNet;
use tracing_subscriber::EnvFilter;

use crate::loopback::is_loopback;

/// A whole number within a range.
pub(super) fn number(text: &str, range: &RangeInclusive<u64>) -> Result<u64, String> {
    text.parse()
        .ok()
        .filter(|number| range.contains(number))
        .ok_or_else(|| {
            format!(
                "a whole number from {} to {} is allowed",
                range.start(),
                range.end()
            )
        })
}

/// Whole numbers separated by commas.
pub(super) fn numbers(
    text: &str,
    count: &RangeInclusive<usize>,
    range: &RangeInclusive<u64>,
) -> Result<Vec<u64>, String> {
    let numbers: Result<Vec<u64>, String> = text
        .split(',')
        .map(|part| number(part.trim(), range))
        .collect();
    numbers
        .ok()
        .filter(|numbers| count.contains(&numbers.len()))
        .ok_or_else(|| {
            format!(
                "{} to {} whole numbers from {} to {}, separated by commas, are allowed",
                count.start(),
                count.end(),
                range.start(),
                range.end()
            )
        })
}

/// Risks separated by commas, each once; `none` for none.
pub(super) fn risks(text: &str) -> Result<Vec<Risk>, String> {
    if text == "none" {
        return Ok(Vec::new());
    }
    let risk = |part: &str| {
        Risk::ALL
            .into_iter()
            .find(|risk| risk.as_str() == part.trim())
    };
    let mut risks: Vec<Risk> = text
        .split(',')
        .map(risk)
        .collect::<Option<_>>()
        .unwrap_or_default();
    let given = risks.len();
    risks.sort_unstable();
    risks.dedup();
    if risks.is_empty() || risks.len() < given {
        return Err(
            "none, or some of low, medium, high, critical, separated by commas, is allowed".into(),
        );
    }
    Ok(risks)
}

/// Yes or no.
pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err("1, true, 0 or false is allowed".into()),
    }
}

/// A name or address to listen on, without a port.
pub(super) fn host(text: &str) -> Result<String, String> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let is_address = bare.parse::<IpAddr>().is_ok();
    let is_name = !text.is_empty()
        && text.len() <= 253
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'));
    if is_address || is_name {
        Ok(bare.to_string())
    } else {
        Err("an IP address or a host name, without a port, is allowed".into())
    }
}

/// `http://HOST[:PORT][/PATH]`, returned without a slash at its end.
pub(super) fn base_url(text: &str) -> Result<String, String> {
    let trimmed = text.trim_end_matches('/');
    let rest = trimmed
        .strip_prefix("http://")
        .or_else(|| trimmed.strip_prefix("https://"));
    let is_good = rest.is_some_and(|rest| {
        !rest.is_empty()
            && !rest.starts_with(['/', ':'])
            && !rest.contains(['?', '#', '@', ' ', '"', '\\'])
            && rest.chars().all(|c| c.is_ascii_graphic())
    });
    if is_good {
        Ok(trimmed.to_string())
    } else {
        Err(
            "http://HOST[:PORT][/PATH] or https://… is allowed, without user, query or fragment"
                .into(),
        )
    }
}

/// `https://…`, or `http://…` on this machine: what an OpenID provider calls itself.
pub(super) fn issuer(text: &str) -> Result<String, String> {
    let url: Option<reqwest::Url> = text.parse().ok();
    let is_good = url.is_some_and(|url| {
        let is_safe = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url));
        let is_plain = url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        is_safe && is_plain
    });
    match is_good {
        true => Ok(text.to_string()),
        false => Err(
            "https://HOST[/PATH] is allowed, exactly as the provider calls itself (http:// on \
             this machine only), without user, query or fragment"
                .into(),
        ),
    }
}

/// What an operator may do, by its name.
pub(super) fn role(text: &str) -> Result<Role, String> {
    let found = Role::ALL.into_iter().find(|role| role.as_str() == text);
    found.ok_or_else(|| "owner, operator or viewer is allowed".into())
}

/// `ROLE=GROUP`, separated by commas.
pub(super) fn roles(text: &str) -> Result<Vec<(Role, String)>, String> {
    const MAX: usize = 100;
    let pairs: Option<Vec<(Role, String)>> = text
        .split(',')
        .map(|pair| {
            let (name, group) = pair.trim().split_once('=')?;
            let group = group.trim();
            let role = role(name.trim()).ok().filter(|_| !group.is_empty())?;
            Some((role, group.to_string()))
        })
        .collect();
    pairs.filter(|pairs| pairs.len() <= MAX).ok_or_else(|| {
        format!(
            "at most {MAX} of owner=GROUP, operator=GROUP and viewer=GROUP, separated by commas, \
             are allowed"
        )
    })
}

/// Addresses and networks, separated by commas.
pub(super) fn networks(text: &str) -> Result<Vec<IpNet>, String> {
    const MAX: usize = 1000;
    let networks: Option<Vec<IpNet>> = text
        .split(',')
        .map(|part| {
            let part = part.trim();
            let address = part.parse::<IpAddr>().ok().map(IpNet::from);
            address.or_else(|| part.parse().ok())
        })
        .collect();
    networks
        .filter(|networks| networks.len() <= MAX)
        .ok_or_else(|| {
            format!(
                "at most {MAX} addresses or networks such as 10.0.0.0/8, separated by commas, are \
                 allowed"
            )
        })
}

/// Login names, separated by commas.
pub(super) fn logins(text: &str) -> Result<Vec<String>, String> {
    const MAX: usize = 1000;
    let logins: Vec<String> = text
        .split(',')
        .map(|login| login.trim().to_lowercase())
        .collect();
    let is_good = logins.len() <= MAX
        && logins
            .iter()
            .all(|login| !login.is_empty() && login.bytes().all(|byte| byte.is_ascii_graphic()));
    match is_good {
        true => Ok(logins),
        false => Err(format!(
            "at most {MAX} login names, separated by commas, are allowed"
        )),
    }
}

/// Directives as tracing-subscriber takes them.
pub(super) fn log_filter(text: &str) -> Result<String, String> {
    match EnvFilter::builder().parse(text) {
        Ok(_) => Ok(text.to_string()),
        Err(_) => Err(
            "off, error, warn, info, debug, trace, or TARGET=LEVEL pairs separated by \
                       commas are allowed"
                .into(),
        ),
    }
}
