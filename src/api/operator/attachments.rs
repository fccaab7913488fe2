//! Attachments as operators see them: upload, download, all of the fleet, and what decides about
//! them.

use axum::Json;
use axum::body::Body;
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use ekho_storage::tables::attachment::{Attachment, AttachmentSettings, Uploader};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::list::{ListParams, ListQuery, Paging};
use super::{Given, SignedIn};
use crate::api::agent::attachments::{
    AttachedFile, AttachmentMade, DownloadHeaders, NewAttachment, attachment_uuid, begin, made,
};
use crate::api::code::Code;
use crate::api::download::give_out;
use crate::api::fields::Fields;
use crate::api::openapi::Routes;
use crate::api::path::PathId;
use crate::api::upload;
use crate::api::{ApiError, App};
use crate::clock::Iso;
use crate::id;
use crate::machine::access::Need;
use crate::machine::outcome::Refusal;
use crate::service::ServiceError;
use ekho_storage::tables::operator::Scope;

pub fn router() -> Routes {
    Routes::default()
        .routes(routes!(list, create))
        .routes(routes!(read))
        .routes(routes!(show_settings, change_settings))
}

/// The body of an upload, which is not read yet.
struct Upload {
    headers: HeaderMap,
    body: Body,
}

impl FromRequest<App> for Upload {
    type Rejection = std::convert::Infallible;

    async fn from_request(request: Request, _: &App) -> Result<Self, Self::Rejection> {
        let (parts, body) = request.into_parts();
        Ok(Upload {
            headers: parts.headers,
            body,
        })
    }
}

/// Keeps a file.
///
/// Answered when the bytes are on the disks of a majority. The file is kept for a day, and as long
/// as a message that names it in `attachment_ids`.
#[utoipa::path(
    post,
    path = "/v1/operator/attachments",
    operation_id = "create_attachment_as_operator",
    request_body = NewAttachment,
    responses((status = 201, body = AttachmentMade)),
    extensions(("x-codes" = json!([
        Code::UnsupportedMediaType, Code::AttachmentQuota, Code::LimitReached, Code::Conflict,
        Code::AttachmentNotStored
    ]))),
)]
async fn create(
    State(app): State<App>,
    operator: SignedIn,
    given: Upload,
) -> Result<(StatusCode, Json<AttachmentMade>), ApiError> {
    let service = &app.service;
    let allowed = operator
        .caller
        .principal
        .require(Need::Scope(Scope::Messages));
    let begun = allowed
        .map_err(ServiceError::from)
        .and_then(|()| begin(&app));
    let place = match begun {
        Ok(place) => place,
        Err(error) => {
            upload::hear_upload(&app, &given.headers, given.body).await;
            return Err(error.into());
        }
    };
    let spooled = upload::spool(service.blobs(), &given.headers, given.body, &place).await?;
    let file = upload::read(service.blobs(), spooled, &place).await?;
    let uploaded = service.upload_for_operator(&operator.caller, place, file);
    Ok(made(uploaded.await?))
}

/// Gives out a file of the fleet.
///
/// To be saved, never to be shown: with `Content-Disposition: attachment`, `nosniff`, and a policy
/// that lets nothing in it run. What browsers could run comes as `application/octet-stream`.
#[utoipa::path(
    get,
    path = "/v1/operator/attachments/{id}",
    operation_id = "get_attachment_as_operator",
    params(DownloadHeaders),
    responses(
        (
            status = 200,
            description = "The file.",
            body = inline(AttachedFile),
            content_type = "application/octet-stream",
            headers(("ETag" = String, description = "SHA-256 of the file, in hex and quotes.")),
        ),
        (
            status = 206,
            description = "The part of it that was asked for.",
            body = inline(AttachedFile),
            content_type = "application/octet-stream",
        ),
        (status = 304, description = "It is known."),
    ),
    extensions(("x-codes" = json!([Code::AttachmentUnavailable, Code::DiskFull]))),
)]
async fn read(
    State(app): State<App>,
    operator: SignedIn,
    attachment_id: PathId,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let uuid = attachment_uuid(&attachment_id.get()?).ok_or(Refusal::NotFound)?;
    let found = app.service.any_attachment(operator.fleet(), uuid).await?;
    give_out(&app.service, &found, &headers).await
}

/// A file of the fleet.
#[derive(Serialize, ToSchema)]
#[schema(as = Attachment)]
struct AttachmentView {
    id: String,
    filename: String,
    /// As it was given.
    mime: String,
    /// What the bytes were recognised as; empty for nothing.
    sniffed: String,
    size_bytes: u64,
    /// Of the file, in hex.
    sha256: String,
    /// `agent` or `operator`.
    uploaded_by_kind: &'static str,
    uploaded_by: Option<String>,
    created_at: Iso,
    /// When it goes; null while a message binds it.
    expires_at: Option<Iso>,
    /// Messages that bind it.
    message_count: u32,
}

