//! How lists are asked for: a page and its length, or a cursor to go on from.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::str::FromStr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::Object;

use crate::api::fields::Invalid;
use crate::api::query::pairs;
use crate::api::{ApiError, App, words};
use crate::clock::parse_iso;

/// Rows that a page may lie behind; a cursor goes on from anywhere.
const SKIPPED_MAX: u64 = 10_000;
/// Directions of an order.
pub const DIRECTIONS: [&str; 2] = ["asc", "desc"];

/// Describes the direction of an order.
pub fn direction() -> Object {
    words::one_of(DIRECTIONS)
}

/// What every list is asked with.
pub struct ListQuery {
    given: HashMap<String, String>,
    /// Rows wanted.
    pub limit: usize,
    /// Which page, from 1.
    pub page: usize,
}

/// What the description says of it; each list adds its own filters.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what `ListQuery` reads")]
pub struct ListParams {
    /// Rows wanted.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<u32>,
    /// Which page; `page` times `limit` is at most 10,000.
    #[param(minimum = 1, maximum = 10_000, default = 1)]
    page: Option<u32>,
    /// The `next_cursor` of an answer, in place of a page.
    cursor: Option<String>,
}

/// Where a list stands; part of its answer.
#[derive(Serialize, ToSchema)]
pub struct Paging {
    /// Which page this is.
    page: usize,
    /// Rows wanted.
    limit: usize,
    /// What to go on with; null at the end.
    next_cursor: Option<String>,
}

impl FromRequestParts<App> for ListQuery {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, ApiError> {
        Ok(ListQuery::read(pairs(parts.uri.query())?)?)
    }
}

impl ListQuery {
    /// Reads `limit` and `page`.
    pub fn read(given: HashMap<String, String>) -> Result<Self, Invalid> {
        let limit = number(&given, "limit", 20, 1..=100)?;
        let page = number(&given, "page", 1, 1..=SKIPPED_MAX / limit)?;
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

    /// A whole number from 0 on.
    pub fn number(&self, name: &str, default: u64) -> Result<u64, Invalid> {
        number(&self.given, name, default, 0..=i64::MAX as u64)
    }

    /// A filter by time.
    pub fn time(&self, name: &str) -> Result<Option<u64>, Invalid> {
        let Some(text) = self.given.get(name) else {
            return Ok(None);
        };
        match parse_iso(text) {
            Some(at_ms) => Ok(Some(at_ms)),
            None => Err(Invalid::field(name, "a time in ISO 8601 with an offset")),
        }
    }

    /// A filter that has to be one of these words.
    pub fn choice<'a>(&'a self, name: &str, words: &[&str]) -> Result<Option<&'a str>, Invalid> {
        match self.given.get(name).map(String::as_str) {
            Some(text) if !words.contains(&text) => {
                Err(Invalid::field(name, format!("one of {}", words.join(", "))))
            }
            found => Ok(found),
        }
    }

    /// Where to go on, as `parse` reads it.
    pub fn cursor<T>(&self, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Invalid> {
        match self.given.get("cursor") {
            Some(text) => match parse(text) {
                Some(place) => Ok(Some(place)),
                None => Err(Invalid::field("cursor", "the next_cursor of an answer")),
            },
            None => Ok(None),
        }
    }

    /// Something that is so or not; not, where it was not given.
    pub fn flag(&self, name: &str) -> Result<bool, Invalid> {
        Ok(self.choice(name, &["true", "false"])? == Some("true"))
    }

    /// Whether the order is backwards, as it is by `default`.
    pub fn descending(&self, default: bool) -> Result<bool, Invalid> {
        let given = self.choice("sortOrder", &DIRECTIONS)?;
        Ok(given.map_or(default, |order| order == "desc"))
    }

    /// Rows up to the end of the page.
    pub fn up_to(&self) -> usize {
        self.skip() + self.limit
    }

    /// How many rows there are, where somebody counts them; else how many are known of: those up
    /// to the end of the page, and one more where there is a next one.
    pub fn total<C>(&self, counted: Option<u64>, up_to_here: usize, next: &Option<C>) -> u64 {
        counted.unwrap_or(up_to_here as u64 + u64::from(next.is_some()))
    }

    /// A page of a list that is short enough to be read as a whole. The id of its last row is where
    /// to go on.
    pub fn page_of<'a, T>(
        &self,
        rows: &'a [T],
        id: impl Fn(&T) -> &str,
    ) -> Result<(&'a [T], Paging), Invalid> {
        let begin = match self.text("cursor") {
            None => self.skip(),
            Some(cursor) => {
                let place = rows.iter().position(|row| id(row) == cursor);
                place.ok_or_else(|| Invalid::field("cursor", "the next_cursor of an answer"))? + 1
            }
        };
        let end = rows.len().min(begin.saturating_add(self.limit));
        let page = rows.get(begin..end).unwrap_or_default();
        let next = page.last().filter(|_| end < rows.len());
        Ok((page, self.paging(next.map(|row| id(row).to_string()))))
    }

    /// Where the answer stands.
    pub fn paging(&self, next_cursor: Option<String>) -> Paging {
        Paging {
            page: self.page,
            limit: self.limit,
            next_cursor,
        }
    }
}

fn number(
    given: &HashMap<String, String>,
    name: &str,
    default: u64,
    range: RangeInclusive<u64>,
) -> Result<u64, Invalid> {
    let Some(text) = given.get(name) else {
        return Ok(default);
    };
    let number = u64::from_str(text).ok();
    number
        .filter(|number| range.contains(number))
        .ok_or_else(|| {
            let (least, most) = (range.start(), range.end());
            Invalid::field(name, format!("a whole number from {least} to {most}"))
        })
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
