//! The nodes under test: processes of the built binary, each in a network namespace, on a disk and
//! with a clock of its own. Starts, kills, pauses and stops them; what is wrong with one that ended
//! by itself. Decides nothing.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use crate::actor::Nodes;
use crate::awake::Stopwatch;
use crate::net::{Net, is_runner};
use crate::operator::Credentials;
use crate::powercut::Mount;
use crate::wire::{Exchange, Line};

const CLIENT_PORT: u16 = 4000;
const NODE_PORT: u16 = 4100;
/// Directories of runs; the runner's process id follows.
const DIR_PREFIX: &str = "ekho-jepsen-";
/// How long a client waits for one node before it turns to the next.
const CLIENT_PATIENCE: Duration = Duration::from_secs(8);
/// The end of a log that a report shows.
const SHOWN_LOG_LINES: usize = 12;
/// Window of the rate limit in these runs.
pub const RATE_WINDOW_MS: i64 = 10_000;
/// Messages of an agent in a window; more than those have any use for who are not out to exceed it.
pub const RATE_LIMIT: usize = 400;

/// How the nodes are made.
#[derive(Clone, Debug)]
pub struct Shape {
    /// The built relay.
    pub binary: PathBuf,
    /// How many nodes.
    pub nodes: usize,
    /// Whether clocks will be stepped.
    pub clocks: bool,
    /// Which promise the nodes break, where they were built so that they can.
    pub breakage: Option<String>,
}

/// See the module. Everything ends and is removed when dropped, but for what is kept.
pub struct Cluster {
    /// The network between the nodes.
    pub net: Net,
    nodes: Vec<Node>,
    shape: Shape,
    dir: PathBuf,
}

struct Node {
    mount: Mount,
    child: Option<Child>,
    dir: PathBuf,
}

