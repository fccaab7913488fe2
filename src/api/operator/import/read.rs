//! Reading rows of another relay, field by field.

use ekho_storage::tables::TimeMs;
use ekho_storage::tables::agent::{A2A_CLIENT_RUNTIME, A2A_REMOTE_RUNTIME, AutoHold, HoldKind};
use ekho_storage::tables::approval::{ApprovalStatus, Risk};
use ekho_storage::tables::imported_secret::HASHES_MAX;
use ekho_storage::tables::message::{Priority, Recipient};
use ekho_storage::tables::operator::{Operator, Role};

use super::task;
use crate::api::fields::Fields;
use crate::api::operator::operators::ROLES;
use crate::api::operator::policies;
use crate::api::words::{PRIORITIES, RISKS};
use crate::clock::now_ms;
use crate::id;
use crate::ingress::keys::key_id_of_text;
use crate::machine::command::{
    ImportAgent, ImportApproval, ImportDelivery, ImportHold, ImportMessage, ImportRoom, ImportRow,
    Judged, NewMessage, Schedule,
};
use crate::machine::import::MEMBERS_MAX;
use crate::machine::task::MESSAGE_TYPE;
use crate::service::import::GivenRow;
use crate::service::protocol::read_task_id;

pub(super) const ID_MAX_BYTES: usize = 255;
const DELIVERIES_MAX: usize = 10_000;
const TTL_MAX_SECONDS: u64 = 86_400;

/// What an operator can decide about an agent.
pub const HOLDS: [(&str, HoldKind); 2] = [
    ("pause", HoldKind::Pause),
    ("quarantine", HoldKind::Quarantine),
];
/// Why a relay quarantines by itself.
pub const AUTO_HOLDS: [(&str, AutoHold); 2] = [
    ("heartbeat_timeout", AutoHold::HeartbeatTimeout),
    ("rate_limit_abuse", AutoHold::RateLimitAbuse),
];
/// Where an approval can stand that somebody still asks about.
pub const APPROVAL_STATUSES: [(&str, ApprovalStatus); 3] = [
    ("pending", ApprovalStatus::Pending),
    ("approved", ApprovalStatus::Approved),
    ("rejected", ApprovalStatus::Rejected),
];
/// To whom messages are addressed.
pub const RECIPIENTS: [(&str, u8); 3] = [("agent", 0), ("group", 1), ("broadcast", 2)];

const KINDS: [(&str, Kind); 8] = [
    ("operator", Kind::Operator),
    ("agent", Kind::Agent),
    ("room", Kind::Room),
    ("policy", Kind::Policy),
    ("approval", Kind::Approval),
    ("message", Kind::Message),
    ("enrollment_token", Kind::EnrollmentToken),
    ("task", Kind::Task),
];

#[derive(Clone, Copy)]
enum Kind {
    Operator,
    Agent,
    Room,
    Policy,
    Approval,
    Message,
    EnrollmentToken,
    Task,
}

/// Reads a row; what is wrong with it is noted.
pub fn row(fields: &mut Fields<'_>) -> Option<GivenRow> {
    let row = match fields.choice("kind", &KINDS, None)? {
        Kind::Operator => operator(fields),
        Kind::Agent => agent(fields),
        Kind::Room => room(fields),
        Kind::Policy => policy(fields),
        Kind::Approval => approval(fields),
        Kind::Message => message(fields),
        Kind::EnrollmentToken => enrollment_token(fields),
        Kind::Task => task::read(fields),
    };
    Some(row)
}

/// An id as it can stand in a path and a header.
fn plain_id(fields: &mut Fields<'_>) -> String {
    let id = fields.text("id", ID_MAX_BYTES);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if !id.bytes().all(is_plain) {
        fields.wrong("id", "letters, digits, . _ and - only");
    }
    id
}

pub(super) fn uuid_id(fields: &mut Fields<'_>, prefix: &str) -> u128 {
    let id = fields.text("id", ID_MAX_BYTES);
    let uuid = id::to_uuid(prefix, &id);
    if uuid.is_none() && !id.is_empty() {
        fields.wrong("id", format!("{prefix} and 32 hexadecimal digits"));
    }
    uuid.unwrap_or_default()
}

