//! A database as the original relay leaves it: what its migrations make, and a small fleet in it.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};
use serde_json::json;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::support::{iso, now_ms};

/// The columns of the original's tables that hold anything here.
const TABLES: &str = "
CREATE TABLE fleets (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, created_at TEXT NOT NULL);
CREATE TABLE operators (id TEXT PRIMARY KEY, fleet_id TEXT NOT NULL, email TEXT NOT NULL,
    password_hash TEXT NOT NULL, role TEXT NOT NULL, created_at TEXT NOT NULL, display_name TEXT);
CREATE TABLE agents (id TEXT PRIMARY KEY, fleet_id TEXT NOT NULL, display_name TEXT NOT NULL,
    runtime TEXT NOT NULL, status TEXT NOT NULL, hostname TEXT, policy_profile TEXT NOT NULL,
    created_at TEXT NOT NULL, last_seen_at TEXT, revoked_at TEXT,
    consecutive_missed_heartbeats INTEGER NOT NULL DEFAULT 0, auto_quarantined_at TEXT,
    quarantine_reason TEXT);
CREATE TABLE agent_credentials (id TEXT PRIMARY KEY, agent_id TEXT NOT NULL,
    secret_hash TEXT NOT NULL, status TEXT NOT NULL, created_at TEXT NOT NULL, expires_at TEXT,
    revoked_at TEXT);
CREATE TABLE enrollment_tokens (id TEXT PRIMARY KEY, fleet_id TEXT NOT NULL,
    token_hash TEXT NOT NULL, created_at TEXT NOT NULL, expires_at TEXT NOT NULL, used_at TEXT);
CREATE TABLE messages (id TEXT PRIMARY KEY, fleet_id TEXT NOT NULL, conversation_id TEXT NOT NULL,
    correlation_id TEXT NOT NULL, sender_agent_id TEXT NOT NULL, recipient_kind TEXT NOT NULL,
    recipient_id TEXT, message_type TEXT NOT NULL, priority TEXT NOT NULL,
    requires_approval INTEGER NOT NULL DEFAULT 0, body_json TEXT NOT NULL, metadata_json TEXT,
    ttl_seconds INTEGER NOT NULL, created_at TEXT NOT NULL, expires_at TEXT NOT NULL,
    status TEXT NOT NULL);
CREATE TABLE message_deliveries (id TEXT PRIMARY KEY, message_id TEXT NOT NULL,
    recipient_agent_id TEXT NOT NULL, delivery_attempts INTEGER NOT NULL DEFAULT 0,
    queued_at TEXT NOT NULL, delivered_at TEXT, acked_at TEXT, status TEXT NOT NULL,
    retry_count INTEGER NOT NULL DEFAULT 0, next_retry_at TEXT, last_failure_reason TEXT);
CREATE TABLE events (id TEXT PRIMARY KEY, fleet_id TEXT NOT NULL, event_type TEXT NOT NULL,
    actor_kind TEXT, actor_id TEXT, resource_kind TEXT, resource_id TEXT, conversation_id TEXT,
    payload_json TEXT, created_at TEXT NOT NULL, trace TEXT);
CREATE TABLE approvals (id TEXT PRIMARY KEY, fleet_id TEXT NOT NULL, agent_id TEXT NOT NULL,
    conversation_id TEXT, action_type TEXT NOT NULL, risk_level TEXT NOT NULL,
    summary TEXT NOT NULL, payload_json TEXT NOT NULL, status TEXT NOT NULL,
    requested_at TEXT NOT NULL, resolved_at TEXT, resolved_by_operator_id TEXT);
CREATE TABLE policies (id TEXT PRIMARY KEY, fleet_id TEXT NOT NULL, name TEXT NOT NULL,
    scope_kind TEXT NOT NULL, scope_id TEXT, rule_json TEXT NOT NULL, enabled INTEGER NOT NULL,
    created_at TEXT NOT NULL);
