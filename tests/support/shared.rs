//! Relays that tests share, because starting one takes longer than most tests.

use std::ops::Deref;
use std::sync::Arc;

use super::{Relay, RelayBuilder};

/// A relay that other tests use at the same time. Who uses it touches only agents enrolled for the
/// purpose, changes no setting and counts nothing that others change.
pub struct Shared(Arc<Relay>);

impl Deref for Shared {
    type Target = Relay;

    fn deref(&self) -> &Relay {
        &self.0
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.show_log();
        }
    }
}

impl RelayBuilder {
    /// The shared relay with these settings, started by the first to ask. It ends with the test
    /// process.
    pub async fn shared(self) -> Shared {
        static RELAYS: tokio::sync::Mutex<Vec<(RelayBuilder, Arc<Relay>)>> =
            tokio::sync::Mutex::const_new(Vec::new());
        let mut relays = RELAYS.lock().await;
        if let Some((_, relay)) = relays.iter().find(|(builder, _)| *builder == self) {
            return Shared(Arc::clone(relay));
        }
        let relay = Arc::new(self.clone().start().await);
        // Within its first half second a relay refuses reads signed before that has passed, and tests
        // that send a request as it is do not sign again. This one does.
        let [early] = relay.agents(["early"]).await;
        early.inbox().await;
        relays.push((self, Arc::clone(&relay)));
        Shared(relay)
    }
}

/// The shared relay with the tests' defaults.
pub async fn shared() -> Shared {
    Relay::builder().shared().await
}
