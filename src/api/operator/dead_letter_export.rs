//! Dead letters as JSON lines, with their messages, for keeping elsewhere.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{Uri, header};
use axum::response::{IntoResponse, Response};
use ekho_storage::tables::FleetNo;
use futures::stream;
use serde_json::json;
use utoipa_axum::routes;

use super::SignedIn;
use super::agents::fleet_id;
use super::dead_letters::{Filter, Filters, whole_view};
use super::list::ListQuery;
use crate::api::openapi::Routes;
use crate::api::query::pairs;
use crate::api::{ApiError, App};
use crate::service::ServiceError;

/// Dead letters read at once: their bodies are in memory together.
const PAGE: usize = 20;
/// Version of the export's form.
const FORM: u32 = 1;

pub fn router() -> Routes {
    Routes::default().routes(routes!(export))
}

/// What an export still has to say.
struct Rest {
    app: App,
    fleet: FleetNo,
    filter: Filter,
    descending: bool,
    from: Option<u64>,
    written: u64,
    done: bool,
}

/// Dead letters as JSON lines, with their messages.
///
/// A first line says how many there are in all, one follows for each that the filters admit, newest
/// first, a last one says how many came; where that is missing, the export was cut short.
#[utoipa::path(
    get,
    path = "/v1/operator/dead-letters/export",
    operation_id = "export_dead_letters",
    params(Filters),
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
    let query = ListQuery::read(pairs(uri.query())?)?;
    let filter = Filter::of_query(&query)?;
    let descending = query.descending(true)?;
    let fleet = operator.fleet();
    let (_, total) = app
        .service
        .dead_letters(fleet, (None, true), 1, |_| false)
        .await?;
    let fleet_id = fleet_id(&app.service.view(), fleet)?;
    let first = json!({ "ekho_dead_letters": FORM, "fleet_id": fleet_id, "total": total });
    let rest = Rest {
        app,
        fleet,
        filter,
        descending,
        from: None,
        written: 0,
        done: false,
    };
    let begin = stream::once(async move { Ok::<_, Infallible>(Bytes::from(format!("{first}\n"))) });
    let lines = futures::StreamExt::chain(begin, stream::unfold(rest, next_page));
    let headers = [
        (header::CONTENT_TYPE, "application/x-ndjson"),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"ekho-dead-letters.jsonl\"",
        ),
    ];
    Ok((headers, Body::from_stream(lines)).into_response())
}

async fn next_page(mut rest: Rest) -> Option<(Result<Bytes, Infallible>, Rest)> {
    if rest.done {
        return None;
    }
    match page(&mut rest).await {
        Ok(text) => Some((Ok(Bytes::from(text)), rest)),
        Err(error) => {
            // The last line is missing then, by which a reader knows.
            tracing::error!(%error, "an export of dead letters ended early");
            None
        }
    }
}

async fn page(rest: &mut Rest) -> Result<String, ServiceError> {
    let service = &rest.app.service;
    let admits = |shown: &_| rest.filter.admits(shown);
    let found = service.dead_letters(rest.fleet, (rest.from, rest.descending), PAGE, admits);
    let (page, _) = found.await?;
    let mut text = String::new();
    for shown in &page.rows {
        let body = service.dead_letter_body(rest.fleet, shown)?;
        let line = serde_json::to_string(&whole_view(shown, &body));
        let line = line.map_err(|error| ServiceError::Internal(error.to_string()))?;
        text.push_str(&line);
        text.push('\n');
        rest.written += 1;
    }
    match page.next {
        Some(next) => rest.from = next,
        None => {
            let last = json!({ "end": true, "dead_letters": rest.written });
            text.push_str(&format!("{last}\n"));
            rest.done = true;
        }
    }
    Ok(text)
}
