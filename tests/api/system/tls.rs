//! TLS from files, read again on SIGHUP and when they change

use std::path::{Path, PathBuf};
use std::process::Command;

use ekho_client::{
    ClientBuilder, EkhoAgentClient, EnrollRequest, Heartbeat, InboxQuery, MessageType, Recipient,
    RetryPolicy, SendMessage,
};
use rustix::process::Signal;
use serde_json::json;

use super::raw::Raw;
use crate::support::{DEADLINE, Relay, poll_until};

/// Makes a key and a certificate for 127.0.0.1 that is its own authority.
pub fn certificate(dir: &Path) -> (PathBuf, PathBuf) {
    let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args([
            "-subj",
            "/CN=ekho-test",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
        ])
        // Authorities do not serve; the certificate is trusted by itself.
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .output()
        .expect("openssl can be started");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    (cert, key)
}

/// A client that trusts one certificate and gives up soon.
fn trusting(builder: ClientBuilder, cert: &[u8]) -> ClientBuilder {
    builder.root_certificate_pem(cert).retry(RetryPolicy {
        max_rounds: 1,
        ..RetryPolicy::default()
    })
}

/// A call of gRPC as it is on the wire, of a method that takes an empty message.
async fn grpc_over_tls(url: &str, pem: &[u8]) -> reqwest::Response {
    let trusted = reqwest::Certificate::from_pem(pem).unwrap();
    let client = reqwest::Client::builder().add_root_certificate(trusted);
    let call = client
        .build()
        .unwrap()
        .post(format!("{url}/lf.a2a.v1.A2AService/ListTasks"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("a2a-version", "1.0")
        .body(vec![0; 5]);
    call.send().await.unwrap()
}

#[tokio::test]
async fn everything_works_over_tls() {
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = certificate(dir.path());
    let mut relay = Relay::builder()
        .env("EKHO_TLS_CERT_PATH", cert.display())
        .env("EKHO_TLS_KEY_PATH", key.display())
        .set_up();
    relay.spawn();
    let url = format!("https://127.0.0.1:{}", relay.port);
    assert_eq!(relay.credentials().relay_url, url);
    let pem = std::fs::read(&cert).unwrap();

    // The command line reaches it too, when told whom to trust.
    let token = async || {
        let output = relay.run([
            "token",
            "create",
            "--json",
            "--ca-file",
            cert.to_str().unwrap(),
        ]);
        serde_json::from_slice::<serde_json::Value>(&output.stdout)
            .ok()
            .filter(|_| output.status.success())
    };
    let first = poll_until(DEADLINE, "a token over TLS", token).await;
    let second = token().await.unwrap();
    let mut clients = Vec::new();
    for token in [&first, &second] {
        let text = |name: &str| token[name].as_str().unwrap().to_string();
        let builder = trusting(EkhoAgentClient::builder("", "").relay(&url), &pem);
        let request = EnrollRequest::new(text("fleet_id"), text("token"), "tls");
        let enrolled = builder.enroll(&request).await.unwrap();
        assert_eq!(enrolled.relay_base_url.as_deref(), Some(url.as_str()));
        clients.push(
            builder
                .credentials(&enrolled.agent_id, &enrolled.secret)
                .build()
                .unwrap(),
        );
    }
    let message = SendMessage::new(
        Recipient::agent(clients[1].agent_id()),
        MessageType::Direct,
        "conversation",
        json!({ "text": "over TLS" }),
    );
    clients[0].send_message(&message).await.unwrap();
    let query = InboxQuery {
        wait_seconds: Some(20),
        ..InboxQuery::default()
    };
    let inbox = poll_until(DEADLINE, "the message", async || {
        clients[1].get_inbox(&query).await.ok()
    })
    .await;
    assert_eq!(inbox.messages[0].body, json!({ "text": "over TLS" }));

    // gRPC as well: refused for want of a token, which takes HTTP/2.
    let answer = grpc_over_tls(&url, &pem).await;
    assert_eq!(answer.version(), reqwest::Version::HTTP_2);
    assert_eq!(answer.headers()["grpc-status"], "16");

    // Without TLS there is no answer.
    let mut raw = Raw::open(&relay).await;
    raw.write("GET /healthz HTTP/1.1\r\nhost: relay\r\n\r\n")
        .await;
    assert!(raw.answer().await.is_none(), "no answer in clear text");

    // SIGHUP reads again what is there, changed or not.
    relay.signal(Signal::HUP);
    poll_until(DEADLINE, "the same once more", async || {
        relay
            .log()
            .contains("certificate and key read again")
            .then_some(())
    })
    .await;

    // A renewed certificate is served after SIGHUP, and a broken one is not.
    certificate(dir.path());
    let renewed = std::fs::read(&cert).unwrap();
    let beats = async |pem: &[u8]| {
        let builder =
            EkhoAgentClient::builder(first["fleet_id"].as_str().unwrap(), "secret").relay(&url);
        let result = trusting(builder, pem)
            .build()
            .unwrap()
            .heartbeat(&Heartbeat::default())
            .await;
        // Refused by the relay means that the connection was trusted.
        result.err().and_then(|error| error.status_code()) == Some(401)
    };
    relay.signal(Signal::HUP);
    poll_until(DEADLINE, "the new certificate", async || {
        beats(&renewed).await.then_some(())
    })
    .await;
    assert!(!beats(&pem).await, "the old one is gone");
    std::fs::write(&cert, "not a certificate").unwrap();
    relay.signal(Signal::HUP);
    poll_until(DEADLINE, "a complaint", async || {
        relay
            .log()
            .contains("keeping the certificate in use")
            .then_some(())
    })
    .await;
    assert!(beats(&renewed).await, "the one in use stays");

    // Nor does a key that is gone end anything.
    std::fs::remove_file(&key).unwrap();
    relay.signal(Signal::HUP);
    poll_until(DEADLINE, "another complaint", async || {
        let log = relay.log();
        log.contains("key.pem cannot be read").then_some(())
    })
    .await;
    assert!(beats(&renewed).await, "the one in use stays");

    // Without a signal as well, some seconds after the files have become others.
    certificate(dir.path());
    let later = std::fs::read(&cert).unwrap();
    poll_until(DEADLINE, "the next certificate", async || {
        beats(&later).await.then_some(())
    })
    .await;
    relay.stop().await;
}

#[tokio::test]
async fn without_tls_sighup_changes_nothing() {
    let mut relay = Relay::start().await;
    let pid = relay.pid();
    for count in 1..=2 {
        relay.signal(Signal::HUP);
        poll_until(DEADLINE, "a line about it", async || {
            let log = relay.log();
            let said = log.matches("there is no certificate to read again");
            (said.count() == count).then_some(())
        })
        .await;
    }
    assert_eq!(relay.get("/readyz").await.status, 200);
    assert!(relay.is_running());
    assert_eq!(relay.pid(), pid);
    relay.stop().await;
}

#[tokio::test]
async fn without_its_certificate_a_relay_does_not_start() {
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = certificate(dir.path());
    let mut relay = Relay::builder().set_up();
    for (name, path) in [("CERT", &cert), ("KEY", &key)] {
        let variable = format!("EKHO_TLS_{name}_PATH");
        relay.env.push((variable, path.display().to_string()));
    }
    std::fs::remove_file(&cert).unwrap();
    relay.spawn();
    assert_eq!(relay.wait_exit().await.code(), Some(1));
    let said = relay.log();
    assert!(
        said.contains("cert.pem cannot be read: No such file")
            && said.contains("EKHO_TLS_CERT_PATH"),
        "{said}"
    );
}