CREATE TABLE dead_letters (id TEXT PRIMARY KEY, fleet_id TEXT NOT NULL,
    original_message_id TEXT NOT NULL, original_delivery_id TEXT NOT NULL,
    recipient_agent_id TEXT NOT NULL, sender_agent_id TEXT NOT NULL,
    conversation_id TEXT NOT NULL, message_type TEXT NOT NULL, body_json TEXT NOT NULL,
    metadata_json TEXT, retry_count INTEGER NOT NULL, failure_reason TEXT NOT NULL,
    dead_lettered_at TEXT NOT NULL);
CREATE TABLE rooms (id TEXT PRIMARY KEY, fleet_id TEXT NOT NULL, name TEXT NOT NULL,
    created_at TEXT NOT NULL, created_by_operator_id TEXT, created_by_agent_id TEXT);
CREATE TABLE room_members (room_id TEXT NOT NULL, agent_id TEXT NOT NULL,
    PRIMARY KEY (room_id, agent_id));
CREATE TABLE a2a_tasks (id TEXT PRIMARY KEY, fleet_id TEXT NOT NULL, context_id TEXT,
    client_agent_id TEXT, recipient_agent_id TEXT, state TEXT NOT NULL, message_id TEXT,
    status_message TEXT, history_json TEXT, artifacts_json TEXT, metadata_json TEXT,
    created_at TEXT, updated_at TEXT, webhook TEXT);
CREATE TABLE moods (agent_id TEXT, mood TEXT);
";

pub const FLEET: &str = "flt_00000000000000000000000000000001";
pub const OPERATORS_PASSWORD: &str = "correct horse";
pub const OPERATORS_EMAIL: &str = "Ada@Example.org";
/// Ids of agents, by what becomes of them.
pub const WRITER: &str = "agent_000000000000000000000000000000a1";
pub const REVIEWER: &str = "agent_000000000000000000000000000000a2";
pub const PAUSED: &str = "agent_000000000000000000000000000000a3";
pub const REVOKED: &str = "agent_000000000000000000000000000000a4";
/// Its secret is stored in another form.
pub const OPAQUE: &str = "agent_000000000000000000000000000000a5";

/// What an agent's secret was.
pub fn secret(agent: &str) -> String {
    format!("sk_{agent}")
}

fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

/// The database, and the directory that it lies in.
pub struct Original {
    pub path: PathBuf,
    pub db: Connection,
    _dir: TempDir,
}

