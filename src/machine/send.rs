//! Accepting messages: who may send what to whom, and what is written when they may.

use ekho_storage::StorageError;
use ekho_storage::breakage::{Break, is_broken};
use ekho_storage::tables::agent::{self, Agent, AutoHold};
use ekho_storage::tables::approval::{Approval, ApprovalStatus, Risk};
use ekho_storage::tables::counter::Counter;
use ekho_storage::tables::delivery;
use ekho_storage::tables::due::{self, Due};
use ekho_storage::tables::event::{Actor, EventKind, Resource};
use ekho_storage::tables::idempotency::{self, Idempotency};
use ekho_storage::tables::message::{self, Message, MessageState, Recipient};
use ekho_storage::tables::rate::{self, RateWindow};
use ekho_storage::tables::room::{self, Room};
use ekho_storage::tables::sequence::{self, Sequence};
use ekho_storage::tables::{AgentNo, FleetNo, a2a_client, conversation};

use super::access::Principal;
use super::agent::auto_quarantine;
use super::apply::{Apply, payload};
use super::attachment;
use super::command::{NewMessage, Schedule};
use super::delivery::{close_approval, make};
use super::hook;
use super::keys;
use super::outcome::{HeldStatus, Outcome, RateState, Refusal, Sent};
use super::policy::{self, Permitted};
use super::task;

/// Ids of rooms begin like this; a conversation under such an id belongs to the room.
pub const ROOM_PREFIX: &str = "room_";

/// Considers each message on its own. `attachments` has what each of them binds, where it is
/// anything.
pub(crate) fn send(
    apply: &mut Apply<'_>,
    sender: Agent,
    messages: Vec<NewMessage>,
    attachments: &[Vec<u128>],
) -> Result<Outcome, StorageError> {
    let mut sender = sender;
    let mut results = Vec::with_capacity(messages.len());
    for (place, new) in messages.into_iter().enumerate() {
        let binds = attachments.get(place).map_or(&[][..], Vec::as_slice);
        results.push(send_one(apply, &mut sender, new, binds)?);
    }
    let rate = rate_state(apply, &sender)?;
    Ok(Outcome::Sent { results, rate })
}

