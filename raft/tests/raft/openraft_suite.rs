//! openraft's own conformance suite against our log and state machine.

use crate::common::{Counter, config, open_state};
use ekho_raft::log::{LogStore, LogWriter};
use ekho_raft::machine::{ApplyThread, StateMachine};
use ekho_raft::types::TypeConfig;
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use tempfile::TempDir;

struct Stores {
    tail_cache_bytes: usize,
}

/// Kept while a store is tested. Fields are dropped in this order.
struct Guard {
    _writer: LogWriter,
    _apply: ApplyThread,
    _dir: TempDir,
}

impl StoreBuilder<TypeConfig, LogStore, StateMachine, Guard> for Stores {
    async fn build(&self) -> Result<(Guard, LogStore, StateMachine), StorageError<TypeConfig>> {
        let dir = TempDir::new().unwrap();
        let mut config = config(dir.path());
        config.limits.tail_cache_bytes = self.tail_cache_bytes;
        let (log, writer) = LogStore::open(&config).unwrap();
        let state = open_state(dir.path());
        let (machine, apply) = StateMachine::open(&config, state, Counter::default()).unwrap();
        Ok((
            Guard {
                _writer: writer,
                _apply: apply,
                _dir: dir,
            },
            log,
            machine,
        ))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn passes_reading_from_memory() {
    Suite::test_all(Stores {
        tail_cache_bytes: 1 << 20,
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn passes_reading_from_disk() {
    Suite::test_all(Stores {
        tail_cache_bytes: 0,
    })
    .await
    .unwrap();
}
