//! Hooks and extensions as this node calls them: who is to be asked about what, each behind a
//! deadline and breakers, and measured.
//!
//! Hooks are read from the state once and again after each change of them. Nothing here decides
//! what follows from an answer; that is for `service` and `effects`.

pub mod breaker;
pub mod handle;
pub mod http;
pub mod sign;

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use ekho_storage::tables::hook::{self, HookEvent};
use ekho_storage::tables::{FleetNo, fleet};
use ekho_storage::{StorageError, View};

use crate::extension::Extension;
use crate::ingress::seal::Sealer;
use crate::metrics::Metrics;

use handle::Handle;
use http::{Clients, HttpHook};

/// Whether a text may name a hook or extension.
pub fn is_slug(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=64).contains(&name.len()) && name.bytes().all(plain)
}

/// Everybody who may be called on this node.
pub struct Hooks {
    /// Extensions of the process, in the order in which they were given.
    own: Vec<Arc<Handle>>,
    by_fleet: ArcSwap<HashMap<FleetNo, Arc<OfFleet>>>,
    clients: Clients,
    metrics: Arc<Metrics>,
}

/// Who is to be called for a fleet.
pub struct OfFleet {
    /// How often the fleet's hooks had been changed when they were read.
    pub changes: u64,
    /// The fleet's public id.
    pub fleet_id: String,
    /// Extensions of the process, then the fleet's hooks in their order.
    pub handles: Vec<Arc<Handle>>,
}

impl OfFleet {
    /// Those who want to hear of this, in the order in which they are called.
    pub fn wanting(&self, event: HookEvent) -> impl Iterator<Item = &Arc<Handle>> {
        self.handles.iter().filter(move |one| one.wants(event))
    }
}

impl Hooks {
    /// With these extensions of the process.
    pub fn new(extensions: Vec<Arc<dyn Extension>>, metrics: Arc<Metrics>) -> Self {
        let own = extensions
            .into_iter()
            .map(|extension| Arc::new(Handle::own(extension, Arc::clone(&metrics))))
            .collect();
        Hooks {
            own,
            by_fleet: ArcSwap::default(),
            clients: Clients::default(),
            metrics,
        }
    }

    /// What requests to hooks go out with.
    pub fn clients(&self) -> &Clients {
        &self.clients
    }

    /// Whether a fleet certainly has nobody to call: one cheap read.
    pub fn is_nobody(&self, view: &View, fleet: FleetNo) -> Result<bool, StorageError> {
        Ok(self.own.is_empty() && hook::changes(view, fleet)? == 0)
    }

    /// Who is to be called for a fleet, as the state has it now.
    pub fn of(
        &self,
        view: &View,
        sealer: &Sealer,
        fleet: FleetNo,
    ) -> Result<Arc<OfFleet>, StorageError> {
        // Read before the hooks: where a change comes between, the count is the older one, and
        // they are read again.
        let changes = hook::changes(view, fleet)?;
        let known = self.by_fleet.load().get(&fleet).cloned();
        if let Some(known) = &known
            && known.changes == changes
        {
            return Ok(Arc::clone(known));
        }
        let found = Arc::new(self.read(view, sealer, fleet, changes, known.as_deref())?);
        if let Some(before) = &known {
            self.forget(before, &found);
        }
        self.by_fleet.rcu(|all| {
            let mut all = HashMap::clone(all);
            all.insert(fleet, Arc::clone(&found));
            all
        });
        Ok(found)
    }

    fn read(
        &self,
        view: &View,
        sealer: &Sealer,
        fleet: FleetNo,
        changes: u64,
        before: Option<&OfFleet>,
    ) -> Result<OfFleet, StorageError> {
        let mut hooks = hook::list(view, fleet)?;
        hooks.sort_by(|a, b| (a.draft.priority, &a.id).cmp(&(b.draft.priority, &b.id)));
        let mut handles = self.own.clone();
        for hook in &hooks {
            // What is known of one that did not change stays known.
            let known = before.and_then(|before| {
                let mut known = before.handles.iter();
                known.find(|one| one.follower == hook.id && one.version == hook.version)
            });
            handles.push(match known {
                Some(known) => Arc::clone(known),
                None => {
                    let extension = HttpHook::new(hook, sealer, &self.clients);
                    let metrics = Arc::clone(&self.metrics);
                    Arc::new(Handle::hook(hook, Arc::new(extension), metrics))
                }
            });
        }
        let fleet_id = fleet::get(view, fleet)?.map(|fleet| fleet.id);
        Ok(OfFleet {
            changes,
            fleet_id: fleet_id.unwrap_or_default(),
            handles,
        })
    }

    /// Forgets what was measured of hooks that are gone.
    fn forget(&self, before: &OfFleet, after: &OfFleet) {
        for gone in &before.handles {
            if !after.handles.iter().any(|one| one.name == gone.name) {
                let events = HookEvent::ALL.map(HookEvent::as_str);
                self.metrics.hook_removed(&gone.name, &events);
            }
        }
    }
}
