//! Approvals: an agent proposes something risky, and three operators decide at the same moment
//! through different nodes.

use std::sync::Arc;

use serde_json::json;
use tokio::task::JoinSet;

use super::{Scene, pause, record};
use crate::operator::Operator;
use crate::record::{ApprovalAct, Done};
use crate::rng::Rng;
use crate::sign::{Agent, Request};

const DECIDERS: usize = 3;

pub(super) async fn begin(
    scene: &Arc<Scene>,
    operator: &mut Operator,
    rng: &mut Rng,
    tasks: &mut JoinSet<()>,
) -> Result<(), String> {
    let agent = operator.enrol("proposer").await?;
    let (scene, token) = (Arc::clone(scene), operator.token.clone());
    tasks.spawn(propose(scene, agent, token, rng.fork()));
    Ok(())
}

async fn propose(scene: Arc<Scene>, agent: Agent, token: String, mut rng: Rng) {
    let mut client = scene.client(&mut rng);
    let proposal = json!({
        "conversation_id": "beside",
        "action_type": "deploy",
        "summary": "Deploy to production",
        "risk_level": "high",
    })
    .to_string();
    let mut subject = 0;
    while !scene.is_over() {
        pause(&mut rng, 100, 500).await;
        let request = agent.request("POST", "/v1/actions/propose", proposal.clone());
        let (answer, _) = scene.ask(&mut client, &mut rng, &request).await;
        let Some(id) = answer.body["approval_id"]
            .as_str()
            .filter(|_| answer.done() == Done::Yes)
        else {
            if answer.done() != Done::Perhaps && !answer.is_trouble() {
                scene.strange(&request, &answer);
            }
            continue;
        };
        let mut tasks = JoinSet::new();
        for _ in 0..DECIDERS {
            let (scene, id, token) = (Arc::clone(&scene), id.to_string(), token.clone());
            tasks.spawn(decide(scene, subject, id, token, rng.fork()));
        }
        tasks.spawn(look(
            Arc::clone(&scene),
            subject,
            agent.clone(),
            id.into(),
            rng.fork(),
        ));
        super::finish(&mut tasks).await;
        look(
            Arc::clone(&scene),
            subject,
            agent.clone(),
            id.into(),
            rng.fork(),
        )
        .await;
        subject += 1;
    }
}

/// Asks until there is an answer that means something.
async fn decide(scene: Arc<Scene>, subject: usize, id: String, token: String, mut rng: Rng) {
    let mut client = scene.client(&mut rng);
    let yes = rng.chance(50);
    let order = if yes { "approve" } else { "reject" };
    let target = format!("/v1/operator/approvals/{id}/{order}");
    loop {
        let request = Request::of_operator(&token, "POST", &target, "{}");
        let (answer, span) = scene.ask(&mut client, &mut rng, &request).await;
        if !answer.is_trouble() || answer.done() == Done::Perhaps {
            let decided = record(subject, &answer, span, ApprovalAct::Decide(yes));
            scene.records.lock().approvals.push(decided);
        }
        match answer.done() {
            Done::Yes => return,
            Done::No if answer.status == 409 => return,
            Done::No if !answer.is_trouble() => return scene.strange(&request, &answer),
            _ if scene.is_over() => return,
            _ => pause(&mut rng, 10, 60).await,
        }
    }
}

async fn look(scene: Arc<Scene>, subject: usize, agent: Agent, id: String, mut rng: Rng) {
    let mut client = scene.client(&mut rng);
    let request = agent.request("GET", &format!("/v1/actions/{id}"), "");
    let (answer, span) = scene.ask(&mut client, &mut rng, &request).await;
    match answer.done() {
        Done::Yes => {
            let status = answer.body["status"]
                .as_str()
                .unwrap_or_default()
                .to_string();
            let seen = record(subject, &answer, span, ApprovalAct::Look(status));
            scene.records.lock().approvals.push(seen);
        }
        Done::No if !answer.is_trouble() => scene.strange(&request, &answer),
        _ => {}
    }
}
