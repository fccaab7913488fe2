//! Replicated settings: the limits and schedules that decide outcomes.

use std::borrow::Cow;

use axum::Json;
use axum::extract::State;
use ekho_storage::tables::edge::FleetSettings;
use ekho_storage::tables::settings::Settings;
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa::openapi::schema::{AdditionalProperties, ArrayBuilder, ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa_axum::routes;

use super::{Given, SignedIn};
use crate::api::code::Code;
use crate::api::fields::Invalid;
use crate::api::openapi::Routes;
use crate::api::words::RISKS;
use crate::api::{ApiError, App};
use crate::machine::command::OperatorRequest;
use crate::machine::outcome::Refusal;
use crate::service::ServiceError;

pub fn router() -> Routes {
    Routes::default()
        .routes(routes!(show, change))
        .routes(routes!(show_fleet, change_fleet))
}

/// All settings.
#[derive(Serialize)]
#[serde(transparent)]
struct Shown(Settings);

/// The settings that are to change.
struct Change;

/// What the settings are is said once, where they are stored; the description follows it.
fn shape() -> ObjectBuilder {
    let defaults = Settings::default();
    let mut shape = ObjectBuilder::new();
    for (name, value, low, high) in defaults.ranges() {
        let number = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(low))
            .maximum(Some(high))
            .default(Some(value.into()));
        shape = shape.property(name, number);
    }
    let rest = serde_json::to_value(&defaults).unwrap_or_default();
    for (name, value) in rest.as_object().into_iter().flatten() {
        let Some(list) = value.as_array() else {
            continue;
        };
        let risks = name.ends_with("_risks");
        let item = match risks {
            true => ObjectBuilder::new()
                .schema_type(Type::String)
                .enum_values(Some(RISKS.map(|(word, _)| word))),
            false => ObjectBuilder::new()
                .schema_type(Type::Integer)
                .minimum(Some(0)),
        };
        let list = ArrayBuilder::new()
            .items(item)
            .unique_items(risks)
            .max_items(Some(if risks { RISKS.len() } else { 100 }))
            .default(Some(json!(list)));
        shape = shape.property(name, list);
    }
    shape.additional_properties(Some(AdditionalProperties::FreeForm(false)))
}

impl utoipa::PartialSchema for Shown {
    fn schema() -> RefOr<Schema> {
        let names: Vec<&str> = Settings::default()
            .ranges()
            .map(|(name, ..)| name)
            .collect();
        let shape = shape().description(Some("All settings."));
        names
            .into_iter()
            .fold(shape, ObjectBuilder::required)
            .into()
    }
}

impl ToSchema for Shown {
    fn name() -> Cow<'static, str> {
        "Settings".into()
    }
}

impl utoipa::PartialSchema for Change {
    fn schema() -> RefOr<Schema> {
        shape()
            .description(Some("The settings that are to change."))
            .into()
    }
}

impl ToSchema for Change {
    fn name() -> Cow<'static, str> {
        "SettingsChange".into()
    }
}

/// All settings as they are.
#[utoipa::path(
    get,
    path = "/v1/operator/settings",
    operation_id = "get_settings",
    responses((status = 200, body = Shown)),
)]
async fn show(State(app): State<App>, _operator: SignedIn) -> Result<Json<Shown>, ApiError> {
    app.service.operator_view().await?;
    Ok(Json(Shown(app.service.settings()?)))
}

/// Changes settings.
///
/// The fields given change, the others stay. Where one is wrong, nothing changes.
#[utoipa::path(
    put,
    path = "/v1/operator/settings",
    operation_id = "change_settings",
    request_body = Change,
    responses((status = 200, description = "All settings as they are now.", body = Shown)),
    extensions(("x-codes" = json!([Code::Conflict]))),
)]
async fn change(
    State(app): State<App>,
    operator: SignedIn,
    given: Given,
) -> Result<Json<Shown>, ApiError> {
    let given: Map<String, Value> = serde_json::from_slice(given.bytes())
        .map_err(|error| Invalid::form(format!("expected a JSON object: {error}")))?;
    // Someone else may change other settings at the same moment: begin again from theirs.
    const TRIES: usize = 10;
    for _ in 0..TRIES {
        app.service.operator_view().await?;
        let before = app.service.settings()?;
        let after = merge(&before, &given)?;
        let request = OperatorRequest::ChangeSettings {
            before: Box::new(before),
            after: Box::new(after.clone()),
        };
        match app.service.order(&operator.caller, request).await {
            Ok(_) => return Ok(Json(Shown(after))),
            Err(ServiceError::Refused(Refusal::Conflict(_))) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Refusal::Conflict("the settings are being changed by others; try again".into()).into())
}

/// The settings with the given fields in place of theirs, checked.
fn merge(before: &Settings, given: &Map<String, Value>) -> Result<Settings, ApiError> {
    let internal = |error: serde_json::Error| ServiceError::Internal(error.to_string());
    let mut after = before.clone();
    for (name, value) in given {
        let Value::Object(mut merged) = serde_json::to_value(&after).map_err(internal)? else {
            return Err(ServiceError::Internal("settings are an object".into()).into());
        };
        if !merged.contains_key(name) {
            return Err(Invalid::field(name, "no such setting").into());
        }
        merged.insert(name.clone(), value.clone());
        if value.is_null() {
            continue;
        }
        // One at a time, so that the error has the name of the field.
        after = serde_json::from_value(Value::Object(merged))
            .map_err(|error| Invalid::field(name, error.to_string()))?;
    }
    after
        .check()
        .map_err(|(name, text)| Invalid::field(name, text))?;
    Ok(after)
}

/// The settings that a fleet has of its own.
#[derive(Serialize, ToSchema)]
struct FleetSettingsView {
    /// Whether an edge node that is cut off may store sends (202 `stored_at_edge`), and show
    /// inboxes as it knows them. By default it may not.
    edge_outbox: bool,
}

/// The settings of the fleet that are to change.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct FleetSettingsChange {
    edge_outbox: Option<bool>,
}

/// The settings that the fleet has of its own.
#[utoipa::path(
    get,
    path = "/v1/operator/settings/fleet",
    operation_id = "get_fleet_settings",
    responses((status = 200, body = FleetSettingsView)),
)]
async fn show_fleet(
    State(app): State<App>,
    operator: SignedIn,
) -> Result<Json<FleetSettingsView>, ApiError> {
    let settings = app.service.fleet_settings(operator.fleet()).await?;
    Ok(Json(FleetSettingsView {
        edge_outbox: settings.edge_outbox,
    }))
}

/// Changes the settings that the fleet has of its own.
///
/// The fields given change, the others stay. Needs feature level 2.
#[utoipa::path(
    put,
    path = "/v1/operator/settings/fleet",
    operation_id = "change_fleet_settings",
    request_body = FleetSettingsChange,
    responses((status = 200, body = FleetSettingsView)),
    extensions(("x-codes" = json!([Code::Conflict]))),
)]
async fn change_fleet(
    State(app): State<App>,
    operator: SignedIn,
    given: Given,
) -> Result<Json<FleetSettingsView>, ApiError> {
    let before = app.service.fleet_settings(operator.fleet()).await?;
    let mut fields = given.fields()?;
    let edge_outbox = fields.boolean("edge_outbox", before.edge_outbox);
    fields.finish()?;
    let after = FleetSettings { edge_outbox };
    let changed = app.service.change_fleet_settings(&operator.caller, after);
    changed.await?;
    Ok(Json(FleetSettingsView { edge_outbox }))
}
