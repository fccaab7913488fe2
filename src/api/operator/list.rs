//! How lists are asked for: a page and its length, or a cursor to go on from.

use std::collections::HashMap;
use std::str::FromStr;

use serde_json::{Value, json};

use crate::api::fields::Invalid;
use crate::clock::parse_iso;

/// Rows that a page may lie behind; a cursor goes on from anywhere.
const SKIPPED_MAX: u64 = 10_000;

/// What every list is asked with.
pub struct ListQuery {
    given: HashMap<String, String>,
    /// Rows wanted.
    pub limit: usize,
    /// Which page, from 1.
    pub page: usize,
}

impl ListQuery {
    /// Reads `limit` and `page`.
    pub fn read(given: HashMap<String, String>) -> Result<Self, Invalid> {
        let number = |name: &str, default: u64, max: u64| match given.get(name) {
            Some(text) => u64::from_str(text)
                .ok()
                .filter(|number| (1..=max).contains(number))
                .ok_or_else(|| Invalid::field(name, format!("a whole number from 1 to {max}"))),
            None => Ok(default),
        };
        let limit = number("limit", 20, 100)?;
        let page = number("page", 1, SKIPPED_MAX / limit)?;
        Ok(ListQuery {
            limit: limit as usize,
            page: page as usize,
            given,
        })
    }

    /// Rows before the page.
    pub fn skip(&self) -> usize {
        (self.page - 1) * self.limit
    }

    /// A filter, where it was given and is not empty.
    pub fn text(&self, name: &str) -> Option<&str> {
        let text = self.given.get(name).map(String::as_str);
        text.filter(|text| !text.is_empty())
    }

    /// A filter by time.
    pub fn time(&self, name: &str) -> Result<Option<u64>, Invalid> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        match parse_iso(text) {
            Some(at_ms) => Ok(Some(at_ms)),
            None => Err(Invalid::field(name, "a time in ISO 8601 with an offset")),
        }
    }

    /// A filter that has to be one of these words.
    pub fn choice<'a>(&'a self, name: &str, words: &[&str]) -> Result<Option<&'a str>, Invalid> {
        match self.text(name) {
            Some(text) if !words.contains(&text) => {
                Err(Invalid::field(name, format!("one of {}", words.join(", "))))
            }
            found => Ok(found),
        }
    }

    /// Where to go on, as `parse` reads it.
    pub fn cursor<T>(&self, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Invalid> {
        match self.text("cursor") {
            Some(text) => match parse(text) {
                Some(place) => Ok(Some(place)),
                None => Err(Invalid::field("cursor", "the next_cursor of an answer")),
            },
            None => Ok(None),
        }
    }

    /// The answer: rows under their name, and where to go on.
    pub fn answer(&self, name: &str, rows: Vec<Value>, next_cursor: Option<String>) -> Value {
        json!({ name: rows, "page": self.page, "limit": self.limit, "next_cursor": next_cursor })
    }
}

/// The number behind an id of this prefix and 16 digits.
pub fn number_of(prefix: &str, text: &str) -> Option<u64> {
    let digits = text.strip_prefix(prefix)?;
    let plain = digits.len() == 16
        && digits
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    plain
        .then(|| u64::from_str_radix(digits, 16).ok())
        .flatten()
}
