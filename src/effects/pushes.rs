//! Tells A2A clients of their tasks by HTTP (4.3): on the leader only, each configuration what
//! follows in its order, as often as it takes.
//!
//! How far each was told is part of the state. A leader that fails may have told a little more than
//! that: notifications come once or more.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ekho_storage::tables::task;
use ekho_storage::tables::task_push::{self, PushId};
use ekho_storage::tables::{FleetNo, fleet};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use tokio::task::JoinSet;

use crate::clock::now_ms;
use crate::machine::command::{Command, PushTold};
use crate::outward;
use crate::service::protocol;
use crate::service::pushes::PushText;
use crate::service::{Service, ServiceError};

/// A look although nobody woke it, in case a wake was missed.
const LOOK: Duration = Duration::from_secs(1);
/// Configurations of a fleet that are looked at in one go.
const LOOKED_AT: usize = 500;
/// Notifications under way at once.
const AT_ONCE: usize = 64;
/// How long a receiver may take (4.3.3 recommends 10 to 30 seconds).
const TIMEOUT: Duration = Duration::from_secs(15);
/// The media type of a notification (14.1).
const MEDIA_TYPE: &str = "application/a2a+json";
/// The header in which a receiver finds its token.
const TOKEN: &str = "x-a2a-notification-token";

type Key = (FleetNo, PushId);

/// Runs until the node stops. Does something only while this node leads.
pub async fn run(service: Arc<Service>) {
    let mut leadership = service.node.leadership();
    loop {
        tokio::select! {
            began = leadership.wait_for(|leadership| leadership.is_self) => {
                if began.is_err() {
                    return;
                }
            }
            () = service.stopping.cancelled() => return,
        }
        // What is under way when this ends is not noted: the next leader tells it again.
        let mut under_way = UnderWay::default();
        tokio::select! {
            () = under_way.lead(&service) => {}
            _ = leadership.wait_for(|leadership| !leadership.is_self) => {}
            () = service.stopping.cancelled() => return,
        }
    }
}

/// Notifications that are being sent.
#[derive(Default)]
struct UnderWay {
    keys: BTreeSet<Key>,
    jobs: JoinSet<(Key, Result<PushTold, ServiceError>)>,
}

impl UnderWay {
    async fn lead(&mut self, service: &Arc<Service>) {
        loop {
            let updated = service.waiters.updated_next();
            tokio::pin!(updated);
            updated.as_mut().enable();
            let next = match self.start(service) {
                Ok(next) => next,
                Err(error) => {
                    tracing::warn!(%error, "clients are not told of their tasks");
                    LOOK
                }
            };
            tokio::select! {
                Some(done) = self.jobs.join_next(), if !self.jobs.is_empty() => {
                    self.finish(service, done).await;
                }
                () = updated, if self.keys.len() < AT_ONCE => {}
                () = tokio::time::sleep(next) => {}
            }
        }
    }

    /// Begins what is to be told now; how long nothing else is.
    fn start(&mut self, service: &Arc<Service>) -> Result<Duration, ServiceError> {
        let view = service.view();
        let now = now_ms();
        let mut next = LOOK;
        for fleet in fleet::list(&view, usize::MAX)? {
            for (at_ms, id) in task_push::open(&view, fleet.no, LOOKED_AT)? {
                if at_ms > now {
                    next = next.min(Duration::from_millis(at_ms - now));
                    break;
                }
                let key = (fleet.no, id);
                if self.keys.len() >= AT_ONCE || self.keys.contains(&key) {
                    continue;
                }
                self.keys.insert(key.clone());
                let service = Arc::clone(service);
                self.jobs.spawn(async move {
                    let told = tell(&service, key.0, &key.1).await;
                    (key, told)
                });
            }
        }
        Ok(next)
    }

    async fn finish(
        &mut self,
        service: &Service,
        done: Result<(Key, Result<PushTold, ServiceError>), tokio::task::JoinError>,
    ) {
        let (key, told) = match done {
            Ok(done) => done,
            Err(error) => {
                // Nothing is known of it any more: all are looked at anew.
                tracing::error!(%error, "a notification's task failed");
                self.keys.clear();
                self.jobs.abort_all();
                return;
            }
        };
        let noted = match told {
            Ok(told) => {
                let (fleet, told) = (key.0, vec![told]);
                service.propose(&Command::PushesTold { fleet, told }).await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = noted {
            tracing::warn!(%error, "what came of a notification is not noted");
            tokio::time::sleep(LOOK).await;
        }
        self.keys.remove(&key);
    }
}

/// Tells one receiver what follows, until it has heard everything or something goes wrong.
async fn tell(service: &Service, fleet: FleetNo, id: &PushId) -> Result<PushTold, ServiceError> {
    let (task_uuid, config_id) = id;
    let view = service.view();
    let mut told = PushTold {
        task: *task_uuid,
        id: config_id.clone(),
        created_ms: 0,
        told: 0,
        failure: None,
    };
    let push = task_push::get(&view, fleet, *task_uuid, config_id)?;
    let task = task::get(&view, fleet, *task_uuid)?;
    let (Some(push), Some(task)) = (push, task) else {
        return Ok(told);
    };
    told.created_ms = push.created_ms;
    told.told = push.told;
    let updates = service.updates(&view, fleet, *task_uuid, push.told)?;
    let text = service.push_text(config_id.clone(), push)?;
    for (number, update) in updates {
        let event = protocol::update(&task, number, update)?;
        let body = serde_json::to_vec(&event);
        let body = body.map_err(|error| ServiceError::Internal(error.to_string()))?;
        let sent = send(service, &text, body).await;
        service.metrics.a2a_push(sent.is_ok());
        match sent {
            Ok(()) => told.told = number,
            Err(why) => {
                told.failure = Some(why);
                break;
            }
        }
    }
    Ok(told)
}

/// One notification. Whoever answers with success has heard it.
async fn send(service: &Service, text: &PushText, body: Vec<u8>) -> Result<(), String> {
    // Networks may have been forbidden since it was given.
    let url = service.outward.check(&text.push.url);
    let url = url.map_err(|error| error.to_string())?;
    let client = service.outward.client(&url);
    let mut request = client
        .post(url)
        .timeout(TIMEOUT)
        .header(CONTENT_TYPE, MEDIA_TYPE)
        .body(body);
    if let Some(scheme) = &text.push.scheme {
        let value = match &text.secrets.credentials {
            Some(credentials) => format!("{scheme} {}", credentials.as_str()),
            None => scheme.clone(),
        };
        request = request.header(AUTHORIZATION, value);
    }
    if let Some(token) = &text.secrets.token {
        request = request.header(TOKEN, token.as_str());
    }
    let answer = request
        .send()
        .await
        .map_err(|error| outward::because(&error))?;
    match answer.status() {
        status if status.is_success() => Ok(()),
        status => Err(format!("answered {}", status.as_u16())),
    }
}
