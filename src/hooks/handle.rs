//! One hook or extension as this node calls it: within a time, behind a breaker for each kind of
//! event, a bounded number at once, measured, and with what it says checked.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ekho_storage::tables::TimeMs;
use ekho_storage::tables::hook::{Hook, HookEvent, OnFailure};
use futures::FutureExt;
use parking_lot::Mutex;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::Semaphore;

use super::breaker::{Breaker, BreakerState};
use crate::clock::now_ms;
use crate::extension::{Call, Decision, Extension, Failure, Message, NewFleet};
use crate::machine::hook::extension_follower;
use crate::metrics::Metrics;
use crate::readable;

/// Calls of one hook at once; others wait, within their time.
const AT_ONCE: usize = 64;
/// Tags of one message, all extensions together.
pub const TAGS_MAX: usize = 32;
/// Of one tag.
const TAG_MAX_BYTES: usize = 64;
/// Metadata of a message, as where agents send it.
const METADATA_MAX_BYTES: usize = 64 << 10;
/// Of a reason; a longer one is cut.
const REASON_MAX_BYTES: usize = 500;
/// Of what an extension adds to the overview.
const OVERVIEW_MAX_BYTES: usize = 64 << 10;

/// A hook or extension.
pub struct Handle {
    /// What it is called where followers of the audit log are told apart: a hook's id.
    pub follower: String,
    /// Its name.
    pub name: String,
    /// The hook's version; 0 for an extension of the process.
    pub version: u32,
    enabled: bool,
    extension: Arc<dyn Extension>,
    breakers: [Breaker; HookEvent::ALL.len()],
    at_once: Semaphore,
    seen: Mutex<Seen>,
    metrics: Arc<Metrics>,
}

/// What this node saw of it since it was last changed.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Calls made.
    pub calls: u64,
    /// Calls that failed.
    pub failures: u64,
    /// When it was last called.
    pub last_call_ms: Option<TimeMs>,
    /// How long it took to answer.
    pub last_latency: Option<Duration>,
    /// What went wrong last, and when.
    pub last_error: Option<(String, TimeMs)>,
    /// What it is being told again and again.
    pub retrying: Option<Retrying>,
}

/// Something that a follower failed to hear so far.
#[derive(Clone, Debug)]
pub struct Retrying {
    /// The event's public id.
    pub event_id: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next.
    pub next_ms: TimeMs,
}

/// Something that happened.
pub enum Happened {
    /// A message was accepted.
    Message(Box<Message>),
    /// A fleet was made.
    Fleet(NewFleet),
}

impl Happened {
    /// The kind of event that it is.
    pub fn event(&self) -> HookEvent {
        match self {
            Happened::Message(_) => HookEvent::AfterMessage,
            Happened::Fleet(_) => HookEvent::FleetCreated,
        }
    }
}

impl Handle {
    /// For an extension of the process.
    pub fn own(extension: Arc<dyn Extension>, metrics: Arc<Metrics>) -> Self {
        let name = extension.name().to_string();
        let follower = extension_follower(&name);
        Handle::new((follower, name, 0), true, extension, metrics)
    }

    /// For a hook.
    pub fn hook(hook: &Hook, extension: Arc<dyn Extension>, metrics: Arc<Metrics>) -> Self {
        let named = (hook.id.clone(), hook.draft.name.clone(), hook.version);
        Handle::new(named, hook.draft.enabled, extension, metrics)
    }

    fn new(
        (follower, name, version): (String, String, u32),
        enabled: bool,
        extension: Arc<dyn Extension>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Handle {
            follower,
            name,
            version,
            enabled,
            extension,
            breakers: Default::default(),
            at_once: Semaphore::new(AT_ONCE),
            seen: Mutex::default(),
            metrics,
        }
    }

    /// Whether it is called for these.
    pub fn wants(&self, event: HookEvent) -> bool {
        self.enabled && self.extension.wants(event)
    }

