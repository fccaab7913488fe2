//! The steps that concern agents themselves: holds, heartbeats, credentials, replays.

use ekho::machine::command::{AgentRequest, Command, OperatorRequest};
use ekho::machine::outcome::{Outcome, Refusal};

use super::HoldModel;
use super::run::Run;
use super::settle::agent_no;
use super::steps::Pick;
use crate::rig::{self, FLEET};

const SKEW_MS: u64 = 300 * rig::SECOND;

impl Run {
    /// Expects `Done` for an agent that is there, and `NotFound` for a revoked one.
    fn ordered(&mut self, agent: usize, request: OperatorRequest) -> bool {
        let outcome = self.relay.operator(request);
        if self.model.agents[agent].revoked {
            assert_eq!(outcome, Outcome::Refused(Refusal::NotFound));
            return false;
        }
        assert_eq!(outcome, Outcome::Done);
        true
    }

    pub(super) fn hold(&mut self, pick: Pick, mut hold: HoldModel) {
        let agent = self.agent(pick);
        // Redirecting to oneself or to a revoked agent is refused; the examples show that.
        hold.redirect = hold
            .redirect
            .filter(|to| *to != agent && !self.model.agents[*to].revoked);
        let request = OperatorRequest::Hold {
            agent_id: rig::agent_id(&agent.to_string()),
            kind: hold.kind,
            reason: "test".into(),
            expires_ms: hold.until,
            redirect_agent_id: hold.redirect.map(|to| rig::agent_id(&to.to_string())),
        };
        if self.ordered(agent, request) {
            self.model.agents[agent].hold = Some(hold);
        }
    }

    pub(super) fn resume(&mut self, pick: Pick) {
        let agent = self.agent(pick);
        let agent_id = rig::agent_id(&agent.to_string());
        let reason = "test".into();
        if self.ordered(
            agent,
            OperatorRequest::Resume {
                agent_id,
                reason,
                expires_ms: None,
            },
        ) {
            self.model.resume(agent);
        }
    }

    pub(super) fn revoke(&mut self, pick: Pick) {
        let agent = self.agent(pick);
        let agent_id = rig::agent_id(&agent.to_string());
        if self.ordered(
            agent,
            OperatorRequest::Revoke {
                agent_id,
                reason: "test".into(),
            },
        ) {
            self.model.revoke(agent);
        }
    }

    pub(super) fn heartbeat(&mut self, pick: Pick, status: &'static str) {
        let agent = self.agent(pick);
        let request = AgentRequest::Heartbeat {
            status: status.into(),
        };
        let Some(outcome) = self.sign(agent, request) else {
            return;
        };
        assert_eq!(outcome, Outcome::Heartbeat);
        self.model.heard(agent, self.relay.now_ms);
        self.model.agents[agent].degraded = status == "degraded";
    }

    pub(super) fn heartbeat_seen(&mut self, pick: Pick, ago_ms: u64) {
        let agent = self.agent(pick);
        let at = self.relay.now_ms - ago_ms;
        let seen = vec![(FLEET, agent_no(agent), at), (FLEET, 99, at)];
        assert_eq!(
            self.relay.apply(Command::HeartbeatsSeen { seen }),
            Outcome::Done
        );
        if !self.model.agents[agent].revoked {
            self.model.heard(agent, at);
        }
    }

    pub(super) fn rotate(&mut self, pick: Pick, overlap_ms: u64) {
        let agent = self.agent(pick);
        let request = AgentRequest::RotateCredential {
            sealed_secret: vec![1, 2, 3],
            overlap_ms,
        };
        let Some(outcome) = self.sign(agent, request) else {
            return;
        };
        let (credential, previous_valid_until_ms) = self.model.rotate(agent, overlap_ms);
        assert_eq!(
            outcome,
            Outcome::Rotated {
                credential,
                previous_valid_until_ms
            }
        );
    }

    /// Signs with an older credential and a clock that is off.
    pub(super) fn sign_off(&mut self, pick: Pick, rotations_ago: u32, clock_ms: i64) {
        let agent = self.agent(pick);
        let now = self.relay.now_ms;
        let credentials = &self.model.agents[agent].credentials;
        let index = (credentials.len() - 1).checked_sub(rotations_ago as usize);
        let credential = index.map_or(99, |index| index as u32 + 1);
        let valid = index.is_some_and(|index| credentials[index].is_none_or(|until| now < until));
        let mut auth = self.relay.auth(agent_no(agent));
        auth.credential = credential;
        auth.timestamp_ms = now.saturating_add_signed(clock_ms);
        let expected = if !valid {
            Outcome::Refused(Refusal::InvalidCredentials)
        } else if now.abs_diff(auth.timestamp_ms) > SKEW_MS {
            Outcome::Refused(Refusal::TimestampSkew)
        } else {
            self.accepted
                .push((auth.clone(), AgentRequest::RecordNonce));
            Outcome::Done
        };
        let request = AgentRequest::RecordNonce;
        assert_eq!(
            self.relay.apply(Command::Signed { auth, request }),
            expected
        );
    }

    /// Nothing is accepted twice, whatever has happened since.
    pub(super) fn replay(&mut self, pick: Pick) {
        let Some(number) = super::run::choose(pick, self.accepted.len()) else {
            return;
        };
        let (auth, request) = self.accepted[number].clone();
        let in_time = self.relay.now_ms.abs_diff(auth.timestamp_ms) <= SKEW_MS;
        let credentials = &self.model.agents[auth.agent as usize - 1].credentials;
        let until = credentials[auth.credential as usize - 1];
        let expected = if until.is_some_and(|until| until <= self.relay.now_ms) {
            Refusal::InvalidCredentials
        } else if in_time {
            Refusal::ReplayedNonce
        } else {
            Refusal::TimestampSkew
        };
        let outcome = self.relay.apply(Command::Signed { auth, request });
        assert_eq!(outcome, Outcome::Refused(expected));
    }
}
