//! Commands: everything that can change the state, as it stands in the log.
//!
//! Time, ids and hashes travel in the command; apply adds nothing of its own. Variants and
//! fields are only ever appended: their order is the format. The first byte of an encoded
//! command is [`VERSION`]; a node that meets a newer one stops and says so.

use bincode::config::{self, Configuration, Limit, LittleEndian, Varint};
use bincode::{Decode, Encode};
use bytes::Bytes;
use ekho_storage::tables::agent::HoldKind;
use ekho_storage::tables::approval::Risk;
use ekho_storage::tables::attachment::{AttachmentSettings, Hash};
use ekho_storage::tables::cluster::Part;
use ekho_storage::tables::edge::FleetSettings;
use ekho_storage::tables::encryption_key::KeySignature;
use ekho_storage::tables::hook::HookDraft;
use ekho_storage::tables::license::License;
use ekho_storage::tables::message::{Envelope, Priority, Recipient};
use ekho_storage::tables::operator::{Role, Scopes};
use ekho_storage::tables::policy::Draft;
use ekho_storage::tables::sealed::Place;
use ekho_storage::tables::settings::Settings;
use ekho_storage::tables::task::TaskState;
use ekho_storage::tables::{AgentNo, FleetNo, TimeMs};

pub use super::import::{
    ImportAgent, ImportApproval, ImportDelivery, ImportHold, ImportMessage, ImportRoom, ImportRow,
    ImportSaid, ImportTask, ImportText, ProveSecret,
};
pub use super::proof::{CreateSession, LoginFailed, Proof, SecondFactor};

/// Version of the command encoding.
pub const VERSION: u8 = 1;

/// More than any command holds; a damaged length is refused instead of allocated.
const LIMIT_BYTES: usize = 64 << 20;
const CONFIG: Configuration<LittleEndian, Varint, Limit<LIMIT_BYTES>> =
    config::standard().with_limit::<LIMIT_BYTES>();

/// One change of the state.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum Command {
    /// First set-up of a cluster.
    Bootstrap(Bootstrap),
    /// A node became leader.
    LeadershipBegan,
    /// Do what is due, at most this many entries.
    Tick {
        /// Entries to handle at most.
        limit: u32,
    },
    /// Heartbeats collected by the leader.
    HeartbeatsSeen {
        /// When each agent was last heard.
        seen: Vec<(FleetNo, AgentNo, TimeMs)>,
    },
    /// An agent enrols with a token.
    Enroll(Enroll),
    /// Something an agent signed.
    Signed {
        /// Who, and the nonce that must be new.
        auth: Auth,
        /// What it asks for.
        request: AgentRequest,
    },
    /// An operator signed in.
    CreateSession(CreateSession),
    /// An operator signed out.
    DeleteSession {
        /// Keyed hash of the token.
        token_hash: [u8; 32],
    },
    /// Something an operator does.
    Operator {
        /// Keyed hash of the bearer token it came with; apply finds out whose it is.
        token_hash: [u8; 32],
        /// Id of the request, for the audit log.
        request_id: String,
        /// What.
        request: OperatorRequest,
    },
    /// Somebody failed to sign in.
    LoginFailed(LoginFailed),
    /// What the leader verified of the licence that it is configured with; none without one.
    ConfigureLicense {
        /// The facts.
        license: Option<Box<License>>,
    },
    /// How far those who follow a fleet's audit log were told: hooks, extensions of the process.
    Followed {
        /// The fleet.
        fleet: FleetNo,
        /// Who, and the number of the last event they were told.
        positions: Vec<(String, u64)>,
    },
    /// A follower was not told of an event in all its time.
    HookGaveUp {
        /// The fleet.
        fleet: FleetNo,
        /// Who, of what, and why.
        gave_up: HookGaveUp,
    },
    /// A node asks to be one of the cluster.
    Join(Join),
    /// Every node understands the commands of this feature level.
    RaiseFeatureLevel {
        /// The level.
        level: u32,
    },
    /// This is the beginning of a new cluster, made of what one node held.
    Rebuilt(Rebuilt),
    /// Sends that an edge node accepted while it was cut off, in the order it accepted them.
    EdgeSend(EdgeSend),
    /// Something an A2A client asks for that has a bearer token.
    A2aClient {
        /// Keyed hash of the token; apply finds out whose it is.
        token_hash: [u8; 32],
        /// What.
        request: TaskRequest,
    },
    /// The relay does something for an A2A agent elsewhere.
    Remote {
        /// The fleet.
        fleet: FleetNo,
        /// The agent.
        agent: AgentNo,
        /// What.
        request: RemoteRequest,
    },
    /// Clients were told of their tasks, or could not be.
    PushesTold {
        /// The fleet.
        fleet: FleetNo,
        /// What came of each.
        told: Vec<PushTold>,
    },
    /// The settings of attachments to begin with, where there are none.
    SeedAttachments(AttachmentSettings),
    /// An imported agent showed the secret that one of its hashes stands for.
    ProveSecret(ProveSecret),
    /// The leader opened secrets and sealed them under the key that is to be in force.
    Reseal(Reseal),
    /// Nothing is sealed under another key any more.
    RotationDone {
        /// Id of the key, which is in force from here on.
        to_key_id: String,
    },
}