    /// Whether it is told anything from the audit log.
    pub fn follows(&self) -> bool {
        let mut events = HookEvent::ALL.into_iter();
        events.any(|event| event.is_after() && self.wants(event))
    }

    /// What becomes of a message when it fails.
    pub fn on_failure(&self) -> OnFailure {
        self.extension.on_failure()
    }

    /// How long something is told again.
    pub fn retry_for(&self) -> Duration {
        self.extension.retry_for()
    }

    /// How its breaker for an event stands.
    pub fn breaker(&self, event: HookEvent) -> BreakerState {
        self.breakers[event as usize].state(Instant::now())
    }

    /// How long it is still left alone for an event.
    pub fn left_alone(&self, event: HookEvent) -> Option<Duration> {
        // Asking takes no trial that is not given back.
        self.breakers[event as usize].ask(Instant::now()).err()
    }

    /// What was seen of it.
    pub fn seen(&self) -> Seen {
        self.seen.lock().clone()
    }

    /// Notes what it is being told again, or that it is not.
    pub fn retrying(&self, retrying: Option<Retrying>) {
        self.seen.lock().retrying = retrying;
    }

    /// Asks about a message that is about to be accepted, within `budget`.
    pub async fn before(
        &self,
        call: &Call,
        message: &Message,
        budget: Duration,
    ) -> Result<Decision, Failure> {
        let answer = async {
            let decision = self.extension.on_before_message(call, message).await?;
            check(decision, message.tags.len())
        };
        let event = HookEvent::BeforeMessage;
        let blocks = |decision: &Decision| matches!(decision, Decision::Block { .. });
        self.called(event, budget, answer, blocks).await
    }

    /// Tells what happened.
    pub async fn tell(&self, call: &Call, happened: &Happened) -> Result<(), Failure> {
        let answer = match happened {
            Happened::Message(message) => self.extension.on_after_message(call, message),
            Happened::Fleet(fleet) => self.extension.on_fleet_created(call, fleet),
        };
        let event = happened.event();
        self.called(event, Duration::MAX, answer, |()| false).await
    }

    /// Asks what it has to add to the overview.
    pub async fn overview(&self, call: &Call) -> Result<Value, Failure> {
        let answer = async {
            let value = self.extension.on_overview(call).await?;
            match value.to_string().len() {
                0..=OVERVIEW_MAX_BYTES => Ok(value),
                size_bytes => Err(Failure::BadAnswer(format!(
                    "{size_bytes} bytes for the overview"
                ))),
            }
        };
        let event = HookEvent::Overview;
        self.called(event, Duration::MAX, answer, |_| false).await
    }

    async fn called<T>(
        &self,
        event: HookEvent,
        budget: Duration,
        answer: impl Future<Output = Result<T, Failure>>,
        blocks: impl Fn(&T) -> bool,
    ) -> Result<T, Failure> {
        let word = event.as_str();
        let breaker = &self.breakers[event as usize];
        let Ok(leave) = breaker.ask(Instant::now()) else {
            self.metrics
                .hook_called(&self.name, word, "left_alone", None);
            return Err(Failure::LeftAlone);
        };
        let began = Instant::now();
        let limit = self.extension.timeout().min(budget);
        let within = tokio::time::timeout(limit, async {
            let _turn = self.at_once.acquire().await;
            // A defect of an extension is its failure, not that of the request.
            AssertUnwindSafe(answer).catch_unwind().await
        });
        let result = match within.await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Failure::Failed("it panicked".into())),
            Err(_) => Err(Failure::Timeout),
        };
        let took = began.elapsed();
        match &result {
            Ok(_) => leave.succeeded(),
            Err(_) => leave.failed(Instant::now()),
        }
        let is_open = self.breaker(event) != BreakerState::Closed;
        self.metrics.hook_breaker(&self.name, word, is_open);
        let outcome = outcome(&result, blocks);
        self.metrics
            .hook_called(&self.name, word, outcome, Some(took));
        self.note(result.as_ref().err(), took);
        result
    }

    fn note(&self, failure: Option<&Failure>, took: Duration) {
        let mut seen = self.seen.lock();
        seen.calls += 1;
        seen.last_call_ms = Some(now_ms());
        seen.last_latency = Some(took);
        if let Some(failure) = failure {
            seen.failures += 1;
            seen.last_error = Some((failure.to_string(), now_ms()));
        }
    }
}

