//! The second factor of an operator: set up, confirmed, taken away.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;
use zeroize::Zeroizing;

use super::session::{read_password, wrong_password};
use super::{Done, Given, SignedIn, done};
use crate::api::code::Code;
use crate::api::fields::{Fields, Invalid};
use crate::api::openapi::Routes;
use crate::api::path::PathId;
use crate::api::{ApiError, App};
use crate::clock::Iso;
use crate::ingress::totp::{CODE_BYTES, RECOVERY_BYTES_MAX};
use crate::machine::command::OperatorRequest;
use crate::service::totp::Shown;

pub fn router() -> Routes {
    Routes::default()
        .routes(routes!(show, begin))
        .routes(routes!(confirm))
        .routes(routes!(disable))
        .routes(routes!(reset))
}

/// An operator's second factor as it stands.
#[derive(Serialize, ToSchema)]
struct SecondFactorView {
    /// Whether a code is asked for at sign-in.
    enabled: bool,
    /// Since when.
    enabled_at: Option<Iso>,
    /// Recovery codes that were not used yet.
    recovery_codes_left: usize,
}

/// What the authenticator is given. Shown this once.
#[derive(Serialize, ToSchema)]
struct TotpBegun {
    /// The secret in base 32, to type.
    secret: String,
    /// The same, to show as a QR code.
    otpauth_url: String,
}

/// Codes that stand in for the authenticator, once each. Shown this once.
#[derive(Serialize, ToSchema)]
struct TotpConfirmed {
    /// Always true.
    ok: bool,
    recovery_codes: Vec<String>,
}

/// The caller's second factor as it stands.
#[utoipa::path(
    get,
    path = "/v1/operator/totp",
    operation_id = "totp",
    responses((status = 200, body = SecondFactorView)),
)]
async fn show(
    State(app): State<App>,
    operator: SignedIn,
) -> Result<Json<SecondFactorView>, ApiError> {
    let found = app.service.totp(&operator.caller).await?;
    let enabled = found.filter(|totp| totp.confirmed_ms.is_some());
    Ok(Json(SecondFactorView {
        enabled: enabled.is_some(),
        enabled_at: enabled.as_ref().and_then(|totp| totp.confirmed_ms).map(Iso),
        recovery_codes_left: enabled.map_or(0, |totp| totp.recovery_hashes.len()),
    }))
}

/// The caller's password, once more.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct PasswordAgain {
    #[schema(min_length = 8, max_length = 1024)]
    password: String,
}

/// Makes a secret for the caller's authenticator. It is not asked for before a code confirmed it.
#[utoipa::path(
    post,
    path = "/v1/operator/totp",
    operation_id = "begin_totp",
    request_body = PasswordAgain,
    responses((status = 201, body = TotpBegun)),
    extensions(("x-codes" = json!([
        Code::InvalidCredentials, Code::LockedOut, Code::LoginOnly, Code::Conflict,
        Code::SecretChanged
    ]))),
)]
async fn begin(
    State(app): State<App>,
    operator: SignedIn,
    given: Given,
) -> Result<(StatusCode, Json<TotpBegun>), ApiError> {
    let mut fields = given.fields()?;
    let password = read_password(&mut fields, "password");
    fields.finish()?;
    let enrolment = app
        .service
        .begin_totp(&operator.caller, password)
        .await
        .map_err(wrong_password)?;
    let begun = TotpBegun {
        secret: enrolment.secret.to_string(),
        otpauth_url: enrolment.url.to_string(),
    };
    Ok((StatusCode::CREATED, Json(begun)))
}

/// A code of the authenticator.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct TotpCode {
    #[schema(min_length = 1, max_length = 6)]
    totp_code: String,
}

/// Has the second factor asked for from now on, provided the code is the secret's.
#[utoipa::path(
    post,
    path = "/v1/operator/totp/confirm",
    operation_id = "confirm_totp",
    request_body = TotpCode,
    responses((status = 200, body = TotpConfirmed)),
    extensions(("x-codes" = json!([Code::LoginOnly, Code::NotFound, Code::Conflict]))),
)]
async fn confirm(
    State(app): State<App>,
    operator: SignedIn,
    given: Given,
) -> Result<Json<TotpConfirmed>, ApiError> {
    let mut fields = given.fields()?;
    let code = Zeroizing::new(fields.text("totp_code", CODE_BYTES));
    fields.finish()?;
    let codes = app.service.confirm_totp(&operator.caller, code).await?;
    let codes = codes.ok_or_else(|| Invalid::field("totp_code", "not the code of this moment"))?;
    Ok(Json(TotpConfirmed {
        ok: true,
        recovery_codes: codes.iter().map(|code| code.to_string()).collect(),
    }))
}

/// The caller's password and, where the second factor is asked for, a code of it.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct PasswordAndCode {
    #[schema(min_length = 8, max_length = 1024)]
    password: String,
    #[schema(min_length = 1, max_length = 6)]
    totp_code: Option<String>,
    /// In place of `totp_code`.
    #[schema(min_length = 1, max_length = 64)]
    recovery_code: Option<String>,
}

/// Takes the caller's second factor away.
#[utoipa::path(
    post,
    path = "/v1/operator/totp/disable",
    operation_id = "disable_totp",
    request_body = PasswordAndCode,
    responses((status = 200, body = Done)),
    extensions(("x-codes" = json!([
        Code::InvalidCredentials, Code::TotpRequired, Code::LockedOut, Code::LoginOnly, Code::NotFound
    ]))),
)]
async fn disable(
    State(app): State<App>,
    operator: SignedIn,
    given: Given,
) -> Result<Json<Done>, ApiError> {
    let mut fields = given.fields()?;
    let password = read_password(&mut fields, "password");
    let shown = read_shown(&mut fields);
    fields.finish()?;
    app.service
        .disable_totp(&operator.caller, password, shown)
        .await
        .map_err(wrong_password)?;
    Ok(done())
}

/// Takes the second factor of somebody else away, who lost theirs.
#[utoipa::path(
    delete,
    path = "/v1/operator/operators/{id}/totp",
    operation_id = "reset_totp",
    responses((status = 200, body = Done)),
    extensions(("x-codes" = json!([Code::Conflict]))),
)]
async fn reset(
    State(app): State<App>,
    operator: SignedIn,
    operator_id: PathId,
) -> Result<Json<Done>, ApiError> {
    let request = OperatorRequest::ResetTotp {
        operator_id: operator_id.get()?,
    };
    app.service.order(&operator.caller, request).await?;
    Ok(done())
}

/// A code of the authenticator, or a recovery code, or neither.
pub fn read_shown(fields: &mut Fields<'_>) -> Shown {
    let code = fields.optional_text("totp_code", CODE_BYTES);
    let recovery = fields.optional_text("recovery_code", RECOVERY_BYTES_MAX);
    match (code, recovery) {
        (None, None) => Shown::Nothing,
        (Some(code), None) => Shown::Code(Zeroizing::new(code)),
        (None, Some(code)) => Shown::Recovery(Zeroizing::new(code)),
        (Some(_), Some(_)) => {
            fields.wrong("recovery_code", "not together with totp_code");
            Shown::Nothing
        }
    }
}
