//! The deterministic state machine: applies commands to the state, one file a command family.
//!
//! A pure function of the log: no clock, no randomness, no unordered iteration, no local
//! configuration. Imports storage and nothing else of ours but the [`Machine`] trait.

pub mod command;
pub mod hook;
pub mod keys;
pub mod outcome;
pub mod policy;
pub mod proof;

pub mod a2a_client;
pub mod a2a_remote;
pub mod access;

mod action;
mod agent;
mod apply;
pub mod attachment;
mod audit;
pub mod auth;
mod cluster;
mod conversation;
mod dead_letter;
mod delivery;
pub mod edge;
mod encryption;
mod fleet;
pub mod import;
mod inbox;
mod license;
mod message;
mod operator;
mod rebuilt;
mod rotation;
mod send;
mod session;
pub mod task;
pub mod task_push;
mod tick;
mod totp;
mod vouched;

use std::sync::Arc;

use bytes::Bytes;
use ekho_raft::{ApplyError, Machine, Stamp};
use ekho_storage::tables::attachment::Hash;
use ekho_storage::tables::settings::{self, Settings};
use ekho_storage::tables::system::{self, System};
use ekho_storage::tables::{AgentNo, FleetNo};
use ekho_storage::{StorageError, Txn};

use apply::Apply;
use command::{AgentRequest, Auth, Command};
use outcome::{Outcome, Refusal};
use policy::{RuleCache, Rules};

pub use fleet::FLEETS_MAX;
pub use message::REDIRECTED_AT_ONCE;
pub use operator::OPERATORS_MAX;
pub use send::ROOM_PREFIX;
pub use session::LISTED_MAX as SESSIONS_LISTED_MAX;

/// The feature level that this release understands. A command that older releases do not know is
/// proposed only once the replicated level, which every node understands, has come that far.
pub const FEATURE_LEVEL: u32 = 6;

/// What follows a batch: collected in apply, run after the batch is committed.
#[derive(Default)]
pub struct Effects {
    /// Inboxes with something new.
    pub wakes: Vec<(FleetNo, AgentNo)>,
    /// A2A tasks with something new.
    pub updated: Vec<(FleetNo, u128)>,
    /// Fleets that were shut.
    pub closed: Vec<FleetNo>,
    /// Whether anything was added to the audit log.
    pub recorded: bool,
    /// Files that attachments name, or no longer do.
    pub files: Files,
    /// The system row and the settings as this batch left them, so that each command of a batch
    /// need not decode them again.
    hot: Option<(System, Settings)>,
    /// The policies of the fleet last asked about.
    rules: Option<(FleetNo, Arc<Rules>)>,
    /// Where those that other batches asked about are.
    rule_cache: Arc<RuleCache>,
}

/// What a batch did to files that lie outside of the state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// An attachment names them.
    pub stored: Vec<Hash>,
    /// No attachment of a fleet names them any more; another fleet's may.
    pub removed: Vec<Hash>,
}

/// Receives what follows a batch. Called on the apply thread; must not block.
pub trait Sink: Send + Sync + 'static {
    /// Wakes whoever waits for these inboxes.
    fn wake(&self, inboxes: &[(FleetNo, AgentNo)]);

    /// Wakes whoever follows these A2A tasks.
    fn updated(&self, tasks: &[(FleetNo, u128)]);

    /// Wakes whoever waits for an inbox of this fleet, or follows a task of it.
    fn close(&self, fleet: FleetNo);

    /// Wakes whoever follows the audit log.
    fn recorded(&self);

    /// Takes note of files that are needed, or no longer.
    fn files(&self, files: Files);
}

/// Ekho's state machine.
pub struct RelayMachine<S> {
    sink: S,
    rule_cache: Arc<RuleCache>,
}

impl<S: Sink> RelayMachine<S> {
    /// A machine that reports to `sink` what follows each batch.
    pub fn new(sink: S) -> Self {
        RelayMachine {
            sink,
            rule_cache: Arc::default(),
        }
    }
}

