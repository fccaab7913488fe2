//! Agents: who they are, what operators decided about them, and when they were last heard.

use bincode::{Decode, Encode};

use super::{AgentNo, FleetNo, TimeMs, agent_index, meta, record, registry};
use crate::{Cf, Key, KeyReader, Read, StorageError, Txn, decode};

/// An enrolled agent.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Agent {
    /// Its fleet.
    pub fleet: FleetNo,
    /// Its number in keys.
    pub no: AgentNo,
    /// Its public id, `agent_…`.
    pub id: String,
    /// A name for people.
    pub display_name: String,
    /// What it runs on: custom, openclaw, langgraph, autogen or another slug.
    pub runtime: String,
    /// The host it said it runs on.
    pub hostname: Option<String>,
    /// What it said it can do.
    pub capabilities: Vec<String>,
    /// What operators call it, for policies.
    pub labels: Vec<String>,
    /// When it enrolled.
    pub created_ms: TimeMs,
    /// HMAC secrets that are valid or were until recently, newest first; at most two.
    pub credentials: Vec<Credential>,
    /// Ed25519 key for end-to-end signatures.
    pub identity_key: Option<IdentityKey>,
    /// What an operator decided.
    pub hold: Option<Hold>,
    /// What the relay decided by itself.
    pub auto_hold: Option<AutoHold>,
    /// Revoked for good: cannot authenticate, receives nothing.
    pub revoked: bool,
}
record!(Agent, "agent");

/// One HMAC secret, sealed at rest.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Credential {
    /// Counts up with each rotation.
    pub id: u32,
    /// The secret, encrypted; see the sealing module of the relay for its form.
    pub sealed_secret: Vec<u8>,
    /// When it stops working; none for the current one.
    pub valid_until_ms: Option<TimeMs>,
}

/// A registered identity key.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct IdentityKey {
    /// Public id of the key.
    pub key_id: String,
    /// The key as registered.
    pub public_key: String,
}

/// An operator's hold on an agent.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Hold {
    /// Pause or quarantine.
    pub kind: HoldKind,
    /// Why.
    pub reason: String,
    /// When it lifts by itself.
    pub expires_ms: Option<TimeMs>,
    /// Number of the agent that receives new messages meanwhile.
    pub redirect_to: Option<AgentNo>,
}

/// Kinds of hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum HoldKind {
    /// Stopped for now.
    Pause,
    /// Stopped because it is not trusted.
    Quarantine,
}

/// A quarantine the relay set by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum AutoHold {
    /// Silent for too long; its next heartbeat lifts it.
    HeartbeatTimeout,
    /// Too many rate violations; only an operator lifts it.
    RateLimitAbuse,
    /// A policy said so; only an operator lifts it.
    PolicyViolation,
}

impl AutoHold {
    /// The reason as it is shown.
    pub fn as_str(self) -> &'static str {
        match self {
            AutoHold::HeartbeatTimeout => "heartbeat_timeout",
            AutoHold::RateLimitAbuse => "rate_limit_abuse",
            AutoHold::PolicyViolation => "policy_violation",
        }
    }
}

/// How an agent is shown. Order of precedence: revoked, quarantined, paused, degraded, healthy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentStatus {
    /// Works.
    Healthy,
    /// Says it is not well.
    Degraded,
    /// An operator paused it.
    Paused,
    /// An operator or the relay quarantined it.
    Quarantined,
    /// Revoked.
    Revoked,
}

/// What the last heartbeats said; written coalesced.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct AgentLive {
    /// Last heartbeat; 0 before the first.
    pub last_seen_ms: TimeMs,
    /// Whether it last said degraded.
    pub degraded: bool,
    /// The status it last gave, as sent.
    pub reported: String,
    /// Time of the entry in the due index that judges its silence; 0 for none.
    pub due_ms: TimeMs,
}
record!(AgentLive, "agent_live");

/// What a client runs on that cannot sign, and has a bearer token instead. No agent enrols so.
pub const A2A_CLIENT_RUNTIME: &str = "a2a-client";

/// What an agent runs on that is elsewhere, and called by A2A. No agent enrols so.
pub const A2A_REMOTE_RUNTIME: &str = "a2a-remote";

impl Agent {
    /// Whether it is elsewhere, and the relay takes its messages.
    pub fn is_remote(&self) -> bool {
        self.runtime == A2A_REMOTE_RUNTIME
    }

    /// Whether it only asks others, with a bearer token: it has no inbox.
    pub fn is_client(&self) -> bool {
        self.runtime == A2A_CLIENT_RUNTIME
    }

