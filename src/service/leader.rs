//! What only the leader can do: order commands, and say that a nonce is new. Any node asks; the
//! leader, which may be the node itself, answers. See [`ekho_raft::Node::ask`].
//!
//! A question is a version byte and bincode; an answer is the leader's applied index and what was
//! asked for. Whoever asked waits until its own state has come that far, so that it sees what it
//! just wrote, and everything that was answered before.

use std::sync::Weak;
use std::time::Duration;

use bincode::{BorrowDecode, Decode, Encode};
use bytes::{BufMut, Bytes, BytesMut};
use ekho_raft::ProposeError;
use ekho_raft::network::{Answers, Asker};
use ekho_storage::tables::{AgentNo, FleetNo, TimeMs, cluster, nonce as nonces, settings, system};
use futures::FutureExt;
use futures::future::BoxFuture;
use opentelemetry::trace::SpanKind;

use super::{Caller, Service, ServiceError};
use crate::clock::now_ms;
use crate::ingress::guard::Verdict;
use crate::machine::auth::may_sign;
use crate::machine::command::{self, AgentRequest, Auth, Command};
use crate::machine::outcome::{Outcome, Refusal};
use crate::telemetry::trace::{self, Span};

/// Version of questions and answers.
const VERSION: u8 = 1;
const CONFIG: bincode::config::Configuration = bincode::config::standard();
const INDEX_BYTES: usize = 8;
/// How long an answer may take: a write waits while the leader's disk is full.
const TTL: Duration = Duration::from_secs(60);

/// What is asked.
#[derive(Encode, BorrowDecode)]
enum Question<'a> {
    /// Order this command.
    Propose { command: &'a [u8] },
    /// Order this command, whose nonce no read may have used.
    Signed {
        fleet: FleetNo,
        agent: AgentNo,
        nonce: &'a str,
        command: &'a [u8],
    },
    /// Use up the nonce of a request that may change nothing.
    Vouch {
        fleet: FleetNo,
        agent: AgentNo,
        credential: u32,
        nonce: &'a str,
        timestamp_ms: TimeMs,
    },
    /// An agent was heard, which the log need not know at once.
    Seen { fleet: FleetNo, agent: AgentNo },
    /// A node wants to be one of this cluster; JSON.
    Join { request: &'a [u8], is_holder: bool },
    /// Hand leadership over to this node.
    HandOver { node_id: u64 },
    /// Make yourself ready to stop. Not only leaders are asked that.
    Drain,
}

/// What the leader says of a nonce.
#[derive(Debug, Encode, Decode)]
enum Vouched {
    Accepted,
    BeforeLeadership,
    Refused(Refusal),
}

impl Question<'_> {
    /// What it is called in traces.
    fn name(&self) -> &'static str {
        match self {
            Question::Propose { .. } => "propose",
            Question::Signed { .. } => "signed",
            Question::Vouch { .. } => "vouch",
            Question::Seen { .. } => "seen",
            Question::Join { .. } => "join",
            Question::HandOver { .. } => "hand_over",
            Question::Drain => "drain",
        }
    }
}

impl Service {
    /// Proposes a command and waits for its outcome.
    pub async fn propose(&self, command: &Command) -> Result<Outcome, ServiceError> {
        self.check_level(command)?;
        let command = command::encode(command);
        outcome(
            &self
                .question(&Question::Propose { command: &command })
                .await?,
        )
    }

    /// Refuses a command that not every node understands yet. The level only rises, so what this
    /// node knows of it may be old and is never too high.
    pub(super) fn check_level(&self, command: &Command) -> Result<(), ServiceError> {
        let needed = command.feature_level();
        if needed == 1 {
            return Ok(());
        }
        let present = cluster::get(&self.view())?.feature_level.max(1);
        if present >= needed {
            return Ok(());
        }
        Err(ServiceError::FeatureLevel { needed, present })
    }

    /// Does what an agent signed. Its nonce is used up in the same step.
    pub async fn signed(
        &self,
        caller: &Caller,
        request: AgentRequest,
    ) -> Result<Outcome, ServiceError> {
        let auth = caller.auth(Some(caller.nonce.clone()));
        self.signed_command(caller, &Command::Signed { auth, request })
            .await
    }

