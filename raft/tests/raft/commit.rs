//! Group commit: every caller gets its own outcome, limits hold, and stopping finishes what was
//! accepted.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::common::{Counter, config, count, open_state, propose, start, start_with, stop};
use bytes::Bytes;
use ekho_raft::{Node, Observer, ProposeError, ReadError};
use tempfile::TempDir;

#[derive(Default)]
struct Batches {
    batches: AtomicUsize,
    commands: AtomicUsize,
    commits: AtomicUsize,
    log_writes: AtomicUsize,
    depth: AtomicUsize,
}

impl Observer for Batches {
    fn log_write(&self, _took: Duration, _entries: usize, _size_bytes: usize) {
        self.log_writes.fetch_add(1, Ordering::Relaxed);
    }

    fn commit(&self, _took: Duration) {
        self.commits.fetch_add(1, Ordering::Relaxed);
    }

    fn batch(&self, commands: usize, _size_bytes: usize) {
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.commands.fetch_add(commands, Ordering::Relaxed);
    }

    fn queue_depth(&self, commands: usize) {
        self.depth.store(commands, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_caller_gets_its_own_outcome() {
    const CALLERS: usize = 200;
    let dir = TempDir::new().unwrap();
    let observer = Arc::new(Batches::default());
    let mut config = config(dir.path());
    config.observer = observer.clone();
    let node = start_with(config).await;
    let writes_before = observer.log_writes.load(Ordering::Relaxed);

    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let node = node.clone();
            tokio::spawn(async move {
                for round in 1..=3 {
                    let outcome = propose(&node, format!("own-{caller}")).await;
                    assert_eq!(outcome, format!("own-{caller}={round}"));
                }
                propose(&node, "shared").await
            })
        })
        .collect();
    let mut shared = BTreeSet::new();
    for caller in callers {
        shared.insert(caller.await.unwrap());
    }
    // Commands of one batch saw what the ones before them wrote: no two got the same count.
    assert_eq!(shared.len(), CALLERS);
    assert!(shared.contains(&format!("shared={CALLERS}")));

    assert_eq!(observer.commands.load(Ordering::Relaxed), 4 * CALLERS);
    assert_eq!(observer.commits.load(Ordering::Relaxed), 4 * CALLERS);
    assert_eq!(observer.depth.load(Ordering::Relaxed), 0);
    let writes = observer.log_writes.load(Ordering::Relaxed) - writes_before;
    assert!(
        writes < 4 * CALLERS,
        "{writes} fsyncs for {} commands",
        4 * CALLERS
    );

    // Effects came once a command, after the batch.
    let effects: usize = node
        .machine()
        .committed
        .lock()
        .unwrap()
        .iter()
        .map(Vec::len)
        .sum();
    assert_eq!(effects, 4 * CALLERS);
    stop(node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_keep_to_their_limits() {
    let dir = TempDir::new().unwrap();
    let mut config = config(dir.path());
    config.limits.batch_commands = 4;
    config.limits.batch_bytes = 100;
    config.limits.command_bytes = 300;
    // Entries that wait together are applied together: one at a time shows what each holds.
    config.limits.pipelined_batches = 1;
    let node = start_with(config).await;
    let callers: Vec<_> = (0..40)
        .map(|caller| {
            let node = node.clone();
            let command = format!(
                "{caller:0>width$}",
                width = if caller % 5 == 0 { 250 } else { 40 }
            );
            tokio::spawn(async move { propose(&node, command).await })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    for batch in node.machine().committed.lock().unwrap().iter() {
        assert!(batch.len() <= 4);
        // A command that is larger than a batch may be goes alone.
        assert!(batch.len() <= 1 || batch.iter().map(String::len).sum::<usize>() <= 100);
    }
    let refused = node.propose(Bytes::from(vec![b'x'; 301])).await;
    assert_eq!(
        refused,
        Err(ProposeError::TooLarge {
            size_bytes: 301,
            limit_bytes: 300
        })
    );
    stop(node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_and_recovers() {
    let dir = TempDir::new().unwrap();
    let mut config = config(dir.path());
    config.limits.waiting_commands = 8;
    let node = start_with(config).await;
    let callers: Vec<_> = (0..400)
        .map(|caller| {
            let node = node.clone();
            tokio::spawn(async move { node.propose(Bytes::from(format!("c{caller}"))).await })
        })
        .collect();
    let mut accepted = 0;
    let mut refused = 0;
    for caller in callers {
        match caller.await.unwrap() {
            Ok(_) => accepted += 1,
            Err(ProposeError::Overloaded) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(
        accepted >= 8 && refused > 0,
        "{accepted} accepted, {refused} refused"
    );
    assert_eq!(node.status().waiting_commands, 0);
    propose(&node, "after").await;
    stop(node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_answers_what_was_accepted() {
    let dir = TempDir::new().unwrap();
    let node = start(dir.path()).await;
    let callers: Vec<_> = (0..300)
        .map(|caller| {
            let node = node.clone();
            tokio::spawn(async move { node.propose(Bytes::from(format!("c{caller}"))).await })
        })
        .collect();
    let stopping = {
        let node = node.clone();
        tokio::spawn(async move { stop(node).await })
    };
    let mut done = BTreeSet::new();
    for (caller, task) in callers.into_iter().enumerate() {
        match task.await.unwrap() {
            Ok(_) => {
                done.insert(caller);
            }
            Err(ProposeError::Stopped) => {}
            Err(error) => panic!("{error}"),
        }
    }
    stopping.await.unwrap();
    assert_eq!(
        node.propose(Bytes::from_static(b"late")).await,
        Err(ProposeError::Stopped)
    );
    assert_eq!(node.read_point().await, Err(ReadError::Stopped));
    drop(node);

    // What was refused did not happen; what was answered did.
    let node = start(dir.path()).await;
    node.read_point().await.unwrap();
    for caller in 0..300 {
        let expected = u64::from(done.contains(&caller));
        assert_eq!(
            count(node.state(), &format!("c{caller}")),
            expected,
            "command {caller}"
        );
    }
    stop(node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_cannot_be_applied_stops_the_node() {
    let dir = TempDir::new().unwrap();
    let node = start(dir.path()).await;
    propose(&node, "good").await;
    let refused = node.propose(Bytes::from_static(b"fail")).await;
    assert_eq!(refused, Err(ProposeError::OutcomeUnknown));
    let reason = tokio::time::timeout(Duration::from_secs(10), node.fatal())
        .await
        .unwrap();
    assert!(reason.contains("cannot be applied"), "{reason}");
    assert!(reason.contains("not known to this release"), "{reason}");
    stop(node).await;

    // It is in the log, so every start meets it again and says the same.
    let state = open_state(dir.path());
    let started = Node::start(config(dir.path()), state, Counter::default()).await;
    let reason = match started {
        Err(error) => error.to_string(),
        Ok(node) => tokio::time::timeout(Duration::from_secs(10), node.fatal())
            .await
            .unwrap()
            .to_string(),
    };
    assert!(reason.contains("not known to this release"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_share_rounds_and_see_what_was_answered() {
    let dir = TempDir::new().unwrap();
    let node = start(dir.path()).await;
    let tasks: Vec<_> = (0..50)
        .map(|caller| {
            let node = node.clone();
            tokio::spawn(async move {
                for round in 1..=5u64 {
                    propose(&node, format!("r{caller}")).await;
                    node.read_point().await.unwrap();
                    assert_eq!(count(node.state(), &format!("r{caller}")), round);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    stop(node).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leadership_begins_anew_with_each_start() {
    let dir = TempDir::new().unwrap();
    let mut last_term = 0;
    for _ in 0..3 {
        let node = start(dir.path()).await;
        let leadership = node.leadership().borrow().clone();
        assert!(leadership.is_self && leadership.leader == Some(1));
        assert!(leadership.term > last_term);
        assert!(leadership.began_ms > 0);
        last_term = leadership.term;
        let status = node.status();
        assert_eq!(status.members.len(), 1);
        assert!(
            serde_json::to_string(&status)
                .unwrap()
                .contains("\"role\":\"leader\"")
        );
        stop(node).await;
    }
}
