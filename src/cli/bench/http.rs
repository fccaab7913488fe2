//! A plain HTTP/1.1 client of one connection and one request at a time, made to cost little: the
//! generator shares its cores with the relay it measures. Knows nothing of Ekho.
//!
//! Reads answers with a content length, chunked, or ended by the close of the connection. Bounded:
//! the head of an answer to 64 KiB, its body to 256 MiB.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::error::BenchError;

const MAX_HEAD_BYTES: usize = 64 * 1024;
const MAX_BODY_BYTES: usize = 256 * 1024 * 1024;
/// Room for the head and a short body, so that most answers take one read.
const READ_BYTES: usize = 16 * 1024;

/// Where the relay is.
#[derive(Debug, Clone)]
pub struct Target {
    /// The base address, without a trailing slash.
    pub url: String,
    /// HOST:PORT, for the Host header.
    pub host: String,
    /// The address connections go to.
    pub address: SocketAddr,
}

impl Target {
    /// Looks up `http://HOST[:PORT]` once. Anything else is an error, https with its reason.
    pub async fn resolve(url: &str) -> Result<Self, BenchError> {
        let refuse = |why: &str| BenchError::Url {
            url: url.to_owned(),
            why: why.to_owned(),
        };
        let url_trimmed = url.trim_end_matches('/');
        if url_trimmed.starts_with("https://") {
            return Err(refuse(
                "the bench speaks plain http only, so that its own cost stays small; \
                 start the relay without TLS on a loopback address to measure it",
            ));
        }
        let Some(host) = url_trimmed.strip_prefix("http://") else {
            return Err(refuse("must begin with http://"));
        };
        if host.is_empty() || host.contains(['/', '?', '#', '@']) {
            return Err(refuse("must be http://HOST:PORT without a path or user"));
        }
        let has_port = host.rsplit_once(':').is_some_and(|(before, port)| {
            // The last colon of a bracketed IPv6 address may be inside the brackets.
            !port.contains(']') && (before.starts_with('[') == before.ends_with(']'))
        });
        let with_port = if has_port {
            host.to_owned()
        } else {
            format!("{host}:80")
        };
        let address = tokio::net::lookup_host(&with_port)
            .await
            .map_err(|e| refuse(&e.to_string()))?
            .next()
            .ok_or_else(|| refuse("the name has no address"))?;
        Ok(Self {
            url: url_trimmed.to_owned(),
            host: host.to_owned(),
            address,
        })
    }
}

/// Why there was no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpError {
    /// The connection was closed or reset.
    Closed,
    /// What arrived is not an HTTP/1.1 answer, or is larger than the limits above.
    Protocol(&'static str),
}

impl From<io::Error> for HttpError {
    fn from(_: io::Error) -> Self {
        Self::Closed
    }
}

/// How the end of a body is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    status: u16,
    /// Bytes of the head, with the empty line.
    len: usize,
    framing: Framing,
    keep_alive: bool,
}

/// A kept-alive connection to the relay.
///
/// Lives until the first failure or until the relay says it closes; its owner opens another.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
    /// Where the last answer's body is: in `input`, or for a chunked one in `decoded`.
    body: std::ops::Range<usize>,
    decoded: Vec<u8>,
    chunked: bool,
    keep_alive: bool,
}

