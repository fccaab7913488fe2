//! Proves an export of the audit log: computes its chain of hashes anew, without a relay.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use clap::Args;
use ekho_storage::tables::event::{self, Actor, Event, Hash, Resource};
use indicatif::{ProgressBar, ProgressDrawTarget};
use serde_json::{Value, json};

use super::EXAMPLES;
use crate::cli::{CliError, print, print_json};
use crate::clock::Iso;
use crate::id;

/// Check an export: nothing changed, left out or put in. Needs no relay.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct VerifyArgs {
    /// The export
    file: PathBuf,

    /// The hash it must end with, in hex
    #[arg(long, value_name = "HASH")]
    head: Option<String>,

    /// The result as JSON
    #[arg(long)]
    json: bool,
}

/// What an intact export holds.
#[derive(Debug, PartialEq, Eq)]
struct Intact {
    fleet_id: String,
    events: u64,
    first_seq: u64,
    last_seq: u64,
    head: String,
}

/// Where an export is not what was written, and why.
#[derive(Debug, PartialEq, Eq)]
struct Broken {
    line: u64,
    seq: Option<u64>,
    why: String,
}

pub(super) fn verify(args: &VerifyArgs) -> Result<(), CliError> {
    let file = File::open(&args.file).map_err(|source| CliError::File {
        path: args.file.clone(),
        source,
    })?;
    let length = file.metadata().map_or(0, |about| about.len());
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr_with_hz(4));
    let outcome = check(BufReader::new(bar.wrap_read(file)), args.head.as_deref());
    bar.finish_and_clear();
    match outcome {
        Ok(intact) if args.json => print_json(&json!({
            "intact": true,
            "fleet_id": intact.fleet_id,
            "events": intact.events,
            "first_seq": intact.first_seq,
            "last_seq": intact.last_seq,
            "head_hash": intact.head,
        })),
        Ok(intact) => print(&format!(
            "intact: {} events of {}, {} to {}, the last hash is {}",
            intact.events, intact.fleet_id, intact.first_seq, intact.last_seq, intact.head
        )),
        Err(broken) => {
            if args.json {
                print_json(&json!({
                    "intact": false,
                    "line": broken.line,
                    "seq": broken.seq,
                    "why": broken.why,
                }))?;
            } else {
                let event = broken.seq.map(|seq| format!(", event {seq}"));
                let event = event.unwrap_or_default();
                print(&format!(
                    "broken at line {}{event}: {}",
                    broken.line, broken.why
                ))?;
            }
            Err(CliError::Reported)
        }
    }
}

/// Computes the chain anew.
fn check(lines: impl BufRead, head: Option<&str>) -> Result<Intact, Broken> {
    let mut chain: Option<Chain> = None;
    let mut number = 0;
    for line in lines.lines() {
        number += 1;
        let broken = |why: String| Broken {
            line: number,
            seq: None,
            why,
        };
        let line = line.map_err(|error| broken(error.to_string()))?;
        let value: Value = serde_json::from_str(&line)
            .map_err(|error| broken(format!("not a line of an export: {error}")))?;
        match &mut chain {
            None => chain = Some(Chain::begin(&value).map_err(broken)?),
            Some(chain) if chain.ended => {
                return Err(broken("there is more after the end".into()));
            }
            Some(chain) => chain.follow(&value).map_err(|why| Broken {
                line: number,
                seq: value["seq"].as_u64(),
                why,
            })?,
        }
    }
    let cut = |why: &str| Broken {
        line: number,
        seq: None,
        why: why.into(),
    };
    let chain = chain.ok_or_else(|| cut("the file is empty"))?;
    if !chain.ended {
        return Err(cut("the end is missing"));
    }
    let found = hex::encode(chain.hash);
    if head.is_some_and(|head| !head.eq_ignore_ascii_case(&found)) {
        return Err(cut(&format!(
            "the last hash is {found}, another one was expected"
        )));
    }
    Ok(Intact {
        fleet_id: chain.fleet_id,
        events: chain.next - chain.first,
        first_seq: chain.first,
        last_seq: chain.next - 1,
        head: found,
    })
}

