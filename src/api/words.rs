//! Words that several endpoints read.

use ekho_storage::tables::approval::Risk;
use ekho_storage::tables::message::Priority;

/// How urgent a message is.
pub const PRIORITIES: [(&str, Priority); 4] = [
    ("low", Priority::Low),
    ("normal", Priority::Normal),
    ("high", Priority::High),
    ("urgent", Priority::Urgent),
];

/// How risky an action is.
pub const RISKS: [(&str, Risk); 4] = [
    ("low", Risk::Low),
    ("medium", Risk::Medium),
    ("high", Risk::High),
    ("critical", Risk::Critical),
];

/// Types of messages.
pub const MESSAGE_TYPES: [(&str, &str); 8] = [
    ("direct", "direct"),
    ("broadcast", "broadcast"),
    ("alert", "alert"),
    ("handoff", "handoff"),
    ("claim", "claim"),
    ("complete", "complete"),
    ("heartbeat", "heartbeat"),
    ("control", "control"),
];
