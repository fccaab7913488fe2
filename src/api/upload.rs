//! The body of an upload: far larger than what a node holds in memory. It is kept in a file without
//! a name while it arrives and is hashed, and read from there as a stream once it is known who sent
//! it: a JSON object with a file in base64.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, Write};
use std::rc::Rc;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::read::DecoderReader;
use ekho_raft::blobs::{Blobs, Incoming};
use futures::StreamExt;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use struson::reader::{JsonReader, JsonStreamReader, ReaderError, ValueType};
use tokio::sync::mpsc;

use super::code::Code;
use super::error::too_large;
use super::fields::{Fields, Invalid};
use super::signed::{PIECE_TIMEOUT, hear_out, hear_rest};
use super::{ApiError, App};
use crate::service::ServiceError;
use crate::service::attachments::{NewFile, Uploading};
use crate::sniff;

/// Longest name of a file.
pub const FILENAME_MAX_BYTES: usize = 255;
/// Longest type.
pub const MIME_MAX_BYTES: usize = 127;
/// What a body has beside the file.
const REST_MAX_BYTES: u64 = 64 << 10;
/// Pieces of the body that wait for the disk.
const WAITING: usize = 4;
/// Bytes read from the kept body at once.
const BUFFER_BYTES: usize = 64 << 10;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A body that is kept in a file.
pub struct Spooled {
    file: File,
    /// SHA-256 of it.
    pub hash: [u8; 32],
}

/// Longest body with a file of this length. Each character of base64 may be written as an escape,
/// which some do with slashes.
fn body_max_bytes(file_bytes: u64) -> u64 {
    file_bytes / 2 * 3 + REST_MAX_BYTES
}

/// Reads a body that is not kept, as long as an upload may be, so that its sender hears why.
pub async fn hear_upload(app: &App, headers: &HeaderMap, body: Body) {
    let limit_bytes = app.service.attachment_settings().map_or(
        app.body_limit_bytes as u64, // The settings cannot be read: what any request may have.
        |settings| body_max_bytes(settings.attachment_max_bytes),
    );
    hear_out(headers, body, limit_bytes).await;
}

/// Keeps a body that may hold a file of so many bytes.
pub async fn spool(
    blobs: &Blobs,
    headers: &HeaderMap,
    body: Body,
    place: &Uploading,
) -> Result<Spooled, ApiError> {
    let limit_bytes = body_max_bytes(place.limit_bytes);
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > limit_bytes) {
        hear_out(headers, body, limit_bytes).await;
        return Err(file_too_large(place.limit_bytes));
    }
    let mut file = match blobs.spool() {
        Ok(file) => file,
        Err(error) => {
            hear_out(headers, body, limit_bytes).await;
            return Err(ServiceError::from(error).into());
        }
    };
    let (sender, mut pieces) = mpsc::channel::<Bytes>(WAITING);
    let written = tokio::task::spawn_blocking(move || {
        let mut hasher = Sha256::new();
        while let Some(piece) = pieces.blocking_recv() {
            hasher.update(&piece);
            file.write_all(&piece)?;
        }
        file.rewind()?;
        let hash = hasher.finalize().into();
        Ok::<_, io::Error>(Spooled { file, hash })
    });
    let mut body = body.into_data_stream();
    let mut size_bytes = 0;
    // None once who writes has ended, which then says why: its sender only hears that after it has
    // said all.
    let mut writer = Some(sender);
    let incomplete = || ApiError::new(Code::BodyIncomplete, "the body could not be read");
    loop {
        let piece = match tokio::time::timeout(PIECE_TIMEOUT, body.next()).await {
            Ok(None) => break,
            Ok(Some(Ok(piece))) => piece,
            Ok(Some(Err(_))) | Err(_) => return Err(incomplete()),
        };
        size_bytes += piece.len() as u64;
        if size_bytes > limit_bytes {
            hear_rest(&mut body, limit_bytes).await;
            return Err(file_too_large(place.limit_bytes));
        }
        if let Some(sender) = &writer
            && sender.send(piece).await.is_err()
        {
            writer = None;
        }
    }
    drop(writer);
    let spooled = written.await.map_err(|error| internal(&error))?;
    Ok(spooled.map_err(ServiceError::from)?)
}

fn file_too_large(limit_bytes: u64) -> ApiError {
    too_large(usize::try_from(limit_bytes).unwrap_or(usize::MAX))
}

fn internal(error: &dyn std::fmt::Display) -> ApiError {
    ServiceError::Internal(error.to_string()).into()
}

