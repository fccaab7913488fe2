//! Registers: the reason of an agent's hold, and a setting, written and read by several operators.
//! Both calls take the place of what was there, whatever it was; the API has no call that compares.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{Scene, pause, record};
use crate::operator::Operator;
use crate::record::{Done, RegisterAct};
use crate::rng::Rng;
use crate::sign::Request;

const PROCESSES: usize = 3;
/// Of the register that is an agent's hold; the other is the setting.
const HOLD: usize = 0;

pub(super) async fn begin(
    scene: &Arc<Scene>,
    operator: &mut Operator,
    rng: &mut Rng,
    tasks: &mut JoinSet<()>,
) -> Result<(), String> {
    let held = operator.enrol("register").await?;
    for register in [HOLD, HOLD + 1] {
        for _ in 0..PROCESSES {
            let (scene, token, agent) =
                (Arc::clone(scene), operator.token.clone(), held.id.clone());
            tasks.spawn(use_register(scene, register, agent, token, rng.fork()));
        }
    }
    Ok(())
}

async fn use_register(
    scene: Arc<Scene>,
    register: usize,
    agent: String,
    token: String,
    mut rng: Rng,
) {
    let mut client = scene.client(&mut rng);
    let target = if register == HOLD {
        format!("/v1/operator/agents/{agent}")
    } else {
        "/v1/operator/settings".to_string()
    };
    while !scene.is_over() {
        pause(&mut rng, 20, 200).await;
        let (request, act) = if rng.chance(60) {
            (Request::of_operator(&token, "GET", &target, ""), None)
        } else {
            let no = scene.number() + 1_000;
            let request = if register == HOLD {
                let body = json!({ "reason": no.to_string() }).to_string();
                Request::of_operator(&token, "POST", &format!("{target}/pause"), &body)
            } else {
                let body = json!({ "heartbeat_interval_ms": no }).to_string();
                Request::of_operator(&token, "PUT", &target, &body)
            };
            (request, Some(RegisterAct::Write(no.to_string())))
        };
        let (answer, span) = scene.ask(&mut client, &mut rng, &request).await;
        // 409: others kept changing settings, nothing was done.
        if answer.done() == Done::No && !answer.is_trouble() && answer.status != 409 {
            scene.strange(&request, &answer);
        }
        let act = act.unwrap_or_else(|| RegisterAct::Read(value(register, &answer.body)));
        let asked = record(register, &answer, span, act);
        scene.records.lock().registers.push(asked);
    }
}

fn value(register: usize, body: &Value) -> String {
    let value = if register == HOLD {
        &body["agent"]["status_reason"]
    } else {
        &body["heartbeat_interval_ms"]
    };
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_string)
}
