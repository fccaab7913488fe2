//! Giving out a file: always as something to be saved, never as something a browser shows or runs.

use std::fmt::Write;
use std::fs::File;
use std::io::SeekFrom;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::BytesMut;
use ekho_storage::tables::attachment::Attachment;
use futures::stream;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::ApiError;
use crate::service::{Service, ServiceError};
use crate::sniff;

/// Bytes read from a file at once.
const CHUNK_BYTES: usize = 64 << 10;

/// The answer with an attachment's file, or the part of it that is asked for.
pub async fn give_out(
    service: &Service,
    attachment: &Attachment,
    asked: &HeaderMap,
) -> Result<Response, ApiError> {
    let etag = format!("\"{}\"", hex::encode(attachment.sha256));
    let mut headers = HeaderMap::new();
    let mut set = |name: header::HeaderName, text: &str| {
        let value = HeaderValue::from_str(text);
        value.map(|value| headers.insert(name, value)).map(|_| ())
    };
    let set_all = set(header::ETAG, &etag)
        .and_then(|()| set(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .and_then(|()| {
            let policy = "sandbox; default-src 'none'";
            set(header::CONTENT_SECURITY_POLICY, policy)
        })
        .and_then(|()| set(header::CACHE_CONTROL, "private, no-cache"))
        .and_then(|()| set(header::ACCEPT_RANGES, "bytes"))
        .and_then(|()| {
            set(
                header::CONTENT_DISPOSITION,
                &disposition(&attachment.filename),
            )
        })
        .and_then(|()| {
            let mime = sniff::given_out(&attachment.mime, &attachment.sniffed);
            set(header::CONTENT_TYPE, &mime)
        });
    set_all.map_err(|error| ServiceError::Internal(error.to_string()))?;
    if is_known(asked, &etag) {
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    let size_bytes = attachment.size_bytes;
    let file = service.open_blob(attachment.sha256, size_bytes).await?;
    let (status, from, to) = match range(asked, &etag, size_bytes) {
        Some((from, to)) => {
            let text = format!("bytes {from}-{}/{size_bytes}", to - 1);
            let text = HeaderValue::from_str(&text);
            let text = text.map_err(|error| ServiceError::Internal(error.to_string()))?;
            headers.insert(header::CONTENT_RANGE, text);
            (StatusCode::PARTIAL_CONTENT, from, to)
        }
        None => (StatusCode::OK, 0, size_bytes),
    };
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(to - from));
    let body = content(file, from, to - from).await?;
    Ok((status, headers, body).into_response())
}

/// So many bytes of a file from a place on.
async fn content(file: File, from: u64, length: u64) -> Result<Body, ApiError> {
    let mut file = tokio::fs::File::from_std(file);
    file.set_max_buf_size(CHUNK_BYTES);
    let sought = file.seek(SeekFrom::Start(from)).await;
    sought.map_err(ServiceError::from)?;
    let pieces = stream::try_unfold(file.take(length), |mut file| async move {
        let mut bytes = BytesMut::with_capacity(CHUNK_BYTES);
        let count = file.read_buf(&mut bytes).await?;
        Ok::<_, std::io::Error>((count > 0).then(|| (Bytes::from(bytes), file)))
    });
    Ok(Body::from_stream(pieces))
}

/// Whether who asks has it already: RFC 9110, section 13.1.2.
fn is_known(asked: &HeaderMap, etag: &str) -> bool {
    let given = asked.get_all(header::IF_NONE_MATCH).iter();
    let texts = given.filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).any(|one| {
        let one = one.trim();
        one == "*" || one.strip_prefix("W/").unwrap_or(one) == etag
    })
}

/// The one part that is asked for, first byte and the one after the last: RFC 9110, section 14.
/// What cannot be given, several parts or none that is there, is answered with the whole.
fn range(asked: &HeaderMap, etag: &str, size_bytes: u64) -> Option<(u64, u64)> {
    if let Some(of) = asked.get(header::IF_RANGE)
        && of.to_str().ok() != Some(etag)
    {
        return None;
    }
    let text = asked.get(header::RANGE)?.to_str().ok()?;
    let (first, last) = text.strip_prefix("bytes=")?.trim().split_once('-')?;
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse::<u64>().ok()).flatten()
    };
    let (from, to) = match (first, last) {
        ("", last) => (size_bytes.saturating_sub(number(last)?), size_bytes),
        (first, "") => (number(first)?, size_bytes),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if last < first {
                return None;
            }
            (first, last.saturating_add(1).min(size_bytes))
        }
    };
    (from < to).then_some((from, to))
}

/// `attachment`, with the name in a form that old clients read and in one that is exact: RFC 6266
/// and RFC 8187. What could name another folder is taken out of both.
fn disposition(filename: &str) -> String {
    let harmless = |c: char| match c {
        '/' | '\\' => '_',
        c if c.is_control() => '_',
        c => c,
    };
    let name: String = filename.chars().map(harmless).collect();
    let name = match name.trim_matches('.') {
        "" => "attachment".to_string(),
        _ => name,
    };
    let plain: String = name
        .chars()
        .map(|c| match c {
            '"' | '%' => '_',
            c if c.is_ascii() => c,
            _ => '_',
        })
        .collect();
    let exact = name.bytes().fold(String::new(), |mut text, byte| {
        let is_plain = byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte);
        match is_plain {
            true => text.push(byte as char),
            // Into a string, which takes everything.
            false => {
                let _ = write!(text, "%{byte:02X}");
            }
        }
        text
    });
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{exact}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_harmless_in_both_forms() {
        assert_eq!(
            disposition("a b.txt"),
            "attachment; filename=\"a b.txt\"; filename*=UTF-8''a%20b.txt"
        );
        assert_eq!(
            disposition("Übersicht \"1\".pdf"),
            "attachment; filename=\"_bersicht _1_.pdf\"; filename*=UTF-8''%C3%9Cbersicht%20%221%22.pdf"
        );
        let text = disposition("../../etc/passwd\r\nx: y");
        assert!(
            !text.contains('/') && !text.contains('\r') && !text.contains('\n'),
            "{text}"
        );
        assert!(disposition("..").contains("filename=\"attachment\""));
    }

    #[test]
    fn one_part_is_given_and_what_cannot_be_is_the_whole() {
        let of = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RANGE, HeaderValue::from_static(text));
            range(&headers, "\"x\"", 10)
        };
        assert_eq!(of("bytes=0-3"), Some((0, 4)));
        assert_eq!(of("bytes=4-"), Some((4, 10)));
        assert_eq!(of("bytes=-3"), Some((7, 10)));
        assert_eq!(of("bytes=-30"), Some((0, 10)));
        assert_eq!(of("bytes=4-99"), Some((4, 10)));
        for whole in [
            "bytes=10-",
            "bytes=5-4",
            "bytes=-0",
            "bytes=0-1,3-4",
            "lines=0-1",
            "bytes=a-b",
        ] {
            assert_eq!(of(whole), None, "{whole}");
        }
    }
}
