//! Spans as OTLP has them, sent for the thread that collects them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ekho_client::Backoff;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use prost::Message;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::send::{Refused, Sender};
use super::{TIMEOUT, scope};

/// Before the same spans are sent again, at first and at most.
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// Sends spans.
#[derive(Debug)]
pub(super) struct Exporter {
    sender: Arc<Sender>,
    resource: Resource,
    /// Where requests run: the thread that collects spans has no runtime.
    runtime: Handle,
    /// At the end nothing waits to be sent again.
    stop: CancellationToken,
}

impl Exporter {
    /// Must be made within the runtime that it uses.
    pub fn new(sender: Sender, resource: Resource, stop: CancellationToken) -> Self {
        Exporter {
            sender: Arc::new(sender),
            resource,
            runtime: Handle::current(),
            stop,
        }
    }
}

impl SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let body = Bytes::from(written(batch, self.resource.clone()).encode_to_vec());
        let (sender, stop) = (Arc::clone(&self.sender), self.stop.clone());
        let sent = async move { send(&sender, body, &stop).await };
        let failed = |why: String| Err(OTelSdkError::InternalFailure(why));
        match self.runtime.spawn(sent).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(refused)) => failed(refused.why),
            Err(error) => failed(error.to_string()),
        }
    }
}

/// Sends spans, again where the collector may take them a moment later. Meanwhile others wait, and are
/// dropped where they are too many.
async fn send(sender: &Sender, body: Bytes, stop: &CancellationToken) -> Result<(), Refused> {
    let began = Instant::now();
    let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MAX);
    loop {
        let is_last = stop.is_cancelled();
        let Err(refused) = sender.send(body.clone()).await else {
            return Ok(());
        };
        let Some(least) = refused.again_after else {
            return Err(refused);
        };
        let delay = backoff.next_delay(Some(least));
        if is_last || began.elapsed().saturating_add(delay) > TIMEOUT {
            return Err(refused);
        }
        // The end comes at once, and with it the last time.
        stop.run_until_cancelled(tokio::time::sleep(delay)).await;
    }
}

/// All spans are begun by one tracer, so they have one scope.
fn written(batch: Vec<SpanData>, resource: Resource) -> ExportTraceServiceRequest {
    let scope_spans = ScopeSpans {
        scope: Some(scope()),
        spans: batch.into_iter().map(Into::into).collect(),
        ..ScopeSpans::default()
    };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource),
            scope_spans: vec![scope_spans],
            ..ResourceSpans::default()
        }],
    }
}
