//! The client and the adapter against a small relay that checks every signature by itself and
//! misbehaves on request.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod adapter;
mod adapter_faults;
mod calls;
mod faults;
mod relay;
mod stream;
mod tasks;

use std::time::Duration;

use ekho_client::{ClientBuilder, EkhoAgentClient, RetryPolicy};
use relay::Relay;

/// Every wait of a test ends with a failure after this.
const DEADLINE: Duration = Duration::from_secs(20);

/// A client of the relay's first agent that retries fast.
fn client(relay: &Relay) -> ClientBuilder {
    EkhoAgentClient::builder(relay::AGENT, relay::SECRET)
        .relay(relay.url())
        .retry(fast_retry(10))
        .poll_interval(Duration::from_millis(10))
        .heartbeat_interval(Duration::from_millis(20))
}

fn fast_retry(max_rounds: u32) -> RetryPolicy {
    RetryPolicy {
        max_rounds,
        base_delay: Duration::from_millis(1),
        max_delay: Duration::from_millis(5),
        max_retry_after: Duration::from_secs(2),
    }
}

/// Waits until `condition` holds; fails with `what` at the deadline.
async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let poll = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let outcome = tokio::time::timeout(DEADLINE, poll).await;
    assert!(outcome.is_ok(), "not within {DEADLINE:?}: {what}");
}

/// The outcome of `future`; fails with `what` at the deadline.
async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    let outcome = tokio::time::timeout(DEADLINE, future).await;
    outcome.unwrap_or_else(|_| panic!("not within {DEADLINE:?}: {what}"))
}