fn digest(fields: &mut Fields<'_>, name: &str) -> Option<[u8; 32]> {
    let text = fields.optional_text(name, 64)?;
    let mut digest = [0; 32];
    if hex::decode_to_slice(&text, &mut digest).is_err() {
        fields.wrong(name, "64 hexadecimal digits");
    }
    Some(digest)
}

fn required_digest(fields: &mut Fields<'_>, name: &str) -> [u8; 32] {
    let digest = digest(fields, name);
    if digest.is_none() {
        fields.required(name);
    }
    digest.unwrap_or_default()
}

fn created(fields: &mut Fields<'_>) -> TimeMs {
    fields.time("created_at").unwrap_or_else(now_ms)
}

fn operator(fields: &mut Fields<'_>) -> GivenRow {
    let id = fields.text("id", ID_MAX_BYTES);
    let email = fields.text("email", 255).to_lowercase();
    let role = fields.choice("role", &ROLES, None).unwrap_or(Role::Viewer);
    let digest = digest(fields, "password_sha256");
    let operator = Operator {
        id,
        email,
        password_hash: String::new(),
        role,
        created_ms: created(fields),
    };
    GivenRow::Operator(operator, digest)
}

fn agent(fields: &mut Fields<'_>) -> GivenRow {
    let id = plain_id(fields);
    let runtime = fields.text("runtime", 64);
    let is_slug =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
    let is_own = [A2A_CLIENT_RUNTIME, A2A_REMOTE_RUNTIME].contains(&runtime.as_str());
    if !runtime.bytes().all(is_slug) || is_own {
        fields.wrong("runtime", "lower-case letters, digits, - _ and . only");
    }
    let mut hashes = Vec::new();
    if fields.has("secrets") {
        hashes = fields.list_or_empty("secrets", HASHES_MAX, |one, _| {
            (required_digest(one, "sha256"), one.time("expires_at"))
        });
    }
    let mut hold = None;
    if fields.has("hold") {
        hold = fields.nested_object("hold", |one| ImportHold::Operator {
            kind: one.choice("kind", &HOLDS, None).unwrap_or(HoldKind::Pause),
            reason: one.text("reason", 1000),
        });
    } else if fields.has("auto_quarantine") {
        hold = fields
            .choice("auto_quarantine", &AUTO_HOLDS, None)
            .map(ImportHold::Auto);
    }
    let key = fields.optional_text("identity_public_key", 128);
    let agent = ImportAgent {
        id,
        display_name: fields.text("display_name", 200),
        runtime,
        hostname: fields.optional_text("hostname", 255),
        capabilities: fields.texts("capabilities", 64, 128),
        identity_key: key.map(|key| (key_id_of_text(&key), key)),
        hashes: Vec::new(),
        created_ms: created(fields),
        last_seen_ms: fields.time("last_seen_at").unwrap_or(0),
        hold,
        revoked: fields.boolean("revoked", false),
    };
    GivenRow::Agent(Box::new(agent), hashes)
}

fn room(fields: &mut Fields<'_>) -> GivenRow {
    GivenRow::Other(ImportRow::Room(ImportRoom {
        id: plain_id(fields),
        name: fields.text("name", 120),
        created_by: fields.optional_text("created_by_agent_id", ID_MAX_BYTES),
        members: fields.texts("member_agent_ids", MEMBERS_MAX, ID_MAX_BYTES),
        created_ms: created(fields),
    }))
}

fn policy(fields: &mut Fields<'_>) -> GivenRow {
    GivenRow::Other(ImportRow::Policy {
        policy_id: plain_id(fields),
        draft: Box::new(policies::read_draft(fields)),
    })
}