impl Command {
    /// The feature level from which on it may be proposed.
    pub fn feature_level(&self) -> u32 {
        let edge = |part: Part| if part == Part::Edge { 2 } else { 1 };
        match self {
            Command::EdgeSend(_) => 2,
            Command::Join(join) => edge(join.part),
            Command::A2aClient { .. } | Command::PushesTold { .. } | Command::Remote { .. } => 3,
            Command::SeedAttachments(_) => 4,
            Command::ProveSecret(_) => 5,
            Command::Reseal(_) | Command::RotationDone { .. } => 6,
            Command::Signed {
                request: AgentRequest::SendWith { .. } | AgentRequest::CreateAttachment(_),
                ..
            } => 4,
            Command::Signed {
                request: AgentRequest::PublishEncryptionKey(_) | AgentRequest::RevokeEncryptionKey,
                ..
            } => 5,
            Command::Signed {
                request: AgentRequest::Task(_) | AgentRequest::PutCard { .. },
                ..
            } => 3,
            Command::Operator { request, .. } => match request {
                OperatorRequest::ChangeFleetSettings(_) => 2,
                OperatorRequest::CreateJoinToken(new) => edge(new.part),
                OperatorRequest::SetNodePart { part, .. } => edge(*part),
                OperatorRequest::CreateA2aClient(_)
                | OperatorRequest::ChangeA2aClient { .. }
                | OperatorRequest::CreateA2aToken { .. }
                | OperatorRequest::RevokeA2aToken { .. }
                | OperatorRequest::RetryPush { .. }
                | OperatorRequest::CreateA2aRemote(_)
                | OperatorRequest::ChangeA2aRemote(_) => 3,
                OperatorRequest::SendWith { .. }
                | OperatorRequest::CreateAttachment(_)
                | OperatorRequest::ChangeAttachmentSettings { .. } => 4,
                OperatorRequest::NodeDebugged { .. }
                | OperatorRequest::Import { .. }
                | OperatorRequest::IssueSecret { .. } => 5,
                OperatorRequest::RotateMasterSecret { .. } => 6,
                _ => 1,
            },
            _ => 1,
        }
    }

    /// What it would put into the state that a node sealed.
    pub fn sealed(&self) -> Vec<&[u8]> {
        match self {
            Command::Enroll(enroll) => vec![&enroll.sealed_secret],
            Command::ProveSecret(proof) => vec![&proof.sealed_secret],
            Command::A2aClient { request, .. } => request.sealed(),
            Command::Signed { request, .. } => match request {
                AgentRequest::RotateCredential { sealed_secret, .. } => vec![sealed_secret],
                AgentRequest::Task(request) => request.sealed(),
                _ => Vec::new(),
            },
            Command::Operator { request, .. } => request.sealed(),
            _ => Vec::new(),
        }
    }
}

/// Secrets of one fleet, sealed anew.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Reseal {
    /// Id of the key that they are sealed under now.
    pub to_key_id: String,
    /// The fleet.
    pub fleet: FleetNo,
    /// Where each is, as it was read, and as it is to be.
    pub secrets: Vec<(Place, Vec<u8>, Vec<u8>)>,
}

/// Sends of one fleet that wait in the outbox of an edge node.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct EdgeSend {
    /// The node.
    pub node_id: u64,
    /// Its outbox.
    pub outbox: u128,
    /// The fleet.
    pub fleet: FleetNo,
    /// In the order of their numbers.
    pub entries: Vec<EdgeEntry>,
}

/// A send that waits in an outbox.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct EdgeEntry {
    /// Its number there.
    pub seq: u64,
    /// Who sends.
    pub agent: AgentNo,
    /// The credential the signature was checked with.
    pub credential: u32,
    /// The nonce that was signed.
    pub nonce: String,
    /// The time that was signed.
    pub timestamp_ms: TimeMs,
    /// When it was accepted, by the node's clock.
    pub stored_ms: TimeMs,
    /// For how long it has waited, by the node's clock.
    pub waited_ms: u64,
    /// What is sent; it has an idempotency key.
    pub message: NewMessage,
}

