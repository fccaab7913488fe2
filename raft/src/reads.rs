//! Read points: the proof that what this node has applied is no older than anything any client
//! was told.
//!
//! One task asks. Whoever comes while a question is under way waits for the next one, so at any
//! time there is one question in flight and one group waiting.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ekho_storage::breakage::{Break, is_broken};
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{LinearizableReadError, RaftError};
use openraft::{Raft, ReadPolicy};
use tokio::sync::{mpsc, oneshot};

use crate::config::NodeConfig;
use crate::error::ReadError;
use crate::leader::PAUSE;
use crate::machine::{Applied, StateMachine};
use crate::network::Transport;
use crate::types::{LogId, NodeId, TypeConfig};

/// Reads waiting at most; they cost a channel each.
const WAITING_MAX: usize = 64 * 1024;
/// How long a question may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Taken into one question.
const ROUND_MAX: usize = 4096;

/// What a read needs, and who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ReadPoint {
    /// Up to where it must have applied.
    index: u64,
    /// The term in which this node led when it said so; none where another node said it.
    led_in: Option<u64>,
}

type Answer = Result<ReadPoint, ReadError>;

/// Where readers ask.
pub(crate) struct ReadPoints {
    questions: mpsc::Sender<oneshot::Sender<Answer>>,
    applied: Arc<Applied>,
}

/// The task's side.
pub(crate) struct Asker {
    questions: mpsc::Receiver<oneshot::Sender<Answer>>,
    raft: Raft<TypeConfig, StateMachine>,
    node_id: NodeId,
    applied: Arc<Applied>,
    transport: Arc<dyn Transport>,
    retry_after_ms: u64,
    patience: Duration,
    /// Since when there has been no leader, as far as anybody asked.
    missed_since: Option<Instant>,
}

impl ReadPoints {
    pub(crate) fn new(
        raft: Raft<TypeConfig, StateMachine>,
        applied: Arc<Applied>,
        config: &NodeConfig,
    ) -> (Self, Asker) {
        let (sender, questions) = mpsc::channel(WAITING_MAX);
        let asker = Asker {
            questions,
            raft,
            node_id: config.node_id,
            applied: applied.clone(),
            transport: config.transport.clone(),
            retry_after_ms: config.timing.retry_after_ms(),
            patience: config.timing.patience,
            missed_since: None,
        };
        let points = ReadPoints {
            questions: sender,
            applied,
        };
        (points, asker)
    }

    /// Waits until this node has applied what a read must see.
    pub(crate) async fn take(&self) -> Result<(), ReadError> {
        let index = self.index().await?;
        self.reach(index).await;
        Ok(())
    }

    /// Up to where a read that begins now must have applied, on whichever node it is made.
    pub(crate) async fn index(&self) -> Result<u64, ReadError> {
        self.ask().await.map(|point| point.index)
    }

    /// The same, from this node as the leader of `term`, which it still was after this was asked;
    /// none where it is not.
    pub(crate) async fn index_as_leader(&self, term: u64) -> Result<Option<u64>, ReadError> {
        let point = self.ask().await?;
        Ok((point.led_in == Some(term)).then_some(point.index))
    }

    async fn ask(&self) -> Answer {
        let (reply, answer) = oneshot::channel();
        self.questions
            .send(reply)
            .await
            .map_err(|_| ReadError::Stopped)?;
        answer.await.unwrap_or(Err(ReadError::Stopped))
    }

    /// Waits until `index` is applied.
    pub(crate) async fn reach(&self, index: u64) {
        if !is_broken(Break::StaleRead) {
            self.applied.reach(index).await;
        }
    }
}

impl Asker {
    /// Runs until nobody can ask any more.
    pub(crate) async fn run(mut self) {
        let mut waiting = Vec::new();
        while self.questions.recv_many(&mut waiting, ROUND_MAX).await > 0 {
            let answer = self.ask_patiently().await;
            for reply in waiting.drain(..) {
                // The reader may have gone away.
                let _ = reply.send(answer.clone());
            }
        }
    }

    /// Waits a little for a leader to be elected. Where there has been none for longer, readers
    /// hear so at once.
    async fn ask_patiently(&mut self) -> Answer {
        loop {
            let answer = self.ask().await;
            if !matches!(answer, Err(ReadError::NoLeader { .. })) {
                self.missed_since = None;
                return answer;
            }
            let since = *self.missed_since.get_or_insert_with(Instant::now);
            if since.elapsed() >= self.patience {
                return answer;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn ask(&self) -> Answer {
        let (leader, peer) = {
            let metrics = self.raft.server_metrics();
            let metrics = metrics.borrow_watched();
            let leader = metrics.current_leader;
            let membership = metrics.membership_config.membership();
            let peer = leader.and_then(|leader| membership.get_node(&leader).cloned());
            (leader, peer.unwrap_or_default())
        };
        match leader {
            Some(leader) if leader != self.node_id => {
                let index = self.transport.read_index(leader, &peer).await;
                let index = index.map_err(|error| {
                    tracing::debug!(leader, %error, "the leader gave no read point");
                    self.no_leader(Some(leader))
                })?;
                Ok(ReadPoint {
                    index,
                    led_in: None,
                })
            }
            _ => self.ask_here().await,
        }
    }

    /// Asks as the leader, who has to make sure that it still is.
    async fn ask_here(&self) -> Answer {
        let answered = self.applied.position.lock().applied;
        let asked = self.raft.get_read_linearizer(ReadPolicy::ReadIndex);
        // Without a majority nobody answers.
        let linearizer = tokio::time::timeout(PATIENCE, asked)
            .await
            .map_err(|_| self.no_leader(None))?
            .map_err(|error| self.refusal(error))?;
        let read_point = linearizer.read_log_id().log_id();
        let alone = {
            let metrics = self.raft.server_metrics();
            let metrics = metrics.borrow_watched();
            metrics.membership_config.nodes().count() == 1
        };
        let answered = answered.filter(|_| alone);
        // openraft names an entry of this leadership: its first one, or one that followed it.
        Ok(ReadPoint {
            index: needed(answered, read_point),
            led_in: Some(read_point.leader_id.term),
        })
    }

    fn refusal(
        &self,
        error: RaftError<TypeConfig, LinearizableReadError<TypeConfig>>,
    ) -> ReadError {
        match error {
            RaftError::APIError(LinearizableReadError::ForwardToLeader(forward)) => {
                self.no_leader(forward.leader_id)
            }
            RaftError::APIError(_) => self.no_leader(None),
            RaftError::Fatal(_) => ReadError::Stopped,
        }
    }

    fn no_leader(&self, leader: Option<NodeId>) -> ReadError {
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
