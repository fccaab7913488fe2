//! A fleet with something of everything in it.

use serde_json::{Value, json};

use super::Ids;
use crate::support::{Agent, Operator, Signing, a2a_message, message_to};

/// A fleet that is in use.
pub struct Populated {
    /// Its name.
    pub name: &'static str,
    /// Its owner.
    pub operator: Operator,
    /// Three agents: one that sends, one that receives, one that is never written to.
    pub agents: [Agent; 3],
    ids: Ids,
}

fn text(answer: &Value, field: &str) -> String {
    answer[field].as_str().expect(field).to_string()
}

impl Populated {
    /// Fills a fleet. Dead letters have numbers of their own in each fleet: so many of them make the
    /// last one's a number that a fleet with fewer does not have.
    pub async fn new(operator: Operator, name: &'static str, letters: usize) -> Self {
        let agents = [
            operator.enrol(&format!("{name} sender")).await,
            operator.enrol(&format!("{name} reader")).await,
            operator.enrol(&format!("{name} other")).await,
        ];
        let [sender, reader, other] = &agents;
        let conversation = format!("conversation of {name}");
        let word = format!("wordof{name}");
        let draft = |to: &str, body: &str| {
            let mut message = message_to(json!({ "kind": "agent", "id": to }), body);
            message["conversation_id"] = json!(conversation);
            message
        };
        // Dead letters: with no retries allowed, one refusal is enough.
        for _ in 0..letters {
            let dead = sender.send(&draft(&reader.id, &word)).await;
            reader.receive().await;
            let nack = json!({ "nacks": [{ "message_id": dead, "reason": "cannot" }] });
            reader.post("/v1/nacks", &nack).await.ok();
        }
        let letters = operator.get("/v1/operator/dead-letters").await.ok();
        // One that was handed out, and one that waits.
        let message = sender.send(&draft(&reader.id, &word)).await;
        reader.receive().await;
        let waiting = sender.send(&draft(&other.id, &word)).await;
        let proposed = json!({
            "conversation_id": conversation, "action_type": "deploy", "summary": name,
            "risk_level": "high", "payload": {},
        });
        let approval = sender.post("/v1/actions/propose", &proposed).await.ok();
        let room = json!({ "name": name, "member_agent_ids": [reader.id] });
        let room = sender.post("/v1/rooms", &room).await.ok();
        let floor = json!({ "ttl_seconds": 3600 });
        let target = format!(
            "/v1/conversations/{}/floor",
            conversation.replace(' ', "%20")
        );
        sender.post(&target, &floor).await.ok();
        let policy = json!({
            "name": name, "scope_kind": "agent", "scope_id": other.id,
            "rule": { "action": "deny", "conditions": { "message_type": "alert" } },
        });
        let policy = operator.post("/v1/operator/policies", &policy).await.ok();
        let colleague = json!({
            "email": format!("{name}@example.org"), "password": "a long password", "role": "viewer",
        });
        let colleague = operator
            .post("/v1/operator/operators", &colleague)
            .await
            .ok();
        let token = json!({ "name": name, "scopes": ["read"] });
        let token = operator.post("/v1/operator/tokens", &token).await.ok();
        let own = json!({ "public_key": format!("key of {name}") });
        let key = sender.post("/v1/identity-key", &own).await.ok();
        let seed = name.bytes().fold(0, u8::wrapping_add);
        let signing = Signing::new(seed).register(&operator, false).await;
        // Switched off, so that nobody is asked.
        let hook = json!({
            "name": name, "url": "http://127.0.0.1:1/", "events": ["overview"], "enabled": false,
        });
        let hook = operator.post("/v1/operator/hooks", &hook).await.ok();
        let client = operator.a2a_client(&format!("client of {name}")).await;
        let task = client.send(reader, &a2a_message(&word)).await;
        let url = "https://example.com/";
        let push = json!({ "taskId": task["id"], "id": format!("push-{name}"), "url": url });
        client
            .result("/a2a", "CreateTaskPushNotificationConfig", &push)
            .await;
        let remote = json!({ "name": format!("remote of {name}"), "card_url": url });
        let remote = operator.post("/v1/operator/a2a/remotes", &remote).await;
        let remote = text(&remote.ok(), "agent_id");
        let attachment = sender.upload(name, "text/plain", word.as_bytes()).await;
        let events = operator.get("/v1/operator/events?limit=1").await.ok();
        let ids = [
            ("agent", sender.id.clone()),
            ("agent2", reader.id.clone()),
            ("message", message),
            ("waiting", waiting),
            ("approval", text(&approval, "approval_id")),
            ("conversation", conversation),
            ("room", text(&room, "id")),
            ("letter", text(&letters["dead_letters"][0], "id")),
            ("operator", text(&colleague, "operator_id")),
            ("session", text(&token, "id")),
            ("policy", text(&policy, "policyId")),
            ("hook", text(&hook, "hook_id")),
            ("fleet", operator.fleet_id.clone()),
            ("event", text(&events["events"][0], "id")),
            ("word", word),
            ("key", text(&key, "key_id")),
            ("signing", signing),
            ("client", client.id),
            ("token", client.token_id),
            ("task", text(&task, "id")),
            ("context", text(&task, "contextId")),
            ("push", text(&push, "id")),
            ("remote", remote),
            ("attachment", text(&attachment, "id")),
        ]
        .into();
        Populated {
            name,
            operator,
            agents,
            ids,
        }
    }

    /// Ids of what is in it.
    pub fn ids(&self) -> Ids {
        self.ids.clone()
    }

    /// Its own ids, for probes in which only one of several is foreign.
    pub fn own(&self) -> Ids {
        [
            ("own agent", self.ids["agent"].clone()),
            ("own agent2", self.ids["agent2"].clone()),
            ("own waiting", self.ids["waiting"].clone()),
            ("own operator", self.ids["operator"].clone()),
            ("own signing", self.ids["signing"].clone()),
            ("own client", self.ids["client"].clone()),
        ]
        .into()
    }

    /// How things stand in it, as its owner sees them.
    pub async fn everything(&self) -> Vec<Value> {
        let mut all = Vec::new();
        for target in [
            "agents",
            "policies",
            "hooks",
            "operators",
            "approvals",
            "dead-letters",
            "rooms",
            "sessions",
            "keys",
            "keys/revoked",
            "a2a/clients",
            "a2a/remotes",
            "a2a/pushes",
            "a2a/tasks",
            "attachments",
        ] {
            let answer = self.operator.get(&format!("/v1/operator/{target}")).await;
            all.push(answer.ok());
        }
        for message in ["message", "waiting"] {
            let target = format!("/v1/operator/messages/{}", self.ids[message]);
            all.push(self.operator.get(&target).await.ok());
        }
        let task = format!("/v1/tasks/{}", self.ids["task"]);
        all.push(self.agents[1].get(&task).await.ok());
        all
    }
}