/// A new cluster made of what one node held.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Rebuilt {
    /// Out of what.
    pub source: Source,
    /// The cluster that was.
    pub from_cluster_id: String,
    /// The cluster that is.
    pub cluster_id: String,
    /// Nothing was accepted anywhere else after this time.
    pub lost_ms: TimeMs,
}

/// What a new cluster was made of.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum Source {
    /// A backup.
    Backup {
        /// What it was called; empty for nothing.
        label: String,
        /// The time of the state in it.
        at_ms: TimeMs,
    },
    /// A node that outlived the majority.
    Survivor {
        /// Its number.
        node_id: u64,
    },
}

/// A node that asks to be one of the cluster.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Join {
    /// Keyed hash of the token it has; none where it has proven that it holds the secret.
    pub token_hash: Option<[u8; 32]>,
    /// SHA-256 of what it made up for itself.
    pub key_hash: [u8; 32],
    /// Where other nodes reach it, `host:port`.
    pub address: String,
    /// What it wants to be, where no token says it.
    pub part: Part,
}

/// A join token to be made.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct NewJoinToken {
    /// Its public id.
    pub id: String,
    /// Keyed hash of its secret.
    pub hash: [u8; 32],
    /// What a node becomes by it.
    pub part: Part,
    /// How long it lasts.
    pub ttl_ms: u64,
}

/// First set-up: one fleet with its owner, settings, and the identity of the sealing key.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Bootstrap {
    /// The fleet and its owner.
    pub fleet: NewFleet,
    /// Identity of the key that seals secrets.
    pub sealing_key_id: String,
    /// Settings to begin with.
    pub settings: Settings,
}

/// A fleet to be made, and its owner.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct NewFleet {
    /// The fleet's public id.
    pub fleet_id: String,
    /// The fleet's name.
    pub name: String,
    /// The owner's public id.
    pub operator_id: String,
    /// The owner's sign-in name.
    pub email: String,
    /// argon2id of the owner's password.
    pub password_hash: String,
}

/// An enrolment.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Enroll {
    /// Fleet named by the agent.
    pub fleet_id: String,
    /// Hash of the token.
    pub token_hash: [u8; 32],
    /// The new agent's public id.
    pub agent_id: String,
    /// Its name.
    pub display_name: String,
    /// Its runtime.
    pub runtime: String,
    /// Its host.
    pub hostname: Option<String>,
    /// Its capabilities.
    pub capabilities: Vec<String>,
    /// Identity key: id and public key.
    pub identity_key: Option<(String, String)>,
    /// Its secret, sealed.
    pub sealed_secret: Vec<u8>,
}

/// Who signed a request, checked once more in apply.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Auth {
    /// Fleet.
    pub fleet: FleetNo,
    /// Agent.
    pub agent: AgentNo,
    /// The credential the signature was checked with.
    pub credential: u32,
    /// The nonce; none where the leader's guard vouches for it, as for polls.
    pub nonce: Option<String>,
    /// The signed timestamp.
    pub timestamp_ms: TimeMs,
}

/// What an agent asks for.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum AgentRequest {
    /// Remember the nonce, nothing else: for reads the leader cannot vouch for from memory.
    RecordNonce,
    /// Send messages; each has its own outcome.
    Send(Vec<NewMessage>),
    /// Take messages from the inbox.
    Poll(Poll),
    /// Acknowledge messages.
    Ack(Vec<u128>),
    /// Give messages back.
    Nack(Vec<Nack>),
    /// Keep messages longer.
    Lease(Vec<(u128, u64)>),
    /// Take back a message not handed out yet.
    Cancel {
        /// The message.
        message: u128,
    },
    /// A heartbeat that changes something.
    Heartbeat {
        /// The status as sent.
        status: String,
    },
    /// Ask to be allowed an action.
    Propose(Propose),
    /// Report what came of an action.
    ActionResult {
        /// The approval.
        approval: u128,
        /// executed, cancelled or failed.
        result: ActionResult,
        /// What came of it, JSON.
        output: Option<String>,
    },
    /// Make a room.
    CreateRoom {
        /// Its public id.
        room_id: String,
        /// Its name.
        name: String,
        /// Public ids of members.
        members: Vec<String>,
    },
    /// Report a stalled conversation.
    Notice {
        /// The conversation.
        conversation_id: String,
        /// Why.
        reason: String,
        /// How much waits.
        pending_count: u64,
        /// Budget, JSON.
        budget: Option<String>,
    },
    /// Take the floor.
    AcquireFloor {
        /// The conversation.
        conversation_id: String,
        /// For how long.
        ttl_ms: u64,
    },
    /// Give the floor back.
    ReleaseFloor {
        /// The conversation.
        conversation_id: String,
    },
    /// Register an identity key.
    IdentityKey {
        /// Its id.
        key_id: String,
        /// The key.
        public_key: String,
    },
    /// Replace the secret.
    RotateCredential {
        /// The new secret, sealed.
        sealed_secret: Vec<u8>,
        /// How long the old one keeps working.
        overlap_ms: u64,
    },
    /// Do something with an A2A task.
    Task(TaskRequest),
    /// Say what the agent's A2A card says.
    PutCard {
        /// JSON object with the fields that are the agent's to say.
        card: String,
    },
    /// Send messages of which some bind attachments; each has its own outcome.
    SendWith {
        /// The messages.
        messages: Vec<NewMessage>,
        /// What each of them binds, in their order.
        attachments: Vec<Vec<u128>>,
    },
    /// A file was stored on a majority; make it an attachment.
    CreateAttachment(NewAttachment),
    /// Publish a key that others encrypt to.
    PublishEncryptionKey(NewEncryptionKey),
    /// Revoke the present one for good.
    RevokeEncryptionKey,
}

