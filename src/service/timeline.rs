//! Conversations as operators see them: which there are, and what happened in one, in order; and
//! messages found by their words.

use ekho_storage::View;
use ekho_storage::tables::attachment::Attachment;
use ekho_storage::tables::derived::{self, Conversation, Tag};
use ekho_storage::tables::event::{self, EventKind, Resource, Stored};
use ekho_storage::tables::message::{self, Message};
use ekho_storage::tables::{AgentNo, FleetNo, agent};

use super::events::{PublicEvent, public};
use super::page::{Page, fill};
use super::{Service, ServiceError, attachments};
use crate::effects::indexer::words_in;
use crate::machine::outcome::Refusal;

/// Participants that are shown of each conversation in a list.
const PARTICIPANTS_LISTED: usize = 5;
/// Messages of an agent that are shown, and events looked through for them.
const RECENT_MESSAGES: usize = 20;
const RECENT_LOOKED_AT: usize = 200;

/// A conversation with who takes part.
pub struct ShownConversation {
    /// The whole of it.
    pub conversation: Conversation,
    /// Public ids of its participants.
    pub participants: Vec<String>,
}

/// Something that happened in a conversation.
pub enum Item {
    /// A message was accepted: itself, what it says, what it binds.
    Message(Box<Message>, Vec<u8>, Vec<Attachment>),
    /// Something else, or a message that is gone by now.
    Event(Box<PublicEvent>),
}

impl Service {
    /// Conversations whose newest message came before this event, newest first; with words, those
    /// with a message that has all of them.
    pub async fn conversations(
        &self,
        fleet: FleetNo,
        search: Option<&str>,
        before: u64,
        limit: usize,
    ) -> Result<Page<ShownConversation, u64>, ServiceError> {
        let view = self.operator_view().await?;
        self.worked_out(fleet).await?;
        let Some(text) = search else {
            let read = |before: &u64, wants| {
                let rows = derived::conversations_rev(&view, fleet, *before, wants)?;
                let place = |found: Conversation| (found.last_seq, found);
                Ok(rows.into_iter().map(place).collect())
            };
            return fill(before, limit, read, |_, found| {
                shown(&view, fleet, found, PARTICIPANTS_LISTED).map(Some)
            });
        };
        let mut known = Vec::new();
        let messages = found(&view, fleet, text, before, limit, |message| {
            let id = &message.conversation_id;
            let is_new = !known.contains(id);
            if is_new {
                known.push(id.clone());
            }
            is_new
        })?;
        let mut rows = Vec::new();
        for (message, _) in messages.rows {
            let id = &message.conversation_id;
            if let Some(found) = derived::conversation(&view, fleet, id)? {
                rows.push(shown(&view, fleet, found, PARTICIPANTS_LISTED)?);
            }
        }
        Ok(Page {
            rows,
            next: messages.next,
        })
    }

    /// Messages that have all of these words, newest first, with their bodies.
    pub async fn search_messages(
        &self,
        fleet: FleetNo,
        text: &str,
        before: u64,
        limit: usize,
    ) -> Result<Page<(Message, Vec<u8>), u64>, ServiceError> {
        let view = self.operator_view().await?;
        self.worked_out(fleet).await?;
        found(&view, fleet, text, before, limit, |_| true)
    }

    /// What happened in a conversation after this event, oldest first.
    pub async fn timeline(
        &self,
        fleet: FleetNo,
        id: &str,
        after: u64,
        limit: usize,
    ) -> Result<(ShownConversation, Page<Item, u64>), ServiceError> {
        let view = self.operator_view().await?;
        self.worked_out(fleet).await?;
        let conversation = derived::conversation(&view, fleet, id)?;
        let tag = Tag::Conversation(id.into());
        let read = |after: &u64, wants| {
            let next = after.saturating_add(1);
            let seqs = derived::tagged(&view, fleet, &tag, next, wants)?;
            Ok(seqs.into_iter().map(|seq| (seq, ())).collect())
        };
        let page = fill(after, limit, read, |seq, ()| {
            match event::get(&view, fleet, *seq)? {
                Some(stored) => item(&view, fleet, &stored).map(Some),
                None => Ok(None),
            }
        })?;
        if conversation.is_none() && page.rows.is_empty() && after == 0 {
            return Err(Refusal::NotFound.into());
        }
        let conversation = conversation.unwrap_or_else(|| Conversation {
            id: id.into(),
            ..Conversation::default()
        });
        let about = shown(&view, fleet, conversation, usize::MAX)?;
        Ok((about, page))
    }

