//! Gates: agents that send all the time, while an operator closes and opens their way.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{Scene, message, pause, record};
use crate::operator::Operator;
use crate::record::{Done, GateAct};
use crate::rng::Rng;
use crate::sign::{Agent, Request};

const SENDERS_OF_A_GATE: usize = 2;
/// What a gate answers that is closed.
const KEPT_OUT: [&str; 3] = ["agent_paused", "agent_quarantined", "policy_denied"];

/// How a gate is closed and opened: target and body of the operator's call.
struct Gate {
    method: &'static str,
    close: (String, Value),
    open: (String, Value),
}

pub(super) async fn begin(
    scene: &Arc<Scene>,
    operator: &mut Operator,
    to: &str,
    rng: &mut Rng,
    tasks: &mut JoinSet<()>,
) -> Result<(), String> {
    for subject in 0..3 {
        let agent = operator.enrol(&format!("gate {subject}")).await?;
        let gate = match subject {
            0 => hold(&agent, "pause"),
            1 => hold(&agent, "quarantine"),
            _ => policy(operator, &agent).await?,
        };
        let token = operator.token.clone();
        tasks.spawn(flip(Arc::clone(scene), subject, gate, token, rng.fork()));
        for _ in 0..SENDERS_OF_A_GATE {
            let (scene, agent, to) = (Arc::clone(scene), agent.clone(), to.to_string());
            tasks.spawn(send(scene, subject, agent, to, rng.fork()));
        }
    }
    Ok(())
}

fn hold(agent: &Agent, order: &str) -> Gate {
    let target = |order: &str| format!("/v1/operator/agents/{}/{order}", agent.id);
    let body = json!({ "reason": "gate" });
    Gate {
        method: "POST",
        close: (target(order), body.clone()),
        open: (target("resume"), body),
    }
}

async fn policy(operator: &mut Operator, agent: &Agent) -> Result<Gate, String> {
    let policy = |enabled: bool| {
        json!({
            "name": "gate",
            "scope_kind": "fleet",
            "rule": { "action": "deny", "conditions": { "sender_agent_id": agent.id } },
            "enabled": enabled,
        })
    };
    let made = operator
        .insist("POST", "/v1/operator/policies", &policy(false))
        .await?;
    let id = made["policyId"].as_str().unwrap_or_default();
    let target = format!("/v1/operator/policies/{id}");
    Ok(Gate {
        method: "PUT",
        close: (target.clone(), policy(true)),
        open: (target, policy(false)),
    })
}

/// Closes and opens, each until it is known to be done.
async fn flip(scene: Arc<Scene>, subject: usize, gate: Gate, token: String, mut rng: Rng) {
    let mut client = scene.client(&mut rng);
    let mut closed = false;
    while !scene.is_over() {
        pause(&mut rng, 50, 700).await;
        let ((target, body), act) = if closed {
            (&gate.open, GateAct::Open)
        } else {
            (&gate.close, GateAct::Close)
        };
        loop {
            let body = body.to_string();
            let request = Request::of_operator(&token, gate.method, target, &body);
            let (answer, span) = scene.ask(&mut client, &mut rng, &request).await;
            let done = answer.done();
            let known = record(subject, &answer, span, act.clone());
            scene.records.lock().gates.push(known);
            if done == Done::Yes {
                break;
            }
            if done == Done::No && !answer.is_trouble() {
                scene.strange(&request, &answer);
            }
            if scene.is_over() {
                return;
            }
            pause(&mut rng, 10, 60).await;
        }
        closed = !closed;
    }
}

async fn send(scene: Arc<Scene>, subject: usize, agent: Agent, to: String, mut rng: Rng) {
    let mut client = scene.client(&mut rng);
    while !scene.is_over() {
        pause(&mut rng, 10, 120).await;
        let no = scene.number();
        let request = message(&agent, &to, &format!("g-{no}"));
        let (answer, span) = scene.ask(&mut client, &mut rng, &request).await;
        let kept_out = answer.status == 403 && KEPT_OUT.contains(&answer.code());
        if answer.done() != Done::No || kept_out {
            let sent = record(subject, &answer, span, GateAct::Send(no));
            scene.records.lock().gates.push(sent);
        } else if !answer.is_trouble() && answer.status != 429 {
            scene.strange(&request, &answer);
        }
    }
}

/// The number in the correlation id of a message through a gate.
pub(super) fn number(correlation: &str) -> Option<u64> {
    correlation.strip_prefix("g-")?.parse().ok()
}
