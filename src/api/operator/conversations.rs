//! Conversations, and messages found by their words.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Query, State};
use axum::routing::get;
use serde_json::{Value, json};

use super::SignedIn;
use super::audit::event_view;
use super::list::{ListQuery, number_of};
use super::messages::message_view;
use crate::api::fields::Invalid;
use crate::api::path::PathId;
use crate::api::{ApiError, App};
use crate::clock::Iso;
use crate::id;
use crate::service::timeline::{Item, ShownConversation};

/// Bytes of what is looked for.
const TEXT_MAX_BYTES: usize = 1000;

pub fn router() -> axum::Router<App> {
    axum::Router::new()
        .route("/v1/operator/conversations", get(list))
        .route("/v1/operator/conversations/{id}", get(timeline))
        .route("/v1/operator/search", get(search))
}

fn view(shown: &ShownConversation) -> Value {
    let whole = &shown.conversation;
    json!({
        "id": shown.id,
        "message_count": whole.messages,
        "first_message_at": (whole.messages > 0).then_some(Iso(whole.first_ms)),
        "last_message_at": (whole.messages > 0).then_some(Iso(whole.last_ms)),
        "participants": shown.participants,
    })
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

/// GET /v1/operator/conversations: those with the newest messages first.
async fn list(
    State(app): State<App>,
    operator: SignedIn,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<Value>, ApiError> {
    let query = ListQuery::read(query)?;
    let before = query.cursor(|text| number_of("evt_", text))?;
    let search = text_of(&query, "search")?;
    let (before, wants) = (before.unwrap_or(u64::MAX), query.skip() + query.limit);
    let page = app
        .service
        .conversations(operator.fleet(), search, before, wants)
        .await?;
    let views = page.rows.iter().skip(query.skip()).map(view).collect();
    let answer = query.answer("conversations", views, page.next.map(cursor_of));
    Ok(Json(answer))
}

/// GET /v1/operator/conversations/{id}: what happened in it, oldest first.
async fn timeline(
    State(app): State<App>,
    operator: SignedIn,
    conversation_id: PathId,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<Value>, ApiError> {
    let query = ListQuery::read(query)?;
    let after = query.cursor(|text| number_of("evt_", text))?.unwrap_or(0);
    let wants = query.skip() + query.limit;
    let (shown, page) = app
        .service
        .timeline(operator.fleet(), &conversation_id.get()?, after, wants)
        .await?;
    let item = |item: &Item| match item {
        Item::Message(message, body) => {
            json!({ "kind": "message", "message": message_view(message, body) })
        }
        Item::Event(event) => json!({ "kind": "event", "event": event_view(event) }),
    };
    let items = page.rows.iter().skip(query.skip()).map(item).collect();
    let mut answer = query.answer("items", items, page.next.map(cursor_of));
    answer["conversation"] = view(&shown);
    Ok(Json(answer))
}

/// GET /v1/operator/search: messages that have all words, newest first.
async fn search(
    State(app): State<App>,
    operator: SignedIn,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<Value>, ApiError> {
    let query = ListQuery::read(query)?;
    let before = query.cursor(|text| number_of("evt_", text))?;
    let text = text_of(&query, "q")?.ok_or_else(|| Invalid::field("q", "required"))?;
    let (before, wants) = (before.unwrap_or(u64::MAX), query.skip() + query.limit);
    let page = app
        .service
        .search_messages(operator.fleet(), text, before, wants)
        .await?;
    let views = page
        .rows
        .iter()
        .skip(query.skip())
        .map(|(message, body)| message_view(message, body))
        .collect();
    let answer = query.answer("messages", views, page.next.map(cursor_of));
    Ok(Json(answer))
}
