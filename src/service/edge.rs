//! An edge node: what it does for agents near it while it can reach no leader, where their fleet
//! allows it. Sends go into its outbox (`effects/edge.rs` forwards them), and inboxes are shown as
//! this node knows them. With a leader in reach it answers as any other node.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ekho_raft::Backlog;
use ekho_storage::tables::cluster::{self, Part};
use ekho_storage::tables::edge::{self, FleetSettings};
use ekho_storage::tables::message::Recipient;
use ekho_storage::tables::outbox::OutboxEntry;
use ekho_storage::tables::{FleetNo, TimeMs, agent, idempotency, settings, system};
use ekho_storage::{Kept, Outbox, OutboxLimits, StorageError, View};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::operators::Caller as OperatorCaller;
use super::policies::Hypothetical;
use super::{Caller, Service, ServiceError};
use crate::clock::now_ms;
use crate::id;
use crate::ingress::guard::{NonceGuard, Verdict};
use crate::machine::command::{self, NewMessage, OperatorRequest, Schedule};
use crate::machine::outcome::{HeldStatus, RateState, Refusal, Sent};

/// Longer than an election, shorter than anybody's patience.
const SILENCE_MAX: Duration = Duration::from_secs(3);
/// Earlier sends of the same sender are on their way.
const BEHIND: ServiceError = ServiceError::NoLeader {
    retry_after_ms: 1000,
};

/// What a node has for being an edge.
pub struct Edge {
    dir: PathBuf,
    limits: OutboxLimits,
    /// Open once the node is an edge, or was one.
    outbox: OnceLock<Arc<Outbox>>,
    /// Nonces of reads that were answered while the node was cut off.
    guard: NonceGuard,
    /// When the node last knew all that was decided.
    contact: Mutex<Contact>,
    /// Whether it is cut off.
    is_cut_off: watch::Sender<bool>,
    /// The leader answered that this node is not of its cluster any more.
    is_disowned: AtomicBool,
    /// Something was put into the outbox.
    pub(crate) stored: Notify,
}

struct Contact {
    /// None until there was one since the start.
    at: Option<Instant>,
    started: Instant,
}

/// What came of a send.
pub enum Sending {
    /// The leader decided, now or before; with the sender's window, where it was asked.
    Decided(Result<Sent, Refusal>, Option<RateState>),
    /// It is in the outbox of this node, since then.
    Stored {
        /// UUID of the message.
        message: u128,
        /// When it was accepted.
        stored_ms: TimeMs,
        /// Whether this answers a repeated idempotency key.
        repeated: bool,
    },
}

impl Edge {
    /// With its outbox in `dir`, once it has one.
    pub fn new(dir: PathBuf, limits: OutboxLimits) -> Self {
        Edge {
            dir,
            limits,
            outbox: OnceLock::new(),
            guard: NonceGuard::default(),
            contact: Mutex::new(Contact {
                at: None,
                started: Instant::now(),
            }),
            is_cut_off: watch::Sender::new(false),
            is_disowned: AtomicBool::new(false),
            stored: Notify::new(),
        }
    }

    /// The outbox, where there is one.
    pub fn outbox(&self) -> Option<&Arc<Outbox>> {
        self.outbox.get()
    }

    /// Whether the node was an edge before, so that something may wait.
    pub fn was_edge(&self) -> bool {
        self.dir.exists()
    }

    /// Opens the outbox. Blocks.
    pub fn open(&self) -> Result<(), StorageError> {
        let outbox = Outbox::open(&self.dir, self.limits, id::new_uuid())?;
        // Called by one task, once.
        let _ = self.outbox.set(Arc::new(outbox));
        Ok(())
    }

    /// What other nodes are told of it.
    pub fn backlog(&self) -> Option<Backlog> {
        let waiting = self.outbox.get()?.waiting();
        Some(Backlog {
            entries: waiting.entries as u64,
            oldest_ms: waiting.oldest_ms,
        })
    }

    /// The node knew all that was decided when it asked, at `asked`.
    pub fn in_contact(&self, asked: Instant) {
        self.contact.lock().at = Some(asked);
        self.is_disowned.store(false, Ordering::Relaxed);
        if self.is_cut_off.send_replace(false) {
            tracing::info!("the leader can be reached again");
            self.guard.leadership_ended();
        }
    }

