//! HTTP/1.1 over a plain socket: exact bytes out, and an exact account of how an exchange ended.
//! A library would hide what matters here: whether the request left, and whether a byte came back.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::sign::Request;

/// How long an answer may take. The relay may be replaying its log, or waiting for disk space.
pub const PATIENCE: Duration = Duration::from_secs(60);
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// Nothing the relay answers is larger.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// Body.
    pub body: Vec<u8>,
}

/// How an exchange ended.
#[derive(Clone, Debug)]
pub enum Exchange {
    /// With a whole answer.
    Answered(Reply),
    /// There was no connection: the request did not leave.
    NotSent,
    /// The connection ended, or the time, before the first byte of an answer.
    Unanswered,
    /// The connection ended, or the time, within an answer.
    CutShort,
}

/// A connection that is made when it is needed and kept while it works.
pub struct Line {
    address: SocketAddr,
    patience: Duration,
    stream: Option<TcpStream>,
}

impl Line {
    /// To a relay at this address. Whoever has another one to turn to waits less than [`PATIENCE`].
    pub fn new(address: SocketAddr, patience: Duration) -> Self {
        Line {
            address,
            patience,
            stream: None,
        }
    }

    /// Sends these bytes and reads the answer.
    pub async fn exchange(&mut self, request: &[u8]) -> Exchange {
        if !self.connect().await {
            return Exchange::NotSent;
        }
        if self.write(request).await.is_err() {
            // Part of it may have arrived, and all of it may have been acted on.
            self.stream = None;
            return Exchange::Unanswered;
        }
        self.read().await
    }

    /// Makes a connection where there is none.
    pub async fn connect(&mut self) -> bool {
        if self.stream.is_none() {
            let connecting = TcpStream::connect(self.address);
            let patience = self.patience.min(CONNECT_PATIENCE);
            if let Ok(Ok(stream)) = timeout(patience, connecting).await {
                // Without it small requests would wait for the peer's acknowledgements.
                let _ = stream.set_nodelay(true);
                self.stream = Some(stream);
            }
        }
        self.stream.is_some()
    }

    /// Writes without reading.
    pub async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match &mut self.stream {
            Some(stream) => stream.write_all(bytes).await,
            None => Err(std::io::ErrorKind::NotConnected.into()),
        }
    }

    /// Reads one answer; interim ones (100) are passed over.
    pub async fn read(&mut self) -> Exchange {
        let Some(mut stream) = self.stream.take() else {
            return Exchange::Unanswered;
        };
        let mut buffer = Vec::new();
        let outcome = timeout(self.patience, read_answer(&mut stream, &mut buffer)).await;
        match outcome {
            Ok(Some((reply, keep))) => {
                if keep {
                    self.stream = Some(stream);
                }
                Exchange::Answered(reply)
            }
            _ if buffer.is_empty() => Exchange::Unanswered,
            _ => Exchange::CutShort,
        }
    }

    /// Waits for the interim answer 100, which the relay gives when it begins to read a body.
    pub async fn wait_for_continue(&mut self) -> bool {
        let Some(stream) = &mut self.stream else {
            return false;
        };
        let mut seen = Vec::new();
        let mut byte = [0];
        let reading = async {
            while !seen.ends_with(b"\r\n\r\n") {
                if stream.read(&mut byte).await.unwrap_or(0) == 0 {
                    return false;
                }
                seen.push(byte[0]);
            }
            seen.starts_with(b"HTTP/1.1 100")
        };
        timeout(self.patience, reading).await.unwrap_or(false)
    }

    /// GET of an unsigned page on a connection of its own.
    pub async fn get(address: SocketAddr, patience: Duration, target: &str) -> Exchange {
        let request = format!("GET {target} HTTP/1.1\r\nhost: relay\r\nconnection: close\r\n\r\n");
        Line::new(address, patience)
            .exchange(request.as_bytes())
            .await
    }
}

/// Reads into `buffer` until it holds a whole answer; none where it ends before. Says whether the
/// connection can be used again.
async fn read_answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<(Reply, bool)> {
    loop {
        let head_bytes = loop {
            if let Some(end) = find(buffer, b"\r\n\r\n") {
                break end + 4;
            }
            more(stream, buffer).await?;
        };
        let head = String::from_utf8_lossy(&buffer[..head_bytes]).to_ascii_lowercase();
        let status: u16 = head.split(' ').nth(1)?.parse().ok()?;
        if status == 100 {
            buffer.drain(..head_bytes);
            continue;
        }
        let value = |name: &str| {
            let lines = head.lines().skip(1);
            lines
                .filter_map(|line| line.split_once(':'))
                .find(|(key, _)| *key == name)
        };
        let body_bytes: usize = value("content-length")?.1.trim().parse().ok()?;
        let keep = !value("connection").is_some_and(|(_, value)| value.contains("close"));
        while buffer.len() < head_bytes + body_bytes {
            more(stream, buffer).await?;
        }
        let body = buffer[head_bytes..head_bytes + body_bytes].to_vec();
        return Some((Reply { status, body }, keep));
    }
}

async fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    let count = stream.read_buf(buffer).await.ok()?;
    (count > 0 && buffer.len() <= MAX_ANSWER_BYTES).then_some(())
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

/// A request as the bytes that go out. Sent again, they are the same to the last bit.
pub fn render(request: &Request) -> Vec<u8> {
    let mut head = format!(
        "{} {} HTTP/1.1\r\nhost: relay\r\n",
        request.method, request.target
    );
    for (name, value) in &request.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !request.body.is_empty() {
        head.push_str("content-type: application/json\r\n");
        head.push_str(&format!("content-length: {}\r\n", request.body.len()));
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(&request.body);
    bytes
}
