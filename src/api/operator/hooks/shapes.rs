//! What is read and answered about hooks.

use std::collections::BTreeMap;

use ekho_storage::tables::hook::{Hook, HookEvent, OnFailure};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::fields::Fields;
use crate::api::operator::list::Paging;
use crate::clock::Iso;
use crate::hooks::http::check_url;
use crate::hooks::is_slug;
use crate::service::hooks::HookChange;

const URL_MAX_BYTES: usize = 2048;
const TIMEOUT_MS: std::ops::RangeInclusive<u64> = 50..=10_000;
/// A week, as long as messages are kept.
const RETRY_MAX_SECONDS: u64 = 7 * 24 * 3600;
const FAILURES: [(&str, OnFailure); 2] = [("open", OnFailure::Open), ("closed", OnFailure::Closed)];

/// What a hook can hear of.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[allow(dead_code, reason = "describes what is read and answered")]
pub enum EventName {
    BeforeMessage,
    AfterMessage,
    FleetCreated,
    Overview,
}

/// What becomes of a message when a hook fails: it goes on, or is refused.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[allow(dead_code, reason = "describes what is read and answered")]
pub enum FailureName {
    Open,
    Closed,
}

/// How a breaker stands.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[allow(dead_code, reason = "describes what is answered")]
pub enum BreakerName {
    Closed,
    Open,
    HalfOpen,
}

/// A hook, without its secrets.
#[derive(Serialize, ToSchema)]
pub struct HookView {
    /// `hook_…`
    pub id: String,
    pub name: String,
    pub url: String,
    #[schema(value_type = Vec<EventName>)]
    pub events: Vec<&'static str>,
    pub enabled: bool,
    pub timeout_ms: u64,
    #[schema(value_type = FailureName)]
    pub on_failure: &'static str,
    pub priority: u32,
    pub retry_seconds: u64,
    pub version: u32,
    /// Until when a secret that was replaced still signs.
    pub previous_secret_until: Option<Iso>,
    pub created_at: Iso,
    pub updated_at: Iso,
    pub updated_by: String,
}

/// A page of hooks, in the order in which they are asked.
#[derive(Serialize, ToSchema)]
pub struct HookList {
    pub hooks: Vec<HookView>,
    pub total: u64,
    #[serde(flatten)]
    pub paging: Paging,
}

/// A hook.
#[derive(Serialize, ToSchema)]
pub struct HookDetail {
    pub hook: HookView,
}

/// A new hook.
#[derive(Serialize, ToSchema)]
pub struct HookCreated {
    pub hook_id: String,
    /// `whsec_…`, shown this once.
    pub secret: String,
}

/// A new secret.
#[derive(Serialize, ToSchema)]
pub struct SecretRotated {
    /// `whsec_…`, shown this once.
    pub secret: String,
    /// Until when the one before signs as well.
    pub previous_valid_until: Iso,
}

/// What came of a signed request that asks nothing.
#[derive(Serialize, ToSchema)]
pub struct Tried {
    /// Whether it answered with 2xx in time.
    pub ok: bool,
    /// The status it answered with.
    pub status: Option<u16>,
    pub latency_ms: u64,
    /// Why it did not.
    pub error: Option<String>,
}

/// How a hook fares on the node that was asked.
#[derive(Serialize, ToSchema)]
pub struct StatusView {
    pub calls: u64,
    pub failures: u64,
    pub last_call_at: Option<Iso>,
    pub last_latency_ms: Option<u64>,
    pub last_error: Option<String>,
    pub last_error_at: Option<Iso>,
    /// By event.
    #[schema(value_type = BTreeMap<String, BreakerName>)]
    pub breakers: BTreeMap<&'static str, &'static str>,
    /// Events of the audit log behind its newest one; null for a hook that is told nothing after
    /// the fact.
    pub behind: Option<u64>,
    /// What it failed to hear so far.
    pub retrying: Option<RetryingView>,
}

/// Something that is told again and again.
#[derive(Serialize, ToSchema)]
pub struct RetryingView {
    pub event_id: String,
    pub attempts: u32,
    pub next_attempt_at: Iso,
}

/// A new hook.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
pub struct NewHook {
    /// Lower case letters, digits and hyphens; unique in the fleet.
    #[schema(min_length = 1, max_length = 64, pattern = "^[a-z0-9-]+$")]
    name: String,
    /// `http://` or `https://`
    #[schema(min_length = 1, max_length = 2048)]
    url: String,
    #[schema(min_items = 1, max_items = 4)]
    events: Vec<EventName>,
    #[serde(flatten)]
    others: HookOptions,
}

