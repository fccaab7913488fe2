//! Reads scenarios and does their steps.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use ekho_client::EkhoError;
use ekho_client::identity::{AgentIdentity, SignedMessage, sign_message};
use serde_json::{Map, Value, json};

use crate::agent::Agent;
use crate::matching::{fill, mismatch};
use crate::rig::Rig;

const POLL: Duration = Duration::from_millis(50);

pub struct Counts {
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
    pub nodes: usize,
}

/// What a step gave: a value, or an error that it may be meant to give.
pub enum Outcome {
    Value(Value),
    Refused(EkhoError),
}

impl From<Result<Value, EkhoError>> for Outcome {
    fn from(result: Result<Value, EkhoError>) -> Self {
        result.map_or_else(Self::Refused, Self::Value)
    }
}

pub async fn suite(folder: &Path, only: Option<&str>) -> Counts {
    let rig = Rig::from_environment();
    let nodes = rig.relays.len();
    let mut counts = Counts {
        passed: 0,
        failed: 0,
        skipped: 0,
        nodes,
    };
    let entries = std::fs::read_dir(folder).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files {
        if only.is_some_and(|only| file.file_stem().unwrap() != only) {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        let scenario: Value = serde_json::from_str(&text).unwrap();
        let name = scenario["name"].as_str().unwrap();
        if scenario["nodes"]
            .as_u64()
            .is_some_and(|wanted| wanted != nodes as u64)
        {
            continue;
        }
        if let Some(path) = scenario["needs"].as_str()
            && !rig.offers(path).await
        {
            println!("  skipped {name}: the relay does not offer {path}");
            counts.skipped += 1;
            continue;
        }
        let began = Instant::now();
        match scenario_of(&rig, &scenario).await {
            Ok(()) => {
                counts.passed += 1;
                println!("  ok      {name} ({} ms)", began.elapsed().as_millis());
            }
            Err(why) => {
                counts.failed += 1;
                println!("  FAILED  {name} ({})\n      {why}", file.display());
            }
        }
    }
    counts
}

async fn scenario_of(rig: &Rig, scenario: &Value) -> Result<(), String> {
    let mut agents = HashMap::new();
    let mut known = Map::new();
    known.insert("run".to_owned(), json!(uuid::Uuid::new_v4().to_string()));
    let mut outcome = Ok(());
    for (index, step) in scenario["steps"].as_array().unwrap().iter().enumerate() {
        if let Err(why) = run_step(rig, step, &mut agents, &mut known).await {
            let shown: String = step.to_string().chars().take(300).collect();
            outcome = Err(format!("step {} {shown}\n      {why}", index + 1));
            break;
        }
    }
    for agent in agents.values_mut() {
        agent.close().await;
    }
    outcome
}

async fn run_step(
    rig: &Rig,
    raw: &Value,
    agents: &mut HashMap<String, Agent>,
    known: &mut Map<String, Value>,
) -> Result<(), String> {
    let step = fill(raw, known)?;
    if let Some(name) = step["agent"].as_str() {
        let agent = Agent::enrol(rig, &step, agents).await?;
        let ids = json!({
            "agent_id": agent.agent_id,
            "key_id": agent.key_id,
            "encryption_key_id": agent.encryption_key_id,
        });
        known.insert(name.to_owned(), ids);
        agents.insert(name.to_owned(), agent);
        return Ok(());
    }
    let patience = Duration::from_secs(step["eventually"].as_u64().unwrap_or(0));
    let ends = Instant::now() + patience;
    loop {
        let outcome = perform(rig, &step, agents).await?;
        match judge(&step, outcome) {
            Ok(value) => {
                if let Some(name) = step["save"].as_str() {
                    known.insert(name.to_owned(), value);
                }
                return Ok(());
            }
            Err(why) if Instant::now() >= ends => return Err(why),
            Err(_) => tokio::time::sleep(POLL).await,
        }
    }
}

async fn perform(
    rig: &Rig,
    step: &Value,
    agents: &mut HashMap<String, Agent>,
) -> Result<Outcome, String> {
    if let Some(request) = step["operator"].as_str() {
        let (method, path) = request.split_once(' ').ok_or("METHOD /path")?;
        let asked = json!({"method": method, "path": path, "body": step["body"], "headers": step["headers"]});
        return rig.ask("/operator", &asked).await.map(Outcome::Value);
    }
    if let Some(what) = step["relay"].as_str() {
        return rig
            .ask(&format!("/{what}"), &json!({}))
            .await
            .map(Outcome::Value);
    }
    if step["sign"].is_object() {
        return sign_as_operator(&step["sign"], &rig.fleet_id).map(Outcome::Value);
    }
    let name = step["as"].as_str().ok_or("a step is somebody's")?;
    let agent = agents.get_mut(name).ok_or("an unknown agent")?;
    agent.perform(step).await
}

/// The value where everything is as the step expects, else what is not.
fn judge(step: &Value, outcome: Outcome) -> Result<Value, String> {
    let fails = &step["fails"];
    match outcome {
        Outcome::Value(value) if !fails.is_null() => Err(format!("it succeeded: {value}")),
        Outcome::Value(value) => match step.get("expect") {
            Some(expected) => match mismatch(expected, &value, "answer") {
                Some(why) => Err(format!("{why} in {value}")),
                None => Ok(value),
            },
            None => Ok(value),
        },
        Outcome::Refused(error) if fails.is_null() => Err(error.to_string()),
        Outcome::Refused(error) => match mismatch(fails, &failure(&error), "error") {
            Some(why) => Err(format!("{why}: {error}")),
            None => Ok(Value::Null),
        },
    }
}

fn failure(error: &EkhoError) -> Value {
    let code = match error {
        EkhoError::InvalidArgument(_) => Some("invalid_argument"),
        other => other.code(),
    };
    let refusal = error.request();
    let fields =
        refusal.and_then(|refusal| refusal.body["error"]["fieldErrors"].as_object().cloned());
    json!({
        "code": code,
        "status_code": error.status_code(),
        "has_request_id": refusal.is_some_and(|refusal| refusal.request_id.is_some()),
        "fields": fields.unwrap_or_default().keys().collect::<Vec<_>>(),
    })
}

/// What an operator sends along who signs with this seed.
fn sign_as_operator(sign: &Value, fleet_id: &str) -> Result<Value, String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let identity =
        AgentIdentity::from_seed(&text(&sign["seed"])).map_err(|error| error.to_string())?;
    let message = &sign["message"];
    let recipient =
        serde_json::from_value(message["recipient"].clone()).map_err(|error| error.to_string())?;
    let signed = SignedMessage {
        recipient: &recipient,
        message_type: &text(&message["message_type"]),
        conversation_id: &text(&message["conversation_id"]),
        correlation_id: &text(&message["correlation_id"]),
        body: &message["body"],
    };
    let nonce = uuid::Uuid::new_v4().to_string();
    let envelope = sign_message(
        signed,
        fleet_id,
        &text(&sign["operator_id"]),
        &identity,
        &nonce,
    )
    .map_err(|error| error.to_string())?;
    Ok(json!({
        "operator_sig": envelope.signature,
        "key_id": envelope.key_id,
        "sig_canonical": envelope.sig_canonical,
    }))
}
