//! Events of the original, which come into a file and not into the audit log.

use std::fs;
use std::os::unix::fs::MetadataExt;

use serde_json::{Value, json};

use super::fixture::FLEET;
use super::{counts, import, run, scene, table_of};

#[tokio::test]
async fn events_come_into_a_file_oldest_first() {
    let (relay, _, original) = scene().await;
    let insert = "INSERT INTO events (id, fleet_id, event_type, actor_kind, actor_id, payload_json, \
                  created_at) VALUES (?1, ?2, ?3, 'agent', 'agent_1', ?4, ?5)";
    for (id, payload, at) in [
        ("evt_9", "{\"n\": 1}", "2026-01-01 10:00:00"),
        ("evt_2", "no json", "whenever"),
    ] {
        let values = [id, FLEET, "message.queued", payload, at];
        original.db.execute(insert, values).unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history.jsonl");
    let history = path.to_str().unwrap();
    let report = import(&relay, &original, &[]);
    assert_eq!(counts(&report, "events"), (0, 0, 3));
    let report = import(&relay, &original, &["--history", history, "--dry-run"]);
    assert_eq!(table_of(&report, "events")["parts"], 2);
    assert!(!path.exists());

    let report = import(&relay, &original, &["--history", history]);
    let events = table_of(&report, "events");
    assert_eq!(
        (&events["parts"], &events["part_of"]),
        (&json!(2), &json!("the history"))
    );
    assert_eq!(counts(&report, "events"), (0, 0, 1), "of another fleet");
    assert_eq!(events["ignored_columns"], json!(["trace"]));
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert_eq!(
        lines[0],
        json!({ "ekho_history": 1, "fleet_id": FLEET, "fleet_name": "acme" })
    );
    assert_eq!(
        lines[1],
        json!({
            "id": "evt_9", "event_type": "message.queued", "actor_kind": "agent",
            "actor_id": "agent_1", "resource_kind": null, "resource_id": null,
            "conversation_id": null, "payload": { "n": 1 },
            "created_at": "2026-01-01T10:00:00.000Z",
        })
    );
    assert_eq!(lines[2]["payload"], "no json");
    assert_eq!(lines[2]["created_at"], "whenever");
    assert_eq!(lines[3], json!({ "end": true, "events": 2 }));

    // Whatever is there stays.
    let refused = run(&relay, &original, &["--history", history]);
    assert_eq!(refused.status.code(), Some(2));
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    let nowhere = dir.path().join("absent/history.jsonl");
    let refused = run(&relay, &original, &["--history", nowhere.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("absent/history.jsonl"), "{said}");
}
