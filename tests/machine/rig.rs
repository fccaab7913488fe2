//! A state machine on a real state database, with a clock that the test turns.
//!
//! Every command goes through its encoding, as it would through the log, and is followed by a
//! recount of the whole state ([`check::consistent`]).

use ekho::machine::command::{
    AgentRequest, Auth, Bootstrap, Command, Enroll, Judged, Nack, NewFleet, NewMessage,
    OperatorRequest, Poll, Schedule, decode, encode,
};
use ekho::machine::outcome::{HandedOut, Outcome, Refusal, Sent};
use ekho::machine::{Effects, apply_command};
use ekho_storage::tables::agent::{self, Agent, HoldKind};
use ekho_storage::tables::counter::{self, Counter};
use ekho_storage::tables::delivery::{self, Delivery, DeliveryState};
use ekho_storage::tables::event::{self, EventKind};
use ekho_storage::tables::message::{self, Message, Priority, Recipient};
use ekho_storage::tables::session::{self, Method, Origin, Session};
use ekho_storage::tables::settings::{self, Settings};
use ekho_storage::tables::{AgentNo, FleetNo};
use ekho_storage::{State, StateOptions, Txn};
use tempfile::TempDir;

use crate::check;

pub const SECOND: u64 = 1000;
pub const MINUTE: u64 = 60 * SECOND;
pub const HOUR: u64 = 60 * MINUTE;
pub const DAY: u64 = 24 * HOUR;
/// Longer than anything a request may ask for.
pub const CENTURY: u64 = 36_525 * DAY;

/// Where every test's clock begins: the start of a rate window.
pub const START_MS: u64 = 29_916_000 * MINUTE;

/// The fleet that set-up makes.
pub const FLEET: FleetNo = 1;
pub const FLEET_ID: &str = "flt_test";
pub const OPERATOR_ID: &str = "opr_test";
/// Hash of the token that the owner acts with.
pub const OWNERS_TOKEN: [u8; 32] = [0xee; 32];

/// A relay's state machine.
pub struct Relay {
    /// Reads what has been applied so far.
    pub txn: Txn,
    /// The leader's clock.
    pub now_ms: u64,
    /// Inboxes woken since the test last cleared this.
    pub wakes: Vec<(FleetNo, AgentNo)>,
    /// A2A tasks with something new since the test last cleared this.
    pub updated: Vec<(FleetNo, u128)>,
    /// Every command applied, as it lies in the log, with its time.
    pub log: Vec<(u64, Vec<u8>)>,
    /// Whether the state is recounted after each command.
    pub recount: bool,
    commit_each: bool,
    effects: Effects,
    state: State,
    ids: u128,
    _dir: Option<TempDir>,
}

/// An enrolled agent, as a test names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub no: AgentNo,
    pub id: String,
}

impl Relay {
    /// A relay that was just set up, with default settings.
    pub fn new() -> Self {
        Self::with(Settings::default())
    }

    /// A relay that was just set up, with these settings. Each command is a batch of its own.
    pub fn with(settings: Settings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let state = State::open(dir.path(), &StateOptions::default()).unwrap();
        let mut relay = Self::over(&state, settings);
        relay.commit_each = true;
        relay._dir = Some(dir);
        relay
    }

    /// A relay in one long batch over an empty state, which stays empty.
    pub fn over(state: &State, settings: Settings) -> Self {
        let mut relay = Relay {
            txn: state.begin(),
            now_ms: START_MS,
            wakes: Vec::new(),
            updated: Vec::new(),
            log: Vec::new(),
            recount: true,
            commit_each: false,
            effects: Effects::default(),
            state: state.clone(),
            ids: 0,
            _dir: None,
        };
        grant(&mut relay.txn);
        let set_up = relay.apply(Command::Bootstrap(bootstrap(settings)));
        assert_eq!(set_up, Outcome::Done);
        relay
    }

    /// Applies a command at the time of the clock.
    pub fn apply(&mut self, command: Command) -> Outcome {
        let bytes = encode(&command);
        self.log.push((self.now_ms, bytes.to_vec()));
        let command: Command = decode(&bytes).unwrap();
        let outcome =
            apply_command(&mut self.txn, self.now_ms, command, &mut self.effects).unwrap();
        self.wakes.append(&mut self.effects.wakes);
        self.updated.append(&mut self.effects.updated);
        if self.commit_each {
            self.txn.commit().unwrap();
            self.txn = self.state.begin();
            self.effects = Effects::default();
        }
        if self.recount {
            check::consistent(&self.txn);
        }
        outcome
    }

    /// Turns the clock without doing what is due.
    pub fn wait(&mut self, ms: u64) {
        self.now_ms += ms;
    }

