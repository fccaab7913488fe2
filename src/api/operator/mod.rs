//! The operator API: sign-in, operators, enrolment tokens, agents, approvals, settings.

mod a2a_clients;
mod a2a_pushes;
mod a2a_remotes;
mod activity;
mod agents;
mod analytics;
mod approvals;
mod audit;
mod backup;
mod cluster;
mod conversations;
mod dead_letter_export;
mod dead_letters;
mod events;
mod export;
mod fleets;
mod hooks;
mod inbox;
mod keys;
mod license;
mod list;
mod messages;
mod methods;
mod oidc;
mod operators;
mod policies;
mod session;
mod settings;
mod signed_in;
mod stream;
mod totp;

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
        .merge(a2a_clients::router())
        .merge(a2a_pushes::router())
        .merge(a2a_remotes::router())
        .merge(approvals::router())
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
        .merge(conversations::router())
        .merge(activity::router())
        .merge(analytics::router())
        .merge(license::router())
        .merge(fleets::router())
        .merge(cluster::router())
        .merge(stream::router())
}
