//! The built binary as a process: set up, started, killed, stopped, started again.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use serde_json::json;
use tempfile::TempDir;

use super::process::{Process, free_port};
use super::{Agent, Answer, DEADLINE, Http, Operator, poll_until};

/// Settings every test begins with: no refusal by rate, and no need for a large disk.
const DEFAULTS: [(&str, &str); 5] = [
    ("EKHO_HOST", "127.0.0.1"),
    ("EKHO_LOG_FORMAT", "json"),
    ("EKHO_DISK_FREE_MIN_BYTES", "1048576"),
    ("EKHO_RATE_LIMIT_MAX_MESSAGES", "1000000"),
    ("EKHO_BLOCK_CACHE_BYTES", "8388608"),
];

/// The end of the log that a failed test shows.
const SHOWN_LOG_LINES: usize = 60;

/// How a relay is made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RelayBuilder {
    env: Vec<(String, String)>,
    dir: Option<PathBuf>,
    /// Files in the directory that commands run in.
    files: Vec<(String, String)>,
    /// Not set up: it is to join others.
    is_bare: bool,
}

/// A relay in a directory of its own. Killed when dropped, and when the test process ends.
pub struct Relay {
    /// Where it listens.
    pub port: u16,
    /// `EKHO_*` for setup and serve, the later of two with the same name counts.
    pub env: Vec<(String, String)>,
    /// Flags of `ekho serve`.
    pub serve_args: Vec<String>,
    dir: PathBuf,
    /// Removed with the relay.
    temporary: Option<TempDir>,
    process: Option<Process>,
}

/// What setup wrote to `credentials.json`.
#[derive(Clone, Debug, Deserialize)]
pub struct Credentials {
    /// Where agents reach the relay.
    pub relay_url: String,
    /// Fleet.
    pub fleet_id: String,
    /// Its name.
    pub fleet_name: String,
    /// Owner.
    pub email: String,
    /// Owner's password.
    pub password: String,
}

/// The built binary, beside the directory of this program. Built first: see `./dev test`.
pub fn binary() -> PathBuf {
    let program = std::env::current_exe().expect("the path of this program");
    let built = program.parent().and_then(Path::parent);
    let binary = built.expect("a build directory").join("ekho");
    assert!(
        binary.exists(),
        "{} is not there: cargo build --release --workspace --bins",
        binary.display()
    );
    binary
}

/// The root of the repository.
pub fn root() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the root")
}

/// A command line of the built binary, without any setting of this process.
pub fn ekho<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(binary());
    for (name, _) in
        std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("EKHO_"))
    {
        command.env_remove(name);
    }
    command.args(args).stdin(Stdio::null());
    command
}

impl RelayBuilder {
    /// Sets a variable for setup and serve.
    pub fn env(mut self, name: &str, value: impl ToString) -> Self {
        self.env.push((name.into(), value.to_string()));
        self
    }

    /// Puts a file into the directory that setup and serve run in.
    pub fn file(mut self, name: &str, content: &str) -> Self {
        self.files.push((name.into(), content.into()));
        self
    }

    /// Works in this directory instead of a temporary one, such as a small file system.
    pub fn dir(mut self, dir: &Path) -> Self {
        self.dir = Some(dir.to_path_buf());
        self
    }

    /// Without setup: the node is to join others.
    pub fn bare(mut self) -> Self {
        self.is_bare = true;
        self
    }

    /// Sets a relay up and does not start it.
    pub fn set_up(self) -> Relay {
        let temporary = self
            .dir
            .is_none()
            .then(|| TempDir::with_prefix("ekho-test-").expect("a directory"));
        let dir = match (&self.dir, &temporary) {
            (Some(dir), _) => dir.clone(),
            (None, temporary) => temporary
                .as_ref()
                .expect("a directory")
                .path()
                .to_path_buf(),
        };
        for (name, content) in &self.files {
            fs::write(dir.join(name), content).expect("a file");
        }
        let mut env: Vec<(String, String)> = DEFAULTS
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect();
        env.extend(self.env);
        let relay = Relay {
            port: free_port(),
            env,
            serve_args: Vec::new(),
            dir,
            temporary,
            process: None,
        };
        if self.is_bare {
            return relay;
        }
        let output = relay
            .command([
                "setup",
                "--fleet",
                "test",
                "--email",
                "owner@example.org",
                "--non-interactive",
            ])
            .output()
            .expect("ekho setup can be started");
        assert!(
            output.status.success(),
            "ekho setup: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        relay
    }

    /// Sets a relay up, starts it, and waits until it is ready.
    pub async fn start(self) -> Relay {
        let mut relay = self.set_up();
        relay.boot().await;
        relay
    }
}

impl Relay {
    /// A relay with the tests' defaults.
    pub async fn start() -> Relay {
        Relay::builder().start().await
    }

    /// A relay with other settings.
    pub fn builder() -> RelayBuilder {
        RelayBuilder::default()
    }