impl Connection {
    /// Connects, without Nagle's delay.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            input: Vec::with_capacity(READ_BYTES),
            body: 0..0,
            decoded: Vec::new(),
            chunked: false,
            keep_alive: true,
        })
    }

    /// Writes one whole request and reads its answer; returns the status.
    ///
    /// Not safe to cancel: a connection whose exchange was dropped must be dropped too.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<u16, HttpError> {
        self.input.clear();
        self.decoded.clear();
        self.stream.write_all(request).await?;
        let head = loop {
            match parse_head(&self.input)? {
                // An interim answer (100, 103) precedes the one that counts.
                Some(head) if head.status < 200 => drop(self.input.drain(..head.len)),
                Some(head) => break head,
                None if self.input.len() > MAX_HEAD_BYTES => {
                    return Err(HttpError::Protocol("head too long"));
                }
                None => self.fill().await?,
            }
        };
        self.keep_alive = head.keep_alive;
        self.chunked = head.framing == Framing::Chunked;
        match head.framing {
            Framing::Length(len) => {
                let end = head.len + len;
                while self.input.len() < end {
                    self.fill().await?;
                }
                if self.input.len() > end {
                    return Err(HttpError::Protocol("bytes after the answer"));
                }
                self.body = head.len..end;
            }
            Framing::Chunked => self.read_chunks(head.len).await?,
            Framing::UntilClose => {
                self.keep_alive = false;
                while self.read_some().await? > 0 {
                    if self.input.len() > head.len + MAX_BODY_BYTES {
                        return Err(HttpError::Protocol("body too long"));
                    }
                }
                self.body = head.len..self.input.len();
            }
        }
        Ok(head.status)
    }

    /// The body of the last answer.
    pub fn body(&self) -> &[u8] {
        if self.chunked {
            &self.decoded
        } else {
            self.input.get(self.body.clone()).unwrap_or_default()
        }
    }

    /// Whether another request may follow on this connection.
    pub fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    async fn read_some(&mut self) -> Result<usize, HttpError> {
        if self.input.capacity() - self.input.len() < READ_BYTES / 2 {
            self.input.reserve(self.input.len().max(READ_BYTES));
        }
        Ok(self.stream.read_buf(&mut self.input).await?)
    }

    /// Reads more, where more must come.
    async fn fill(&mut self) -> Result<(), HttpError> {
        match self.read_some().await? {
            0 => Err(HttpError::Closed),
            _ => Ok(()),
        }
    }

    async fn read_chunks(&mut self, mut at: usize) -> Result<(), HttpError> {
        loop {
            let line_end = loop {
                match find(&self.input, at, b"\r\n") {
                    Some(end) => break end,
                    None if self.input.len() - at > 1024 => {
                        return Err(HttpError::Protocol("chunk line too long"));
                    }
                    None => self.fill().await?,
                }
            };
            let size =
                chunk_size(&self.input[at..line_end]).ok_or(HttpError::Protocol("chunk size"))?;
            at = line_end + 2;
            if self.decoded.len() + size > MAX_BODY_BYTES {
                return Err(HttpError::Protocol("body too long"));
            }
            if size == 0 {
                return self.read_trailers(at).await;
            }
            while self.input.len() < at + size + 2 {
                self.fill().await?;
            }
            self.decoded.extend_from_slice(&self.input[at..at + size]);
            if &self.input[at + size..at + size + 2] != b"\r\n" {
                return Err(HttpError::Protocol("chunk end"));
            }
            at += size + 2;
        }
    }

    async fn read_trailers(&mut self, mut at: usize) -> Result<(), HttpError> {
        loop {
            match find(&self.input, at, b"\r\n") {
                Some(end) if end == at => return Ok(()),
                Some(end) => at = end + 2,
                None if self.input.len() - at > MAX_HEAD_BYTES => {
                    return Err(HttpError::Protocol("trailers too long"));
                }
                None => self.fill().await?,
            }
        }
    }
}

fn find(haystack: &[u8], from: usize, needle: &[u8]) -> Option<usize> {
    let rest = haystack.get(from..)?;
    rest.windows(needle.len())
        .position(|window| window == needle)
        .map(|at| from + at)
}

/// The number before any chunk extension, in hexadecimal.
fn chunk_size(line: &[u8]) -> Option<usize> {
    let digits = line.split(|&b| b == b';').next()?.trim_ascii();
    let text = std::str::from_utf8(digits).ok()?;
    if text.starts_with('+') {
        return None;
    }
    usize::from_str_radix(text, 16).ok()
}

/// The head of an answer, or none while it is incomplete. RFC 9112.
fn parse_head(input: &[u8]) -> Result<Option<Head>, HttpError> {
    let Some(end) = find(input, 0, b"\r\n\r\n") else {
        return Ok(None);
    };
    let mut lines = input[..end]
        .split(|&b| b == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let status_line = lines.next().unwrap_or_default();
    let version_1_0 = status_line.starts_with(b"HTTP/1.0 ");
    if !version_1_0 && !status_line.starts_with(b"HTTP/1.1 ") {
        return Err(HttpError::Protocol("not an HTTP/1.1 answer"));
    }
    let status = status_line
        .get(9..12)
        .and_then(|digits| std::str::from_utf8(digits).ok())
        .and_then(|digits| digits.parse::<u16>().ok())
        .filter(|status| (100..1000).contains(status))
        .ok_or(HttpError::Protocol("status"))?;
    let mut framing = Framing::UntilClose;
    let mut keep_alive = !version_1_0;
    for line in lines {
        let Some(colon) = line.iter().position(|&b| b == b':') else {
            continue;
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            let len = std::str::from_utf8(value)
                .ok()
                .and_then(|value| value.parse::<usize>().ok())
                .filter(|&len| len <= MAX_BODY_BYTES)
                .ok_or(HttpError::Protocol("content-length"))?;
            // Where both are given, the transfer encoding counts.
            if framing != Framing::Chunked {
                framing = Framing::Length(len);
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err(HttpError::Protocol("transfer-encoding"));
            }
            framing = Framing::Chunked;
        } else if name.eq_ignore_ascii_case(b"connection") {
            if value.eq_ignore_ascii_case(b"close") {
                keep_alive = false;
            } else if value.eq_ignore_ascii_case(b"keep-alive") {
                keep_alive = true;
            }
        }
    }
    if status < 200 || status == 204 || status == 304 {
        framing = Framing::Length(0);
    }
    Ok(Some(Head {
        status,
        len: end + 4,
        framing,
        keep_alive,
    }))
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
