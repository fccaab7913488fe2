//! The operator API: sign-in, operators, enrolment tokens, agents, approvals, settings.

mod a2a_clients;
mod a2a_pushes;
mod a2a_remotes;
mod a2a_tasks;
mod activity;
mod agent_messages;
mod agent_secret;
mod agents;
mod analytics;
mod approvals;
mod attachments;
mod audit;
mod backup;
mod cluster;
mod conversations;
mod dead_letter_export;
mod dead_letters;
mod debug;
mod events;
mod export;
mod fleets;
mod hooks;
mod import;
mod inbox;
mod keys;
mod license;
mod master_secret;
mod messages;
mod methods;
mod oidc;
mod operators;
mod policies;
mod rooms;
mod session;
mod settings;
mod signed_in;
mod stream;
mod totp;

use super::list;
use super::openapi::Routes;
use super::openapi::shapes::Done;
pub use keys::TrustedKeyView;
use signed_in::{Given, MayNotRead, SignedIn, done};

/// Routes of the operator API.
pub fn router() -> Routes {
    Routes::default()
        .merge(session::router())
        .merge(operators::router())
        .merge(audit::router())
        .merge(backup::router())
        .merge(agents::router())
        .merge(agent_secret::router())
        .merge(import::router())
        .merge(a2a_clients::router())
        .merge(a2a_pushes::router())
        .merge(a2a_remotes::router())
        .merge(a2a_tasks::router())
        .merge(approvals::router())
        .merge(attachments::router())
        .merge(settings::router())
        .merge(totp::router())
        .merge(methods::router())
        .merge(oidc::router())
        .merge(policies::router())
        .merge(dead_letters::router())
        .merge(dead_letter_export::router())
        .merge(inbox::router())
        .merge(keys::router())
        .merge(events::router())
        .merge(hooks::router())
        .merge(messages::router())
        .merge(agent_messages::router())
        .merge(rooms::router())
        .merge(conversations::router())
        .merge(activity::router())
        .merge(analytics::router())
        .merge(license::router())
        .merge(fleets::router())
        .merge(cluster::router())
        .merge(master_secret::router())
        .merge(debug::router())
        .merge(stream::router())
}
