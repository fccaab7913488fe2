//! Read points: the proof that what this node has applied is no older than anything any client
//! was told.
//!
//! One task asks. Whoever comes while a question is under way waits for the next one, so at any
//! time there is one question in flight and one group waiting.

use std::sync::Arc;

use openraft::async_runtime::WatchReceiver;
use openraft::errors::{LinearizableReadError, RaftError};
use openraft::{Raft, ReadPolicy};
use tokio::sync::{mpsc, oneshot};

use crate::error::ReadError;
use crate::machine::{Applied, StateMachine};
use crate::types::{LogId, TypeConfig};

/// Reads waiting at most; they cost a channel each.
const WAITING_MAX: usize = 64 * 1024;
/// Taken into one question.
const ROUND_MAX: usize = 4096;

type Answer = Result<(), ReadError>;

/// Where readers ask.
pub(crate) struct ReadPoints {
    questions: mpsc::Sender<oneshot::Sender<Answer>>,
}

/// The task's side.
pub(crate) struct Asker {
    questions: mpsc::Receiver<oneshot::Sender<Answer>>,
    raft: Raft<TypeConfig, StateMachine>,
    applied: Arc<Applied>,
    retry_after_ms: u64,
}

impl ReadPoints {
    pub(crate) fn new(
        raft: Raft<TypeConfig, StateMachine>,
        applied: Arc<Applied>,
        retry_after_ms: u64,
    ) -> (Self, Asker) {
        let (sender, questions) = mpsc::channel(WAITING_MAX);
        (
            ReadPoints { questions: sender },
            Asker {
                questions,
                raft,
                applied,
                retry_after_ms,
            },
        )
    }

    pub(crate) async fn take(&self) -> Answer {
        let (reply, answer) = oneshot::channel();
        self.questions
            .send(reply)
            .await
            .map_err(|_| ReadError::Stopped)?;
        answer.await.unwrap_or(Err(ReadError::Stopped))
    }
}

impl Asker {
    /// Runs until nobody can ask any more.
    pub(crate) async fn run(mut self) {
        let mut waiting = Vec::new();
        while self.questions.recv_many(&mut waiting, ROUND_MAX).await > 0 {
            let answer = self.ask().await;
            for reply in waiting.drain(..) {
                // The reader may have gone away.
                let _ = reply.send(answer.clone());
            }
        }
    }

    async fn ask(&self) -> Answer {
        let answered = self.applied.position.lock().applied;
        let linearizer = self
            .raft
            .get_read_linearizer(ReadPolicy::ReadIndex)
            .await
            .map_err(|error| self.refusal(error))?;
        let read_point = linearizer.read_log_id().log_id();
        let alone = {
            let metrics = self.raft.server_metrics();
            let metrics = metrics.borrow_watched();
            metrics.membership_config.nodes().count() == 1
        };
        let answered = answered.filter(|_| alone);
        self.reach(needed(answered, read_point)).await
    }

    /// Waits until `index` is applied.
    async fn reach(&self, index: u64) -> Answer {
        let mut applied = self.applied.index.subscribe();
        applied
            .wait_for(|applied| applied.is_some_and(|applied| applied >= index))
            .await
            .map(|_| ())
            .map_err(|_| ReadError::Stopped)
    }

    fn refusal(
        &self,
        error: RaftError<TypeConfig, LinearizableReadError<TypeConfig>>,
    ) -> ReadError {
        let leader = match error {
            RaftError::APIError(LinearizableReadError::ForwardToLeader(forward)) => {
                forward.leader_id
            }
            RaftError::APIError(_) => None,
            RaftError::Fatal(_) => return ReadError::Stopped,
        };
        ReadError::NoLeader {
            leader,
            retry_after_ms: self.retry_after_ms,
        }
    }
}

/// What has to be applied before a read. `answered` is what this node had applied before it
/// asked, if nobody else keeps a copy of the state.
///
/// openraft names the last committed entry. A node that is alone needs less: nobody was answered,
/// or shown, anything it has not applied. What it applied in this leadership is in `answered`;
/// what was answered in earlier ones lies below this leadership's first entry. So once an entry
/// of this leadership is applied there is nothing to wait for, and reads go on while applying is
/// held up by a full disk. With followers this would be wrong: one of them may have applied, and
/// shown, more than the leader.
fn needed(answered: Option<LogId>, read_point: &LogId) -> u64 {
    match answered {
        Some(answered) if answered.leader_id == read_point.leader_id => answered.index,
        _ => read_point.index,
    }
}

#[cfg(test)]
mod tests {
    use super::needed;
    use crate::types::log_id;

    #[test]
    fn a_read_waits_only_for_what_may_have_been_answered() {
        let read_point = log_id(3, 1, 20);
        assert_eq!(needed(None, &read_point), 20);
        // Applied up to the leadership before: its unanswered rest must come first.
        assert_eq!(needed(Some(log_id(2, 2, 15)), &read_point), 20);
        // The first entry of this leadership is applied, so all before it is.
        assert_eq!(needed(Some(log_id(3, 1, 16)), &read_point), 16);
    }
}
