//! The steps that messages go through: sent, taken, acked, given back, kept, taken back, decided.

use std::collections::BTreeSet;

use ekho::machine::command::{AgentRequest, Nack, NewMessage, OperatorRequest, Poll, Schedule};
use ekho::machine::outcome::{HandedOut, Outcome, Refusal};
use ekho_storage::tables::message::Recipient;

use super::run::{Run, choose};
use super::settle::{body_of, key_name};
use super::steps::{Draft, OFTEN, Pick, To};
use super::{Approval, DeliveryModel, MessageModel, Place, Wanted};
use crate::rig;

impl Run {
    /// A delivery's recipient and its message; or a stranger and that message. Mostly one that is
    /// in its recipient's hands.
    pub(super) fn delivery(&self, pick: Pick, stranger: bool) -> Option<(usize, usize)> {
        let is_out = |delivery: &&DeliveryModel| matches!(delivery.place, Place::Out { .. });
        let all = &self.model.deliveries;
        let out: Vec<&DeliveryModel> = all.iter().filter(is_out).collect();
        let delivery = match choose(pick, out.len()).filter(|_| pick < OFTEN) {
            Some(chosen) => out[chosen],
            None => &all[choose(pick, all.len())?],
        };
        let agent = if stranger {
            (delivery.agent + 1) % self.model.agents.len()
        } else {
            delivery.agent
        };
        Some((agent, delivery.message))
    }

    /// Who a message reaches, and how the machine is told.
    fn recipients(&self, from: usize, to: To) -> (Recipient, Option<Vec<usize>>) {
        let model = &self.model;
        let live = |agent: &usize| !model.agents[*agent].revoked;
        let fan_out = |agents: Vec<usize>| {
            let reached: BTreeSet<usize> = agents
                .into_iter()
                .filter(|agent| live(agent) && *agent != from)
                .map(|agent| model.redirected(agent))
                .filter(|agent| *agent != from)
                .collect();
            reached.into_iter().collect::<Vec<usize>>()
        };
        match to {
            To::Agent(pick) => {
                let agent = self.agent(pick);
                let recipient = Recipient::Agent(rig::agent_id(&agent.to_string()));
                (
                    recipient,
                    live(&agent).then(|| vec![model.redirected(agent)]),
                )
            }
            To::Room(pick) => match choose(pick, model.rooms.len()) {
                Some(room) => {
                    let member = model.rooms[room].contains(&from);
                    let reached = member.then(|| fan_out(model.rooms[room].clone()));
                    (Recipient::Group(format!("room_{room}")), reached)
                }
                None => (Recipient::Group("room_none".into()), None),
            },
            To::Broadcast => (
                Recipient::Broadcast,
                Some(fan_out((0..model.agents.len()).collect())),
            ),
            To::Nobody => (Recipient::Agent("agent_nobody".into()), None),
        }
    }

    pub(super) fn send(&mut self, from: Pick, drafts: Vec<Draft>) {
        let from = self.agent(from);
        let mut messages = Vec::new();
        let mut wanted = Vec::new();
        for draft in drafts {
            let (recipient, recipients) = self.recipients(from, draft.to);
            let mut new = self.relay.draft(recipient);
            if let Recipient::Group(room) = &new.recipient {
                new.conversation_id = room.clone();
            }
            wanted.push(Wanted {
                uuid: new.uuid,
                approval_uuid: new.approval,
                recipients,
                message_type: draft.message_type,
                ttl_ms: draft.ttl_ms,
                delay_ms: draft.delay_ms,
                requires_approval: draft.requires_approval,
                key: draft.key,
            });
            messages.push(NewMessage {
                message_type: draft.message_type.into(),
                ttl_ms: draft.ttl_ms,
                schedule: draft.delay_ms.map_or(Schedule::Now, Schedule::DelayMs),
                requires_approval: draft.requires_approval,
                body: body_of(new.uuid),
                idempotency: draft
                    .key
                    .map(|(key, other)| (key_name(key), [u8::from(other); 32])),
                ..new
            });
        }
        let Some(outcome) = self.sign(from, AgentRequest::Send(messages)) else {
            return;
        };
        let Outcome::Sent { results, rate } = outcome else {
            panic!("{outcome:?}")
        };
        let expected: Vec<_> = wanted
            .into_iter()
            .map(|wanted| self.model.send(from, wanted))
            .collect();
        assert_eq!(results, expected);
        assert_eq!(rate, self.model.rate(from));
    }

    /// Mostly somebody who has something to take.
    pub(super) fn recipient(&self, pick: Pick) -> usize {
        let ready: BTreeSet<_> = self
            .model
            .ready()
            .into_iter()
            .map(|(no, _)| no as usize - 1)
            .collect();
        match choose(pick, ready.len()).filter(|_| pick < OFTEN) {
            Some(chosen) => ready.into_iter().nth(chosen).unwrap_or(0),
            None => self.agent(pick),
        }
    }

