//! The two tasks of an edge node: finding out whether it is cut off, and forwarding what waits in
//! its outbox. On any other node they do nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ekho_storage::Outbox;
use ekho_storage::tables::agent::{self, Agent};
use ekho_storage::tables::outbox::OutboxEntry;
use ekho_storage::tables::{AgentNo, FleetNo, settings, system};
use tokio::time::Instant;

use crate::clock::now_ms;
use crate::machine::command::{self, Command, EdgeEntry, EdgeSend, NewMessage, Verdict};
use crate::machine::outcome::{EdgeResult, Outcome};
use crate::service::edge::blocking;
use crate::service::{Service, ServiceError};

/// Between two questions whether the leader is there.
const LOOK: Duration = Duration::from_millis(500);
/// How long one may take: the answer has to be applied here as well.
const PATIENCE: Duration = Duration::from_secs(3);
/// Between two tries to forward.
const PAUSE: Duration = Duration::from_millis(500);
/// Forwarded in one command.
const ENTRIES_AT_ONCE: usize = 64;
const BYTES_AT_ONCE: usize = 512 << 10;
/// When hooks that must be asked and did not answer are asked again.
const HOOK_RETRY: Duration = Duration::from_secs(5);
/// A sender that has to wait is asked about again after so long: operators may change limits.
const HOLD_MAX: Duration = Duration::from_secs(5);
/// How often old nonces are forgotten.
const FORGET: Duration = Duration::from_secs(60);

/// Finds out whether the node is cut off, until it stops. Opens the outbox as soon as the node is
/// an edge.
pub async fn watch(service: Arc<Service>) {
    let mut forgotten = Instant::now();
    loop {
        match open(&service).await {
            Ok(true) => {
                probe(&service).await;
                if forgotten.elapsed() > FORGET {
                    forgotten = Instant::now();
                    if let Err(error) = forget_nonces(&service).await {
                        tracing::warn!(%error, "old nonces of the outbox stay");
                    }
                }
            }
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "the outbox cannot be opened"),
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = service.stopping.cancelled() => return,
        }
    }
}

/// Whether the outbox is open.
async fn open(service: &Arc<Service>) -> Result<bool, ServiceError> {
    if service.edge.outbox().is_some() {
        return Ok(true);
    }
    if !service.edge.was_edge() && !service.is_edge()? {
        return Ok(false);
    }
    let opening = service.clone();
    let opened = tokio::task::spawn_blocking(move || opening.edge.open()).await;
    opened.map_err(|error| ServiceError::Internal(error.to_string()))??;
    // Sends that were left over by the run before.
    service.edge.stored.notify_one();
    Ok(true)
}

async fn probe(service: &Service) {
    let asked = Instant::now();
    match tokio::time::timeout(PATIENCE, service.node.read_point()).await {
        Ok(Ok(())) => service.edge.in_contact(asked),
        _ => service.edge.out_of_contact(),
    }
    tell_backlog(service);
}

/// Tells other nodes what waits here.
fn tell_backlog(service: &Service) {
    if let Some(backlog) = service.edge.backlog() {
        service.node.set_backlog(backlog);
    }
}

async fn forget_nonces(service: &Service) -> Result<(), ServiceError> {
    let Some(outbox) = service.edge.outbox() else {
        return Ok(());
    };
    let view = service.view();
    let skew_ms = settings::get(&view)?.timestamp_skew_ms;
    let memory_ms = system::get(&view)?.nonce_memory_ms(skew_ms);
    let before_ms = now_ms().saturating_sub(memory_ms);
    blocking(outbox, move |outbox| outbox.forget_nonces(before_ms)).await
}

