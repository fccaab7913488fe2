//! Requests and answers of the agent API, one file a family. Data only.
//!
//! Field names are those on the wire. Timestamps are ISO 8601 UTC text; ids are opaque text with a
//! prefix. Answers ignore fields they do not know, and their enumerations keep a word they do not
//! know as `Other`, so that a newer relay does not break an older client.

mod actions;
mod agents;
mod attachments;
mod conversations;
mod delivery;
mod directory;
mod inbox;
mod messages;
mod tasks;

pub use actions::{
    ActionReport, ActionResult, ActionState, ActionStatus, Decision, ProposeAction, ProposeAnswer,
    RiskLevel,
};
pub use agents::{
    AgentEncryptionKeys, AgentKey, AgentKeys, EncryptionKeyEntry, EncryptionKeyRevoked,
    EnrollAnswer, EnrollRequest, Heartbeat, HeartbeatAnswer, HeartbeatStatus, KeyAnswer, OkAnswer,
    OperatorKey, OperatorKeys, RevokedKey, RotateAnswer,
};
pub use attachments::{Attachment, Downloaded};
pub use conversations::{CreateRoom, FloorAnswer, FloorReleased, Notice, NoticeAnswer, Room};
pub use delivery::{
    AckItem, DeliveryState, DeliveryStatus, LeaseGranted, LeaseItem, LeasesAnswer, MessageState,
    NackItem, Updated,
};
pub use directory::{PageQuery, Peer, Peers, Said, SaidMessage};
pub use inbox::{ControlAction, Inbox, InboxControl, InboxMessage, InboxQuery, StreamQuery};
pub use messages::{
    BatchAnswer, BatchItemAnswer, CancelAnswer, MessageType, Priority, Recipient, SendAnswer,
    SendMessage,
};
pub use tasks::{AgentCard, AgentSkill, Artifact, TaskMessage, TaskStanding, TaskState};

/// Requests that the client's methods build from their arguments.
pub(crate) mod wire {
    use serde::Serialize;

    pub(crate) use super::agents::{EncryptionKeyRequest, IdentityKeyRequest, RotateRequest};
    pub(crate) use super::attachments::UploadRequest;
    pub(crate) use super::conversations::FloorRequest;
    pub(crate) use super::messages::BatchItem;
    pub(crate) use super::tasks::{ArtifactRequest, StatusRequest};
    use super::{AckItem, LeaseItem, NackItem};

    #[derive(Debug, Serialize)]
    pub(crate) struct Batch<'a> {
        pub(crate) messages: Vec<BatchItem<'a>>,
    }

    #[derive(Debug, Serialize)]
    pub(crate) struct Acks {
        pub(crate) acks: Vec<AckItem>,
    }

    #[derive(Debug, Serialize)]
    pub(crate) struct Nacks {
        pub(crate) nacks: Vec<NackItem>,
    }

    #[derive(Debug, Serialize)]
    pub(crate) struct Leases {
        pub(crate) leases: Vec<LeaseItem>,
    }
}

/// An enumeration that is open on the wire: unknown words are kept, and sent back as they came.
macro_rules! open_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$variant_meta])* $variant,)+
            /// A word this version does not know.
            Other(String),
        }

        impl $name {
            /// The word on the wire.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)+
                    Self::Other(text) => text,
                }
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                match text {
                    $($text => Self::$variant,)+
                    other => Self::Other(other.to_owned()),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                Ok(Self::from(text.as_str()))
            }
        }
    };
}
use open_enum;

/// Reads a missing or null field as the type's default.
fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + serde::Deserialize<'de>,
{
    Ok(<Option<T> as serde::Deserialize>::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests;
