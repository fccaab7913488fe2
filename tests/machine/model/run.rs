//! Running steps: each becomes a command for the machine and a rule of the model, and both must
//! come to the same answer.

use std::collections::BTreeSet;

use ekho::machine::command::{AgentRequest, Auth, Command, Enroll};
use ekho::machine::outcome::{Outcome, Refusal};
use ekho_storage::State;
use ekho_storage::tables::settings::Settings;

use super::settle::agent_no;
use super::steps::{Pick, Step};
use super::{
    AgentModel, BACKOFF_MS, HoldModel, Model, RATE_MAX_MESSAGES, RATE_WINDOW_MS,
    VIOLATION_THRESHOLD,
};
use crate::rig::{self, FLEET, Relay};

const MAX_AGENTS: usize = 6;

/// The machine and the model, side by side.
pub struct Run {
    pub relay: Relay,
    pub(super) model: Model,
    /// Accepted requests, to be replayed.
    pub(super) accepted: Vec<(Auth, AgentRequest)>,
    pub(super) acked: BTreeSet<(usize, u128)>,
}

/// The settings of random histories: limits that are reached soon.
pub fn settings() -> Settings {
    Settings {
        rate_window_ms: RATE_WINDOW_MS,
        rate_max_messages: RATE_MAX_MESSAGES,
        violation_threshold: VIOLATION_THRESHOLD as u64,
        max_agents: MAX_AGENTS as u64,
        retry_backoff_ms: BACKOFF_MS.to_vec(),
        ..Settings::default()
    }
}

/// The one meant, counted from the newest.
pub fn choose(pick: Pick, len: usize) -> Option<usize> {
    (len > 0).then(|| len - 1 - pick % len)
}

impl Run {
    /// A fleet of three over an empty state.
    pub fn new(state: &State) -> Self {
        let relay = Relay::over(state, settings());
        let model = Model {
            now: relay.now_ms,
            ..Model::default()
        };
        let mut run = Run {
            relay,
            model,
            accepted: Vec::new(),
            acked: BTreeSet::new(),
        };
        for _ in 0..3 {
            run.enroll();
        }
        run
    }

    /// Runs one step and compares everything.
    pub fn step(&mut self, step: Step) {
        let ready_before: BTreeSet<_> = self.model.ready().into_iter().collect();
        self.relay.wakes.clear();
        self.model.now = self.relay.now_ms;
        let mut complete = false;
        match step {
            Step::Enroll => self.enroll(),
            Step::Room { creator, members } => self.room(creator, members),
            Step::Send { from, drafts } => self.send(from, drafts),
            Step::Poll {
                agent,
                limit,
                types,
                resume_after,
            } => {
                self.poll(self.recipient(agent), limit, &types, resume_after);
            }
            Step::GiveBack { agent, times } => {
                for _ in 0..times {
                    self.give_back(agent);
                }
            }
            Step::Ack {
                deliveries,
                stranger,
            } => self.ack(&deliveries, stranger),
            Step::Nack {
                delivery,
                delay_ms,
                stranger,
            } => {
                if let Some(place) = self.delivery(delivery, stranger) {
                    self.nack(place, delay_ms);
                }
            }
            Step::Lease {
                delivery,
                extend_ms,
                stranger,
            } => self.lease(delivery, extend_ms, stranger),
            Step::Cancel { message, stranger } => self.cancel(message, stranger),
            Step::Decide { message, approve } => self.decide(message, approve),
            Step::Wait { ms } => self.relay.wait(ms),
            Step::Tick { limit } => complete = self.tick(limit),
            Step::Hold {
                agent,
                kind,
                for_ms,
                redirect,
            } => {
                let hold = HoldModel {
                    kind,
                    until: for_ms.map(|ms| self.relay.now_ms + ms),
                    redirect: redirect.and_then(|pick| choose(pick, self.model.agents.len())),
                };
                self.hold(agent, hold);
            }
            Step::Resume { agent } => self.resume(agent),
            Step::Revoke { agent } => self.revoke(agent),
            Step::Heartbeat { agent, status } => self.heartbeat(agent, status),
            Step::HeartbeatSeen { agent, ago_ms } => self.heartbeat_seen(agent, ago_ms),
            Step::LeadershipBegan => {
                assert_eq!(self.relay.apply(Command::LeadershipBegan), Outcome::Done);
                self.model.leadership_began();
            }
            Step::Rotate { agent, overlap_ms } => self.rotate(agent, overlap_ms),
            Step::Sign {
                agent,
                rotations_ago,
                clock_ms,
            } => self.sign_off(agent, rotations_ago, clock_ms),
            Step::Replay { request } => self.replay(request),
        }
        self.model.now = self.relay.now_ms;
        self.model.settle(&self.relay, complete);
        self.model.compare(&self.relay);
        for (agent, seq) in self.model.ready() {
            let new = !ready_before.contains(&(agent, seq));
            let woken = self.relay.wakes.contains(&(FLEET, agent));
            assert!(
                !new || woken,
                "nobody woke agent {agent} for delivery {seq}"
            );
        }
    }

