//! Conversations, and messages found by their words.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::SignedIn;
use super::audit::{EventView, event_view};
use super::list::{ListParams, ListQuery, Paging, number_of};
use super::messages::{MessageView, message_view};
use crate::api::agent::attachments::{BoundAttachment, bound};
use crate::api::fields::Invalid;
use crate::api::openapi::Routes;
use crate::api::path::PathId;
use crate::api::{ApiError, App};
use crate::clock::Iso;
use crate::id;
use crate::service::timeline::{Item, ShownConversation};

/// Bytes of what is looked for.
const TEXT_MAX_BYTES: usize = 1000;

pub fn router() -> Routes {
    Routes::default()
        .routes(routes!(list))
        .routes(routes!(timeline))
        .routes(routes!(search))
}

/// A conversation.
#[derive(Serialize, ToSchema)]
struct ConversationView {
    id: String,
    message_count: u64,
    first_message_at: Option<Iso>,
    last_message_at: Option<Iso>,
    /// Ids of agents.
    participants: Vec<String>,
}

fn view(shown: &ShownConversation) -> ConversationView {
    let whole = &shown.conversation;
    let time = |at_ms| (whole.messages > 0).then_some(Iso(at_ms));
    ConversationView {
        id: whole.id.clone(),
        message_count: whole.messages,
        first_message_at: time(whole.first_ms),
        last_message_at: time(whole.last_ms),
        participants: shown.participants.clone(),
    }
}

/// Conversations.
#[derive(Serialize, ToSchema)]
struct ConversationList {
    conversations: Vec<ConversationView>,
    #[serde(flatten)]
    paging: Paging,
}

/// Something that happened in a conversation.
#[derive(Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum ItemView {
    /// A message, and the files that it binds.
    Message {
        message: MessageView,
        attachments: Vec<BoundAttachment>,
    },
    /// What became of one.
    Event { event: EventView },
}

/// What happened in a conversation.
#[derive(Serialize, ToSchema)]
struct Timeline {
    conversation: ConversationView,
    items: Vec<ItemView>,
    #[serde(flatten)]
    paging: Paging,
}

/// Messages that were found.
#[derive(Serialize, ToSchema)]
struct Found {
    messages: Vec<MessageView>,
    #[serde(flatten)]
    paging: Paging,
}

/// Which conversations.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what is read")]
struct Filters {
    /// Those with a message that has all these words.
    #[param(max_length = 1000)]
    search: Option<String>,
}

/// What to look for.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what is read")]
struct Search {
    /// Words, all of which a message has.
    #[param(min_length = 1, max_length = 1000)]
    q: String,
}

fn cursor_of(seq: u64) -> String {
    id::from_number("evt_", seq)
}

fn text_of<'a>(query: &'a ListQuery, name: &str) -> Result<Option<&'a str>, Invalid> {
    let text = query.text(name);
    match text {
        Some(text) if text.len() > TEXT_MAX_BYTES => Err(Invalid::field(
            name,
            format!("at most {TEXT_MAX_BYTES} bytes"),
        )),
        text => Ok(text),
    }
}

/// Conversations, those with the newest messages first.
#[utoipa::path(
    get,
    path = "/v1/operator/conversations",
    operation_id = "list_conversations",
    params(ListParams, Filters),
    responses((status = 200, body = ConversationList)),
)]
async fn list(
    State(app): State<App>,
    operator: SignedIn,
    query: ListQuery,
) -> Result<Json<ConversationList>, ApiError> {
    let before = query.cursor(|text| number_of("evt_", text))?;
    let search = text_of(&query, "search")?;
    let (before, wants) = (before.unwrap_or(u64::MAX), query.skip() + query.limit);
    let page = app
        .service
        .conversations(operator.fleet(), search, before, wants)
        .await?;
    Ok(Json(ConversationList {
        conversations: page.rows.iter().skip(query.skip()).map(view).collect(),
        paging: query.paging(page.next.map(cursor_of)),
    }))
}

/// What happened in a conversation, oldest first.
#[utoipa::path(
    get,
    path = "/v1/operator/conversations/{id}",
    operation_id = "get_conversation",
    params(ListParams),
    responses((status = 200, body = Timeline)),
)]
async fn timeline(
    State(app): State<App>,
    operator: SignedIn,
    conversation_id: PathId,
    query: ListQuery,
) -> Result<Json<Timeline>, ApiError> {
    let after = query.cursor(|text| number_of("evt_", text))?.unwrap_or(0);
    let wants = query.skip() + query.limit;
    let (shown, page) = app
        .service
        .timeline(operator.fleet(), &conversation_id.get()?, after, wants)
        .await?;
    let item = |item: &Item| match item {
        Item::Message(message, body, attachments) => ItemView::Message {
            message: message_view(message, body),
            attachments: bound(attachments),
        },
        Item::Event(event) => ItemView::Event {
            event: event_view(event),
        },
    };
    Ok(Json(Timeline {
        conversation: view(&shown),
        items: page.rows.iter().skip(query.skip()).map(item).collect(),
        paging: query.paging(page.next.map(cursor_of)),
    }))
}

/// Messages that have all words, newest first.
#[utoipa::path(
    get,
    path = "/v1/operator/search",
    operation_id = "search_messages",
    params(Search, ListParams),
    responses((status = 200, body = Found)),
)]
async fn search(
    State(app): State<App>,
    operator: SignedIn,
    query: ListQuery,
) -> Result<Json<Found>, ApiError> {
    let before = query.cursor(|text| number_of("evt_", text))?;
    let text = text_of(&query, "q")?.ok_or_else(|| Invalid::field("q", "required"))?;
    let (before, wants) = (before.unwrap_or(u64::MAX), query.skip() + query.limit);
    let page = app
        .service
        .search_messages(operator.fleet(), text, before, wants)
        .await?;
    let messages = page.rows.iter().skip(query.skip());
    Ok(Json(Found {
        messages: messages
            .map(|(message, body)| message_view(message, body))
            .collect(),
        paging: query.paging(page.next.map(cursor_of)),
    }))
}
