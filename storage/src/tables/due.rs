//! The due index: what must happen at a time, ordered by that time.
//!
//! The key says all; there is no value. Reading what is due costs what is due, however much is
//! stored. Entries sort by time, then kind, then the thing concerned.

use super::{AgentNo, FleetNo, TimeMs, login};
use crate::{Cf, Key, KeyReader, Read, StorageError, Txn};

/// What is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// A delivery times out, becomes ready, or expires; its record says which.
    Delivery {
        /// Fleet.
        fleet: FleetNo,
        /// Recipient.
        agent: AgentNo,
        /// Place in the inbox.
        seq: u64,
    },
    /// A message and what belongs to it is removed.
    Retention {
        /// Fleet.
        fleet: FleetNo,
        /// The message.
        message: u128,
    },
    /// An agent's silence is judged.
    Heartbeat {
        /// Fleet.
        fleet: FleetNo,
        /// The agent.
        agent: AgentNo,
    },
    /// An operator's hold may lift.
    Hold {
        /// Fleet.
        fleet: FleetNo,
        /// The agent.
        agent: AgentNo,
    },
    /// A control leaves the inbox.
    Control {
        /// Fleet.
        fleet: FleetNo,
        /// The agent.
        agent: AgentNo,
        /// The control.
        seq: u64,
    },
    /// A floor is free again.
    Floor {
        /// Fleet.
        fleet: FleetNo,
        /// The conversation.
        conversation: String,
    },
    /// An idempotency key is forgotten.
    Idempotency {
        /// Fleet.
        fleet: FleetNo,
        /// Who used it.
        agent: AgentNo,
        /// The key.
        key: String,
    },
    /// A rate violation is no longer counted.
    Violation {
        /// Fleet.
        fleet: FleetNo,
        /// The agent.
        agent: AgentNo,
        /// When it happened.
        at_ms: TimeMs,
        /// Its number.
        seq: u64,
    },
    /// An operator's session ends.
    Session {
        /// Hash of its token.
        token_hash: [u8; 32],
    },
    /// An enrolment token stops working.
    EnrollmentToken {
        /// Its hash.
        token_hash: [u8; 32],
    },
    /// A dead letter is removed.
    DeadLetter {
        /// Fleet.
        fleet: FleetNo,
        /// Its number.
        seq: u64,
    },
    /// The oldest events of the audit log may have outlived their time.
    Events {
        /// Fleet.
        fleet: FleetNo,
    },
    /// Nobody decided about an action in time, or a decided approval is removed.
    Approval {
        /// Fleet.
        fleet: FleetNo,
        /// The approval.
        approval: u128,
    },
    /// Failed sign-ins are forgotten.
    Login(login::Source),
    /// A stall is forgotten.
    Notice {
        /// Fleet.
        fleet: FleetNo,
        /// Who raised it.
        agent: AgentNo,
        /// The conversation.
        conversation: String,
    },
    /// A licence ends.
    License,
    /// An A2A task was left alone for too long, or one that is over is removed.
    Task {
        /// Fleet.
        fleet: FleetNo,
        /// The task.
        task: u128,
    },
    /// An attachment that no message binds is removed.
    Attachment {
        /// Fleet.
        fleet: FleetNo,
        /// The attachment.
        attachment: u128,
    },
    /// What one agent sent another is no longer counted for a policy.
    PairRate {
        /// Fleet.
        fleet: FleetNo,
        /// The policy.
        policy: String,
        /// Who sent.
        sender: AgentNo,
        /// Who received.
        recipient: AgentNo,
    },
}

fn key(due_ms: TimeMs, due: &Due) -> Key {
    let key = Key::new().u64(due_ms);
    match due {
        Due::Delivery { fleet, agent, seq } => key.u8(1).u32(*fleet).u32(*agent).u64(*seq),
        Due::Retention { fleet, message } => key.u8(2).u32(*fleet).u128(*message),
        Due::Heartbeat { fleet, agent } => key.u8(3).u32(*fleet).u32(*agent),
        Due::Hold { fleet, agent } => key.u8(4).u32(*fleet).u32(*agent),
        Due::Control { fleet, agent, seq } => key.u8(5).u32(*fleet).u32(*agent).u64(*seq),
        Due::Floor {
            fleet,
            conversation,
        } => key.u8(6).u32(*fleet).text(conversation),
        Due::Idempotency {
            fleet,
            agent,
            key: text,
        } => key.u8(7).u32(*fleet).u32(*agent).text(text),
        Due::Violation {
            fleet,
            agent,
            at_ms,
            seq,
        } => key.u8(8).u32(*fleet).u32(*agent).u64(*at_ms).u64(*seq),
        Due::Session { token_hash } => key.u8(9).raw(token_hash),
        Due::EnrollmentToken { token_hash } => key.u8(10).raw(token_hash),
        Due::DeadLetter { fleet, seq } => key.u8(11).u32(*fleet).u64(*seq),
        Due::Notice {
            fleet,
            agent,
            conversation,
        } => key.u8(12).u32(*fleet).u32(*agent).text(conversation),
        Due::Login(login::Source::Account(fleet, email)) => key.u8(13).u32(*fleet).text(email),
        Due::Login(login::Source::Address(address)) => key.u8(14).text(address),
        Due::Events { fleet } => key.u8(15).u32(*fleet),
        Due::Approval { fleet, approval } => key.u8(16).u32(*fleet).u128(*approval),
        Due::License => key.u8(30),
        Due::Task { fleet, task } => key.u8(31).u32(*fleet).u128(*task),
        Due::Attachment { fleet, attachment } => key.u8(32).u32(*fleet).u128(*attachment),
        Due::PairRate {
            fleet,
            policy,
            sender,
            recipient,
        } => key
            .u8(17)
            .u32(*fleet)
            .text(policy)
            .u32(*sender)
            .u32(*recipient),
    }
}

