//! Traces and metrics sent to a collector by OTLP: protobuf over HTTP.
//!
//! Bounded in memory: spans that cannot be sent in time are dropped, metrics are what they are at the
//! moment they are sent. What a collector does or does not do never holds a request up.

mod metrics;
mod send;
mod traces;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use opentelemetry::trace::TracerProvider;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider,
};
use prometheus::proto::MetricFamily;
use thiserror::Error;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::send::Client;
use self::traces::Exporter;
use super::trace;
use crate::config;
use crate::metrics::Metrics;

/// Spans that wait to be sent; further ones are dropped.
const SPANS_WAITING_MAX: usize = 8192;
/// Spans sent at once.
const SPANS_AT_ONCE: usize = 512;
/// How long a span waits to be sent with others.
const SPAN_DELAY: Duration = Duration::from_secs(1);
/// Longest time for a request to the collector.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long the last spans and metrics may take at the end.
const LAST: Duration = Duration::from_secs(3);

/// Why nothing can be sent.
#[derive(Debug, Error)]
pub enum OtlpError {
    /// The client of the collector.
    #[error("requests to the collector of EKHO_OTLP_ENDPOINT cannot be made: {0}")]
    Client(#[from] reqwest::Error),
}

/// Which node it is that sends.
pub struct Who {
    /// The cluster's id.
    pub cluster_id: String,
    /// The node's number.
    pub node_id: u64,
}

/// What a node's metrics are at this moment; none where that cannot be said.
pub type Gather = Box<dyn Fn() -> BoxFuture<'static, Option<Vec<MetricFamily>>> + Send + Sync>;

/// Traces and metrics on their way to a collector.
pub struct Otlp {
    provider: SdkTracerProvider,
    stop: CancellationToken,
    metrics: Option<JoinHandle<()>>,
}

impl Otlp {
    /// Begins to trace, and to send metrics. Once in a process, within its runtime.
    pub fn start(
        config: &config::Otlp,
        who: &Who,
        metrics: Arc<Metrics>,
        gather: Gather,
    ) -> Result<Self, OtlpError> {
        let resource = resource(config, who);
        let client = Client::new(config, metrics)?;
        let stop = CancellationToken::new();
        let exporter = Exporter::new(client.sender("traces"), resource.clone(), stop.clone());
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(SPANS_WAITING_MAX)
            .with_max_export_batch_size(SPANS_AT_ONCE)
            .with_scheduled_delay(SPAN_DELAY)
            .build();
        let processor = BatchSpanProcessor::builder(exporter)
            .with_batch_config(batches)
            .build();
        let root = Sampler::TraceIdRatioBased(config.sample_ratio);
        let provider = SdkTracerProvider::builder()
            .with_span_processor(processor)
            .with_sampler(Sampler::ParentBased(Box::new(root)))
            .build();
        trace::install(provider.tracer("ekho"));
        let metrics = config.metrics_interval.map(|interval| {
            let (sender, stop) = (client.sender("metrics"), stop.clone());
            tokio::spawn(metrics::run(sender, resource, interval, gather, stop))
        });
        tracing::info!(
            endpoint = config.endpoint,
            "sending traces and metrics by OTLP"
        );
        Ok(Otlp {
            provider,
            stop,
            metrics,
        })
    }

    /// Sends what is left, spans and metrics at once, for a moment.
    pub async fn shutdown(self) {
        self.stop.cancel();
        tokio::join!(last_metrics(self.metrics), last_spans(self.provider));
    }
}

async fn last_metrics(metrics: Option<JoinHandle<()>>) {
    let Some(mut metrics) = metrics else { return };
    match tokio::time::timeout(LAST, &mut metrics).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "the last metrics were not sent"),
        Err(_) => {
            metrics.abort();
            tracing::warn!("the last metrics were not sent in time");
        }
    }
}

async fn last_spans(provider: SdkTracerProvider) {
    // It waits for a thread of its own.
    let ended = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(LAST)).await;
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the last spans were not sent in time"),
        Err(error) => tracing::error!(%error, "the last spans were not sent"),
    }
}

/// What all that is sent is from.
fn resource(config: &config::Otlp, who: &Who) -> Resource {
    let attributes = [
        ("service.name", config.service_name.as_str()),
        ("service.namespace", who.cluster_id.as_str()),
        ("service.instance.id", &who.node_id.to_string()),
        ("service.version", env!("CARGO_PKG_VERSION")),
    ];
    Resource {
        attributes: attributes
            .iter()
            .map(|(name, value)| pair(name, value))
            .collect(),
        ..Resource::default()
    }
}

/// What all that is sent is made by.
fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "ekho".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        ..InstrumentationScope::default()
    }
}

fn pair(name: &str, value: &str) -> KeyValue {
    KeyValue {
        key: name.into(),
        value: Some(AnyValue {
            value: Some(any_value::Value::StringValue(value.into())),
        }),
        ..KeyValue::default()
    }
}
