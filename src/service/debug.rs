//! What operators look into on the node that they ask: its log, its threads, its memory, what runs.
//!
//! A change is written to the audit log first. Where that cannot be done, because there is no leader
//! or a node is of an older release, the node's own log has to do: that is when it is needed most.

use std::time::Duration;

use ekho_raft::NodeStatus;
use ekho_storage::StateMemory;
use ekho_storage::tables::operator::Scope;

use super::operators::Caller;
use super::{Service, ServiceError};
use crate::machine::access::Need;
use crate::machine::command::{Debugging, OperatorRequest};
use crate::metrics::{Memory, RuntimeGauges};
use crate::telemetry::threads::{Sample, ThreadTime};
use crate::telemetry::{FilterError, FilterNow, LogFilter};

/// What takes memory.
pub struct MemoryNow {
    /// The process as the kernel sees it; none where it does not say.
    pub process: Option<Memory>,
    /// The database of the state.
    pub state: StateMemory,
    /// Commands accepted and not yet answered.
    pub waiting_commands: u64,
    /// Long polls and streams.
    pub waiting_requests: u64,
}

/// What runs.
pub struct RuntimeNow {
    /// Since the node was opened.
    pub up: Duration,
    /// What runs tasks.
    pub runtime: RuntimeGauges,
    /// The node's position.
    pub node: NodeStatus,
}

impl Service {
    /// Which log lines this node writes.
    pub fn log_filter(&self, by: &Caller) -> Result<FilterNow, ServiceError> {
        may_debug(by)?;
        Ok(filter()?.now())
    }

    /// Has this node write other log lines for a time; whether the audit log has it.
    pub async fn set_log_filter(
        &self,
        by: &Caller,
        wanted: &str,
        lasting: Duration,
    ) -> Result<(FilterNow, bool), ServiceError> {
        may_debug(by)?;
        let filter = filter()?;
        let is_audited = self
            .audited(
                by,
                Debugging::Log {
                    filter: wanted.to_string(),
                    lasting_ms: lasting.as_millis() as u64,
                },
            )
            .await?;
        let now = filter.set(wanted, lasting).map_err(internal)?;
        tracing::info!(
            filter = wanted,
            seconds = lasting.as_secs(),
            operator_id = by.principal.operator.id,
            "an operator changed the log"
        );
        Ok((now, is_audited))
    }

    /// Has this node write the log lines that it is configured with; whether the audit log has it.
    pub async fn reset_log_filter(&self, by: &Caller) -> Result<(FilterNow, bool), ServiceError> {
        may_debug(by)?;
        let filter = filter()?;
        let what = Debugging::Log {
            filter: String::new(),
            lasting_ms: 0,
        };
        let is_audited = self.audited(by, what).await?;
        Ok((filter.reset().map_err(internal)?, is_audited))
    }

    /// Which threads of this node use the CPU, over a time. Ends early when the node stops.
    pub async fn thread_times(
        &self,
        by: &Caller,
        lasting: Duration,
    ) -> Result<Vec<ThreadTime>, ServiceError> {
        may_debug(by)?;
        let _place = self
            .looks
            .try_acquire()
            .map_err(|_| ServiceError::Overloaded)?;
        let take = || tokio::task::spawn_blocking(Sample::take);
        let before = take().await.map_err(internal)?;
        tokio::select! {
            () = tokio::time::sleep(lasting) => {}
            () = self.draining.cancelled() => {}
        }
        Ok(take().await.map_err(internal)?.since(&before))
    }

    /// What takes memory on this node.
    pub fn memory(&self, by: &Caller) -> Result<MemoryNow, ServiceError> {
        may_debug(by)?;
        Ok(MemoryNow {
            process: Memory::sample(),
            state: self.state.memory_bytes()?,
            waiting_commands: self.node.status().waiting_commands as u64,
            waiting_requests: self.waiters.len() as u64,
        })
    }

    /// What runs on this node. Must be called within a runtime.
    pub fn runtime(&self, by: &Caller) -> Result<RuntimeNow, ServiceError> {
        may_debug(by)?;
        Ok(RuntimeNow {
            up: self.began.elapsed(),
            runtime: RuntimeGauges::current(),
            node: self.node.status(),
        })
    }

    /// Writes to the audit log what is about to be done here; whether that was possible.
    async fn audited(&self, by: &Caller, what: Debugging) -> Result<bool, ServiceError> {
        let node_id = self.node.status().node_id;
        let request = OperatorRequest::NodeDebugged { node_id, what };
        match self.order(by, request).await {
            Ok(_) => Ok(true),
            Err(
                error @ (ServiceError::NoLeader { .. }
                | ServiceError::OutcomeUnknown
                | ServiceError::Overloaded
                | ServiceError::DiskFull
                | ServiceError::FeatureLevel { .. }),
            ) => {
                tracing::warn!(
                    %error,
                    operator_id = by.principal.operator.id,
                    request_id = by.request_id,
                    "an operator looks into this node, which the audit log does not have"
                );
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

/// What concerns a node is for those who look after the cluster.
fn may_debug(by: &Caller) -> Result<(), ServiceError> {
    Ok(by.principal.require(Need::Scope(Scope::Cluster))?)
}

fn filter() -> Result<&'static LogFilter, ServiceError> {
    LogFilter::get().ok_or_else(|| internal(FilterError::Fixed("it was never begun".into())))
}

fn internal(error: impl std::fmt::Display) -> ServiceError {
    ServiceError::Internal(error.to_string())
}
