//! The recount of attachments: contents, counters, what binds what, and when each goes.

use std::collections::{BTreeMap, BTreeSet};

use ekho_storage::tables::attachment::{self, Attachment, Content};
use ekho_storage::tables::counter::{self, Counter};
use ekho_storage::tables::due::Due;
use ekho_storage::tables::message::Message;
use ekho_storage::{Cf, Key, KeyReader, Read};

use super::same;
use crate::rig::FLEET;

/// First bytes of the tables in the index family: what a message binds, and what binds this.
const OF_MESSAGE: u8 = 32;
const MESSAGE: u8 = 33;

/// Fails where a count or an index of attachments differs from what their rows say.
pub fn consistent(read: &impl Read, messages: &[Message], due: &[(u64, Due)]) {
    let rows = attachment::list_rev(read, FLEET, None, usize::MAX).unwrap();
    let mut contents: BTreeMap<[u8; 32], Content> = BTreeMap::new();
    for row in &rows {
        let one = contents.entry(row.sha256).or_insert(Content {
            size_bytes: row.size_bytes,
            attachments: 0,
        });
        one.attachments += 1;
    }
    let found = attachment::contents(read, FLEET, None, usize::MAX).unwrap();
    same("contents", &found.into_iter().collect(), &contents);
    let count = |counter| counter::get(read, FLEET, counter).unwrap();
    assert_eq!(count(Counter::Attachments), rows.len() as u64);
    let bytes: u64 = contents.values().map(|content| content.size_bytes).sum();
    assert_eq!(count(Counter::AttachmentBytes), bytes);

    let mut bound: BTreeMap<u128, BTreeSet<u128>> = BTreeMap::new();
    for message in messages {
        for uuid in attachment::of_message(read, FLEET, message.uuid).unwrap() {
            assert!(bound.entry(uuid).or_default().insert(message.uuid));
        }
    }
    let of_messages: usize = bound.values().map(BTreeSet::len).sum();
    let stored = |table: u8| {
        let prefix = Key::table(table).u32(FLEET);
        read.prefix(Cf::Index, prefix.bytes(), usize::MAX).unwrap()
    };
    assert_eq!(stored(MESSAGE).len(), of_messages, "rows of what binds");
    for (key, _) in stored(OF_MESSAGE) {
        let mut reader = KeyReader::new("test", &key);
        let (_, _) = (reader.u8().unwrap(), reader.u32().unwrap());
        let message = reader.u128().unwrap();
        assert!(messages.iter().any(|one| one.uuid == message));
    }
    for row in &rows {
        let expected = bound.remove(&row.uuid).unwrap_or_default();
        let found = attachment::messages(read, FLEET, row.uuid, usize::MAX).unwrap();
        same("messages", &found.into_iter().collect(), &expected);
        assert_eq!(row.messages as usize, expected.len(), "{row:?}");
        assert_eq!(row.expires_ms == 0, row.messages > 0, "{row:?}");
    }
    assert!(bound.is_empty(), "bound and not there: {bound:?}");
    let expires = |row: &Attachment| (row.expires_ms, row.uuid);
    let expected: BTreeSet<(u64, u128)> =
        rows.iter().map(expires).filter(|(at, _)| *at > 0).collect();
    let entries = due.iter().filter_map(|(at, due)| match due {
        Due::Attachment { attachment, .. } => Some((*at, *attachment)),
        _ => None,
    });
    same("due entries of attachments", &entries.collect(), &expected);
}
