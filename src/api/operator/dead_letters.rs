//! Dead letters: looked at, handed out once more, thrown away.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::list::{ListParams, ListQuery, Paging, direction, number_of};
use super::{Given, SignedIn};
use crate::api::fields::{Fields, Invalid};
use crate::api::openapi::Routes;
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

pub fn router() -> Routes {
    Routes::default()
        .routes(routes!(list))
        .routes(routes!(reasons))
        .routes(routes!(redrive))
        .routes(routes!(purge))
        .routes(routes!(detail))
}

/// A delivery that was given up after all retries.
#[derive(Serialize, ToSchema)]
pub struct LetterView {
    id: String,
    original_message_id: String,
    original_delivery_id: String,
    recipient_agent_id: String,
    sender_agent_id: String,
    conversation_id: String,
    message_type: String,
    retry_count: u32,
    failure_reason: String,
    dead_lettered_at: Iso,
}

fn view(shown: &Shown) -> LetterView {
    let letter = &shown.letter;
    LetterView {
        id: id::from_number(PREFIX, shown.number),
        original_message_id: id::from_uuid("msg_", letter.message),
        original_delivery_id: id::delivery(letter.message, letter.recipient),
        recipient_agent_id: shown.recipient_id.clone(),
        sender_agent_id: shown.message.sender_id.clone(),
        conversation_id: shown.message.conversation_id.clone(),
        message_type: shown.message.message_type.clone(),
        retry_count: letter.retry_count,
        failure_reason: letter.failure_reason.clone(),
        dead_lettered_at: Iso(letter.at_ms),
    }
}

/// Which dead letters; all filters must hold.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what is read")]
pub struct Filters {
    recipient_agent_id: Option<String>,
    sender_agent_id: Option<String>,
    conversation_id: Option<String>,
    message_type: Option<String>,
    /// Part of the reason they were given up for.
    reason: Option<String>,
    /// Part of the reason, of an id or of the type, in any case of letters.
    search: Option<String>,
    /// By default `desc`.
    #[param(rename = "sortOrder", schema_with = direction, required = false)]
    sort_order: String,
    /// Then or later.
    #[param(rename = "dateFrom", format = DateTime)]
    date_from: Option<String>,
    /// Then or earlier.
    #[param(rename = "dateTo", format = DateTime)]
    date_to: Option<String>,
}

/// Dead letters.
#[derive(Serialize, ToSchema)]
struct LetterList {
    dead_letters: Vec<LetterView>,
    /// How many there are; with filters, of those known of.
    total: u64,
    #[serde(flatten)]
    paging: Paging,
}

/// Dead letters, newest first unless asked for from the oldest on.
#[utoipa::path(
    get,
    path = "/v1/operator/dead-letters",
    operation_id = "list_dead_letters",
    params(ListParams, Filters),
    responses((status = 200, body = LetterList)),
)]
async fn list(
    State(app): State<App>,
    operator: SignedIn,
    query: ListQuery,
) -> Result<Json<LetterList>, ApiError> {
    let from = query.cursor(|text| number_of(PREFIX, text))?;
    query.choice("sortBy", &["dead_lettered_at"])?;
    let place = (from, query.descending(true)?);
    let filter = Filter::of_query(&query)?;
    let (page, all) = app
        .service
        .dead_letters(operator.fleet(), place, query.up_to(), |shown| {
            filter.admits(shown)
        })
        .await?;
    let counted = FILTERS.iter().all(|name| query.text(name).is_none());
    let next = page.next.flatten();
    let next = next.map(|number| id::from_number(PREFIX, number));
    Ok(Json(LetterList {
        dead_letters: page.rows.iter().skip(query.skip()).map(view).collect(),
        total: query.total(counted.then_some(all), page.rows.len(), &next),
        paging: query.paging(next),
    }))
}

