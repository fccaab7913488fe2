//! What black-box tests share: the built binary in a directory of its own, and a client that signs
//! requests by itself. Knows the wire contract only, nothing of the relay's code.
//!
//! - `relay`: the processes `ekho setup` and `ekho serve`, and how they end; `shared`: relays that
//!   several tests use; `process`: children that do not outlive the tests
//! - `operator`: what an operator does over HTTP
//! - `agent`: signed requests, byte for byte
//! - `attachment`: files, how they are uploaded and where they lie
//! - `license`: licences signed by a key of the tests
//! - `hook`: a hook that the relay calls
//! - `http`: one HTTP exchange and its answer
//! - `sse`: server-sent events
//! - `page`: pages of documentation, written by running what they show
//! - `time`: deadlines instead of sleeps, and times as they stand on the wire
#![allow(
    dead_code,
    unused_imports,
    reason = "each test crate uses its own part"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod a2a;
mod agent;
mod attachment;
mod hook;
mod http;
mod license;
mod operator;
mod page;
mod process;
mod relay;
mod shared;
mod signing;
mod sse;
mod time;

pub use a2a::{A2aClient, a2a_message, rpc};
pub use agent::{Agent, SignedRequest, body_hash, direct, message_to, signature, uuid};
pub use attachment::{base64, upload_body};
pub use hook::{Heard, HookServer, Reply};
pub use http::{Answer, Http};
pub use license::{Vendor, pro_claims};
pub use operator::Operator;
pub use page::{Session, Stable, word};
pub use process::{Process, free_port};
pub use relay::{Credentials, Relay, RelayBuilder, binary, ekho, root};
pub use shared::{Shared, shared};
pub use signing::Signing;
pub use sse::{Event, Events};
pub use time::{DEADLINE, iso, now_iso, now_ms, poll_until};
