//! What operators do with messages: send, look at, take back, send on.

use ekho_storage::View;
use ekho_storage::tables::delivery::{self, DeliveryState};
use ekho_storage::tables::{AgentNo, FleetNo, agent, message, room};

use super::messages::{MessageStatus, with_deliveries};
use super::operators::Caller;
use super::{Service, ServiceError};
use crate::machine::REDIRECTED_AT_ONCE;
use crate::machine::command::{NewMessage, OperatorRequest};
use crate::machine::outcome::{Outcome, Refusal, Sent};

/// Deliveries looked at in one step.
const LOOKED_AT: usize = 500;

impl Service {
    /// Sends a message in the operator's name.
    pub async fn send_for_operator(
        &self,
        by: &Caller,
        message: NewMessage,
        attachments: Vec<u128>,
    ) -> Result<Sent, ServiceError> {
        let message = Box::new(message);
        // Older nodes understand what binds nothing.
        let request = match attachments.is_empty() {
            true => OperatorRequest::Send(message),
            false => OperatorRequest::SendWith {
                message,
                attachments,
            },
        };
        match self.order(by, request).await? {
            Outcome::Sent { mut results, .. } if results.len() == 1 => {
                results.remove(0).map_err(Into::into)
            }
            outcome => Err(ServiceError::unexpected(&outcome)),
        }
    }

    /// A message of the fleet with its body.
    pub async fn any_message(
        &self,
        fleet: FleetNo,
        uuid: u128,
    ) -> Result<(MessageStatus, Vec<u8>), ServiceError> {
        let view = self.operator_view().await?;
        let message = message::get(&view, fleet, uuid)?.ok_or(Refusal::NotFound)?;
        let body = message::body(&view, fleet, uuid)?.unwrap_or_default();
        Ok((with_deliveries(&view, fleet, message)?, body))
    }

    /// Sends one message on from one recipient to another agent; whether that was possible.
    pub async fn redirect_message(
        &self,
        by: &Caller,
        uuid: u128,
        from_agent_id: Option<String>,
        to_agent_id: String,
        reason: String,
    ) -> Result<(), ServiceError> {
        let fleet = by.principal.fleet;
        let (found, _) = self.any_message(fleet, uuid).await?;
        let mut recipients = found.deliveries.iter().map(|(agent, _)| agent);
        let from = match (&from_agent_id, found.deliveries.len()) {
            (Some(id), _) => recipients.find(|agent| agent.id == *id),
            (None, 1) => recipients.next(),
            (None, _) => {
                let why = "the message has several recipients; name one in from_agent_id";
                return Err(Refusal::Conflict(why.into()).into());
            }
        };
        let from = from.ok_or(Refusal::NotFound)?;
        let view = self.view();
        let place = match found.message.single {
            Some((_, seq)) => Some(seq),
            None => delivery::fan_out(&view, fleet, uuid, from.no)?,
        };
        let request = OperatorRequest::Redirect {
            from_agent_id: from.id.clone(),
            to_agent_id,
            seqs: place.into_iter().collect(),
            reason,
        };
        match self.order(by, request).await? {
            Outcome::Updated(1) => Ok(()),
            Outcome::Updated(_) => {
                let why = "the message does not wait there any more, or may not go to that agent";
                Err(Refusal::Conflict(why.into()).into())
            }
            outcome => Err(ServiceError::unexpected(&outcome)),
        }
    }

    /// Sends everything on that waited for an agent when it began; how many deliveries that were.
    pub async fn redirect_inbox(
        &self,
        by: &Caller,
        from_agent_id: &str,
        to_agent_id: &str,
        reason: &str,
    ) -> Result<u64, ServiceError> {
        let fleet = by.principal.fleet;
        let view = self.operator_view().await?;
        let found = self.agent_of(&view, fleet, from_agent_id)?;
        let (from, _) = found.ok_or(Refusal::NotFound)?;
        let last_seq = delivery::queue(&view, fleet, from.no)?.last_seq;
        let order = |seqs: Vec<u64>| OperatorRequest::Redirect {
            from_agent_id: from_agent_id.into(),
            to_agent_id: to_agent_id.into(),
            seqs,
            reason: reason.into(),
        };
        let (mut next, mut redirected) = (0, 0);
        // Asked once even where nothing waits: who may not, or names nobody, is told so.
        let mut asked = false;
        loop {
            let (waiting, after) = self.waiting_from(fleet, from.no, next)?;
            let waiting: Vec<u64> = waiting.into_iter().filter(|seq| *seq <= last_seq).collect();
            for seqs in waiting.chunks(REDIRECTED_AT_ONCE) {
                asked = true;
                match self.order(by, order(seqs.to_vec())).await? {
                    Outcome::Updated(count) => redirected += count,
                    outcome => return Err(ServiceError::unexpected(&outcome)),
                }
            }
            match after.filter(|after| *after <= last_seq) {
                Some(after) => next = after,
                None => break,
            }
        }
        if !asked {
            self.order(by, order(Vec::new())).await?;
        }
        Ok(redirected)
    }

    /// Places of an inbox that wait to be handed out, and where to look on.
    fn waiting_from(
        &self,
        fleet: FleetNo,
        no: AgentNo,
        from: u64,
    ) -> Result<(Vec<u64>, Option<u64>), ServiceError> {
        let rows = delivery::list(&self.view(), fleet, no, from, LOOKED_AT)?;
        let after = rows.last().filter(|_| rows.len() == LOOKED_AT);
        let after = after.map(|(seq, _)| seq + 1);
        let waits = |state| matches!(state, DeliveryState::Ready | DeliveryState::Waiting);
        let rows = rows.into_iter().filter(|(_, one)| waits(one.state));
        Ok((rows.map(|(seq, _)| seq).collect(), after))
    }

    /// Rooms of a fleet after this one, in the order in which they were made, with the public ids
    /// of their members.
    pub async fn rooms(
        &self,
        fleet: FleetNo,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(room::Room, Vec<String>)>, ServiceError> {
        let view = self.operator_view().await?;
        let rooms = room::list(&view, fleet, after.unwrap_or_default(), limit)?;
        rooms
            .into_iter()
            .map(|room| with_members(&view, fleet, room))
            .collect()
    }

    /// Rooms by their public ids, with their members; those that there are.
    pub async fn rooms_by_id(
        &self,
        fleet: FleetNo,
        ids: &[&str],
    ) -> Result<Vec<(room::Room, Vec<String>)>, ServiceError> {
        let view = self.operator_view().await?;
        let mut rooms = Vec::with_capacity(ids.len());
        for id in ids {
            if let Some(room) = room::get(&view, fleet, id)? {
                rooms.push(with_members(&view, fleet, room)?);
            }
        }
        Ok(rooms)
    }
}

/// A room with the public ids of its members.
fn with_members(
    view: &View,
    fleet: FleetNo,
    room: room::Room,
) -> Result<(room::Room, Vec<String>), ServiceError> {
    let mut members = Vec::with_capacity(room.members.len());
    for no in &room.members {
        members.extend(agent::get(view, fleet, *no)?.map(|agent| agent.id));
    }
    Ok((room, members))
}