/// One of the outcomes that are counted.
fn outcome<T>(result: &Result<T, Failure>, blocks: impl Fn(&T) -> bool) -> &'static str {
    match result {
        Ok(answer) if blocks(answer) => "blocked",
        Ok(_) => "ok",
        Err(Failure::Timeout) => "timeout",
        Err(Failure::Unreachable(_) | Failure::Failed(_)) => "unreachable",
        Err(Failure::Status(_)) => "status",
        Err(Failure::BadAnswer(_)) => "bad_answer",
        Err(Failure::LeftAlone) => "left_alone",
    }
}

/// A decision that may be carried out, or what is wrong with it.
fn check(decision: Decision, tags_before: usize) -> Result<Decision, Failure> {
    let bad = |why: &str| Failure::BadAnswer(why.to_string());
    match decision {
        Decision::Block { mut reason } => {
            reason.truncate(reason.floor_char_boundary(REASON_MAX_BYTES));
            Ok(Decision::Block { reason })
        }
        Decision::Allow { tags, metadata } => {
            if tags.iter().any(|tag| !is_tag(tag)) {
                return Err(bad(
                    "a tag has 1 to 64 letters, digits, dots, colons, hyphens or underscores",
                ));
            }
            if tags_before + tags.len() > TAGS_MAX {
                return Err(bad("a message has at most 32 tags"));
            }
            if let Some(text) = &metadata {
                if text.len() > METADATA_MAX_BYTES || !text.starts_with('{') {
                    return Err(bad("metadata is an object of at most 64 KiB"));
                }
                let raw = RawValue::from_string(text.clone());
                let readable = raw.and_then(|raw| readable::check(&raw));
                readable.map_err(|error| Failure::BadAnswer(format!("metadata: {error}")))?;
            }
            Ok(Decision::Allow { tags, metadata })
        }
    }
}

/// Whether a text may be a tag.
fn is_tag(tag: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
    (1..=TAG_MAX_BYTES).contains(&tag.len()) && tag.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allow(tags: &[&str], metadata: Option<&str>) -> Result<Decision, Failure> {
        let decision = Decision::Allow {
            tags: tags.iter().map(|tag| tag.to_string()).collect(),
            metadata: metadata.map(str::to_string),
        };
        check(decision, 2)
    }

    #[test]
    fn what_cannot_be_carried_out_is_a_bad_answer() {
        assert!(allow(&["pii", "a.b:c-d_e"], Some(r#"{"k":1}"#)).is_ok());
        assert!(allow(&["t"; TAGS_MAX - 2], None).is_ok());
        let long = "t".repeat(TAG_MAX_BYTES + 1);
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(200), "]".repeat(200));
        let large = format!("{{\"a\":\"{}\"}}", "x".repeat(METADATA_MAX_BYTES));
        for (tags, metadata) in [
            (vec![""], None),
            (vec!["two words"], None),
            (vec![long.as_str()], None),
            (vec!["t"; TAGS_MAX - 1], None),
            (vec![], Some("[]")),
            (vec![], Some("{")),
            (vec![], Some(deep.as_str())),
            (vec![], Some(large.as_str())),
        ] {
            let checked = allow(&tags, metadata);
            assert!(matches!(checked, Err(Failure::BadAnswer(_))), "{checked:?}");
        }
    }

    #[test]
    fn a_long_reason_is_cut_between_letters() {
        let Ok(Decision::Block { reason }) = check(Decision::block("ö".repeat(400)), 0) else {
            panic!("a block stays one")
        };
        assert_eq!(reason, "ö".repeat(REASON_MAX_BYTES / 2));
    }
}
