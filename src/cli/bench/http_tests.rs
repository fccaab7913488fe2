//! Tests of the HTTP client against a real socket that answers with given bytes, cut anywhere.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use tokio::net::TcpListener;

use super::*;

/// Answers one request with `pieces`, each written and flushed on its own, then holds the
/// connection open unless `close`.
async fn answer(pieces: Vec<Vec<u8>>, close: bool) -> Result<(u16, Vec<u8>, bool), HttpError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut request = [0; 64];
        assert!(stream.read(&mut request).await.unwrap() > 0);
        for piece in pieces {
            // The client may have hung up on a bad answer already.
            if stream.write_all(&piece).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        if close { None } else { Some(stream) }
    });
    let mut connection = Connection::open(address).await.unwrap();
    let status = connection.exchange(b"GET / HTTP/1.1\r\n\r\n").await?;
    let result = (status, connection.body().to_vec(), connection.keep_alive());
    drop(server.await.unwrap());
    Ok(result)
}

fn whole(text: &str) -> Vec<Vec<u8>> {
    vec![text.as_bytes().to_vec()]
}

fn bytewise(text: &str) -> Vec<Vec<u8>> {
    text.bytes().map(|b| vec![b]).collect()
}

#[tokio::test]
async fn reads_an_answer_with_a_length_whole_or_in_pieces() {
    let text = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\ncontent-LENGTH: 11\r\n\r\n{\"ok\":true}";
    for pieces in [whole(text), bytewise(text)] {
        assert_eq!(
            answer(pieces, false).await,
            Ok((200, b"{\"ok\":true}".to_vec(), true))
        );
    }
}

#[tokio::test]
async fn reads_a_chunked_answer_with_extensions_and_trailers() {
    let text = "HTTP/1.1 429 Too Many\r\nTransfer-Encoding: chunked\r\n\r\n\
                4;x=y\r\nwiki\r\nC\r\npedia \r\n\r\nok\r\n0\r\nx-sum: 1\r\n\r\n";
    for pieces in [whole(text), bytewise(text)] {
        assert_eq!(
            answer(pieces, false).await,
            Ok((429, b"wikipedia \r\n\r\nok".to_vec(), true))
        );
    }
}

#[tokio::test]
async fn a_body_without_a_length_ends_with_the_connection() {
    let text = "HTTP/1.0 200 OK\r\n\r\nuntil the end";
    assert_eq!(
        answer(whole(text), true).await,
        Ok((200, b"until the end".to_vec(), false))
    );
}

#[tokio::test]
async fn interim_answers_are_passed_over() {
    let text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
    for pieces in [whole(text), bytewise(text)] {
        assert_eq!(answer(pieces, false).await, Ok((204, Vec::new(), false)));
    }
}

#[tokio::test]
async fn a_large_body_arrives_whole() {
    let body = "x".repeat(3_000_000);
    let text = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(
        answer(whole(&text), false).await,
        Ok((200, body.into_bytes(), true))
    );
}

#[tokio::test]
async fn broken_answers_are_errors_and_not_answers() {
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n{\"ok\"";
    assert_eq!(answer(whole(cut), true).await, Err(HttpError::Closed));
    for (text, why) in [
        ("SSH-2.0-x\r\n\r\n", "not an HTTP/1.1 answer"),
        ("HTTP/1.1 2x0 OK\r\n\r\n", "status"),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
            "content-length",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n",
            "content-length",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
            "transfer-encoding",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
            "chunk size",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabc\r\n",
            "chunk end",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nabc",
            "bytes after the answer",
        ),
    ] {
        assert_eq!(
            answer(whole(text), true).await,
            Err(HttpError::Protocol(why)),
            "{text:?}"
        );
    }
}

#[tokio::test]
async fn addresses_are_http_only_and_without_a_path() {
    let target = Target::resolve("http://127.0.0.1:4000/").await.unwrap();
    assert_eq!(
        (target.host.as_str(), target.address.to_string().as_str()),
        ("127.0.0.1:4000", "127.0.0.1:4000")
    );
    assert_eq!(
        Target::resolve("http://127.0.0.1")
            .await
            .unwrap()
            .address
            .port(),
        80
    );
    assert_eq!(
        Target::resolve("http://[::1]:4001")
            .await
            .unwrap()
            .address
            .to_string(),
        "[::1]:4001"
    );
    assert_eq!(
        Target::resolve("http://[::1]")
            .await
            .unwrap()
            .address
            .to_string(),
        "[::1]:80"
    );
    let https = Target::resolve("https://relay.example")
        .await
        .unwrap_err()
        .to_string();
    assert!(https.contains("plain http only"), "{https}");
    for url in ["relay:4000", "http://", "http://a/b", "http://user@a:1"] {
        assert!(Target::resolve(url).await.is_err(), "{url} was accepted");
    }
}