    /// Signs as a healthy client and expects what the model says about who may sign.
    pub(super) fn sign(&mut self, agent: usize, request: AgentRequest) -> Option<Outcome> {
        let auth = self.relay.auth(agent_no(agent));
        let outcome = self.relay.apply(Command::Signed {
            auth: auth.clone(),
            request: request.clone(),
        });
        if self.model.agents[agent].revoked {
            assert_eq!(outcome, Outcome::Refused(Refusal::InvalidCredentials));
            return None;
        }
        self.accepted.push((auth, request));
        Some(outcome)
    }

    pub(super) fn agent(&self, pick: Pick) -> usize {
        choose(pick, self.model.agents.len()).unwrap_or(0)
    }

    fn enroll(&mut self) {
        let number = self.model.agents.len();
        let token = self.relay.token();
        let enroll: Enroll = rig::enroll_with(token, &number.to_string());
        let outcome = self.relay.apply(Command::Enroll(enroll));
        if number == MAX_AGENTS {
            let limit = MAX_AGENTS as u64;
            assert_eq!(outcome, Outcome::Refused(Refusal::LimitReached { limit }));
            return;
        }
        assert!(matches!(outcome, Outcome::Enrolled { .. }), "{outcome:?}");
        self.model.agents.push(AgentModel {
            credentials: vec![None],
            ..AgentModel::default()
        });
    }

    fn room(&mut self, creator: Pick, members: u8) {
        let creator = self.agent(creator);
        let chosen: Vec<usize> = (0..self.model.agents.len())
            .filter(|agent| members >> agent & 1 == 1)
            .collect();
        let room_id = format!("room_{}", self.model.rooms.len());
        let request = AgentRequest::CreateRoom {
            room_id,
            name: "room".into(),
            members: chosen
                .iter()
                .map(|agent| rig::agent_id(&agent.to_string()))
                .collect(),
        };
        let Some(outcome) = self.sign(creator, request) else {
            return;
        };
        if let Some(held) = self.model.held(creator) {
            assert_eq!(outcome, Outcome::Refused(Refusal::Held(held)));
            return;
        }
        let live = |agent: &usize| *agent == creator || !self.model.agents[*agent].revoked;
        let mut members: BTreeSet<usize> = chosen.into_iter().filter(live).collect();
        members.insert(creator);
        let expected: Vec<String> = members
            .iter()
            .map(|agent| rig::agent_id(&agent.to_string()))
            .collect();
        let created_ms = self.relay.now_ms;
        assert_eq!(
            outcome,
            Outcome::RoomCreated {
                created_ms,
                members: expected
            }
        );
        self.model.rooms.push(members.into_iter().collect());
    }

    /// Whether nothing is left to do.
    fn tick(&mut self, limit: u32) -> bool {
        let outcome = self.relay.apply(Command::Tick { limit });
        let Outcome::Ticked { handled, more } = outcome else {
            panic!("{outcome:?}")
        };
        assert!(
            handled <= limit,
            "{handled} entries handled, {limit} allowed"
        );
        !more
    }
}