fn approval(fields: &mut Fields<'_>) -> GivenRow {
    let risk = fields.choice("risk_level", &RISKS, None);
    let status = fields.choice("status", &APPROVAL_STATUSES, None);
    let payload = fields.object("payload", 256 << 10);
    let approval = ImportApproval {
        uuid: uuid_id(fields, "apr_"),
        agent_id: fields.text("agent_id", ID_MAX_BYTES),
        conversation_id: fields
            .optional_text("conversation_id", ID_MAX_BYTES)
            .unwrap_or_default(),
        action_type: fields.text("action_type", 200),
        summary: fields.text("summary", 2000),
        risk: risk.unwrap_or(Risk::Critical),
        payload: payload.unwrap_or("{}").to_string(),
        status: status.unwrap_or(ApprovalStatus::Rejected),
        requested_ms: fields.time("requested_at").unwrap_or_else(now_ms),
        resolved_ms: fields.time("resolved_at"),
        resolved_by: fields.optional_text("resolved_by", ID_MAX_BYTES),
    };
    GivenRow::Other(ImportRow::Approval(Box::new(approval)))
}

fn recipient(fields: &mut Fields<'_>) -> Recipient {
    match fields.choice("kind", &RECIPIENTS, None) {
        Some(0) => Recipient::Agent(fields.text("id", ID_MAX_BYTES)),
        Some(1) => Recipient::Group(fields.text("id", ID_MAX_BYTES)),
        _ => Recipient::Broadcast,
    }
}

fn delivery(fields: &mut Fields<'_>) -> ImportDelivery {
    let agent_id = fields.text("agent_id", ID_MAX_BYTES);
    let given_up = match fields.has("given_up") {
        true => fields.nested_object("given_up", |one| {
            let retries = one.number("retries", 0..=1000).unwrap_or(0);
            (one.text("reason", 1000), retries as u32)
        }),
        false => None,
    };
    ImportDelivery { agent_id, given_up }
}

pub(super) fn required_time(fields: &mut Fields<'_>, name: &str) -> TimeMs {
    let time = fields.time(name);
    if time.is_none() {
        fields.required(name);
    }
    time.unwrap_or_default()
}

fn message(fields: &mut Fields<'_>) -> GivenRow {
    let uuid = uuid_id(fields, "msg_");
    let recipient = fields.nested_object("recipient", recipient);
    let priority = fields.choice("priority", &PRIORITIES, Some(Priority::Normal));
    let ttl_seconds = fields.number("ttl_seconds", 1..=TTL_MAX_SECONDS);
    let body = fields.object("body", usize::MAX);
    if body.is_none() {
        fields.required("body");
    }
    let correlation_id = fields.text("correlation_id", ID_MAX_BYTES);
    let message_type = fields.text("message_type", 64);
    let task = (message_type == MESSAGE_TYPE).then(|| read_task_id(&correlation_id));
    let message = NewMessage {
        uuid,
        recipient: recipient.unwrap_or(Recipient::Broadcast),
        message_type,
        priority: priority.unwrap_or(Priority::Normal),
        ttl_ms: ttl_seconds.unwrap_or(900) * 1000,
        schedule: Schedule::Now,
        requires_approval: fields.boolean("requires_approval", false),
        body: body.unwrap_or_default().as_bytes().to_vec(),
        metadata: fields.object("metadata", 64 << 10).map(str::to_string),
        conversation_id: fields.text("conversation_id", ID_MAX_BYTES),
        correlation_id,
        envelope: None,
        idempotency: None,
        approval: id::new_uuid(),
        tags: Vec::new(),
        judged: Judged::default(),
    };
    GivenRow::Other(ImportRow::Message(Box::new(ImportMessage {
        sender_id: fields.text("sender_agent_id", ID_MAX_BYTES),
        message,
        created_ms: required_time(fields, "created_at"),
        deadline_ms: required_time(fields, "expires_at"),
        deliveries: fields.list("deliveries", DELIVERIES_MAX, |one, _| delivery(one)),
        task: task.flatten(),
    })))
}

fn enrollment_token(fields: &mut Fields<'_>) -> GivenRow {
    GivenRow::Token(
        required_digest(fields, "token_sha256"),
        required_time(fields, "expires_at"),
    )
}
