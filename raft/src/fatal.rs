//! The one sentence that says why a node had to stop.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::sync::watch;

use crate::error::StartError;

/// Set once, by whichever thread first finds that it cannot go on.
#[derive(Clone)]
pub(crate) struct Fatal(Arc<watch::Sender<Option<Arc<str>>>>);

impl Fatal {
    pub(crate) fn new() -> Self {
        Fatal(Arc::new(watch::Sender::new(None)))
    }

    /// Records the reason, unless there is one already: the first is the cause.
    pub(crate) fn set(&self, sentence: impl Into<String>) {
        let sentence = sentence.into();
        self.0.send_if_modified(|reason| {
            if reason.is_some() {
                return false;
            }
            tracing::error!(reason = %sentence, "the node must stop");
            *reason = Some(sentence.into());
            true
        });
    }

    pub(crate) fn get(&self) -> Option<Arc<str>> {
        self.0.borrow().clone()
    }

    /// Waits for a reason. Never resolves on a healthy node.
    pub(crate) async fn wait(&self) -> Arc<str> {
        let mut reasons = self.0.subscribe();
        loop {
            if let Some(reason) = reasons.borrow_and_update().clone() {
                return reason;
            }
            if reasons.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Starts a named thread whose panic ends the node.
    pub(crate) fn spawn(
        self,
        name: &'static str,
        dir: &Path,
        run: impl FnOnce() + Send + 'static,
    ) -> Result<JoinHandle<()>, StartError> {
        let body = move || {
            if catch_unwind(AssertUnwindSafe(run)).is_err() {
                self.set(format!("thread {name} panicked; its message is above"));
            }
        };
        thread::Builder::new()
            .name(name.to_string())
            .spawn(body)
            .map_err(|error| StartError::io(dir, error))
    }
}