    /// The same, with the command that was made of it.
    pub async fn signed_command(
        &self,
        caller: &Caller,
        command: &Command,
    ) -> Result<Outcome, ServiceError> {
        self.check_level(command)?;
        let command = command::encode(command);
        let question = Question::Signed {
            fleet: caller.agent.fleet,
            agent: caller.agent.no,
            nonce: &caller.nonce,
            command: &command,
        };
        outcome(&self.question(&question).await?)
    }

    /// Does what an agent signed and [`Service::vouch`] accepted.
    pub async fn vouched(
        &self,
        caller: &Caller,
        request: AgentRequest,
    ) -> Result<Outcome, ServiceError> {
        let auth = caller.auth(None);
        self.propose(&Command::Signed { auth, request }).await
    }

    /// Uses up the nonce of a request that may change nothing, without a disk write where that
    /// is possible. From then on the state here shows all that was answered before.
    pub async fn vouch(&self, caller: &Caller) -> Result<(), ServiceError> {
        let question = Question::Vouch {
            fleet: caller.agent.fleet,
            agent: caller.agent.no,
            credential: caller.credential,
            nonce: &caller.nonce,
            timestamp_ms: caller.timestamp_ms,
        };
        let answer = self.question(&question).await?;
        let (vouched, _) = bincode::decode_from_slice(&answer, CONFIG)
            .map_err(|error| ServiceError::Internal(error.to_string()))?;
        match vouched {
            Vouched::Accepted => Ok(()),
            Vouched::BeforeLeadership => Err(ServiceError::BeforeLeadership),
            Vouched::Refused(refusal) => Err(refusal.into()),
        }
    }

    /// Tells the leader that an agent was heard. Forgotten where there is no leader: the agent
    /// will be heard again.
    pub async fn seen(&self, fleet: FleetNo, agent: AgentNo) {
        if let Err(error) = self.question(&Question::Seen { fleet, agent }).await {
            tracing::debug!(%error, "a heartbeat was not passed on");
        }
    }

    /// Asks the leader to take up a node; the request and the answer are JSON.
    pub async fn ask_to_join(
        &self,
        request: &[u8],
        is_holder: bool,
    ) -> Result<Bytes, ServiceError> {
        self.question(&Question::Join { request, is_holder }).await
    }

    /// Asks the leader to let a node lead in its place.
    pub(super) async fn ask_to_hand_over(&self, node_id: u64) -> Result<(), ServiceError> {
        let done = self.question(&Question::HandOver { node_id }).await;
        done.map(|_| ())
    }

    /// Asks a node to make itself ready to stop.
    pub(super) async fn ask_to_drain(&self, node_id: u64) -> Result<(), ServiceError> {
        let question = encoded(&Question::Drain)?;
        self.node.ask_node(node_id, question, TTL).await?;
        Ok(())
    }

    async fn question(&self, question: &Question<'_>) -> Result<Bytes, ServiceError> {
        let mut span = Span::part("leader.ask", SpanKind::Client);
        if let Some(span) = &mut span {
            span.attribute("ekho.question", question.name());
        }
        let asked = self.node.ask(encoded(question)?, TTL);
        let answer = trace::within(span.as_ref(), asked).await;
        if let (Some(span), Err(error)) = (&mut span, &answer) {
            span.failed(error.to_string());
        }
        drop(span);
        let mut answer = answer?;
        let Some((index, _)) = answer.split_first_chunk::<INDEX_BYTES>() else {
            return Err(ServiceError::Internal("the leader's answer is cut".into()));
        };
        let index = u64::from_le_bytes(*index);
        self.node.reach(index).await;
        Ok(answer.split_off(INDEX_BYTES))
    }
}

fn encoded(question: &Question<'_>) -> Result<Bytes, ServiceError> {
    let mut bytes = vec![VERSION];
    bincode::encode_into_std_write(question, &mut bytes, CONFIG)
        .map_err(|error| ServiceError::Internal(error.to_string()))?;
    Ok(bytes.into())
}