    /// A command of the binary for this relay: its environment, its directory.
    pub fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = ekho(args);
        command.current_dir(&self.dir);
        command
            .env("EKHO_DATA_DIR", self.data_dir())
            .env("EKHO_SESSION_FILE", self.dir.join("session.json"))
            .env("EKHO_PORT", self.port.to_string());
        for (name, value) in &self.env {
            command.env(name, value);
        }
        command
    }

    /// Runs a command of the binary for this relay to its end.
    pub fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Output {
        self.command(args).output().expect("ekho can be started")
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The directory with everything of this test.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The relay's data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// What the relay logged so far, all starts together.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.dir.join("relay.log")
    }

    /// Process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// Starts the process without waiting for it to be ready.
    pub fn spawn(&mut self) {
        assert!(self.process.is_none(), "the relay runs already");
        let log: File = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_path())
            .expect("a log file");
        let errors = log.try_clone().expect("a log file");
        let mut command = self.command(["serve"]);
        command.args(&self.serve_args).stdout(log).stderr(errors);
        let child = command.spawn();
        let child = child.expect("ekho serve can be started");
        self.process = Some(Process::watched(
            child,
            self.temporary.as_ref().map(TempDir::path),
        ));
    }

    /// Starts on the same directory and port, and waits until it is ready.
    pub async fn boot(&mut self) {
        self.spawn();
        self.wait_ready().await;
    }

    /// Waits until `/readyz` says 200.
    pub async fn wait_ready(&mut self) {
        let http = Http::new();
        let url = format!("{}/readyz", self.url());
        let began = Instant::now();
        loop {
            let answer = http
                .try_send("GET", &url, &[], bytes::Bytes::new(), DEADLINE)
                .await;
            if answer.is_ok_and(|answer| answer.status == 200) {
                return;
            }
            if let Some(status) = self.process.as_mut().expect("a process").has_ended() {
                self.process = None;
                panic!("ekho serve ended with {status}:\n{}", self.log());
            }
            assert!(
                began.elapsed() < DEADLINE,
                "not ready within {DEADLINE:?}:\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Whether the process runs.
    pub fn is_running(&mut self) -> bool {
        let process = self.process.as_mut();
        process.is_some_and(|process| process.has_ended().is_none())
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = self
            .pid()
            .and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        kill_process(pid.expect("a process"), signal).expect("a process to signal");
    }

    /// SIGKILL: the process ends without doing anything more.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// SIGTERM, and waits for the orderly end.
    pub async fn stop(&mut self) {
        self.signal(Signal::TERM);
        let status = self.wait_exit().await;
        assert!(status.success(), "stopped with {status}:\n{}", self.log());
    }

    /// Waits until the process has ended by itself.
    pub async fn wait_exit(&mut self) -> ExitStatus {
        let mut process = self.process.take().expect("a process");
        poll_until(DEADLINE, "the relay's end", async || process.has_ended()).await
    }

    /// Stops in order and starts again.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.boot().await;
    }

    /// What setup wrote.
    pub fn credentials(&self) -> Credentials {
        let text =
            fs::read_to_string(self.data_dir().join("credentials.json")).expect("credentials.json");
        serde_json::from_str(&text).expect("credentials as JSON")
    }

    /// Signs the owner in.
    pub async fn operator(&self) -> Operator {
        sign_in(self.credentials(), self.url()).await
    }

    /// Signs the owner of this relay in at another node of its cluster.
    pub async fn operator_at(&self, node: &Relay) -> Operator {
        let url = node.url();
        sign_in(self.credentials(), url).await
    }

    /// Signs the owner in and enrols as many agents as there are names.
    pub async fn agents<const N: usize>(&self, names: [&str; N]) -> [Agent; N] {
        let operator = self.operator().await;
        let enrolled =
            futures::future::join_all(names.iter().map(|name| operator.enrol(name))).await;
        enrolled
            .try_into()
            .unwrap_or_else(|_| unreachable!("one agent a name"))
    }

    /// GET of an unsigned page.
    pub async fn get(&self, target: &str) -> Answer {
        Http::new().get(&format!("{}{target}", self.url())).await
    }

    /// The value of a series on the metrics page, such as `ekho_agents_total{status="healthy"}`.
    /// None where it is not there.
    pub async fn metric(&self, series: &str) -> Option<f64> {
        let page = self.get("/metrics").await.text();
        page.lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }

    /// Prints the end of the log, for a test that failed.
    pub fn show_log(&self) {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let shown = lines.len().saturating_sub(SHOWN_LOG_LINES);
        eprintln!(
            "--- end of the relay's log\n{}\n---",
            lines[shown..].join("\n")
        );
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.show_log();
        }
    }
}

async fn sign_in(owner: Credentials, relay_url: String) -> Operator {
    let http = Http::new();
    let Credentials {
        fleet_name,
        email,
        password,
        ..
    } = owner;
    let request = json!({ "fleet_name": fleet_name, "email": email, "password": password });
    let answer = http
        .post(&format!("{relay_url}/v1/operator/login"), &request)
        .await
        .ok();
    let text = |name: &str| answer[name].as_str().expect(name).to_string();
    Operator {
        token: text("token"),
        fleet_id: text("fleet_id"),
        relay_url,
        http,
    }
}
