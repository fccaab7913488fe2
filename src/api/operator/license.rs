//! The relay's licence: what it allows, installing and removing one.

use axum::Json;
use axum::extract::State;
use ekho_storage::tables::fleet;
use ekho_storage::tables::license::{Feature, Origin};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::{Given, SignedIn};
use crate::api::code::Code;
use crate::api::fields::Invalid;
use crate::api::openapi::Routes;
use crate::api::{ApiError, App};
use crate::clock::Iso;
use crate::license;
use crate::service::license::{Problem, Standing};

/// Routes of the licence.
pub fn router() -> Routes {
    Routes::default().routes(routes!(show, install, remove))
}

/// How the relay stands with its licence.
#[derive(Serialize, ToSchema)]
pub(super) struct LicenseView {
    /// oss or pro.
    pub(super) tier: &'static str,
    /// To whom it was issued; null on the free tier.
    org: Option<String>,
    /// Fleets allowed.
    max_fleets: u64,
    /// What it allows: advanced_policies, many_fleets, analytics.
    features: Vec<&'static str>,
    /// When it was issued.
    issued_at: Option<Iso>,
    /// When it ends.
    expires_at: Option<Iso>,
    /// installed (by an operator) or configured; null on the free tier.
    source: Option<&'static str>,
    /// What is used of it; null for operators of other fleets than the first.
    used: Option<LicenseUsed>,
    /// What is wrong, or soon will be.
    pub(super) problems: Vec<LicenseProblem>,
}

/// What is used of a licence.
#[derive(Serialize, ToSchema)]
pub(super) struct LicenseUsed {
    /// Fleets there are.
    fleets: u64,
}

/// Something wrong with a licence.
#[derive(Serialize, ToSchema)]
pub(super) struct LicenseProblem {
    /// Stable.
    code: &'static str,
    /// A sentence.
    text: String,
}

impl From<Problem> for LicenseProblem {
    fn from(problem: Problem) -> Self {
        LicenseProblem {
            code: problem.code,
            text: problem.text,
        }
    }
}

/// How the relay stands, as an operator is told.
pub(super) fn view(standing: Standing, is_first_fleet: bool) -> LicenseView {
    let allowed = |feature: &Feature| {
        let license = standing.license.as_ref();
        license.is_some_and(|(license, _)| license.allows(*feature))
    };
    let features = Feature::ALL.into_iter().filter(allowed);
    let features = features.map(Feature::as_str).collect();
    let used = is_first_fleet.then_some(LicenseUsed {
        fleets: standing.fleets,
    });
    let license = standing.license.as_ref();
    LicenseView {
        tier: standing.tier.as_str(),
        org: license.map(|(license, _)| license.org.clone()),
        max_fleets: standing.max_fleets,
        features,
        issued_at: license.map(|(license, _)| Iso(license.issued_ms)),
        expires_at: license.map(|(license, _)| Iso(license.expires_ms)),
        source: license.map(|(_, origin)| match origin {
            Origin::Installed => "installed",
            Origin::Configured => "configured",
        }),
        used,
        // How many fleets there are is nothing that another fleet is told.
        problems: standing
            .problems
            .into_iter()
            .filter(|problem| is_first_fleet || problem.code != "too_many_fleets")
            .map(LicenseProblem::from)
            .collect(),
    }
}

/// What the relay's licence allows, and what is wrong with it.
#[utoipa::path(
    get,
    path = "/v1/operator/license",
    operation_id = "get_license",
    responses((status = 200, body = LicenseView)),
)]
async fn show(State(app): State<App>, operator: SignedIn) -> Result<Json<LicenseView>, ApiError> {
    app.service.operator_view().await?;
    let standing = app.service.license_standing()?;
    Ok(Json(view(standing, operator.fleet() == fleet::FIRST)))
}

/// A licence to install.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct LicenseInstall {
    /// The licence: a JWT.
    #[schema(min_length = 1, max_length = 16_384)]
    key: String,
}

/// Installs a licence.
///
/// For all nodes, in place of the one that was installed before. It counts before one that a node is
/// configured with.
#[utoipa::path(
    put,
    path = "/v1/operator/license",
    operation_id = "install_license",
    request_body = LicenseInstall,
    responses((status = 200, description = "How the relay stands now.", body = LicenseView)),
    extensions(("x-codes" = json!([Code::Conflict]))),
)]
async fn install(
    State(app): State<App>,
    operator: SignedIn,
    given: Given,
) -> Result<Json<LicenseView>, ApiError> {
    let mut fields = given.fields()?;
    let key = fields.text("key", license::MAX_BYTES);
    fields.finish()?;
    let installed = app.service.install_license(&operator.caller, &key).await?;
    installed.map_err(|error| Invalid::field("key", error.to_string()))?;
    show(State(app), operator).await
}

/// Removes the licence that was installed.
#[utoipa::path(
    delete,
    path = "/v1/operator/license",
    operation_id = "remove_license",
    responses((status = 200, description = "How the relay stands now.", body = LicenseView)),
    extensions(("x-codes" = json!([Code::NotFound]))),
)]
async fn remove(State(app): State<App>, operator: SignedIn) -> Result<Json<LicenseView>, ApiError> {
    app.service.remove_license(&operator.caller).await?;
    show(State(app), operator).await
}
