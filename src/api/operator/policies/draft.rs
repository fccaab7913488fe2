//! What a policy says: how it is described, and read.

use ekho_storage::tables::policy::{
    Action, BodyRule, BodyTest, Conditions, Draft, PairRate, TimeWindow, TimeWindows,
};

use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::Schema;
use utoipa::openapi::schema::ArrayBuilder;

use crate::api::fields::Fields;
use crate::api::words::{self, PRIORITIES};
use crate::clock;
use crate::machine::policy::{DAYS, pattern};

/// Values of one condition.
const VALUES_MAX: usize = 1000;
pub(super) const ID_MAX_BYTES: usize = 255;
/// Tests of one policy's body condition, and windows of its time condition.
const TESTS_MAX: usize = 20;
const TAGS_MAX: usize = 20;
const TAG_MAX_BYTES: usize = 64;
const TEXT_MAX_BYTES: usize = 1000;
const RATE_WINDOW_MAX_SECONDS: u64 = 7 * 24 * 3600;

/// Conditions that are one value or a list of them.
const LISTS: [&str; 9] = [
    "sender_agent_id",
    "recipient_agent_id",
    "message_type",
    "priority",
    "conversation_id",
    "sender_labels",
    "sender_capabilities",
    "recipient_labels",
    "recipient_capabilities",
];

/// Whom a policy concerns.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[allow(dead_code, reason = "describes what is read")]
pub(super) enum ScopeKind {
    Fleet,
    Agent,
}

/// A policy.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
pub struct PolicyDraft {
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    scope_kind: ScopeKind,
    /// With `agent`: only messages from or to that one.
    #[schema(min_length = 1, max_length = 255)]
    scope_id: Option<String>,
    rule: Rule,
    #[schema(default = true)]
    enabled: Option<bool>,
    /// It decides nothing; what it would have denied is recorded.
    #[schema(default = false)]
    dry_run: Option<bool>,
    /// Lower ones are looked at first.
    #[schema(minimum = 0, maximum = 1_000_000, default = 100)]
    priority: Option<u32>,
}

/// What a policy says.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
pub(super) struct Rule {
    action: RuleAction,
    /// With `redirect`: who receives the message.
    #[schema(min_length = 1, max_length = 255)]
    redirect_agent_id: Option<String>,
    /// With `tag`: up to 20 of up to 64 bytes.
    #[schema(min_items = 1, max_items = 20)]
    tags: Option<Vec<String>>,
    conditions: Option<RuleConditions>,
}

/// What a policy does.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[allow(dead_code, reason = "describes what is read")]
enum RuleAction {
    Allow,
    Deny,
    RequireApproval,
    Redirect,
    Quarantine,
    Tag,
}

/// A value, or a list of which one has to fit.
fn one_or_many() -> Schema {
    words::one_or_many(words::text(ID_MAX_BYTES), VALUES_MAX)
}

/// The same of priorities.
fn priorities() -> Schema {
    words::one_or_many(words::priority(), VALUES_MAX)
}

/// All that are given must hold. Other fields are refused.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "describes what is read")]
struct RuleConditions {
    #[schema(schema_with = one_or_many, required = false)]
    sender_agent_id: String,
    #[schema(schema_with = one_or_many, required = false)]
    recipient_agent_id: String,
    #[schema(schema_with = one_or_many, required = false)]
    message_type: String,
    #[schema(schema_with = priorities, required = false)]
    priority: String,
    #[schema(schema_with = one_or_many, required = false)]
    conversation_id: String,
    #[schema(schema_with = one_or_many, required = false)]
    sender_labels: String,
    #[schema(schema_with = one_or_many, required = false)]
    sender_capabilities: String,
    #[schema(schema_with = one_or_many, required = false)]
    recipient_labels: String,
    #[schema(schema_with = one_or_many, required = false)]
    recipient_capabilities: String,
    #[schema(min_items = 1, max_items = 20)]
    body: Option<Vec<BodyCondition>>,
    time: Option<TimeCondition>,
    rate: Option<RateCondition>,
}

/// Something about one place of the body: exactly one of `equals`, `matches` and `exists`.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct BodyCondition {
    /// JSON pointer (RFC 6901); empty for the whole body.
    #[schema(max_length = 1000)]
    pointer: String,
    /// Any JSON; numbers are equal by value.
    #[schema(value_type = Value, required = false)]
    equals: Option<Value>,
    /// A regular expression that is found in the text there.
    #[schema(min_length = 1, max_length = 1000)]
    matches: Option<String>,
    /// Whether something is there.
    exists: Option<bool>,
}

