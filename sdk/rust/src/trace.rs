//! Trace contexts in a message's metadata: `traceparent`, `tracestate` and `baggage` as W3C headers
//! have them, so that a trace goes on in the agent that receives it.

use serde_json::{Value, json};

use crate::types::{InboxMessage, SendMessage};

const FIELDS: [&str; 3] = ["traceparent", "tracestate", "baggage"];
const MAX_FIELD_BYTES: usize = 8192;

/// The fields of a context, as an OpenTelemetry propagator reads and writes them.
pub type TraceContext = Vec<(String, String)>;

impl InboxMessage {
    /// The context that the message brought; empty where it brought none.
    pub fn trace_context(&self) -> TraceContext {
        let value = |field: &str| {
            Some((
                field.to_owned(),
                self.metadata.get(field)?.as_str()?.to_owned(),
            ))
        };
        FIELDS.iter().filter_map(|field| value(field)).collect()
    }
}

/// Puts a context into a message; what stands there already is left alone.
pub(crate) fn put(message: &mut SendMessage, context: &TraceContext) {
    if context.is_empty() {
        return;
    }
    let metadata = message.metadata.get_or_insert_with(|| json!({}));
    let Value::Object(metadata) = metadata else {
        return;
    };
    if metadata.contains_key("traceparent") {
        return;
    }
    for (field, value) in context {
        if FIELDS.contains(&field.as_str()) && value.len() <= MAX_FIELD_BYTES {
            metadata.insert(field.clone(), Value::from(value.as_str()));
        }
    }
}