    /// The node could not learn what was decided.
    pub fn out_of_contact(&self) {
        let since = {
            let contact = self.contact.lock();
            contact.at.unwrap_or(contact.started)
        };
        if since.elapsed() > SILENCE_MAX && !self.is_cut_off.send_replace(true) {
            tracing::warn!("no leader can be reached: this edge node is cut off");
            // Reads that were signed before may have been answered by the leader.
            self.guard.leadership_began(0, now_ms());
        }
    }

    /// The leader does not answer this node: what it stored would never be forwarded.
    pub fn disown(&self) {
        if !self.is_disowned.swap(true, Ordering::Relaxed) {
            tracing::error!("this node was removed; what waits in its outbox is not forwarded");
        }
    }

    fn is_cut_off(&self) -> bool {
        *self.is_cut_off.borrow()
    }

    /// How old what this node knows may be.
    fn view_age_ms(&self, view: &View) -> Result<u64, ServiceError> {
        let contact = self.contact.lock().at;
        Ok(match contact {
            Some(at) => at.elapsed().as_millis() as u64,
            // Since the start there was none; the state says when it last changed.
            None => now_ms().saturating_sub(system::get(view)?.now_ms),
        })
    }
}

impl Service {
    /// Whether this node is meant to be an edge.
    pub fn is_edge(&self) -> Result<bool, ServiceError> {
        let own = self.node.status().node_id;
        Ok(cluster::get(&self.view())?.part(own) == Part::Edge)
    }

    /// Whether this node does for a fleet what an edge does while it is cut off.
    fn serves_cut_off(&self, view: &View, fleet: FleetNo) -> Result<bool, ServiceError> {
        let is_disowned = self.edge.is_disowned.load(Ordering::Relaxed);
        Ok(!is_disowned && edge::settings(view, fleet)?.edge_outbox && self.is_edge()?)
    }

    /// The settings that the fleet has of its own.
    pub async fn fleet_settings(&self, fleet: FleetNo) -> Result<FleetSettings, ServiceError> {
        Ok(edge::settings(&self.operator_view().await?, fleet)?)
    }

    /// Changes them.
    pub async fn change_fleet_settings(
        &self,
        by: &OperatorCaller,
        after: FleetSettings,
    ) -> Result<(), ServiceError> {
        let request = OperatorRequest::ChangeFleetSettings(after);
        self.order(by, request).await.map(|_| ())
    }

    /// Sends one message; at an edge node that is cut off, into its outbox. What binds attachments
    /// is never stored there: whether they exist, the leader knows.
    pub async fn send_one(
        &self,
        caller: Caller,
        message: NewMessage,
        binds: Vec<u128>,
    ) -> Result<Sending, ServiceError> {
        let Some(outbox) = self.edge.outbox() else {
            return self.send_decided(caller, message, binds).await;
        };
        if !binds.is_empty() {
            if outbox.waits(caller.agent.fleet, caller.agent.no) {
                return Err(BEHIND);
            }
            return self.send_decided(caller, message, binds).await;
        }
        if outbox.waits(caller.agent.fleet, caller.agent.no) {
            // It must not overtake what its sender sent before.
            let stored = self.store(outbox, &caller, &message).await?;
            return stored.ok_or(BEHIND);
        }
        if self.edge.is_cut_off()
            && let Some(stored) = self.store(outbox, &caller, &message).await?
        {
            return Ok(stored);
        }
        match self
            .send_decided(caller.clone(), message.clone(), binds)
            .await
        {
            Err(no_leader @ ServiceError::NoLeader { .. }) => {
                let stored = self.store(outbox, &caller, &message).await?;
                stored.ok_or(no_leader)
            }
            decided => decided,
        }
    }

    /// Sends a batch, which is never stored; it does not overtake what its sender sent before.
    pub async fn send_batch(
        &self,
        caller: Caller,
        messages: Vec<NewMessage>,
        binds: Vec<Vec<u128>>,
    ) -> Result<(Vec<Result<Sent, Refusal>>, RateState), ServiceError> {
        let outbox = self.edge.outbox();
        if outbox.is_some_and(|outbox| outbox.waits(caller.agent.fleet, caller.agent.no)) {
            return Err(BEHIND);
        }
        self.send(caller, messages, binds).await
    }

    async fn send_decided(
        &self,
        caller: Caller,
        message: NewMessage,
        binds: Vec<u128>,
    ) -> Result<Sending, ServiceError> {
        let (results, rate) = self.send(caller, vec![message], vec![binds]).await?;
        match results.into_iter().next() {
            Some(result) => Ok(Sending::Decided(result, Some(rate))),
            None => Err(ServiceError::Internal("no outcome of a message".into())),
        }
    }

