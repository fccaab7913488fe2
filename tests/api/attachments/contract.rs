//! POST and GET /v1/attachments as contract.md has them.

use serde_json::json;

use super::PNG;
use crate::support::{Relay, base64, body_hash, upload_body};

#[tokio::test]
async fn a_file_comes_back_as_it_was_sent_and_only_to_be_saved() {
    let relay = Relay::start().await;
    let [agent] = relay.agents(["agent"]).await;
    let bytes: Vec<u8> = [PNG, &vec![7; 300_000]].concat();
    let made = agent.upload("Bild \"1\".png", "image/png", &bytes).await;
    for (field, expected) in [
        ("filename", json!("Bild \"1\".png")),
        ("mime", json!("image/png")),
        ("size_bytes", json!(bytes.len())),
        ("sha256", json!(body_hash(&bytes))),
    ] {
        assert_eq!(made[field], expected);
    }
    assert!(made["id"].as_str().unwrap().starts_with("att_"));
    assert!(made["created_at"].is_string() && made["expires_at"].is_string());
    let found = agent.download(&made).await;
    assert_eq!(found.status, 200);
    assert!(found.bytes == bytes);
    for (name, expected) in [
        ("content-type", "image/png"),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "sandbox; default-src 'none'"),
        (
            "content-disposition",
            "attachment; filename=\"Bild _1_.png\"; filename*=UTF-8''Bild%20%221%22.png",
        ),
        ("content-length", "300024"),
        ("etag", &format!("\"{}\"", body_hash(&bytes))),
    ] {
        assert_eq!(found.header(name), Some(expected), "{name}");
    }
    let target = format!("/v1/attachments/{}", made["id"].as_str().unwrap());
    let etag = found.header("etag").unwrap();
    let known = agent
        .call_with("GET", &target, "", &[("if-none-match", etag)])
        .await;
    assert_eq!((known.status, known.bytes.len()), (304, 0));
    let part = [("range", "bytes=299999-"), ("if-range", etag)];
    let part = agent.call_with("GET", &target, "", &part).await;
    assert_eq!(part.status, 206);
    assert_eq!(part.bytes.as_ref(), &bytes[299_999..]);
    let place = part.header("content-range");
    assert_eq!(place, Some("bytes 299999-300023/300024"));
}

#[tokio::test]
async fn what_a_browser_could_run_is_given_out_as_bytes() {
    let relay = Relay::builder().shared().await;
    let [agent] = relay.agents(["agent"]).await;
    for (name, mime, bytes) in [
        (
            "a.html",
            "text/html",
            b"<html><script>alert(1)</script>".as_slice(),
        ),
        (
            "a.svg",
            "image/svg+xml",
            b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        ),
        (
            "a.exe",
            "application/octet-stream",
            b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff\0\0",
        ),
    ] {
        let made = agent.upload(name, mime, bytes).await;
        assert_eq!(made["mime"], mime);
        let found = agent.download(&made).await;
        assert_eq!(
            found.header("content-type"),
            Some("application/octet-stream")
        );
        assert_eq!(found.bytes.as_ref(), bytes);
    }
}

#[tokio::test]
async fn what_is_not_right_is_refused_and_leaves_nothing() {
    let relay = Relay::builder()
        .env("EKHO_ATTACHMENT_MAX_BYTES", 4096)
        .start()
        .await;
    let [agent] = relay.agents(["agent"]).await;
    agent.upload("first", "text/plain", b"first").await;
    let post = async |body: &serde_json::Value| agent.post("/v1/attachments", body).await;
    let large = post(&upload_body("a", "application/octet-stream", &[1; 4097])).await;
    assert_eq!(
        (large.status, large.code().as_str()),
        (413, "payload_too_large")
    );
    let most = post(&upload_body("a", "application/octet-stream", &[1; 4096])).await;
    assert_eq!(most.status, 201);
    // Far beyond, it is not even read.
    let huge = post(&upload_body("a", "application/octet-stream", &[1; 1 << 20])).await;
    assert_eq!(huge.status, 413);
    for (mime, bytes) in [
        ("image/png", b"%PDF-1.7 and so on".as_slice()),
        ("text/plain", PNG),
        ("text/plain", b"\0\x01"),
        ("application/x-msdownload", b"MZ"),
    ] {
        let refused = post(&upload_body("a", mime, bytes)).await;
        let found = (refused.status, refused.code());
        assert_eq!(found, (415, "unsupported_media_type".into()), "{mime}");
    }
    let good = upload_body("a", "text/plain", b"hello");
    for (field, bad) in [
        ("filename", json!("")),
        ("filename", json!("a\nb")),
        ("filename", json!("x".repeat(256))),
        ("filename", json!(5)),
        ("mime", json!("text")),
        ("mime", json!("x/".to_string() + &"y".repeat(126))),
        ("size_bytes", json!(4)),
        ("size_bytes", json!("5")),
        ("data_base64", json!("not base64!")),
        ("data_base64", json!("")),
        ("data_base64", json!([1])),
    ] {
        for bad in [Some(bad), None] {
            let mut body = good.clone();
            match bad {
                Some(bad) => body[field] = bad,
                None => drop(body.as_object_mut().unwrap().remove(field)),
            }
            let refused = post(&body).await;
            assert_eq!(refused.status, 400, "{body}: {}", refused.text());
            let errors = &refused.json()["error"]["fieldErrors"];
            assert!(errors[field].is_array(), "{body}: {errors}");
        }
    }
    for text in ["", "[]", "{", "{} {}", "{\"data_base64\": \"aGVsbG8="] {
        let refused = agent.call("POST", "/v1/attachments", text).await;
        assert_eq!(refused.status, 400, "{text}: {}", refused.text());
    }
    // The name of a field is the only thing that is held in memory whole.
    let long = format!("{{\"{}\": 1}}", "x".repeat(70_000));
    assert_eq!(
        agent.call("POST", "/v1/attachments", long).await.status,
        400
    );
    assert_eq!(relay.attachment_files(), 2);
}

