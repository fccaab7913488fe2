//! The agent API: enrolment, and everything agents sign.

mod actions;
pub(super) mod attachments;
mod conversations;
pub(super) mod encryption;
mod enroll;
mod identity;
mod inbox;
mod keys;
pub(super) mod messages;
mod peers;
mod tasks;

use super::openapi::Routes;

/// Longest id, conversation id or correlation id, in bytes: they are parts of keys.
pub(super) const ID_MAX_BYTES: usize = 255;

/// Routes of the agent API.
pub fn router() -> Routes {
    Routes::default()
        .merge(enroll::router())
        .merge(messages::router())
        .merge(inbox::router())
        .merge(identity::router())
        .merge(keys::router())
        .merge(encryption::router())
        .merge(peers::router())
        .merge(actions::router())
        .merge(conversations::router())
        .merge(tasks::router())
        .merge(attachments::router())
}