    /// Puts a send into the outbox. None where that is not for this send, or not for its fleet.
    async fn store(
        &self,
        outbox: &Arc<Outbox>,
        caller: &Caller,
        message: &NewMessage,
    ) -> Result<Option<Sending>, ServiceError> {
        let view = self.view();
        let sender = &caller.agent;
        let Some((key, request_hash)) = &message.idempotency else {
            return Ok(None);
        };
        if !self.serves_cut_off(&view, sender.fleet)? {
            return Ok(None);
        }
        self.refuse_used_nonce(&view, caller)?;
        if let Some(held) =
            HeldStatus::of(sender.status(&agent::live(&view, sender.fleet, sender.no)?))
        {
            return Err(Refusal::Held(held).into());
        }
        // Decided long ago, and this node knows it.
        let done = idempotency::get(&view, sender.fleet, sender.no, key)?;
        if let Some(done) = &done
            && done.request_hash != *request_hash
        {
            return Err(Refusal::IdempotencyConflict.into());
        }
        let stored_ms = now_ms();
        let settings = settings::get(&view)?;
        let memory_ms = system::get(&view)?.nonce_memory_ms(settings.timestamp_skew_ms);
        let since_ms = stored_ms.saturating_sub(memory_ms);
        if let Some(done) = done {
            let nonce = caller.nonce.clone();
            self.take_nonce(outbox, caller, nonce, since_ms).await?;
            let sent = Sent {
                message: done.message,
                queued_ms: done.queued_ms,
                deliver_at_ms: done.deliver_at_ms,
                repeated: true,
            };
            return Ok(Some(Sending::Decided(Ok(sent), None)));
        }
        if self.node.status().disk_full {
            return Err(ServiceError::DiskFull);
        }
        // One that waits already is answered again, whatever is said of new ones.
        if !outbox.knows(sender.fleet, sender.no, key) {
            let window_ms = settings.rate_window_ms.max(1);
            let window_began_ms = stored_ms - stored_ms % window_ms;
            let used = outbox.accepted_since(sender.fleet, sender.no, window_began_ms) as u64;
            if used >= settings.rate_max_messages {
                let retry_after_ms = window_began_ms + window_ms - stored_ms;
                return Err(Refusal::RateLimited { retry_after_ms }.into());
            }
            self.refuse_denied(caller, message, stored_ms)?;
        }
        let mut message = message.clone();
        if let Schedule::DelayMs(delay_ms) = message.schedule {
            message.schedule = Schedule::AtMs(stored_ms.saturating_add(delay_ms));
        }
        let entry = OutboxEntry {
            fleet: sender.fleet,
            agent: sender.no,
            credential: caller.credential,
            nonce: caller.nonce.clone(),
            timestamp_ms: caller.timestamp_ms,
            stored_ms,
            key: key.clone(),
            request_hash: *request_hash,
            message: message.uuid,
            content: command::encode(&message).to_vec(),
        };
        let uuid = message.uuid;
        let kept = blocking(outbox, move |outbox| outbox.put(&entry, since_ms)).await;
        let kept = kept.map_err(|error| {
            // What of it is on the disk, the next start finds out.
            tracing::error!(%error, "a send could not be written to the outbox");
            ServiceError::OutcomeUnknown
        })?;
        let stored = |message, stored_ms, repeated| Sending::Stored {
            message,
            stored_ms,
            repeated,
        };
        match kept {
            Kept::Stored => {
                self.edge.stored.notify_one();
                Ok(Some(stored(uuid, stored_ms, false)))
            }
            Kept::Repeated { message, stored_ms } => Ok(Some(stored(message, stored_ms, true))),
            Kept::Conflict => Err(Refusal::IdempotencyConflict.into()),
            Kept::Replayed => Err(Refusal::ReplayedNonce.into()),
            Kept::Full => Err(ServiceError::OutboxFull),
            Kept::Busy => Err(BEHIND),
        }
    }

