//! Traces and metrics as a collector gets them: a real one, which decodes what OTLP's own types are.

use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use parking_lot::Mutex;
use prost::Message;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::rig::{Cluster, at};
use crate::support::{DEADLINE, Http, Relay, direct, free_port, poll_until};

/// What a collector got.
#[derive(Default)]
struct Got {
    /// The node that sent each, and it.
    spans: Vec<(String, Span)>,
    /// The node that sent each, its name, and how many points it has.
    metrics: Vec<(String, String, usize)>,
    /// Of every request.
    headers: Vec<HeaderMap>,
    /// So many requests with spans are still refused.
    refused: usize,
}

type Shared = Arc<Mutex<Got>>;

struct Collector {
    url: String,
    got: Shared,
}

impl Collector {
    async fn start() -> Self {
        let got = Shared::default();
        let router = Router::new()
            .route("/v1/traces", post(traces))
            .route("/v1/metrics", post(metrics))
            .with_state(got.clone());
        let url = serve(router).await;
        Collector { url, got }
    }

    /// The spans of a trace, with the nodes that sent them.
    fn of_trace(&self, trace_id: &str) -> Vec<(String, Span)> {
        let wanted = hex::decode(trace_id).unwrap();
        let got = self.got.lock();
        let spans = got.spans.iter().filter(|(_, span)| span.trace_id == wanted);
        spans.cloned().collect()
    }
}

/// Serves on a free port until the test ends.
async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

async fn traces(State(got): State<Shared>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let request = ExportTraceServiceRequest::decode(body).expect("OTLP");
    let mut got = got.lock();
    if got.refused > 0 {
        got.refused -= 1;
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    got.headers.push(headers);
    for resource in request.resource_spans {
        let node = instance(resource.resource.as_ref());
        for scope in resource.scope_spans {
            got.spans
                .extend(scope.spans.into_iter().map(|span| (node.clone(), span)));
        }
    }
    StatusCode::OK
}

async fn metrics(State(got): State<Shared>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let request = ExportMetricsServiceRequest::decode(body).expect("OTLP");
    let mut got = got.lock();
    got.headers.push(headers);
    for resource in request.resource_metrics {
        let node = instance(resource.resource.as_ref());
        for metric in resource
            .scope_metrics
            .into_iter()
            .flat_map(|scope| scope.metrics)
        {
            let points = match metric.data.expect("data") {
                Data::Gauge(gauge) => gauge.data_points.len(),
                Data::Sum(sum) => sum.data_points.len(),
                Data::Histogram(histogram) => histogram.data_points.len(),
                other => panic!("{other:?}"),
            };
            got.metrics.push((node.clone(), metric.name, points));
        }
    }
    StatusCode::OK
}

fn text(attributes: &[KeyValue], name: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == name)?;
    match found.value.as_ref()?.value.as_ref()? {
        any_value::Value::StringValue(text) => Some(text.clone()),
        any_value::Value::IntValue(number) => Some(number.to_string()),
        other => panic!("{other:?}"),
    }
}

fn instance(resource: Option<&Resource>) -> String {
    let attributes = &resource.expect("a resource").attributes;
    assert_eq!(text(attributes, "service.name").as_deref(), Some("ekho"));
    text(attributes, "service.instance.id").expect("which node it is")
}

fn named<'a>(spans: &'a [(String, Span)], name: &str) -> Vec<&'a (String, Span)> {
    spans.iter().filter(|(_, span)| span.name == name).collect()
}

/// A message whose sender's span is this one, as SDKs write it.
fn traced(recipient: &str, traceparent: &str) -> Value {
    let mut message = direct(recipient, "traced");
    message["metadata"] = json!({ "traceparent": traceparent, "other": [1, 2] });
    message
}

/// Sends within a trace, which it returns.
async fn send_traced(relay: &Relay) -> &'static str {
    let trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
    let traceparent = format!("00-{trace_id}-00f067aa0ba902b7-01");
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    sender.send(&traced(&recipient.id, &traceparent)).await;
    trace_id
}