/// Reads a kept body, and writes the file in it.
pub async fn read(blobs: &Blobs, spooled: Spooled, place: &Uploading) -> Result<NewFile, ApiError> {
    let (blobs, limit_bytes) = (blobs.clone(), place.limit_bytes);
    let parsed = tokio::task::spawn_blocking(move || parse(&blobs, spooled.file, limit_bytes));
    let parsed = parsed.await.map_err(|error| internal(&error))?;
    let parsed = parsed.map_err(|error| match error {
        Unreadable::Invalid(invalid) => invalid.into(),
        Unreadable::TooLarge => file_too_large(place.limit_bytes),
        Unreadable::Disk(error) => ServiceError::from(error).into(),
    })?;
    parsed.check().map_err(ApiError::from)
}

/// Why a body gives no file.
enum Unreadable {
    Invalid(Invalid),
    TooLarge,
    Disk(io::Error),
}

impl From<ReaderError> for Unreadable {
    fn from(error: ReaderError) -> Self {
        Unreadable::Invalid(Invalid::form(format!("invalid JSON: {error}")))
    }
}

/// What a body says.
struct Parsed {
    fields: Map<String, Value>,
    data: Option<Data>,
}

/// A file, as it was in the body.
struct Data {
    incoming: Incoming,
    head: Vec<u8>,
    is_utf8: bool,
    /// It is no base64.
    is_broken: bool,
}

fn parse(blobs: &Blobs, file: File, limit_bytes: u64) -> Result<Parsed, Unreadable> {
    let allowance = Allowance(Rc::new(Cell::new(u64::MAX)));
    let mut json = JsonStreamReader::new(Bounded {
        from: BufReader::with_capacity(BUFFER_BYTES, file),
        allowance: allowance.clone(),
    });
    let mut parsed = Parsed {
        fields: Map::new(),
        data: None,
    };
    if json.peek()? != ValueType::Object {
        let invalid = Invalid::form("invalid JSON: expected a JSON object");
        return Err(Unreadable::Invalid(invalid));
    }
    json.begin_object()?;
    while json.has_next()? {
        allowance.set(REST_MAX_BYTES);
        let name = json.next_name_owned()?;
        allowance.set(u64::MAX);
        let kind = json.peek()?;
        match (name.as_str(), kind) {
            ("data_base64", ValueType::String) => {
                // The last of two counts, as everywhere.
                parsed.data = Some(decode(blobs, json.next_string_reader()?, limit_bytes)?);
            }
            ("data_base64" | "filename" | "mime" | "size_bytes", ValueType::Null) => {
                json.next_null()?;
                parsed.fields.remove(&name);
                if name == "data_base64" {
                    parsed.data = None;
                }
            }
            ("filename" | "mime", ValueType::String) => {
                let max_bytes = FILENAME_MAX_BYTES.max(MIME_MAX_BYTES);
                let text = short_text(json.next_string_reader()?, max_bytes)?;
                parsed.fields.insert(name, text.into());
            }
            ("size_bytes", ValueType::Number) => {
                let number = json.next_number_as_string()?;
                let number = serde_json::from_str(&number).unwrap_or(Value::Bool(false));
                parsed.fields.insert(name, number);
            }
            _ => {
                json.skip_value()?;
                // Of the wrong kind.
                if matches!(
                    name.as_str(),
                    "data_base64" | "filename" | "mime" | "size_bytes"
                ) {
                    parsed.fields.insert(name, Value::Bool(false));
                }
            }
        }
    }
    json.end_object()?;
    json.consume_trailing_whitespace()?;
    Ok(parsed)
}

/// Bytes that may be read now: names of fields are the one thing that is read into memory whole.
#[derive(Clone)]
struct Allowance(Rc<Cell<u64>>);

impl Allowance {
    fn set(&self, bytes: u64) {
        self.0.set(bytes);
    }
}

struct Bounded<R> {
    from: R,
    allowance: Allowance,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.allowance.0.get();
        if left == 0 {
            return Err(io::Error::other("the name of a field is too long"));
        }
        let most = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let count = self.from.read(&mut buffer[..most])?;
        self.allowance.set(left - count as u64);
        Ok(count)
    }
}

