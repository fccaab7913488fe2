//! Which policy would decide about a message nobody sent, and why.

use axum::Json;
use axum::extract::State;
use ekho_storage::tables::message::Priority;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::draft::{self, ID_MAX_BYTES, PolicyDraft};
use super::{PolicyView, view};
use crate::api::agent::messages::message_uuid;
use crate::api::code::Code;
use crate::api::fields::Fields;
use crate::api::operator::{Given, SignedIn};
use crate::api::words::{self, PRIORITIES};
use crate::api::{ApiError, App};
use crate::clock::{Iso, now_ms};
use crate::machine::policy::{Match, Rule};
use crate::service::policies::Hypothetical;

/// A message that nobody sent, or one that was: with `message_id` the fields of the message are not
/// needed.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct HypotheticalMessage {
    /// A message that was sent.
    #[schema(min_length = 1, max_length = 255)]
    message_id: Option<String>,
    /// A policy that is not stored, looked at as if it were.
    draft: Option<PolicyDraft>,
    /// The id of the policy whose place the draft takes.
    #[schema(min_length = 1, max_length = 255)]
    replaces: Option<String>,
    #[schema(min_length = 1, max_length = 255, required = false)]
    sender_agent_id: String,
    #[schema(min_length = 1, max_length = 255)]
    recipient_agent_id: Option<String>,
    #[schema(min_length = 1, max_length = 255)]
    #[schema(required = false)]
    message_type: String,
    /// By default `normal`.
    #[schema(schema_with = words::priority, required = false)]
    priority: String,
    #[schema(min_length = 1, max_length = 255)]
    conversation_id: Option<String>,
    /// By default empty.
    #[schema(value_type = Option<Object>)]
    body: Option<Value>,
    /// When it is sent; by default now.
    at: Option<Iso>,
}

/// What policies say of a message.
#[derive(Serialize, ToSchema)]
pub(super) struct Preview {
    /// Whether it is accepted; it may have to wait, or go elsewhere.
    allowed: bool,
    /// The action of the policy that decides; `allow` where none does.
    outcome: &'static str,
    /// Null: none matched, the message is allowed.
    #[schema(value_type = Option<PolicyView>)]
    decided_by: Option<Value>,
    /// The first that would have decided otherwise, were it not a dry run.
    #[schema(value_type = Option<PolicyView>)]
    dry_run: Option<Value>,
    /// Tags it gets.
    tags: Vec<String>,
    /// All of them, in the order in which they are looked at.
    policies: Vec<Step>,
}

/// What one policy says of a message.
#[derive(Serialize, ToSchema)]
struct Step {
    id: String,
    name: String,
    action: &'static str,
    matched: bool,
    why: String,
}

/// Says which policy would decide about a message, and why. Nothing is sent.
#[utoipa::path(
    post,
    path = "/v1/operator/policies/preview",
    operation_id = "preview_policies",
    request_body = HypotheticalMessage,
    responses((status = 200, body = Preview)),
    extensions(("x-codes" = json!([Code::NotFound]))),
)]
pub(super) async fn preview(
    State(app): State<App>,
    operator: SignedIn,
    given: Given,
) -> Result<Json<Preview>, ApiError> {
    let mut fields = given.fields()?;
    let draft = match fields.has("draft") {
        true => fields.nested_object("draft", draft::read),
        false => None,
    };
    let replaces = fields.optional_text("replaces", ID_MAX_BYTES);
    let at_ms = fields.time("at").unwrap_or_else(now_ms);
    let sent = fields.optional_text("message_id", ID_MAX_BYTES);
    let hypothetical = match &sent {
        Some(_) => None,
        None => Some(read_message(&mut fields, at_ms)),
    };
    fields.finish()?;
    let fleet = operator.fleet();
    let message = match hypothetical {
        Some(message) => message,
        None => {
            let uuid = message_uuid(&sent.unwrap_or_default())?;
            let (found, body) = app.service.any_message(fleet, uuid).await?;
            Hypothetical::of(&found.message, &body, at_ms)
        }
    };
    let rules = match draft {
        Some(draft) => app.service.policies_with(fleet, draft, replaces).await?,
        None => app.service.policies(fleet).await?,
    };
    let preview = app.service.preview(fleet, &message, |asked| {
        let verdict = rules.judge(asked)?;
        let mut steps = Vec::new();
        for rule in rules.iter() {
            steps.push(step(rule, rule.matches(asked)?));
        }
        let decided_by = verdict.decided_by;
        Ok(Preview {
            allowed: !verdict.refused(),
            outcome: decided_by.map_or("allow", |policy| policy.draft.action.as_str()),
            decided_by: decided_by.map(view),
            dry_run: verdict.dry_run.map(view),
            tags: verdict.tags.iter().map(|tag| tag.to_string()).collect(),
            policies: steps,
        })
    })?;
    Ok(Json(preview))
}

fn read_message(fields: &mut Fields<'_>, at_ms: u64) -> Hypothetical {
    Hypothetical {
        sender_agent_id: fields.text("sender_agent_id", ID_MAX_BYTES),
        recipient_agent_id: fields.optional_text("recipient_agent_id", ID_MAX_BYTES),
        message_type: fields.text("message_type", ID_MAX_BYTES),
        priority: fields
            .choice("priority", &PRIORITIES, Some(Priority::Normal))
            .unwrap_or(Priority::Normal),
        conversation_id: fields
            .optional_text("conversation_id", ID_MAX_BYTES)
            .unwrap_or_default(),
        body: fields.object("body", usize::MAX).unwrap_or("{}").into(),
        at_ms,
    }
}

fn step(rule: &Rule, matched: Match) -> Step {
    let policy = &rule.policy;
    let why = match matched {
        Match::Yes if policy.draft.dry_run => "matches; a dry run decides nothing".to_string(),
        Match::Yes => "matches".into(),
        Match::Disabled => "is switched off".into(),
        Match::Scope => "concerns another agent".into(),
        Match::Condition(field) => format!("the condition on {field} does not hold"),
    };
    Step {
        id: policy.id.clone(),
        name: policy.draft.name.clone(),
        action: policy.draft.action.as_str(),
        matched: matched == Match::Yes,
        why,
    }
}
