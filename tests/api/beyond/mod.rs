//! What goes beyond the original, on the same endpoints.

mod batch;
mod credentials;
mod directory;
mod encryption;
mod idempotency;
mod limits;
mod long_poll;
mod returning;
mod scheduling;
mod status;
mod stream;
