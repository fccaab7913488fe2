//! Attachments: how they are uploaded, and where their files lie.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Agent, Answer, DEADLINE, Relay, poll_until};

/// base64 as the SDKs of the original write it.
pub fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len() / 3 * 4 + 4);
    for chunk in bytes.chunks(3) {
        let mut three = [0; 3];
        three[..chunk.len()].copy_from_slice(chunk);
        let number = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        for place in 0..4 {
            let digit = (number >> (18 - 6 * place)) & 63;
            text.push(match place <= chunk.len() {
                true => ALPHABET[digit as usize] as char,
                false => '=',
            });
        }
    }
    text
}

/// The body of an upload.
pub fn upload_body(filename: &str, mime: &str, bytes: &[u8]) -> Value {
    json!({
        "filename": filename,
        "mime": mime,
        "size_bytes": bytes.len(),
        "data_base64": base64(bytes),
    })
}

impl Agent {
    /// Uploads a file, once every node understands attachments, which takes a moment after a start.
    pub async fn upload(&self, filename: &str, mime: &str, bytes: &[u8]) -> Value {
        let body = upload_body(filename, mime, bytes);
        let answer = poll_until(DEADLINE, "an upload", async || {
            let answer = self.post("/v1/attachments", &body).await;
            (answer.status != 409 || answer.code() != "conflict").then_some(answer)
        })
        .await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer.json()
    }

    /// Downloads a file that was uploaded.
    pub async fn download(&self, made: &Value) -> Answer {
        let id = made["id"].as_str().expect("an id");
        self.get(&format!("/v1/attachments/{id}")).await
    }
}

impl Relay {
    /// Where the file of an attachment lies on a node.
    pub fn attachment_path(&self, made: &Value) -> PathBuf {
        let hash = made["sha256"].as_str().expect("a hash");
        let dir = self.data_dir().join("attachments");
        dir.join(&hash[..2]).join(&hash[2..4]).join(hash)
    }

    /// Files of attachments on a node, finished or not.
    pub fn attachment_files(&self) -> usize {
        fn count(dir: &Path) -> usize {
            let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
            entries
                .map(|entry| match entry.path().is_dir() {
                    true => count(&entry.path()),
                    false => 1,
                })
                .sum()
        }
        count(&self.data_dir().join("attachments"))
    }
}
