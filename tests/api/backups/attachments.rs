//! Attachments in backups: their files, checked, and there again after a restore.

use std::fs;
use std::process::Command;

use serde_json::json;

use super::{at, empty_like, fails, json, restore, take};
use crate::support::{Relay, direct};

#[tokio::test]
async fn files_of_attachments_are_in_a_backup_and_come_back() {
    let mut relay = Relay::builder()
        .env("EKHO_TIMESTAMP_SKEW_SECONDS", 2)
        .start()
        .await;
    let [writer, reader] = relay.agents(["writer", "reader"]).await;
    let large: Vec<u8> = (0..2_000_000_u32).map(|n| (n % 253) as u8).collect();
    let first = writer
        .upload("a.bin", "application/octet-stream", &large)
        .await;
    let mut message = direct(&reader.id, "with a file");
    message["attachment_ids"] = json!([first["id"]]);
    writer.send(&message).await;
    let second = writer.upload("b.txt", "text/plain", b"hello").await;
    let same = writer.upload("c.txt", "text/plain", b"hello").await;
    let (file, said) = take(&relay, "ekho.tar");
    assert_eq!(said["attachments"], 2, "{said}");
    assert_eq!(said["attachments_missing"], 0);
    let verified = json(&relay.run(["backup", "verify", "ekho.tar", "--json"]));
    assert_eq!(verified["intact"], true);
    // What lies aside while a backup is taken goes.
    let aside = fs::read_dir(relay.data_dir().join("attachments/tmp")).unwrap();
    assert_eq!(aside.count(), 0);
    let unpacked = relay.dir().join("unpacked");
    fs::create_dir(&unpacked).unwrap();
    let script = "tar -xf ../ekho.tar && sha256sum --quiet -c SHA256SUMS";
    let mut sh = Command::new("sh");
    let checked = sh.args(["-c", script]).current_dir(&unpacked);
    assert!(checked.status().unwrap().success());
    relay.kill();

    let mut restored = empty_like(&relay);
    restore(&restored, &file, &[]);
    restored.boot().await;
    let (writer, reader) = (at(&writer, &restored), at(&reader, &restored));
    assert!(reader.download(&first).await.bytes == large);
    for made in [&second, &same] {
        assert_eq!(writer.download(made).await.bytes.as_ref(), b"hello");
    }
    assert_eq!(restored.metric("ekho_attachments_total").await, Some(3.0));

    // A flipped bit is noticed.
    let mut bytes = fs::read(&file).unwrap();
    let place = bytes.len() - 300_000;
    bytes[place] ^= 1;
    fs::write(relay.dir().join("flipped.tar"), &bytes).unwrap();
    let said = fails(&relay.run(["backup", "verify", "flipped.tar"]));
    assert!(said.contains("attachments/"), "{said}");
}

#[tokio::test]
async fn a_damaged_file_ends_a_backup_and_a_missing_one_is_counted() {
    let relay = Relay::start().await;
    let [writer] = relay.agents(["writer"]).await;
    let made = writer.upload("a.txt", "text/plain", b"hello").await;
    fs::write(relay.attachment_path(&made), b"jello").unwrap();
    fails(&relay.run(["backup", "create", "--output", "first.tar"]));
    // Nobody else has it.
    assert!(!relay.attachment_path(&made).exists());
    let (_, said) = take(&relay, "second.tar");
    assert_eq!(
        (&said["attachments"], &said["attachments_missing"]),
        (&json!(0), &json!(1))
    );
}
