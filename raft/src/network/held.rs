//! A commit goes out with the next entry where one is about to follow.
//!
//! openraft tells each follower of a commit in an append of its own when there is no entry to send
//! with it. Under load the next entry follows as soon as one before it is applied, so that every
//! second append would say nothing else: each costs both nodes as much as a small entry.

use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use tokio::time::{Instant, timeout_at};

use super::Append;
use crate::proposer::Upcoming;

/// A follower hears of a commit about this much later at most: timers count whole milliseconds.
const HELD_MAX: Duration = Duration::from_millis(1);

/// The same appends, without those that a later one makes needless.
///
/// Who follows the answers hears of the later append only; an answer to it answers all before it.
pub(super) fn held(
    appends: impl Stream<Item = Append> + Send + Unpin + 'static,
    upcoming: Upcoming,
) -> impl Stream<Item = Append> + Send + Unpin + 'static {
    let next = move |appends: Option<_>| {
        let upcoming = upcoming.clone();
        async move {
            let mut appends = appends?;
            let mut append: Append = StreamExt::next(&mut appends).await?;
            let until = Instant::now() + HELD_MAX;
            while append.entries.is_empty() && upcoming.is_any() {
                match timeout_at(until, StreamExt::next(&mut appends)).await {
                    Ok(Some(later)) => append = later,
                    Ok(None) => return Some((append, None)),
                    Err(_) => break,
                }
            }
            Some((append, Some(appends)))
        }
    };
    Box::pin(stream::unfold(Some(appends), next))
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::channel::mpsc;
    use futures::poll;
    use openraft::EntryPayload;
    use tokio::time::timeout;

    use super::*;
    use crate::types::{Entry, LeaderId, Vote, log_id};

    /// Longer than anything here takes.
    const PATIENCE: Duration = Duration::from_secs(30);

    /// With one entry behind the commit, or none.
    fn append(committed: u64, has_entry: bool) -> Append {
        let entry = || Entry {
            log_id: log_id(1, 1, committed + 1),
            payload: EntryPayload::Blank,
        };
        Append {
            vote: Vote {
                leader_id: LeaderId {
                    term: 1,
                    node_id: 1,
                },
                committed: true,
            },
            prev_log_id: Some(log_id(1, 1, committed)),
            entries: has_entry.then(entry).into_iter().collect(),
            leader_commit: Some(log_id(1, 1, committed)),
        }
    }

    /// One command waits for its entry.
    fn one() -> Upcoming {
        let upcoming = Upcoming::default();
        upcoming.add();
        upcoming
    }

    #[tokio::test]
    async fn a_commit_goes_with_the_entry_that_follows() {
        let (sender, receiver) = mpsc::unbounded();
        let mut sent = held(receiver, one());
        let _ = sender.unbounded_send(append(1, false));
        {
            let mut next = pin!(sent.next());
            assert!(poll!(next.as_mut()).is_pending());
            let _ = sender.unbounded_send(append(1, true));
            assert_eq!(next.await.map(|append| append.entries.len()), Some(1));
        }
        drop(sender);
        assert!(sent.next().await.is_none());
    }

    #[tokio::test]
    async fn it_goes_alone_where_no_entry_comes() {
        let (sender, receiver) = mpsc::unbounded();
        let mut sent = held(receiver, one());
        for committed in [1, 2] {
            let _ = sender.unbounded_send(append(committed, false));
            let next = timeout(PATIENCE, sent.next()).await.ok().flatten();
            let told = next.and_then(|append| append.leader_commit);
            assert_eq!(told, Some(log_id(1, 1, committed)));
        }
    }

    #[tokio::test]
    async fn the_last_one_is_not_lost_with_the_end() {
        let appends = stream::iter([append(7, false), append(8, false)]);
        let sent: Vec<_> = held(appends, one()).collect().await;
        let told: Vec<_> = sent.iter().map(|append| append.leader_commit).collect();
        assert_eq!(told, [Some(log_id(1, 1, 8))]);
    }

    #[tokio::test]
    async fn nothing_waits_for_an_entry_that_nobody_wants() {
        let (sender, receiver) = mpsc::unbounded();
        let mut sent = held(receiver, Upcoming::default());
        let _ = sender.unbounded_send(append(1, false));
        assert!(poll!(pin!(sent.next())).is_ready());
    }
}