/// The chain so far.
struct Chain {
    fleet_id: String,
    first: u64,
    next: u64,
    hash: Hash,
    ended: bool,
}

impl Chain {
    fn begin(first: &Value) -> Result<Self, String> {
        if first["ekho_audit"] != 1 {
            return Err("this is no audit export, or one of a newer release".into());
        }
        let from = first["from_seq"].as_u64().filter(|from| *from > 0);
        Ok(Chain {
            fleet_id: first["fleet_id"].as_str().unwrap_or_default().into(),
            first: from.ok_or("from_seq is missing")?,
            next: from.unwrap_or(1),
            hash: hash(&first["previous_hash"])?,
            ended: false,
        })
    }

    fn follow(&mut self, line: &Value) -> Result<(), String> {
        if line["end"] == true {
            self.ended = true;
            if line["head_seq"].as_u64() != Some(self.next - 1) {
                return Err("events before the end are missing".into());
            }
            return match hash(&line["head_hash"])? == self.hash {
                true => Ok(()),
                false => Err("the hash at the end is not that of the last event".into()),
            };
        }
        if line["seq"].as_u64() != Some(self.next) {
            return Err(format!(
                "event {} is missing or out of its place",
                self.next
            ));
        }
        let record = line["record"]
            .as_str()
            .and_then(|text| hex::decode(text).ok());
        let record = record.ok_or("the record is missing")?;
        self.hash = event::link(&self.hash, self.next, &record);
        if hash(&line["hash"])? != self.hash {
            return Err("its hash does not follow from the record and all before it".into());
        }
        let event: Event = ekho_storage::decode(&record).map_err(|error| error.to_string())?;
        self.next += 1;
        match differs(line, &event) {
            Some(field) => Err(format!("{field} is not what the record says")),
            None => Ok(()),
        }
    }
}

fn hash(value: &Value) -> Result<Hash, String> {
    let bytes = value.as_str().and_then(|text| hex::decode(text).ok());
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or("a hash is missing".into())
}

/// The first readable field that says something else than the record. Public ids of agents are
/// not in records; all else is.
fn differs(line: &Value, event: &Event) -> Option<&'static str> {
    let actor = match &event.actor {
        Actor::System => json!(["system", null]),
        Actor::Agent(_) => json!(["agent", line["actor_id"]]),
        Actor::Operator(id) => json!(["operator", id]),
    };
    let resource = match &event.resource {
        Resource::Message(uuid) => json!(["message", id::from_uuid("msg_", *uuid)]),
        Resource::Delivery(uuid, no) => json!(["delivery", id::delivery(*uuid, *no)]),
        Resource::Agent(_) => json!(["agent", line["resource_id"]]),
        Resource::Approval(uuid) => json!(["approval", id::from_uuid("apr_", *uuid)]),
        Resource::Conversation(id) => json!(["conversation", id]),
        Resource::Other(kind, id) => json!([kind, id]),
        Resource::Task(uuid) => json!(["a2a_task", id::from_uuid("task_", *uuid)]),
    };
    let payload: Value = serde_json::from_str(&event.payload).unwrap_or_default();
    let request_id = (!event.request_id.is_empty()).then_some(&event.request_id);
    let conversation = match &event.conversation_id {
        Some(id) => json!(id),
        None => line["conversation_id"].clone(),
    };
    let fields = [
        (
            "event_type",
            json!(event.kind.as_str()),
            line["event_type"].clone(),
        ),
        (
            "created_at",
            json!(Iso(event.at_ms)),
            line["created_at"].clone(),
        ),
        ("payload", payload, line["payload"].clone()),
        ("request_id", json!(request_id), line["request_id"].clone()),
        (
            "conversation_id",
            conversation,
            line["conversation_id"].clone(),
        ),
        (
            "the actor",
            actor,
            json!([line["actor_kind"], line["actor_id"]]),
        ),
        (
            "the resource",
            resource,
            json!([line["resource_kind"], line["resource_id"]]),
        ),
    ];
    let wrong = fields.into_iter().find(|(_, said, shown)| said != shown);
    wrong.map(|(name, ..)| name)
}

