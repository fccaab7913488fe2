//! What an edge node's outbox said it stored is there after a power cut, whatever the disk lost.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::thread;

use ekho_jepsen::powercut::{Mount, Survives};
use ekho_jepsen::rng::Rng;
use ekho_storage::tables::outbox::OutboxEntry;
use ekho_storage::{Kept, Outbox, OutboxLimits};
use tempfile::TempDir;

const SENDERS: u32 = 4;
const EACH: u64 = 25;
const LIMITS: OutboxLimits = OutboxLimits {
    entries: 1000,
    bytes: 1 << 20,
};

fn entry(agent: u32, number: u64) -> OutboxEntry {
    OutboxEntry {
        fleet: 1,
        agent,
        credential: 1,
        nonce: format!("nonce-{number}"),
        timestamp_ms: 1000,
        stored_ms: 1000 + number,
        key: format!("key-{number}"),
        request_hash: [1; 32],
        message: u128::from(agent) << 64 | u128::from(number),
        content: vec![7; 300],
    }
}

#[test]
fn what_was_stored_survives_a_power_cut() {
    let place = TempDir::new().unwrap();
    let point = place.path().join("point");
    let mut mount = match Mount::new(&place.path().join("backing"), &point) {
        Ok(mount) => mount,
        Err(error) => {
            eprintln!("summary: outbox: skipped, a FUSE file system takes root: {error}");
            return;
        }
    };
    let dir = point.join("outbox");
    let all = [Survives::Nothing, Survives::Beginning, Survives::Pages];
    for (round, survives) in all.into_iter().enumerate() {
        let first = round as u64 * EACH;
        let outbox = Outbox::open(&dir, LIMITS, 9).unwrap();
        thread::scope(|scope| {
            for agent in 1..=SENDERS {
                let outbox = &outbox;
                scope.spawn(move || {
                    for number in first..first + EACH {
                        let kept = outbox.put(&entry(agent, number), 0).unwrap();
                        assert_eq!(kept, Kept::Stored);
                    }
                });
            }
        });
        // Closing syncs nothing.
        drop(outbox);
        mount.cut(survives, &mut Rng::new(round as u64)).unwrap();
        let outbox = Outbox::open(&dir, LIMITS, 10).unwrap();
        assert_eq!(outbox.id(), 9, "{survives:?}");
        let expected = SENDERS as usize * (first + EACH) as usize;
        assert_eq!(outbox.waiting().entries, expected, "{survives:?}");
        let replayed = outbox.put(&entry(1, first), 0).unwrap();
        assert_eq!(replayed, Kept::Replayed, "{survives:?}");
        drop(outbox);
    }
}
