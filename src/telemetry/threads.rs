//! Which threads of the process use the CPU: what the kernel counts for each, taken twice. Costs the
//! reading of a few files of `/proc`, and touches no thread.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use crate::procfs::Stat;

/// Longest time between the two looks.
pub const SECONDS_MAX: u64 = 60;

/// What threads with one name used.
#[derive(Clone, Debug, PartialEq)]
pub struct ThreadTime {
    /// Their name, as the kernel has it: at most 15 bytes.
    pub name: String,
    /// How many there are.
    pub threads: u64,
    /// In the program.
    pub user: Duration,
    /// In the kernel.
    pub system: Duration,
}

/// What each thread has used since it began.
#[derive(Clone, Debug, Default)]
pub struct Sample(BTreeMap<u64, Counted>);

#[derive(Clone, Debug)]
struct Counted {
    name: String,
    user: Duration,
    system: Duration,
}

impl From<Stat<'_>> for Counted {
    fn from(stat: Stat<'_>) -> Self {
        Counted {
            name: stat.name.into(),
            user: stat.user,
            system: stat.system,
        }
    }
}

impl Sample {
    /// Looks now. Blocks for a moment. Empty where `/proc` is not there.
    pub fn take() -> Self {
        let Ok(tasks) = fs::read_dir("/proc/self/task") else {
            return Sample::default();
        };
        let counted = tasks.filter_map(|task| {
            let task = task.ok()?;
            let id = task.file_name().to_str()?.parse().ok()?;
            // A thread may end while it is looked at.
            let stat = fs::read_to_string(task.path().join("stat")).ok()?;
            Some((id, Stat::parse(&stat)?.into()))
        });
        Sample(counted.collect())
    }

    /// What was used since then, by name, the most first. Threads that are gone are left out.
    pub fn since(&self, before: &Sample) -> Vec<ThreadTime> {
        let mut by_name: BTreeMap<&str, (u64, Duration, Duration)> = BTreeMap::new();
        for (id, now) in &self.0 {
            // Numbers are given again; a thread with another name is another thread.
            let then = before.0.get(id).filter(|then| then.name == now.name);
            let (user, system) =
                then.map_or_else(Default::default, |then| (then.user, then.system));
            let (threads, sum_user, sum_system) = by_name.entry(&now.name).or_default();
            *threads += 1;
            *sum_user += now.user.saturating_sub(user);
            *sum_system += now.system.saturating_sub(system);
        }
        let mut times: Vec<ThreadTime> = by_name
            .into_iter()
            .map(|(name, (threads, user, system))| ThreadTime {
                name: name.into(),
                threads,
                user,
                system,
            })
            .collect();
        times.sort_by_key(|time| std::cmp::Reverse(time.user + time.system));
        times
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(name: &str, user_ms: u64, system_ms: u64) -> Counted {
        Counted {
            name: name.into(),
            user: Duration::from_millis(user_ms),
            system: Duration::from_millis(system_ms),
        }
    }

    #[test]
    fn threads_of_one_name_are_added_up() {
        let before = Sample(BTreeMap::from([
            (1, counted("ekho", 1000, 100)),
            (2, counted("same", 50, 50)),
            (3, counted("gone", 90, 90)),
            (4, counted("other", 70, 70)),
        ]));
        let after = Sample(BTreeMap::from([
            (1, counted("ekho", 2500, 200)),
            (2, counted("same", 50, 50)),
            (4, counted("ekho", 500, 0)),
        ]));
        let times = after.since(&before);
        let expected = ThreadTime {
            name: "ekho".into(),
            threads: 2,
            user: Duration::from_secs(2),
            system: Duration::from_millis(100),
        };
        assert_eq!(times.first(), Some(&expected));
        assert_eq!(times.len(), 2);
    }

    #[test]
    fn this_process_is_seen() {
        let before = Sample::take();
        let began = std::time::Instant::now();
        let mut worked = 0u64;
        while began.elapsed() < Duration::from_millis(100) {
            worked = worked.wrapping_add(1);
        }
        let used: Duration = Sample::take()
            .since(&before)
            .iter()
            .map(|time| time.user + time.system)
            .sum();
        assert!(worked > 0 && used > Duration::ZERO);
    }
}
