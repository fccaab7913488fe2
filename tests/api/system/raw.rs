//! A TCP connection on which a test says what it likes.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{DEADLINE, Relay};

/// A connection to a relay.
pub struct Raw(TcpStream);

impl Raw {
    pub async fn open(relay: &Relay) -> Self {
        Raw(TcpStream::connect(("127.0.0.1", relay.port))
            .await
            .expect("a connection"))
    }

    /// Writes bytes; false where the relay has closed the connection.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.0.write_all(bytes.as_ref()).await.is_ok()
    }

    /// Reads one answer with a content length: status and body. None where the connection ended
    /// first.
    pub async fn answer(&mut self) -> Option<(u16, String)> {
        tokio::time::timeout(DEADLINE, self.read_answer())
            .await
            .expect("an answer or the end in time")
    }

    async fn read_answer(&mut self) -> Option<(u16, String)> {
        let mut seen = Vec::new();
        loop {
            let mut more = [0; 4096];
            let count = self
                .0
                .read(&mut more)
                .await
                .ok()
                .filter(|count| *count > 0)?;
            seen.extend_from_slice(&more[..count]);
            let text = String::from_utf8_lossy(&seen).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else {
                continue;
            };
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.trim().parse::<usize>())?
                    .ok()
            });
            if body.len() >= length.unwrap_or(0) {
                let status = head.split(' ').nth(1)?.parse().ok()?;
                return Some((status, body.to_string()));
            }
        }
    }

    /// Waits until the relay closes the connection.
    pub async fn closed(&mut self) {
        let ended = async {
            let mut rest = [0; 4096];
            while self.0.read(&mut rest).await.is_ok_and(|count| count > 0) {}
        };
        tokio::time::timeout(DEADLINE, ended)
            .await
            .expect("the end of the connection in time");
    }

    /// Whether the relay has closed the connection, as far as can be seen now.
    pub async fn is_closed(&mut self) -> bool {
        let mut rest = [0; 1];
        let read = tokio::time::timeout(Duration::from_millis(1), self.0.read(&mut rest)).await;
        read.is_ok_and(|read| !read.is_ok_and(|count| count > 0))
    }
}
