//! Traces: spans of what is done for a request, on every node that does a part of it.
//!
//! What the current span is travels as W3C Trace Context, in a place that
//! [`ekho_raft::carried`] keeps for a task and sends along with what the task asks other nodes. A
//! span is begun below the one that is carried, so that what nobody asked for has none. Where no
//! collector is configured, nothing is carried, and a span costs the look at that.

use std::borrow::Cow;
use std::future::Future;
use std::sync::OnceLock;
use std::time::{Instant, SystemTime};

use axum::http::HeaderValue;
use ekho_raft::{CommandTiming, carried, carrying};
use opentelemetry::trace::{
    Link, Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt,
    TraceFlags, TraceId, TraceState, Tracer,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SdkTracer, Span as SdkSpan};
use serde::Deserialize;

/// Links of one span.
const LINKS_MAX: usize = 32;

static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// Begins to trace. Once in a process.
pub(super) fn install(tracer: SdkTracer) {
    // A second one would be another collector; the first stays.
    let _ = TRACER.set(tracer);
}

/// Whether anything is traced.
pub fn is_on() -> bool {
    TRACER.get().is_some()
}

/// What is being done. Ends when it is dropped.
pub struct Span(SdkSpan);

impl Span {
    /// What a client asks of this node, below the span that it names in its `traceparent`. None where
    /// nothing is traced.
    pub fn of_request(
        name: impl Into<Cow<'static, str>>,
        traceparent: Option<&HeaderValue>,
    ) -> Option<Self> {
        let tracer = TRACER.get()?;
        let parent = traceparent.and_then(|value| parse(value.to_str().ok()?));
        let builder = builder(tracer, name, SpanKind::Server);
        Some(Span(start(tracer, builder, parent)))
    }

    /// A part of what is carried; none where nothing is.
    pub fn part(name: impl Into<Cow<'static, str>>, kind: SpanKind) -> Option<Self> {
        let tracer = TRACER.get()?;
        let parent = current()?;
        let builder = builder(tracer, name, kind);
        Some(Span(start(tracer, builder, Some(parent))))
    }

    /// Sends messages with this metadata: a part of what their sender does, which SDKs write into
    /// the metadata, else of the request that brought them.
    pub fn of_sending<'a>(metadata: impl Iterator<Item = Option<&'a str>>) -> Option<Self> {
        let tracer = TRACER.get()?;
        let request = current()?;
        let mut count = 0;
        let mut senders: Vec<SpanContext> = Vec::new();
        for metadata in metadata {
            count += 1;
            if senders.len() < LINKS_MAX
                && let Some(context) = metadata.and_then(in_metadata)
            {
                senders.push(context);
            }
        }
        // Several messages may have several senders' spans, and a span has one parent.
        let parent = match senders.as_slice() {
            [sender] if count == 1 => sender.clone(),
            _ => request.clone(),
        };
        let linked = senders.into_iter().chain([request]);
        let links = linked
            .filter(|context| *context != parent)
            .map(|context| Link::new(context, Vec::new(), 0));
        let builder = builder(tracer, "send", SpanKind::Producer)
            .with_links(links.collect())
            .with_attributes([KeyValue::new("messaging.batch.message_count", count)]);
        Some(Span(start(tracer, builder, Some(parent))))
    }

    /// Adds what is known of it.
    pub fn attribute(&mut self, name: &'static str, value: impl Into<opentelemetry::Value>) {
        self.0.set_attribute(KeyValue::new(name, value));
    }

    /// It did not succeed.
    pub fn failed(&mut self, why: impl Into<Cow<'static, str>>) {
        self.0.set_status(Status::error(why));
    }

    /// Id of the trace, as logs show it.
    pub fn trace_id(&self) -> String {
        self.0.span_context().trace_id().to_string()
    }

    /// What it consisted of on the node that ordered it: waiting for the entry under way, until a
    /// majority had its own, and applying.
    pub fn ordered(&mut self, timing: &CommandTiming) {
        let Some(tracer) = TRACER.get() else { return };
        self.attribute("ekho.log_index", number(timing.log_index));
        self.attribute("ekho.batch_commands", number(timing.batch_commands as u64));
        let parent = self.0.span_context().clone();
        let clocks = Clocks::read();
        for (name, began, ended) in [
            ("raft.wait", timing.queued, timing.proposed),
            ("raft.commit", timing.proposed, timing.applying),
            ("raft.apply", timing.applying, timing.applied),
        ] {
            let builder =
                builder(tracer, name, SpanKind::Internal).with_start_time(clocks.wall(began));
            let mut span = start(tracer, builder, Some(parent.clone()));
            span.end_with_timestamp(clocks.wall(ended));
        }
    }

    fn header(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&written(self.0.span_context())).ok()
    }
}

/// Does `work` as the span, or without one.
pub async fn within<F: Future>(span: Option<&Span>, work: F) -> F::Output {
    match span.and_then(Span::header) {
        Some(header) => carrying(header, work).await,
        None => work.await,
    }
}

/// A message that was handed out.
pub struct HandedOut<'a> {
    /// Its public id.
    pub message_id: String,
    /// Public id of its recipient.
    pub recipient_id: &'a str,
    /// How often it was handed out, this time included.
    pub attempt: u32,
    /// When it was due, in milliseconds.
    pub due_ms: u64,
    /// What came with it, JSON.
    pub metadata: Option<&'a str>,
}

