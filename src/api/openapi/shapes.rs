//! Shapes that many endpoints share.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::clock::Iso;

impl PartialSchema for Iso {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .description(Some("A time: ISO 8601, UTC, milliseconds, `Z`."))
            .into()
    }
}

impl ToSchema for Iso {
    fn name() -> Cow<'static, str> {
        "Time".into()
    }
}

/// Done, and nothing more to say.
#[derive(Serialize, ToSchema)]
pub struct Done {
    /// Always true.
    pub ok: bool,
}

/// What every error says.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what `ApiError` writes")]
pub struct ErrorBody {
    error: ErrorText,
    /// For programs; does not change.
    code: String,
    /// The `x-request-id` of the answer, under which the relay's log says more.
    #[schema(required = false)]
    request_id: String,
    /// With status 429: when to try again.
    #[schema(required = false)]
    retry_after_seconds: u64,
    /// With `forbidden`: the scope that is needed.
    #[schema(required = false)]
    scope: String,
    /// With `license_required`: the feature that a licence would have to allow.
    #[schema(required = false)]
    feature: String,
    /// With `policy_denied`: the policy's name.
    #[schema(required = false)]
    policy: String,
    /// With `blocked_by_extension` and `extension_unavailable`: the hook's or extension's name.
    #[schema(required = false)]
    extension: String,
}

/// For people. With `validation_failed` it says what is wrong with which field.
#[derive(ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "describes what `ApiError` writes")]
enum ErrorText {
    Text(String),
    Fields(FieldErrors),
}

/// What is wrong with a request.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "describes what `ApiError` writes")]
struct FieldErrors {
    /// With the whole.
    form_errors: Vec<String>,
    /// With a field, by its name; a field within a list or an object by its path, such as
    /// `messages.0.body`.
    field_errors: BTreeMap<String, Vec<String>>,
}

/// One event of a stream.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what streams write")]
pub struct StreamEvent {
    /// What kind of event it is.
    #[schema(required = false)]
    event: String,
    /// What to go on behind, in `Last-Event-ID`.
    #[schema(required = false)]
    id: String,
    /// JSON.
    data: String,
}
