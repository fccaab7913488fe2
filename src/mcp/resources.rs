//! Conversations as resources: `ekho://conversations/{id}`.

use ekho_client::{EkhoAgentClient, EkhoError, PageQuery};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use rmcp::ErrorData;
use rmcp::model::{
    ListResourceTemplatesResult, ListResourcesResult, ReadResourceResponse, ReadResourceResult,
    Resource, ResourceContents, ResourceTemplate,
};
use serde_json::{Value, json};

use super::seen::Seen;

const PREFIX: &str = "ekho://conversations/";
const JSON: &str = "application/json";
/// Messages that one reading shows, the newest ones.
const MESSAGES_MAX: usize = 200;

pub(super) fn templates() -> ListResourceTemplatesResult {
    let template = ResourceTemplate::new(format!("{PREFIX}{{conversation_id}}"), "conversation")
        .with_title("A conversation")
        .with_description(
            "What you sent and received in a conversation, oldest first, as JSON; the newest 200 \
             messages.",
        )
        .with_mime_type(JSON);
    ListResourceTemplatesResult::with_all_items(vec![template])
}

/// The conversations that were taken part in since the server began.
pub(super) fn list(seen: &Seen) -> ListResourcesResult {
    let resources = seen.conversations().map(|id| {
        let uri = format!("{PREFIX}{}", utf8_percent_encode(id, NON_ALPHANUMERIC));
        Resource::new(uri, id).with_mime_type(JSON)
    });
    ListResourcesResult::with_all_items(resources.collect())
}

pub(super) async fn read(
    agent: &EkhoAgentClient,
    uri: &str,
) -> Result<ReadResourceResponse, ErrorData> {
    let unknown = || ErrorData::resource_not_found(format!("there is no {uri}"), None);
    let id = uri.strip_prefix(PREFIX).ok_or_else(unknown)?;
    let id = percent_decode_str(id)
        .decode_utf8()
        .map_err(|_| unknown())?;
    let messages = conversation(agent, &id)
        .await
        .map_err(|error| match error.status_code() {
            Some(404) => unknown(),
            _ => ErrorData::internal_error(error.to_string(), None),
        })?;
    let text = Value::Array(messages).to_string();
    let contents = ResourceContents::text(text, uri).with_mime_type(JSON);
    Ok(ReadResourceResult::new(vec![contents]).into())
}

/// The newest messages of a conversation, oldest first.
async fn conversation(agent: &EkhoAgentClient, id: &str) -> Result<Vec<Value>, EkhoError> {
    let mut page = PageQuery {
        limit: Some(100),
        cursor: None,
    };
    let mut messages = Vec::new();
    while messages.len() < MESSAGES_MAX {
        let said = agent.get_conversation(id, &page).await?;
        messages.extend(said.messages.into_iter().map(|message| {
            json!({
                "message_id": message.message_id,
                "sender": message.sender_agent_id,
                "sender_kind": message.sender_kind,
                "recipient": message.recipient_id,
                "message_type": message.message_type.as_str(),
                "body": message.body,
                "created_at": message.created_at,
            })
        }));
        match said.next_cursor {
            Some(next) => page.cursor = Some(next),
            None => break,
        }
    }
    messages.reverse();
    Ok(messages)
}
