//! Operators and agents, with what is known of their passwords and secrets.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::database::DatabaseError;
use super::read::{Out, Reader};
use crate::clock::{Iso, now_ms};

/// Hashes of one agent's secrets that the relay keeps.
const SECRETS_MAX: usize = 2;

pub fn operators(reader: &Reader<'_>, out: &mut Out) -> Result<bool, DatabaseError> {
    const UNDERSTOOD: [&str; 5] = ["id", "email", "role", "password_hash", "created_at"];
    reader.each("operators", out, &UNDERSTOOD, |out, id, row| {
        let Some(email) = row.text(&["email"]) else {
            out.report.leaves_out("operators", id, "it has no email");
            return Ok(true);
        };
        let role = match row.text(&["role"]).as_deref() {
            Some("owner") => "owner",
            Some("operator" | "admin") => "operator",
            // More than it had there is more than anybody decided.
            _ => "viewer",
        };
        let digest = row
            .text(&["password_hash"])
            .and_then(|hash| sha256_hex(&hash));
        if digest.is_none() {
            out.report.has_no_password(&email);
        }
        let row = json!({
            "kind": "operator",
            "id": id,
            "email": email,
            "role": role,
            "password_sha256": digest,
            "created_at": row.time(&["created_at"]),
        });
        Ok(out.row("operators", id, &row))
    })
}

pub fn agents(reader: &Reader<'_>, out: &mut Out) -> Result<bool, DatabaseError> {
    const UNDERSTOOD: [&str; 16] = [
        "id",
        "display_name",
        "name",
        "runtime",
        "hostname",
        "capabilities",
        "capabilities_json",
        "identity_public_key",
        "status",
        "quarantine_reason",
        "auto_quarantined_at",
        "secret_hash",
        "created_at",
        "last_seen_at",
        "revoked_at",
        "public_key",
    ];
    let mut secrets = secrets(reader, out)?;
    reader.each("agents", out, &UNDERSTOOD, |out, id, row| {
        let status = row.text(&["status"]).unwrap_or_default();
        let revoked = status == "revoked" || row.text(&["revoked_at"]).is_some();
        let mut own = secrets.remove(id).unwrap_or_default();
        if let Some(hash) = row
            .text(&["secret_hash"])
            .and_then(|hash| sha256_hex(&hash))
        {
            own.push(json!({ "sha256": hash }));
        }
        own.truncate(SECRETS_MAX);
        if own.is_empty() && !revoked {
            out.report.has_no_secret(id);
        }
        let why = row.text(&["quarantine_reason"]);
        let is_auto = row.text(&["auto_quarantined_at"]).is_some();
        let (hold, auto) = match (status.as_str(), why.as_deref()) {
            ("quarantined", Some("rate_limit_abuse")) => (None, Some("rate_limit_abuse")),
            ("quarantined", why) if is_auto || why == Some("heartbeat_timeout") => {
                (None, Some("heartbeat_timeout"))
            }
            ("paused", _) => (Some("pause"), None),
            ("quarantined", _) => (Some("quarantine"), None),
            _ => (None, None),
        };
        let reason = why.unwrap_or_else(|| "held by the relay that it was imported from".into());
        let hold = hold.map(|kind| json!({ "kind": kind, "reason": reason }));
        let name = row.text(&["display_name", "name"]);
        let capabilities = match row.json(&["capabilities_json", "capabilities"]) {
            Ok(capabilities) => capabilities,
            Err(why) => {
                out.report.leaves_out("agents", id, &why);
                return Ok(true);
            }
        };
        let row = json!({
            "kind": "agent",
            "id": id,
            "display_name": name.unwrap_or_else(|| id.to_string()),
            "runtime": slug(row.text(&["runtime"])),
            "hostname": row.text(&["hostname"]),
            "capabilities": capabilities,
            "identity_public_key": row.text(&["identity_public_key", "public_key"]),
            "secrets": own,
            "hold": hold,
            "auto_quarantine": auto,
            "revoked": revoked,
            "created_at": row.time(&["created_at"]),
            "last_seen_at": row.time(&["last_seen_at"]),
        });
        Ok(out.row("agents", id, &row))
    })
}

