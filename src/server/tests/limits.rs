//! What is cut off, and what is not.

use super::*;
use crate::server::watch::{Verdict, Watch};

#[tokio::test]
async fn a_trickled_head_is_cut_off() -> Test {
    let running = start(Limits {
        header_timeout: SHORT,
        ..patient()
    })
    .await?;
    let mut client = Client::connect(&running).await?;
    client.send("GET /peer HTTP/1.1\r\nx-slow: ").await?;
    // One byte after the other, for as long as the relay takes them.
    let trickling = async {
        while client.send("x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, trickling)
        .await
        .map_err(|_| "it was never cut off")?;
    assert_eq!(running.cut("header"), Some(1.0));
    running.stop().await
}

#[tokio::test]
async fn so_is_a_client_that_says_nothing_or_half_a_greeting() -> Test {
    let running = start(Limits {
        header_timeout: SHORT,
        ..patient()
    })
    .await?;
    for greeting in [
        "",
        "P",
        "PRI * HTTP/2.0\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut client = Client::connect(&running).await?;
        client.send(greeting).await?;
        client.closed().await?;
    }
    until("all are counted", || running.cut("header") == Some(4.0)).await?;
    running.stop().await
}

#[tokio::test]
async fn a_later_head_on_the_same_connection_is_no_exception() -> Test {
    let running = start(Limits {
        header_timeout: SHORT,
        ..patient()
    })
    .await?;
    let mut client = Client::connect(&running).await?;
    client.get("/peer").await?;
    client.send("GET /peer HTTP/1.1\r\n").await?;
    client.closed().await?;
    assert_eq!(
        (running.cut("header"), running.cut("idle")),
        (Some(1.0), Some(0.0))
    );
    running.stop().await
}

#[tokio::test]
async fn an_answer_may_take_its_time() -> Test {
    let running = start(Limits {
        header_timeout: SHORT,
        ..patient()
    })
    .await?;
    let mut waiting = Client::connect(&running).await?;
    waiting
        .send("GET /held HTTP/1.1\r\nhost: test\r\n\r\n")
        .await?;
    running.arrived.acquire().await?.forget();
    // Two connections that came later are cut off one after the other: time enough has passed.
    for _ in 0..2 {
        Client::connect(&running).await?.closed().await?;
    }
    running.gate.add_permits(1);
    assert_eq!(waiting.answer().await?.1, "released");
    running.stop().await
}

#[tokio::test]
async fn a_body_that_does_not_come_is_cut_off() -> Test {
    let running = start(Limits {
        body_timeout: SHORT,
        header_timeout: SHORT,
        ..patient()
    })
    .await?;
    let mut client = Client::connect(&running).await?;
    client
        .send("POST /echo HTTP/1.1\r\nhost: test\r\ncontent-length: 5\r\n\r\nhel")
        .await?;
    client.closed().await?;
    assert_eq!(running.cut("body"), Some(1.0));
    running.stop().await
}

#[tokio::test]
async fn an_idle_connection_is_closed() -> Test {
    let running = start(Limits {
        idle_timeout: SHORT,
        ..patient()
    })
    .await?;
    let mut client = Client::connect(&running).await?;
    client.get("/peer").await?;
    client.closed().await?;
    assert_eq!(running.cut("idle"), Some(1.0));
    running.stop().await
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() -> Test {
    let running = start(Limits {
        max_connections: 2,
        ..patient()
    })
    .await?;
    let mut first = Client::connect(&running).await?;
    let mut second = Client::connect(&running).await?;
    first.get("/peer").await?;
    second.get("/peer").await?;

    let mut third = Client::connect(&running).await?;
    third
        .send("GET /peer HTTP/1.1\r\nhost: test\r\n\r\n")
        .await?;
    let (head, body) = third.answer().await?;
    assert!(
        head.starts_with("HTTP/1.1 503 ") && head.contains("connection: close"),
        "{head}"
    );
    let body: serde_json::Value = serde_json::from_str(&body)?;
    assert_eq!(body["code"], "too_many_connections");
    third.closed().await?;
    assert_eq!(running.cut("limit"), Some(1.0));
    first.get("/peer").await?;

    drop(second);
    let admitted = async {
        loop {
            let mut again = Client::connect(&running).await?;
            again
                .send("GET /peer HTTP/1.1\r\nhost: test\r\n\r\n")
                .await?;
            if again.answer().await?.0.starts_with("HTTP/1.1 200 ") {
                return Fallible::Ok(());
            }
        }
    };
    tokio::time::timeout(DEADLINE, admitted).await??;
    running.stop().await
}

#[tokio::test]
async fn a_head_without_end_is_refused() -> Test {
    let running = start(patient()).await?;
    let mut client = Client::connect(&running).await?;
    let head = format!(
        "GET /peer HTTP/1.1\r\nx-long: {}\r\n\r\n",
        "x".repeat(256 << 10)
    );
    // It may be refused before it has been sent whole.
    let _ = client.send(&head).await;
    let refused = match client.answer().await {
        Ok((head, _)) => head.starts_with("HTTP/1.1 431 "),
        Err(_) => true,
    };
    assert!(refused);
    Client::connect(&running).await?.get("/peer").await?;
    running.stop().await
}

#[test]
fn the_watch_tells_what_a_connection_owes() {
    let none = Duration::ZERO;
    let watch = Watch::new(Limits {
        header_timeout: none,
        ..patient()
    });
    assert_eq!(watch.verdict(), Verdict::Close(Cut::Header));

    let watch = Watch::new(Limits {
        idle_timeout: none,
        body_timeout: none,
        ..patient()
    });
    assert!(
        matches!(watch.verdict(), Verdict::Wait(_)),
        "the first head has time"
    );
    let active = watch.request(false);
    assert!(
        matches!(watch.verdict(), Verdict::Wait(_)),
        "an answer has time"
    );
    let body = watch.body();
    assert_eq!(watch.verdict(), Verdict::Close(Cut::Body));
    drop(body);
    assert!(matches!(watch.verdict(), Verdict::Wait(_)));
    let other = watch.request(false);
    drop(active);
    assert!(
        matches!(watch.verdict(), Verdict::Wait(_)),
        "another answer is under way"
    );
    drop(other);
    assert_eq!(watch.verdict(), Verdict::Close(Cut::Idle));
    watch.bytes_read();
    assert!(
        matches!(watch.verdict(), Verdict::Wait(_)),
        "the next head has begun"
    );
}

#[test]
fn http2_frames_between_requests_are_no_head() {
    let watch = Watch::new(Limits {
        idle_timeout: Duration::ZERO,
        ..patient()
    });
    drop(watch.request(true));
    watch.bytes_read();
    assert_eq!(watch.verdict(), Verdict::Close(Cut::Idle));
}
