//! Rooms, policies and approvals.

use serde_json::{Value, json};

use super::database::DatabaseError;
use super::read::{Out, Reader, native_id};

const MEMBERS: &str = "room_members";
/// What the column of a member is called.
const AGENT: [&str; 2] = ["agent_id", "member_agent_id"];

pub fn rooms(reader: &Reader<'_>, out: &mut Out) -> Result<bool, DatabaseError> {
    const UNDERSTOOD: [&str; 6] = [
        "id",
        "name",
        "created_at",
        "created_by_agent_id",
        "created_by_operator_id",
        "member_agent_ids",
    ];
    let database = reader.database;
    let members_of = match database.table(MEMBERS)? {
        Some(table) => {
            let of_room = table.column(&["room_id"]);
            table.understands(&AGENT);
            table.understands(&["id", "fleet_id"]);
            out.report.ignores_columns(MEMBERS, table.not_understood());
            let rows = database.tables().get(MEMBERS).copied().unwrap_or(0);
            if of_room.is_none() {
                let why = "the table has no column room_id";
                out.report.leaves_out_many(MEMBERS, rows, why);
            }
            of_room.map(|column| format!("SELECT * FROM {} WHERE {column} = ?1", table.sql()))
        }
        None => None,
    };
    reader.each("rooms", out, &UNDERSTOOD, |out, id, row| {
        let mut members: Vec<String> = Vec::new();
        if let Some(listed) = row.text(&["member_agent_ids"]) {
            match serde_json::from_str(&listed) {
                Ok(listed) => members = listed,
                Err(_) => {
                    let why = "its member_agent_ids are no list of texts";
                    out.report.leaves_out("rooms", id, why);
                    return Ok(true);
                }
            }
        }
        if let Some(query) = &members_of {
            database.each(query, &[&id], |row| {
                match row.text(&AGENT) {
                    Some(member) => {
                        members.push(member);
                        out.report.attached(MEMBERS, "rooms");
                    }
                    None => out.report.leaves_out(MEMBERS, id, "it names no agent"),
                }
                Ok(true)
            })?;
        }
        let name = row.text(&["name"]);
        let row = json!({
            "kind": "room",
            "id": id,
            "name": name.unwrap_or_else(|| id.to_string()),
            "created_by_agent_id": row.text(&["created_by_agent_id"]),
            "member_agent_ids": members,
            "created_at": row.time(&["created_at"]),
        });
        Ok(out.row("rooms", id, &row))
    })
}

pub fn policies(reader: &Reader<'_>, out: &mut Out) -> Result<bool, DatabaseError> {
    const UNDERSTOOD: [&str; 8] = [
        "id",
        "name",
        "scope_kind",
        "scope_id",
        "rule_json",
        "rule",
        "enabled",
        "created_at",
    ];
    reader.each("policies", out, &UNDERSTOOD, |out, id, row| {
        let rule = row.text(&["rule_json", "rule"]);
        let rule: Option<Value> = rule.and_then(|rule| serde_json::from_str(&rule).ok());
        let Some(Value::Object(rule)) = rule else {
            out.report
                .leaves_out("policies", id, "its rule is no JSON object");
            return Ok(true);
        };
        // Half of a rule would decide something else than the whole.
        let unknown = |name: &&String| !["action", "conditions"].contains(&name.as_str());
        if let Some(name) = rule.keys().find(unknown) {
            let why = format!("its rule says something that is not known: {name}");
            out.report.leaves_out("policies", id, &why);
            return Ok(true);
        }
        let scope = row.text(&["scope_kind"]).unwrap_or_else(|| "fleet".into());
        let scope_id = row.text(&["scope_id"]).filter(|_| scope != "fleet");
        let row = json!({
            "kind": "policy",
            "id": id,
            "name": row.text(&["name"]).unwrap_or_else(|| id.to_string()),
            "scope_kind": scope,
            "scope_id": scope_id,
            "rule": rule,
            // One that does not say is in force: it may be what keeps somebody out.
            "enabled": row.flag(&["enabled"]).unwrap_or(true),
        });
        Ok(out.row("policies", id, &row))
    })
}

pub fn approvals(reader: &Reader<'_>, out: &mut Out) -> Result<bool, DatabaseError> {
    const UNDERSTOOD: [&str; 14] = [
        "id",
        "agent_id",
        "conversation_id",
        "action_type",
        "risk_level",
        "summary",
        "payload_json",
        "payload",
        "status",
        "requested_at",
        "created_at",
        "resolved_at",
        "resolved_by_operator_id",
        "resolved_by",
    ];
    reader.each("approvals", out, &UNDERSTOOD, |out, id, row| {
        let status = match row.text(&["status"]).as_deref() {
            Some("pending" | "pending_approval") => "pending",
            Some("approved") => "approved",
            Some("rejected") => "rejected",
            _ => {
                out.report.leaves_out("approvals", id, "it is over");
                return Ok(true);
            }
        };
        let payload = match row.json(&["payload_json", "payload"]) {
            Ok(payload) => payload,
            Err(why) => {
                out.report.leaves_out("approvals", id, &why);
                return Ok(true);
            }
        };
        let row = json!({
            "kind": "approval",
            "id": native_id("apr_", id),
            "agent_id": row.text(&["agent_id"]),
            "conversation_id": row.text(&["conversation_id"]),
            "action_type": row.text(&["action_type"]),
            "summary": row.text(&["summary"]),
            "risk_level": row.text(&["risk_level"]),
            "payload": payload,
            "status": status,
            "requested_at": row.time(&["requested_at", "created_at"]),
            "resolved_at": row.time(&["resolved_at"]),
            "resolved_by": row.text(&["resolved_by_operator_id", "resolved_by"]),
        });
        Ok(out.row("approvals", id, &row))
    })
}