impl Original {
    /// Tables without rows.
    pub fn empty() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ekho.db");
        let db = Connection::open(&path).unwrap();
        db.execute_batch(TABLES).unwrap();
        Original {
            path,
            db,
            _dir: dir,
        }
    }

    /// A fleet in the middle of its work.
    pub fn at_work() -> Self {
        let original = Self::empty();
        original.fleet(FLEET, "acme");
        original.people();
        for (id, status) in [
            (WRITER, "healthy"),
            (REVIEWER, "healthy"),
            (PAUSED, "paused"),
            (REVOKED, "healthy"),
            (OPAQUE, "healthy"),
        ] {
            original.agent(id, status);
        }
        let set = "UPDATE agents SET revoked_at = created_at WHERE id = ?1";
        original.db.execute(set, [REVOKED]).unwrap();
        let set = "UPDATE agent_credentials SET secret_hash = '$2b$10$abc' WHERE agent_id = ?1";
        original.db.execute(set, [OPAQUE]).unwrap();
        original.token("ent_used", 60, true);
        original.token("ent_over", 3700, false);
        original.token("ent_good", 60, false);
        original.said();
        original.decided();
        original
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn fleet(&self, id: &str, name: &str) {
        let insert = "INSERT INTO fleets VALUES (?1, ?2, ?3)";
        self.db
            .execute(insert, params![id, name, iso(now_ms())])
            .unwrap();
    }

    fn people(&self) {
        let insert = "INSERT INTO operators (id, fleet_id, email, password_hash, role, created_at) \
                      VALUES (?1, ?2, ?3, ?4, 'operator', ?5)";
        for (id, email, hash) in [
            ("opr_1", OPERATORS_EMAIL, digest(OPERATORS_PASSWORD)),
            ("opr_2", "bob@example.org", "$2b$10$abc".to_string()),
        ] {
            let values = params![id, FLEET, email, hash, iso(now_ms())];
            self.db.execute(insert, values).unwrap();
        }
    }

    pub fn agent(&self, id: &str, status: &str) {
        let insert = "INSERT INTO agents (id, fleet_id, display_name, runtime, status, \
                      policy_profile, created_at, last_seen_at) \
                      VALUES (?1, ?2, ?3, 'custom', ?4, 'default', ?5, ?5)";
        let name = format!("name of {id}");
        let at = iso(now_ms() - 86_400_000);
        self.db
            .execute(insert, params![id, FLEET, name, status, at])
            .unwrap();
        let insert = "INSERT INTO agent_credentials (id, agent_id, secret_hash, status, created_at) \
                      VALUES (?1, ?2, ?3, 'active', ?4)";
        let values = params![format!("crd_{id}"), id, digest(&secret(id)), at];
        self.db.execute(insert, values).unwrap();
    }

    /// A token, made so many seconds ago; its text is its id.
    pub fn token(&self, id: &str, seconds_ago: i64, is_used: bool) {
        let at_ms = now_ms() - seconds_ago * 1000;
        let (at, ends) = (iso(at_ms), iso(at_ms + 3_600_000));
        let used = is_used.then(|| at.clone());
        let insert = "INSERT INTO enrollment_tokens VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        self.db
            .execute(insert, params![id, FLEET, digest(id), at, ends, used])
            .unwrap();
    }

    /// A task that the writer gave to the reviewer, by the message of this number, so many seconds
    /// ago.
    pub fn task(&self, id: &str, state: &str, message: u32, seconds_ago: i64) {
        let at = iso(now_ms() - seconds_ago * 1000);
        let insert = "INSERT INTO a2a_tasks (id, fleet_id, context_id, client_agent_id, \
                      recipient_agent_id, state, message_id, created_at, updated_at) \
                      VALUES (?1, ?2, 'ctx_1', ?3, ?4, ?5, ?6, ?7, ?7)";
        let message = message_id(message);
        let values = params![id, FLEET, WRITER, REVIEWER, state, message, at];
        self.db.execute(insert, values).unwrap();
    }

    /// The message by which a task was given, as the original wrote it.
    pub fn asked(&self, number: u32, task: &str, state: &str, seconds_ago: i64, ttl_seconds: i64) {
        self.message(number, state, seconds_ago, ttl_seconds);
        let body = json!({
            "a2a": true, "messageId": format!("m-{number}"), "role": "user",
            "parts": [{ "kind": "text", "text": format!("do {number}") }],
            "taskId": task, "contextId": "ctx_1", "metadata": {},
        });
        let metadata = json!({ "a2a_task_id": task, "a2a_context_id": "ctx_1" });
        let set = "UPDATE messages SET message_type = 'a2a.message', conversation_id = 'ctx_1', \
                   correlation_id = ?2, body_json = ?3, metadata_json = ?4 WHERE id = ?1";
        let id = message_id(number);
        let values = params![id, task, body.to_string(), metadata.to_string()];
        self.db.execute(set, values).unwrap();
    }

    /// A message from the writer to the reviewer, accepted so many seconds ago.
    pub fn message(&self, number: u32, state: &str, seconds_ago: i64, ttl_seconds: i64) {
        let id = message_id(number);
        let at_ms = now_ms() - seconds_ago * 1000;
        let (at, ends) = (iso(at_ms), iso(at_ms + ttl_seconds * 1000));
        let body = format!("{{\"text\": \"message {number}\",  \"n\": 1.0}}");
        let insert = "INSERT INTO messages (id, fleet_id, conversation_id, correlation_id, \
                      sender_agent_id, recipient_kind, recipient_id, message_type, priority, \
                      body_json, ttl_seconds, created_at, expires_at, status) \
                      VALUES (?1, ?2, 'c-1', ?3, ?4, 'agent', ?5, 'direct', 'normal', ?6, ?7, ?8, \
                      ?9, 'queued')";
        let correlation = format!("r-{number}");
        let values = params![
            id,
            FLEET,
            correlation,
            WRITER,
            REVIEWER,
            body,
            ttl_seconds,
            at,
            ends
        ];
        self.db.execute(insert, values).unwrap();
        let insert = "INSERT INTO message_deliveries (id, message_id, recipient_agent_id, \
                      queued_at, status, retry_count, last_failure_reason) \
                      VALUES (?1, ?2, ?3, ?4, ?5, 5, 'max_retries_exceeded')";
        let values = params![format!("dly_{number}"), id, REVIEWER, at, state];
        self.db.execute(insert, values).unwrap();
    }

    fn said(&self) {
        // Not in the order of their ids.
        self.message(7, "queued", 300, 3600);
        self.message(3, "delivered", 200, 3600);
        self.message(5, "queued", 100, 3600);
        self.message(1, "acked", 400, 3600);
        self.message(2, "queued", 4000, 900);
        self.message(4, "dead_lettered", 90_000, 900);
        let insert = "INSERT INTO dead_letters VALUES (?1, ?2, ?3, 'dly_9', ?4, ?5, 'c-2', 'alert', \
                      '{\"text\": \"message 9\"}', NULL, 5, 'max_retries_exceeded', ?6)";
        let at = iso(now_ms() - 200_000_000);
        // The ninth was given up for two, and is nowhere else any more.
        for (id, message, recipient) in [
            ("dl_4", 4, REVIEWER),
            ("dl_9", 9, REVIEWER),
            ("dl_10", 9, WRITER),
        ] {
            let values = params![id, FLEET, message_id(message), recipient, WRITER, at];
            self.db.execute(insert, values).unwrap();
        }
    }

    fn decided(&self) {
        let at = iso(now_ms());
        let rule = json!({ "action": "deny", "conditions": { "sender_agent_id": [REVIEWER], "message_type": "alert" } });
        let odd = json!({ "action": "deny", "conditions": {}, "unless": "friday" });
        let insert = "INSERT INTO policies VALUES (?1, ?2, ?3, 'fleet', ?2, ?4, 1, ?5)";
        for (id, name, rule) in [("pol_1", "no alerts", rule), ("pol_2", "odd", odd)] {
            let values = params![id, FLEET, name, rule.to_string(), at];
            self.db.execute(insert, values).unwrap();
        }
        let insert = "INSERT INTO approvals VALUES (?1, ?2, ?3, 'c-1', 'deploy', 'high', 'deploy', \
                      '{}', ?4, ?5, NULL, NULL)";
        for (number, status) in [(1, "pending"), (2, "executed")] {
            let values = params![approval_id(number), FLEET, WRITER, status, at];
            self.db.execute(insert, values).unwrap();
        }
        let insert = "INSERT INTO rooms VALUES ('room_1', ?1, 'writing', ?2, 'opr_1', NULL)";
        self.db.execute(insert, params![FLEET, at]).unwrap();
        for agent in [WRITER, REVIEWER, REVOKED] {
            let insert = "INSERT INTO room_members VALUES ('room_1', ?1)";
            self.db.execute(insert, [agent]).unwrap();
        }
        self.db
            .execute_batch(
                "INSERT INTO events (id, fleet_id, event_type, created_at)
                    VALUES ('evt_1', 'x', 'agent.enrolled', 'x');
                INSERT INTO moods VALUES ('a', 'fine');
                INSERT INTO a2a_tasks (id, fleet_id, state) VALUES ('task_1', 'x', 'working');",
            )
            .unwrap();
    }
}

pub fn message_id(number: u32) -> String {
    format!("msg_{number:032x}")
}

pub fn approval_id(number: u32) -> String {
    format!("apr_{number:032x}")
}
