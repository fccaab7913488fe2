//! Fleets: the tenants of the relay. Only owners of the first fleet have the scope for them, so
//! that everybody else is refused before it is known whether an id names anything.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::list::{ListParams, ListQuery, Paging, number_of};
use super::session::read_password;
use super::{Given, SignedIn};
use crate::api::code::Code;
use crate::api::fields::Fields;
use crate::api::openapi::Routes;
use crate::api::path::PathId;
use crate::api::{ApiError, App};
use crate::clock::Iso;
use crate::machine::command::OperatorRequest;
use crate::service::fleets::{FleetDraft, FleetSummary};

/// Longest name, in characters.
const NAME_CHARS: usize = 120;

/// Routes of fleets.
pub fn router() -> Routes {
    Routes::default()
        .routes(routes!(list, create))
        .routes(routes!(detail, rename))
        .routes(routes!(archive))
        .routes(routes!(restore))
}

/// A fleet.
#[derive(Serialize, ToSchema)]
struct FleetView {
    /// Public id.
    id: String,
    /// Operators sign in with it.
    name: String,
    /// When it was made.
    created_at: Iso,
    /// Since when nobody gets in; null while it is in use.
    archived_at: Option<Iso>,
    /// Agents that are not revoked.
    agents: u64,
    /// Deliveries that wait to be handed out.
    queued: u64,
    /// Messages accepted, ever.
    messages_accepted: u64,
}

/// A page of fleets, the oldest first.
#[derive(Serialize, ToSchema)]
struct FleetList {
    fleets: Vec<FleetView>,
    #[serde(flatten)]
    paging: Paging,
}

/// One fleet.
#[derive(Serialize, ToSchema)]
struct FleetAnswer {
    /// The fleet.
    fleet: FleetView,
}

/// A fleet that was made.
#[derive(Serialize, ToSchema)]
struct FleetMade {
    /// The fleet.
    fleet_id: String,
    /// Its owner.
    operator_id: String,
}

impl From<FleetSummary> for FleetView {
    fn from(summary: FleetSummary) -> Self {
        FleetView {
            id: summary.fleet.id,
            name: summary.fleet.name,
            created_at: Iso(summary.fleet.created_ms),
            archived_at: summary.fleet.archived_ms.map(Iso),
            agents: summary.agents,
            queued: summary.queued,
            messages_accepted: summary.messages_accepted,
        }
    }
}

/// A name that people can read and type.
fn read_name(fields: &mut Fields<'_>, name: &str) -> String {
    let text = fields.text(name, 4 * NAME_CHARS);
    let is_good = text.trim() == text
        && text.chars().count() <= NAME_CHARS
        && text.len() <= 255
        && !text.chars().any(char::is_control);
    if !is_good {
        fields.wrong(
            name,
            format!("at most {NAME_CHARS} characters and 255 bytes, no blanks around it"),
        );
    }
    text
}

/// All fleets of the relay, the oldest first.
#[utoipa::path(
    get,
    path = "/v1/operator/fleets",
    operation_id = "list_fleets",
    params(ListParams),
    responses((status = 200, body = FleetList)),
)]
async fn list(
    State(app): State<App>,
    operator: SignedIn,
    query: ListQuery,
) -> Result<Json<FleetList>, ApiError> {
    let place = |text: &str| u32::try_from(number_of("", text)?).ok();
    let after = query.cursor(place)?;
    let skip = if after.is_none() { query.skip() } else { 0 };
    let wants = skip + query.limit;
    let found = app
        .service
        .fleets(&operator.caller, after.unwrap_or(0), wants);
    let (fleets, more) = found.await?;
    let last = fleets.last().map(|summary| u64::from(summary.fleet.no));
    let next_cursor = last
        .filter(|_| more)
        .map(|no| crate::id::from_number("", no));
    let fleets = fleets.into_iter().skip(skip);
    Ok(Json(FleetList {
        fleets: fleets.map(FleetView::from).collect(),
        paging: query.paging(next_cursor),
    }))
}

/// A fleet to be, and its owner.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct NewFleet {
    /// Its operators sign in with it. At most 120 characters, no blanks around it.
    #[schema(min_length = 1, max_length = 120)]
    name: String,
    /// The case of letters does not count.
    #[schema(min_length = 1, max_length = 255)]
    owner_email: String,
    #[schema(min_length = 8, max_length = 1024)]
    owner_password: String,
}

