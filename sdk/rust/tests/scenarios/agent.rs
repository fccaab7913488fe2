//! An agent of a scenario: its client, its adapter and its stream.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ekho_client::identity::{AgentIdentity, EncryptionKey, KeyRing};
use ekho_client::{
    EkhoAgentAdapter, EkhoAgentClient, EkhoError, EnrollRequest, ProposeAction, StreamEvent,
    StreamQuery,
};
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::behaviour::{Behaviour, SharedLog};
use crate::calls;
use crate::rig::Rig;
use crate::run::Outcome;

pub struct Agent {
    pub agent_id: String,
    pub key_id: Option<String>,
    pub encryption_key_id: Option<String>,
    public_key: Option<String>,
    client: EkhoAgentClient,
    adapter: Option<EkhoAgentAdapter<Behaviour>>,
    log: SharedLog,
    running: Vec<JoinHandle<()>>,
}

impl Agent {
    pub async fn enrol(
        rig: &Rig,
        step: &Value,
        others: &HashMap<String, Self>,
    ) -> Result<Self, String> {
        let name = step["agent"].as_str().unwrap_or_default();
        let request = EnrollRequest::new(&rig.fleet_id, rig.token().await?, name);
        let words = |error: EkhoError| error.to_string();
        let enrolled = EkhoAgentClient::builder("", "")
            .relays(&rig.relays)
            .enroll(&request)
            .await
            .map_err(words)?;
        let agent_id = enrolled.agent_id;
        let mut builder = EkhoAgentClient::builder(&agent_id, enrolled.secret).relays(&rig.relays);
        let mut public_key = None;
        if step["identity"] == true {
            let (identity, _) = AgentIdentity::generate();
            public_key = Some(identity.public_key().to_string());
            builder = builder.identity(identity, &rig.fleet_id);
        }
        let texts = |value: &Value| value.as_array().cloned().unwrap_or_default();
        if step["encrypts"] == true {
            builder = builder.encryption_keys([EncryptionKey::generate().0]);
        }
        let ring = KeyRing::new(&rig.fleet_id);
        for name in texts(&step["trusts"]) {
            let other = &others[name.as_str().unwrap()];
            let key = other.public_key.as_deref().unwrap();
            ring.trust_agent(&other.agent_id, key).map_err(words)?;
        }
        for key in texts(&step["trusts_operators"]) {
            ring.trust_operator(key.as_str().unwrap()).map_err(words)?;
        }
        let has_ring = ["trusts", "trusts_operators", "learns"].map(|name| !step[name].is_null());
        if has_ring.contains(&true) {
            builder = builder.key_ring(ring);
        }
        if step["learns"] == true {
            builder = builder.learn_keys();
        }
        let client = builder.build().map_err(words)?;
        let mut key_id = None;
        if let Some(key) = &public_key {
            let registered = client.register_identity_key(key).await.map_err(words)?;
            key_id = Some(registered.key_id);
        }
        let mut encryption_key_id = None;
        if step["encrypts"] == true {
            let published = client.publish_encryption_key().await.map_err(words)?;
            encryption_key_id = Some(published.key_id);
        }
        Ok(Self {
            agent_id,
            key_id,
            encryption_key_id,
            public_key,
            client,
            adapter: None,
            log: SharedLog::default(),
            running: Vec::new(),
        })
    }

    pub async fn perform(&mut self, step: &Value) -> Result<Outcome, String> {
        if let Some(call) = step["call"].as_str() {
            return calls::call(&self.client, call, &step["with"])
                .await
                .map(Outcome::from);
        }
        if let Some(what) = step["adapter"].as_str() {
            return self.adapter_step(what, step).await.map(Outcome::Value);
        }
        if let Some(what) = step["stream"].as_str() {
            return Ok(Outcome::Value(self.stream_step(what)));
        }
        Err("an unknown step".to_owned())
    }

    async fn adapter_step(&mut self, what: &str, step: &Value) -> Result<Value, String> {
        match what {
            "start" => {
                let behaviour = Behaviour {
                    does: step["does"].as_str().unwrap_or_default().to_owned(),
                    log: Arc::clone(&self.log),
                };
                let adapter = EkhoAgentAdapter::builder(self.client.clone(), behaviour).start();
                self.adapter = Some(adapter);
                Ok(Value::Null)
            }
            "stop" => {
                let adapter = self.adapter.take().ok_or("no adapter")?;
                let deadline = step["deadline_ms"].as_u64().unwrap_or(10_000);
                let report = adapter.stop(Duration::from_millis(deadline)).await;
                let handed_back = report.abandoned_message_ids;
                Ok(json!({"finished": handed_back.is_empty(), "handed_back": handed_back}))
            }
            "propose" => {
                let action: ProposeAction = serde_json::from_value(step["with"]["action"].clone())
                    .map_err(|error| error.to_string())?;
                let handle = self.adapter.as_ref().ok_or("no adapter")?.handle();
                let log = Arc::clone(&self.log);
                log.lock().unwrap().outcome = Value::Null;
                self.running.push(tokio::spawn(async move {
                    let outcome = match handle.propose_action(&action).await {
                        Ok(outcome) if outcome.approved => json!({"ok": true}),
                        Ok(outcome) => {
                            let status = outcome.status.map(|status| status.to_string());
                            let code =
                                format!("action_{}", status.unwrap_or_else(|| "denied".into()));
                            json!({"ok": false, "code": code})
                        }
                        Err(error) => json!({"ok": false, "code": error.to_string()}),
                    };
                    log.lock().unwrap().outcome = outcome;
                }));
                Ok(Value::Null)
            }
            _ => {
                let log = self.log.lock().unwrap();
                Ok(match what {
                    "seen" => json!(log.seen),
                    "controls" => json!(log.controls),
                    "pending" => json!(log.pending),
                    "outcome" => log.outcome.clone(),
                    _ => return Err(format!("unknown: {what}")),
                })
            }
        }
    }

    fn stream_step(&mut self, what: &str) -> Value {
        match what {
            "start" => {
                let mut stream = Box::pin(self.client.inbox_stream(StreamQuery::default()));
                let log = Arc::clone(&self.log);
                self.running.push(tokio::spawn(async move {
                    while let Some(event) = stream.next().await {
                        let event = match event {
                            Ok(StreamEvent::Message { message, .. }) => {
                                json!({"kind": "message", "message": message})
                            }
                            Ok(StreamEvent::Control { control, .. }) => {
                                json!({"kind": "control", "control": control})
                            }
                            Ok(_) => continue,
                            Err(error) => json!({"kind": "failed", "error": error.to_string()}),
                        };
                        log.lock().unwrap().events.push(event);
                    }
                }));
                Value::Null
            }
            "stop" => {
                self.abort();
                Value::Null
            }
            _ => json!(self.log.lock().unwrap().events),
        }
    }

    fn abort(&mut self) {
        for task in self.running.drain(..) {
            task.abort();
        }
    }

    pub async fn close(&mut self) {
        self.abort();
        if let Some(adapter) = self.adapter.take() {
            adapter.stop(Duration::from_secs(1)).await;
        }
    }
}
