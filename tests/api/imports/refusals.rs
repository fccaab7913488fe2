//! Files that are not usable, said plainly; nothing of them is imported.

use std::fs;
use std::path::Path;

use rusqlite::Connection;

use super::fixture::Original;
use super::{counts, import, ready, run, scene, table_of};
use crate::support::Relay;

#[tokio::test]
async fn a_broken_file_is_named_with_what_is_wrong() {
    let (relay, operator, original) = scene().await;
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::write(path("text.db"), "once upon a time there was a relay").unwrap();
    fs::write(path("empty.db"), "").unwrap();
    let other = Connection::open(path("other.db")).unwrap();
    other.execute_batch("CREATE TABLE songs (id TEXT)").unwrap();
    let whole = fs::read(original.path()).unwrap();
    fs::write(path("short.db"), &whole[..whole.len() / 2]).unwrap();
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle..].fill(0xff);
    fs::write(path("damaged.db"), damaged).unwrap();
    let run = |path: &Path| relay.run(["import", "sqlite", path.to_str().unwrap()]);
    for (name, why) in [
        ("text.db", "it is no SQLite database"),
        ("empty.db", "it is no SQLite database"),
        ("other.db", "it has no tables fleets and agents"),
        ("short.db", "the database is damaged"),
        ("damaged.db", "the database is damaged"),
        ("absent.db", "No such file"),
    ] {
        let output = run(&path(name));
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{name}: {said}");
        assert!(said.contains(name) && said.contains(why), "{name}: {said}");
    }
    let agents = operator.get("/v1/operator/agents").await.ok();
    assert_eq!(agents["total"], 0);
}

#[tokio::test]
async fn a_file_with_several_fleets_is_imported_fleet_by_fleet() {
    let (relay, _, original) = scene().await;
    original.fleet("flt_2", "other");
    let insert = "INSERT INTO agents (id, fleet_id, display_name, runtime, status, \
                  policy_profile, created_at) \
                  VALUES ('agent_other', 'flt_2', 'o', 'custom', 'healthy', 'default', '2026-01-01')";
    original.db.execute(insert, []).unwrap();
    let output = run(&relay, &original, &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("--fleet") && said.contains("acme, other"),
        "{said}"
    );
    let output = run(&relay, &original, &["--fleet", "third"]);
    assert_eq!(output.status.code(), Some(2));
    let report = import(&relay, &original, &["--fleet", "acme"]);
    assert_eq!(counts(&report, "agents"), (5, 0, 1));
    let report = import(&relay, &original, &["--fleet", "flt_2"]);
    assert_eq!(counts(&report, "agents"), (1, 0, 5));
    assert_eq!(counts(&report, "agent_credentials"), (0, 0, 5));
    assert_eq!(report["agents_without_secret"], 1);
    assert_eq!(counts(&report, "messages").0, 0);
}

#[tokio::test]
async fn a_row_with_a_mistake_keeps_no_other_out() {
    let (relay, _, original) = scene().await;
    original.agent("agent 6", "healthy");
    let set = "UPDATE messages SET body_json = 'hello' WHERE id = ?1";
    let id = super::fixture::message_id(3);
    original.db.execute(set, [&id]).unwrap();
    let report = import(&relay, &original, &[]);
    assert_eq!(counts(&report, "agents"), (5, 0, 1));
    assert_eq!(counts(&report, "messages"), (3, 0, 3));
    for (table, reason, example) in [
        ("agents", "id: letters, digits, . _ and - only", "agent 6"),
        ("messages", "its body_json is no JSON", id.as_str()),
    ] {
        let reasons = table_of(&report, table)["left_out"].clone();
        let mut reasons = reasons.as_array().unwrap().iter();
        let found = reasons.find(|one| one["reason"] == reason);
        let found = found.unwrap_or_else(|| panic!("{report}"));
        assert_eq!(found["examples"], serde_json::json!([example]));
    }
}

#[tokio::test]
async fn tables_and_columns_may_be_missing() {
    let relay = Relay::start().await;
    ready(&relay.operator().await).await;
    let original = Original::at_work();
    original
        .db
        .execute_batch(
            "DROP TABLE dead_letters; DROP TABLE room_members; DROP TABLE approvals;
             ALTER TABLE message_deliveries DROP COLUMN last_failure_reason;
             ALTER TABLE message_deliveries DROP COLUMN retry_count;
             ALTER TABLE agents DROP COLUMN auto_quarantined_at;
             DROP TABLE enrollment_tokens; DROP TABLE events; DROP TABLE a2a_tasks;
             CREATE TABLE enrollment_tokens (id TEXT, token_hash TEXT, expires_at TEXT);
             INSERT INTO enrollment_tokens VALUES ('ent_1', 'abc', '2026-01-01');
             CREATE TABLE a2a_tasks (task TEXT); INSERT INTO a2a_tasks VALUES ('x');
             CREATE TABLE room_members (room TEXT, member TEXT);
             INSERT INTO room_members VALUES ('room_1', 'a');
             DROP TABLE policies; CREATE TABLE policies (name TEXT, rule TEXT);
             INSERT INTO policies VALUES ('a', '{}');",
        )
        .unwrap();
    let report = import(&relay, &original, &[]);
    assert_eq!(counts(&report, "agents"), (5, 0, 0));
    assert_eq!(counts(&report, "messages").0, 4);
    assert_eq!(counts(&report, "policies"), (0, 0, 1));
    assert_eq!(counts(&report, "rooms"), (0, 0, 1));
    for table in ["room_members", "enrollment_tokens", "a2a_tasks"] {
        assert_eq!(counts(&report, table), (0, 0, 1), "{table}");
    }
}
