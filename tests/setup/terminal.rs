//! A program at a terminal of its own: what it shows is read as it comes, keys are typed into it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use regex::Regex;
use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::support::DEADLINE;

pub const ENTER: &str = "\r";
pub const DOWN: &str = "\x1b[B";
pub const CTRL_C: &str = "\x03";

const SIZE: Winsize = Winsize {
    ws_row: 40,
    ws_col: 200,
    ws_xpixel: 0,
    ws_ypixel: 0,
};

/// A program at a terminal. Killed when dropped.
pub struct Terminal {
    child: Child,
    keys: File,
    shown: Arc<Mutex<Vec<u8>>>,
    /// Up to where it was read, in what can be seen of it.
    read_bytes: usize,
}

impl Terminal {
    /// Starts a program; its standard input and error are the terminal, and its output is as well.
    pub fn start(command: &mut Command) -> Self {
        let own = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&own).expect("a terminal");
        unlockpt(&own).expect("a terminal");
        tcsetwinsize(&own, SIZE).expect("a size");
        let name = ptsname(&own, Vec::new()).expect("its name");
        let theirs = || -> OwnedFd {
            open(
                name.as_c_str(),
                OFlags::RDWR | OFlags::NOCTTY,
                Mode::empty(),
            )
            .expect("its end")
        };
        command
            .env("TERM", "xterm")
            .stdin(Stdio::from(theirs()))
            .stdout(Stdio::from(theirs()))
            .stderr(Stdio::from(theirs()));
        let child = command.spawn().expect("the program");
        // The command holds the program's ends until it is given others.
        command.stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let keys = File::from(own);
        let mut screen = keys.try_clone().expect("the terminal");
        let shown = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&shown);
        // Ends when the program's ends are closed.
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = screen.read(&mut buffer) {
                kept.lock().extend_from_slice(&buffer[..count]);
            }
        });
        Terminal {
            child,
            keys,
            shown,
            read_bytes: 0,
        }
    }

    /// Waits until this text is shown, after what was read before.
    pub fn expect(&mut self, text: &str) {
        let began = Instant::now();
        loop {
            let shown = self.text();
            let new = shown.get(self.read_bytes..).unwrap_or_default();
            if let Some(at) = new.find(text) {
                self.read_bytes += at + text.len();
                return;
            }
            let ended = self.child.try_wait().expect("the program");
            assert!(
                began.elapsed() < DEADLINE && (ended.is_none() || began.elapsed() < SETTLED),
                "{text:?} is not shown ({ended:?}):\n{shown}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Types.
    pub fn keys(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("a terminal");
    }

    /// Waits for a question, and answers it.
    pub fn answer(&mut self, question: &str, keys: &str) {
        self.expect(question);
        self.keys(keys);
    }

    /// Waits for the program's end.
    pub fn end(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the program") {
                return status;
            }
            assert!(began.elapsed() < DEADLINE, "it goes on:\n{}", self.text());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// All that was shown, with what moves the cursor.
    pub fn raw(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock()).into_owned()
    }

    /// All that was shown.
    pub fn text(&self) -> String {
        plain(&self.shown.lock())
    }
}

/// How long what a program wrote may be on its way after its end.
const SETTLED: Duration = Duration::from_secs(2);

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Text without what colours it and moves the cursor.
fn plain(bytes: &[u8]) -> String {
    let escapes = Regex::new("\x1b\\[[0-9;?]*[A-Za-z]").expect("a pattern");
    let text = String::from_utf8_lossy(bytes);
    escapes.replace_all(&text, "").into_owned()
}
