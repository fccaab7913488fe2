//! The agent API: enrolment, and everything agents sign.

mod actions;
mod conversations;
mod enroll;
mod identity;
mod inbox;
pub(super) mod messages;
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
        .merge(actions::router())
        .merge(conversations::router())
        .merge(tasks::router())
}