impl Cluster {
    /// Network, disks and the first node's setup; nothing runs yet.
    pub fn new(shape: Shape) -> io::Result<Self> {
        let faketime = faketime();
        if shape.clocks && !Path::new(&faketime).exists() {
            let missing = format!("{faketime} is missing: install libfaketime, or leave out clock");
            return Err(io::Error::other(missing));
        }
        let dir = std::env::temp_dir().join(format!("{DIR_PREFIX}{}", std::process::id()));
        fs::create_dir_all(&dir)?;
        let net = Net::new(shape.nodes)?;
        let mut nodes = Vec::new();
        for no in 0..shape.nodes {
            let dir = dir.join(format!("node{no}"));
            fs::create_dir_all(&dir)?;
            let mount = Mount::new(&dir.join("disk"), &dir.join("data"))?;
            fs::write(dir.join("clock"), "+0\n")?;
            nodes.push(Node {
                mount,
                child: None,
                dir,
            });
        }
        let cluster = Cluster {
            net,
            nodes,
            shape,
            dir,
        };
        let args = ["setup", "--fleet", "test", "--email", "owner@example.org"];
        let mut setup = cluster.command(0);
        let output = setup.args(args).arg("--non-interactive").output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(io::Error::other(format!("ekho setup: {said}")));
        }
        Ok(cluster)
    }

    /// How many.
    pub fn size(&self) -> usize {
        self.nodes.len()
    }

    /// Where everything of this run is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where clients find the nodes.
    pub fn addresses(&self) -> Nodes {
        let nodes = 0..self.size();
        Nodes {
            addresses: nodes.map(|no| self.client_address(no)).collect(),
            patience: CLIENT_PATIENCE,
        }
    }

    fn client_address(&self, no: usize) -> SocketAddr {
        (self.net.address(no), CLIENT_PORT).into()
    }

    /// Where other nodes find this one.
    pub fn node_address(&self, no: usize) -> String {
        format!("{}:{NODE_PORT}", self.net.address(no))
    }

    /// A node's disk.
    pub fn disk(&mut self, no: usize) -> &mut Mount {
        &mut self.nodes[no].mount
    }

    /// What setup wrote.
    pub fn credentials(&self) -> io::Result<Credentials> {
        let text = fs::read_to_string(self.nodes[0].dir.join("data/credentials.json"))?;
        serde_json::from_str(&text).map_err(io::Error::other)
    }

    /// A command of the binary as a node would run it.
    fn command(&self, no: usize) -> Command {
        let dir = &self.nodes[no].dir;
        let address = self.net.address(no);
        let mut command = self.net.command(no, "env");
        if self.shape.clocks {
            // The monotonic clock goes on evenly, as it does where somebody sets the time.
            command
                .arg(format!("LD_PRELOAD={}", faketime()))
                .arg("FAKETIME_DONT_FAKE_MONOTONIC=1")
                .arg("FAKETIME_CACHE_DURATION=1")
                .arg("NO_FAKE_STAT=1");
            let clock = dir.join("clock");
            command.env("FAKETIME_TIMESTAMP_FILE", clock);
        }
        command.arg(&self.shape.binary).current_dir(dir);
        let inherited = std::env::vars_os().map(|(name, _)| name);
        for name in inherited.filter(|name| name.to_string_lossy().starts_with("EKHO_")) {
            command.env_remove(name);
        }
        command
            .env("EKHO_DATA_DIR", dir.join("data"))
            .env("EKHO_HOST", address.to_string())
            .env("EKHO_PORT", CLIENT_PORT.to_string())
            .env("EKHO_BASE_URL", format!("http://{address}:{CLIENT_PORT}"))
            .env("EKHO_NODE_ADDRESS", self.node_address(no))
            .env("EKHO_LOG_FORMAT", "json")
            .env("EKHO_DISK_FREE_MIN_BYTES", "67108864")
            .env("EKHO_BLOCK_CACHE_BYTES", "16777216")
            // Little data passes through everything that large data would.
            .env("EKHO_WRITE_BUFFER_BYTES", "4194304")
            .env("EKHO_DELIVERY_TIMEOUT_SECONDS", "3")
            .env("EKHO_RETRY_BACKOFF_SECONDS", vec!["0"; 32].join(","))
            .env(
                "EKHO_RATE_LIMIT_WINDOW_SECONDS",
                (RATE_WINDOW_MS / 1000).to_string(),
            )
            .env("EKHO_RATE_LIMIT_MAX_MESSAGES", RATE_LIMIT.to_string())
            .env("EKHO_RATE_LIMIT_VIOLATION_THRESHOLD", "1000000")
            .env("EKHO_SESSION_FILE", self.dir.join("session.json"));
        if let Some(breakage) = &self.shape.breakage {
            command.env("EKHO_BREAK", breakage);
        }
        command
    }

    /// Runs an operator's command of the binary to its end, as this node would.
    pub fn run(&self, no: usize, args: &[&str], token: &str) -> io::Result<std::process::Output> {
        let mut command = self.command(no);
        command.env("EKHO_TOKEN", token).args(args).output()
    }

    /// Starts a node; with what it needs to join where its disk is empty.
    pub fn start(&mut self, no: usize, join: Option<(&str, &str)>) -> io::Result<()> {
        let path = self.nodes[no].dir.join("relay.log");
        let log = OpenOptions::new().create(true).append(true).open(path)?;
        let mut command = self.command(no);
        command.arg("serve");
        if let Some((address, token)) = join {
            command.args(["--join", address, "--token", token]);
        }
        let errors = log.try_clone()?;
        let child = command.stdout(log).stderr(errors).spawn()?;
        self.nodes[no].child = Some(child);
        Ok(())
    }

    /// How a node ended that did so by itself. Told once.
    pub fn ended(&mut self, no: usize) -> io::Result<Option<ExitStatus>> {
        let Some(child) = &mut self.nodes[no].child else {
            return Ok(None);
        };
        let status = child.try_wait()?;
        if status.is_some() {
            self.nodes[no].child = None;
        }
        Ok(status)
    }

    /// Whether somebody started it and nobody ended it.
    pub fn runs(&self, no: usize) -> bool {
        self.nodes[no].child.is_some()
    }

    /// Sends a signal to a node that runs.
    pub fn signal(&self, no: usize, signal: Signal) -> io::Result<()> {
        let child = self.nodes[no].child.as_ref();
        let pid = child.and_then(|child| Pid::from_raw(i32::try_from(child.id()).ok()?));
        match pid {
            Some(pid) => match kill_process(pid, signal) {
                // It ended a moment ago, which is told by `ended`.
                Ok(()) | Err(Errno::SRCH) => Ok(()),
                Err(error) => Err(error.into()),
            },
            None => Ok(()),
        }
    }

    /// SIGKILL, and the process is gone.
    pub fn kill(&mut self, no: usize) -> io::Result<()> {
        if let Some(mut child) = self.nodes[no].child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// SIGTERM; how it ended, none where it had to be killed.
    pub async fn stop(&mut self, no: usize, limit: Duration) -> io::Result<Option<ExitStatus>> {
        self.signal(no, Signal::TERM)?;
        let began = Stopwatch::start();
        while self.runs(no) {
            if let Some(status) = self.ended(no)? {
                return Ok(Some(status));
            }
            if began.elapsed() > limit {
                self.kill(no)?;
                return Ok(None);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(None)
    }

    /// Sets a node's clock this far off the machine's.
    pub fn set_clock(&self, no: usize, offset_s: i64) -> io::Result<()> {
        // Replaced as a whole: the node may be reading it.
        let (path, new) = (self.nodes[no].dir.join("clock"), self.dir.join("clock.new"));
        fs::write(&new, format!("{offset_s:+}\n"))?;
        fs::rename(new, path)
    }

    /// Removes everything that a node keeps.
    pub fn wipe(&mut self, no: usize) -> io::Result<()> {
        let node = &mut self.nodes[no];
        node.mount.detach()?;
        let (backing, point) = (node.dir.join("disk"), node.dir.join("data"));
        fs::remove_dir_all(&backing)?;
        node.mount = Mount::new(&backing, &point)?;
        Ok(())
    }

    /// Waits until a node says that it is ready; false where it ends or the time is over.
    pub async fn wait_ready(&mut self, no: usize, limit: Duration) -> io::Result<bool> {
        let began = Stopwatch::start();
        while began.elapsed() < limit {
            if self.is_ready(no).await {
                return Ok(true);
            }
            // Left for `ended` to tell.
            let child = self.nodes[no].child.as_mut();
            if child.map_or(Ok(None), Child::try_wait)?.is_some() || !self.runs(no) {
                return Ok(false);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(false)
    }

    /// Whether a node says now that it is ready.
    pub async fn is_ready(&self, no: usize) -> bool {
        is_ready(self.client_address(no)).await
    }

    /// The last that a node wrote to its log.
    pub fn last_words(&self, no: usize) -> Vec<String> {
        let log = fs::read(self.nodes[no].dir.join("relay.log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log).into_owned();
        let lines: Vec<String> = log.lines().map(str::to_string).collect();
        lines[lines.len().saturating_sub(SHOWN_LOG_LINES)..].to_vec()
    }

    /// Ends every node and leaves files and logs where they can be looked at.
    pub fn keep(mut self) -> io::Result<PathBuf> {
        for node in &mut self.nodes {
            if let Some(mut child) = node.child.take() {
                child.kill()?;
                child.wait()?;
            }
            node.mount.detach()?;
        }
        let kept = self
            .dir
            .with_file_name(format!("{DIR_PREFIX}kept-{}", std::process::id()));
        let _ = fs::remove_dir_all(&kept);
        fs::rename(&self.dir, &kept)?;
        Ok(kept)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            if let Some(mut child) = node.child.take() {
                let _ = child.kill();
                let _ = child.wait();
            }
            let _ = node.mount.detach();
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Where Debian's package libfaketime has it.
fn faketime() -> String {
    let arch = std::env::consts::ARCH;
    format!("/usr/lib/{arch}-linux-gnu/faketime/libfaketimeMT.so.1")
}

/// Whether a node says that it is ready.
pub async fn is_ready(address: SocketAddr) -> bool {
    let exchange = Line::get(address, Duration::from_secs(1), "/readyz").await;
    matches!(exchange, Exchange::Answered(reply) if reply.status == 200)
}

/// Removes the directories of runners that are not there any more.
pub fn sweep() {
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let run = name
            .strip_prefix(DIR_PREFIX)
            .and_then(|run| run.parse().ok());
        if run.is_none_or(is_runner) {
            continue;
        }
        let mounts = File::open("/proc/mounts").and_then(io::read_to_string);
        let path = entry.path().to_string_lossy().into_owned();
        for mount in mounts.unwrap_or_default().lines() {
            let point = mount.split(' ').nth(1).unwrap_or_default();
            if point.starts_with(&path) {
                let _ = Command::new("umount")
                    .args(["-l", point])
                    .stderr(Stdio::null())
                    .status();
            }
        }
        let _ = fs::remove_dir_all(entry.path());
    }
}
