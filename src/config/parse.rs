//! From text to a value, or to a sentence on what is allowed. Pure.

use std::ops::RangeInclusive;

use tracing_subscriber::EnvFilter;

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
    let is_address = bare.parse::<std::net::IpAddr>().is_ok();
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
