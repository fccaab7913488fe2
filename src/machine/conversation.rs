//! Rooms, floors and stall notices.

use ekho_storage::StorageError;
use ekho_storage::tables::agent::{self, Agent};
use ekho_storage::tables::conversation as index;
use ekho_storage::tables::due::{self, Due};
use ekho_storage::tables::event::{Actor, EventKind, Resource};
use ekho_storage::tables::floor::{self, Floor};
use ekho_storage::tables::notice::{self, Notice};
use ekho_storage::tables::room::{self, Room};

use super::apply::Apply;
use super::outcome::{HeldStatus, Outcome, Refusal};

/// How long a stall is remembered when nothing happens in its conversation.
const NOTICE_KEPT_MS: u64 = 24 * 3600 * 1000;

/// Makes a room. Members who are not live agents of the fleet are left out.
pub(crate) fn create_room(
    apply: &mut Apply<'_>,
    agent: &Agent,
    room_id: String,
    name: String,
    members: &[String],
) -> Result<Outcome, StorageError> {
    if let Some(held) = HeldStatus::of(apply.status(agent)?) {
        return Ok(Outcome::Refused(Refusal::Held(held)));
    }
    let mut found = vec![(agent.no, agent.id.clone())];
    for id in members {
        let member = apply.live_agent(agent.fleet, id)?;
        if let Some(member) = member.filter(|member| !member.is_client() && !member.is_remote()) {
            found.push((member.no, member.id));
        }
    }
    found.sort();
    found.dedup();
    let created_ms = apply.now();
    let room = Room {
        id: room_id,
        name,
        created_by: agent.no,
        created_ms,
        members: found.iter().map(|(no, _)| *no).collect(),
    };
    room::put(apply.txn, agent.fleet, &room);
    let resource = Resource::Other("room".into(), room.id.clone());
    apply.record(
        agent.fleet,
        EventKind::RoomCreated,
        Actor::Agent(agent.no),
        resource,
    )?;
    Ok(Outcome::RoomCreated {
        created_ms,
        members: found.into_iter().map(|(_, id)| id).collect(),
    })
}

/// Whether the agent takes part in a conversation: it sent or was sent something in it, or it is
/// a member of the room the conversation belongs to.
fn takes_part(apply: &Apply<'_>, agent: &Agent, conversation: &str) -> Result<bool, StorageError> {
    if index::is_participant(apply.txn, agent.fleet, conversation, agent.no)? {
        return Ok(true);
    }
    let room = room::get(apply.txn, agent.fleet, conversation)?;
    Ok(room.is_some_and(|room| room.members.contains(&agent.no)))
}

/// Takes the floor, or keeps it longer; says who has it otherwise.
pub(crate) fn acquire_floor(
    apply: &mut Apply<'_>,
    agent: &Agent,
    conversation: String,
    ttl_ms: u64,
) -> Result<Outcome, StorageError> {
    let fleet = agent.fleet;
    if !takes_part(apply, agent, &conversation)? {
        return Ok(Outcome::Refused(Refusal::NotFound));
    }
    if let Some(held) = floor::get(apply.txn, fleet, &conversation)? {
        if held.expires_ms > apply.now() && held.holder != agent.no {
            let holder = agent::get(apply.txn, fleet, held.holder)?;
            return Ok(Outcome::Floor {
                granted: false,
                holder_agent_id: holder.map(|holder| holder.id).unwrap_or_default(),
                expires_ms: held.expires_ms,
            });
        }
        due::delete(
            apply.txn,
            held.expires_ms,
            &Due::Floor {
                fleet,
                conversation: conversation.clone(),
            },
        );
    }
    let expires_ms = apply.now() + ttl_ms;
    floor::put(
        apply.txn,
        fleet,
        &conversation,
        &Floor {
            holder: agent.no,
            expires_ms,
        },
    );
    due::put(
        apply.txn,
        expires_ms,
        &Due::Floor {
            fleet,
            conversation,
        },
    );
    Ok(Outcome::Floor {
        granted: true,
        holder_agent_id: agent.id.clone(),
        expires_ms,
    })
}

/// Gives the floor back; false when the caller does not have it.
pub(crate) fn release_floor(
    apply: &mut Apply<'_>,
    agent: &Agent,
    conversation: String,
) -> Result<Outcome, StorageError> {
    let fleet = agent.fleet;
    if !takes_part(apply, agent, &conversation)? {
        return Ok(Outcome::Refused(Refusal::NotFound));
    }
    let held = floor::get(apply.txn, fleet, &conversation)?;
    let Some(held) = held.filter(|held| held.holder == agent.no && held.expires_ms > apply.now())
    else {
        return Ok(Outcome::FloorReleased(false));
    };
    floor::delete(apply.txn, fleet, &conversation);
    due::delete(
        apply.txn,
        held.expires_ms,
        &Due::Floor {
            fleet,
            conversation,
        },
    );
    Ok(Outcome::FloorReleased(true))
}

/// Reports a stalled conversation, once until something new is said in it.
pub(crate) fn raise_notice(
    apply: &mut Apply<'_>,
    agent: &Agent,
    conversation: String,
    payload: String,
) -> Result<Outcome, StorageError> {
    let (fleet, no) = (agent.fleet, agent.no);
    let newest = index::messages_rev(apply.txn, fleet, &conversation, u64::MAX, 1)?;
    let message_seq = newest.first().map_or(0, |(seq, _)| *seq);
    if let Some(open) = notice::get(apply.txn, fleet, no, &conversation)? {
        if open.message_seq >= message_seq {
            return Ok(Outcome::Noticed(false));
        }
        let due = Due::Notice {
            fleet,
            agent: no,
            conversation: conversation.clone(),
        };
        due::delete(apply.txn, open.at_ms + NOTICE_KEPT_MS, &due);
    }
    let at_ms = apply.now();
    notice::put(
        apply.txn,
        fleet,
        no,
        &conversation,
        &Notice { message_seq, at_ms },
    );
    let due = Due::Notice {
        fleet,
        agent: no,
        conversation: conversation.clone(),
    };
    due::put(apply.txn, at_ms + NOTICE_KEPT_MS, &due);
    apply.record_with(
        fleet,
        EventKind::ConversationStalled,
        Actor::Agent(no),
        Resource::Conversation(conversation.clone()),
        Some(conversation),
        payload,
    )?;
    Ok(Outcome::Noticed(true))
}