fn view(attachment: &Attachment, uploader: Option<String>) -> AttachmentView {
    AttachmentView {
        id: id::from_uuid("att_", attachment.uuid),
        filename: attachment.filename.clone(),
        mime: attachment.mime.clone(),
        sniffed: attachment.sniffed.clone(),
        size_bytes: attachment.size_bytes,
        sha256: hex::encode(attachment.sha256),
        uploaded_by_kind: match attachment.by {
            Uploader::Agent(_) => "agent",
            Uploader::Operator(_) => "operator",
        },
        uploaded_by: uploader,
        created_at: Iso(attachment.created_ms),
        expires_at: (attachment.expires_ms > 0).then_some(Iso(attachment.expires_ms)),
        message_count: attachment.messages,
    }
}

/// Files of the fleet.
#[derive(Serialize, ToSchema)]
struct AttachmentList {
    attachments: Vec<AttachmentView>,
    #[serde(flatten)]
    paging: Paging,
}

/// Files of the fleet, the newest first.
#[utoipa::path(
    get,
    path = "/v1/operator/attachments",
    operation_id = "list_attachments",
    params(ListParams),
    responses((status = 200, body = AttachmentList)),
)]
async fn list(
    State(app): State<App>,
    operator: SignedIn,
    query: ListQuery,
) -> Result<Json<AttachmentList>, ApiError> {
    let after = query.cursor(attachment_uuid)?;
    let wants = query.skip() + query.limit;
    let found = app
        .service
        .attachments(operator.fleet(), after, wants)
        .await?;
    let full = found.len() == wants;
    let next_cursor = found
        .last()
        .filter(|_| full)
        .map(|(last, _)| id::from_uuid("att_", last.uuid));
    let shown = found.into_iter().skip(query.skip());
    Ok(Json(AttachmentList {
        attachments: shown.map(|(one, by)| view(&one, by)).collect(),
        paging: query.paging(next_cursor),
    }))
}

/// What decides about attachments, for the whole relay.
#[derive(Serialize, ToSchema)]
#[schema(as = AttachmentSettings)]
struct SettingsView {
    /// Bytes of one attachment.
    attachment_max_bytes: u64,
    /// Bytes of the attachments of a fleet; the same content counts once.
    attachment_fleet_max_bytes: u64,
    /// How long an attachment is kept that no message binds.
    attachment_unbound_ms: u64,
    /// How long nodes keep a file that no attachment names yet. An upload has half of it.
    attachment_hold_ms: u64,
}

impl From<AttachmentSettings> for SettingsView {
    fn from(settings: AttachmentSettings) -> Self {
        SettingsView {
            attachment_max_bytes: settings.attachment_max_bytes,
            attachment_fleet_max_bytes: settings.attachment_fleet_max_bytes,
            attachment_unbound_ms: settings.attachment_unbound_ms,
            attachment_hold_ms: settings.attachment_hold_ms,
        }
    }
}

/// The settings of attachments that are to change.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
struct AttachmentSettingsChange {
    #[schema(minimum = 1024, maximum = 1_073_741_824)]
    attachment_max_bytes: Option<u64>,
    #[schema(minimum = 0, maximum = 1_125_899_906_842_624_u64)]
    attachment_fleet_max_bytes: Option<u64>,
    #[schema(minimum = 1000, maximum = 31_622_400_000_u64)]
    attachment_unbound_ms: Option<u64>,
    #[schema(minimum = 1000, maximum = 86_400_000)]
    attachment_hold_ms: Option<u64>,
}

/// What decides about attachments.
#[utoipa::path(
    get,
    path = "/v1/operator/settings/attachments",
    operation_id = "get_attachment_settings",
    responses((status = 200, body = SettingsView)),
)]
async fn show_settings(
    State(app): State<App>,
    _operator: SignedIn,
) -> Result<Json<SettingsView>, ApiError> {
    app.service.operator_view().await?;
    Ok(Json(app.service.attachment_settings()?.into()))
}

/// Changes what decides about attachments.
///
/// The fields given change, the others stay. Needs feature level 4.
#[utoipa::path(
    put,
    path = "/v1/operator/settings/attachments",
    operation_id = "change_attachment_settings",
    request_body = AttachmentSettingsChange,
    responses((status = 200, body = SettingsView)),
    extensions(("x-codes" = json!([Code::Conflict]))),
)]
async fn change_settings(
    State(app): State<App>,
    operator: SignedIn,
    given: Given,
) -> Result<Json<SettingsView>, ApiError> {
    app.service.operator_view().await?;
    let before = app.service.attachment_settings()?;
    let mut fields = given.fields()?;
    let after = read_settings(&mut fields, &before);
    fields.finish()?;
    let changed = app
        .service
        .change_attachment_settings(&operator.caller, before, after.clone());
    changed.await?;
    Ok(Json(after.into()))
}

fn read_settings(fields: &mut Fields<'_>, before: &AttachmentSettings) -> AttachmentSettings {
    let mut after = before.clone();
    let ranges = before.ranges();
    let targets = [
        &mut after.attachment_max_bytes,
        &mut after.attachment_fleet_max_bytes,
        &mut after.attachment_unbound_ms,
        &mut after.attachment_hold_ms,
    ];
    for ((name, value, range), target) in ranges.into_iter().zip(targets) {
        *target = fields.number(name, range).unwrap_or(value);
    }
    after
}
