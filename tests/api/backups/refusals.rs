//! What is not restored, and why: each in a sentence, and with nothing left behind.

use std::fs;
use std::path::{Path, PathBuf};

use super::{empty_like, fails, names_in, take};
use crate::support::Relay;

/// A backup, and a relay to restore it into.
async fn prepared() -> (Relay, PathBuf, Relay) {
    let mut relay = Relay::start().await;
    let operator = relay.operator().await;
    operator.enrol("agent").await;
    let (file, _) = take(&relay, "ekho.tar");
    relay.stop().await;
    let empty = empty_like(&relay);
    (relay, file, empty)
}

fn refuses(empty: &Relay, file: &Path) -> String {
    let before = names_in(&empty.data_dir());
    let said = fails(&empty.run(["backup", "restore", file.to_str().unwrap()]));
    let after = names_in(&empty.data_dir());
    assert_eq!(after, before, "something is left behind");
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_not_whole_backups() {
    let (relay, file, empty) = prepared().await;
    let bytes = fs::read(&file).unwrap();
    let bad = relay.dir().join("bad.tar");
    let verify = |content: &[u8]| {
        fs::write(&bad, content).unwrap();
        fails(&relay.run(["backup", "verify", bad.to_str().unwrap()]))
    };
    let cases: [(Vec<u8>, &str); 5] = [
        (bytes[..bytes.len() - 700].to_vec(), "cut short"),
        (bytes[..3000].to_vec(), "cut short"),
        (
            [bytes.as_slice(), b"more"].concat(),
            "4 bytes follow after its end",
        ),
        (b"no backup at all".to_vec(), "not a backup"),
        (Vec::new(), "not a backup"),
    ];
    for (content, word) in cases {
        let said = verify(&content);
        assert!(said.contains(word), "{said}");
        let said = refuses(&empty, &bad);
        assert!(said.contains(word) && said.contains("bad.tar"), "{said}");
    }
    // Every file in it, one bit each.
    let mut archive = tar::Archive::new(bytes.as_slice());
    let places: Vec<(String, usize)> = archive
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.size() > 0)
        .map(|entry| {
            let middle = entry.raw_file_position() + entry.size() / 2;
            (entry.path().unwrap().display().to_string(), middle as usize)
        })
        .collect();
    assert!(places.len() > 5, "{places:?}");
    for (name, place) in &places {
        let mut flipped = bytes.clone();
        flipped[*place] ^= 4;
        let said = verify(&flipped);
        assert!(
            said.contains("damaged") || said.contains("not a backup"),
            "{name}: {said}"
        );
    }
    let (name, place) = places
        .iter()
        .find(|(name, _)| name.ends_with(".sst"))
        .unwrap();
    let mut flipped = bytes.clone();
    flipped[*place] ^= 4;
    fs::write(&bad, flipped).unwrap();
    let said = refuses(&empty, &bad);
    assert!(
        said.contains(&format!("{name} does not match its checksum")),
        "{said}"
    );
    let output = relay.run(["backup", "verify", bad.to_str().unwrap(), "--json"]);
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&result["intact"], output.status.code()),
        (&false.into(), Some(1))
    );
    // After all that, the whole one is restored.
    let restored = empty.run(["backup", "restore", file.to_str().unwrap()]);
    assert!(restored.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_newer_form() {
    let (relay, _, empty) = prepared().await;
    let newer = relay.dir().join("newer.tar");
    let mut archive = tar::Builder::new(Vec::new());
    let json = br#"{"ekho_backup": 3, "release": "7.0.0", "what": "ever"}"#;
    let mut header = tar::Header::new_ustar();
    header.set_size(json.len() as u64);
    archive
        .append_data(&mut header, "backup.json", json.as_slice())
        .unwrap();
    fs::write(&newer, archive.into_inner().unwrap()).unwrap();
    for said in [
        refuses(&empty, &newer),
        fails(&relay.run(["backup", "show", "newer.tar"])),
        fails(&relay.run(["backup", "verify", "newer.tar"])),
    ] {
        assert!(said.contains("form 3") && said.contains("7.0.0"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_not_empty() {
    let (relay, file, empty) = prepared().await;
    let said = refuses(&relay, &file);
    assert!(
        said.contains("is not empty") && said.contains("empty directory"),
        "{said}"
    );
    fs::write(empty.data_dir().join("something.txt"), "").unwrap();
    let said = refuses(&empty, &file);
    assert!(said.contains("something.txt is in it"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_master_secret() {
    let (_relay, file, mut empty) = prepared().await;
    let secret = (
        "EKHO_MASTER_SECRET".into(),
        "another-secret-of-some-length".into(),
    );
    empty.env.push(secret);
    let said = refuses(&empty, &file);
    assert!(
        said.contains("master secret") && said.contains("secrets.toml"),
        "{said}"
    );
    empty.env.pop();
    // Without any it is restored, with a warning, and does not start before it is there.
    let secrets = fs::read(empty.data_dir().join("secrets.toml")).unwrap();
    fs::remove_file(empty.data_dir().join("secrets.toml")).unwrap();
    let output = empty.run(["backup", "restore", file.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success() && said.contains("warning: there is no master secret"),
        "{said}"
    );
    let secret = (
        "EKHO_MASTER_SECRET".into(),
        "another-secret-of-some-length".into(),
    );
    let session = (
        "EKHO_OPERATOR_SESSION_SECRET".into(),
        "some-session-secret-of-length".into(),
    );
    empty.env.extend([secret, session]);
    empty.spawn();
    assert!(!empty.wait_exit().await.success());
    assert!(
        empty.log().contains("EKHO_MASTER_SECRET"),
        "{}",
        empty.log()
    );
    empty.env.truncate(empty.env.len() - 2);
    use std::os::unix::fs::PermissionsExt;
    let path = empty.data_dir().join("secrets.toml");
    fs::write(&path, secrets).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    empty.boot().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn times_that_cannot_be() {
    let (_relay, file, empty) = prepared().await;
    let file = file.to_str().unwrap();
    for (time, word) in [
        ("2999-01-01T00:00:00Z", "has passed"),
        ("2020-01-01T00:00:00Z", "there is data of"),
        ("yesterday", "--lost-at"),
    ] {
        let output = empty.run(["backup", "restore", file, "--lost-at", time]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(word), "{said}");
    }
}
