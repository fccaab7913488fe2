//! The variables that give replicated settings their first value.
//!
//! `ekho setup` puts them into the log; from then on the settings in the state decide and these
//! are not looked at again.

use std::ops::RangeInclusive;

use ekho_storage::tables::approval::Risk;
use ekho_storage::tables::attachment::AttachmentSettings;
use ekho_storage::tables::settings::Settings;

use super::entry::Scope;
use super::loader::{Loader, Spec};
use super::parse;

const SECOND_MS: u64 = 1000;
const DAY_SECONDS: u64 = 24 * 3600;
const YEAR_SECONDS: u64 = 365 * DAY_SECONDS;
/// Redeliveries a schedule may hold.
const RETRIES: RangeInclusive<usize> = 1..=32;

/// The replicated settings as configuration would begin them.
pub(super) fn load(loader: &mut Loader) -> Settings {
    let mut settings = Settings::default();
    let mut seconds = |variable, field: &mut u64, range, about| {
        let spec = Spec {
            variable,
            scope: Scope::Setup,
            about,
        };
        let default = *field / SECOND_MS;
        *field = SECOND_MS * number(loader, spec, default, range);
    };
    seconds(
        "EKHO_TIMESTAMP_SKEW_SECONDS",
        &mut settings.timestamp_skew_ms,
        1..=DAY_SECONDS,
        "how far a request's timestamp may be from the relay's clock",
    );
    seconds(
        "EKHO_POLL_INTERVAL_SECONDS",
        &mut settings.poll_interval_ms,
        1..=3600,
        "how often agents are told to poll",
    );
    seconds(
        "EKHO_HEARTBEAT_INTERVAL_SECONDS",
        &mut settings.heartbeat_interval_ms,
        1..=DAY_SECONDS,
        "how often agents are told to send heartbeats",
    );
    seconds(
        "EKHO_HEARTBEAT_TIMEOUT_SECONDS",
        &mut settings.heartbeat_timeout_ms,
        1..=DAY_SECONDS,
        "longest time between two heartbeats that is in order",
    );
    seconds(
        "EKHO_DELIVERY_TIMEOUT_SECONDS",
        &mut settings.delivery_timeout_ms,
        1..=DAY_SECONDS,
        "how long an agent may hold a message without an ack",
    );
    seconds(
        "EKHO_RATE_LIMIT_WINDOW_SECONDS",
        &mut settings.rate_window_ms,
        1..=DAY_SECONDS,
        "length of a rate window",
    );
    seconds(
        "EKHO_RATE_LIMIT_VIOLATION_WINDOW_SECONDS",
        &mut settings.violation_window_ms,
        1..=DAY_SECONDS,
        "time within which refusals are counted towards quarantine",
    );
    seconds(
        "EKHO_MESSAGE_RETENTION_SECONDS",
        &mut settings.message_retention_ms,
        1..=10 * YEAR_SECONDS,
        "how long acked, expired and cancelled messages are kept",
    );
    seconds(
        "EKHO_DEAD_LETTER_RETENTION_SECONDS",
        &mut settings.dead_letter_retention_ms,
        1..=10 * YEAR_SECONDS,
        "how long dead letters are kept",
    );
    seconds(
        "EKHO_EVENT_RETENTION_SECONDS",
        &mut settings.event_retention_ms,
        1..=100 * YEAR_SECONDS,
        "how long events of the audit log are kept",
    );
    seconds(
        "EKHO_IDEMPOTENCY_SECONDS",
        &mut settings.idempotency_ms,
        1..=YEAR_SECONDS,
        "how long an idempotency key is remembered",
    );
    seconds(
        "EKHO_ENROLLMENT_TOKEN_SECONDS",
        &mut settings.enrollment_token_ms,
        1..=YEAR_SECONDS,
        "how long an enrolment token can be used",
    );
    seconds(
        "EKHO_OPERATOR_SESSION_SECONDS",
        &mut settings.session_ms,
        60..=YEAR_SECONDS,
        "how long an operator stays signed in",
    );
    seconds(
        "EKHO_LOGIN_LOCKOUT_SECONDS",
        &mut settings.login_lockout_ms,
        1..=DAY_SECONDS,
        "how long failed sign-ins count, and how long too many of them keep everybody out",
    );
    seconds(
        "EKHO_APPROVAL_TTL_SECONDS",
        &mut settings.approval_ttl_ms,
        1..=YEAR_SECONDS,
        "how long a proposed action waits for an operator",
    );

    let mut count = |variable, field: &mut u64, range, about| {
        *field = number(
            loader,
            Spec {
                variable,
                scope: Scope::Setup,
                about,
            },
            *field,
            range,
        );
    };
    count(
        "EKHO_HEARTBEAT_LIVENESS_THRESHOLD",
        &mut settings.heartbeat_threshold,
        1..=1000,
        "that many heartbeat timeouts of silence quarantine an agent",
    );
    count(
        "EKHO_RATE_LIMIT_MAX_MESSAGES",
        &mut settings.rate_max_messages,
        1..=1_000_000_000,
        "messages of one agent in a rate window",
    );
    count(
        "EKHO_RATE_LIMIT_VIOLATION_THRESHOLD",
        &mut settings.violation_threshold,
        1..=1_000_000,
        "refusals that quarantine an agent",
    );
    count(
        "EKHO_LOGIN_FAILURES_PER_ACCOUNT",
        &mut settings.login_failures_per_account,
        1..=1_000_000,
        "failed sign-ins that lock an account for a while",
    );
    count(
        "EKHO_LOGIN_FAILURES_PER_ADDRESS",
        &mut settings.login_failures_per_address,
        1..=1_000_000,
        "failed sign-ins that lock an address out for a while",
    );
    count(
        "EKHO_MAX_FAN_OUT",
        &mut settings.max_fan_out,
        1..=1_000_000,
        "most recipients of one message",
    );
    count(
        "EKHO_MAX_AGENTS",
        &mut settings.max_agents,
        1..=10_000_000,
        "most agents of a fleet",
    );

    let mut risks = |variable, field: &mut Vec<Risk>, about| {
        let spec = Spec {
            variable,
            scope: Scope::Setup,
            about,
        };
        let show = |risks: &Vec<Risk>| match risks.is_empty() {
            true => "none".to_string(),
            false => risks
                .iter()
                .map(|risk| risk.as_str())
                .collect::<Vec<_>>()
                .join(","),
        };
        *field = loader.value(spec, field.clone(), parse::risks, show);
    };
    risks(
        "EKHO_APPROVAL_RISKS",
        &mut settings.approval_risks,
        "risks of proposed actions that wait for an operator",
    );
    risks(
        "EKHO_APPROVAL_TWO_PERSON_RISKS",
        &mut settings.approval_two_person_risks,
        "risks for which two operators must say yes",
    );

    let spec = Spec {
        variable: "EKHO_RETRY_BACKOFF_SECONDS",
        scope: Scope::Setup,
        about: "delay before each redelivery; after the last one a message is dead-lettered",
    };
    let backoff: Vec<u64> = settings
        .retry_backoff_ms
        .iter()
        .map(|ms| ms / SECOND_MS)
        .collect();
    let backoff = loader.value(
        spec,
        backoff,
        |text| parse::numbers(text, &RETRIES, &(0..=30 * DAY_SECONDS)),
        |list| {
            list.iter()
                .map(u64::to_string)
                .collect::<Vec<String>>()
                .join(",")
        },
    );
    settings.retry_backoff_ms = backoff
        .into_iter()
        .map(|seconds| seconds * SECOND_MS)
        .collect();
    settings
}

