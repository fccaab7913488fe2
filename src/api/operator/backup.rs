//! Backups: the whole relay's state as one file, while it runs.

use std::io::{self, BufWriter, ErrorKind, Write};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use futures::stream;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::MayNotRead;
use crate::api::code::Code;
use crate::api::fields::Invalid;
use crate::api::openapi::Routes;
use crate::api::query::pairs;
use crate::api::{ApiError, App};
use crate::backup::{self, BackupError, LABEL_MAX_CHARS, is_label};
use crate::service::backup::Backup;
use crate::service::{Service, ServiceError};

/// Bytes sent at once.
const CHUNK_BYTES: usize = 256 << 10;
/// Chunks that wait for the client.
const CHUNKS: usize = 4;
/// Longest time for the client to take one: the snapshot takes up room on the disk meanwhile.
const STALL: Duration = Duration::from_secs(60);

/// Routes of backups.
pub fn router() -> Routes {
    Routes::default().routes(routes!(take))
}

/// A tar archive.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[allow(dead_code, reason = "describes what is sent")]
struct Archive(Vec<u8>);

/// What to call a backup.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes what is read")]
struct Label {
    /// Kept in the backup and in the audit log. Without control characters.
    #[param(min_length = 1, max_length = 200)]
    label: Option<String>,
}

/// Takes a backup of the whole relay.
///
/// A tar archive: `backup.json` says what it is, `state/` holds the data as of now, with everything
/// that was answered before, `attachments/` the files of attachments, and `SHA256SUMS` is its end; where that is missing, it was cut short.
/// Secrets are in it as they are stored, sealed by the master secret, which is not; messages are
/// readable. One at a time from a node.
#[utoipa::path(
    get,
    path = "/v1/operator/backup",
    operation_id = "take_backup",
    params(Label),
    responses((
        status = 200,
        description = "The backup.",
        body = inline(Archive),
        content_type = "application/x-tar",
    )),
    extensions(("x-codes" = json!([Code::Conflict, Code::DiskFull, Code::OutcomeUnknown]))),
)]
async fn take(
    State(app): State<App>,
    MayNotRead(operator): MayNotRead,
    uri: Uri,
) -> Result<Response, ApiError> {
    let label = pairs(uri.query())?.remove("label");
    if label.as_deref().is_some_and(|label| !is_label(label)) {
        let text = format!("1 to {LABEL_MAX_CHARS} characters, no control characters");
        return Err(Invalid::field("label", text).into());
    }
    let backup = app.service.begin_backup(&operator.caller, label).await?;
    let json = backup.manifest.to_json();
    let json = json.map_err(|error| ServiceError::Internal(error.to_string()))?;
    let whole_bytes = backup.manifest.whole_bytes(json.len() as u64);
    let (sender, mut chunks) = mpsc::channel(CHUNKS);
    let sink = Chunks {
        sender,
        runtime: Handle::current(),
        draining: app.service.draining.clone(),
        is_broken: false,
    };
    let service = Arc::clone(&app.service);
    tokio::task::spawn_blocking(move || send(&service, &backup, sink));
    let body = Body::from_stream(stream::poll_fn(move |context| chunks.poll_recv(context)));
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/x-tar"),
        ),
        (header::CONTENT_LENGTH, HeaderValue::from(whole_bytes)),
        (
            header::CONTENT_DISPOSITION,
            HeaderValue::from_static("attachment; filename=\"ekho-backup.tar\""),
        ),
    ];
    Ok((headers, body).into_response())
}

/// Sends a backup to its end, or breaks the answer off, which is shorter then than it said.
fn send(service: &Service, backup: &Backup, sink: Chunks) {
    let mut sink = BufWriter::with_capacity(CHUNK_BYTES, sink);
    let source = backup::Source {
        state: &backup.dir(),
        crc32s: &backup.crc32s(),
        attachments: backup.attachments_dir(),
        attached: backup.attached(),
    };
    let written = backup::write(&backup.manifest, &source, &mut sink);
    if let Err(BackupError::Attachment(hash)) = &written {
        service.attachment_damaged(*hash);
    }
    let log_index = backup.manifest.point.log_index;
    match written {
        Ok(()) => tracing::info!(log_index, "a backup was taken"),
        Err(error) => {
            tracing::warn!(%error, log_index, "a backup was not finished");
            // What is still in the buffer is of no use to anybody.
            drop(sink.into_parts());
        }
    }
}

/// Hands what is written over to whoever sends it.
struct Chunks {
    sender: mpsc::Sender<io::Result<Bytes>>,
    runtime: Handle,
    draining: CancellationToken,
    /// After that, nothing is waited for again.
    is_broken: bool,
}

impl Chunks {
    async fn hand_over(&self, chunk: Bytes) -> io::Result<()> {
        let sent = tokio::time::timeout(STALL, self.sender.send(Ok(chunk)));
        tokio::select! {
            sent = sent => match sent {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err(broken(ErrorKind::BrokenPipe, "the client went away")),
                Err(_) => Err(broken(ErrorKind::TimedOut, "the client takes nothing")),
            },
            () = self.draining.cancelled() => {
                Err(broken(ErrorKind::ConnectionAborted, "the node is stopping"))
            }
        }
    }
}

impl Write for Chunks {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        if self.is_broken {
            return Err(broken(ErrorKind::BrokenPipe, "the backup is broken off"));
        }
        let chunk = Bytes::copy_from_slice(buffer);
        let handed_over = self.runtime.block_on(self.hand_over(chunk));
        self.is_broken = handed_over.is_err();
        handed_over.map(|()| buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn broken(kind: ErrorKind, why: &str) -> io::Error {
    io::Error::new(kind, why)
}
