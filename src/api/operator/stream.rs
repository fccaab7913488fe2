//! What happens, as it happens: server-sent events for live views.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use ekho_storage::tables::event;
use ekho_storage::tables::sequence::{self, Sequence};
use futures::Stream;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, timeout_at};
use utoipa_axum::routes;

use super::SignedIn;
use super::audit::event_view;
use super::list::number_of;
use crate::api::fields::Invalid;
use crate::api::openapi::Routes;
use crate::api::openapi::shapes::StreamEvent;
use crate::api::query::pairs;
use crate::api::{ApiError, App};
use crate::service::ServiceError;
use crate::service::events::public;

/// Events sent at once.
const STEP: usize = 100;
/// Whoever is further behind begins anew where the log ends, and is told so.
const BEHIND_MAX: u64 = 10_000;
/// How often counts are looked at.
const COUNTS_EVERY: Duration = Duration::from_secs(1);
/// Types that a stream may name.
const TYPES_MAX: usize = 50;

pub fn router() -> Routes {
    Routes::default().routes(routes!(stream))
}

/// What to send.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what is read")]
struct Wanted {
    /// Types of events, or the parts of types before the dot, at most 50, separated by commas.
    types: Option<String>,
}

/// What happens, as it happens, as server-sent events.
///
/// `event: event` with an event of the audit log as in its list, and its id; `event: counts` when
/// one changed, at most every second; `event: reset` when the stream left events out because its
/// reader is too slow, or asked for ones that are gone: what it shows has to be read again.
#[utoipa::path(
    get,
    path = "/v1/operator/stream",
    operation_id = "stream_events",
    params(
        Wanted,
        ("Last-Event-ID" = Option<String>, Header, description = "The id of an event: the stream goes on behind it."),
    ),
    responses((status = 200, description = "The stream, event by event.", body = StreamEvent, content_type = "text/event-stream")),
)]
async fn stream(
    State(app): State<App>,
    operator: SignedIn,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let query = pairs(uri.query())?;
    let types: Vec<String> = match query.get("types").filter(|text| !text.is_empty()) {
        Some(text) => text.split(',').map(str::to_string).collect(),
        None => Vec::new(),
    };
    if types.len() > TYPES_MAX {
        return Err(Invalid::field("types", format!("at most {TYPES_MAX}")).into());
    }
    let given = headers.get("last-event-id").map(|value| value.to_str());
    let after = match given {
        None => None,
        Some(text) => {
            let seq = text.ok().and_then(|text| number_of("evt_", text));
            Some(seq.ok_or_else(|| Invalid::field("Last-Event-ID", "the id of an event"))?)
        }
    };
    let permit = std::sync::Arc::clone(&app.service.live_streams)
        .try_acquire_owned()
        .map_err(|_| ServiceError::Overloaded)?;
    let view = app.service.operator_view().await?;
    let fleet = operator.fleet();
    let head = sequence::last(&view, fleet, Sequence::Event).map_err(ServiceError::from)?;
    let events = async_stream::stream! {
        let _permit = permit;
        let mut at = after.unwrap_or(head).min(head);
        let mut counts = Value::Null;
        let mut counts_due = Instant::now();
        loop {
            let service = &app.service;
            let recorded = service.waiters.recorded_next();
            tokio::pin!(recorded);
            recorded.as_mut().enable();
            // Who signed in may have been signed out meanwhile.
            let still = service.is_signed_in(&operator.caller);
            let (true, Ok((next, more, found))) = (still, step(&app, fleet, at, &types)) else {
                return;
            };
            at = next;
            for event in found {
                yield Ok(event);
            }
            if counts_due <= Instant::now() {
                counts_due = Instant::now() + COUNTS_EVERY;
                let Ok(now) = service.fleet_counts(fleet).await else { return };
                let now = now.into_iter().map(|(name, count)| (name.into(), count.into()));
                let now = Value::Object(now.collect::<Map<String, Value>>());
                if now != counts {
                    counts = now;
                    yield Ok(Event::default().event("counts").data(counts.to_string()));
                }
            }
            if more {
                continue;
            }
            tokio::select! {
                _ = timeout_at(counts_due, recorded) => {}
                () = service.draining.cancelled() => return,
            }
        }
    };
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))))
}

/// The next events: where the stream is then, whether there are more, and what to send.
fn step(
    app: &App,
    fleet: u32,
    at: u64,
    types: &[String],
) -> Result<(u64, bool, Vec<Event>), ServiceError> {
    let view = app.service.view();
    let head = sequence::last(&view, fleet, Sequence::Event)?;
    let (floor, _) = event::anchor(&view, fleet)?;
    if at < floor || head.saturating_sub(at) > BEHIND_MAX {
        let reset = json!({ "behind": head.saturating_sub(at) });
        let event = Event::default().event("reset").data(reset.to_string());
        return Ok((head, false, vec![event]));
    }
    let stored = event::list(&view, fleet, at + 1, STEP)?;
    let next = stored.last().map_or(at, |stored| stored.seq);
    let mut events = Vec::new();
    for one in &stored {
        let found = public(&view, fleet, one)?;
        let kind = found.event.kind;
        let wanted = types.is_empty()
            || types
                .iter()
                .any(|name| name == kind.as_str() || name == kind.family());
        if wanted {
            let event = Event::default().event("event").id(&found.id);
            let event = event.json_data(event_view(&found));
            events.push(event.map_err(|error| ServiceError::Internal(error.to_string()))?);
        }
    }
    Ok((next, stored.len() == STEP, events))
}