/// A key that others encrypt to.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct NewEncryptionKey {
    /// Its id.
    pub key_id: String,
    /// The key, X25519.
    pub public_key: [u8; 32],
    /// The signature of the agent's identity key, which was checked.
    pub signed: Option<KeySignature>,
}

/// A file that is stored on a majority.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct NewAttachment {
    /// Its UUID.
    pub uuid: u128,
    /// Its name.
    pub filename: String,
    /// Its type, as given.
    pub mime: String,
    /// What its bytes were recognised as; empty for nothing.
    pub sniffed: String,
    /// Its length.
    pub size_bytes: u64,
    /// SHA-256 of its bytes.
    pub sha256: Hash,
    /// When the first node began to keep it.
    pub stored_ms: TimeMs,
}

/// A message to be accepted.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct NewMessage {
    /// Its UUID.
    pub uuid: u128,
    /// To whom.
    pub recipient: Recipient,
    /// Its type.
    pub message_type: String,
    /// Its priority.
    pub priority: Priority,
    /// How long it is worth something, from when it may be handed out.
    pub ttl_ms: u64,
    /// When to hand it out.
    pub schedule: Schedule,
    /// Whether an operator must agree.
    pub requires_approval: bool,
    /// Body, JSON as received.
    pub body: Vec<u8>,
    /// Metadata, JSON as received.
    pub metadata: Option<String>,
    /// Conversation.
    pub conversation_id: String,
    /// Correlation.
    pub correlation_id: String,
    /// End-to-end signature.
    pub envelope: Option<Envelope>,
    /// Idempotency key, and the hash of the request it stands for.
    pub idempotency: Option<(String, [u8; 32])>,
    /// For messages that wait: the approval's UUID.
    pub approval: u128,
    /// What extensions call it.
    pub tags: Vec<String>,
    /// What extensions said of it.
    pub judged: Judged,
}

/// What extensions said of a message at the node that took it in, before it was proposed.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
pub struct Judged {
    /// How often the fleet's hooks had been changed when they were asked.
    pub changes: u64,
    /// What came of it.
    pub verdict: Verdict,
    /// What they put in the place of its metadata, JSON.
    pub metadata: Option<String>,
}

/// What came of asking extensions.
#[derive(Clone, Debug, Default, PartialEq, Encode, Decode)]
pub enum Verdict {
    /// Nobody had anything against it.
    #[default]
    Allowed,
    /// One of them blocks it.
    Blocked {
        /// Its name.
        extension: String,
        /// Why.
        reason: String,
    },
    /// One of them that must be asked did not answer.
    Unavailable {
        /// Its name.
        extension: String,
    },
    /// Nobody was asked: an idempotency key stands for an earlier message, whose answer is given
    /// again.
    Repeats,
}

/// A follower of the audit log that was not told of an event.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct HookGaveUp {
    /// The hook's id.
    pub follower: String,
    /// Its name.
    pub name: String,
    /// The event's number.
    pub seq: u64,
    /// The event's public id.
    pub event_id: String,
    /// What it would have been told of.
    pub event: String,
    /// How often it was tried.
    pub attempts: u32,
    /// What went wrong the last time.
    pub last_error: String,
}

/// A hook as it is to be.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct PutHook {
    /// Public id.
    pub hook_id: String,
    /// The version the change was made from; 0 for a new one.
    pub from_version: u32,
    /// What it says.
    pub draft: HookDraft,
    /// The secret of a new one, sealed.
    pub sealed_secret: Option<Vec<u8>>,
}

/// When a message may be handed out.
#[derive(Clone, Copy, Debug, PartialEq, Encode, Decode)]
pub enum Schedule {
    /// At once.
    Now,
    /// This long after it is accepted.
    DelayMs(u64),
    /// At this time.
    AtMs(TimeMs),
}