/// Why dead letters were given up.
#[derive(Serialize, ToSchema)]
struct ReasonList {
    /// The most frequent first, up to 100.
    reasons: Vec<ReasonView>,
    /// Dead letters looked at: the newest ones, up to about 10,000.
    looked_at: usize,
    /// Whether those were all.
    complete: bool,
}

#[derive(Serialize, ToSchema)]
struct ReasonView {
    failure_reason: String,
    /// How many were given up for it.
    count: u64,
    newest_at: Iso,
}

/// Why dead letters were given up, and how many for which reason.
#[utoipa::path(
    get,
    path = "/v1/operator/dead-letters/reasons",
    operation_id = "list_dead_letter_reasons",
    responses((status = 200, body = ReasonList)),
)]
async fn reasons(State(app): State<App>, operator: SignedIn) -> Result<Json<ReasonList>, ApiError> {
    let found = app.service.dead_letter_reasons(operator.fleet()).await?;
    let reasons = found.reasons.into_iter().map(|reason| ReasonView {
        failure_reason: reason.text,
        count: reason.count,
        newest_at: Iso(reason.newest_ms),
    });
    Ok(Json(ReasonList {
        reasons: reasons.collect(),
        looked_at: found.looked_at,
        complete: found.complete,
    }))
}

/// Which dead letters; what is not given does not matter.
#[derive(Default)]
pub struct Filter {
    recipient: Option<String>,
    sender: Option<String>,
    conversation: Option<String>,
    message_type: Option<String>,
    /// Part of the reason they were given up for.
    reason: Option<String>,
    /// Part of the reason, of an id or of the type, in lower case.
    search: Option<String>,
    from_ms: Option<u64>,
    to_ms: Option<u64>,
}

const FILTERS: [&str; 8] = [
    "recipient_agent_id",
    "sender_agent_id",
    "conversation_id",
    "message_type",
    "reason",
    "search",
    "dateFrom",
    "dateTo",
];

impl Filter {
    /// The filter of a list.
    pub fn of_query(query: &ListQuery) -> Result<Self, Invalid> {
        Ok(Filter {
            recipient: query.text("recipient_agent_id").map(str::to_string),
            sender: query.text("sender_agent_id").map(str::to_string),
            conversation: query.text("conversation_id").map(str::to_string),
            message_type: query.text("message_type").map(str::to_string),
            reason: query.text("reason").map(str::to_string),
            search: query.text("search").map(str::to_lowercase),
            from_ms: query.time("dateFrom")?,
            to_ms: query.time("dateTo")?,
        })
    }

    fn read(fields: &mut Fields<'_>) -> Self {
        Filter {
            recipient: fields.optional_text("recipient_agent_id", ID_MAX_BYTES),
            sender: fields.optional_text("sender_agent_id", ID_MAX_BYTES),
            conversation: fields.optional_text("conversation_id", ID_MAX_BYTES),
            message_type: fields.optional_text("message_type", ID_MAX_BYTES),
            reason: fields.optional_text("reason", ID_MAX_BYTES),
            search: fields
                .optional_text("search", ID_MAX_BYTES)
                .map(|text| text.to_lowercase()),
            from_ms: fields.time("dateFrom"),
            to_ms: fields.time("dateTo"),
        }
    }

    /// Whether it holds for a dead letter.
    pub fn admits(&self, shown: &Shown) -> bool {
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
            && self.search.as_ref().is_none_or(|part| has(shown, part))
            && self.from_ms.is_none_or(|from_ms| letter.at_ms >= from_ms)
            && self.to_ms.is_none_or(|to_ms| letter.at_ms <= to_ms)
    }
}

fn has(shown: &Shown, part: &str) -> bool {
    let texts = [
        &shown.letter.failure_reason,
        &shown.recipient_id,
        &shown.message.sender_id,
        &shown.message.conversation_id,
        &shown.message.message_type,
    ];
    texts.iter().any(|text| text.to_lowercase().contains(part))
}