fn parse(bytes: &[u8]) -> Result<(TimeMs, Due), StorageError> {
    let mut key = KeyReader::new("due", bytes);
    let due_ms = key.u64()?;
    let hash = |key: KeyReader<'_>| {
        key.rest().try_into().map_err(|_| StorageError::Corrupt {
            table: "due",
            detail: "a token hash has another length than 32".into(),
        })
    };
    let due = match key.u8()? {
        1 => Due::Delivery {
            fleet: key.u32()?,
            agent: key.u32()?,
            seq: key.u64()?,
        },
        2 => Due::Retention {
            fleet: key.u32()?,
            message: key.u128()?,
        },
        3 => Due::Heartbeat {
            fleet: key.u32()?,
            agent: key.u32()?,
        },
        4 => Due::Hold {
            fleet: key.u32()?,
            agent: key.u32()?,
        },
        5 => Due::Control {
            fleet: key.u32()?,
            agent: key.u32()?,
            seq: key.u64()?,
        },
        6 => Due::Floor {
            fleet: key.u32()?,
            conversation: key.text()?.into(),
        },
        7 => Due::Idempotency {
            fleet: key.u32()?,
            agent: key.u32()?,
            key: key.text()?.into(),
        },
        8 => Due::Violation {
            fleet: key.u32()?,
            agent: key.u32()?,
            at_ms: key.u64()?,
            seq: key.u64()?,
        },
        9 => Due::Session {
            token_hash: hash(key)?,
        },
        10 => Due::EnrollmentToken {
            token_hash: hash(key)?,
        },
        11 => Due::DeadLetter {
            fleet: key.u32()?,
            seq: key.u64()?,
        },
        12 => Due::Notice {
            fleet: key.u32()?,
            agent: key.u32()?,
            conversation: key.text()?.into(),
        },
        13 => Due::Login(login::Source::Account(key.u32()?, key.text()?.into())),
        14 => Due::Login(login::Source::Address(key.text()?.into())),
        15 => Due::Events { fleet: key.u32()? },
        16 => Due::Approval {
            fleet: key.u32()?,
            approval: key.u128()?,
        },
        30 => Due::License,
        31 => Due::Task {
            fleet: key.u32()?,
            task: key.u128()?,
        },
        32 => Due::Attachment {
            fleet: key.u32()?,
            attachment: key.u128()?,
        },
        17 => Due::PairRate {
            fleet: key.u32()?,
            policy: key.text()?.into(),
            sender: key.u32()?,
            recipient: key.u32()?,
        },
        kind => {
            return Err(StorageError::Corrupt {
                table: "due",
                detail: format!("unknown kind {kind}"),
            });
        }
    };
    Ok((due_ms, due))
}

/// Adds an entry.
pub fn put(txn: &mut Txn, due_ms: TimeMs, due: &Due) {
    txn.put(Cf::Due, key(due_ms, due), Vec::new());
}

/// Removes an entry.
pub fn delete(txn: &mut Txn, due_ms: TimeMs, due: &Due) {
    txn.delete(Cf::Due, key(due_ms, due));
}

/// Entries with `from_ms <= time <= now_ms`, earliest first, at most `limit`. `from_ms` lets the
/// reader skip what was handled and removed before.
pub fn list(
    read: &impl Read,
    from_ms: TimeMs,
    now_ms: TimeMs,
    limit: usize,
) -> Result<Vec<(TimeMs, Due)>, StorageError> {
    let lower = Key::new().u64(from_ms);
    let upper = Key::new().u64(now_ms.saturating_add(1));
    read.scan(Cf::Due, lower.bytes(), upper.bytes(), limit)?
        .iter()
        .map(|(key, _)| parse(key))
        .collect()
}
