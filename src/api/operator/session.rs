//! Sign-in, sign-out, enrolment tokens.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::SignedIn;
use crate::api::fields::Fields;
use crate::api::signed::read_body;
use crate::api::{ApiError, App};
use crate::clock::Iso;
use crate::ingress::password::{MAX_BYTES, MIN_CHARS};
use crate::machine::outcome::Refusal;
use crate::service::ServiceError;

/// POST /v1/operator/login
pub async fn login(
    State(app): State<App>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, ApiError> {
    let body = read_body(&headers, body, app.body_limit_bytes).await?;
    let mut fields = Fields::parse(&body)?;
    let fleet_name = fields.text("fleet_name", 255);
    let email = fields.text("email", 255);
    let password = Zeroizing::new(fields.text("password", MAX_BYTES));
    if !password.is_empty() && password.chars().count() < MIN_CHARS {
        fields.wrong("password", format!("at least {MIN_CHARS} characters"));
    }
    fields.finish()?;
    match app.service.sign_in(&fleet_name, &email, password).await {
        Ok(signed_in) => Ok(Json(json!({
            "token": signed_in.token.as_str(),
            "fleet_id": signed_in.fleet_id,
            "expires_at": Iso(signed_in.expires_ms),
        }))),
        Err(ServiceError::Refused(Refusal::InvalidCredentials)) => Err(ApiError::new(
            StatusCode::UNAUTHORIZED,
            "invalid_credentials",
            "invalid credentials",
        )),
        Err(error) => Err(error.into()),
    }
}

/// POST /v1/operator/logout
pub async fn logout(State(app): State<App>, operator: SignedIn) -> Result<Json<Value>, ApiError> {
    app.service.sign_out(&operator.token).await?;
    Ok(Json(json!({ "ok": true })))
}

/// POST /v1/operator/enrollment-tokens
pub async fn create_enrollment_token(
    State(app): State<App>,
    operator: SignedIn,
) -> Result<Json<Value>, ApiError> {
    let token = app
        .service
        .create_enrollment_token(&operator.session)
        .await?;
    let seconds = app.service.settings()?.enrollment_token_ms / 1000;
    Ok(Json(
        json!({ "token": token.as_str(), "expires_in_seconds": seconds }),
    ))
}