#[tokio::test]
async fn a_send_through_a_follower_is_one_trace_to_its_delivery() {
    let collector = Collector::start().await;
    let cluster = Cluster::three_of(&[
        ("EKHO_OTLP_ENDPOINT", &collector.url),
        ("EKHO_OTLP_HEADERS", "x-key=a%20secret"),
        ("EKHO_OTLP_METRICS_SECONDS", "1"),
    ])
    .await;
    let operator = cluster.operator(0).await;
    let leader = cluster.leader(&operator).await;
    let (asked, taking) = ((leader + 1) % 3, (leader + 2) % 3);
    let number = |place: usize| (place + 1).to_string();
    let [sender, recipient] = cluster.nodes[0].agents(["sender", "recipient"]).await;
    let (trace_id, sender_span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let traceparent = format!("00-{trace_id}-{sender_span}-01");
    let body = traced(&recipient.id, &traceparent).to_string();
    let headers = [("traceparent", traceparent.as_str())];
    at(&sender, &cluster.nodes[asked])
        .call_with("POST", "/v1/messages", body, &headers)
        .await
        .ok();
    let received = at(&recipient, &cluster.nodes[taking]).receive().await;
    assert_eq!(received[0]["metadata"]["traceparent"], traceparent);

    let spans = poll_until(DEADLINE, "the spans of the trace", async || {
        let spans = collector.of_trace(trace_id);
        let there = |name: &str| !named(&spans, name).is_empty();
        (there("deliver") && there("raft.apply") && there("POST /v1/messages")).then_some(spans)
    })
    .await;
    let one = |name: &str, node: usize, parent: &[u8]| -> Span {
        let found = named(&spans, name);
        let found = found.iter().find(|(_, span)| span.parent_span_id == parent);
        let (sent_by, span) = found.unwrap_or_else(|| panic!("no {name} below it: {spans:#?}"));
        assert_eq!(*sent_by, number(node), "{name}");
        assert!(
            span.end_time_unix_nano >= span.start_time_unix_nano,
            "{name}"
        );
        span.clone()
    };
    let root = hex::decode(sender_span).unwrap();
    let request = one("POST /v1/messages", asked, &root);
    assert_eq!(
        text(&request.attributes, "http.response.status_code").as_deref(),
        Some("200")
    );
    let send = one("send", asked, &root);
    let ask = one("leader.ask", asked, &send.span_id);
    let answer = one("leader.answer", leader, &ask.span_id);
    assert_eq!(
        text(&answer.attributes, "ekho.question").as_deref(),
        Some("signed")
    );
    assert!(text(&answer.attributes, "ekho.log_index").is_some());
    let commit = one("raft.commit", leader, &answer.span_id);
    let apply = one("raft.apply", leader, &answer.span_id);
    assert_eq!(commit.end_time_unix_nano, apply.start_time_unix_nano);
    let deliver = one("deliver", taking, &root);
    assert_eq!(
        text(&deliver.attributes, "messaging.message.id").as_deref(),
        received[0]["message_id"].as_str()
    );
    // The request that took it is a trace of its own, which the delivery is linked to.
    let link = &deliver.links[0];
    poll_until(DEADLINE, "the trace of the poll", async || {
        let spans = collector.of_trace(&hex::encode(&link.trace_id));
        let polls = named(&spans, "GET /v1/inbox");
        let poll = polls
            .iter()
            .find(|(_, span)| span.span_id == link.span_id)?;
        assert_eq!(poll.0, number(taking));
        Some(())
    })
    .await;

    poll_until(DEADLINE, "metrics of every node", async || {
        let got = collector.got.lock();
        let has = |node: &str, name: &str| {
            let mut metrics = got.metrics.iter();
            metrics.any(|(by, metric, points)| by == node && metric == name && *points > 0)
        };
        let all = ["1", "2", "3"].iter().all(|node| {
            has(node, "ekho_up")
                && has(node, "ekho_http_request_seconds")
                && has(node, "ekho_errors_total")
        });
        all.then_some(())
    })
    .await;
    let got = collector.got.lock();
    assert!(
        got.headers
            .iter()
            .all(|headers| headers["x-key"] == "a secret")
    );
}

#[tokio::test]
async fn both_signals_have_the_headers_of_the_relay_and_no_others() {
    let collector = Collector::start().await;
    let relay = Relay::builder()
        .env("EKHO_OTLP_ENDPOINT", &collector.url)
        .env("EKHO_OTLP_HEADERS", "x-key=ours")
        .env("EKHO_OTLP_METRICS_SECONDS", "1")
        .env("OTEL_EXPORTER_OTLP_HEADERS", "x-key=theirs,x-more=1")
        .env("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "x-key=theirs,x-more=2")
        .env(
            "OTEL_EXPORTER_OTLP_METRICS_HEADERS",
            "x-key=theirs,x-more=3",
        )
        .start()
        .await;
    relay.operator().await;
    poll_until(DEADLINE, "spans and metrics", async || {
        let got = collector.got.lock();
        (!got.spans.is_empty() && !got.metrics.is_empty()).then_some(())
    })
    .await;
    for headers in &collector.got.lock().headers {
        assert_eq!(headers["x-key"], "ours");
        assert_eq!(headers["content-type"], "application/x-protobuf");
        assert!(!headers.contains_key("x-more"), "{headers:?}");
    }
}

#[tokio::test]
async fn what_the_caller_does_not_sample_is_not_sent() {
    let collector = Collector::start().await;
    let relay = Relay::builder()
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url)
        .env("EKHO_OTLP_SAMPLE_RATIO", "0")
        .start()
        .await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    let (kept, dropped) = (
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "5bf92f3577b34da6a3ce929d0e0e4736",
    );
    for (trace_id, flags) in [(dropped, "00"), (kept, "01")] {
        let traceparent = format!("00-{trace_id}-00f067aa0ba902b7-{flags}");
        sender.send(&traced(&recipient.id, &traceparent)).await;
        assert_eq!(recipient.receive().await.len(), 1);
    }
    poll_until(DEADLINE, "the trace that is kept", async || {
        let spans = collector.of_trace(kept);
        let there = |name: &str| !named(&spans, name).is_empty();
        (there("deliver") && there("raft.apply")).then_some(())
    })
    .await;
    assert!(collector.of_trace(dropped).is_empty());
    let got = collector.got.lock();
    // Nothing that began here: requests without a context.
    assert!(
        got.spans
            .iter()
            .all(|(_, span)| hex::encode(&span.trace_id) == kept)
    );
}

#[tokio::test]
async fn a_collector_that_is_not_there_holds_nothing_up() {
    let nobody = format!("http://127.0.0.1:{}", free_port());
    let mut relay = Relay::builder()
        .env("EKHO_OTLP_ENDPOINT", &nobody)
        .env("EKHO_OTLP_METRICS_SECONDS", "1")
        .start()
        .await;
    let [sender, recipient] = relay.agents(["sender", "recipient"]).await;
    sender.send(&direct(&recipient.id, "all the same")).await;
    assert_eq!(recipient.receive().await.len(), 1);
    for signal in ["traces", "metrics"] {
        let series = format!("ekho_otlp_exports_total{{result=\"failed\",signal=\"{signal}\"}}");
        poll_until(DEADLINE, &series, async || {
            (relay.metric(&series).await > Some(1.0)).then_some(())
        })
        .await;
    }
    for signal in ["traces", "metrics"] {
        let line = format!("the collector of EKHO_OTLP_ENDPOINT takes no {signal}");
        let said = relay.log().matches(&line).count();
        assert_eq!(said, 1, "{}", relay.log());
    }
    relay.stop().await;
}

#[tokio::test]
async fn spans_that_a_busy_collector_refuses_are_sent_again() {
    let collector = Collector::start().await;
    collector.got.lock().refused = 2;
    let relay = Relay::builder()
        .env("EKHO_OTLP_ENDPOINT", &collector.url)
        .env("EKHO_OTLP_SAMPLE_RATIO", "0")
        .start()
        .await;
    let trace_id = send_traced(&relay).await;
    poll_until(DEADLINE, "the spans", async || {
        let spans = collector.of_trace(trace_id);
        (!named(&spans, "send").is_empty()).then_some(())
    })
    .await;
    let series = "ekho_otlp_exports_total{result=\"failed\",signal=\"traces\"}";
    assert_eq!(relay.metric(series).await, Some(2.0));
}

#[tokio::test]
async fn a_signal_that_is_refused_hides_nothing_of_the_other() {
    async fn refusing(State(taken): State<Arc<AtomicBool>>) -> StatusCode {
        match taken.load(Ordering::Relaxed) {
            true => StatusCode::OK,
            false => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
    let taken = Arc::new(AtomicBool::new(false));
    let router = Router::new()
        .route("/v1/traces", post(refusing))
        .route("/v1/metrics", post(|| async { StatusCode::NOT_FOUND }))
        .with_state(Arc::clone(&taken));
    let url = serve(router).await;
    let relay = Relay::builder()
        .env("EKHO_OTLP_ENDPOINT", &url)
        .env("EKHO_OTLP_METRICS_SECONDS", "1")
        .start()
        .await;
    let operator = relay.operator().await;
    // Requests make spans, as long as it takes.
    let counted = async |signal: &str, result: &str, least: f64| {
        let series = format!("ekho_otlp_exports_total{{result=\"{result}\",signal=\"{signal}\"}}");
        poll_until(DEADLINE, &series, async || {
            operator.get("/v1/operator/agents").await.ok();
            (relay.metric(&series).await >= Some(least)).then_some(())
        })
        .await;
    };
    counted("traces", "failed", 1.0).await;
    counted("metrics", "failed", 2.0).await;
    taken.store(true, Ordering::Relaxed);
    counted("traces", "taken", 2.0).await;
    counted("metrics", "failed", 4.0).await;
    let log = relay.log();
    for (line, times) in [
        ("takes no traces", 1),
        ("takes traces again", 1),
        ("takes no metrics", 1),
        ("takes metrics again", 0),
    ] {
        assert_eq!(log.matches(line).count(), times, "{line}: {log}");
    }
}

#[tokio::test]
async fn methods_that_nobody_knows_have_one_name() {
    let collector = Collector::start().await;
    let relay = Relay::builder()
        .env("EKHO_OTLP_ENDPOINT", &collector.url)
        .start()
        .await;
    let http = Http::new();
    let url = format!("{}/v1/inbox", relay.url());
    for method in ["BREW", "MADE-UP-BY-A-CLIENT-AND-LONGER-THAN-ANY"] {
        let answer = http.send(method, &url, &[], Bytes::new()).await;
        assert_eq!(answer.status, 405);
    }
    let spans = poll_until(DEADLINE, "two spans", async || {
        let spans = collector.got.lock().spans.clone();
        let others: Vec<Span> = spans
            .into_iter()
            .map(|(_, span)| span)
            .filter(|span| {
                text(&span.attributes, "http.request.method").as_deref() == Some("_OTHER")
            })
            .collect();
        (others.len() == 2).then_some(others)
    })
    .await;
    for (span, original) in spans
        .iter()
        .zip(["BREW", "MADE-UP-BY-A-CLIENT-AND-LONGER-T"])
    {
        assert_eq!(span.name, "HTTP /v1/inbox");
        let shown = text(&span.attributes, "http.request.method_original");
        assert_eq!(shown.as_deref(), Some(original));
    }
}

#[tokio::test]
async fn what_is_left_is_sent_at_the_end() {
    let collector = Collector::start().await;
    let mut relay = Relay::builder()
        .env("EKHO_OTLP_ENDPOINT", &collector.url)
        .env("EKHO_OTLP_METRICS_SECONDS", "3600")
        .start()
        .await;
    let trace_id = send_traced(&relay).await;
    assert!(collector.got.lock().metrics.is_empty());
    relay.stop().await;
    assert!(!named(&collector.of_trace(trace_id), "send").is_empty());
    let got = collector.got.lock();
    assert!(got.metrics.iter().any(|(_, name, _)| name == "ekho_up"));
}

#[tokio::test]
async fn a_collector_that_says_nothing_holds_the_end_up_for_a_moment_only() {
    async fn silent(State(asked): State<Arc<AtomicBool>>) -> StatusCode {
        asked.store(true, Ordering::Relaxed);
        std::future::pending().await
    }
    let asked = Arc::new(AtomicBool::new(false));
    let router = Router::new()
        .route("/v1/metrics", post(silent))
        .with_state(Arc::clone(&asked));
    let url = serve(router).await;
    let mut relay = Relay::builder()
        .env("EKHO_OTLP_ENDPOINT", &url)
        .env("EKHO_OTLP_METRICS_SECONDS", "3600")
        .start()
        .await;
    relay.stop().await;
    assert!(asked.swap(false, Ordering::Relaxed));
    let log = relay.log();
    let late = log.find("the last metrics were not sent in time");
    let stopped = log.find("\"stopped\"");
    assert!(late.is_some() && late < stopped, "{log}");

    // Whoever cannot wait even for that says so once more.
    relay.boot().await;
    relay.signal(Signal::TERM);
    poll_until(DEADLINE, "the last metrics", async || {
        asked.load(Ordering::Relaxed).then_some(())
    })
    .await;
    relay.signal(Signal::TERM);
    let ended = relay.wait_exit().await;
    assert_eq!(ended.signal(), Some(9), "{ended}: {}", relay.log());
}
