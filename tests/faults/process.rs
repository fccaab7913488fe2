//! The relay as a process under test: when it is ready, whether it still runs, how it refuses, and
//! its directory, which is kept when a test fails.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ekho_jepsen::actor::{Actor, Nodes};
use ekho_jepsen::book::Book;
use ekho_jepsen::check::{self, Violation};
use ekho_jepsen::history::{AgentNo, Counters};
use ekho_jepsen::wire::{Exchange, Line, PATIENCE};
use ekho_jepsen::{rng, sign};
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

use crate::support::{Agent, DEADLINE, Relay, RelayBuilder};

/// Violations shown; one cause often breaks many promises.
const SHOWN: usize = 20;

/// One fault test at a time: each loads the machine by itself.
pub async fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::const_new(());
    TURN.lock().await
}

/// A relay whose deliveries time out quickly and are retried at once, with small buffers, so that
/// little data passes through everything that large data would.
pub fn quick(dir: &Path) -> RelayBuilder {
    let backoff = vec!["0"; 32].join(",");
    Relay::builder()
        .dir(dir)
        .env("EKHO_DELIVERY_TIMEOUT_SECONDS", 2)
        .env("EKHO_RETRY_BACKOFF_SECONDS", backoff)
        .env("EKHO_WRITE_BUFFER_BYTES", 4 << 20)
        .env("EKHO_RATE_LIMIT_MAX_MESSAGES", 1_000_000_000)
}

/// The seed of a run: `EKHO_FAULT_SEED`, else drawn from the clock.
pub fn seed() -> u64 {
    let named = std::env::var("EKHO_FAULT_SEED").ok();
    named
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(rng::clock_seed)
}

/// Where it listens.
pub fn address(relay: &Relay) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, relay.port).into()
}

/// The one node that there is. Nobody has another one to turn to, so everybody is patient.
pub fn nodes(relay: &Relay) -> Nodes {
    Nodes {
        addresses: vec![address(relay)],
        patience: PATIENCE,
    }
}

/// An enrolled agent whose requests are written into this book.
pub fn actor(no: AgentNo, agent: &Agent, relay: &Relay, book: &Arc<Book>) -> Actor {
    let agent = sign::Agent {
        id: agent.id.clone(),
        secret: agent.secret.clone(),
    };
    Actor::new(no, agent, &nodes(relay), Arc::clone(book))
}

/// GET of an unsigned page on a connection of its own.
pub async fn get(relay: &Relay, target: &str) -> Exchange {
    Line::get(address(relay), PATIENCE, target).await
}

/// What is wrong with everything so far, now that everything was drained.
pub fn judge(book: &Book, counters: &Counters) -> Vec<Violation> {
    book.read(|history| check::judge(history, check::End::Counted(counters), &[]))
}

/// A directory for a relay and what it leaves behind.
pub struct Place(Option<TempDir>);

impl Place {
    /// An empty one.
    pub fn new() -> Self {
        Place(Some(
            TempDir::with_prefix("ekho-faults-").expect("a directory"),
        ))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.as_ref().expect("a directory").path()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(dir) = self.0.take()
        {
            eprintln!("the relay's directory is kept: {}", dir.keep().display());
        }
    }
}

/// Waits until the relay says that it is ready; how long that took. Fails where it ends instead.
pub async fn ready(relay: &Relay) -> Duration {
    let began = Instant::now();
    loop {
        if let Exchange::Answered(reply) = get(relay, "/readyz").await
            && reply.status == 200
        {
            return began.elapsed();
        }
        assert!(is_running(relay), "the relay ended by itself");
        assert!(began.elapsed() < DEADLINE, "not ready within {DEADLINE:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Whether the process is there and not merely waiting to be reaped.
pub fn is_running(relay: &Relay) -> bool {
    let Some(pid) = relay.pid() else { return false };
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name stands in parentheses and may hold anything.
    let state = stat
        .rsplit_once(") ")
        .and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| !"ZX".contains(state))
}

/// The metrics page.
pub async fn counters(relay: &Relay) -> Option<Counters> {
    match get(relay, "/metrics").await {
        Exchange::Answered(reply) if reply.status == 200 => {
            Some(Counters::parse(&String::from_utf8_lossy(&reply.body)))
        }
        _ => None,
    }
}

/// Starts a relay that must not start, with further settings: its exit code, and what it says. None
/// where it runs.
pub fn refusal(relay: &Relay, env: &[(&str, &str)]) -> Option<(i32, String)> {
    let mut child = relay
        .command(["serve"])
        .envs(env.iter().copied())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("ekho serve can be started");
    let mut stderr = child.stderr.take().expect("a pipe");
    // Read while it runs: a full pipe would hold it up.
    let reader = std::thread::spawn(move || {
        let mut said = Vec::new();
        let _ = stderr.read_to_end(&mut said);
        String::from_utf8_lossy(&said).into_owned()
    });
    let began = Instant::now();
    let ended = loop {
        if let Some(status) = child.try_wait().expect("a process to ask after") {
            break Some(status);
        }
        if began.elapsed() > DEADLINE / 4 {
            child.kill().expect("a process to kill");
            child.wait().expect("a process to wait for");
            break None;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let said = reader.join().expect("what it said");
    let code = ended?.code()?;
    Some((code, sentence(&said)))
}

/// What the command says for itself: everything from its name on.
fn sentence(said: &str) -> String {
    let start = if said.starts_with("ekho: ") {
        Some(0)
    } else {
        said.rfind("\nekho: ").map(|at| at + 1)
    };
    start.map_or_else(
        || format!("(no sentence) {said}"),
        |start| said[start..].trim().to_string(),
    )
}

/// Fails where a promise was broken.
pub fn assert_kept(violations: &[Violation], about: &str) {
    let shown: Vec<String> = violations
        .iter()
        .take(SHOWN)
        .map(Violation::to_string)
        .collect();
    let count = violations.len();
    assert!(
        violations.is_empty(),
        "{about}: {count} violations\n  {}",
        shown.join("\n  ")
    );
}

/// Files directly in a directory whose names end so, the largest last.
pub fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).expect("a directory");
    let mut found: Vec<(u64, PathBuf)> = entries
        .map(|entry| entry.expect("an entry"))
        .filter(|entry| entry.file_name().to_string_lossy().ends_with(ending))
        .map(|entry| (entry.metadata().expect("a file").len(), entry.path()))
        .filter(|(size_bytes, _)| *size_bytes > 0)
        .collect();
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}
