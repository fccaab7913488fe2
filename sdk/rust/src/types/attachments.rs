//! Attachments: POST and GET /v1/attachments.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// A file that was uploaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Attachment {
    /// Its id, to be named in a message's body.
    pub id: String,
    /// What it is called.
    pub filename: String,
    /// What it is.
    pub mime: String,
    /// How large it is.
    pub size_bytes: u64,
    /// When it was uploaded.
    #[serde(default)]
    pub created_at: Option<String>,
}

/// A file that was downloaded.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Downloaded {
    /// The content.
    pub bytes: Bytes,
    /// What it is called, where the relay says it.
    pub filename: Option<String>,
    /// What it is, where the relay says it.
    pub mime: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct UploadRequest<'a> {
    pub(crate) filename: &'a str,
    pub(crate) mime: &'a str,
    pub(crate) size_bytes: usize,
    pub(crate) data_base64: String,
}
