//! Rooms as operators see them.

use axum::Json;
use axum::extract::State;
use ekho_storage::tables::room::Room;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::SignedIn;
use super::list::{ListParams, ListQuery, Paging};
use crate::api::agent::ID_MAX_BYTES;
use crate::api::fields::Invalid;
use crate::api::openapi::Routes;
use crate::api::{ApiError, App};
use crate::clock::Iso;

/// Rooms asked for by their ids.
const IDS_MAX: usize = 100;

pub fn router() -> Routes {
    Routes::default().routes(routes!(list))
}

/// A room.
#[derive(Serialize, ToSchema)]
struct RoomView {
    id: String,
    name: String,
    /// Ids of agents.
    members: Vec<String>,
    created_at: Iso,
}

/// Which rooms.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what is read")]
struct Filters {
    /// Up to 100 ids, with commas between them: these rooms, in this order. One that is not known
    /// is left out.
    ids: Option<String>,
}

/// Rooms.
#[derive(Serialize, ToSchema)]
struct RoomList {
    rooms: Vec<RoomView>,
    #[serde(flatten)]
    paging: Paging,
}

fn room_view((room, members): &(Room, Vec<String>)) -> RoomView {
    RoomView {
        id: room.id.clone(),
        name: room.name.clone(),
        members: members.clone(),
        created_at: Iso(room.created_ms),
    }
}

/// Rooms, in the order in which they were made.
#[utoipa::path(
    get,
    path = "/v1/operator/rooms",
    operation_id = "list_rooms",
    params(ListParams, Filters),
    responses((status = 200, body = RoomList)),
)]
async fn list(
    State(app): State<App>,
    operator: SignedIn,
    query: ListQuery,
) -> Result<Json<RoomList>, ApiError> {
    let fleet = operator.fleet();
    if let Some(ids) = query.text("ids") {
        let ids: Vec<&str> = ids.split(',').collect();
        if ids.len() > IDS_MAX {
            return Err(Invalid::field("ids", format!("at most {IDS_MAX}")).into());
        }
        let found = app.service.rooms_by_id(fleet, &ids).await?;
        return Ok(Json(RoomList {
            rooms: found.iter().map(room_view).collect(),
            paging: query.paging(None),
        }));
    }
    let after = query.cursor(|text| (text.len() <= ID_MAX_BYTES).then(|| text.to_string()))?;
    let wants = query.up_to();
    let found = app.service.rooms(fleet, after.as_deref(), wants).await?;
    let full = found.len() == wants;
    let next_cursor = found
        .last()
        .filter(|_| full)
        .map(|(room, _)| room.id.clone());
    Ok(Json(RoomList {
        rooms: found.iter().skip(query.skip()).map(room_view).collect(),
        paging: query.paging(next_cursor),
    }))
}
