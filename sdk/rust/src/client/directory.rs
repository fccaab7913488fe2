//! Who else is in the fleet, what was said in a conversation, and other agents asked by A2A.

use reqwest::Method;
use serde_json::{Value, json};

use super::{EkhoAgentClient, path_segment, percent_encoded};
use crate::error::{EkhoError, EkhoRequestError};
use crate::types::{PageQuery, Peer, Peers, Recipient, Said};

impl EkhoAgentClient {
    /// Agents of the fleet by their names (GET /v1/agents), or those with `search` in their name.
    pub async fn list_peers(
        &self,
        search: Option<&str>,
        page: &PageQuery,
    ) -> Result<Peers, EkhoError> {
        let search = search.map(|text| format!("search={}", percent_encoded(text)));
        let target = paged("/v1/agents".into(), page, search);
        self.call(Method::GET, target).await
    }

    /// Whom a person means: an agent's or a room's id, `all`, or the name of one agent.
    ///
    /// Errors: [`EkhoError::InvalidArgument`] where no agent or several have that name.
    pub async fn whom(&self, named: &str) -> Result<Recipient, EkhoError> {
        if named == "all" {
            return Ok(Recipient::Broadcast);
        }
        if named.starts_with("room_") {
            return Ok(Recipient::group(named));
        }
        if named.starts_with("agent_") {
            return Ok(Recipient::agent(named));
        }
        let mut page = PageQuery {
            limit: Some(100),
            cursor: None,
        };
        let mut found = Vec::new();
        loop {
            let peers = self.list_peers(Some(named), &page).await?;
            let same = |peer: &Peer| peer.display_name == named;
            found.extend(peers.agents.into_iter().filter(same));
            match peers.next_cursor {
                Some(next) => page.cursor = Some(next),
                None => break,
            }
        }
        match found.as_slice() {
            [one] => Ok(Recipient::agent(&one.id)),
            [] => Err(EkhoError::invalid(format!("no agent is called {named:?}"))),
            many => Err(EkhoError::invalid(format!(
                "{} agents are called {named:?}: use an id",
                many.len()
            ))),
        }
    }

    /// What this agent sent and was handed out in a conversation, newest first
    /// (GET /v1/conversations/{id}/messages).
    pub async fn get_conversation(
        &self,
        conversation_id: &str,
        page: &PageQuery,
    ) -> Result<Said, EkhoError> {
        let path = format!(
            "/v1/conversations/{}/messages",
            path_segment(conversation_id)?
        );
        self.call(Method::GET, paged(path, page, None)).await
    }

    /// Asks another agent by A2A 1.0 (POST /agents/{id}/a2a, JSON-RPC): calls `method` and returns
    /// its `result`. Repeated where an answer was lost: a message with the same `messageId` is sent
    /// once.
    ///
    /// Errors: what the method refuses is [`EkhoError::Request`] with the JSON-RPC error as body.
    pub async fn a2a(
        &self,
        agent_id: &str,
        method: &str,
        params: &Value,
    ) -> Result<Value, EkhoError> {
        let path = format!("/agents/{}/a2a", path_segment(agent_id)?);
        let id = uuid::Uuid::new_v4().to_string();
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let mut call = self.post(path.clone(), &request)?;
        call.headers.push(("a2a-version", "1.0".to_owned()));
        let mut answer: Value = self.inner.transport.json(&call).await?;
        match answer.get_mut("error").map(Value::take) {
            Some(error) if !error.is_null() => {
                Err(Box::new(EkhoRequestError::of_rpc(path, error)).into())
            }
            _ => Ok(answer["result"].take()),
        }
    }
}

fn paged(path: String, page: &PageQuery, more: Option<String>) -> String {
    let limit = page.limit.map(|limit| format!("limit={limit}"));
    let cursor = page.cursor.as_deref();
    let cursor = cursor.map(|cursor| format!("cursor={}", percent_encoded(cursor)));
    let query: Vec<String> = [limit, cursor, more].into_iter().flatten().collect();
    match query.is_empty() {
        true => path,
        false => format!("{path}?{}", query.join("&")),
    }
}