#[tokio::test]
async fn fields_may_come_in_any_order_and_unknown_ones_are_ignored() {
    let relay = Relay::builder().shared().await;
    let [agent] = relay.agents(["agent"]).await;
    agent.upload("first", "text/plain", b"first").await;
    let text = format!(
        " {{\"data_base64\":\"{}\",\"more\":[{{\"a\":1}}],\"mime\":\"text\\/plain\",\"size_bytes\":5.0,\"filename\":\"\\u00e4\"}} ",
        base64(b"hello").replace('=', "\\u003d"),
    );
    let made = agent.call("POST", "/v1/attachments", text).await.ok();
    assert_eq!(
        (&made["filename"], &made["mime"]),
        (&json!("ä"), &json!("text/plain"))
    );
    assert_eq!(agent.download(&made).await.bytes.as_ref(), b"hello");
}

#[tokio::test]
async fn a_signature_counts_for_its_body_and_once() {
    let relay = Relay::start().await;
    let [agent] = relay.agents(["agent"]).await;
    agent.upload("first", "text/plain", b"first").await;
    let good = upload_body("a", "text/plain", b"hello");
    let request = agent
        .request("POST", "/v1/attachments")
        .json(&good)
        .sealed();
    let forged = request
        .clone()
        .json(&upload_body("a", "text/plain", b"other"));
    forged
        .send()
        .await
        .refused(401, "invalid signature", "invalid_signature");
    let unsigned = agent
        .http
        .post(&format!("{}/v1/attachments", relay.url()), &good)
        .await;
    unsigned.refused(401, "missing auth headers", "missing_auth_headers");
    assert_eq!(relay.attachment_files(), 1);
    let made = request.send().await.ok();
    request
        .send()
        .await
        .refused(401, "replayed nonce", "replayed_nonce");
    assert!(relay.attachment_path(&made).exists());
    assert_eq!(relay.attachment_files(), 2);
}

#[tokio::test]
async fn who_sends_much_and_is_refused_hears_why() {
    let relay = Relay::start().await;
    let [agent] = relay.agents(["agent"]).await;
    let large = upload_body("a", "application/octet-stream", &vec![7; 25 << 20]);
    let url = format!("{}/v1/attachments", relay.url());
    // A connection that closes while the body is under way takes the answer along, now and then.
    for _ in 0..10 {
        let unsigned = agent.http.post(&url, &large).await;
        unsigned.refused(401, "missing auth headers", "missing_auth_headers");
    }
    assert_eq!(relay.attachment_files(), 0);
}

#[tokio::test]
async fn a_held_agent_neither_uploads_nor_downloads() {
    let relay = Relay::start().await;
    let operator = relay.operator().await;
    let agent = operator.enrol("agent").await;
    let made = agent.upload("a", "text/plain", b"hello").await;
    for (order, said, code) in [
        ("pause", "agent is paused", "agent_paused"),
        ("quarantine", "agent is quarantined", "agent_quarantined"),
    ] {
        operator.order(&agent, order).await;
        let body = upload_body("b", "text/plain", b"other");
        let refused = agent.post("/v1/attachments", &body).await;
        refused.refused(403, said, code);
        agent.download(&made).await.refused(403, said, code);
        operator.order(&agent, "resume").await;
    }
    assert_eq!(agent.download(&made).await.status, 200);
    assert_eq!(relay.attachment_files(), 1);
}

#[tokio::test]
async fn attachments_outlive_a_kill() {
    let mut relay = Relay::start().await;
    let [agent] = relay.agents(["agent"]).await;
    let made = agent.upload("a", "text/plain", b"hello").await;
    relay.kill();
    relay.boot().await;
    assert_eq!(agent.download(&made).await.bytes.as_ref(), b"hello");
}