fn outcome(answer: &[u8]) -> Result<Outcome, ServiceError> {
    match command::decode(answer)? {
        Outcome::Refused(refusal) => Err(ServiceError::Refused(refusal)),
        outcome => Ok(outcome),
    }
}

/// Answers nodes, as long as the relay is there.
pub struct Leader(pub Weak<Service>);

impl Answers for Leader {
    fn answer(&self, from: Asker, request: Bytes) -> BoxFuture<'_, Result<Bytes, ProposeError>> {
        async move {
            let service = self.0.upgrade().ok_or(ProposeError::Stopped)?;
            match from {
                Asker::Node(_) => service.answer_node(&request).await,
                Asker::Holder => service.answer_outsider(&request, true).await,
                Asker::Stranger => service.answer_outsider(&request, false).await,
            }
        }
        .boxed()
    }
}

impl Service {
    async fn answer_node(&self, request: &Bytes) -> Result<Bytes, ProposeError> {
        let question = read(request)?;
        let mut span = Span::part("leader.answer", SpanKind::Server);
        if let Some(span) = &mut span {
            span.attribute("ekho.question", question.name());
        }
        let answer = self.answer_question(request, question, &mut span).await;
        if let (Some(span), Err(error)) = (&mut span, &answer) {
            span.failed(error.to_string());
        }
        answer
    }

    async fn answer_question(
        &self,
        request: &Bytes,
        question: Question<'_>,
        span: &mut Option<Span>,
    ) -> Result<Bytes, ProposeError> {
        if let Question::Drain = question {
            self.start_draining();
            return Ok(framed(0, &[]));
        }
        let leadership = self.node.leadership().borrow().clone();
        let no_leader = || ProposeError::NoLeader {
            leader: leadership.leader,
            retry_after_ms: 1000,
        };
        if !leadership.is_self {
            return Err(no_leader());
        }
        match question {
            Question::Propose { command } => {
                let command = request.slice_ref(command);
                let outcome = self.propose_here(command, span).await?;
                Ok(self.answer(&outcome))
            }
            Question::Signed {
                fleet,
                agent,
                nonce,
                command,
            } => {
                // A read may have used the nonce, which the log does not know; and none may use
                // it until the log has decided.
                let Some(in_flight) = self.guard.begin(fleet, agent, nonce, now_ms()) else {
                    let replayed = Outcome::Refused(Refusal::ReplayedNonce);
                    return Ok(self.answer(&command::encode(&replayed)));
                };
                let command = request.slice_ref(command);
                let outcome = self.propose_here(command, span).await;
                if outcome != Err(ProposeError::OutcomeUnknown) {
                    in_flight.decided();
                }
                Ok(self.answer(&outcome?))
            }
            Question::Vouch {
                fleet,
                agent,
                credential,
                nonce,
                timestamp_ms,
            } => {
                let auth = Auth {
                    fleet,
                    agent,
                    credential,
                    nonce: Some(nonce.to_string()),
                    timestamp_ms,
                };
                let (vouched, led_in) = self.vouch_here(auth, nonce).await?;
                // After the guard, so that an accepted nonce is one of a leader that still led. By
                // now the nonce is used up: whoever asks the same again would be told so.
                let index = match led_in {
                    Some(term) => self.node.read_index_as_leader(term).await,
                    None => self.node.read_index().await,
                };
                let index = index.map_err(|_| ProposeError::OutcomeUnknown)?;
                let vouched = bincode::encode_to_vec(&vouched, CONFIG).map_err(unreadable)?;
                Ok(framed(index, &vouched))
            }
            Question::Seen { fleet, agent } => {
                self.heartbeats.note(fleet, agent, now_ms());
                Ok(framed(0, &[]))
            }
            Question::Join { request, is_holder } => {
                let answer = self.join_here(request, is_holder).await?;
                Ok(self.answer(&answer))
            }
            Question::HandOver { node_id } => {
                self.hand_over_here(node_id).await?;
                Ok(framed(0, &[]))
            }
            Question::Drain => Ok(framed(0, &[])),
        }
    }

