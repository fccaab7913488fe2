//! What operators do: signing in, steering agents, deciding, changing settings.

mod agents;
mod analytics;
mod approvals;
mod dead_letters;
mod debug;
mod fleets;
mod holds;
mod hooks;
mod hooks_told;
mod keys;
mod license;
mod live;
mod messages;
mod oidc;
mod people;
mod policies;
mod policies_advanced;
mod reads;
mod sessions;
mod settings;
mod tailnet;
pub mod totp;
