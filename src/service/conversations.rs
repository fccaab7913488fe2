//! Rooms, floors and notices.

use ekho_storage::View;
use ekho_storage::tables::conversation as index;
use ekho_storage::tables::delivery;
use ekho_storage::tables::message::{self, Message};
use ekho_storage::tables::{AgentNo, FleetNo};

use super::inbox::conversation_tail;
use super::page::{Page, fill};
use super::{Caller, Service, ServiceError};
use crate::id;
use crate::machine::ROOM_PREFIX;
use crate::machine::command::AgentRequest;
use crate::machine::outcome::{Outcome, Refusal};

/// Messages shown with a floor.
const TAIL_MESSAGES: usize = 20;

/// A room that was made.
pub struct NewRoom {
    /// Its id.
    pub id: String,
    /// When.
    pub created_ms: u64,
    /// Members' ids.
    pub members: Vec<String>,
}

/// Who has a floor.
pub struct FloorState {
    /// Whether it is the caller.
    pub granted: bool,
    /// The holder.
    pub holder_agent_id: String,
    /// Until when.
    pub expires_ms: u64,
    /// The conversation's last messages with their bodies, oldest first.
    pub tail: Vec<(Message, Vec<u8>)>,
}

impl Service {
    /// Makes a room.
    pub async fn create_room(
        &self,
        caller: Caller,
        name: String,
        members: Vec<String>,
    ) -> Result<NewRoom, ServiceError> {
        let room_id = id::new_id(ROOM_PREFIX);
        let request = AgentRequest::CreateRoom {
            room_id: room_id.clone(),
            name,
            members,
        };
        match self.signed(&caller, request).await? {
            Outcome::RoomCreated {
                created_ms,
                members,
            } => Ok(NewRoom {
                id: room_id,
                created_ms,
                members,
            }),
            outcome => Err(ServiceError::unexpected(&outcome)),
        }
    }

    /// Reports a stall; whether it is new.
    pub async fn notice(
        &self,
        caller: Caller,
        conversation_id: String,
        reason: String,
        pending_count: u64,
        budget: Option<String>,
    ) -> Result<bool, ServiceError> {
        let request = AgentRequest::Notice {
            conversation_id,
            reason,
            pending_count,
            budget,
        };
        match self.signed(&caller, request).await? {
            Outcome::Noticed(recorded) => Ok(recorded),
            outcome => Err(ServiceError::unexpected(&outcome)),
        }
    }

    /// What the caller sent or was handed out in a conversation before a place, newest first.
    pub async fn said(
        &self,
        caller: &Caller,
        conversation_id: &str,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Page<(Message, Vec<u8>), u64>, ServiceError> {
        let view = self.read(caller).await?;
        let (fleet, no) = (caller.agent.fleet, caller.agent.no);
        let read = |before: &u64, wants| {
            Ok(index::messages_rev(
                &view,
                fleet,
                conversation_id,
                *before,
                wants,
            )?)
        };
        let page = fill(before.unwrap_or(u64::MAX), limit, read, |_, uuid| {
            let Some(message) = message::get(&view, fleet, uuid)? else {
                return Ok(None);
            };
            // Who knows the id of a conversation may speak in it, and does not read it for that.
            let is_theirs = message.sender == no || was_handed_out(&view, fleet, &message, no)?;
            let body = message::body(&view, fleet, uuid)?;
            Ok(body.filter(|_| is_theirs).map(|body| (message, body)))
        })?;
        match page.rows.is_empty() && page.next.is_none() && before.is_none() {
            true => Err(Refusal::NotFound.into()),
            false => Ok(page),
        }
    }

    /// Takes a floor.
    pub async fn acquire_floor(
        &self,
        caller: Caller,
        conversation_id: String,
        ttl_ms: u64,
    ) -> Result<FloorState, ServiceError> {
        let fleet = caller.agent.fleet;
        let request = AgentRequest::AcquireFloor {
            conversation_id: conversation_id.clone(),
            ttl_ms,
        };
        match self.signed(&caller, request).await? {
            Outcome::Floor {
                granted,
                holder_agent_id,
                expires_ms,
            } => {
                let tail = conversation_tail(&self.view(), fleet, &conversation_id, TAIL_MESSAGES)?;
                Ok(FloorState {
                    granted,
                    holder_agent_id,
                    expires_ms,
                    tail,
                })
            }
            outcome => Err(ServiceError::unexpected(&outcome)),
        }
    }

    /// Gives a floor back; whether the caller had it.
    pub async fn release_floor(
        &self,
        caller: Caller,
        conversation_id: String,
    ) -> Result<bool, ServiceError> {
        match self
            .signed(&caller, AgentRequest::ReleaseFloor { conversation_id })
            .await?
        {
            Outcome::FloorReleased(released) => Ok(released),
            outcome => Err(ServiceError::unexpected(&outcome)),
        }
    }
}

/// Whether an agent got a message: what waits, for its time or an operator, it does not know of.
fn was_handed_out(
    view: &View,
    fleet: FleetNo,
    message: &Message,
    agent: AgentNo,
) -> Result<bool, ServiceError> {
    let place = match message.single {
        Some((recipient, seq)) => (recipient == agent).then_some(seq),
        None => delivery::fan_out(view, fleet, message.uuid, agent)?,
    };
    let Some(seq) = place else {
        return Ok(false);
    };
    let found = delivery::get(view, fleet, agent, seq)?;
    Ok(found.is_some_and(|delivery| delivery.attempts > 0))
}
