//! Outcomes: what apply answers to a command.

use bincode::{Decode, Encode};
use ekho_storage::tables::TimeMs;
use ekho_storage::tables::agent::AgentStatus;
use ekho_storage::tables::approval::ApprovalStatus;
use ekho_storage::tables::license::Feature;
use ekho_storage::tables::operator::Scope;
use ekho_storage::tables::task::TaskState;

/// What a command came to.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum Outcome {
    /// Done, nothing more to say.
    Done,
    /// Not done, and nothing changed but what the refusal itself records.
    Refused(Refusal),
    /// An agent enrolled.
    Enrolled {
        /// How often it should send heartbeats.
        heartbeat_interval_ms: u64,
        /// How often it should poll.
        poll_interval_ms: u64,
    },
    /// Messages were considered one by one.
    Sent {
        /// In the order given.
        results: Vec<Result<Sent, Refusal>>,
        /// The sender's window afterwards.
        rate: RateState,
    },
    /// Messages were handed out.
    Polled {
        /// In accepted order.
        messages: Vec<HandedOut>,
    },
    /// That many deliveries were changed.
    Updated(u64),
    /// Leases were extended: message and new end, in the order asked, unknown ones left out.
    Leased(Vec<(u128, TimeMs)>),
    /// A heartbeat was taken.
    Heartbeat,
    /// An action was proposed.
    Proposed(Decision),
    /// A room was made; public ids of its members.
    RoomCreated {
        /// When.
        created_ms: TimeMs,
        /// Members.
        members: Vec<String>,
    },
    /// A stall was reported; whether it is new.
    Noticed(bool),
    /// Who has the floor now.
    Floor {
        /// Whether it is the caller.
        granted: bool,
        /// Public id of the holder.
        holder_agent_id: String,
        /// Until when.
        expires_ms: TimeMs,
    },
    /// Whether the caller had the floor and gave it back.
    FloorReleased(bool),
    /// Id of the registered key.
    IdentityKey(String),
    /// Id of the encryption key that was published or revoked; none where there was none.
    EncryptionKey(Option<String>),
    /// The secret was replaced.
    Rotated {
        /// Number of the new credential.
        credential: u32,
        /// End of the old one.
        previous_valid_until_ms: TimeMs,
    },
    /// A session began.
    SessionCreated {
        /// Until when.
        expires_ms: TimeMs,
    },
    /// Keys were revoked; ids of others that are not trusted any more because of it.
    KeysRevoked(Vec<String>),
    /// A set of policies holds.
    PoliciesImported(Imported),
    /// An approval's status after an operator spoke about it.
    Decided(ApprovalStatus),
    /// A tick was done; whether more is due.
    Ticked {
        /// Entries handled.
        handled: u32,
        /// More is due at the same time.
        more: bool,
    },
    /// A node is one of the cluster.
    Joined {
        /// Its number.
        node_id: u64,
    },
    /// Sends of an edge node were considered one by one, in the order given.
    EdgeSent {
        /// What came of each.
        results: Vec<EdgeResult>,
    },
    /// A message was accepted for an A2A task.
    TaskSent {
        /// The task; the first one's where the message repeats.
        task: u128,
        /// Whether the message was sent before.
        repeated: bool,
        /// The client's window afterwards.
        rate: RateState,
    },
    /// An A2A task changed.
    TaskChanged {
        /// Number of the update.
        number: u64,
        /// Where it stands.
        state: TaskState,
    },
    /// An attachment was made.
    AttachmentCreated {
        /// When.
        created_ms: TimeMs,
        /// When it goes unless a message binds it.
        expires_ms: TimeMs,
    },
    /// Rows of another relay were considered one by one, in the order given.
    RowsImported(Vec<RowOutcome>),
    /// An agent has a new secret.
    SecretIssued {
        /// Number of the credential.
        credential: u32,
    },
}

/// What came of a row of another relay.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum RowOutcome {
    /// It is here now.
    Imported,
    /// It was here already, and nothing of it was changed.
    Exists,
    /// It cannot be taken over.
    Refused(String),
}

/// What came of a send that an edge node forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum EdgeResult {
    /// It is accepted, or refused and its sender told; it is over.
    Decided,
    /// Nothing was decided.
    Later {
        /// When to forward it again.
        retry_after_ms: u64,
    },
}

/// How many policies an import changed, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Imported {
    /// Made.
    pub created: u32,
    /// Given a new version.
    pub updated: u32,
    /// As they were before.
    pub unchanged: u32,
    /// Removed.
    pub deleted: u32,
}

/// An accepted message.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct Sent {
    /// Its UUID; the first one's where an idempotency key repeats.
    pub message: u128,
    /// When it was accepted.
    pub queued_ms: TimeMs,
    /// When it may be handed out.
    pub deliver_at_ms: TimeMs,
    /// Whether this answers a repeated idempotency key.
    pub repeated: bool,
}

/// A message handed out by a poll.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub struct HandedOut {
    /// Place in the inbox.
    pub seq: u64,
    /// The message.
    pub message: u128,
    /// How often it has been handed out, this time included.
    pub attempt: u32,
}

/// A sender's rate window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct RateState {
    /// Messages allowed in a window.
    pub limit: u64,
    /// Messages left in this one.
    pub remaining: u64,
    /// When the next one begins.
    pub reset_ms: TimeMs,
}