    /// What this node says of a nonce, and the term in which it has to lead still for that to
    /// count; none where it counts in any case.
    async fn vouch_here(
        &self,
        auth: Auth,
        nonce: &str,
    ) -> Result<(Vouched, Option<u64>), ProposeError> {
        let refused = |refusal| Ok((Vouched::Refused(refusal), None));
        let (fleet, agent, timestamp_ms) = (auth.fleet, auth.agent, auth.timestamp_ms);
        let now = now_ms();
        let view = self.view();
        let skew_ms = settings::get(&view).map_err(unreadable)?.timestamp_skew_ms;
        let system = system::get(&view).map_err(unreadable)?;
        if timestamp_ms <= system.timestamp_floor_ms {
            return refused(Refusal::TimestampSkew);
        }
        // What the node that was asked knows of the agent may be a moment old.
        if may_sign(&view, &auth, now).map_err(unreadable)?.is_none() {
            return refused(Refusal::InvalidCredentials);
        }
        let keep_ms = system.nonce_memory_ms(skew_ms);
        let verdict = self
            .guard
            .take(fleet, agent, nonce, timestamp_ms, now, keep_ms);
        let term = match verdict {
            Verdict::Accepted { term } => term,
            Verdict::Replayed => return refused(Refusal::ReplayedNonce),
            Verdict::BeforeLeadership => return Ok((Vouched::BeforeLeadership, None)),
            Verdict::NotLeading => {
                return Err(ProposeError::NoLeader {
                    leader: None,
                    retry_after_ms: 1000,
                });
            }
            Verdict::NeedsLog => return Ok((self.record_nonce(auth, nonce).await?, None)),
        };
        // A write may have used it. Looked up after the guard, which knows of writes under way:
        // one that is no longer under way is in the state.
        let since_ms = now.saturating_sub(keep_ms);
        let used = nonces::used(&self.view(), fleet, agent, nonce, since_ms, now_ms());
        match used.map_err(unreadable)? {
            true => refused(Refusal::ReplayedNonce),
            false => Ok((Vouched::Accepted, Some(term))),
        }
    }

    /// Uses up a nonce that the guard cannot vouch for.
    async fn record_nonce(&self, auth: Auth, nonce: &str) -> Result<Vouched, ProposeError> {
        let Some(in_flight) = self.guard.begin(auth.fleet, auth.agent, nonce, now_ms()) else {
            return Ok(Vouched::Refused(Refusal::ReplayedNonce));
        };
        let request = AgentRequest::RecordNonce;
        let command = command::encode(&Command::Signed { auth, request });
        let outcome = self.node.propose(command).await;
        if outcome != Err(ProposeError::OutcomeUnknown) {
            in_flight.decided();
        }
        match command::decode::<Outcome>(&outcome?).map_err(unreadable)? {
            Outcome::Refused(refusal) => Ok(Vouched::Refused(refusal)),
            _ => Ok(Vouched::Accepted),
        }
    }

    /// Proposes a command as the leader, and notes in the span what came when.
    async fn propose_here(
        &self,
        command: Bytes,
        span: &mut Option<Span>,
    ) -> Result<Bytes, ProposeError> {
        let decided = self.node.propose_timed(command).await?;
        if let Some(span) = span {
            span.ordered(&decided.timing);
        }
        Ok(decided.outcome)
    }

    fn answer(&self, outcome: &[u8]) -> Bytes {
        let index = self.node.applied_index();
        framed(index, outcome)
    }
}

fn framed(index: u64, answer: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(INDEX_BYTES + answer.len());
    bytes.put_u64_le(index);
    bytes.put_slice(answer);
    bytes.freeze()
}

fn read(request: &Bytes) -> Result<Question<'_>, ProposeError> {
    match request.split_first() {
        Some((&VERSION, rest)) => bincode::borrow_decode_from_slice(rest, CONFIG)
            .map(|(question, _)| question)
            .map_err(unreadable),
        _ => Err(ProposeError::Forbidden(
            "this node does not know that version of questions".into(),
        )),
    }
}

/// Nothing was done, and asking again will not help.
fn unreadable(error: impl std::fmt::Display) -> ProposeError {
    tracing::error!(%error, "a question of another node cannot be answered");
    ProposeError::Forbidden(error.to_string())
}
