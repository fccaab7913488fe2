//! Works out from the audit log what people look for and count: on every node, off the path of
//! writes, a little behind them.
//!
//! Each step takes the next events of a fleet and writes what follows from them together with how
//! far it came, so that nothing is counted twice, whenever the node stops.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ekho_storage::tables::counter::{self, Counter};
use ekho_storage::tables::derived::{self, Conversation, Tag};
use ekho_storage::tables::event::{self, Actor, Event, EventKind, Resource};
use ekho_storage::tables::message::{self, Message};
use ekho_storage::tables::rollup::{self, AgentTotals, Pair, Span, Totals};
use ekho_storage::tables::sequence::{self, Sequence};
use ekho_storage::tables::{AgentNo, FleetNo, TimeMs, delivery, depth, fleet};
use ekho_storage::{State, StorageError, Txn};
use serde_json::Value;
use tokio::sync::Notify;
use unicode_segmentation::UnicodeSegmentation;

use crate::clock::now_ms;
use crate::id;
use crate::service::{Service, ServiceError};

/// Events of one step.
const STEP: usize = 500;
/// Between two looks, so that many small commits are taken together.
const PAUSE: Duration = Duration::from_millis(20);
/// After each step it leaves this many times as long to others: while messages come in, and while
/// none do. Under load it takes a twentieth of a core at most and falls behind rather than slow
/// down those who send.
const YIELD_BUSY: u32 = 19;
const YIELD_QUIET: u32 = 1;
/// A step that was held up itself, by a slow disk or a paused machine, is not waited for as often.
const YIELD_MAX: Duration = Duration::from_secs(1);
/// Rows of one write: commands wait while it is written.
const WRITE_ROWS: usize = 1000;
/// Events that are not worked out while somebody waits for a list.
const FAR_BEHIND: u64 = 20 * STEP as u64;
/// A look although nobody woke it, in case a wake was missed.
const LOOK: Duration = Duration::from_secs(1);
/// Words of one message that it is found by.
const WORDS_MAX: usize = 200;
/// Longer ones are no words.
const WORD_BYTES: usize = 64;
/// Recipients of one message that are counted.
const RECIPIENTS_MAX: usize = 10_000;
/// Too frequent to be found by their kind: the log itself is as good.
pub fn is_frequent(kind: EventKind) -> bool {
    matches!(
        kind,
        EventKind::MessageQueued | EventKind::MessageDelivered | EventKind::MessageAcked
    )
}

/// Wakes those who wait for the index to come so far.
#[derive(Default)]
pub struct Progress(Notify);

