//! What operators do: signing in, steering agents, deciding, changing settings.

mod agents;
mod approvals;
mod holds;
mod people;
mod policies;
mod sessions;
mod settings;
