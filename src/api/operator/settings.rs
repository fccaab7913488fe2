//! Replicated settings: the limits and schedules that decide outcomes.

use axum::Json;
use axum::extract::State;
use ekho_storage::tables::settings::Settings;
use serde_json::{Map, Value};

use super::{Given, SignedIn};
use crate::api::fields::Invalid;
use crate::api::{ApiError, App};
use crate::machine::command::OperatorRequest;
use crate::machine::outcome::Refusal;
use crate::service::ServiceError;

/// GET /v1/operator/settings
pub async fn show(State(app): State<App>, _operator: SignedIn) -> Result<Json<Settings>, ApiError> {
    app.service.operator_view().await?;
    Ok(Json(app.service.settings()?))
}

/// PUT /v1/operator/settings: the fields given change, the others stay.
pub async fn change(
    State(app): State<App>,
    operator: SignedIn,
    given: Given,
) -> Result<Json<Settings>, ApiError> {
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
            Ok(_) => return Ok(Json(after)),
            Err(ServiceError::Refused(Refusal::Conflict(_))) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Refusal::Conflict("the settings are being changed by others; try again".into()).into())
}

/// The settings with the given fields in place of theirs, checked.
fn merge(before: &Settings, given: &Map<String, Value>) -> Result<Settings, ApiError> {
    let internal = |error: serde_json::Error| ServiceError::Internal(error.to_string());
    let Value::Object(mut merged) = serde_json::to_value(before).map_err(internal)? else {
        return Err(ServiceError::Internal("settings are an object".into()).into());
    };
    for (name, value) in given {
        if !merged.contains_key(name) {
            return Err(Invalid::field(name, "no such setting").into());
        }
        merged.insert(name.clone(), value.clone());
    }
    let after: Settings = serde_json::from_value(Value::Object(merged))
        .map_err(|error| Invalid::form(format!("settings: {error}")))?;
    after
        .check()
        .map_err(|(name, text)| Invalid::field(name, text))?;
    Ok(after)
}