/// Forwards what waits in the outbox, until the node stops.
pub async fn forward(service: Arc<Service>) {
    let mut held = Held::default();
    loop {
        tokio::select! {
            () = service.edge.stored.notified() => {}
            () = service.stopping.cancelled() => return,
        }
        while let Some(outbox) = service.edge.outbox().filter(|it| it.waiting().entries > 0) {
            let pause = match forward_some(&service, outbox, &mut held).await {
                Ok(true) => continue,
                Ok(false) => held.shortest(),
                Err(ServiceError::NoLeader { .. }) => PAUSE,
                Err(ServiceError::NotAnswered { .. }) => {
                    service.edge.disown();
                    PAUSE
                }
                Err(error) => {
                    tracing::warn!(%error, "what waits in the outbox is not forwarded yet");
                    PAUSE
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = service.stopping.cancelled() => return,
            }
        }
    }
}

/// Senders whose messages have to wait, and until when.
#[derive(Default)]
struct Held(HashMap<(FleetNo, AgentNo), Instant>);

impl Held {
    fn is_held(&self, fleet: FleetNo, agent: AgentNo) -> bool {
        let until = self.0.get(&(fleet, agent));
        until.is_some_and(|until| *until > Instant::now())
    }

    fn hold(&mut self, fleet: FleetNo, agent: AgentNo, pause: Duration) {
        let until = Instant::now() + pause;
        let held = self.0.entry((fleet, agent)).or_insert(until);
        *held = until.max(*held);
    }

    fn shortest(&mut self) -> Duration {
        let now = Instant::now();
        self.0.retain(|_, until| *until > now);
        let first = self.0.values().min();
        first.map_or(PAUSE, |first| (*first - now).min(PAUSE))
    }
}

/// Forwards the next few entries. False where none could be.
async fn forward_some(
    service: &Service,
    outbox: &Arc<Outbox>,
    held: &mut Held,
) -> Result<bool, ServiceError> {
    if service.node.read_point().await.is_err() {
        // Hooks are not asked in vain. Nothing is sent, to hear who would answer.
        propose(service, outbox, 0, Vec::new()).await?;
        return Ok(false);
    }
    let found = outbox.next(ENTRIES_AT_ONCE, BYTES_AT_ONCE, |fleet, agent| {
        held.is_held(fleet, agent)
    })?;
    let Some(fleet) = found.first().map(|(_, entry)| entry.fleet) else {
        return Ok(false);
    };
    let mut sends = Vec::with_capacity(found.len());
    for (seq, entry) in found {
        let sender = agent::get(&service.view(), fleet, entry.agent)?;
        let Some(sender) = sender else {
            return Err(ServiceError::Internal(format!(
                "entry {seq} of the outbox is of agent {}, which is not there",
                entry.agent
            )));
        };
        let message: NewMessage = command::decode(&entry.content)?;
        sends.push((seq, sender, entry, message));
    }
    ask_hooks(service, fleet, &mut sends, held).await?;
    if sends.is_empty() {
        return Ok(false);
    }
    let now = now_ms();
    let numbers: Vec<(u64, AgentNo)> = sends
        .iter()
        .map(|(seq, sender, ..)| (*seq, sender.no))
        .collect();
    let entries = sends.into_iter();
    let entries = entries.map(|(seq, _, entry, message)| forwarded(seq, entry, message, now));
    let results = propose(service, outbox, fleet, entries.collect()).await?;
    let mut decided = Vec::with_capacity(results.len());
    for ((seq, agent), result) in numbers.into_iter().zip(results) {
        match result {
            EdgeResult::Decided => decided.push(seq),
            EdgeResult::Later { retry_after_ms } => {
                let pause = Duration::from_millis(retry_after_ms);
                held.hold(fleet, agent, pause.min(HOLD_MAX));
            }
        }
    }
    let is_any = !decided.is_empty();
    if is_any {
        blocking(outbox, move |outbox| outbox.remove(&decided)).await?;
        tell_backlog(service);
    }
    Ok(is_any)
}

async fn propose(
    service: &Service,
    outbox: &Outbox,
    fleet: FleetNo,
    entries: Vec<EdgeEntry>,
) -> Result<Vec<EdgeResult>, ServiceError> {
    let send = EdgeSend {
        node_id: service.node.status().node_id,
        outbox: outbox.id(),
        fleet,
        entries,
    };
    match service.propose(&Command::EdgeSend(send)).await? {
        Outcome::EdgeSent { results } => Ok(results),
        outcome => Err(ServiceError::unexpected(&outcome)),
    }
}

fn forwarded(seq: u64, entry: OutboxEntry, message: NewMessage, now_ms: u64) -> EdgeEntry {
    EdgeEntry {
        seq,
        agent: entry.agent,
        credential: entry.credential,
        nonce: entry.nonce,
        timestamp_ms: entry.timestamp_ms,
        stored_ms: entry.stored_ms,
        waited_ms: now_ms.saturating_sub(entry.stored_ms),
        message,
    }
}

/// Asks hooks about the messages. Where one that must be asked does not answer, its sender's
/// messages stay, from that one on.
async fn ask_hooks(
    service: &Service,
    fleet: FleetNo,
    sends: &mut Vec<(u64, Agent, OutboxEntry, NewMessage)>,
    held: &mut Held,
) -> Result<(), ServiceError> {
    let asked = sends
        .iter_mut()
        .map(|(_, sender, _, message)| (&*sender, message));
    service.judge_stored(fleet, asked.collect()).await?;
    let mut behind = Vec::new();
    sends.retain(|(_, sender, _, message)| {
        if matches!(message.judged.verdict, Verdict::Unavailable { .. }) {
            held.hold(fleet, sender.no, HOOK_RETRY);
            behind.push(sender.no);
        }
        !behind.contains(&sender.no)
    });
    Ok(())
}