/// Makes a fleet with its owner.
#[utoipa::path(
    post,
    path = "/v1/operator/fleets",
    operation_id = "create_fleet",
    request_body = NewFleet,
    responses((status = 201, body = FleetMade)),
    extensions(("x-codes" = json!([Code::Conflict, Code::LimitReached, Code::LicenseRequired]))),
)]
async fn create(
    State(app): State<App>,
    operator: SignedIn,
    given: Given,
) -> Result<(StatusCode, Json<FleetMade>), ApiError> {
    let mut fields = given.fields()?;
    let draft = FleetDraft {
        name: read_name(&mut fields, "name"),
        owner_email: fields.text("owner_email", 255),
        owner_password: read_password(&mut fields, "owner_password"),
    };
    fields.finish()?;
    let made = app.service.create_fleet(&operator.caller, draft).await?;
    let (fleet_id, operator_id) = made;
    let made = FleetMade {
        fleet_id,
        operator_id,
    };
    Ok((StatusCode::CREATED, Json(made)))
}

/// One fleet.
#[utoipa::path(
    get,
    path = "/v1/operator/fleets/{id}",
    operation_id = "get_fleet",
    responses((status = 200, body = FleetAnswer)),
)]
async fn detail(
    State(app): State<App>,
    operator: SignedIn,
    fleet_id: PathId,
) -> Result<Json<FleetAnswer>, ApiError> {
    let fleet_id = fleet_id.get()?;
    shown(&app, &operator, &fleet_id).await
}

async fn shown(
    app: &App,
    operator: &SignedIn,
    fleet_id: &str,
) -> Result<Json<FleetAnswer>, ApiError> {
    let summary = app.service.fleet(&operator.caller, fleet_id).await?;
    let fleet = summary.into();
    Ok(Json(FleetAnswer { fleet }))
}

/// Another name.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct FleetName {
    #[schema(min_length = 1, max_length = 120)]
    name: String,
}

/// Gives a fleet another name.
///
/// Its operators sign in with the new one from then on.
#[utoipa::path(
    put,
    path = "/v1/operator/fleets/{id}",
    operation_id = "rename_fleet",
    request_body = FleetName,
    responses((status = 200, body = FleetAnswer)),
    extensions(("x-codes" = json!([Code::Conflict]))),
)]
async fn rename(
    State(app): State<App>,
    operator: SignedIn,
    fleet_id: PathId,
    given: Given,
) -> Result<Json<FleetAnswer>, ApiError> {
    let fleet_id = fleet_id.get()?;
    let mut fields = given.fields()?;
    let name = read_name(&mut fields, "name");
    fields.finish()?;
    let request = OperatorRequest::RenameFleet {
        fleet_id: fleet_id.clone(),
        name,
    };
    app.service.order(&operator.caller, request).await?;
    shown(&app, &operator, &fleet_id).await
}

/// The name of the fleet that is to be shut, to be sure.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct FleetArchive {
    #[schema(min_length = 1, max_length = 480)]
    name: String,
}

/// Shuts a fleet.
///
/// From then on nobody of it gets in; its data stays.
#[utoipa::path(
    post,
    path = "/v1/operator/fleets/{id}/archive",
    operation_id = "archive_fleet",
    request_body = FleetArchive,
    responses((status = 200, body = FleetAnswer)),
    extensions(("x-codes" = json!([Code::Conflict]))),
)]
async fn archive(
    State(app): State<App>,
    operator: SignedIn,
    fleet_id: PathId,
    given: Given,
) -> Result<Json<FleetAnswer>, ApiError> {
    let fleet_id = fleet_id.get()?;
    let mut fields = given.fields()?;
    let name = fields.text("name", 4 * NAME_CHARS);
    fields.finish()?;
    let request = OperatorRequest::ArchiveFleet {
        fleet_id: fleet_id.clone(),
        name,
    };
    app.service.order(&operator.caller, request).await?;
    shown(&app, &operator, &fleet_id).await
}

/// Takes an archived fleet back into use.
#[utoipa::path(
    post,
    path = "/v1/operator/fleets/{id}/restore",
    operation_id = "restore_fleet",
    responses((status = 200, body = FleetAnswer)),
    extensions(("x-codes" = json!([Code::Conflict, Code::LimitReached, Code::LicenseRequired]))),
)]
async fn restore(
    State(app): State<App>,
    operator: SignedIn,
    fleet_id: PathId,
) -> Result<Json<FleetAnswer>, ApiError> {
    let fleet_id = fleet_id.get()?;
    let request = OperatorRequest::RestoreFleet {
        fleet_id: fleet_id.clone(),
    };
    app.service.order(&operator.caller, request).await?;
    shown(&app, &operator, &fleet_id).await
}