    /// Does everything that is due, in steps as the leader would.
    pub fn tick(&mut self) {
        // Each entry can put another one a little later, but never without end.
        for _ in 0..1000 {
            let ticked = self.apply(Command::Tick { limit: 100 });
            let Outcome::Ticked { more, .. } = ticked else {
                panic!("{ticked:?}")
            };
            if !more {
                return;
            }
        }
        panic!("what is due does not come to an end");
    }

    /// Lets time go by, and does what is due at its end.
    pub fn pass(&mut self, ms: u64) {
        self.wait(ms);
        self.tick();
    }

    /// A number no other call returned, for UUIDs, nonces and token hashes.
    pub fn next_id(&mut self) -> u128 {
        self.ids += 1;
        self.ids
    }

    pub fn operator(&mut self, request: OperatorRequest) -> Outcome {
        self.apply(Command::Operator {
            token_hash: OWNERS_TOKEN,
            request_id: "req_test".into(),
            request,
        })
    }

    /// Makes a token and returns its hash.
    pub fn token(&mut self) -> [u8; 32] {
        let mut token_hash = [0; 32];
        token_hash[..16].copy_from_slice(&self.next_id().to_be_bytes());
        let made = self.operator(OperatorRequest::CreateEnrollmentToken { token_hash });
        assert_eq!(made, Outcome::Done);
        token_hash
    }

    /// Enrols an agent.
    pub fn enroll(&mut self, name: &str) -> Peer {
        let token = self.token();
        let enrolled = self.apply(Command::Enroll(enroll_with(token, name)));
        assert!(matches!(enrolled, Outcome::Enrolled { .. }), "{enrolled:?}");
        let (_, no) = agent::locate(&self.txn, &agent_id(name)).unwrap().unwrap();
        Peer {
            no,
            id: agent_id(name),
        }
    }

    /// Two agents, most examples' whole fleet.
    pub fn pair(&mut self) -> (Peer, Peer) {
        (self.enroll("writer"), self.enroll("reviewer"))
    }

    /// Credentials as a healthy client sends them: newest secret, right clock, new nonce.
    pub fn auth(&mut self, agent: AgentNo) -> Auth {
        let credentials = self.agent(agent).credentials;
        let credential = credentials.first().map_or(1, |credential| credential.id);
        let nonce = Some(format!("nonce-{}", self.next_id()));
        Auth {
            fleet: FLEET,
            agent,
            credential,
            nonce,
            timestamp_ms: self.now_ms,
        }
    }

    /// Something an agent signed.
    pub fn sign(&mut self, agent: &Peer, request: AgentRequest) -> Outcome {
        let auth = self.auth(agent.no);
        self.apply(Command::Signed { auth, request })
    }

    /// A plain message to an agent.
    pub fn to(&mut self, recipient: &Peer) -> NewMessage {
        self.draft(Recipient::Agent(recipient.id.clone()))
    }

    /// A plain message to anyone.
    pub fn draft(&mut self, recipient: Recipient) -> NewMessage {
        NewMessage {
            uuid: self.next_id(),
            recipient,
            message_type: "direct".into(),
            priority: Priority::Normal,
            ttl_ms: 15 * MINUTE,
            schedule: Schedule::Now,
            requires_approval: false,
            body: br#"{"text":"hello"}"#.to_vec(),
            metadata: None,
            conversation_id: "c-1".into(),
            correlation_id: "r-1".into(),
            envelope: None,
            idempotency: None,
            approval: self.next_id(),
            tags: Vec::new(),
            judged: Judged::default(),
        }
    }

    /// Sends one message.
    pub fn send(&mut self, from: &Peer, message: NewMessage) -> Result<Sent, Refusal> {
        match self.sign(from, AgentRequest::Send(vec![message])) {
            Outcome::Sent { mut results, .. } => results.remove(0),
            other => panic!("{other:?}"),
        }
    }

    /// Sends a plain message and returns its UUID.
    pub fn sent(&mut self, from: &Peer, to: &Peer) -> u128 {
        let message = self.to(to);
        self.send(from, message).unwrap().message
    }

    pub fn poll(&mut self, agent: &Peer, poll: Poll) -> Vec<HandedOut> {
        match self.sign(agent, AgentRequest::Poll(poll)) {
            Outcome::Polled { messages } => messages,
            other => panic!("{other:?}"),
        }
    }

    /// Takes up to 100 messages and returns their UUIDs.
    pub fn take(&mut self, agent: &Peer) -> Vec<u128> {
        let poll = Poll {
            limit: 100,
            types: vec![],
            resume_after: None,
        };
        self.poll(agent, poll)
            .into_iter()
            .map(|out| out.message)
            .collect()
    }

    /// Acks one message; how many deliveries that changed.
    pub fn ack(&mut self, agent: &Peer, message: u128) -> u64 {
        match self.sign(agent, AgentRequest::Ack(vec![message])) {
            Outcome::Updated(count) => count,
            other => panic!("{other:?}"),
        }
    }

