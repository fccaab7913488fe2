//! Tells hooks and extensions what happened, from the audit log: on the leader only, in the order
//! of the log, each follower on its own.
//!
//! How far each was told is part of the state, so that a new leader goes on where the old one was;
//! it is written down once a second at most, so that the last second is told again after a crash.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ekho_client::Backoff;
use ekho_storage::tables::event::{self, Event, EventKind, Resource};
use ekho_storage::tables::hook::{self, HookEvent};
use ekho_storage::tables::sequence::{self, Sequence};
use ekho_storage::tables::{FleetNo, TimeMs, fleet};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock::{Iso, now_ms};
use crate::extension::{Call, Failure, NewFleet};
use crate::hooks::handle::{Handle, Happened, Retrying};
use crate::id;
use crate::machine::command::{Command, HookGaveUp};
use crate::service::judging::accepted;
use crate::service::{Service, ServiceError};

/// Between two looks at who follows, so that many small commits are taken together.
const PAUSE: Duration = Duration::from_millis(100);
/// A look although nobody woke it, in case a wake was missed.
const LOOK: Duration = Duration::from_secs(1);
/// Events read at once.
const STEP: usize = 200;
/// How often it is written down how far a follower came.
const SAVE: Duration = Duration::from_secs(1);
/// Events that nobody was told of, after which it is written down all the same.
const SAVE_EVENTS: u64 = 10_000;
/// Delays before something is told again: up to the first, doubling up to the last.
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// Runs until the node drains. Does something only while this node leads.
pub async fn run(service: Arc<Service>) {
    let mut leadership = service.node.leadership();
    // An extension that was never here before begins with what happens from now on.
    let before: BTreeSet<FleetNo> = match fleet::list(&service.view(), usize::MAX) {
        Ok(fleets) => fleets.into_iter().map(|fleet| fleet.no).collect(),
        Err(error) => {
            tracing::error!(%error, "fleets cannot be read, nobody is told what happens");
            return;
        }
    };
    loop {
        tokio::select! {
            began = leadership.wait_for(|leadership| leadership.is_self) => {
                if began.is_err() {
                    return;
                }
            }
            () = service.stopping.cancelled() => return,
        }
        lead(&service, &mut leadership, &before).await;
        if service.stopping.is_cancelled() {
            return;
        }
    }
}

