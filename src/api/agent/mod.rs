//! The agent API: enrolment, and everything agents sign.

mod actions;
mod conversations;
mod enroll;
mod identity;
mod inbox;
pub(super) mod messages;

use axum::Router;
use axum::routing::{delete, get, post};

use super::App;

/// Longest id, conversation id or correlation id, in bytes: they are parts of keys.
pub(super) const ID_MAX_BYTES: usize = 255;

/// Routes of the agent API.
pub fn router() -> Router<App> {
    Router::new()
        .route("/v1/enroll", post(enroll::enroll))
        .route("/v1/messages", post(messages::send))
        .route("/v1/messages/batch", post(messages::send_batch))
        .route(
            "/v1/messages/{id}",
            get(messages::status).delete(messages::cancel),
        )
        .route("/v1/inbox", get(inbox::poll))
        .route("/v1/inbox/stream", get(inbox::stream))
        .route("/v1/acks", post(inbox::ack))
        .route("/v1/nacks", post(inbox::nack))
        .route("/v1/leases", post(inbox::lease))
        .route("/v1/heartbeats", post(identity::heartbeat))
        .route("/v1/actions/propose", post(actions::propose))
        .route("/v1/actions/result", post(actions::result))
        .route("/v1/actions/{id}", get(actions::status))
        .route("/v1/rooms", post(conversations::create_room))
        .route("/v1/notices", post(conversations::notice))
        .route(
            "/v1/conversations/{id}/floor",
            post(conversations::acquire_floor).merge(delete(conversations::release_floor)),
        )
        .route("/v1/identity-key", post(identity::identity_key))
        .route("/v1/credentials/rotate", post(identity::rotate))
}
