//! The tables, one file each: the record, its key, how it is read and written, its indexes.
//!
//! Fleets and agents have short numbers inside keys; their public ids are texts. Every key of a
//! fleet's data begins with the fleet's number. Functions here keep a table and its indexes in
//! step; rules about when something may change belong to the state machine.

pub mod a2a_client;
pub mod a2a_remote;
pub mod agent;
pub mod agent_card;
pub mod agent_index;
pub mod approval;
pub mod attachment;
pub mod cluster;
pub mod control;
pub mod conversation;
pub mod counter;
pub mod dead_letter;
pub mod delivery;
pub mod depth;
pub mod derived;
pub mod due;
pub mod edge;
pub mod encryption_key;
pub mod event;
pub mod fleet;
pub mod floor;
pub mod hook;
pub mod idempotency;
pub mod imported_secret;
pub mod license;
pub mod login;
pub mod message;
pub mod nonce;
pub mod notice;
pub mod operator;
pub mod outbox;
pub mod policy;
pub mod rate;
pub mod rollup;
pub mod room;
pub mod rotation;
pub mod sealed;
pub mod sequence;
pub mod session;
pub mod settings;
pub mod signing_key;
pub mod system;
pub mod task;
pub mod task_push;
pub mod token;
pub mod totp;

/// A fleet's number, first part of every key of its data.
pub type FleetNo = u32;
/// An agent's number within its fleet.
pub type AgentNo = u32;
/// Milliseconds since the Unix epoch, UTC.
pub type TimeMs = u64;

/// Table bytes of the registry family. A byte is never given to another table.
pub(crate) mod registry {
    pub const FLEET: u8 = 1;
    pub const FLEET_BY_ID: u8 = 2;
    pub const FLEET_BY_NAME: u8 = 3;
    pub const OPERATOR: u8 = 4;
    pub const SESSION: u8 = 6;
    pub const ENROLLMENT_TOKEN: u8 = 7;
    pub const AGENT: u8 = 8;
    pub const AGENT_BY_ID: u8 = 9;
    pub const ROOM: u8 = 12;
    pub const APPROVAL: u8 = 13;
    pub const CONTROL: u8 = 14;
    pub const FLOOR: u8 = 15;
    pub const NOTICE: u8 = 16;
    pub const VIOLATION: u8 = 17;
    pub const PARTICIPANT: u8 = 18;
    pub const OPERATOR_BY_EMAIL: u8 = 19;
    pub const SESSION_BY_OPERATOR: u8 = 20;
    pub const LOGIN_FAILURES: u8 = 21;
    pub const POLICY: u8 = 22;
    pub const POLICY_VERSION: u8 = 23;
    pub const AGENT_ORDER: u8 = 24;
    pub const AGENT_NAME_PART: u8 = 25;
    pub const TOTP: u8 = 30;
    pub const FLEET_ARCHIVED: u8 = 40;
    pub const OPERATOR_KEY: u8 = 50;
    pub const AGENT_KEY: u8 = 51;
    pub const REVOKED_KEY: u8 = 52;
    pub const HOOK: u8 = 35;
    pub const PAIR_RATE: u8 = 55;
    pub const APPROVAL_ORDER: u8 = 56;
    pub const FLEET_SETTINGS: u8 = 57;
    pub const EDGE_DONE: u8 = 58;
    pub const A2A_CLIENT: u8 = 60;
    pub const A2A_TOKEN: u8 = 61;
    pub const AGENT_CARD: u8 = 62;
    pub const A2A_REMOTE: u8 = 63;
    pub const ENCRYPTION_KEYS: u8 = 64;
    pub const IMPORTED_SECRET: u8 = 70;
}

/// Table bytes of the meta family (`raft/` keys beside them begin with an `r`).
pub(crate) mod meta {
    pub const SYSTEM: u8 = 1;
    pub const SETTINGS: u8 = 2;
    pub const COUNTER: u8 = 3;
    pub const SEQUENCE: u8 = 4;
    pub const AGENT_LIVE: u8 = 5;
    pub const AGENT_RATE: u8 = 6;
    pub const EVENT_HEAD: u8 = 7;
    pub const EVENT_ANCHOR: u8 = 8;
    pub const POLICIES: u8 = 9;
    pub const LICENSES: u8 = 30;
    pub const CLUSTER: u8 = 31;
    pub const HOOKS: u8 = 25;
    pub const HOOK_POSITION: u8 = 26;
    pub const ATTACHMENTS: u8 = 32;
    pub const ROTATION: u8 = 33;
}

/// Implements [`Record`](crate::Record) in its first version.
macro_rules! record {
    ($type:ty, $table:literal) => {
        impl crate::Record for $type {
            const TABLE: &'static str = $table;
        }
    };
}
pub(crate) use record;
