//! Dead letters as JSON lines, with their messages, for keeping elsewhere.

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use ekho_storage::tables::FleetNo;
use serde_json::json;
use utoipa_axum::routes;

use super::SignedIn;
use super::agents::fleet_id;
use super::dead_letters::{Filter, Filters, whole_view};
use super::export::{Pages, answer, line};
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
    };
    Ok(answer(&first, rest)?)
}

impl Pages for Rest {
    const FILE: &'static str = "ekho-dead-letters.jsonl";

    async fn next(&mut self) -> Result<(String, bool), ServiceError> {
        let service = &self.app.service;
        let admits = |shown: &_| self.filter.admits(shown);
        let from = (self.from, self.descending);
        let (page, _) = service.dead_letters(self.fleet, from, PAGE, admits).await?;
        let mut text = String::new();
        for shown in &page.rows {
            let body = service.dead_letter_body(self.fleet, shown)?;
            text.push_str(&line(&whole_view(shown, &body))?);
        }
        self.written += page.rows.len() as u64;
        let more = page.next.is_some();
        match page.next {
            Some(next) => self.from = next,
            None => {
                let last = json!({ "end": true, "dead_letters": self.written });
                text.push_str(&line(&last)?);
            }
        }
        Ok((text, more))
    }
}