/// Hands on the tokens with which agents can still enrol.
pub fn enrollment_tokens(reader: &Reader<'_>, out: &mut Out) -> Result<bool, DatabaseError> {
    const NAME: &str = "enrollment_tokens";
    const USED: [&str; 4] = ["used_at", "claimed_at", "consumed_at", "revoked_at"];
    const UNDERSTOOD: [&str; 4] = ["id", "token_hash", "expires_at", "created_at"];
    let says_used = match reader.database.table(NAME)? {
        Some(table) => USED[..3].iter().any(|name| table.column(&[name]).is_some()),
        None => true,
    };
    let understood = [UNDERSTOOD.as_slice(), &USED].concat();
    reader.each(NAME, out, &understood, |out, id, row| {
        let digest = row.text(&["token_hash"]);
        let digest = digest.and_then(|hash| sha256_hex(&hash));
        let why = match (digest, row.time_ms(&["expires_at"])) {
            _ if USED.iter().any(|name| row.text(&[name]).is_some()) => "it was used",
            _ if !says_used => "nothing says whether it was used",
            (None, _) => "its hash is not a SHA-256 in hex",
            (_, None) => "its end is not understood",
            (_, Some(at_ms)) if at_ms <= now_ms() => "its time is over",
            (Some(digest), Some(at_ms)) => {
                let row = json!({
                    "kind": "enrollment_token",
                    "token_sha256": digest,
                    "expires_at": Iso(at_ms).to_string(),
                });
                return Ok(out.row(NAME, id, &row));
            }
        };
        out.report.leaves_out(NAME, id, why);
        Ok(true)
    })
}

/// Hashes of the secrets with which agents can sign at present, newest first, by agent.
fn secrets(
    reader: &Reader<'_>,
    out: &mut Out,
) -> Result<HashMap<String, Vec<Value>>, DatabaseError> {
    const NAME: &str = "agent_credentials";
    let mut secrets: HashMap<String, Vec<Value>> = HashMap::new();
    let Some(table) = reader.database.table(NAME)? else {
        return Ok(secrets);
    };
    table.understands(&["id", "agent_id", "secret_hash", "status", "created_at"]);
    table.understands(&["expires_at", "revoked_at"]);
    let order = match table.column(&["created_at"]) {
        Some(column) => format!("{column} DESC"),
        None => "rowid DESC".into(),
    };
    let sql = table.sql();
    let agents = reader.database.table("agents")?;
    let ids = agents.and_then(|agents| {
        let (sql, id) = (agents.sql(), agents.column(&["id"])?);
        let of_fleet = reader.of_fleet(&agents, "");
        Some(format!("SELECT {id} FROM {sql} WHERE {of_fleet}"))
    });
    let is_own = match (table.column(&["agent_id"]), ids) {
        (Some(of), Some(ids)) => format!("{of} IN ({ids})"),
        _ => "?1 = ?1".into(),
    };
    let others = format!("SELECT count(*) FROM {sql} WHERE ({is_own}) IS NOT 1");
    let others = reader.database.count(&others, &[&reader.fleet.id])?;
    let why = "it belongs to no agent of the fleet";
    out.report.leaves_out_many(NAME, others, why);
    let query = format!("SELECT * FROM {sql} WHERE {is_own} ORDER BY {order}");
    reader.database.each(&query, &[&reader.fleet.id], |row| {
        let id = row.text(&["id"]).unwrap_or_default();
        let status = row.text(&["status"]).unwrap_or_else(|| "active".into());
        let is_over = row
            .time_ms(&["expires_at"])
            .is_some_and(|at_ms| at_ms <= now_ms());
        let hash = row
            .text(&["secret_hash"])
            .and_then(|hash| sha256_hex(&hash));
        if status != "active" || row.text(&["revoked_at"]).is_some() || is_over {
            out.report.leaves_out(NAME, &id, "it works no more");
            return Ok(true);
        }
        if row.text(&["expires_at"]).is_some() && row.time_ms(&["expires_at"]).is_none() {
            out.report
                .leaves_out(NAME, &id, "its end is not understood");
            return Ok(true);
        }
        let (Some(agent), Some(hash)) = (row.text(&["agent_id"]), hash) else {
            out.report
                .leaves_out(NAME, &id, "its hash is not a SHA-256 in hex");
            return Ok(true);
        };
        let own = secrets.entry(agent).or_default();
        if own.len() == SECRETS_MAX {
            out.report
                .leaves_out(NAME, &id, "the agent has two newer ones");
            return Ok(true);
        }
        own.push(json!({ "sha256": hash, "expires_at": row.time(&["expires_at"]) }));
        out.report.attached(NAME, "agents");
        Ok(true)
    })?;
    out.report.ignores_columns(NAME, table.not_understood());
    Ok(secrets)
}

/// The hex of a SHA-256, with or without a name before it.
fn sha256_hex(hash: &str) -> Option<String> {
    let hex = ["sha256:", "sha256$"]
        .iter()
        .find_map(|name| hash.strip_prefix(name));
    let hex = hex.unwrap_or(hash).to_lowercase();
    (hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(hex)
}

/// A runtime as this relay takes it.
fn slug(runtime: Option<String>) -> String {
    let keep = |c: char| match c.to_ascii_lowercase() {
        c if c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c) => c,
        _ => '-',
    };
    let slug: String = runtime
        .unwrap_or_default()
        .chars()
        .take(64)
        .map(keep)
        .collect();
    match slug.is_empty() {
        true => "custom".into(),
        false => slug,
    }
}
