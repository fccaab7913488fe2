//! What the kernel writes of processes and threads into `/proc` (proc(5)), taken apart. Reads no file.

use std::time::Duration;

/// Clock ticks a second in `/proc`: fixed by Linux for the architectures this is built for (USER_HZ,
/// part of the kernel's interface).
const TICKS_PER_SECOND: u64 = 100;

/// What `stat` says of a process or a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat<'a> {
    /// Its name: at most 15 bytes.
    pub name: &'a str,
    /// CPU time in the program, in steps of 10 ms; likewise below.
    pub user: Duration,
    /// CPU time in the kernel.
    pub system: Duration,
}

impl<'a> Stat<'a> {
    /// Takes the line apart: the name stands in parentheses and may hold anything, times are the 12th
    /// and 13th field behind it.
    pub fn parse(line: &'a str) -> Option<Self> {
        let (before, after) = line.rsplit_once(')')?;
        let (_, name) = before.split_once('(')?;
        let mut fields = after.split_ascii_whitespace().skip(11);
        let mut time = || {
            let ticks: u64 = fields.next()?.parse().ok()?;
            let millis = ticks.saturating_mul(1000 / TICKS_PER_SECOND);
            Some(Duration::from_millis(millis))
        };
        Some(Stat {
            name,
            user: time()?,
            system: time()?,
        })
    }

    /// In the program and in the kernel.
    pub fn cpu(&self) -> Duration {
        self.user + self.system
    }
}

/// The number after a name with its colon at the beginning of a line, as `status` and `io` have them.
pub fn number(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

/// The same of a size in KiB, in bytes.
pub fn bytes(text: &str, name: &str) -> Option<u64> {
    number(text, name).map(|kib| kib.saturating_mul(1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let line = "77 (a) b) c) S 1 77 77 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 8 0 99 1 2";
        let stat = Stat {
            name: "a) b) c",
            user: Duration::from_millis(2500),
            system: Duration::from_millis(500),
        };
        assert_eq!(Stat::parse(line), Some(stat));
        assert_eq!(stat.cpu(), Duration::from_secs(3));
        for wrong in [
            "",
            "no line",
            "1 (a) S 1 2",
            "1 (a) S 1 2 3 4 5 6 7 8 9 10 x 1",
        ] {
            assert_eq!(Stat::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn numbers_are_found_by_name() {
        let status = "Name:\tekho\nVmRSS:\t    1024 kB\nThreads:\t7\n";
        assert_eq!(number(status, "Threads:"), Some(7));
        assert_eq!(bytes(status, "VmRSS:"), Some(1 << 20));
        assert_eq!(number(status, "Name:"), None);
        assert_eq!(number(status, "VmHWM:"), None);
    }
}