    /// Refuses early what a policy that this node knows keeps from its recipient; once the send is
    /// forwarded it is asked about for good.
    fn refuse_denied(
        &self,
        caller: &Caller,
        message: &NewMessage,
        at_ms: TimeMs,
    ) -> Result<(), ServiceError> {
        let fleet = caller.agent.fleet;
        let Recipient::Agent(recipient) = &message.recipient else {
            return Ok(());
        };
        let rules = self.rules.get(&self.view(), fleet)?;
        if rules.is_empty() {
            return Ok(());
        }
        let asked = Hypothetical {
            sender_agent_id: caller.agent.id.clone(),
            recipient_agent_id: Some(recipient.clone()),
            message_type: message.message_type.clone(),
            priority: message.priority,
            conversation_id: message.conversation_id.clone(),
            body: String::from_utf8_lossy(&message.body).into_owned(),
            at_ms,
        };
        let denied_by = self.preview(fleet, &asked, |question| {
            let verdict = rules.judge(question)?;
            let decided = verdict.decided_by.filter(|_| verdict.refused());
            Ok(decided.map(|policy| policy.draft.name.clone()))
        })?;
        match denied_by {
            Some(policy) => Err(Refusal::PolicyDenied(policy).into()),
            None => Ok(()),
        }
    }

    async fn take_nonce(
        &self,
        outbox: &Arc<Outbox>,
        caller: &Caller,
        nonce: String,
        since_ms: TimeMs,
    ) -> Result<(), ServiceError> {
        let (fleet, agent) = (caller.agent.fleet, caller.agent.no);
        let now = now_ms();
        let take = move |outbox: &Outbox| outbox.take_nonce(fleet, agent, &nonce, since_ms, now);
        match blocking(outbox, take).await? {
            true => Ok(()),
            false => Err(Refusal::ReplayedNonce.into()),
        }
    }

    /// Whether this read is answered from what this node knows, because it is cut off and the
    /// fleet allows it; its nonce is used up here then.
    pub async fn vouch_cut_off(&self, caller: &Caller) -> Result<bool, ServiceError> {
        let Some(outbox) = self.edge.outbox().filter(|_| self.edge.is_cut_off()) else {
            return Ok(false);
        };
        let view = self.view();
        let sender = &caller.agent;
        if !self.serves_cut_off(&view, sender.fleet)? {
            return Ok(false);
        }
        self.refuse_used_nonce(&view, caller)?;
        let now = now_ms();
        let skew_ms = settings::get(&view)?.timestamp_skew_ms;
        let keep_ms = system::get(&view)?.nonce_memory_ms(skew_ms);
        let (fleet, no, nonce) = (sender.fleet, sender.no, &caller.nonce);
        let verdict = self
            .edge
            .guard
            .take(fleet, no, nonce, caller.timestamp_ms, now, keep_ms);
        match verdict {
            Verdict::Accepted { .. } => Ok(true),
            Verdict::Replayed => Err(Refusal::ReplayedNonce.into()),
            Verdict::BeforeLeadership => Err(ServiceError::BeforeLeadership),
            Verdict::NeedsLog => {
                let since_ms = now.saturating_sub(keep_ms);
                self.take_nonce(outbox, caller, nonce.clone(), since_ms)
                    .await?;
                Ok(true)
            }
            // The link has come back this moment.
            Verdict::NotLeading => Ok(false),
        }
    }

    /// Reads as [`Service::read`] does, or where this node is cut off what it knows; with the age
    /// of that.
    pub async fn read_or_look(&self, caller: &Caller) -> Result<(View, Option<u64>), ServiceError> {
        match self.vouch_cut_off(caller).await? {
            true => {
                let view = self.view();
                let age_ms = self.edge.view_age_ms(&view)?;
                Ok((view, Some(age_ms)))
            }
            false => Ok((self.read(caller).await?, None)),
        }
    }

    /// How old what this node knows may be, while it is cut off.
    pub(super) fn view_age_ms(&self) -> Result<u64, ServiceError> {
        self.edge.view_age_ms(&self.view())
    }

    /// Waits until a leader can be reached, until then, or until the node is about to stop.
    pub(super) async fn contact_or(&self, deadline: Instant) {
        let mut is_cut_off = self.edge.is_cut_off.subscribe();
        tokio::select! {
            _ = is_cut_off.wait_for(|is_cut_off| !is_cut_off) => {}
            () = tokio::time::sleep_until(deadline) => {}
            () = self.draining.cancelled() => {}
        }
    }
}

/// Works on the outbox where waiting for the disk holds nobody up.
pub(crate) async fn blocking<T: Send + 'static>(
    outbox: &Arc<Outbox>,
    work: impl FnOnce(&Outbox) -> Result<T, StorageError> + Send + 'static,
) -> Result<T, ServiceError> {
    let outbox = outbox.clone();
    let done = tokio::task::spawn_blocking(move || work(&outbox)).await;
    match done {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) if error.is_no_space() => Err(ServiceError::DiskFull),
        Ok(Err(error)) => Err(error.into()),
        Err(error) => Err(ServiceError::Internal(error.to_string())),
    }
}