/// A poll.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Poll {
    /// Messages to hand out at most.
    pub limit: u32,
    /// Only these types; empty for all.
    pub types: Vec<String>,
    /// A stream that broke: what was handed out after this place and not acked is handed out
    /// again at once.
    pub resume_after: Option<u64>,
}

/// A message given back.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Nack {
    /// The message.
    pub message: u128,
    /// When to try again; none: as after a timeout.
    pub delay_ms: Option<u64>,
    /// Why.
    pub reason: Option<String>,
}

/// A proposed action.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Propose {
    /// The approval's UUID.
    pub uuid: u128,
    /// Conversation.
    pub conversation_id: String,
    /// Kind of action.
    pub action_type: String,
    /// For people.
    pub summary: String,
    /// How risky.
    pub risk: Risk,
    /// Details, JSON.
    pub payload: String,
}

/// What came of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum ActionResult {
    /// Done.
    Executed,
    /// Not done.
    Cancelled,
    /// Tried and failed.
    Failed,
}

/// What an operator does.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum OperatorRequest {
    /// Make an enrolment token.
    CreateEnrollmentToken {
        /// Its hash.
        token_hash: [u8; 32],
    },
    /// Pause or quarantine an agent.
    Hold {
        /// The agent.
        agent_id: String,
        /// Which.
        kind: HoldKind,
        /// Why.
        reason: String,
        /// Until when.
        expires_ms: Option<TimeMs>,
        /// Who receives new messages meanwhile.
        redirect_agent_id: Option<String>,
    },
    /// Lift every hold.
    Resume {
        /// The agent.
        agent_id: String,
        /// Why.
        reason: String,
        /// How long the agent is told.
        expires_ms: Option<TimeMs>,
    },
    /// Revoke an agent for good.
    Revoke {
        /// The agent.
        agent_id: String,
        /// Why.
        reason: String,
    },
    /// Decide an approval.
    DecideApproval {
        /// The approval.
        approval: u128,
        /// Yes or no.
        approve: bool,
        /// Why.
        reason: Option<String>,
    },
    /// Change settings, provided they still are what the change was made from.
    ChangeSettings {
        /// What they were.
        before: Box<Settings>,
        /// What they are to be.
        after: Box<Settings>,
    },
    /// Add an operator.
    CreateOperator {
        /// Public id.
        operator_id: String,
        /// Sign-in name.
        email: String,
        /// argon2id.
        password_hash: String,
        /// What they may do.
        role: Role,
    },
    /// Change what an operator may do, or their password.
    ChangeOperator {
        /// Public id.
        operator_id: String,
        /// The new role.
        role: Option<Role>,
        /// argon2id of the new password.
        password_hash: Option<String>,
    },
    /// Remove an operator with their sessions and tokens.
    DeleteOperator {
        /// Public id.
        operator_id: String,
    },
    /// End a session or API token.
    EndSession {
        /// Whose, by public id; none for the caller's own.
        operator_id: Option<String>,
        /// Public id.
        session_id: String,
    },
    /// End every other login of the caller.
    EndOtherSessions,
    /// Change the caller's password.
    ChangePassword {
        /// The hash that the current password was checked against.
        current_hash: String,
        /// argon2id of the new one.
        new_hash: String,
    },
    /// Make an API token that acts for the caller.
    CreateApiToken {
        /// Keyed hash of the token.
        token_hash: [u8; 32],
        /// Public id.
        id: String,
        /// For people.
        name: String,
        /// The most it may do.
        scopes: Scopes,
        /// When it ends; none for never.
        expires_ms: Option<TimeMs>,
    },
    /// Make a policy, or a new version of one.
    PutPolicy {
        /// Public id.
        policy_id: String,
        /// What it says.
        draft: Box<Draft>,
        /// Whether there is none under this id yet.
        is_new: bool,
    },
    /// Remove a policy.
    DeletePolicy {
        /// Public id.
        policy_id: String,
    },
    /// Put dead letters back into their inboxes.
    Redrive {
        /// Their numbers.
        dead_letters: Vec<u64>,
    },
    /// Throw dead letters away.
    Purge {
        /// Their numbers.
        dead_letters: Vec<u64>,
    },
    /// Make an old version of a policy the newest.
    RollBackPolicy {
        /// Public id.
        policy_id: String,
        /// Which version.
        version: u32,
    },
    /// Send a message.
    Send(Box<NewMessage>),
    /// Take back a message not handed out yet.
    Cancel {
        /// The message.
        message: u128,
    },
    /// Send what waits for one agent on to another.
    Redirect {
        /// For whom it waits.
        from_agent_id: String,
        /// Who receives it.
        to_agent_id: String,
        /// Places in the inbox.
        seqs: Vec<u64>,
        /// Why.
        reason: String,
    },
    /// Install a licence that was verified, or with none remove the one that is installed.
    InstallLicense(Option<Box<License>>),
    /// Make a fleet.
    CreateFleet(Box<NewFleet>),
    /// Rename a fleet.
    RenameFleet {
        /// Public id.
        fleet_id: String,
        /// The new name.
        name: String,
    },
    /// Shut a fleet.
    ArchiveFleet {
        /// Public id.
        fleet_id: String,
        /// Its name, to be sure.
        name: String,
    },
    /// Take an archived fleet back into use.
    RestoreFleet {
        /// Public id.
        fleet_id: String,
    },
    /// Register a key of the caller's own, which was shown to be.
    RegisterKey {
        /// Its id.
        key_id: String,
        /// The key.
        public_key: [u8; 32],
        /// For people.
        name: String,
        /// Whether it is trusted by itself.
        is_root: bool,
    },
    /// Note that a key vouches for another, with a signature that was checked.
    EndorseKey {
        /// The key.
        key_id: String,
        /// The key that vouches for it.
        by_key_id: String,
        /// Its signature.
        signature: [u8; 64],
    },
    /// Revoke an operator's key for good.
    RevokeKey {
        /// Its id.
        key_id: String,
        /// Why.
        reason: String,
    },
    /// Revoke a key of an agent for good.
    RevokeAgentKey {
        /// The agent.
        agent_id: String,
        /// The key's id.
        key_id: String,
        /// Why.
        reason: String,
    },
    /// Make or change a hook.
    PutHook(Box<PutHook>),
    /// Remove a hook.
    DeleteHook {
        /// Public id.
        hook_id: String,
    },
    /// Replace a hook's secret.
    RotateHookSecret {
        /// Public id.
        hook_id: String,
        /// The new one, sealed.
        sealed_secret: Vec<u8>,
        /// How long the old one goes on signing.
        overlap_ms: u64,
    },
    /// Begin to set up a second factor.
    BeginTotp {
        /// The hash that the current password was checked against.
        current_hash: String,
        /// Names the secret.
        secret_id: String,
        /// The secret, sealed.
        sealed_secret: Vec<u8>,
    },
    /// Have the second factor asked for from now on.
    ConfirmTotp {
        /// The secret that a code was checked against.
        secret_id: String,
        /// The step of that code.
        step: u64,
        /// Keyed hashes of the recovery codes.
        recovery_hashes: Vec<[u8; 32]>,
    },
    /// Take the caller's second factor away.
    DisableTotp {
        /// The hash that the current password was checked against.
        current_hash: String,
        /// The second factor, once more.
        second: Option<SecondFactor>,
    },
    /// Take another operator's second factor away.
    ResetTotp {
        /// Public id.
        operator_id: String,
    },
    /// Make a set of policies hold, all or nothing.
    ImportPolicies {
        /// Public ids and what they say; those that do not exist yet are made.
        policies: Vec<(String, Draft)>,
        /// Whether all other policies are removed.
        delete_others: bool,
        /// Only say what would be done.
        dry_run: bool,
    },
    /// Set what operators call an agent.
    SetLabels {
        /// The agent.
        agent_id: String,
        /// All its labels.
        labels: Vec<String>,
    },
    /// Make a token by which a node can join.
    CreateJoinToken(NewJoinToken),
    /// Take a join token back.
    DeleteJoinToken {
        /// Its id.
        id: String,
    },
    /// Change what a node is meant to be.
    SetNodePart {
        /// The node.
        node_id: u64,
        /// What it is to be.
        part: Part,
    },
    /// Note that leadership is moved to a node, or that a node is made ready to stop.
    NodeMoved {
        /// The node.
        node_id: u64,
        /// Whether it is made ready to stop.
        is_drain: bool,
    },
    /// Write down that a backup is taken.
    TakeBackup {
        /// What it is called; empty for nothing.
        label: String,
    },
    /// Change the settings that the fleet has of its own.
    ChangeFleetSettings(FleetSettings),
    /// Make an A2A client.
    CreateA2aClient(Box<NewA2aClient>),
    /// Change what an A2A client may reach, and how often.
    ChangeA2aClient {
        /// Its public id.
        client_id: String,
        /// Public ids of the agents that it may reach; empty for all.
        agents: Vec<String>,
        /// Messages of a window, where it is not as for every agent.
        rate_max_messages: Option<u64>,
    },
    /// Give an A2A client a bearer token.
    CreateA2aToken {
        /// Its public id.
        client_id: String,
        /// The token.
        token: NewA2aToken,
    },
    /// Take a bearer token of an A2A client back.
    RevokeA2aToken {
        /// Public id of the client.
        client_id: String,
        /// Public id of the token.
        token_id: String,
    },
    /// Have a push notification that was given up tried again.
    RetryPush {
        /// The task.
        task: u128,
        /// Id of the configuration.
        id: String,
    },
    /// Register an A2A agent elsewhere.
    CreateA2aRemote(Box<NewA2aRemote>),
    /// Change where an A2A agent elsewhere is, and what it is shown.
    ChangeA2aRemote(Box<NewA2aRemote>),
    /// Send a message that binds attachments.
    SendWith {
        /// The message.
        message: Box<NewMessage>,
        /// What it binds.
        attachments: Vec<u128>,
    },
    /// A file was stored on a majority; make it an attachment.
    CreateAttachment(Box<NewAttachment>),
    /// Change the settings of attachments, provided they still are what the change was made from.
    ChangeAttachmentSettings {
        /// What they were.
        before: AttachmentSettings,
        /// What they are to be.
        after: AttachmentSettings,
    },
    /// Note what is looked into on a node.
    NodeDebugged {
        /// The node.
        node_id: u64,
        /// What is done there.
        what: Debugging,
    },
    /// Take over what another relay held.
    Import {
        /// Out of what, for people.
        source: String,
        /// In the order in which they are taken over.
        rows: Vec<ImportRow>,
    },
    /// Give an agent a new secret; every other one stops working.
    IssueSecret {
        /// The agent.
        agent_id: String,
        /// The new one, sealed.
        sealed_secret: Vec<u8>,
    },
    /// Begin to seal everything under the key of the next master secret.
    RotateMasterSecret {
        /// Its id.
        to_key_id: String,
    },
}