/// Runs until the node drains.
pub async fn run(service: Arc<Service>) {
    loop {
        let recorded = service.waiters.recorded_next();
        tokio::pin!(recorded);
        recorded.as_mut().enable();
        match all(&service).await {
            Ok(()) => {}
            Err(error) => tracing::warn!(%error, "what is worked out from the audit log"),
        }
        tokio::select! {
            () = recorded => {}
            () = tokio::time::sleep(LOOK) => {}
            () = service.stopping.cancelled() => return,
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Comes up with the log of every fleet.
async fn all(service: &Arc<Service>) -> Result<(), ServiceError> {
    let mut txn = service.state.begin();
    if derived::prepare(&mut txn)? {
        txn.commit()?;
    }
    for fleet in fleet::list(&service.view(), usize::MAX)? {
        loop {
            let began = Instant::now();
            let last = |seq| sequence::last(&service.view(), fleet.no, seq);
            let head = last(Sequence::Event)?;
            // Most fleets have nothing new, and a look is cheaper than a step.
            if is_up_to_date(service, fleet.no, head)? {
                break;
            }
            let step = {
                let service = Arc::clone(service);
                tokio::task::spawn_blocking(move || step(&service, fleet.no)).await
            };
            let more = step.map_err(|error| ServiceError::Internal(error.to_string()))??;
            service.progress.0.notify_waiters();
            let is_busy = last(Sequence::Event)? > head;
            let times = if is_busy { YIELD_BUSY } else { YIELD_QUIET };
            if more || is_busy {
                let pause = (began.elapsed() * times).min(YIELD_MAX);
                let rest = tokio::time::sleep(pause);
                if service.stopping.run_until_cancelled(rest).await.is_none() {
                    return Ok(());
                }
            }
            if !more {
                break;
            }
        }
    }
    Ok(())
}

/// Whether a fleet's events were all looked at. What was removed since is noted as well.
fn is_up_to_date(service: &Service, fleet: FleetNo, head: u64) -> Result<bool, StorageError> {
    let view = service.view();
    if derived::position(&view, fleet)? < head {
        return Ok(false);
    }
    let (floor, _) = event::anchor(&view, fleet)?;
    service.state.floors().raise(fleet, floor);
    Ok(true)
}

/// Takes the next events; whether there may be more.
fn step(service: &Service, fleet: FleetNo) -> Result<bool, StorageError> {
    let txn = service.state.begin();
    let (floor, _) = event::anchor(&txn, fleet)?;
    service.state.floors().raise(fleet, floor);
    let from = derived::position(&txn, fleet)?.max(floor) + 1;
    let events = event::list(&txn, fleet, from, STEP)?;
    let Some(last) = events.last().map(|stored| stored.seq) else {
        return Ok(false);
    };
    let mut step = Step::new(&service.state, txn, fleet);
    for stored in &events {
        step.take(stored.seq, &stored.event()?)?;
    }
    step.finish(last)?;
    Ok(events.len() == STEP)
}

impl Service {
    /// Waits until everything is worked out that was in the log when it was asked; not for ever:
    /// under great load that is later, and where it is far behind nobody waits in vain.
    pub async fn worked_out(&self, fleet: FleetNo) -> Result<(), ServiceError> {
        const PATIENCE: Duration = Duration::from_secs(2);
        let wanted = sequence::last(&self.view(), fleet, Sequence::Event)?;
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let advanced = self.progress.0.notified();
            tokio::pin!(advanced);
            advanced.as_mut().enable();
            let behind = wanted.saturating_sub(derived::position(&self.view(), fleet)?);
            if behind == 0 || behind > FAR_BEHIND {
                return Ok(());
            }
            tokio::select! {
                () = advanced => {}
                () = tokio::time::sleep_until(deadline) => return Ok(()),
                () = self.stopping.cancelled() => return Err(ServiceError::Stopping),
            }
        }
    }
}

/// What follows from some events, before it is written.
struct Step<'a> {
    state: &'a State,
    txn: Txn,
    fleet: FleetNo,
    /// Tags are written ahead and in parts: they need nothing that is stored, and putting one again
    /// changes nothing.
    tags: Txn,
    tag_rows: usize,
    totals: BTreeMap<(Span, u32), Totals>,
    pairs: BTreeMap<(Span, u32, AgentNo, AgentNo), Pair>,
    agents: BTreeMap<(Span, u32, AgentNo), AgentTotals>,
    /// The newest message of each as it is stored, and the conversation as it is after the events:
    /// written once, because every place that a conversation leaves stays in the way of whoever
    /// reads the newest.
    conversations: BTreeMap<String, (Option<u64>, Conversation)>,
}

impl<'a> Step<'a> {
    fn new(state: &'a State, txn: Txn, fleet: FleetNo) -> Self {
        Step {
            state,
            txn,
            fleet,
            tags: state.begin(),
            tag_rows: 0,
            totals: BTreeMap::new(),
            pairs: BTreeMap::new(),
            agents: BTreeMap::new(),
            conversations: BTreeMap::new(),
        }
    }

    fn take(&mut self, seq: u64, event: &Event) -> Result<(), StorageError> {
        let mut tags = BTreeSet::new();
        if !is_frequent(event.kind) {
            tags.insert(Tag::Kind(event.kind.as_str().into()));
            tags.insert(Tag::Kind(event.kind.family().into()));
        }
        match &event.actor {
            Actor::System => {}
            Actor::Agent(no) => {
                tags.insert(Tag::Agent(*no));
            }
            Actor::Operator(id) => {
                tags.insert(Tag::Operator(id.clone()));
            }
        }
        let mut conversation = event.conversation_id.clone();
        let mut about = None;
        match &event.resource {
            Resource::Message(uuid) => about = Some((*uuid, None)),
            Resource::Delivery(uuid, no) => {
                tags.insert(Tag::Agent(*no));
                about = Some((*uuid, Some(*no)));
            }
            Resource::Agent(no) => {
                tags.insert(Tag::Agent(*no));
            }
            Resource::Approval(uuid) => {
                tags.insert(Tag::Thing(id::from_uuid("apr_", *uuid)));
            }
            Resource::Conversation(id) => conversation = Some(id.clone()),
            Resource::Other(_, id) => {
                tags.insert(Tag::Thing(id.clone()));
            }
            Resource::Task(uuid) => {
                tags.insert(Tag::Thing(id::from_uuid("task_", *uuid)));
            }
        }
        let message = match about {
            Some((uuid, _)) => message::get(&self.txn, self.fleet, uuid)?,
            None => None,
        };
        if let Some(message) = &message {
            conversation.get_or_insert_with(|| message.conversation_id.clone());
        }
        if let (EventKind::MessageQueued, Some(message)) = (event.kind, &message) {
            self.said(seq, event.at_ms, message, &mut tags)?;
        }
        let recipient = about.and_then(|(_, no)| no);
        if let (EventKind::MessageRedirected, Some(message), Some(no)) =
            (event.kind, &message, recipient)
        {
            self.conversation(message)?.joined(no);
            tags.insert(Tag::Recipient(no));
        }
        self.count(event, message.as_ref(), recipient);
        tags.extend(conversation.map(Tag::Conversation));
        for tag in &tags {
            derived::put_tag(&mut self.tags, self.fleet, tag, seq);
            self.tag_rows += 1;
            if self.tag_rows >= WRITE_ROWS {
                std::mem::replace(&mut self.tags, self.state.begin()).commit()?;
                self.tag_rows = 0;
            }
        }
        Ok(())
    }

    /// A message was accepted: its words, its conversation, and who sent it to whom.
    fn said(
        &mut self,
        seq: u64,
        at_ms: TimeMs,
        message: &Message,
        tags: &mut BTreeSet<Tag>,
    ) -> Result<(), StorageError> {
        let body = message::body(&self.txn, self.fleet, message.uuid)?.unwrap_or_default();
        tags.extend(words_of(message, &body).into_iter().map(Tag::Word));
        // Not when it was made: an imported one was long before.
        let recipients = match message.single {
            Some(place) => vec![place],
            None => delivery::fan_out_list(&self.txn, self.fleet, message.uuid, 0, RECIPIENTS_MAX)?,
        };
        tags.extend((message.sender != 0).then_some(Tag::Sender(message.sender)));
        tags.extend(recipients.iter().map(|(no, _)| Tag::Recipient(*no)));
        let conversation = self.conversation(message)?;
        conversation.last_seq = seq;
        conversation.messages += 1;
        conversation.last_ms = at_ms;
        for no in [message.sender]
            .into_iter()
            .chain(recipients.iter().map(|(no, _)| *no))
        {
            conversation.joined(no);
        }
        let body_bytes = body.len() as u64;
        self.totals(at_ms, |totals| totals.accepted_bytes += body_bytes);
        self.agent(at_ms, message.sender, |agent| {
            agent.sent += 1;
            agent.sent_bytes += body_bytes;
        });
        for (recipient, _) in recipients {
            self.pair(at_ms, message.sender, recipient, |pair| pair.messages += 1);
            self.agent(at_ms, recipient, |agent| agent.received += 1);
        }
        Ok(())
    }

    /// The conversation of a message, as the events before it left it.
    fn conversation(&mut self, message: &Message) -> Result<&mut Conversation, StorageError> {
        let id = &message.conversation_id;
        let known = match self.conversations.entry(id.clone()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                let stored = derived::conversation(&self.txn, self.fleet, id)?;
                let before = stored.as_ref().map(|stored| stored.last_seq);
                let new = || Conversation {
                    id: id.clone(),
                    first_ms: message.created_ms,
                    ..Conversation::default()
                };
                place.insert((before, stored.unwrap_or_else(new)))
            }
        };
        Ok(&mut known.1)
    }

    fn count(&mut self, event: &Event, message: Option<&Message>, recipient: Option<AgentNo>) {
        let at_ms = event.at_ms;
        let lasted_ms = message.map(|message| at_ms.saturating_sub(message.created_ms));
        self.totals(at_ms, |totals| match event.kind {
            EventKind::MessageQueued => totals.accepted += 1,
            EventKind::MessageDelivered => totals.delivered += 1,
            EventKind::MessageAcked => {
                totals.acked += 1;
                if let Some(ms) = lasted_ms {
                    totals.acked_after(ms);
                }
            }
            EventKind::MessageExpired => totals.expired += 1,
            EventKind::MessageDeadLettered => {
                totals.dead_lettered += 1;
                totals.dead_lettered_timeout += u64::from(is_timeout(event));
            }
            EventKind::MessageRetryRequeued => {
                totals.retried += 1;
                totals.retried_timeout += u64::from(is_timeout(event));
            }
            EventKind::MessageCancelled => totals.cancelled += 1,
            EventKind::MessagePolicyDenied => totals.denied += 1,
            EventKind::AgentRateLimitExceeded => totals.rate_limited += 1,
            _ => {}
        });
        match (event.kind, &event.actor, &event.resource) {
            (EventKind::MessagePolicyDenied, Actor::Agent(no), _) => {
                self.agent(at_ms, *no, |agent| agent.denied += 1);
            }
            (EventKind::AgentRateLimitExceeded, _, Resource::Agent(no)) => {
                self.agent(at_ms, *no, |agent| agent.rate_limited += 1);
            }
            _ => {}
        }
        let failed = matches!(
            event.kind,
            EventKind::MessageExpired | EventKind::MessageDeadLettered
        );
        if let (true, Some(message), Some(recipient)) = (failed, message, recipient) {
            self.pair(at_ms, message.sender, recipient, |pair| pair.failed += 1);
            self.agent(at_ms, recipient, |agent| agent.failed += 1);
        }
    }

    fn totals(&mut self, at_ms: TimeMs, change: impl Fn(&mut Totals)) {
        for span in Span::TOTALS {
            change(self.totals.entry((span, span.of(at_ms))).or_default());
        }
    }

    fn agent(&mut self, at_ms: TimeMs, no: AgentNo, change: impl Fn(&mut AgentTotals)) {
        for span in Span::AGENTS {
            change(self.agents.entry((span, span.of(at_ms), no)).or_default());
        }
    }

    fn pair(
        &mut self,
        at_ms: TimeMs,
        sender: AgentNo,
        recipient: AgentNo,
        change: impl Fn(&mut Pair),
    ) {
        for span in Span::PAIRS {
            let key = (span, span.of(at_ms), sender, recipient);
            change(self.pairs.entry(key).or_default());
        }
    }

    /// Adds what was counted to what is stored, and notes how far it came.
    fn finish(self, last: u64) -> Result<(), StorageError> {
        self.tags.commit()?;
        let (mut txn, fleet) = (self.txn, self.fleet);
        let (totals, pairs, agents) = (self.totals, self.pairs, self.agents);
        // One that nothing was said in has lost its messages by now.
        let conversations = self.conversations.values();
        for (before, conversation) in conversations.filter(|(_, one)| one.messages > 0) {
            derived::put_conversation(&mut txn, fleet, *before, conversation);
        }
        for ((span, number), more) in totals {
            let mut stored = rollup::totals(&txn, fleet, span, number)?;
            if span == Span::Hour && stored == Totals::default() {
                rollup::forget_spans(&mut txn, fleet, now_ms());
            }
            if more != Totals::default() {
                stored.add(&more);
                rollup::put_totals(&mut txn, fleet, span, number, &stored);
            }
        }
        for ((span, number, sender, recipient), more) in pairs {
            let agents = (sender, recipient);
            let mut stored = rollup::pair(&txn, fleet, span, number, agents)?;
            stored.add(more);
            rollup::put_pair(&mut txn, fleet, span, number, agents, &stored);
        }
        for ((span, number, no), more) in agents {
            let mut stored = rollup::agent(&txn, fleet, span, number, no)?;
            stored.add(more);
            rollup::put_agent(&mut txn, fleet, span, number, no, &stored);
        }
        let queued = counter::get(&txn, fleet, Counter::DeliveryQueued)?;
        depth::note(&mut txn, fleet, depth::SPAN.of(now_ms()), queued)?;
        derived::put_position(&mut txn, fleet, last);
        txn.commit()
    }
}

