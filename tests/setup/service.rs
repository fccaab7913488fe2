//! The relay as a service: what systemd is told, and how the journal gets its lines

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;

use crate::support::{DEADLINE, Relay, poll_until};

#[tokio::test]
async fn systemd_is_told_when_it_is_ready_and_when_it_stops() {
    let mut relay = Relay::builder().set_up();
    let path = relay.dir().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_nonblocking(true).unwrap();
    let told = async || {
        poll_until(DEADLINE, "a word to systemd", async || {
            let mut buffer = [0; 256];
            let count = socket.recv(&mut buffer).ok()?;
            Some(String::from_utf8_lossy(&buffer[..count]).trim().to_string())
        })
        .await
    };
    relay
        .env
        .push(("NOTIFY_SOCKET".into(), path.display().to_string()));
    relay.spawn();
    assert_eq!(told().await, "READY=1");
    // It answers at once: whatever is started after it may rely on it.
    relay.wait_ready().await;
    relay.stop().await;
    assert_eq!(told().await, "STOPPING=1");
}

#[tokio::test]
async fn the_journal_gets_priorities_and_no_time_of_its_own() {
    let mut relay = Relay::builder().env("EKHO_LOG_FORMAT", "pretty").set_up();
    let log = relay.dir().join("relay.log");
    let metadata = File::create(&log).unwrap().metadata().unwrap();
    let stream = format!("{}:{}", metadata.dev(), metadata.ino());
    relay.env.push(("JOURNAL_STREAM".into(), stream));
    relay.boot().await;
    relay.stop().await;
    let text = relay.log();
    let listening = text.lines().find(|line| line.contains("listening"));
    let listening = listening.unwrap_or_else(|| panic!("{text}"));
    assert!(listening.starts_with("<6>ekho::"), "{listening}");
    assert!(text.lines().all(|line| line.starts_with('<')), "{text}");

    // Elsewhere lines are for people, with their time, whatever was inherited.
    fs::remove_file(&log).unwrap();
    relay.env.push(("JOURNAL_STREAM".into(), "1:1".into()));
    relay.boot().await;
    relay.stop().await;
    let text = relay.log();
    assert!(text.lines().all(|line| line.starts_with("20")), "{text}");
}