impl OperatorRequest {
    fn sealed(&self) -> Vec<&[u8]> {
        match self {
            OperatorRequest::PutHook(hook) => {
                hook.sealed_secret.iter().map(Vec::as_slice).collect()
            }
            OperatorRequest::RotateHookSecret { sealed_secret, .. }
            | OperatorRequest::BeginTotp { sealed_secret, .. }
            | OperatorRequest::IssueSecret { sealed_secret, .. } => vec![sealed_secret],
            OperatorRequest::CreateA2aRemote(new) | OperatorRequest::ChangeA2aRemote(new) => {
                new.sealed.iter().map(Vec::as_slice).collect()
            }
            OperatorRequest::Import { rows, .. } => {
                rows.iter().flat_map(ImportRow::sealed).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// What an operator does to find out how a node is.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Debugging {
    /// Other lines are written to its log, for a time.
    Log {
        /// Which; empty for those it is configured with.
        filter: String,
        /// For how long; 0 for good.
        lasting_ms: u64,
    },
}

/// An A2A agent elsewhere.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct NewA2aRemote {
    /// Its public id here, as an agent's.
    pub agent_id: String,
    /// For people; not changed once it is registered.
    pub name: String,
    /// Where its card is.
    pub card_url: String,
    /// Scheme of HTTP by which to show who calls.
    pub scheme: Option<String>,
    /// What goes with the scheme, encrypted.
    pub sealed: Option<Vec<u8>>,
}

/// What the relay does for an A2A agent elsewhere.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum RemoteRequest {
    /// Takes messages from its inbox.
    Poll(Poll),
    /// Gives one back that it could not be sent.
    Nack(Nack),
    /// It was sent a message of a task.
    Sent {
        /// The message.
        message: u128,
        /// The task.
        task: u128,
        /// What the task is called there.
        task_id: String,
        /// What its context is called there.
        context_id: String,
    },
    /// It said how far a task is.
    Update(Box<TaskUpdate>),
    /// Nothing more is expected of it for a task.
    Forget {
        /// The task.
        task: u128,
    },
}

/// An A2A client to be made, with its first token.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct NewA2aClient {
    /// Public id, as an agent's.
    pub client_id: String,
    /// For people.
    pub name: String,
    /// Public ids of the agents that it may reach; empty for all.
    pub agents: Vec<String>,
    /// Messages of a window, where it is not as for every agent.
    pub rate_max_messages: Option<u64>,
    /// Its first token.
    pub token: NewA2aToken,
}