/// A text; one that is too long is cut a little above what is allowed, which shows.
fn short_text(mut text: impl Read, max_bytes: usize) -> Result<String, Unreadable> {
    let mut bytes = Vec::new();
    let read = text
        .by_ref()
        .take(max_bytes as u64 + 4)
        .read_to_end(&mut bytes);
    read.map_err(invalid_json)?;
    io::copy(&mut text, &mut io::sink()).map_err(invalid_json)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn invalid_json(error: io::Error) -> Unreadable {
    Unreadable::Invalid(Invalid::form(format!("invalid JSON: {error}")))
}

/// Writes what a text of base64 holds.
fn decode(blobs: &Blobs, text: impl Read, limit_bytes: u64) -> Result<Data, Unreadable> {
    let mut incoming = blobs.begin().map_err(Unreadable::Disk)?;
    let mut text = text;
    let mut utf8 = Utf8::default();
    let mut head = Vec::new();
    let mut is_broken = false;
    {
        let mut bytes = DecoderReader::new(&mut text, &BASE64);
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let count = match bytes.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(_) => {
                    is_broken = true;
                    break;
                }
            };
            let piece = &buffer[..count];
            if incoming.size_bytes() + count as u64 > limit_bytes {
                return Err(Unreadable::TooLarge);
            }
            let wanted = sniff::HEAD_BYTES.saturating_sub(head.len()).min(count);
            head.extend_from_slice(&piece[..wanted]);
            utf8.push(piece);
            incoming.write_all(piece).map_err(Unreadable::Disk)?;
        }
    }
    // What is no base64 may still be JSON.
    io::copy(&mut text, &mut io::sink()).map_err(invalid_json)?;
    Ok(Data {
        incoming,
        head,
        is_utf8: utf8.is_whole(),
        is_broken,
    })
}

impl Parsed {
    fn check(self) -> Result<NewFile, Invalid> {
        let json = Value::Object(self.fields).to_string();
        let mut fields = Fields::parse(json.as_bytes())?;
        let filename = fields.text("filename", FILENAME_MAX_BYTES);
        if filename.chars().any(char::is_control) {
            fields.wrong("filename", "no control characters");
        }
        let mime = fields.text("mime", MIME_MAX_BYTES);
        if !mime.is_empty() && !sniff::is_mime(&mime) {
            fields.wrong("mime", "expected a type and subtype, such as image/png");
        }
        let size_bytes = fields.number("size_bytes", 1..=1 << 40);
        if !fields.has("size_bytes") {
            fields.required("size_bytes");
        }
        match &self.data {
            None if fields.has("data_base64") => fields.wrong("data_base64", "expected a string"),
            None => fields.required("data_base64"),
            Some(data) if data.is_broken => fields.wrong("data_base64", "expected base64"),
            Some(data) if data.incoming.size_bytes() == 0 => {
                fields.wrong("data_base64", "must not be empty");
            }
            Some(data) if size_bytes.is_some_and(|said| said != data.incoming.size_bytes()) => {
                let text = format!("data_base64 has {} bytes", data.incoming.size_bytes());
                fields.wrong("size_bytes", text);
            }
            Some(_) => {}
        }
        fields.finish()?;
        let Some(data) = self.data else {
            return Err(Invalid::field("data_base64", "required"));
        };
        Ok(NewFile {
            filename,
            mime,
            incoming: data.incoming,
            head: data.head,
            is_utf8: data.is_utf8,
        })
    }
}

/// Whether bytes are text in UTF-8, piece by piece.
#[derive(Default)]
struct Utf8 {
    /// The beginning of a character whose end is yet to come.
    begun: Vec<u8>,
    is_broken: bool,
}

impl Utf8 {
    fn push(&mut self, piece: &[u8]) {
        if self.is_broken || piece.contains(&0) {
            self.is_broken = true;
            return;
        }
        let joined;
        let bytes = match self.begun.is_empty() {
            true => piece,
            false => {
                joined = [self.begun.as_slice(), piece].concat();
                &joined
            }
        };
        match std::str::from_utf8(bytes) {
            Ok(_) => self.begun = Vec::new(),
            Err(error) if error.error_len().is_none() => {
                self.begun = bytes[error.valid_up_to()..].to_vec();
            }
            Err(_) => self.is_broken = true,
        }
    }

    fn is_whole(&self) -> bool {
        !self.is_broken && self.begun.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_recognised_wherever_it_is_cut() {
        let text = "aä€😀".as_bytes();
        for cut in 0..text.len() {
            let mut utf8 = Utf8::default();
            utf8.push(&text[..cut]);
            utf8.push(&text[cut..]);
            assert!(utf8.is_whole(), "cut at {cut}");
        }
        for broken in [b"\xff".as_slice(), b"a\0b", b"\xe2\x82"] {
            let mut utf8 = Utf8::default();
            utf8.push(broken);
            assert!(!utf8.is_whole(), "{broken:?}");
        }
    }
}