    /// Gives one message back; how many deliveries that changed.
    pub fn nack(&mut self, agent: &Peer, nack: Nack) -> u64 {
        match self.sign(agent, AgentRequest::Nack(vec![nack])) {
            Outcome::Updated(count) => count,
            other => panic!("{other:?}"),
        }
    }

    /// Pauses or quarantines an agent without end.
    pub fn hold(&mut self, agent: &Peer, kind: HoldKind) -> Outcome {
        self.operator(OperatorRequest::Hold {
            agent_id: agent.id.clone(),
            kind,
            reason: "test".into(),
            expires_ms: None,
            redirect_agent_id: None,
        })
    }

    pub fn resume(&mut self, agent: &Peer) -> Outcome {
        let (agent_id, reason) = (agent.id.clone(), "test".into());
        self.operator(OperatorRequest::Resume {
            agent_id,
            reason,
            expires_ms: None,
        })
    }

    pub fn revoke(&mut self, agent: &Peer) -> Outcome {
        let (agent_id, reason) = (agent.id.clone(), "test".into());
        self.operator(OperatorRequest::Revoke { agent_id, reason })
    }

    pub fn change_settings(&mut self, change: impl FnOnce(&mut Settings)) {
        let before = Box::new(settings::get(&self.txn).unwrap());
        let mut after = before.clone();
        change(&mut after);
        assert_eq!(
            self.operator(OperatorRequest::ChangeSettings { before, after }),
            Outcome::Done
        );
    }

    pub fn agent(&self, no: AgentNo) -> Agent {
        agent::get(&self.txn, FLEET, no).unwrap().unwrap()
    }

    /// How an agent is shown.
    pub fn status(&self, agent: &Peer) -> &'static str {
        let live = agent::live(&self.txn, FLEET, agent.no).unwrap();
        self.agent(agent.no).status(&live).as_str()
    }

    pub fn message(&self, uuid: u128) -> Option<Message> {
        message::get(&self.txn, FLEET, uuid).unwrap()
    }

    /// The delivery of a message to an agent.
    pub fn delivery(&self, to: &Peer, uuid: u128) -> Delivery {
        let message = self.message(uuid).unwrap();
        let place = match message.single {
            Some((no, seq)) => (no == to.no).then_some(seq),
            None => delivery::fan_out(&self.txn, FLEET, uuid, to.no).unwrap(),
        };
        delivery::get(&self.txn, FLEET, to.no, place.unwrap())
            .unwrap()
            .unwrap()
    }

    pub fn state(&self, to: &Peer, uuid: u128) -> DeliveryState {
        self.delivery(to, uuid).state
    }

    pub fn count(&self, counter: Counter) -> u64 {
        counter::get(&self.txn, FLEET, counter).unwrap()
    }

    /// Kinds of the newest events, newest first.
    pub fn events(&self, limit: usize) -> Vec<EventKind> {
        let events = event::list_rev(&self.txn, FLEET, u64::MAX, limit).unwrap();
        events.into_iter().map(|(_, event)| event.kind).collect()
    }
}

/// Lets the owner act without signing in, for ever. It is no part of the log, so whoever applies
/// one to an empty state begins with this too.
pub fn grant(txn: &mut Txn) {
    let session = Session {
        fleet: FLEET,
        operator_id: OPERATOR_ID.into(),
        id: "ses_test".into(),
        created_ms: START_MS,
        expires_ms: None,
        origin: Origin::Login {
            method: Method::Password,
            address: "::1".into(),
            user_agent: "test".into(),
        },
    };
    session::put(txn, &OWNERS_TOKEN, &session);
}

pub fn agent_id(name: &str) -> String {
    format!("agent_{name}")
}

pub fn bootstrap(settings: Settings) -> Bootstrap {
    Bootstrap {
        fleet: NewFleet {
            fleet_id: FLEET_ID.into(),
            name: "test".into(),
            operator_id: OPERATOR_ID.into(),
            email: "owner@example.org".into(),
            password_hash: "$argon2id$first".into(),
        },
        sealing_key_id: "k1".into(),
        settings,
    }
}

pub fn enroll_with(token_hash: [u8; 32], name: &str) -> Enroll {
    Enroll {
        fleet_id: FLEET_ID.into(),
        token_hash,
        agent_id: agent_id(name),
        display_name: name.into(),
        runtime: "custom".into(),
        hostname: None,
        capabilities: vec![],
        identity_key: None,
        sealed_secret: name.as_bytes().to_vec(),
    }
}

/// A message given back without a delay of its own.
pub fn nack(message: u128) -> Nack {
    Nack {
        message,
        delay_ms: None,
        reason: None,
    }
}
