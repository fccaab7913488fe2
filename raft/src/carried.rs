//! What travels with a question to another node and means nothing here: a trace context, as W3C
//! Trace Context writes it in `traceparent`. It goes as a header beside the question, so that nodes of
//! older releases pass it over.

use http::HeaderValue;

/// The header.
pub(crate) const HEADER: &str = "traceparent";
/// Longest context that is passed on; one of version 00 has 55 bytes.
const MAX_BYTES: usize = 128;

tokio::task_local! {
    static CARRIED: HeaderValue;
}

/// Does `work` with a context that goes along with what it asks other nodes.
pub async fn carrying<F: Future>(context: HeaderValue, work: F) -> F::Output {
    CARRIED.scope(context, work).await
}

/// The context that came with the question that is being answered, or goes with those that are asked.
pub fn carried() -> Option<HeaderValue> {
    CARRIED.try_with(HeaderValue::clone).ok()
}

/// What another node sent, where it can be one.
pub(crate) fn received(header: Option<&HeaderValue>) -> Option<HeaderValue> {
    header.filter(|value| value.len() <= MAX_BYTES).cloned()
}