/// Somebody who is being told.
struct Running {
    version: u32,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// All of them, by fleet and name.
type Everybody = BTreeMap<(FleetNo, String), Running>;

async fn lead(
    service: &Arc<Service>,
    leadership: &mut watch::Receiver<ekho_raft::Leadership>,
    before: &BTreeSet<FleetNo>,
) {
    let mut running = Everybody::new();
    loop {
        let recorded = service.waiters.recorded_next();
        tokio::pin!(recorded);
        recorded.as_mut().enable();
        if let Err(error) = look(service, &mut running, before) {
            tracing::warn!(%error, "who is told what happens");
        }
        let is_woken = tokio::select! {
            () = recorded => true,
            () = tokio::time::sleep(LOOK) => false,
            _ = leadership.wait_for(|leadership| !leadership.is_self) => break,
            () = service.stopping.cancelled() => break,
        };
        if is_woken {
            tokio::time::sleep(PAUSE).await;
        }
    }
    for one in running.values() {
        one.stop.cancel();
    }
    for (_, one) in running {
        // A follower that panicked has nothing more to save.
        let _ = one.task.await;
    }
}

/// Starts and stops followers, so that they are those of now.
fn look(
    service: &Arc<Service>,
    running: &mut Everybody,
    before: &BTreeSet<FleetNo>,
) -> Result<(), ServiceError> {
    let view = service.view();
    let mut wanted = BTreeMap::new();
    for fleet in fleet::list(&view, usize::MAX)? {
        if service.extensions.is_nobody(&view, fleet.no)? {
            continue;
        }
        let all = service.extensions.of(&view, &service.sealer, fleet.no)?;
        for handle in all.handles.iter().filter(|one| one.follows()) {
            let key = (fleet.no, handle.follower.clone());
            wanted.insert(key, (Arc::clone(handle), all.fleet_id.clone()));
        }
    }
    for (key, one) in running.iter() {
        if wanted
            .get(key)
            .is_none_or(|(handle, _)| handle.version != one.version)
        {
            one.stop.cancel();
        }
    }
    // Whoever is to be replaced has to be at its end first.
    running.retain(|_, one| !one.task.is_finished());
    for (key, (handle, fleet_id)) in wanted {
        if running.contains_key(&key) {
            continue;
        }
        let fleet = key.0;
        let head = sequence::last(&view, fleet, Sequence::Event)?;
        let saved = hook::position(&view, fleet, &handle.follower)?;
        let first = if before.contains(&fleet) { head } else { 0 };
        let stop = CancellationToken::new();
        let version = handle.version;
        let follower = Follower {
            service: Arc::clone(service),
            fleet,
            fleet_id,
            handle,
            stop: stop.clone(),
            position: saved.unwrap_or(first),
            saved,
            is_told: false,
            save_at: Instant::now() + SAVE,
        };
        let task = tokio::spawn(follower.run());
        running.insert(
            key,
            Running {
                version,
                stop,
                task,
            },
        );
    }
    Ok(())
}

/// One hook or extension of a fleet, and how far it was told.
struct Follower {
    service: Arc<Service>,
    fleet: FleetNo,
    fleet_id: String,
    handle: Arc<Handle>,
    stop: CancellationToken,
    /// The last event it was told, or need not be told.
    position: u64,
    /// The same, as it is written down.
    saved: Option<u64>,
    /// Whether it was told anything since that was written down.
    is_told: bool,
    save_at: Instant,
}

/// Whether to go on.
enum Step {
    /// There is more.
    More,
    /// Everything there was.
    Done,
    /// It is to stop.
    Stopped,
}

impl Follower {
    async fn run(mut self) {
        let service = Arc::clone(&self.service);
        loop {
            let recorded = service.waiters.recorded_next();
            tokio::pin!(recorded);
            recorded.as_mut().enable();
            match self.step().await {
                Ok(Step::More) => continue,
                Ok(Step::Done) => {}
                Ok(Step::Stopped) => break,
                Err(error) => tracing::debug!(%error, hook = self.handle.name, "told later"),
            }
            let until_saved = match self.is_unsaved() {
                true => self.save_at,
                false => Instant::now() + LOOK,
            };
            tokio::select! {
                () = recorded => {}
                () = tokio::time::sleep_until(until_saved) => {}
                () = self.stop.cancelled() => break,
                () = service.stopping.cancelled() => break,
            }
        }
        if self.is_unsaved()
            && let Err(error) = self.save().await
        {
            tracing::debug!(%error, hook = self.handle.name, "the last second is told again");
        }
    }

    /// Tells of the next events.
    async fn step(&mut self) -> Result<Step, ServiceError> {
        let view = self.service.view();
        let events = event::list(&view, self.fleet, self.position + 1, STEP)?;
        for stored in &events {
            let event = stored.event()?;
            if let Some(happened) = self.happened(&view, &event)? {
                if !self.tell(stored.seq, event.at_ms, &happened).await? {
                    return Ok(Step::Stopped);
                }
                self.is_told = true;
            }
            self.position = stored.seq;
            if self.is_unsaved() && Instant::now() >= self.save_at {
                self.save().await?;
            }
        }
        if self.is_unsaved() && Instant::now() >= self.save_at {
            self.save().await?;
        }
        Ok(match events.len() {
            STEP => Step::More,
            _ => Step::Done,
        })
    }

    /// What of an event the follower wants to hear.
    fn happened(
        &self,
        view: &ekho_storage::View,
        event: &Event,
    ) -> Result<Option<Happened>, ServiceError> {
        Ok(match (event.kind, &event.resource) {
            (EventKind::MessageQueued, Resource::Message(uuid))
                if self.handle.wants(HookEvent::AfterMessage) =>
            {
                let message = accepted(view, self.fleet, *uuid)?;
                message.map(|message| Happened::Message(Box::new(message)))
            }
            // The first fleet's log tells of all; a fleet's own would tell of it twice.
            (EventKind::FleetCreated, Resource::Other(_, id))
                if self.fleet == fleet::FIRST && self.handle.wants(HookEvent::FleetCreated) =>
            {
                Some(Happened::Fleet(NewFleet {
                    id: id.clone(),
                    name: fleet::by_id(view, id)?.map(|fleet| fleet.name),
                    created_at: Iso(event.at_ms),
                }))
            }
            _ => None,
        })
    }