/// The answer to a proposed action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Decision {
    /// Go ahead.
    Allow,
    /// Do not.
    Deny,
    /// An operator decides.
    PendingApproval,
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum Refusal {
    /// Unknown or revoked agent, or a credential that is no longer valid.
    InvalidCredentials,
    /// The timestamp is too far from the leader's clock.
    TimestampSkew,
    /// The nonce was used before.
    ReplayedNonce,
    /// The agent may not do this now.
    Held(HeldStatus),
    /// The agent or room addressed does not exist for the sender.
    UnknownRecipient,
    /// A room's conversation id with another recipient than the room.
    RoomConversation,
    /// More recipients than allowed.
    TooManyRecipients {
        /// How many are allowed.
        limit: u64,
    },
    /// Too many messages.
    RateLimited {
        /// When the next window begins.
        retry_after_ms: u64,
    },
    /// The idempotency key stands for another request.
    IdempotencyConflict,
    /// Bad, used or expired enrolment token.
    InvalidToken,
    /// No such thing for the caller.
    NotFound,
    /// Too late: it is past the state in which this is possible.
    Conflict(String),
    /// The cluster is set up already.
    AlreadySetUp,
    /// There are as many of these as allowed.
    LimitReached {
        /// How many are allowed.
        limit: u64,
    },
    /// The bearer token stands for nobody, any more.
    NotSignedIn,
    /// The operator, or the API token, lacks this scope.
    Forbidden(Scope),
    /// Only a person who signed in may do this, no API token.
    LoginOnly,
    /// The policy with this name denies the message.
    PolicyDenied(String),
    /// Too many failed tries to sign in.
    LockedOut {
        /// When the next try is looked at.
        retry_after_ms: u64,
    },
    /// The relay's licence does not allow this.
    LicenseRequired {
        /// What it would have to allow.
        feature: Feature,
    },
    /// The key was revoked, for good.
    KeyRevoked,
    /// An extension blocks the message.
    ExtensionBlocked {
        /// Its name.
        extension: String,
        /// Why.
        reason: String,
    },
    /// An extension that must be asked about the message did not answer.
    ExtensionUnavailable {
        /// Its name.
        extension: String,
    },
    /// Other extensions than those of now were asked about the message.
    ExtensionsNotAsked,
    /// The password is right, and a second factor is needed.
    TotpRequired,
    /// Somebody else vouches for them, but they are no operator here.
    NoOperator,
    /// The agent is elsewhere, and only A2A reaches it.
    OnlyA2a,
    /// The A2A task is over.
    TaskOver(TaskState),
    /// The A2A task holds as much as it may.
    TaskFull {
        /// What of.
        what: TaskPart,
        /// How much it may hold.
        limit: u64,
    },
    /// The attachment is larger than allowed.
    AttachmentTooLarge {
        /// How large it may be.
        limit_bytes: u64,
    },
    /// The attachments of the fleet take as much room as they may.
    AttachmentQuota {
        /// How much that is.
        limit_bytes: u64,
    },
    /// It took too long from storing the bytes to this.
    AttachmentLate,
    /// An attachment that a message binds does not exist for its sender.
    UnknownAttachment,
    /// A secret in it was sealed under a key that was given up a moment ago.
    SealedBefore,
}

/// What an A2A task holds only so much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum TaskPart {
    /// Messages.
    Messages,
    /// Artifacts.
    Artifacts,
    /// Updates.
    Updates,
    /// Bytes of texts.
    Bytes,
}

impl TaskPart {
    /// As it is named to people.
    pub fn as_str(self) -> &'static str {
        match self {
            TaskPart::Messages => "messages",
            TaskPart::Artifacts => "artifacts",
            TaskPart::Updates => "updates",
            TaskPart::Bytes => "bytes",
        }
    }
}

impl Refusal {
    /// Why a message was refused, for its sender: the code that the API answers, and a sentence.
    pub fn of_message(&self) -> (&'static str, String) {
        let plain = |code, text: &str| (code, text.to_string());
        match self {
            Refusal::InvalidCredentials => plain("invalid_credentials", "the credential is over"),
            Refusal::ReplayedNonce => plain("replayed_nonce", "the request was accepted before"),
            Refusal::Held(HeldStatus::Paused) => plain("agent_paused", "agent is paused"),
            Refusal::Held(HeldStatus::Quarantined) => {
                plain("agent_quarantined", "agent is quarantined")
            }
            Refusal::UnknownRecipient => plain("unknown_recipient", "unknown recipient"),
            Refusal::RoomConversation => {
                plain("room_conversation", "the conversation id is a room's")
            }
            Refusal::TooManyRecipients { limit } => (
                "too_many_recipients",
                format!("a message reaches at most {limit} agents"),
            ),
            Refusal::IdempotencyConflict => plain(
                "idempotency_conflict",
                "the idempotency key was used for another request",
            ),
            Refusal::PolicyDenied(name) => ("policy_denied", format!("blocked by policy {name:?}")),
            Refusal::KeyRevoked => plain("key_revoked", "the key was revoked, for good"),
            Refusal::UnknownAttachment => plain("unknown_attachment", "unknown attachment"),
            Refusal::ExtensionBlocked { extension, reason } => (
                "blocked_by_extension",
                format!("blocked by extension {extension}: {reason}"),
            ),
            _ => plain("conflict", "the message cannot be accepted"),
        }
    }
}

/// Status of an agent that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum HeldStatus {
    /// Paused.
    Paused,
    /// Quarantined.
    Quarantined,
}

impl HeldStatus {
    /// The held status behind an agent's status, if it is one.
    pub fn of(status: AgentStatus) -> Option<Self> {
        match status {
            AgentStatus::Paused => Some(HeldStatus::Paused),
            AgentStatus::Quarantined => Some(HeldStatus::Quarantined),
            AgentStatus::Healthy | AgentStatus::Degraded | AgentStatus::Revoked => None,
        }
    }

    /// The word used on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            HeldStatus::Paused => "paused",
            HeldStatus::Quarantined => "quarantined",
        }
    }
}
