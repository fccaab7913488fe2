//! POST /v1/operator/import: rows of another relay, each with its own outcome. `ekho import` reads
//! them out of the other relay's database.

mod read;
mod shapes;
mod task;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::Object;
use utoipa_axum::routes;

use self::shapes::Rows;
use super::{Given, SignedIn};
use crate::api::code::Code;
use crate::api::openapi::Routes;
use crate::api::{ApiError, App, words};
use crate::machine::outcome::RowOutcome;

/// Rows of one request; `shapes.rs` says so too.
pub const ROWS_MAX: usize = 100;

pub fn router() -> Routes {
    Routes::default().routes(routes!(import))
}

/// What came of each row, in the order given.
#[derive(Serialize, ToSchema)]
struct ImportedRows {
    results: Vec<RowResult>,
}

fn outcome() -> Object {
    words::one_of(["imported", "exists", "refused"])
}

/// What came of a row.
#[derive(Serialize, ToSchema)]
struct RowResult {
    #[schema(schema_with = outcome)]
    outcome: &'static str,
    /// With `refused`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<String>,
}

impl From<RowOutcome> for RowResult {
    fn from(outcome: RowOutcome) -> Self {
        let (outcome, reason) = match outcome {
            RowOutcome::Imported => ("imported", None),
            RowOutcome::Exists => ("exists", None),
            RowOutcome::Refused(reason) => ("refused", Some(reason)),
        };
        RowResult { outcome, reason }
    }
}

/// Takes over what another relay held, under the ids that it had there. Rows that are here already
/// stay as they are, so a request can be repeated.
///
/// Messages are asked of no policy and counted against no rate: the other relay accepted them.
#[utoipa::path(
    post,
    path = "/v1/operator/import",
    operation_id = "import_rows",
    request_body = Rows,
    responses((status = 200, body = ImportedRows)),
    extensions(("x-codes" = json!([Code::SecretChanged]))),
)]
async fn import(
    State(app): State<App>,
    operator: SignedIn,
    given: Given,
) -> Result<Json<ImportedRows>, ApiError> {
    let mut fields = given.fields()?;
    let source = fields.optional_text("source", 255).unwrap_or_default();
    let dry_run = fields.boolean("dry_run", false);
    let rows = fields.list("rows", ROWS_MAX, |row, _| read::row(row));
    fields.finish()?;
    let rows = rows.into_iter().flatten().collect();
    let service = &app.service;
    let decided = service.import(&operator.caller, source, rows, dry_run);
    let results = decided.await?.into_iter().map(RowResult::from).collect();
    Ok(Json(ImportedRows { results }))
}
