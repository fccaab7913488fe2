//! Exports as JSON lines: a first line, pages of lines while the client takes them, a last line.
//! Where the last one is missing, the export was cut short.

use std::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, stream};
use serde::Serialize;

use crate::service::ServiceError;

/// What an export still has to say.
pub trait Pages: Send + Sized + 'static {
    /// The name of the file a browser keeps it under.
    const FILE: &'static str;

    /// The next lines, and whether more follow. The last ones end with the last line.
    fn next(&mut self) -> impl Future<Output = Result<(String, bool), ServiceError>> + Send;
}

/// The answer that begins with `first` and goes on with `pages`.
pub fn answer<P: Pages>(first: &impl Serialize, pages: P) -> Result<Response, ServiceError> {
    let first = line(first)?;
    let begin = stream::once(async move { Ok::<_, Infallible>(Bytes::from(first)) });
    let rest = stream::unfold(Some(pages), |pages| async move {
        let mut pages = pages?;
        match pages.next().await {
            Ok((text, more)) => Some((Ok(Bytes::from(text)), more.then_some(pages))),
            Err(error) => {
                tracing::error!(%error, file = P::FILE, "an export ended early");
                None
            }
        }
    });
    let name = format!("attachment; filename=\"{}\"", P::FILE);
    let headers = [
        (header::CONTENT_TYPE, "application/x-ndjson".to_string()),
        (header::CONTENT_DISPOSITION, name),
    ];
    Ok((headers, Body::from_stream(begin.chain(rest))).into_response())
}

/// A value as a line.
pub fn line(value: &impl Serialize) -> Result<String, ServiceError> {
    let mut text =
        serde_json::to_string(value).map_err(|error| ServiceError::Internal(error.to_string()))?;
    text.push('\n');
    Ok(text)
}