/// Times of the week.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct TimeCondition {
    /// A zone of the IANA database, such as `Europe/Berlin`.
    #[schema(min_length = 1, max_length = 255)]
    time_zone: String,
    #[schema(min_items = 1, max_items = 20)]
    windows: Vec<Window>,
}

/// A time of day.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct Window {
    /// Days on which it begins; every day where they are left out.
    #[schema(schema_with = days, required = false)]
    days: Vec<String>,
    #[schema(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$")]
    from: String,
    /// No longer part of it; not later than `from` means the next day.
    #[schema(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$")]
    to: String,
}

fn days() -> Schema {
    let days = ArrayBuilder::new()
        .items(words::one_of(DAYS))
        .max_items(Some(DAYS.len()));
    days.build().into()
}

/// How much the sender has sent the recipient already.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct RateCondition {
    /// Holds once that many were accepted in the window.
    #[schema(minimum = 1, maximum = 1_000_000_000)]
    max_messages: u64,
    #[schema(minimum = 1, maximum = 604_800)]
    window_seconds: u64,
}

/// Reads a policy; what is left out of a change has its default again.
pub fn read(fields: &mut Fields<'_>) -> Draft {
    let name = fields.text("name", 200);
    let scope = fields.choice("scope_kind", &[("fleet", false), ("agent", true)], None);
    let scope_id = fields.optional_text("scope_id", ID_MAX_BYTES);
    let scope_agent = match (scope, scope_id) {
        (Some(true), Some(agent_id)) => Some(agent_id),
        (Some(true), None) => {
            fields.required("scope_id");
            None
        }
        _ => None,
    };
    let rule = fields.nested_object("rule", |rule| {
        let action = read_action(rule);
        let conditions = match rule.has("conditions") {
            true => rule.nested_object("conditions", read_conditions),
            false => None,
        };
        (action, conditions.unwrap_or_default())
    });
    let (action, conditions) = rule.unwrap_or((Action::Deny, Conditions::default()));
    Draft {
        name,
        scope_agent,
        action,
        conditions,
        enabled: fields.boolean("enabled", true),
        dry_run: fields.boolean("dry_run", false),
        priority: fields.number("priority", 0..=1_000_000).unwrap_or(100) as u32,
    }
}

fn read_action(rule: &mut Fields<'_>) -> Action {
    let words = [
        "allow",
        "deny",
        "require_approval",
        "redirect",
        "quarantine",
        "tag",
    ];
    let words = words.map(|word| (word, word));
    let redirect_to = rule.optional_text("redirect_agent_id", ID_MAX_BYTES);
    let tags = rule.texts("tags", TAGS_MAX, TAG_MAX_BYTES);
    if rule.has("tags") && tags.is_empty() {
        rule.wrong("tags", format!("1 to {TAGS_MAX} items"));
    }
    match rule.choice("action", &words, None) {
        Some("allow") => Action::Allow,
        Some("require_approval") => Action::RequireApproval,
        Some("redirect") => {
            if redirect_to.is_none() {
                rule.required("redirect_agent_id");
            }
            Action::Redirect(redirect_to.unwrap_or_default())
        }
        Some("quarantine") => Action::Quarantine,
        Some("tag") => {
            if tags.is_empty() {
                rule.required("tags");
            }
            Action::Tag(tags)
        }
        _ => Action::Deny,
    }
}

fn read_conditions(fields: &mut Fields<'_>) -> Conditions {
    // A condition that is not understood must not be passed over: the policy would match more.
    let others = ["body", "time", "rate"];
    for name in fields.names() {
        if !LISTS.contains(&name.as_str()) && !others.contains(&name.as_str()) {
            let known = [&LISTS[..], &others[..]].concat().join(", ");
            fields.wrong(&name, format!("no such condition; one of {known}"));
        }
    }
    let mut values = |name: &str| match fields.has(name) {
        true => Some(fields.text_or_texts(name, VALUES_MAX, ID_MAX_BYTES)),
        false => None,
    };
    let mut conditions = Conditions {
        sender_agent_id: values("sender_agent_id"),
        recipient_agent_id: values("recipient_agent_id"),
        message_type: values("message_type"),
        conversation_id: values("conversation_id"),
        sender_labels: values("sender_labels"),
        sender_capabilities: values("sender_capabilities"),
        recipient_labels: values("recipient_labels"),
        recipient_capabilities: values("recipient_capabilities"),
        ..Conditions::default()
    };
    if let Some(names) = values("priority") {
        let mut priorities = Vec::new();
        for name in names {
            match PRIORITIES.iter().find(|(known, _)| *known == name) {
                Some((_, priority)) => priorities.push(*priority),
                None => fields.wrong("priority", "one of low, normal, high, urgent"),
            }
        }
        conditions.priority = Some(priorities);
    }
    if fields.has("body") {
        conditions.body = fields.list("body", TESTS_MAX, |test, _| read_body_test(test));
    }
    if fields.has("time") {
        conditions.time = fields.nested_object("time", read_time);
    }
    if fields.has("rate") {
        conditions.rate = fields.nested_object("rate", read_rate);
    }
    conditions
}