/// A bearer token to be made.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct NewA2aToken {
    /// Public id.
    pub id: String,
    /// Keyed hash of the token.
    pub hash: [u8; 32],
    /// When it ends; none for never.
    pub expires_ms: Option<TimeMs>,
}

/// What a party of an A2A task does with it.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum TaskRequest {
    /// The client sends a message: to a new task, or to one of its own.
    Send(Box<SendTask>),
    /// Either party calls it off.
    Cancel {
        /// The task.
        task: u128,
    },
    /// The agent says how far it is.
    Update(Box<TaskUpdate>),
    /// The client says where it wants to be told of the task.
    PutPush {
        /// The task.
        task: u128,
        /// Where.
        push: NewPush,
    },
    /// The client does not want to be told there any more.
    DeletePush {
        /// The task.
        task: u128,
        /// Id of the configuration.
        id: String,
    },
}

impl TaskRequest {
    fn sealed(&self) -> Vec<&[u8]> {
        match self {
            TaskRequest::Send(send) => send
                .push
                .iter()
                .map(|push| push.sealed.as_slice())
                .collect(),
            TaskRequest::PutPush { push, .. } => vec![&push.sealed],
            _ => Vec::new(),
        }
    }

    /// What extensions are asked about.
    pub fn message(&self) -> Option<&NewMessage> {
        match self {
            TaskRequest::Send(send) => Some(&send.message),
            TaskRequest::Update(update) => Some(&update.carrier),
            TaskRequest::Cancel { .. }
            | TaskRequest::PutPush { .. }
            | TaskRequest::DeletePush { .. } => None,
        }
    }