pub(crate) fn send_one(
    apply: &mut Apply<'_>,
    sender: &mut Agent,
    new: NewMessage,
    binds: &[u128],
) -> Result<Result<Sent, Refusal>, StorageError> {
    let now = apply.now();
    if let Some(held) = HeldStatus::of(apply.status(sender)?)
        && !is_broken(Break::SkipPolicyInApply)
    {
        return Ok(Err(Refusal::Held(held)));
    }
    if let Some(result) = repeated(apply, Author::Agent(sender), &new)? {
        return Ok(result);
    }
    let rate = rate_state(apply, sender)?;
    if rate.remaining == 0 {
        violation(apply, sender)?;
        return Ok(Err(Refusal::RateLimited {
            retry_after_ms: rate.reset_ms.saturating_sub(now),
        }));
    }
    if by_revoked_key(apply, sender.fleet, &new)? {
        return Ok(Err(Refusal::KeyRevoked));
    }
    let recipients = match recipients(apply, Author::Agent(sender), &new)? {
        Ok(recipients) => recipients,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if let Some(refusal) = attachment::refused(apply, sender.fleet, Some(sender.no), binds)? {
        return Ok(Err(refusal));
    }
    if is_broken(Break::SkipPolicyInApply) {
        use_up(apply, sender, &rate);
        let permitted = Permitted::all(recipients);
        return accept(apply, Author::Agent(sender), new, binds, permitted).map(Ok);
    }
    let permitted = match policy::permitted(apply, sender, &new, recipients)? {
        Ok(permitted) => permitted,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if let Some(refusal) = hook::refused(apply, sender, &new)? {
        // It counts as well where it is the message's fault: nobody may try out a scanner without
        // end.
        if matches!(refusal, Refusal::ExtensionBlocked { .. }) {
            use_up(apply, sender, &rate);
        }
        return Ok(Err(refusal));
    }
    use_up(apply, sender, &rate);
    let accepted = accept(apply, Author::Agent(sender), new, binds, permitted)?;
    if is_broken(Break::RefuseAccepted) && accepted.message.is_multiple_of(8) {
        return Ok(Err(Refusal::Held(HeldStatus::Paused)));
    }
    Ok(Ok(accepted))
}

/// The refusal of what an agent answers to an A2A client outside the inbox, where it may not: as a
/// message to the client it would not have been accepted either. It counts against no rate, because
/// the client asked for it.
pub(crate) fn refused_answer(
    apply: &mut Apply<'_>,
    sender: &mut Agent,
    new: &NewMessage,
    client: AgentNo,
) -> Result<Option<Refusal>, StorageError> {
    if let Some(held) = HeldStatus::of(apply.status(sender)?) {
        return Ok(Some(Refusal::Held(held)));
    }
    match policy::permitted(apply, sender, new, vec![client])? {
        // Nobody waits for an operator in the middle of an answer.
        Ok(Permitted {
            approval_for: Some(policy),
            ..
        }) => return Ok(Some(Refusal::PolicyDenied(policy))),
        Ok(_) => {}
        Err(refusal) => return Ok(Some(refusal)),
    }
    hook::refused(apply, sender, new)
}

/// Puts what an agent answers into the inbox of who asked; [`refused_answer`] had nothing against it.
pub(crate) fn deliver_answer(
    apply: &mut Apply<'_>,
    sender: &Agent,
    new: NewMessage,
    client: AgentNo,
) -> Result<(), StorageError> {
    let permitted = Permitted::all(vec![client]);
    accept(apply, Author::Agent(sender), new, &[], permitted).map(|_| ())
}

/// Counts one message in the sender's window.
fn use_up(apply: &mut Apply<'_>, sender: &Agent, rate: &RateState) {
    if is_broken(Break::UncountedRate) {
        return;
    }
    let now = apply.now();
    let window_ms = apply.settings.rate_window_ms.max(1);
    let used = rate.limit - rate.remaining + 1;
    rate::put(
        apply.txn,
        sender.fleet,
        sender.no,
        &RateWindow {
            start_ms: now - now % window_ms,
            count: used,
        },
    );
}

/// Who sends a message.
#[derive(Clone, Copy)]
pub(crate) enum Author<'a> {
    Agent(&'a Agent),
    Operator(&'a Principal),
}

impl Author<'_> {
    pub fn fleet(self) -> FleetNo {
        match self {
            Author::Agent(agent) => agent.fleet,
            Author::Operator(by) => by.fleet,
        }
    }

    /// The agent's number; 0, which no agent has, for an operator.
    fn no(self) -> AgentNo {
        match self {
            Author::Agent(agent) => agent.no,
            Author::Operator(_) => 0,
        }
    }

    fn id(self) -> String {
        match self {
            Author::Agent(agent) => agent.id.clone(),
            Author::Operator(by) => by.operator.id.clone(),
        }
    }

    fn actor(self) -> Actor {
        match self {
            Author::Agent(agent) => Actor::Agent(agent.no),
            Author::Operator(by) => Actor::Operator(by.operator.id.clone()),
        }
    }
}

/// Whether a message is signed end to end with a key that was revoked.
fn by_revoked_key(
    apply: &Apply<'_>,
    fleet: FleetNo,
    new: &NewMessage,
) -> Result<bool, StorageError> {
    match &new.envelope {
        Some(envelope) => keys::is_revoked(apply.txn, fleet, &envelope.key_id),
        None => Ok(false),
    }
}

/// Sends a message for an operator, whom neither policies nor rates keep from it.
pub(crate) fn send_for_operator(
    apply: &mut Apply<'_>,
    by: &Principal,
    new: NewMessage,
    binds: &[u128],
) -> Result<Outcome, StorageError> {
    let author = Author::Operator(by);
    let result = match repeated(apply, author, &new)? {
        Some(result) => result,
        None if by_revoked_key(apply, by.fleet, &new)? => Err(Refusal::KeyRevoked),
        None => match recipients(apply, author, &new)? {
            Ok(recipients) => match attachment::refused(apply, by.fleet, None, binds)? {
                Some(refusal) => Err(refusal),
                None => {
                    let permitted = Permitted::all(recipients);
                    Ok(accept(apply, author, new, binds, permitted)?)
                }
            },
            Err(refusal) => Err(refusal),
        },
    };
    Ok(match result {
        Ok(sent) => Outcome::Sent {
            results: vec![Ok(sent)],
            rate: RateState::default(),
        },
        Err(refusal) => Outcome::Refused(refusal),
    })
}

/// The answer to a message that was sent before under the same idempotency key.
pub(crate) fn repeated(
    apply: &Apply<'_>,
    author: Author<'_>,
    new: &NewMessage,
) -> Result<Option<Result<Sent, Refusal>>, StorageError> {
    let Some((key, hash)) = &new.idempotency else {
        return Ok(None);
    };
    if is_broken(Break::ForgetKeys) {
        return Ok(None);
    }
    let done = idempotency::get(apply.txn, author.fleet(), author.no(), key)?;
    Ok(done.map(|done| match done.request_hash == *hash {
        true => Ok(Sent {
            message: done.message,
            queued_ms: done.queued_ms,
            deliver_at_ms: done.deliver_at_ms,
            repeated: true,
        }),
        false => Err(Refusal::IdempotencyConflict),
    }))
}

/// Writes an accepted message and what follows from it.
pub(crate) fn accept(
    apply: &mut Apply<'_>,
    author: Author<'_>,
    mut new: NewMessage,
    binds: &[u128],
    permitted: Permitted,
) -> Result<Sent, StorageError> {
    if is_broken(Break::Rename) && new.body.len() > 1_000 {
        new.correlation_id.push('0');
    }
    if is_broken(Break::Reserialize)
        && let Ok(body) = serde_json::from_slice::<serde_json::Value>(&new.body)
    {
        new.body = body.to_string().into_bytes();
    }
    let recipients = permitted.recipients;
    let must_wait = new.requires_approval || permitted.approval_for.is_some();
    let mut tags = new.tags;
    tags.extend(permitted.tags);
    tags.sort_unstable();
    tags.dedup();
    let now = apply.now();
    let fleet = author.fleet();
    let deliver_at_ms = match new.schedule {
        Schedule::Now => now,
        Schedule::DelayMs(delay) => now.saturating_add(delay),
        Schedule::AtMs(at) => at.max(now),
    };
    let deadline_ms = deliver_at_ms.saturating_add(new.ttl_ms);

    let seq = sequence::next(apply.txn, fleet, Sequence::Message)?;
    let mut stored = Message {
        uuid: new.uuid,
        seq,
        sender: author.no(),
        sender_id: author.id(),
        recipient: new.recipient,
        message_type: new.message_type,
        priority: new.priority,
        approval: must_wait.then_some(new.approval),
        metadata: new.judged.metadata.or(new.metadata),
        tags,
        conversation_id: new.conversation_id,
        correlation_id: new.correlation_id,
        envelope: new.envelope,
        created_ms: now,
        deliver_at_ms,
        deadline_ms,
        state: if must_wait {
            MessageState::PendingApproval
        } else {
            MessageState::Open
        },
        single: None,
        delivery_count: recipients.len() as u32,
        open: recipients.len() as u32,
        dead: false,
        dead_until_ms: 0,
    };
    conversation::put_message(apply.txn, fleet, &stored.conversation_id, seq, stored.uuid);
    if let Author::Agent(sender) = author {
        conversation::put_participant(apply.txn, fleet, &stored.conversation_id, sender.no)?;
    }
    let mut places: Vec<(AgentNo, u64)> = Vec::with_capacity(recipients.len());
    for recipient in recipients {
        let place = make(apply, fleet, recipient, &stored, must_wait)?;
        conversation::put_participant(apply.txn, fleet, &stored.conversation_id, recipient)?;
        places.push((recipient, place));
    }
    match (&stored.recipient, places.as_slice()) {
        (Recipient::Agent(_), [only]) => stored.single = Some(*only),
        _ => {
            for (recipient, place) in &places {
                delivery::put_fan_out(apply.txn, fleet, stored.uuid, *recipient, *place);
            }
        }
    }
    message::put_body(apply.txn, fleet, stored.uuid, &new.body);
    attachment::bind(apply, fleet, stored.uuid, binds)?;
    apply.count(fleet, Counter::MessageAccepted, 1)?;
    apply.count(fleet, Counter::MessageOpen, 1)?;
    apply.record(
        fleet,
        EventKind::MessageQueued,
        author.actor(),
        Resource::Message(stored.uuid),
    )?;
    policy::count(apply, fleet, stored.sender, permitted.counted)?;
    for (why, to) in permitted.redirected {
        let delivery = Resource::Delivery(stored.uuid, to);
        let kind = EventKind::MessageRedirected;
        apply.record_with(fleet, kind, Actor::System, delivery, None, why)?;
    }
    if let (true, Author::Agent(sender)) = (must_wait, author) {
        let policy = permitted.approval_for.as_deref();
        request_approval(apply, sender, &stored, new.approval, policy)?;
    }
    if places.is_empty() {
        // A broadcast in a fleet of one, or a room of one: accepted, and over at once.
        close_approval(apply, fleet, &stored, ApprovalStatus::Cancelled)?;
        stored.state = MessageState::Done;
        super::delivery::message_done(apply, fleet, &stored, false)?;
    }
    message::put(apply.txn, fleet, &stored);
    if let Some((key, request_hash)) = new.idempotency {
        let done = Idempotency {
            request_hash,
            message: stored.uuid,
            queued_ms: now,
            deliver_at_ms,
        };
        idempotency::put(apply.txn, fleet, author.no(), &key, &done);
        let until_ms = now + apply.settings.idempotency_ms;
        due::put(
            apply.txn,
            until_ms,
            &Due::Idempotency {
                fleet,
                agent: author.no(),
                key,
            },
        );
    }
    Ok(Sent {
        message: stored.uuid,
        queued_ms: now,
        deliver_at_ms,
        repeated: false,
    })
}

/// Numbers of the agents a message reaches, each once, in the order of their numbers.
fn recipients(
    apply: &Apply<'_>,
    author: Author<'_>,
    new: &NewMessage,
) -> Result<Result<Vec<AgentNo>, Refusal>, StorageError> {
    let fleet = author.fleet();
    let names_room = new.conversation_id.starts_with(ROOM_PREFIX);
    let is_group = matches!(&new.recipient, Recipient::Group(_));
    let is_that_room = matches!(&new.recipient, Recipient::Group(id) if *id == new.conversation_id);
    if names_room && !is_that_room && room::get(apply.txn, fleet, &new.conversation_id)?.is_some() {
        return Ok(Err(Refusal::RoomConversation));
    }
    let numbers = match &new.recipient {
        Recipient::Agent(id) => match apply.live_agent(fleet, id)? {
            // Elsewhere only A2A is understood.
            Some(agent) if agent.is_remote() && new.message_type != task::MESSAGE_TYPE => {
                return Ok(Err(Refusal::OnlyA2a));
            }
            Some(agent) if !agent.is_client() => vec![redirected(apply, &agent)?],
            _ => return Ok(Err(Refusal::UnknownRecipient)),
        },
        Recipient::Group(id) => {
            let room = room::get(apply.txn, fleet, id)?;
            let may = |room: &Room| match author {
                Author::Agent(sender) => room.members.contains(&sender.no),
                Author::Operator(_) => true,
            };
            let Some(room) = room.filter(may) else {
                return Ok(Err(Refusal::UnknownRecipient));
            };
            let mut numbers = Vec::with_capacity(room.members.len());
            for member in room.members {
                if member == author.no() {
                    continue;
                }
                if let Some(agent) =
                    agent::get(apply.txn, fleet, member)?.filter(|agent| !agent.revoked)
                {
                    numbers.push(redirected(apply, &agent)?);
                }
            }
            numbers
        }
        Recipient::Broadcast => {
            let limit = apply.settings.max_fan_out;
            // One more than allowed, and the sender, tell whether there are too many.
            let agents = agent::list(apply.txn, fleet, 0, apply.settings.max_agents as usize)?;
            let mut numbers = Vec::with_capacity(agents.len());
            for agent in agents
                .iter()
                .filter(|agent| is_among_all(agent) && agent.no != author.no())
            {
                numbers.push(redirected(apply, agent)?);
            }
            if numbers.len() as u64 > limit {
                return Ok(Err(Refusal::TooManyRecipients { limit }));
            }
            numbers
        }
    };
    let mut numbers = numbers;
    if is_group || matches!(new.recipient, Recipient::Broadcast) {
        numbers.sort_unstable();
        numbers.dedup();
        // A redirect may have pointed back at the sender.
        numbers.retain(|number| *number != author.no());
    }
    Ok(Ok(numbers))
}

/// Whether an agent receives what is sent to all.
fn is_among_all(agent: &Agent) -> bool {
    !agent.revoked && !agent.is_client() && !agent.is_remote()
}

/// The agent that receives in this one's place: itself, or whom an operator's hold names. One
/// hop only, so that redirects cannot circle.
fn redirected(apply: &Apply<'_>, agent: &Agent) -> Result<AgentNo, StorageError> {
    if is_broken(Break::Misroute) && agent.no == 2 {
        return Ok(3);
    }
    let Some(target) = agent.hold.as_ref().and_then(|hold| hold.redirect_to) else {
        return Ok(agent.no);
    };
    let live = agent::get(apply.txn, agent.fleet, target)?.is_some_and(|target| !target.revoked);
    Ok(if live { target } else { agent.no })
}

/// The sender's window as it stands now.
pub(crate) fn rate_state(apply: &Apply<'_>, sender: &Agent) -> Result<RateState, StorageError> {
    let window_ms = apply.settings.rate_window_ms.max(1);
    let start_ms = apply.now() - apply.now() % window_ms;
    let window = rate::get(apply.txn, sender.fleet, sender.no)?;
    let used = if window.start_ms == start_ms {
        window.count
    } else {
        0
    };
    let own = match sender.is_client() {
        true => a2a_client::get(apply.txn, sender.fleet, sender.no)?,
        false => None,
    };
    let own = own.and_then(|client| client.rate_max_messages);
    let limit = own.unwrap_or(apply.settings.rate_max_messages);
    Ok(RateState {
        limit,
        remaining: limit.saturating_sub(used),
        reset_ms: start_ms + window_ms,
    })
}

/// Records a refusal for rate; enough of them quarantine the agent.
fn violation(apply: &mut Apply<'_>, sender: &mut Agent) -> Result<(), StorageError> {
    const DAY_MS: u64 = 24 * 3600 * 1000;
    let now = apply.now();
    let (fleet, no) = (sender.fleet, sender.no);
    let seq = sequence::next(apply.txn, fleet, Sequence::Violation)?;
    rate::put_violation(apply.txn, fleet, no, now, seq);
    // Kept for a day at least, because that is what people are shown.
    let until_ms = now + apply.settings.violation_window_ms.max(DAY_MS);
    due::put(
        apply.txn,
        until_ms,
        &Due::Violation {
            fleet,
            agent: no,
            at_ms: now,
            seq,
        },
    );
    apply.count(fleet, Counter::RateViolations, 1)?;
    apply.record(
        fleet,
        EventKind::AgentRateLimitExceeded,
        Actor::System,
        Resource::Agent(no),
    )?;
    let threshold = apply.settings.violation_threshold as usize;
    let since_ms = now.saturating_sub(apply.settings.violation_window_ms);
    if rate::violations_since(apply.txn, fleet, no, since_ms, threshold)? >= threshold {
        auto_quarantine(apply, sender, AutoHold::RateLimitAbuse)?;
    }
    Ok(())
}

fn request_approval(
    apply: &mut Apply<'_>,
    sender: &Agent,
    message: &Message,
    uuid: u128,
    policy: Option<&str>,
) -> Result<(), StorageError> {
    let payload = match policy {
        Some(name) => payload(&[("policy", name)]),
        None => "{}".into(),
    };
    let approval = Approval {
        uuid,
        agent: sender.no,
        conversation_id: message.conversation_id.clone(),
        action_type: "message".into(),
        summary: format!("{} message waits for approval", message.message_type),
        risk: Risk::High,
        payload,
        status: ApprovalStatus::Pending,
        message: Some(message.uuid),
        requested_ms: apply.now(),
        resolved_ms: None,
        resolved_by: None,
        output: None,
        reason: None,
        expires_ms: None,
        first_yes: None,
        removed_ms: 0,
    };
    super::action::ask(apply, sender.fleet, &approval)?;
    apply.record(
        sender.fleet,
        EventKind::ApprovalRequested,
        Actor::Agent(sender.no),
        Resource::Approval(uuid),
    )
}