    /// The newest events about an agent, and the newest messages it sent or received.
    pub async fn recent(
        &self,
        fleet: FleetNo,
        no: AgentNo,
        events: usize,
    ) -> Result<(Vec<PublicEvent>, Vec<Message>), ServiceError> {
        self.worked_out(fleet).await?;
        let view = self.view();
        let tag = Tag::Agent(no);
        let mut shown_events = Vec::new();
        let mut messages: Vec<Message> = Vec::new();
        for seq in derived::tagged_rev(&view, fleet, &tag, u64::MAX, RECENT_LOOKED_AT)? {
            let Some(stored) = event::get(&view, fleet, seq)? else {
                continue;
            };
            if let (Resource::Message(uuid) | Resource::Delivery(uuid, _), true) =
                (&stored.event()?.resource, messages.len() < RECENT_MESSAGES)
            {
                let is_new = messages.iter().all(|message| message.uuid != *uuid);
                if let (true, Some(message)) = (is_new, message::get(&view, fleet, *uuid)?) {
                    messages.push(message);
                }
            }
            if shown_events.len() < events {
                shown_events.push(public(&view, fleet, &stored)?);
            } else if messages.len() == RECENT_MESSAGES {
                break;
            }
        }
        Ok((shown_events, messages))
    }
}

fn shown(
    view: &View,
    fleet: FleetNo,
    conversation: Conversation,
    participants_max: usize,
) -> Result<ShownConversation, ServiceError> {
    let mut participants = Vec::new();
    for no in conversation.participants.iter().take(participants_max) {
        participants.extend(agent::get(view, fleet, *no)?.map(|agent| agent.id));
    }
    Ok(ShownConversation {
        conversation,
        participants,
    })
}

/// Messages that have all words of a text and are wanted.
fn found(
    view: &View,
    fleet: FleetNo,
    text: &str,
    before: u64,
    limit: usize,
    mut wanted: impl FnMut(&Message) -> bool,
) -> Result<Page<(Message, Vec<u8>), u64>, ServiceError> {
    // An id is one word as a whole, beside the words in it.
    let whole = text.trim().to_lowercase();
    let is_id = !whole.contains(char::is_whitespace)
        && whole.len() <= 255
        && !derived::tagged_rev(view, fleet, &Tag::Word(whole.clone()), u64::MAX, 1)?.is_empty();
    let mut words: Vec<String> = match is_id {
        true => vec![whole],
        false => words_in(text).collect(),
    };
    // Long words are rare ones: there is less to look through.
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    words.dedup();
    let mut tags = words.into_iter().map(Tag::Word);
    let Some(first) = tags.next() else {
        return Ok(Page {
            rows: Vec::new(),
            next: None,
        });
    };
    let others: Vec<Tag> = tags.collect();
    let read = |before: &u64, wants| {
        let seqs = derived::tagged_rev(view, fleet, &first, *before, wants)?;
        Ok(seqs.into_iter().map(|seq| (seq, ())).collect())
    };
    fill(before, limit, read, |seq, ()| {
        for tag in &others {
            if !derived::has_tag(view, fleet, tag, *seq)? {
                return Ok(None);
            }
        }
        let Some(stored) = event::get(view, fleet, *seq)? else {
            return Ok(None);
        };
        let Resource::Message(uuid) = stored.event()?.resource else {
            return Ok(None);
        };
        match message::get(view, fleet, uuid)? {
            Some(message) if wanted(&message) => {
                let body = message::body(view, fleet, uuid)?.unwrap_or_default();
                Ok(Some((message, body)))
            }
            _ => Ok(None),
        }
    })
}

fn item(view: &View, fleet: FleetNo, stored: &Stored) -> Result<Item, ServiceError> {
    let event = stored.event()?;
    if let (EventKind::MessageQueued, Resource::Message(uuid)) = (event.kind, &event.resource)
        && let Some(message) = message::get(view, fleet, *uuid)?
    {
        let body = message::body(view, fleet, *uuid)?.unwrap_or_default();
        let attachments = attachments::of_message(view, fleet, *uuid)?;
        return Ok(Item::Message(Box::new(message), body, attachments));
    }
    Ok(Item::Event(Box::new(public(view, fleet, stored)?)))
}