    pub(super) fn poll(
        &mut self,
        agent: usize,
        limit: u32,
        types: &[&'static str],
        resume_after: Option<u64>,
    ) {
        let request = AgentRequest::Poll(Poll {
            limit,
            types: types.iter().map(|kind| kind.to_string()).collect(),
            resume_after,
        });
        let Some(outcome) = self.sign(agent, request) else {
            return;
        };
        let Outcome::Polled { messages } = outcome else {
            panic!("{outcome:?}")
        };
        self.promises_of_a_poll(agent, &messages);
        assert_eq!(
            messages,
            self.model.poll(agent, limit as usize, types, resume_after)
        );
    }

    /// Takes whatever there is and gives all of it back at once.
    pub(super) fn give_back(&mut self, pick: Pick) {
        let agent = self.recipient(pick);
        self.poll(agent, 100, &[], None);
        let out: Vec<usize> = self
            .model
            .deliveries
            .iter()
            .filter(|delivery| {
                delivery.agent == agent && matches!(delivery.place, Place::Out { .. })
            })
            .map(|delivery| delivery.message)
            .collect();
        for message in out {
            self.nack((agent, message), Some(0));
        }
    }

    /// What must hold for anything handed out, said without the model's rules.
    fn promises_of_a_poll(&self, agent: usize, messages: &[HandedOut]) {
        let now = self.relay.now_ms;
        assert!(
            messages.is_sorted_by_key(|out| out.seq),
            "not in accepted order: {messages:?}"
        );
        for out in messages {
            let known = self
                .model
                .deliveries
                .iter()
                .find(|delivery| delivery.agent == agent && delivery.seq == out.seq);
            let known = known.expect("a delivery nobody sent");
            let message = &self.model.messages[known.message];
            assert_eq!(message.uuid, out.message);
            assert!(now < known.deadline, "handed out past its deadline");
            assert!(now >= known.deliver_at, "handed out before its time");
            assert!(
                known.place != Place::Held,
                "handed out while it waits for approval"
            );
            assert!(
                !self.acked.contains(&(agent, out.message)),
                "came back after an ack"
            );
        }
    }

    pub(super) fn ack(&mut self, picks: &[Pick], stranger: bool) {
        let Some((agent, _)) = self.delivery(picks[0], stranger) else {
            return;
        };
        let messages: Vec<usize> = picks
            .iter()
            .filter_map(|pick| self.delivery(*pick, stranger))
            .map(|(_, message)| message)
            .collect();
        let uuids: Vec<u128> = messages
            .iter()
            .map(|message| self.model.messages[*message].uuid)
            .collect();
        let Some(outcome) = self.sign(agent, AgentRequest::Ack(uuids)) else {
            return;
        };
        let mut updated = 0;
        for message in messages {
            if self.model.ack(agent, message) {
                updated += 1;
                self.acked
                    .insert((agent, self.model.messages[message].uuid));
            }
        }
        assert_eq!(outcome, Outcome::Updated(updated));
    }

    pub(super) fn nack(&mut self, (agent, message): (usize, usize), delay_ms: Option<u64>) {
        let uuid = self.model.messages[message].uuid;
        let nack = Nack {
            message: uuid,
            delay_ms,
            reason: None,
        };
        let Some(outcome) = self.sign(agent, AgentRequest::Nack(vec![nack])) else {
            return;
        };
        let updated = self.model.nack(agent, message, delay_ms);
        assert_eq!(outcome, Outcome::Updated(u64::from(updated)));
    }

    pub(super) fn lease(&mut self, pick: Pick, extend_ms: u64, stranger: bool) {
        let Some((agent, message)) = self.delivery(pick, stranger) else {
            return;
        };
        let uuid = self.model.messages[message].uuid;
        let request = AgentRequest::Lease(vec![(uuid, extend_ms)]);
        let Some(outcome) = self.sign(agent, request) else {
            return;
        };
        let until = self.model.lease(agent, message, extend_ms);
        assert_eq!(
            outcome,
            Outcome::Leased(until.map(|until| (uuid, until)).into_iter().collect())
        );
    }

    pub(super) fn cancel(&mut self, pick: Pick, stranger: bool) {
        let Some(message) = choose(pick, self.model.messages.len()) else {
            return;
        };
        let sender = self.model.messages[message].sender;
        let agent = if stranger {
            (sender + 1) % self.model.agents.len()
        } else {
            sender
        };
        let uuid = self.model.messages[message].uuid;
        let Some(outcome) = self.sign(agent, AgentRequest::Cancel { message: uuid }) else {
            return;
        };
        match (self.model.cancel(agent, message), outcome) {
            (Ok(count), Outcome::Updated(updated)) => assert_eq!(updated, count),
            (Err(Refusal::Conflict(_)), Outcome::Refused(Refusal::Conflict(_))) => {}
            (Err(Refusal::NotFound), Outcome::Refused(Refusal::NotFound)) => {}
            (expected, found) => panic!("{found:?} instead of {expected:?}"),
        }
    }

    pub(super) fn decide(&mut self, pick: Pick, approve: bool) {
        let waiting = |message: &&MessageModel| message.approval != Approval::None;
        let asked: Vec<&MessageModel> = self.model.messages.iter().filter(waiting).collect();
        let Some(chosen) = choose(pick, asked.len()) else {
            return;
        };
        let (uuid, approval) = (asked[chosen].uuid, asked[chosen].approval_uuid);
        let outcome = self.relay.operator(OperatorRequest::DecideApproval {
            approval,
            approve,
            reason: None,
        });
        let message = self
            .model
            .messages
            .iter()
            .position(|message| message.uuid == uuid);
        if message.is_some_and(|message| self.model.decide(message, approve)) {
            assert!(matches!(outcome, Outcome::Decided(_)), "{outcome:?}");
        } else {
            assert!(
                matches!(outcome, Outcome::Refused(Refusal::Conflict(_))),
                "{outcome:?}"
            );
        }
    }
}