impl<S: Sink> Machine for RelayMachine<S> {
    type Effects = Effects;

    fn apply(
        &self,
        txn: &mut Txn,
        at: Stamp,
        command: &[u8],
        effects: &mut Effects,
    ) -> Result<Bytes, ApplyError> {
        let command: Command =
            command::decode(command).map_err(|error| ApplyError::new(error.to_string()))?;
        if effects.hot.is_none() {
            // The first command of its batch.
            effects.rule_cache = Arc::clone(&self.rule_cache);
        }
        apply_command(txn, at.now_ms, command, effects)
            .map(|outcome| command::encode(&outcome))
            .map_err(|error| ApplyError::new(error.to_string()))
    }

    fn committed(&self, effects: Effects) {
        if !effects.wakes.is_empty() {
            self.sink.wake(&effects.wakes);
        }
        if !effects.updated.is_empty() {
            self.sink.updated(&effects.updated);
        }
        for fleet in effects.closed {
            self.sink.close(fleet);
        }
        if effects.recorded {
            self.sink.recorded();
        }
        if effects.files != Files::default() {
            self.sink.files(effects.files);
        }
    }
}

/// Applies one command at the time the leader stamped it with.
pub fn apply_command(
    txn: &mut Txn,
    now_ms: u64,
    command: Command,
    effects: &mut Effects,
) -> Result<Outcome, StorageError> {
    let (mut system, mut settings) = match effects.hot.take() {
        Some(hot) => hot,
        None => (system::get(txn)?, settings::get(txn)?),
    };
    let before = system.clone();
    system.now_ms = system.now_ms.max(now_ms);
    let mut apply = Apply {
        txn,
        system: &mut system,
        settings: &mut settings,
        effects,
        request_id: String::new(),
    };
    let outcome = dispatch(&mut apply, command)?;
    if system != before {
        system::put(txn, &system);
    }
    effects.hot = Some((system, settings));
    Ok(outcome)
}

fn dispatch(apply: &mut Apply<'_>, command: Command) -> Result<Outcome, StorageError> {
    if !rotation::takes(apply, &command.sealed())? {
        return Ok(Outcome::Refused(Refusal::SealedBefore));
    }
    match command {
        Command::Bootstrap(bootstrap) => operator::bootstrap(apply, bootstrap),
        Command::LeadershipBegan => {
            apply.system.leader_since_ms = apply.now();
            Ok(Outcome::Done)
        }
        Command::Tick { limit } => tick::tick(apply, limit),
        Command::HeartbeatsSeen { seen } => agent::heartbeats_seen(apply, &seen),
        Command::Enroll(enroll) => agent::enroll(apply, enroll),
        Command::Signed { auth, request } => signed(apply, &auth, request),
        Command::CreateSession(create) => session::create(apply, create),
        Command::LoginFailed(failed) => session::failed(apply, failed),
        Command::Followed { fleet, positions } => hook::followed(apply, fleet, positions),
        Command::HookGaveUp { fleet, gave_up } => hook::gave_up(apply, fleet, gave_up),
        Command::Join(join) => cluster::join(apply, join),
        Command::RaiseFeatureLevel { level } => cluster::raise_level(apply, level),
        Command::DeleteSession { token_hash } => session::sign_out(apply, token_hash),
        Command::EdgeSend(sends) => edge::send(apply, sends),
        Command::Rebuilt(rebuilt) => rebuilt::begin(apply, &rebuilt),
        Command::ConfigureLicense { license } => license::configure(apply, license.map(|one| *one)),
        Command::A2aClient {
            token_hash,
            request,
        } => task::for_client(apply, &token_hash, request),
        Command::Remote {
            fleet,
            agent,
            request,
        } => a2a_remote::act(apply, fleet, agent, request),
        Command::PushesTold { fleet, told } => task_push::told(apply, fleet, told),
        Command::SeedAttachments(settings) => attachment::seed(apply, &settings),
        Command::ProveSecret(proof) => import::prove(apply, proof),
        Command::Reseal(reseal) => rotation::reseal(apply, reseal),
        Command::RotationDone { to_key_id } => rotation::done(apply, &to_key_id),
        Command::Operator {
            token_hash,
            request_id,
            request,
        } => {
            apply.request_id = request_id;
            operator::order(apply, token_hash, request)
        }
    }
}

