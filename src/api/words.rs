//! Words that several endpoints read, and their description.

use utoipa::openapi::Schema;
use utoipa::openapi::schema::{ArrayBuilder, Object, ObjectBuilder, OneOfBuilder, Type};

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

/// What was signed end to end, as JSON.
pub const SIGNED_MAX_BYTES: usize = 8 << 10;

/// The description of a field that has one of these words.
pub fn choice<T>(words: &[(&str, T)]) -> Object {
    one_of(words.iter().map(|(word, _)| *word))
}

/// The same of bare words.
pub fn one_of<'a>(words: impl IntoIterator<Item = &'a str>) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(words))
        .build()
}

/// The description of a text of 1 to so many bytes.
pub fn text(max_bytes: usize) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(max_bytes))
        .build()
}

/// The description of a field that has one such value, or a list of up to so many.
pub fn one_or_many(one: Object, max_items: usize) -> Schema {
    let many = ArrayBuilder::new()
        .items(one.clone())
        .max_items(Some(max_items));
    OneOfBuilder::new().item(one).item(many).build().into()
}

/// Describes a priority.
pub fn priority() -> Object {
    choice(&PRIORITIES)
}

/// Describes a risk.
pub fn risk() -> Object {
    choice(&RISKS)
}

/// Describes a type of message.
pub fn message_type() -> Object {
    choice(&MESSAGE_TYPES)
}

/// Describes what was signed end to end.
pub fn signed_text() -> Schema {
    let text = ObjectBuilder::new()
        .schema_type(Type::String)
        .max_length(Some(SIGNED_MAX_BYTES - 2));
    let object = ObjectBuilder::new().schema_type(Type::Object);
    OneOfBuilder::new().item(text).item(object).build().into()
}