    /// The same, to note what they said.
    pub fn message_mut(&mut self) -> Option<&mut NewMessage> {
        match self {
            TaskRequest::Send(send) => Some(&mut send.message),
            TaskRequest::Update(update) => Some(&mut update.carrier),
            TaskRequest::Cancel { .. }
            | TaskRequest::PutPush { .. }
            | TaskRequest::DeletePush { .. } => None,
        }
    }
}

/// A message of a client to a task.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct SendTask {
    /// The message as the agent's inbox gets it.
    pub message: NewMessage,
    /// Where in its body the message of the protocol stands: from there on to the last byte but
    /// one.
    pub text_from: u32,
    /// The task.
    pub task: u128,
    /// Whether the task is to be made.
    pub is_new: bool,
    /// UUID of the text.
    pub content: u128,
    /// What came beside the first message, JSON.
    pub metadata: Option<String>,
    /// Where the client wants to be told of the task.
    pub push: Option<NewPush>,
}

/// Where a client wants to be told of a task.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct NewPush {
    /// Id of the configuration.
    pub id: String,
    /// The address.
    pub url: String,
    /// Scheme of HTTP by which to show who calls.
    pub scheme: Option<String>,
    /// Token and credentials, encrypted.
    pub sealed: Vec<u8>,
}

/// What came of telling a client of its task.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct PushTold {
    /// The task.
    pub task: u128,
    /// Id of the configuration.
    pub id: String,
    /// When it was made: another one may have taken its place.
    pub created_ms: TimeMs,
    /// Number of the last update that it was told.
    pub told: u64,
    /// Why it was not told the next one, where it was to be.
    pub failure: Option<String>,
}

/// What an agent says of its task.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct TaskUpdate {
    /// The task.
    pub task: u128,
    /// UUID of the text.
    pub content: u128,
    /// The text, as a message to the client that policies and extensions can be asked about.
    pub carrier: NewMessage,
    /// What changes.
    pub change: NewChange,
}

/// What an agent changes of its task.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum NewChange {
    /// Where it stands.
    Status {
        /// The new state.
        state: TaskState,
        /// Whether the text is a message; otherwise there is none.
        has_message: bool,
    },
    /// An artifact, which the text is.
    Artifact {
        /// Its id.
        artifact_id: String,
        /// Whether it goes on with the artifact of this id.
        append: bool,
        /// Whether it is the end of it.
        last_chunk: bool,
    },
}

/// Encodes a value of the log, version byte first.
pub fn encode<T: Encode>(value: &T) -> Bytes {
    let mut bytes = Vec::with_capacity(512);
    bytes.push(VERSION);
    if let Err(error) = bincode::encode_into_std_write(value, &mut bytes, CONFIG) {
        // Only types bincode cannot represent fail in memory; ours are all plain data.
        unreachable!("log value cannot be encoded: {error}");
    }
    bytes.into()
}

/// Decodes a value of the log.
pub fn decode<T: Decode<()>>(bytes: &[u8]) -> Result<T, DecodeError> {
    match bytes.split_first() {
        Some((&VERSION, rest)) => {
            let (value, used) = bincode::decode_from_slice(rest, CONFIG)
                .map_err(|error| DecodeError::Damaged(error.to_string()))?;
            if used != rest.len() {
                return Err(DecodeError::Damaged(format!(
                    "{} bytes left over",
                    rest.len() - used
                )));
            }
            Ok(value)
        }
        Some((&version, _)) => Err(DecodeError::Version(version)),
        None => Err(DecodeError::Damaged("empty".into())),
    }
}

/// Why a value of the log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Written by another release.
    #[error(
        "the log holds a command of version {0}, this release knows up to {VERSION}; start the newer release"
    )]
    Version(u8),
    /// Does not decode.
    #[error(
        "the log holds a damaged command ({0}); rebuild this node from a peer or restore a backup"
    )]
    Damaged(String),
}