/// Whether a delivery was put back or given up because nobody acked in time; else its recipient
/// gave it back, for a reason of its own.
fn is_timeout(event: &Event) -> bool {
    let payload: Value = serde_json::from_str(&event.payload).unwrap_or_default();
    matches!(
        payload["reason"].as_str(),
        Some("timeout" | "max_retries_exceeded")
    )
}

/// Words that a message is found by: those of the texts in its body, and its ids.
fn words_of(message: &Message, body: &[u8]) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    for id in [&message.conversation_id, &message.correlation_id] {
        words.extend(words_in(id));
        words.insert(id.to_lowercase());
    }
    words.insert(message.message_type.clone());
    if let Ok(body) = serde_json::from_slice::<Value>(body)
        && !is_encrypted(&body)
    {
        collect(&body, &mut words);
    }
    words
}

/// A body that only its readers can read has no words (docs/encryption.md).
fn is_encrypted(body: &Value) -> bool {
    let fields = body.as_object();
    fields.is_some_and(|fields| fields.len() == 1 && fields.contains_key("ekho_encrypted"))
}

fn collect(value: &Value, words: &mut BTreeSet<String>) {
    match value {
        _ if words.len() >= WORDS_MAX => {}
        Value::String(text) => {
            for word in words_in(text) {
                if words.len() < WORDS_MAX {
                    words.insert(word);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, words)),
        Value::Object(fields) => fields.values().for_each(|value| collect(value, words)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The words of a text, in lower case.
pub fn words_in(text: &str) -> impl Iterator<Item = String> + '_ {
    text.unicode_words()
        .map(str::to_lowercase)
        .filter(|word| word.len() <= WORD_BYTES)
}
