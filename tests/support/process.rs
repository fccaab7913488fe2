//! A child process that does not outlive the tests, and free ports.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

/// A child that is killed when this is dropped, and also when the test process ends in a way that
/// drops nothing: a relay that tests share, or a test run that is killed.
pub struct Process {
    child: Child,
    /// Ends when its standard input does, which is when this process ends, and kills the child.
    watchdog: Child,
}

impl Process {
    /// Watches over a child. `dir` is removed with it when the test process ends.
    pub fn watched(child: Child, dir: Option<&Path>) -> Self {
        const WATCH: &str = r#"cat >/dev/null; kill -9 "$1"; [ -z "$2" ] || rm -rf "$2""#;
        let watchdog = Command::new("sh")
            .args(["-c", WATCH, "watchdog", &child.id().to_string()])
            .arg(dir.unwrap_or(Path::new("")))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh can be started");
        Process { child, watchdog }
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a process to ask after")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The watchdog first: the child's id may be another process's once it was waited for.
        let _ = end(&mut self.watchdog);
        let _ = end(&mut self.child);
    }
}

fn end(child: &mut Child) -> io::Result<()> {
    match child.kill() {
        Err(error) if error.kind() != ErrorKind::InvalidInput => return Err(error),
        _ => {}
    }
    child.wait().map(|_| ())
}

/// A port nobody listens on. Below the range the kernel gives to outgoing connections, so that none
/// of those takes it while a relay is down.
pub fn free_port() -> u16 {
    const FIRST: u16 = 15_000;
    const COUNT: u16 = 17_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = (std::process::id().wrapping_mul(97) % u32::from(COUNT)) as u16;
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
        let port = FIRST + (base + step) % COUNT;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no free port from {FIRST} on");
}