/// What of a hook is to be otherwise; what is left out stays.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
pub struct ChangedHook {
    /// Lower case letters, digits and hyphens; unique in the fleet.
    #[schema(min_length = 1, max_length = 64, pattern = "^[a-z0-9-]+$")]
    name: Option<String>,
    /// `http://` or `https://`
    #[schema(min_length = 1, max_length = 2048)]
    url: Option<String>,
    #[schema(min_items = 1, max_items = 4)]
    events: Option<Vec<EventName>>,
    #[serde(flatten)]
    others: HookOptions,
}

/// What else a hook is.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
pub struct HookOptions {
    /// Of a new one: true.
    enabled: Option<bool>,
    /// How long it may take to answer. Of a new one: 1,000.
    #[schema(minimum = 50, maximum = 10_000)]
    timeout_ms: Option<u64>,
    /// Of a new one: `closed`.
    on_failure: Option<FailureName>,
    /// Lower ones are asked first. Of a new one: 100.
    #[schema(minimum = 0, maximum = 1_000_000)]
    priority: Option<u32>,
    /// How long it is told again what it failed to hear. Of a new one: 3,600.
    #[schema(minimum = 0, maximum = 604_800)]
    retry_seconds: Option<u64>,
}

/// How a secret is replaced.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
pub struct Rotation {
    /// How long the old one signs as well.
    #[schema(minimum = 0, maximum = 604_800, default = 86_400)]
    overlap_seconds: Option<u64>,
}

/// A hook as it is shown.
pub fn view(hook: &Hook) -> HookView {
    let draft = &hook.draft;
    let now = crate::clock::now_ms();
    let previous = hook.secrets.iter().find_map(|one| one.valid_until_ms);
    HookView {
        id: hook.id.clone(),
        name: draft.name.clone(),
        url: draft.url.clone(),
        events: draft.events.iter().map(|event| event.as_str()).collect(),
        enabled: draft.enabled,
        timeout_ms: draft.timeout_ms,
        on_failure: draft.on_failure.as_str(),
        priority: draft.priority,
        retry_seconds: draft.retry_ms / 1000,
        version: hook.version,
        previous_secret_until: previous.filter(|until| *until > now).map(Iso),
        created_at: Iso(hook.created_ms),
        updated_at: Iso(hook.updated_ms),
        updated_by: hook.updated_by.clone(),
    }
}

/// Reads what is to be otherwise; of a new hook everything is.
pub fn read(fields: &mut Fields<'_>, is_new: bool) -> HookChange {
    let needed = |fields: &mut Fields<'_>, name: &str, max_bytes: usize| match is_new {
        true => Some(fields.text(name, max_bytes)).filter(|text| !text.is_empty()),
        false => fields.optional_text(name, max_bytes),
    };
    let name = needed(fields, "name", 64);
    if name.as_deref().is_some_and(|name| !is_slug(name)) {
        fields.wrong("name", "lower case letters, digits and hyphens");
    }
    let url = needed(fields, "url", URL_MAX_BYTES);
    if let Some(Err(why)) = url.as_deref().map(check_url) {
        fields.wrong("url", why);
    }
    if is_new && !fields.has("events") {
        fields.required("events");
    }
    let events = fields.has("events").then(|| read_events(fields));
    let enabled = fields
        .has("enabled")
        .then(|| fields.boolean("enabled", true));
    let on_failure = match fields.has("on_failure") {
        true => fields.choice("on_failure", &FAILURES, None),
        false => None,
    };
    HookChange {
        name,
        url,
        events,
        enabled,
        timeout_ms: fields.number("timeout_ms", TIMEOUT_MS),
        on_failure,
        priority: fields
            .number("priority", 0..=1_000_000)
            .map(|priority| priority as u32),
        retry_ms: fields
            .number("retry_seconds", 0..=RETRY_MAX_SECONDS)
            .map(|seconds| seconds * 1000),
    }
}

fn read_events(fields: &mut Fields<'_>) -> Vec<HookEvent> {
    let names = fields.texts("events", HookEvent::ALL.len(), 64);
    let mut events = Vec::with_capacity(names.len());
    for name in names {
        match HookEvent::ALL.iter().find(|event| event.as_str() == name) {
            Some(event) => events.push(*event),
            None => {
                let words = HookEvent::ALL.map(HookEvent::as_str).join(", ");
                fields.wrong("events", format!("of {words}"));
            }
        }
    }
    if events.is_empty() {
        fields.wrong("events", "at least one");
    }
    events.sort_unstable();
    events.dedup();
    events
}
