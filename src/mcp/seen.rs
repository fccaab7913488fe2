//! Messages that were read and not settled yet, so that a tool can answer one by its id, and the
//! conversations they belong to.

use std::collections::VecDeque;

use ekho_client::InboxMessage;

/// Messages and conversations remembered; the oldest make room.
const MESSAGES_MAX: usize = 1000;
const CONVERSATIONS_MAX: usize = 100;

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Seen {
    messages: VecDeque<InboxMessage>,
    conversations: VecDeque<String>,
}

impl Seen {
    /// Notes what was handed out.
    pub fn read(&mut self, messages: &[InboxMessage]) {
        for message in messages {
            self.settled(&message.message_id);
            self.messages.push_back(message.clone());
            self.took_part(&message.conversation_id);
        }
        while self.messages.len() > MESSAGES_MAX {
            self.messages.pop_front();
        }
    }

    /// Notes a conversation, as the newest one.
    pub fn took_part(&mut self, conversation_id: &str) {
        self.conversations.retain(|known| known != conversation_id);
        self.conversations.push_front(conversation_id.to_string());
        self.conversations.truncate(CONVERSATIONS_MAX);
    }

    /// Forgets a message that was dealt with.
    pub fn settled(&mut self, message_id: &str) {
        self.messages.retain(|known| known.message_id != message_id);
    }

    /// A message that was read and not dealt with.
    pub fn message(&self, message_id: &str) -> Option<InboxMessage> {
        let mut known = self.messages.iter();
        known.find(|known| known.message_id == message_id).cloned()
    }

    /// Conversations, the newest first.
    pub fn conversations(&self) -> impl Iterator<Item = &str> {
        self.conversations.iter().map(String::as_str)
    }
}
