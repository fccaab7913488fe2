//! Runs an agent on a client: takes messages by long poll, hands them to the program's hooks, acks
//! or nacks what comes of it, sends heartbeats, and obeys operators' controls.
//!
//! - `hooks`: what the program writes.
//! - `handle`: what the hooks and the program may ask of a running agent.
//! - `shared`: the state that the loops share.
//! - `poll`, `heartbeat`: the two loops.
//! - `lanes`: order within a conversation; `control`: what the listed controls amount to.

mod control;
mod handle;
mod heartbeat;
mod hooks;
mod lanes;
mod poll;
mod shared;
mod work;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

pub use handle::{ActionOutcome, AdapterStatus, AgentHandle};
pub use hooks::{AgentHooks, HandlerError};

use crate::client::EkhoAgentClient;
use crate::types::NackItem;
use shared::{Options, Phase, Shared};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Reason of nacks for messages that a stopping adapter hands back.
const REASON_STOPPED: &str = "the agent stopped";
/// Handed back messages may go to the next process at once.
const RELEASE_DELAY_SECONDS: u64 = 1;
/// How long ended handlers may take to clean up after themselves.
const ABORT_GRACE: Duration = Duration::from_secs(1);
/// The relay takes a bounded list; what is handed back goes in steps of this many.
const RELEASE_STEP: usize = 100;

/// Settings of an adapter; see [`EkhoAgentAdapter::builder`].
#[derive(Debug)]
#[must_use]
pub struct AdapterBuilder<H> {
    client: EkhoAgentClient,
    hooks: H,
    options: Options,
}

impl<H: AgentHooks> AdapterBuilder<H> {
    /// How many messages may be in work at once, 1 to 100. Default: 8. Messages of one conversation
    /// are worked on one after the other in any case; 1 keeps the order of the whole inbox.
    pub fn concurrency(mut self, messages: usize) -> Self {
        self.options.concurrency = messages.clamp(1, 100);
        self
    }

    /// How long a poll is held open by the relay, 0 to 60 s. Default: 25.
    pub fn wait_seconds(mut self, seconds: u32) -> Self {
        self.options.wait_seconds = seconds.min(60);
        self
    }

    /// A handler that takes longer is given up and its message nacked. Default: one hour.
    pub fn handler_timeout(mut self, timeout: Duration) -> Self {
        self.options.handler_timeout = timeout;
        self
    }

    /// How often a pending approval is looked up. Default: 1.5 s.
    pub fn approval_poll_interval(mut self, interval: Duration) -> Self {
        self.options.approval_poll_interval = interval;
        self
    }

    /// Starts the loops on the current tokio runtime.
    ///
    /// Panics outside of a tokio runtime, as `tokio::spawn` does.
    pub fn start(self) -> EkhoAgentAdapter<H> {
        let shared = Arc::new(Shared::new(self.client, self.hooks, self.options));
        let loops = vec![
            tokio::spawn(poll::run(Arc::clone(&shared))),
            tokio::spawn(heartbeat::run(Arc::clone(&shared))),
        ];
        EkhoAgentAdapter {
            handle: AgentHandle::new(shared),
            loops,
        }
    }
}

/// A running agent. Dereferences to its [`AgentHandle`]. Dropping it ends the loops and the
/// handlers where they stand; [`EkhoAgentAdapter::stop`] lets them finish.
#[derive(Debug)]
pub struct EkhoAgentAdapter<H: AgentHooks> {
    handle: AgentHandle<H>,
    loops: Vec<JoinHandle<()>>,
}

/// How a stop went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct StopReport {
    /// Messages whose handlers did not finish in time. They were handed back to the relay, and will
    /// be delivered again.
    pub abandoned_message_ids: Vec<String>,
}

impl<H: AgentHooks> EkhoAgentAdapter<H> {
    /// An adapter of `client` that calls `hooks`.
    pub fn builder(client: EkhoAgentClient, hooks: H) -> AdapterBuilder<H> {
        AdapterBuilder {
            client,
            hooks,
            options: Options::default(),
        }
    }

    /// A handle that can be kept and cloned beside the adapter.
    pub fn handle(&self) -> AgentHandle<H> {
        self.handle.clone()
    }

    /// Takes no more messages, lets running handlers finish for at most `deadline`, and hands back
    /// to the relay what was not finished.
    pub async fn stop(mut self, deadline: Duration) -> StopReport {
        let until = Instant::now() + deadline;
        let shared = self.handle.shared();
        shared.set_phase(Phase::Draining);
        for mut running in self.loops.drain(..) {
            // A loop ends by itself on the change of phase, unless a hook keeps it.
            if tokio::time::timeout_at(until, &mut running).await.is_err() {
                running.abort();
            }
        }
        let finished = tokio::time::timeout_at(until, shared.workers_done()).await;
        if finished.is_err() {
            shared.abort_workers();
            // A handler that blocks its thread cannot be ended; the stop does not wait for it.
            let _ = tokio::time::timeout(ABORT_GRACE, shared.workers_done()).await;
        }
        let abandoned_message_ids = shared.lanes().take_all();
        shared.set_phase(Phase::Closed);
        for step in abandoned_message_ids.chunks(RELEASE_STEP) {
            let nacks = step
                .iter()
                .map(|message_id| NackItem {
                    message_id: message_id.clone(),
                    delay_seconds: Some(RELEASE_DELAY_SECONDS),
                    reason: Some(REASON_STOPPED.to_owned()),
                })
                .collect();
            // Without it they come again after the delivery timeout: worth one short try.
            let nack = shared.client.nack_messages(nacks);
            match tokio::time::timeout(Duration::from_secs(5), nack).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::warn!(%error, "messages were not handed back"),
                Err(_) => tracing::warn!("messages were not handed back in time"),
            }
        }
        StopReport {
            abandoned_message_ids,
        }
    }
}

impl<H: AgentHooks> Deref for EkhoAgentAdapter<H> {
    type Target = AgentHandle<H>;

    fn deref(&self) -> &Self::Target {
        &self.handle
    }
}

impl<H: AgentHooks> Drop for EkhoAgentAdapter<H> {
    fn drop(&mut self) {
        for running in &self.loops {
            running.abort();
        }
        let shared = self.handle.shared();
        shared.set_phase(Phase::Closed);
        shared.abort_workers();
    }
}
