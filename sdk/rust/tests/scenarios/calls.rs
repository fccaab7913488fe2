//! The calls by the names that scenarios use.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ekho_client::{
    AckItem, Artifact, EkhoAgentClient, EkhoError, InboxQuery, MessageType, PageQuery, SendMessage,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

type Called = Result<Value, EkhoError>;

fn read<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    serde_json::from_value(value.clone()).map_err(|error| format!("{error} in {value}"))
}

fn written<T: Serialize>(answer: Result<T, EkhoError>) -> Called {
    Ok(serde_json::to_value(answer?).expect("JSON"))
}

fn message(value: &Value, key: &Value) -> Result<SendMessage, String> {
    let mut value = value.clone();
    // As the other languages do: the key stands for the exchange where none is given.
    if let (Some(key), Some(fields)) = (key.as_str(), value.as_object_mut()) {
        fields.entry("correlation_id").or_insert_with(|| json!(key));
    }
    let mut message: SendMessage = read(&value)?;
    message.idempotency_key = key.as_str().map(str::to_owned);
    Ok(message)
}

fn page(with: &Value) -> Result<PageQuery, String> {
    Ok(PageQuery {
        limit: read(&with["limit"])?,
        cursor: read(&with["cursor"])?,
    })
}

/// What a call of this name gives; Err where the scenario is at fault.
pub async fn call(client: &EkhoAgentClient, name: &str, with: &Value) -> Result<Called, String> {
    let text = |field: &str| with[field].as_str().unwrap_or_default();
    let task = || client.task(text("task_id"));
    Ok(match name {
        "send_message" => {
            let message = message(&with["message"], &with["idempotency_key"])?;
            written(client.send_message(&message).await)
        }
        "send_batch" => {
            let items = with["messages"].as_array().cloned().unwrap_or_default();
            let messages = items
                .iter()
                .map(|item| message(item, &item["idempotency_key"]));
            let messages = messages.collect::<Result<Vec<_>, _>>()?;
            let answer = client.send_batch(&messages).await;
            written(answer.map(|answer| answer.results))
        }
        "get_message" => written(client.get_message(text("message_id")).await),
        "cancel_message" => written(client.cancel_message(text("message_id")).await),
        "get_inbox" => {
            let types: Option<Vec<String>> = read(&with["types"])?;
            let query = InboxQuery {
                limit: read(&with["limit"])?,
                wait_seconds: read(&with["wait_seconds"])?,
                types: types
                    .unwrap_or_default()
                    .iter()
                    .map(|word| MessageType::from(word.as_str()))
                    .collect(),
            };
            written(client.get_inbox(&query).await)
        }
        "ack_messages" => {
            let items = with["acks"].as_array().cloned().unwrap_or_default();
            let ids = items.iter().filter_map(|item| item["message_id"].as_str());
            written(client.ack_messages(ids.map(AckItem::now).collect()).await)
        }
        "nack_messages" => written(client.nack_messages(read(&with["nacks"])?).await),
        "extend_leases" => written(client.extend_leases(read(&with["leases"])?).await),
        "heartbeat" => written(client.heartbeat(&read(&with["heartbeat"])?).await),
        "propose_action" => written(client.propose_action(&read(&with["action"])?).await),
        "get_approval" => written(client.get_action(text("approval_id")).await),
        "action_result" => written(client.action_result(&read(&with["result"])?).await),
        "create_room" => written(client.create_room(&read(&with["room"])?).await),
        "raise_notice" => written(client.raise_notice(&read(&with["notice"])?).await),
        "acquire_floor" => {
            let seconds = with["ttl_seconds"].as_u64();
            written(client.acquire_floor(text("conversation_id"), seconds).await)
        }
        "release_floor" => written(client.release_floor(text("conversation_id")).await),
        "register_identity_key" => written(client.register_identity_key(text("public_key")).await),
        "get_identity_keys" => written(client.get_identity_keys(text("agent_id")).await),
        "publish_encryption_key" => written(client.publish_encryption_key().await),
        "revoke_encryption_key" => written(client.revoke_encryption_key().await),
        "get_encryption_keys" => written(client.get_encryption_keys(text("agent_id")).await),
        "get_operator_keys" => written(client.get_operator_keys().await),
        "list_peers" => {
            let search = with["search"].as_str();
            written(client.list_peers(search, &page(with)?).await)
        }
        "whom" => written(client.whom(text("named")).await),
        "get_conversation" => {
            let id = text("conversation_id");
            written(client.get_conversation(id, &page(with)?).await)
        }
        "a2a" => {
            client
                .a2a(text("agent_id"), text("method"), &with["params"])
                .await
        }
        "rotate_credentials" => {
            let answer = client
                .rotate_credentials(with["overlap_seconds"].as_u64())
                .await;
            answer.map(
                |rotated| json!({"secret": rotated.secret, "credential_id": rotated.credential_id}),
            )
        }
        "put_agent_card" => written(client.put_card(&read(&with["card"])?).await),
        "task_get" => task().get().await,
        "task_working" => written(task().working().await),
        "task_require_input" => written(task().require_input(text("message")).await),
        "task_artifact" => {
            let artifact: Artifact = read(&with["artifact"])?;
            written(task().artifact(&artifact).await)
        }
        "task_append_artifact" => {
            let artifact: Artifact = read(&with["artifact"])?;
            written(task().append(&artifact, true).await)
        }
        "task_complete" => written(task().complete(text("message")).await),
        "task_fail" => written(task().fail(text("message")).await),
        "task_reject" => written(
            task()
                .reject(with["message"].as_str().unwrap_or("no"))
                .await,
        ),
        "upload_attachment" => {
            let bytes = STANDARD
                .decode(text("data_base64"))
                .map_err(|error| error.to_string())?;
            written(
                client
                    .upload_attachment(text("filename"), text("mime"), &bytes)
                    .await,
            )
        }
        "download_attachment" => {
            let answer = client.download_attachment(text("id")).await;
            answer.map(|file| json!({"base64": STANDARD.encode(&file.bytes)}))
        }
        other => return Err(format!("unknown call {other}")),
    })
}
