//! The audit log: its head, and its export for keeping and verifying elsewhere.

use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use ekho_storage::View;
use ekho_storage::tables::FleetNo;
use ekho_storage::tables::event::{self, Stored};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::SignedIn;
use super::export::{Pages, answer, line};
use crate::api::fields::Invalid;
use crate::api::openapi::Routes;
use crate::api::query::pairs;
use crate::api::{ApiError, App};
use crate::clock::Iso;
use crate::service::ServiceError;
use crate::service::events::{Ends, PublicEvent, public};

/// Events read at once.
const PAGE: usize = 500;
/// Version of the export's form.
const FORM: u32 = 1;

pub fn router() -> Routes {
    Routes::default()
        .routes(routes!(head))
        .routes(routes!(export))
}

/// An event of the audit log.
#[derive(Serialize, ToSchema)]
pub struct EventView {
    id: String,
    event_type: &'static str,
    /// `agent`, `operator` or `system`.
    actor_kind: &'static str,
    actor_id: Option<String>,
    resource_kind: String,
    resource_id: String,
    conversation_id: Option<String>,
    /// What there is to say about it.
    #[schema(value_type = Value)]
    payload: Value,
    /// Of the request that it came from.
    request_id: Option<String>,
    created_at: Iso,
}

/// An event as clients see it.
pub fn event_view(found: &PublicEvent) -> EventView {
    let event = &found.event;
    EventView {
        id: found.id.clone(),
        event_type: event.kind.as_str(),
        actor_kind: found.actor_kind,
        actor_id: found.actor_id.clone(),
        resource_kind: found.resource_kind.clone(),
        resource_id: found.resource_id.clone(),
        conversation_id: found.conversation_id.clone(),
        payload: serde_json::from_str(&event.payload).unwrap_or_default(),
        request_id: (!event.request_id.is_empty()).then(|| event.request_id.clone()),
        created_at: Iso(event.at_ms),
    }
}

/// Where the audit log begins and ends.
#[derive(Serialize, ToSchema)]
struct EndsView {
    fleet_id: String,
    /// Number of the oldest row that is kept.
    first_seq: u64,
    /// Number of the newest row.
    head_seq: u64,
    /// Its hash, in hex.
    head_hash: String,
}

fn ends_view(ends: &Ends) -> EndsView {
    EndsView {
        fleet_id: ends.fleet_id.clone(),
        first_seq: ends.anchor.0 + 1,
        head_seq: ends.head_seq,
        head_hash: hex(&ends.head_hash),
    }
}

/// The first line of an export.
#[derive(Serialize)]
struct FirstLine {
    ekho_audit: u32,
    #[serde(flatten)]
    ends: EndsView,
    from_seq: u64,
    previous_hash: String,
}

/// A line for an event.
#[derive(Serialize)]
struct EventLine {
    seq: u64,
    hash: String,
    record: String,
    #[serde(flatten)]
    event: EventView,
}

fn hex(bytes: &[u8]) -> String {
    hex::encode(bytes)
}

/// Where the audit log begins and ends. Kept elsewhere, it proves an export later.
#[utoipa::path(
    get,
    path = "/v1/operator/audit",
    operation_id = "get_audit_head",
    responses((status = 200, body = EndsView)),
)]
async fn head(State(app): State<App>, operator: SignedIn) -> Result<Json<EndsView>, ApiError> {
    let (_, ends) = app.service.audit_ends(operator.fleet()).await?;
    Ok(Json(ends_view(&ends)))
}

/// From where to export.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what is read")]
struct Export {
    /// The first row; by default the oldest that is kept.
    #[param(minimum = 1)]
    from: Option<u64>,
}

/// What an export still has to say.
struct Rest {
    view: View,
    fleet: FleetNo,
    next: u64,
    ends: Ends,
}

/// The audit log as JSON lines.
///
/// A first line says where it begins, one follows for each event, a last one says where it ends;
/// where that is missing, the export was cut short.
#[utoipa::path(
    get,
    path = "/v1/operator/audit/export",
    operation_id = "export_audit",
    params(Export),
    responses((
        status = 200,
        description = "One JSON object a line.",
        body = String,
        content_type = "application/x-ndjson",
    )),
)]
async fn export(
    State(app): State<App>,
    operator: SignedIn,
    uri: Uri,
) -> Result<Response, ApiError> {
    let query = pairs(uri.query())?;
    let fleet = operator.fleet();
    let (view, ends) = app.service.audit_ends(fleet).await?;
    let (oldest, newest) = (ends.anchor.0 + 1, ends.head_seq.max(1));
    let from = match query.get("from") {
        None => oldest,
        Some(text) => text
            .parse::<u64>()
            .ok()
            .filter(|from| (oldest..=newest).contains(from))
            .ok_or_else(|| {
                let text = format!("a whole number from {oldest} to {newest}, which are kept");
                Invalid::field("from", text)
            })?,
    };
    let before = if from == oldest {
        ends.anchor.1
    } else {
        let stored = event::get(&view, fleet, from - 1).map_err(ServiceError::from)?;
        stored.map_or(event::GENESIS, |stored| stored.hash)
    };
    let first = FirstLine {
        ekho_audit: FORM,
        ends: ends_view(&ends),
        from_seq: from,
        previous_hash: hex(&before),
    };
    let rest = Rest {
        view,
        fleet,
        next: from,
        ends,
    };
    Ok(answer(&first, rest)?)
}

impl Pages for Rest {
    const FILE: &'static str = "ekho-audit.jsonl";

    async fn next(&mut self) -> Result<(String, bool), ServiceError> {
        let mut text = String::new();
        for (seq, line) in page(self)? {
            self.next = seq + 1;
            text.push_str(&line);
        }
        let more = !text.is_empty() && self.next <= self.ends.head_seq;
        if !more {
            let hash = hex(&self.ends.head_hash);
            let last = json!({ "end": true, "head_seq": self.ends.head_seq, "head_hash": hash });
            text.push_str(&line(&last)?);
        }
        Ok((text, more))
    }
}

fn page(rest: &Rest) -> Result<Vec<(u64, String)>, ServiceError> {
    let found = event::list(&rest.view, rest.fleet, rest.next, PAGE)?;
    // Their time may have come while the export was on its way.
    if found.first().is_some_and(|first| first.seq != rest.next) {
        let why = format!("event {} was removed meanwhile", rest.next);
        return Err(ServiceError::Internal(why));
    }
    found
        .iter()
        .take_while(|stored| stored.seq <= rest.ends.head_seq)
        .map(|stored| Ok((stored.seq, event_line(rest, stored)?)))
        .collect()
}

fn event_line(rest: &Rest, stored: &Stored) -> Result<String, ServiceError> {
    line(&EventLine {
        seq: stored.seq,
        hash: hex(&stored.hash),
        record: hex(&stored.record),
        event: event_view(&public(&rest.view, rest.fleet, stored)?),
    })
}
