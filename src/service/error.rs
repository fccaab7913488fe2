//! Why a use case was not carried out.

use ekho_raft::{ProposeError, ReadError};
use ekho_storage::StorageError;
use thiserror::Error;

use crate::ingress::oidc::OidcError;
use crate::ingress::seal::SealError;
use crate::machine::command::DecodeError;
use crate::machine::outcome::{Outcome, Refusal};

/// The one error of the service layer. The API gives each its status and code.
#[derive(Debug, Error)]
pub enum ServiceError {
    /// Apply, or a check that comes to the same, said no.
    #[error("refused: {0:?}")]
    Refused(Refusal),
    /// A signature does not match.
    #[error("invalid signature")]
    InvalidSignature,
    /// A signature of an operator's key is none of the statement.
    #[error("{field} is no signature of the statement")]
    BadSignature {
        /// The field that holds it.
        field: &'static str,
        /// What was to be signed.
        statement: String,
    },
    /// An imported agent signs and has not shown its secret yet.
    #[error("the agent was imported and has to show its secret once")]
    SecretNotShown,
    /// An imported agent shows its secret where others can read it.
    #[error("the secret was shown in the open")]
    SecretInTheOpen,
    /// A header of the signature is missing.
    #[error("missing auth headers")]
    MissingHeaders,
    /// A read's timestamp is from before this leadership.
    #[error("the timestamp is from before the present leader")]
    BeforeLeadership,
    /// The timestamp is from a time of which the relay does not know what was accepted.
    #[error("the timestamp is from before the relay was restored or recovered")]
    BeforeFloor {
        /// When one that is made then is accepted.
        retry_after_ms: u64,
    },
    /// Not signed in, or the session is over.
    #[error("not signed in")]
    NotSignedIn,
    /// No leader; nothing was done.
    #[error("no leader")]
    NoLeader {
        /// When to try again.
        retry_after_ms: u64,
    },
    /// The leader does not answer this node, as one that was removed; nothing was done.
    #[error("the leader does not answer this node")]
    NotAnswered {
        /// When to try again.
        retry_after_ms: u64,
    },
    /// Not every node understands it yet; nothing was done.
    #[error(
        "this needs feature level {needed} and {present} is in use: it rises once every node runs \
         a release that understands it and no EKHO_FEATURE_LEVEL_MAX keeps it down"
    )]
    FeatureLevel {
        /// What it needs.
        needed: u32,
        /// What is in use.
        present: u32,
    },
    /// Not every node holds the next master secret; nothing was done.
    #[error("nodes {nodes:?} are not known to hold the next master secret")]
    NextSecretMissing {
        /// Their numbers.
        nodes: Vec<u64>,
    },
    /// The outbox of this edge node is full; nothing was done.
    #[error("the outbox of this edge node is full")]
    OutboxFull,
    /// The outcome is not known; a retry needs an idempotency key.
    #[error("the outcome is unknown")]
    OutcomeUnknown,
    /// Too much is under way; nothing was done.
    #[error("overloaded")]
    Overloaded,
    /// The disk is full; nothing was done.
    #[error("the disk is full")]
    DiskFull,
    /// The request is larger than a command may be.
    #[error("{size_bytes} bytes, the limit is {limit_bytes}")]
    TooLarge {
        /// Of this request.
        size_bytes: usize,
        /// Of any.
        limit_bytes: usize,
    },
    /// The file is not of the type that it should be, or of none that is accepted.
    #[error("unsupported media type: {0}")]
    UnsupportedType(String),
    /// Too few nodes could store a file; nothing was done.
    #[error("too few nodes could store the file")]
    NotReplicated {
        /// When to try again.
        retry_after_ms: u64,
    },
    /// No node that can be reached has the file.
    #[error("no node that can be reached has the file")]
    NoNodeHasIt {
        /// When to try again.
        retry_after_ms: u64,
    },
    /// The node is stopping.
    #[error("the node is stopping")]
    Stopping,
    /// No sign-in by the OpenID provider.
    #[error(transparent)]
    Oidc(#[from] OidcError),
    /// Something that must not happen: damaged state, an outcome that does not fit.
    #[error("internal: {0}")]
    Internal(String),
}

impl ServiceError {
    /// An outcome of another kind than the command has.
    pub fn unexpected(outcome: &Outcome) -> Self {
        ServiceError::Internal(format!("unexpected outcome {outcome:?}"))
    }
}

impl From<Refusal> for ServiceError {
    fn from(refusal: Refusal) -> Self {
        ServiceError::Refused(refusal)
    }
}

impl From<StorageError> for ServiceError {
    fn from(error: StorageError) -> Self {
        ServiceError::Internal(error.to_string())
    }
}

impl From<SealError> for ServiceError {
    fn from(error: SealError) -> Self {
        ServiceError::Internal(error.to_string())
    }
}

impl From<DecodeError> for ServiceError {
    fn from(error: DecodeError) -> Self {
        ServiceError::Internal(error.to_string())
    }
}

/// Nothing will change soon where a node is not of the cluster any more.
const FORBIDDEN_RETRY_MS: u64 = 5000;

impl From<ProposeError> for ServiceError {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::NoLeader { retry_after_ms, .. } => {
                ServiceError::NoLeader { retry_after_ms }
            }
            ProposeError::OutcomeUnknown => ServiceError::OutcomeUnknown,
            ProposeError::Overloaded => ServiceError::Overloaded,
            ProposeError::TooLarge {
                size_bytes,
                limit_bytes,
            } => ServiceError::TooLarge {
                size_bytes,
                limit_bytes,
            },
            ProposeError::DiskFull => ServiceError::DiskFull,
            ProposeError::Stopped => ServiceError::Stopping,
            // As a node that was removed: others may answer.
            ProposeError::Forbidden(why) => {
                tracing::warn!(why, "the leader does not answer this node");
                ServiceError::NotAnswered {
                    retry_after_ms: FORBIDDEN_RETRY_MS,
                }
            }
        }
    }
}

impl From<ReadError> for ServiceError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NoLeader { retry_after_ms, .. } => ServiceError::NoLeader { retry_after_ms },
            ReadError::Stopped => ServiceError::Stopping,
        }
    }
}