/// What decides about attachments, as configuration would begin it.
pub(super) fn load_attachments(loader: &mut Loader) -> AttachmentSettings {
    let defaults = AttachmentSettings::default();
    let mut setting = |variable, default, range, about| {
        let spec = Spec {
            variable,
            scope: Scope::Setup,
            about,
        };
        number(loader, spec, default, range)
    };
    AttachmentSettings {
        attachment_max_bytes: setting(
            "EKHO_ATTACHMENT_MAX_BYTES",
            defaults.attachment_max_bytes,
            1024..=1 << 30,
            "largest attachment",
        ),
        attachment_fleet_max_bytes: setting(
            "EKHO_ATTACHMENT_FLEET_MAX_BYTES",
            defaults.attachment_fleet_max_bytes,
            0..=1 << 50,
            "bytes that the attachments of a fleet may take",
        ),
        attachment_unbound_ms: SECOND_MS
            * setting(
                "EKHO_ATTACHMENT_UNBOUND_SECONDS",
                defaults.attachment_unbound_ms / SECOND_MS,
                1..=YEAR_SECONDS,
                "how long an attachment is kept that no message binds",
            ),
        attachment_hold_ms: SECOND_MS
            * setting(
                "EKHO_ATTACHMENT_HOLD_SECONDS",
                defaults.attachment_hold_ms / SECOND_MS,
                1..=DAY_SECONDS,
                "how long nodes keep a file that no attachment names yet; an upload has half of it",
            ),
    }
}

/// A number with its range; also for settings of the node.
pub(super) fn number(
    loader: &mut Loader,
    spec: Spec,
    default: u64,
    range: RangeInclusive<u64>,
) -> u64 {
    loader.value(
        spec,
        default,
        |text| parse::number(text, &range),
        u64::to_string,
    )
}
