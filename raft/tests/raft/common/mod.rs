//! What the tests share: a small machine, and nodes in temporary directories.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use ekho_raft::{ApplyError, Machine, Node, NodeConfig, ProposeError, Stamp};
use ekho_storage::{Cf, Read, State, StateOptions, Txn};

/// Counts what it is given: command `key` adds one to that key's counter and answers
/// `key=count`. `fail` cannot be applied. `fill:N` stores N bytes.
#[derive(Default)]
pub struct Counter {
    /// The keys of each committed batch.
    pub committed: Mutex<Vec<Vec<String>>>,
}

impl Machine for Counter {
    type Effects = Vec<String>;

    fn apply(
        &self,
        txn: &mut Txn,
        at: Stamp,
        command: &[u8],
        effects: &mut Vec<String>,
    ) -> Result<Bytes, ApplyError> {
        let text = String::from_utf8(command.to_vec())
            .map_err(|error| ApplyError::new(error.to_string()))?;
        if text == "fail" {
            return Err(ApplyError::new("this command is not known to this release"));
        }
        let key = row(&text);
        let count = match txn.get(Cf::Registry, &key)? {
            Some(bytes) => counter(&bytes),
            None => 0,
        } + 1;
        let mut value = count.to_be_bytes().to_vec();
        value.extend_from_slice(&at.index.to_be_bytes());
        value.extend_from_slice(&at.position.to_be_bytes());
        txn.put(Cf::Registry, key, value);
        if text.starts_with("fill:") {
            // Does not compress, so that it takes the room it should.
            let mut body = vec![0u8; text.len()];
            noise(at.index ^ u64::from(at.position) << 40, &mut body);
            let mut body_key = b"body/".to_vec();
            body_key.extend_from_slice(&at.index.to_be_bytes());
            body_key.extend_from_slice(&at.position.to_be_bytes());
            txn.put(Cf::Body, body_key, body);
        }
        effects.push(text.clone());
        Ok(Bytes::from(format!("{}={count}", short(&text))))
    }

    fn committed(&self, effects: Vec<String>) {
        self.committed.lock().unwrap().push(effects);
    }
}

fn short(text: &str) -> &str {
    &text[..text.len().min(64)]
}

fn row(text: &str) -> Vec<u8> {
    format!("count/{}", short(text)).into_bytes()
}

fn counter(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes[..8].try_into().unwrap())
}

/// Bytes that look random and depend on `seed` alone.
pub fn noise(seed: u64, into: &mut [u8]) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for byte in into {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        *byte = (state >> 24) as u8;
    }
}

/// A command of `size_bytes` that stores as many.
pub fn fill(seed: u64, size_bytes: usize) -> Bytes {
    let mut text = format!("fill:{seed}:");
    while text.len() < size_bytes {
        text.push('x');
    }
    Bytes::from(text)
}

pub fn clock() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_millis() as u64
}

/// A lone voter in `dir` with limits that suit tests.
pub fn config(dir: &Path) -> NodeConfig {
    let mut config = NodeConfig::new(dir, "test-cluster", 1, clock);
    config.limits.disk_free_min_bytes = 0;
    config.limits.log_retained_bytes = 0;
    config
}

pub fn open_state(dir: &Path) -> State {
    State::open(&dir.join("state"), &StateOptions::default()).unwrap()
}

pub async fn start(dir: &Path) -> Node<Counter> {
    start_with(config(dir)).await
}

pub async fn start_with(config: NodeConfig) -> Node<Counter> {
    let state = open_state(&config.data_dir);
    let node = Node::start(config, state, Counter::default())
        .await
        .unwrap();
    lead(&node).await;
    node
}

/// Waits until the node leads.
pub async fn lead(node: &Node<Counter>) {
    let mut leadership = node.leadership();
    let leads = leadership.wait_for(|leadership| leadership.is_self);
    tokio::time::timeout(Duration::from_secs(20), leads)
        .await
        .expect("no leader")
        .unwrap();
}

pub async fn stop(node: Node<Counter>) {
    node.shutdown(Duration::from_secs(20)).await;
}

/// Proposes until the outcome is known.
pub async fn propose(node: &Node<Counter>, command: impl Into<Bytes>) -> String {
    let command = command.into();
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match node.propose(command.clone()).await {
            Ok(outcome) => return String::from_utf8(outcome.to_vec()).unwrap(),
            Err(ProposeError::NoLeader { .. }) if Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Reads a counter from the state.
pub fn count(state: &State, key: &str) -> u64 {
    state
        .view()
        .get(Cf::Registry, &row(key))
        .unwrap()
        .map_or(0, |bytes| counter(&bytes))
}

/// Every row of the state, in order.
pub fn dump(state: &State) -> Vec<(Cf, Vec<u8>, Vec<u8>)> {
    let view = state.view();
    let mut rows = Vec::new();
    for cf in Cf::ALL {
        let all = view.scan(cf, &[], &[0xff; 9], usize::MAX).unwrap();
        rows.extend(all.into_iter().map(|(key, value)| (cf, key, value)));
    }
    rows
}

/// Waits until `condition` holds.
pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