    /// How the agent is shown.
    pub fn status(&self, live: &AgentLive) -> AgentStatus {
        if self.revoked {
            return AgentStatus::Revoked;
        }
        match (&self.hold, self.auto_hold) {
            (
                Some(Hold {
                    kind: HoldKind::Quarantine,
                    ..
                }),
                _,
            )
            | (_, Some(_)) => AgentStatus::Quarantined,
            (
                Some(Hold {
                    kind: HoldKind::Pause,
                    ..
                }),
                None,
            ) => AgentStatus::Paused,
            (None, None) if live.degraded => AgentStatus::Degraded,
            (None, None) => AgentStatus::Healthy,
        }
    }
}

impl AgentStatus {
    /// All of them.
    pub const ALL: [AgentStatus; 5] = [
        AgentStatus::Healthy,
        AgentStatus::Degraded,
        AgentStatus::Paused,
        AgentStatus::Quarantined,
        AgentStatus::Revoked,
    ];

    /// The word used on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            AgentStatus::Healthy => "healthy",
            AgentStatus::Degraded => "degraded",
            AgentStatus::Paused => "paused",
            AgentStatus::Quarantined => "quarantined",
            AgentStatus::Revoked => "revoked",
        }
    }
}

fn key(fleet: FleetNo, no: AgentNo) -> Key {
    Key::table(registry::AGENT).u32(fleet).u32(no)
}

/// The agent with this number.
pub fn get(read: &impl Read, fleet: FleetNo, no: AgentNo) -> Result<Option<Agent>, StorageError> {
    read.record(Cf::Registry, key(fleet, no).bytes())
}

/// Where the agent with this public id is.
pub fn locate(read: &impl Read, id: &str) -> Result<Option<(FleetNo, AgentNo)>, StorageError> {
    if id.len() > 255 {
        return Ok(None);
    }
    let Some(bytes) = read.get(
        Cf::Registry,
        Key::table(registry::AGENT_BY_ID).text(id).bytes(),
    )?
    else {
        return Ok(None);
    };
    let mut reader = KeyReader::new("agent index", &bytes);
    Ok(Some((reader.u32()?, reader.u32()?)))
}

/// The agent with this public id.
pub fn by_id(read: &impl Read, id: &str) -> Result<Option<Agent>, StorageError> {
    match locate(read, id)? {
        Some((fleet, no)) => get(read, fleet, no),
        None => Ok(None),
    }
}

/// Agents of a fleet in the order they enrolled, from number `from`, at most `limit`.
pub fn list(
    read: &impl Read,
    fleet: FleetNo,
    from: AgentNo,
    limit: usize,
) -> Result<Vec<Agent>, StorageError> {
    let upper = crate::prefix_end(Key::table(registry::AGENT).u32(fleet).bytes());
    read.scan(Cf::Registry, key(fleet, from).bytes(), &upper, limit)?
        .iter()
        .map(|(_, value)| decode(value))
        .collect()
}

/// Writes an agent whose place in lists stays as it is: its secrets and keys may have changed.
pub fn put(txn: &mut Txn, agent: &Agent) {
    txn.put_record(Cf::Registry, key(agent.fleet, agent.no), agent);
}

/// Writes an agent with what heartbeats say of it, and its places in lists. Returns the status it
/// had before; none where it is new.
pub fn save(
    txn: &mut Txn,
    agent: &Agent,
    live: &AgentLive,
) -> Result<Option<AgentStatus>, StorageError> {
    let (fleet, no) = (agent.fleet, agent.no);
    let before = match get(txn, fleet, no)? {
        Some(before) => Some((before, self::live(txn, fleet, no)?)),
        None => None,
    };
    if before.is_none() {
        let place = Key::new().u32(fleet).u32(no);
        let by_id = Key::table(registry::AGENT_BY_ID).text(&agent.id);
        txn.put(Cf::Registry, by_id, place.into_bytes());
    }
    let was = before.as_ref().map(|(agent, live)| (agent, live));
    agent_index::put(txn, was, agent, live);
    put(txn, agent);
    txn.put_record(Cf::Meta, live_key(fleet, no), live);
    Ok(before.map(|(agent, live)| agent.status(&live)))
}

fn live_key(fleet: FleetNo, no: AgentNo) -> Key {
    Key::table(meta::AGENT_LIVE).u32(fleet).u32(no)
}

/// What heartbeats last said.
pub fn live(read: &impl Read, fleet: FleetNo, no: AgentNo) -> Result<AgentLive, StorageError> {
    Ok(read
        .record(Cf::Meta, live_key(fleet, no).bytes())?
        .unwrap_or_default())
}