/// Notes that a message was handed out. It is a part of what its sender did, where the metadata says
/// what that was, and linked to the request that took it; else a part of that request. The first time
/// it is as long as the message waited.
pub fn handed_out(message: &HandedOut<'_>) {
    let Some(tracer) = TRACER.get() else { return };
    let (sender, request) = (message.metadata.and_then(in_metadata), current());
    let (parent, link) = match (sender, request) {
        (Some(sender), request) => (sender, request),
        (None, Some(request)) => (request, None),
        (None, None) => return,
    };
    let links = link.map(|request| Link::new(request, Vec::new(), 0));
    let attributes = [
        KeyValue::new("messaging.system", "ekho"),
        KeyValue::new("messaging.message.id", message.message_id.clone()),
        KeyValue::new("ekho.recipient_id", message.recipient_id.to_string()),
        KeyValue::new("ekho.attempt", i64::from(message.attempt)),
    ];
    let now = SystemTime::now();
    let due = SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(message.due_ms);
    let began = match message.attempt {
        1 => due.min(now),
        _ => now,
    };
    let builder = builder(tracer, "deliver", SpanKind::Consumer)
        .with_start_time(began)
        .with_links(links.into_iter().collect())
        .with_attributes(attributes);
    start(tracer, builder, Some(parent)).end();
}

fn builder(tracer: &SdkTracer, name: impl Into<Cow<'static, str>>, kind: SpanKind) -> SpanBuilder {
    tracer.span_builder(name).with_kind(kind)
}

fn start(tracer: &SdkTracer, builder: SpanBuilder, parent: Option<SpanContext>) -> SdkSpan {
    let context = match parent {
        Some(parent) => Context::new().with_remote_span_context(parent),
        None => Context::new(),
    };
    tracer.build_with_context(builder, &context)
}

/// The span that is carried.
fn current() -> Option<SpanContext> {
    parse(carried()?.to_str().ok()?)
}

/// What an SDK wrote of its own span into a message's metadata.
fn in_metadata(metadata: &str) -> Option<SpanContext> {
    #[derive(Deserialize)]
    struct Brought<'a> {
        #[serde(borrow, default)]
        traceparent: Option<Cow<'a, str>>,
    }
    let brought: Brought<'_> = serde_json::from_str(metadata).ok()?;
    parse(&brought.traceparent?)
}

/// A `traceparent` (W3C Trace Context 3.2). A later version may have more behind it.
fn parse(text: &str) -> Option<SpanContext> {
    let mut parts = text.trim().splitn(5, '-');
    let mut part = |length: usize| {
        let part = parts.next()?;
        let is_hex = part
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        (part.len() == length && is_hex).then_some(part)
    };
    let version = part(2)?;
    let trace_id = TraceId::from_hex(part(32)?).ok()?;
    let span_id = SpanId::from_hex(part(16)?).ok()?;
    let flags = u8::from_str_radix(part(2)?, 16).ok()?;
    if version == "ff" || (version == "00" && parts.next().is_some()) {
        return None;
    }
    let flags = TraceFlags::new(flags) & TraceFlags::SAMPLED;
    let context = SpanContext::new(trace_id, span_id, flags, true, TraceState::NONE);
    context.is_valid().then_some(context)
}

fn written(context: &SpanContext) -> String {
    format!(
        "00-{}-{}-{:02x}",
        context.trace_id(),
        context.span_id(),
        context.trace_flags() & TraceFlags::SAMPLED
    )
}

/// Both clocks at one moment. Spans that follow each other are placed by the same reading: two
/// readings differ by whatever comes between the two clocks, and a short span ended before it began.
struct Clocks {
    monotonic: Instant,
    wall: SystemTime,
}

impl Clocks {
    fn read() -> Self {
        Self {
            monotonic: Instant::now(),
            wall: SystemTime::now(),
        }
    }

    /// The wall clock at a moment of the past.
    fn wall(&self, moment: Instant) -> SystemTime {
        let ago = self.monotonic.saturating_duration_since(moment);
        self.wall.checked_sub(ago).unwrap_or(self.wall)
    }
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn moments_keep_their_order_and_distance_on_the_wall_clock() {
        let clocks = Clocks::read();
        let second = std::time::Duration::from_secs(1);
        let Some(earlier) = clocks.monotonic.checked_sub(second) else {
            return;
        };
        let distance = clocks
            .wall(clocks.monotonic)
            .duration_since(clocks.wall(earlier));
        assert_eq!(distance.ok(), Some(second));
        assert_eq!(clocks.wall(clocks.monotonic), clocks.wall);
    }

    #[test]
    fn a_traceparent_is_read_and_written() {
        let read = parse(GOOD).unwrap_or(SpanContext::NONE);
        assert!(read.is_valid() && read.is_sampled() && read.is_remote());
        assert_eq!(written(&read), GOOD);
        let later = "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00-more-of-it";
        assert!(parse(later).is_some_and(|read| !read.is_sampled()));
        for wrong in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn metadata_may_hold_a_traceparent_and_anything_else() {
        let with = format!(r#"{{"a":[1,{{}}],"traceparent":"{GOOD}","tracestate":"x=y"}}"#);
        assert!(in_metadata(&with).is_some());
        for without in [
            "{}",
            "not JSON",
            r#"{"traceparent":7}"#,
            r#"{"traceparent":null}"#,
            r#"{"traceparent":"00-1"}"#,
        ] {
            assert_eq!(in_metadata(without), None, "{without}");
        }
    }

    #[test]
    fn nothing_is_begun_while_nothing_is_traced() {
        assert!(!is_on());
        let header = HeaderValue::from_static(GOOD);
        assert!(Span::of_request("GET /", Some(&header)).is_none());
        assert!(Span::part("ask", SpanKind::Client).is_none());
    }
}
