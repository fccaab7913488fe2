//! Rates: agents that send through several nodes at once as fast as they may, and then some.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::{Scene, message, pause};
use crate::operator::Operator;
use crate::record::Done;
use crate::rng::Rng;
use crate::sign::Agent;

const AGENTS: usize = 2;
/// Connections of one agent.
const LINES: usize = 2;

pub(super) async fn begin(
    scene: &Arc<Scene>,
    operator: &mut Operator,
    to: &str,
    rng: &mut Rng,
    tasks: &mut JoinSet<()>,
) -> Result<(), String> {
    for subject in 0..AGENTS {
        let agent = operator.enrol(&format!("fast {subject}")).await?;
        for _ in 0..LINES {
            let (scene, agent, to) = (Arc::clone(scene), agent.clone(), to.to_string());
            tasks.spawn(send(scene, subject, agent, to, rng.fork()));
        }
    }
    Ok(())
}

async fn send(scene: Arc<Scene>, subject: usize, agent: Agent, to: String, mut rng: Rng) {
    let mut client = scene.client(&mut rng);
    while !scene.is_over() {
        let request = message(&agent, &to, &format!("r-{subject}-{}", scene.number()));
        let (answer, _) = scene.ask(&mut client, &mut rng, &request).await;
        match answer.done() {
            Done::Yes => {
                let text = |name: &str| answer.body[name].as_str().unwrap_or_default();
                scene.count(subject, text("message_id"), text("queued_at"));
                // The limit is reached all the same, and the machine has other things to do.
                pause(&mut rng, 0, 20).await;
            }
            Done::No if answer.status == 429 => pause(&mut rng, 100, 1_000).await,
            Done::No if !answer.is_trouble() => {
                scene.strange(&request, &answer);
                pause(&mut rng, 100, 1_000).await;
            }
            _ => pause(&mut rng, 10, 60).await,
        }
    }
}

/// Whose message this is, by its correlation id.
pub(super) fn subject(correlation: &str) -> Option<usize> {
    let (subject, _) = correlation.strip_prefix("r-")?.split_once('-')?;
    subject.parse().ok()
}
