//! Attachments of agents: upload and download.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use ekho_storage::tables::attachment::Attachment;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::api::code::Code;
use crate::api::download::give_out;
use crate::api::openapi::Routes;
use crate::api::path::PathId;
use crate::api::signed::{Signed, received};
use crate::api::upload;
use crate::api::{ApiError, App};
use crate::clock::Iso;
use crate::id;
use crate::ingress::authenticate::{authenticate_hash, expect_signed};
use crate::ingress::signing::SignatureHeaders;
use crate::machine::outcome::Refusal;
use crate::service::ServiceError;
use crate::service::attachments::{Uploaded, Uploading};

/// Prefix of ids.
const PREFIX: &str = "att_";

pub fn router() -> Routes {
    Routes::default()
        .routes(routes!(create))
        .routes(routes!(read))
}

/// A file to be kept.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes what is read")]
pub struct NewAttachment {
    /// Without control characters.
    #[schema(min_length = 1, max_length = 255)]
    filename: String,
    /// Has to be plausible for the bytes; `application/octet-stream` is for all.
    #[schema(min_length = 1, max_length = 127)]
    mime: String,
    /// The length of the file.
    #[schema(minimum = 1, maximum = 1_099_511_627_776_u64)]
    size_bytes: u64,
    /// The file, in base64.
    #[schema(min_length = 1)]
    data_base64: String,
}

/// A file that is kept.
#[derive(Serialize, ToSchema)]
pub struct AttachmentMade {
    id: String,
    filename: String,
    mime: String,
    size_bytes: u64,
    /// Of the file, in hex.
    sha256: String,
    created_at: Iso,
    /// When it goes unless a message binds it.
    expires_at: Iso,
}

/// The answer to an upload.
pub fn made(uploaded: Uploaded) -> (StatusCode, Json<AttachmentMade>) {
    let made = AttachmentMade {
        id: id::from_uuid(PREFIX, uploaded.uuid),
        filename: uploaded.filename,
        mime: uploaded.mime,
        size_bytes: uploaded.size_bytes,
        sha256: hex::encode(uploaded.sha256),
        created_at: Iso(uploaded.created_ms),
        expires_at: Iso(uploaded.expires_ms),
    };
    (StatusCode::CREATED, Json(made))
}

/// A file that a message binds.
#[derive(Serialize, ToSchema)]
pub struct BoundAttachment {
    id: String,
    filename: String,
    mime: String,
    size_bytes: u64,
    /// Of the file, in hex.
    sha256: String,
}

/// What a message binds, as it is shown.
pub fn bound(attachments: &[Attachment]) -> Vec<BoundAttachment> {
    let one = |attachment: &Attachment| BoundAttachment {
        id: id::from_uuid(PREFIX, attachment.uuid),
        filename: attachment.filename.clone(),
        mime: attachment.mime.clone(),
        size_bytes: attachment.size_bytes,
        sha256: hex::encode(attachment.sha256),
    };
    attachments.iter().map(one).collect()
}

/// The UUID behind an attachment's id. A text that cannot be one names none.
pub fn attachment_uuid(id: &str) -> Option<u128> {
    id::to_uuid(PREFIX, id)
}

/// A file.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[allow(dead_code, reason = "describes what is sent")]
pub struct AttachedFile(Vec<u8>);

/// Keeps a file.
///
/// Answered when the bytes are on the disks of a majority. The file is kept for a day, and as long
/// as a message that names it in `attachment_ids`.
#[utoipa::path(
    post,
    path = "/v1/attachments",
    operation_id = "create_attachment",
    request_body = NewAttachment,
    responses((status = 201, body = AttachmentMade)),
    extensions(("x-codes" = json!([
        Code::AgentPaused, Code::AgentQuarantined, Code::UnsupportedMediaType,
        Code::AttachmentQuota, Code::LimitReached, Code::Conflict, Code::AttachmentNotStored
    ]))),
)]
async fn create(
    State(app): State<App>,
    request: Request,
) -> Result<(StatusCode, Json<AttachmentMade>), ApiError> {
    let (parts, body) = request.into_parts();
    let service = &app.service;
    let begun = async {
        let headers = SignatureHeaders::read(&parts.headers).ok_or(ServiceError::MissingHeaders)?;
        expect_signed(service, &headers).await?;
        let place = begin(&app)?;
        Ok::<_, ServiceError>((headers, place))
    };
    let (headers, place) = match begun.await {
        Ok(begun) => begun,
        Err(error) => {
            upload::hear_upload(&app, &parts.headers, body).await;
            return Err(error.into());
        }
    };
    let spooled = upload::spool(service.blobs(), &parts.headers, body, &place).await?;
    let received = received(&app, &parts);
    let caller = authenticate_hash(service, received, &headers, &spooled.hash).await?;
    let file = upload::read(service.blobs(), spooled, &place).await?;
    let uploaded = service.upload(&caller, place, file).await?;
    Ok(made(uploaded))
}

/// A place for an upload.
pub fn begin(app: &App) -> Result<Uploading, ServiceError> {
    app.service.check_attachments()?;
    app.service.begin_upload()
}

/// Headers of a download that say what is wanted of it.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "describes what is read")]
pub struct DownloadHeaders {
    /// One part, as `bytes=0-1023`.
    #[param(rename = "Range")]
    range: Option<String>,
    /// The `ETag` of a file that is known: 304 where it is this one.
    #[param(rename = "If-None-Match")]
    if_none_match: Option<String>,
}

/// Gives out a file: to who uploaded it, and to senders and recipients of messages that bind it.
///
/// To be saved, never to be shown: with `Content-Disposition: attachment`, `nosniff`, and a policy
/// that lets nothing in it run. What browsers could run comes as `application/octet-stream`.
#[utoipa::path(
    get,
    path = "/v1/attachments/{id}",
    operation_id = "get_attachment",
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
    extensions(("x-codes" = json!([
        Code::AgentPaused, Code::AgentQuarantined, Code::AttachmentUnavailable, Code::DiskFull
    ]))),
)]
async fn read(
    State(app): State<App>,
    attachment_id: PathId,
    headers: HeaderMap,
    signed: Signed,
) -> Result<Response, ApiError> {
    let uuid = attachment_uuid(&attachment_id.get()?).ok_or(Refusal::NotFound)?;
    let found = app.service.attachment(&signed.caller, uuid).await?;
    give_out(&app.service, &found, &headers).await
}