/// A dead letter with what it says.
#[derive(Serialize, ToSchema)]
pub struct WholeLetter {
    #[serde(flatten)]
    letter: LetterView,
    #[schema(value_type = Object)]
    body: Value,
    #[schema(value_type = Object)]
    metadata: Value,
}

/// A dead letter.
#[derive(Serialize, ToSchema)]
struct OneLetter {
    dead_letter: WholeLetter,
}

/// A dead letter with what it says.
#[utoipa::path(
    get,
    path = "/v1/operator/dead-letters/{id}",
    operation_id = "get_dead_letter",
    responses((status = 200, body = OneLetter)),
)]
async fn detail(
    State(app): State<App>,
    operator: SignedIn,
    letter_id: PathId,
) -> Result<Json<OneLetter>, ApiError> {
    let number = number_of(PREFIX, &letter_id.get()?).ok_or(Refusal::NotFound)?;
    let (shown, body) = app.service.dead_letter(operator.fleet(), number).await?;
    let dead_letter = whole_view(&shown, &body);
    Ok(Json(OneLetter { dead_letter }))
}

/// A dead letter with its message's body and metadata.
pub fn whole_view(shown: &Shown, body: &[u8]) -> WholeLetter {
    let metadata = shown.message.metadata.as_deref().unwrap_or("{}");
    WholeLetter {
        letter: view(shown),
        body: serde_json::from_slice(body).unwrap_or_default(),
        metadata: serde_json::from_str(metadata).unwrap_or_default(),
    }
}

/// Which dead letters: some, or all that the filters admit. Other fields are refused.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "describes what is read")]
struct Letters {
    /// These; or else `all`.
    #[schema(max_items = 100)]
    ids: Option<Vec<String>>,
    /// All of them, or with filters all that they admit.
    #[schema(default = false)]
    all: Option<bool>,
    #[schema(min_length = 1, max_length = 255)]
    recipient_agent_id: Option<String>,
    #[schema(min_length = 1, max_length = 255)]
    sender_agent_id: Option<String>,
    #[schema(min_length = 1, max_length = 255)]
    conversation_id: Option<String>,
    #[schema(min_length = 1, max_length = 255)]
    message_type: Option<String>,
    /// Part of the reason they were given up for.
    #[schema(min_length = 1, max_length = 255)]
    reason: Option<String>,
    #[schema(min_length = 1, max_length = 255)]
    search: Option<String>,
    #[serde(rename = "dateFrom")]
    date_from: Option<Iso>,
    #[serde(rename = "dateTo")]
    date_to: Option<Iso>,
}

/// Dead letters were handed out once more.
#[derive(Serialize, ToSchema)]
struct Redriven {
    /// Always true.
    ok: bool,
    /// How many.
    redriven: u64,
}

/// Hands dead letters out once more.
#[utoipa::path(
    post,
    path = "/v1/operator/dead-letters/redrive",
    operation_id = "redrive_dead_letters",
    request_body = Letters,
    responses((status = 200, body = Redriven)),
)]
async fn redrive(
    State(app): State<App>,
    operator: SignedIn,
    given: Given,
) -> Result<Json<Redriven>, ApiError> {
    let redriven = order(&app, &operator, Order::Redrive, given).await?;
    Ok(Json(Redriven { ok: true, redriven }))
}

/// Dead letters were thrown away.
#[derive(Serialize, ToSchema)]
struct Purged {
    /// Always true.
    ok: bool,
    /// How many.
    purged: u64,
}

/// Throws dead letters away; the audit log keeps what happened.
#[utoipa::path(
    post,
    path = "/v1/operator/dead-letters/purge",
    operation_id = "purge_dead_letters",
    request_body = Letters,
    responses((status = 200, body = Purged)),
)]
async fn purge(
    State(app): State<App>,
    operator: SignedIn,
    given: Given,
) -> Result<Json<Purged>, ApiError> {
    let purged = order(&app, &operator, Order::Purge, given).await?;
    Ok(Json(Purged { ok: true, purged }))
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