#[cfg(test)]
mod tests {
    use ekho_storage::encode;
    use ekho_storage::tables::event::EventKind;

    use super::*;

    /// An export of three events.
    fn export() -> Vec<Value> {
        let mut hash = event::GENESIS;
        let mut lines = vec![json!({
            "ekho_audit": 1, "fleet_id": "flt_1", "from_seq": 1,
            "previous_hash": hex::encode(hash),
        })];
        for seq in 1..=3 {
            let event = Event {
                kind: EventKind::AgentPause,
                actor: Actor::Operator("opr_1".into()),
                resource: Resource::Agent(7),
                conversation_id: None,
                payload: json!({ "reason": format!("r{seq}") }).to_string(),
                request_id: "req_1".into(),
                at_ms: 1_795_000_000_000,
            };
            let record = encode(&event);
            hash = event::link(&hash, seq, &record);
            lines.push(json!({
                "seq": seq, "hash": hex::encode(hash), "record": hex::encode(&record),
                "event_type": "agent.pause", "actor_kind": "operator", "actor_id": "opr_1",
                "resource_kind": "agent", "resource_id": "agent_7", "conversation_id": null,
                "payload": { "reason": format!("r{seq}") }, "request_id": "req_1",
                "created_at": Iso(event.at_ms),
            }));
        }
        lines.push(json!({ "end": true, "head_seq": 3, "head_hash": hex::encode(hash) }));
        lines
    }

    fn verdict(lines: &[Value], head: Option<&str>) -> Result<Intact, Broken> {
        let text: Vec<String> = lines.iter().map(Value::to_string).collect();
        check(text.join("\n").as_bytes(), head)
    }

    #[test]
    fn an_export_as_written_is_intact() {
        let lines = export();
        let head = lines[4]["head_hash"].as_str().map(str::to_string);
        let found = verdict(&lines, head.as_deref());
        assert!(
            found
                .as_ref()
                .is_ok_and(|intact| (intact.events, intact.last_seq) == (3, 3)),
            "{found:?}"
        );
        // A part is one too, which begins where it says.
        let mut part = lines.clone();
        part[0]["from_seq"] = json!(3);
        part[0]["previous_hash"] = lines[2]["hash"].clone();
        part.drain(1..3);
        assert!(verdict(&part, head.as_deref()).is_ok());
        assert!(verdict(&lines, Some("00")).is_err());
    }

    #[test]
    fn every_change_is_found_where_it_is() {
        let at = |change: &dyn Fn(&mut Vec<Value>)| {
            let mut lines = export();
            change(&mut lines);
            verdict(&lines, None).err().map(|broken| broken.line)
        };
        for field in [
            "seq",
            "hash",
            "record",
            "event_type",
            "actor_kind",
            "actor_id",
            "resource_kind",
            "payload",
            "request_id",
            "created_at",
        ] {
            assert_eq!(
                at(&|lines| lines[2][field] = json!("x")),
                Some(3),
                "{field}"
            );
        }
        let other = |lines: &mut Vec<Value>| lines[2]["record"] = lines[3]["record"].clone();
        assert_eq!(at(&other), Some(3), "another record");
        assert_eq!(at(&|lines| drop(lines.remove(2))), Some(3), "left out");
        assert_eq!(at(&|lines| lines.swap(1, 2)), Some(2), "out of order");
        assert_eq!(
            at(&|lines| lines.insert(2, lines[1].clone())),
            Some(3),
            "twice"
        );
        assert_eq!(at(&|lines| lines.truncate(4)), Some(4), "no end");
        assert_eq!(
            at(&|lines| drop(lines.remove(3))),
            Some(4),
            "the last event"
        );
        assert_eq!(at(&|lines| lines.push(lines[4].clone())), Some(6), "more");
        assert_eq!(at(&|lines| lines.clear()), Some(0), "nothing");
        assert_eq!(at(&|lines| drop(lines.remove(0))), Some(1), "no beginning");
    }
}