    /// Tells of one event until it is heard, or its time is over; false where it is to stop.
    async fn tell(
        &mut self,
        seq: u64,
        at_ms: TimeMs,
        happened: &Happened,
    ) -> Result<bool, ServiceError> {
        let handle = Arc::clone(&self.handle);
        let call = Call {
            // The same for every try, so that a follower can tell that it has heard it.
            id: format!("{}_{seq:x}", handle.follower),
            fleet_id: self.fleet_id.clone(),
            at_ms,
        };
        let event_id = id::from_number("evt_", seq);
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MAX);
        let mut attempts = 0;
        loop {
            // It may have been switched off before this happened, or removed since.
            if !self.is_current()? {
                return Ok(false);
            }
            if let Some(left) = handle.left_alone(happened.event()) {
                if !self.wait(left).await {
                    return Ok(false);
                }
                continue;
            }
            let told = tokio::select! {
                told = handle.tell(&call, happened) => told,
                () = self.stop.cancelled() => return Ok(false),
                () = self.service.stopping.cancelled() => return Ok(false),
            };
            let failure = match told {
                Ok(()) => {
                    handle.retrying(None);
                    return Ok(true);
                }
                Err(Failure::LeftAlone) => continue,
                Err(failure) => failure,
            };
            attempts += 1;
            let now = now_ms();
            let retry_ms = u64::try_from(handle.retry_for().as_millis()).unwrap_or(u64::MAX);
            if now.saturating_sub(at_ms) >= retry_ms {
                handle.retrying(None);
                self.give_up(seq, event_id, happened, attempts, &failure)
                    .await?;
                return Ok(true);
            }
            let delay = backoff.next_delay(None);
            handle.retrying(Some(Retrying {
                event_id: event_id.clone(),
                attempts,
                next_ms: now + delay.as_millis() as u64,
            }));
            if !self.wait(delay).await {
                return Ok(false);
            }
        }
    }

    /// Whether it still is what the state says.
    fn is_current(&self) -> Result<bool, ServiceError> {
        let service = &self.service;
        let all = service
            .extensions
            .of(&service.view(), &service.sealer, self.fleet)?;
        let same = |one: &Arc<Handle>| {
            one.follower == self.handle.follower && one.version == self.handle.version
        };
        Ok(all.handles.iter().any(same))
    }

    async fn give_up(
        &mut self,
        seq: u64,
        event_id: String,
        happened: &Happened,
        attempts: u32,
        failure: &Failure,
    ) -> Result<(), ServiceError> {
        let gave_up = HookGaveUp {
            follower: self.handle.follower.clone(),
            name: self.handle.name.clone(),
            seq,
            event_id,
            event: happened.event().as_str().into(),
            attempts,
            last_error: failure.to_string(),
        };
        let fleet = self.fleet;
        self.service
            .propose(&Command::HookGaveUp { fleet, gave_up })
            .await?;
        self.service.metrics.hook_gave_up(&self.handle.name);
        self.saved = Some(seq);
        Ok(())
    }

    /// Waits that long; false where it is to stop.
    async fn wait(&self, time: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(time) => true,
            () = self.stop.cancelled() => false,
            () = self.service.stopping.cancelled() => false,
        }
    }

    fn is_unsaved(&self) -> bool {
        match self.saved {
            // The first position of an extension counts from now on.
            None => true,
            Some(saved) if self.is_told => saved < self.position,
            Some(saved) => self.position - saved.min(self.position) >= SAVE_EVENTS,
        }
    }

    async fn save(&mut self) -> Result<(), ServiceError> {
        // Also after a failure: it is not tried again at once.
        self.save_at = Instant::now() + SAVE;
        let positions = vec![(self.handle.follower.clone(), self.position)];
        let fleet = self.fleet;
        self.service
            .propose(&Command::Followed { fleet, positions })
            .await?;
        self.saved = Some(self.position);
        self.is_told = false;
        Ok(())
    }
}
