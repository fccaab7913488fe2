//! What analytics are asked for: a time, its steps, how many, in which form.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use axum::Json;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use ekho_storage::tables::TimeMs;
use serde::Serialize;
use serde_json::Value;
use utoipa::openapi::schema::Object;

use super::csv::csv;
use crate::api::fields::Invalid;
use crate::api::{ApiError, words};
use crate::clock::{Iso, parse_iso};
use crate::service::ServiceError;
use crate::service::analytics::{By, POINTS_MAX, Steps};

pub(super) const MINUTE_MS: u64 = 60_000;
pub(super) const DAY_MS: u64 = 24 * 60 * MINUTE_MS;
/// The shortest step, and what every step is a multiple of.
const STEP_UNIT_SECONDS: u64 = 300;
const STEP_SECONDS: RangeInclusive<u64> = STEP_UNIT_SECONDS..=31 * DAY_MS / 1000;
/// How far back counts reach.
const REACH_MS: u64 = 400 * DAY_MS;
const TOP_MAX: usize = 100;
const TOP_DEFAULT: usize = 10;

const FORMATS: [(&str, Format); 3] = [
    ("json", Format::Json),
    ("csv", Format::Csv),
    ("jsonl", Format::JsonLines),
];

pub(super) const BY: [(&str, By); 6] = [
    ("sent", By::Sent),
    ("sent_bytes", By::SentBytes),
    ("received", By::Received),
    ("failed", By::Failed),
    ("denied", By::Denied),
    ("rate_limited", By::RateLimited),
];

/// By what agents are put in order.
pub(super) fn orders() -> Object {
    words::choice(&BY)
}

/// In which form an answer comes.
pub(super) fn formats() -> Object {
    words::choice(&FORMATS)
}

/// The time asked for, and the form of the answer.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what `Asked` reads")]
pub(super) struct TimeParams {
    /// At most 400 days ago; by default a day before `to`.
    from: Option<Iso>,
    /// By default now.
    to: Option<Iso>,
    /// With csv and jsonl, the rows alone.
    #[param(schema_with = formats)]
    format: Option<String>,
}

/// How long a step is.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what `Asked` reads")]
pub(super) struct StepParams {
    /// Seconds: a multiple of 300, of 3600 beyond the last two days, of 86400 for pairs beyond the
    /// last 32 days. At most 2,000 steps. By default what gives a few hundred.
    #[param(minimum = 300, maximum = 2_678_400)]
    step: Option<u64>,
}

/// How many of the first.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what `Asked` reads")]
pub(super) struct TopParams {
    #[param(minimum = 1, maximum = 100, default = 10)]
    limit: Option<u64>,
}

/// In which form an answer is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Csv,
    JsonLines,
}

/// What every call here is asked with.
pub(super) struct Asked {
    pub(super) given: HashMap<String, String>,
    pub(super) now_ms: TimeMs,
    pub(super) from_ms: TimeMs,
    pub(super) to_ms: TimeMs,
    pub(super) format: Format,
}

impl Asked {
    /// Reads `from`, `to` and `format`; by default the last day, as JSON.
    pub(super) fn read(given: HashMap<String, String>, now_ms: TimeMs) -> Result<Self, Invalid> {
        let time = |name: &str, default: TimeMs| match given.get(name) {
            None => Ok(default),
            Some(text) => parse_iso(text)
                .ok_or_else(|| Invalid::field(name, "a time in ISO 8601 with an offset")),
        };
        let to_ms = time("to", now_ms)?.min(now_ms);
        let from_ms = time("from", to_ms.saturating_sub(DAY_MS))?;
        if from_ms >= to_ms {
            return Err(Invalid::field(
                "from",
                "it has to lie before to, and before now",
            ));
        }
        if from_ms < now_ms.saturating_sub(REACH_MS) {
            return Err(Invalid::field("from", "at most 400 days ago"));
        }
        let format = match given.get("format") {
            None => Some(Format::Json),
            Some(text) => FORMATS
                .iter()
                .find(|(name, _)| name == text)
                .map(|(_, format)| *format),
        };
        let format = format.ok_or_else(|| Invalid::field("format", "one of json, csv, jsonl"))?;
        Ok(Asked {
            given,
            now_ms,
            from_ms,
            to_ms,
            format,
        })
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let text = self.given.get(name).map(String::as_str);
        text.filter(|text| !text.is_empty())
    }

    /// Reads `step`, in seconds; by default what gives about a hundred points.
    pub(super) fn steps(&self) -> Result<Steps, Invalid> {
        let wrong = || {
            let text =
                "seconds: a multiple of 300, of 3600 beyond the last two days, at most 31 days";
            Invalid::field("step", text)
        };
        let length_ms = self.to_ms - self.from_ms;
        let seconds = match self.given.get("step") {
            Some(text) => text.parse().map_err(|_| wrong())?,
            None => self.default_step_seconds(length_ms),
        };
        if !STEP_SECONDS.contains(&seconds) || !seconds.is_multiple_of(STEP_UNIT_SECONDS) {
            return Err(wrong());
        }
        let steps = Steps::over(self.from_ms, self.to_ms, seconds * 1000);
        if steps.count > POINTS_MAX {
            let text = format!("this makes {} points, at most {POINTS_MAX}", steps.count);
            return Err(Invalid::field("step", text));
        }
        Ok(steps)
    }

    /// The shortest of a few handy ones with at most 300 points whose counters are still there.
    pub(super) fn default_step_seconds(&self, length_ms: u64) -> u64 {
        let age_ms = self.now_ms.saturating_sub(self.from_ms);
        let handy = [
            (300, DAY_MS + DAY_MS / 2),
            (3600, 31 * DAY_MS),
            (86_400, u64::MAX),
        ];
        handy
            .into_iter()
            .find(|(seconds, reach_ms)| age_ms <= *reach_ms && length_ms / (seconds * 1000) <= 300)
            .map_or(86_400, |(seconds, _)| seconds)
    }

    /// How many of the first are wanted.
    pub(super) fn limit(&self) -> Result<usize, Invalid> {
        let Some(text) = self.given.get("limit") else {
            return Ok(TOP_DEFAULT);
        };
        text.parse()
            .ok()
            .filter(|limit| (1..=TOP_MAX).contains(limit))
            .ok_or_else(|| Invalid::field("limit", format!("a whole number from 1 to {TOP_MAX}")))
    }

    /// The answer in the form that is wanted: all of it, or its rows.
    pub(super) fn answer(&self, view: &impl Serialize, rows: &str) -> Result<Response, ApiError> {
        let value = to_value(view)?;
        let empty = Vec::new();
        let rows = value[rows].as_array().unwrap_or(&empty);
        let (kind, text) = match self.format {
            Format::Json => return Ok(Json(value).into_response()),
            Format::Csv => ("text/csv; charset=utf-8", csv(rows)),
            Format::JsonLines => {
                let lines = rows.iter().map(|row| format!("{row}\n"));
                ("application/x-ndjson", lines.collect())
            }
        };
        Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
    }
}

pub(super) fn to_value(view: &impl Serialize) -> Result<Value, ApiError> {
    serde_json::to_value(view).map_err(|error| ServiceError::Internal(error.to_string()).into())
}
