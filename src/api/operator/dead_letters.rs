//! Dead letters: looked at, handed out once more, thrown away.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Query, State};
use axum::routing::{get, post};
use serde_json::{Value, json};

use super::list::{ListQuery, number_of};
use super::{Given, SignedIn};
use crate::api::fields::Fields;
use crate::api::path::PathId;
use crate::api::{ApiError, App};
use crate::clock::Iso;
use crate::id;
use crate::machine::outcome::Refusal;
use crate::service::dead_letters::{Order, Shown};

const PREFIX: &str = "dl_";
const ID_MAX_BYTES: usize = 255;
/// Ids in one request.
const IDS_MAX: usize = 100;

pub fn router() -> axum::Router<App> {
    axum::Router::new()
        .route("/v1/operator/dead-letters", get(list))
        .route("/v1/operator/dead-letters/redrive", post(redrive))
        .route("/v1/operator/dead-letters/purge", post(purge))
        .route("/v1/operator/dead-letters/{id}", get(detail))
}

fn view(shown: &Shown) -> Value {
    let letter = &shown.letter;
    json!({
        "id": id::from_number(PREFIX, shown.number),
        "original_message_id": id::from_uuid("msg_", letter.message),
        "original_delivery_id": id::delivery(letter.message, letter.recipient),
        "recipient_agent_id": shown.recipient_id,
        "sender_agent_id": shown.message.sender_id,
        "conversation_id": shown.message.conversation_id,
        "message_type": shown.message.message_type,
        "retry_count": letter.retry_count,
        "failure_reason": letter.failure_reason,
        "dead_lettered_at": Iso(letter.at_ms),
    })
}

/// GET /v1/operator/dead-letters: newest first.
async fn list(
    State(app): State<App>,
    operator: SignedIn,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<Value>, ApiError> {
    let query = ListQuery::read(query)?;
    let before = query.cursor(|text| number_of(PREFIX, text))?;
    let filter = Filter {
        recipient: query.text("recipient_agent_id").map(str::to_string),
        sender: query.text("sender_agent_id").map(str::to_string),
        conversation: query.text("conversation_id").map(str::to_string),
        message_type: query.text("message_type").map(str::to_string),
        reason: query.text("reason").map(str::to_string),
        from_ms: query.time("dateFrom")?,
        to_ms: query.time("dateTo")?,
    };
    let (before, wants) = (before.unwrap_or(u64::MAX), query.skip() + query.limit);
    let (page, total) = app
        .service
        .dead_letters(operator.fleet(), before, wants, |shown| {
            filter.admits(shown)
        })
        .await?;
    let next_cursor = page.next.map(|number| id::from_number(PREFIX, number));
    let views = page.rows.iter().skip(query.skip()).map(view).collect();
    let mut answer = query.answer("dead_letters", views, next_cursor);
    answer["total"] = total.into();
    Ok(Json(answer))
}

/// Which dead letters; what is not given does not matter.
#[derive(Default)]
struct Filter {
    recipient: Option<String>,
    sender: Option<String>,
    conversation: Option<String>,
    message_type: Option<String>,
    /// Part of the reason they were given up for.
    reason: Option<String>,
    from_ms: Option<u64>,
    to_ms: Option<u64>,
}

const FILTERS: [&str; 7] = [
    "recipient_agent_id",
    "sender_agent_id",
    "conversation_id",
    "message_type",
    "reason",
    "dateFrom",
    "dateTo",
];

impl Filter {
    fn read(fields: &mut Fields<'_>) -> Self {
        Filter {
            recipient: fields.optional_text("recipient_agent_id", ID_MAX_BYTES),
            sender: fields.optional_text("sender_agent_id", ID_MAX_BYTES),
            conversation: fields.optional_text("conversation_id", ID_MAX_BYTES),
            message_type: fields.optional_text("message_type", ID_MAX_BYTES),
            reason: fields.optional_text("reason", ID_MAX_BYTES),
            from_ms: fields.time("dateFrom"),
            to_ms: fields.time("dateTo"),
        }
    }

    fn admits(&self, shown: &Shown) -> bool {
        let is = |wanted: &Option<String>, value: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted == value)
        };
        let letter = &shown.letter;
        is(&self.recipient, &shown.recipient_id)
            && is(&self.sender, &shown.message.sender_id)
            && is(&self.conversation, &shown.message.conversation_id)
            && is(&self.message_type, &shown.message.message_type)
            && self
                .reason
                .as_ref()
                .is_none_or(|part| letter.failure_reason.contains(part.as_str()))
            && self.from_ms.is_none_or(|from_ms| letter.at_ms >= from_ms)
            && self.to_ms.is_none_or(|to_ms| letter.at_ms <= to_ms)
    }
}

/// GET /v1/operator/dead-letters/{id}
async fn detail(
    State(app): State<App>,
    operator: SignedIn,
    letter_id: PathId,
) -> Result<Json<Value>, ApiError> {
    let number = number_of(PREFIX, &letter_id.get()?).ok_or(Refusal::NotFound)?;
    let (shown, body) = app.service.dead_letter(operator.fleet(), number).await?;
    let mut letter = view(&shown);
    letter["body"] = serde_json::from_slice(&body).unwrap_or_default();
    let metadata = shown.message.metadata.as_deref().unwrap_or("{}");
    letter["metadata"] = serde_json::from_str(metadata).unwrap_or_default();
    Ok(Json(json!({ "dead_letter": letter })))
}

/// POST /v1/operator/dead-letters/redrive
async fn redrive(
    State(app): State<App>,
    operator: SignedIn,
    given: Given,
) -> Result<Json<Value>, ApiError> {
    let count = order(&app, &operator, Order::Redrive, given).await?;
    Ok(Json(json!({ "ok": true, "redriven": count })))
}

/// POST /v1/operator/dead-letters/purge
async fn purge(
    State(app): State<App>,
    operator: SignedIn,
    given: Given,
) -> Result<Json<Value>, ApiError> {
    let count = order(&app, &operator, Order::Purge, given).await?;
    Ok(Json(json!({ "ok": true, "purged": count })))
}

async fn order(
    app: &App,
    operator: &SignedIn,
    order: Order,
    given: Given,
) -> Result<u64, ApiError> {
    let mut fields = given.fields()?;
    let all = fields.boolean("all", false);
    // A filter that is not understood must not be passed over: more would match.
    for name in fields.names() {
        if !["all", "ids"].contains(&name.as_str()) && !FILTERS.contains(&name.as_str()) {
            fields.wrong(
                &name,
                format!("no such filter; one of {}", FILTERS.join(", ")),
            );
        }
    }
    let filter = Filter::read(&mut fields);
    let ids = fields.texts("ids", IDS_MAX, 64);
    if all != ids.is_empty() {
        fields.wrong("ids", format!("1 to {IDS_MAX} ids, or \"all\": true"));
    }
    let mut numbers = Vec::with_capacity(ids.len());
    for id in ids {
        match number_of(PREFIX, &id) {
            Some(number) => numbers.push(number),
            None => fields.wrong("ids", format!("{id:?} is no id of a dead letter")),
        }
    }
    fields.finish()?;
    let service = &app.service;
    Ok(match all {
        true => {
            service
                .order_all_dead_letters(&operator.caller, order, |shown| filter.admits(shown))
                .await?
        }
        false => {
            service
                .order_dead_letters(&operator.caller, order, numbers)
                .await?
        }
    })
}