fn read_body_test(fields: &mut Fields<'_>) -> BodyTest {
    let pointer = fields.text_or_empty("pointer", TEXT_MAX_BYTES);
    if !pointer.is_empty() && !pointer.starts_with('/') {
        fields.wrong(
            "pointer",
            "a JSON pointer (RFC 6901) begins with /, or is empty",
        );
    }
    let given: Vec<&str> = ["equals", "matches", "exists"]
        .into_iter()
        .filter(|name| fields.names().iter().any(|given| given == name))
        .collect();
    let test = match given.as_slice() {
        ["equals"] => {
            // null is a value here.
            let raw = fields.any("equals", TEXT_MAX_BYTES).unwrap_or("null");
            BodyRule::Equals(raw.to_string())
        }
        ["matches"] => {
            let text = fields.text("matches", TEXT_MAX_BYTES);
            if let Err(error) = pattern(&text) {
                let why = error.to_string();
                let why = why.lines().last().unwrap_or("not a regular expression");
                fields.wrong("matches", why.trim().to_string());
            }
            BodyRule::Matches(text)
        }
        ["exists"] => BodyRule::Exists(fields.boolean("exists", true)),
        _ => {
            fields.wrong(
                "pointer",
                "beside it exactly one of equals, matches, exists",
            );
            BodyRule::Exists(true)
        }
    };
    BodyTest { pointer, test }
}

fn read_time(fields: &mut Fields<'_>) -> TimeWindows {
    let time_zone = fields.text("time_zone", ID_MAX_BYTES);
    let offsets = clock::offsets(&time_zone).unwrap_or_else(|| {
        if !time_zone.is_empty() {
            fields.wrong(
                "time_zone",
                "no zone of the IANA database, such as Europe/Berlin",
            );
        }
        Vec::new()
    });
    TimeWindows {
        time_zone,
        offsets,
        windows: fields.list("windows", TESTS_MAX, |window, _| read_window(window)),
    }
}

fn read_window(fields: &mut Fields<'_>) -> TimeWindow {
    let mut days = 0;
    if fields.has("days") {
        for name in fields.texts("days", DAYS.len(), 3) {
            match DAYS.iter().position(|day| *day == name) {
                Some(day) => days |= 1 << day,
                None => fields.wrong("days", format!("of {}", DAYS.join(", "))),
            }
        }
    } else {
        days = 0x7f;
    }
    TimeWindow {
        days,
        from_minute: read_clock(fields, "from"),
        to_minute: read_clock(fields, "to"),
    }
}

/// Hours and minutes as `22:00`.
fn read_clock(fields: &mut Fields<'_>, name: &str) -> u16 {
    let text = fields.text(name, 5);
    let minute = text.split_once(':').and_then(|(hours, minutes)| {
        let two = |text: &str, below: u16| {
            let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<u16>()
                .ok()
                .filter(|number| digits && *number < below)
        };
        Some(two(hours, 24)? * 60 + two(minutes, 60)?)
    });
    if minute.is_none() && !text.is_empty() {
        fields.wrong(name, "a time of day such as 22:00");
    }
    minute.unwrap_or_default()
}

fn read_rate(fields: &mut Fields<'_>) -> PairRate {
    let mut number = |name: &str, most: u64| {
        let found = fields.number(name, 1..=most);
        if found.is_none() {
            fields.required(name);
        }
        found.unwrap_or(1)
    };
    PairRate {
        max_messages: number("max_messages", 1_000_000_000),
        window_ms: 1000 * number("window_seconds", RATE_WINDOW_MAX_SECONDS),
    }
}