fn signed(
    apply: &mut Apply<'_>,
    auth: &Auth,
    request: AgentRequest,
) -> Result<Outcome, StorageError> {
    // Before the nonce is used: the node that took the request in asks again with the same one.
    let asked_about = match &request {
        AgentRequest::Send(messages) | AgentRequest::SendWith { messages, .. } => {
            messages.as_slice()
        }
        AgentRequest::Task(request) => request.message().map_or(&[][..], std::slice::from_ref),
        _ => &[],
    };
    if !asked_about.is_empty() && !hook::were_asked(apply, auth.fleet, asked_about)? {
        return Ok(Outcome::Refused(Refusal::ExtensionsNotAsked));
    }
    let agent = match auth::accept(apply, auth)? {
        Ok(agent) => agent,
        Err(refusal) => return Ok(Outcome::Refused(refusal)),
    };
    match request {
        AgentRequest::RecordNonce => Ok(Outcome::Done),
        AgentRequest::Send(messages) => send::send(apply, agent, messages, &[]),
        AgentRequest::SendWith {
            messages,
            attachments,
        } => send::send(apply, agent, messages, &attachments),
        AgentRequest::CreateAttachment(new) => attachment::create(apply, &agent, new),
        AgentRequest::Poll(poll) => inbox::poll(apply, &agent, &poll),
        AgentRequest::Ack(messages) => inbox::ack(apply, &agent, &messages),
        AgentRequest::Nack(nacks) => inbox::nack(apply, &agent, &nacks),
        AgentRequest::Lease(leases) => inbox::lease(apply, &agent, &leases),
        AgentRequest::Cancel { message } => message::cancel(apply, &agent, message),
        AgentRequest::Heartbeat { status } => agent::heartbeat(apply, agent, status),
        AgentRequest::Propose(propose) => action::propose(apply, &agent, propose),
        AgentRequest::ActionResult {
            approval,
            result,
            output,
        } => action::result(apply, &agent, approval, result, output),
        AgentRequest::CreateRoom {
            room_id,
            name,
            members,
        } => conversation::create_room(apply, &agent, room_id, name, &members),
        AgentRequest::Notice {
            conversation_id,
            reason,
            pending_count,
            budget,
        } => {
            let budget: serde_json::Value = budget
                .and_then(|budget| serde_json::from_str(&budget).ok())
                .unwrap_or_default();
            let payload = serde_json::json!({
                "reason": reason,
                "pending_count": pending_count,
                "budget": budget,
            });
            conversation::raise_notice(apply, &agent, conversation_id, payload.to_string())
        }
        AgentRequest::AcquireFloor {
            conversation_id,
            ttl_ms,
        } => conversation::acquire_floor(apply, &agent, conversation_id, ttl_ms),
        AgentRequest::ReleaseFloor { conversation_id } => {
            conversation::release_floor(apply, &agent, conversation_id)
        }
        AgentRequest::IdentityKey { key_id, public_key } => {
            keys::identify(apply, agent, key_id, public_key)
        }
        AgentRequest::RotateCredential {
            sealed_secret,
            overlap_ms,
        } => agent::rotate(apply, agent, sealed_secret, overlap_ms),
        AgentRequest::Task(request) => task::handle(apply, agent, request),
        AgentRequest::PutCard { card } => task::put_card(apply, &agent, card),
        AgentRequest::PublishEncryptionKey(new) => encryption::publish(apply, &agent, new),
        AgentRequest::RevokeEncryptionKey => encryption::revoke(apply, &agent),
    }
}

/// Reads a refusal out of an outcome.
impl Outcome {
    /// The refusal, where the whole command was refused.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Outcome::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }
}
