//! A disk that is full while a file comes in.

use crate::process::alone;
use crate::small_disk::SmallDisk;
use crate::support::{DEADLINE, Relay, poll_until, upload_body};

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_fills_the_disk_leaves_nothing_half_done() {
    let _turn = alone().await;
    let place = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(&place.path().join("data"), "220m") else {
        return;
    };
    let relay = Relay::builder().dir(place.path()).start().await;
    let [agent] = relay.agents(["agent"]).await;
    let made = agent.upload("first", "text/plain", b"first").await;
    let large = upload_body("large", "application/octet-stream", &vec![7; 25 << 20]);
    // Room for the body, and not for the file in it.
    disk.take(disk.free_bytes() - (45 << 20));
    let refused = agent.post("/v1/attachments", &large).await;
    let found = (refused.status, refused.code());
    assert_eq!(found, (503, "disk_full".to_string()), "{}", refused.text());
    assert!(refused.header("retry-after").is_some());
    assert_eq!(relay.attachment_files(), 1);
    assert_eq!(agent.download(&made).await.bytes.as_ref(), b"first");
    // No room to begin with.
    disk.give_back();
    disk.take(disk.free_bytes() - (20 << 20));
    let refused = agent.post("/v1/attachments", &large).await;
    assert_eq!(refused.code(), "disk_full", "{}", refused.text());
    disk.give_back();
    poll_until(DEADLINE, "room again", async || {
        let answer = agent.post("/v1/attachments", &large).await;
        (answer.status == 201).then_some(())
    })
    .await;
    assert_eq!(relay.attachment_files(), 2);
}
