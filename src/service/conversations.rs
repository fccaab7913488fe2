//! Rooms, floors and notices.

use ekho_storage::tables::message::Message;

use super::inbox::conversation_tail;
use super::{Caller, Service, ServiceError};
use crate::id;
use crate::machine::ROOM_PREFIX;
use crate::machine::command::AgentRequest;
use crate::machine::outcome::Outcome;

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
