//! The audit log: its head, and its export for keeping and verifying elsewhere.

use std::convert::Infallible;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use ekho_storage::View;
use ekho_storage::tables::FleetNo;
use ekho_storage::tables::event::{self, Stored};
use futures::stream;
use serde_json::{Value, json};

use super::SignedIn;
use crate::api::fields::Invalid;
use crate::api::{ApiError, App};
use crate::clock::Iso;
use crate::service::ServiceError;
use crate::service::events::{Ends, PublicEvent, public};

/// Events read at once.
const PAGE: usize = 500;
/// Version of the export's form.
const FORM: u32 = 1;

/// An event as JSON.
pub fn event_view(found: &PublicEvent) -> Value {
    let event = &found.event;
    let payload: Value = serde_json::from_str(&event.payload).unwrap_or_default();
    json!({
        "id": found.id,
        "event_type": event.kind.as_str(),
        "actor_kind": found.actor_kind,
        "actor_id": found.actor_id,
        "resource_kind": found.resource_kind,
        "resource_id": found.resource_id,
        "conversation_id": found.conversation_id,
        "payload": payload,
        "request_id": (!event.request_id.is_empty()).then_some(&event.request_id),
        "created_at": Iso(event.at_ms),
    })
}

fn ends_view(ends: &Ends) -> Value {
    json!({
        "fleet_id": ends.fleet_id,
        "first_seq": ends.anchor.0 + 1,
        "head_seq": ends.head_seq,
        "head_hash": hex(&ends.head_hash),
    })
}

fn hex(bytes: &[u8]) -> String {
    hex::encode(bytes)
}

/// GET /v1/operator/audit: where the log ends. Kept elsewhere, it proves an export later.
pub async fn head(State(app): State<App>, operator: SignedIn) -> Result<Json<Value>, ApiError> {
    let (_, ends) = app.service.audit_ends(operator.fleet()).await?;
    Ok(Json(ends_view(&ends)))
}

#[derive(serde::Deserialize)]
pub struct Export {
    from: Option<String>,
}

/// What an export still has to say.
struct Rest {
    view: View,
    fleet: FleetNo,
    next: u64,
    ends: Ends,
    done: bool,
}

/// GET /v1/operator/audit/export: JSON lines, a first one that says where it begins, one for each
/// event, a last one that says where it ends.
pub async fn export(
    State(app): State<App>,
    operator: SignedIn,
    Query(query): Query<Export>,
) -> Result<Response, ApiError> {
    let fleet = operator.fleet();
    let (view, ends) = app.service.audit_ends(fleet).await?;
    let (oldest, newest) = (ends.anchor.0 + 1, ends.head_seq.max(1));
    let from = match &query.from {
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
    let mut first = ends_view(&ends);
    first["ekho_audit"] = FORM.into();
    first["from_seq"] = from.into();
    first["previous_hash"] = hex(&before).into();
    let rest = Rest {
        view,
        fleet,
        next: from,
        ends,
        done: false,
    };
    let begin = stream::once(async move { Ok::<_, Infallible>(Bytes::from(format!("{first}\n"))) });
    let lines = futures::StreamExt::chain(begin, stream::unfold(rest, next_page));
    let headers = [
        (header::CONTENT_TYPE, "application/x-ndjson"),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"ekho-audit.jsonl\"",
        ),
    ];
    Ok((headers, Body::from_stream(lines)).into_response())
}

async fn next_page(mut rest: Rest) -> Option<(Result<Bytes, Infallible>, Rest)> {
    if rest.done {
        return None;
    }
    let page = match page(&rest) {
        Ok(page) => page,
        Err(error) => {
            // The last line is missing then, by which a reader knows.
            tracing::error!(%error, "an audit export ended early");
            return None;
        }
    };
    let mut text = String::new();
    for (seq, line) in page {
        rest.next = seq + 1;
        text.push_str(&line);
        text.push('\n');
    }
    if text.is_empty() || rest.next > rest.ends.head_seq {
        let last = json!({ "end": true, "head_seq": rest.ends.head_seq, "head_hash": hex(&rest.ends.head_hash) });
        text.push_str(&format!("{last}\n"));
        rest.done = true;
    }
    Some((Ok(Bytes::from(text)), rest))
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
        .map(|stored| Ok((stored.seq, line(rest, stored)?)))
        .collect()
}

fn line(rest: &Rest, stored: &Stored) -> Result<String, ServiceError> {
    let mut line = event_view(&public(&rest.view, rest.fleet, stored)?);
    line["seq"] = stored.seq.into();
    line["hash"] = hex(&stored.hash).into();
    line["record"] = hex(&stored.record).into();
    Ok(line.to_string())
}
