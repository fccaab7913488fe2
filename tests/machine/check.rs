//! A recount of the whole state: what is kept in step must be in step.
//!
//! Knows nothing of how the state came about. Everything that the machine keeps as a count or an
//! index is worked out again from the records themselves.

mod attachments;
mod tasks;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use ekho_storage::tables::agent::{self, AgentStatus};
use ekho_storage::tables::agent_index::{self, Order};
use ekho_storage::tables::approval::{self, Approval, ApprovalStatus};
use ekho_storage::tables::counter::{self, Counter};
use ekho_storage::tables::delivery::{self, Delivery, DeliveryState};
use ekho_storage::tables::due::{self, Due};
use ekho_storage::tables::message::{self, Message};
use ekho_storage::tables::sequence::{self, Sequence};
use ekho_storage::tables::{
    AgentNo, control, dead_letter, floor, idempotency, login, notice, rate, session, settings,
    system, token,
};
use ekho_storage::{Cf, Key, Read, decode};

use crate::rig::FLEET;

/// First bytes of tables in the registry family that have no function to list them.
const APPROVALS: u8 = 13;
const VIOLATIONS: u8 = 17;

/// Fails where an index or a counter differs from what the records say.
pub fn consistent(read: &impl Read) {
    let found = Found::scan(read);
    found.deliveries(read);
    found.inboxes(read);
    found.messages(read);
    found.agents(read);
    found.due(read);
    found.counters(read);
    tasks::consistent(read, &found.messages, &found.due);
    attachments::consistent(read, &found.messages, &found.due);
}

/// Everything stored, read once.
struct Found {
    agents: Vec<agent::Agent>,
    deliveries: BTreeMap<(AgentNo, u64), Delivery>,
    messages: Vec<Message>,
    /// Deliveries of each message.
    places: BTreeMap<u128, Vec<(AgentNo, u64)>>,
    due: Vec<(u64, Due)>,
    approvals: Vec<Approval>,
    dead_letters: BTreeSet<u64>,
}

impl Found {
    fn scan(read: &impl Read) -> Self {
        let agents = agent::list(read, FLEET, 0, usize::MAX).unwrap();
        let mut deliveries = BTreeMap::new();
        let mut places: BTreeMap<u128, Vec<(AgentNo, u64)>> = BTreeMap::new();
        for agent in &agents {
            for (seq, delivery) in delivery::list(read, FLEET, agent.no, 0, usize::MAX).unwrap() {
                places
                    .entry(delivery.message)
                    .or_default()
                    .push((agent.no, seq));
                deliveries.insert((agent.no, seq), delivery);
            }
        }
        let messages = read
            .prefix(Cf::Message, Key::new().u32(FLEET).bytes(), usize::MAX)
            .unwrap();
        let approvals = Key::table(APPROVALS).u32(FLEET);
        let approvals = read
            .prefix(Cf::Registry, approvals.bytes(), usize::MAX)
            .unwrap();
        let letters = sequence::last(read, FLEET, Sequence::DeadLetter).unwrap();
        Found {
            agents,
            deliveries,
            messages: messages
                .iter()
                .map(|(_, value)| decode(value).unwrap())
                .collect(),
            places,
            due: due::list(read, 0, u64::MAX, usize::MAX).unwrap(),
            approvals: approvals
                .iter()
                .map(|(_, value)| decode(value).unwrap())
                .collect(),
            dead_letters: (1..=letters)
                .filter(|seq| dead_letter::get(read, FLEET, *seq).unwrap().is_some())
                .collect(),
        }
    }

    /// An open delivery has exactly one entry in the due index, an ended one has none.
    fn deliveries(&self, read: &impl Read) {
        let expected: BTreeSet<(u64, AgentNo, u64)> = self
            .deliveries
            .iter()
            // The end of all time does not come; it is not among what can be listed.
            .filter(|(_, delivery)| !delivery.state.ended() && delivery.due_ms != u64::MAX)
            .map(|((agent, seq), delivery)| (delivery.due_ms, *agent, *seq))
            .collect();
        let entries = self.due.iter().filter_map(|(at, due)| match due {
            Due::Delivery { agent, seq, .. } => Some((*at, *agent, *seq)),
            _ => None,
        });
        same(
            "due entries of open deliveries",
            &entries.collect::<BTreeSet<_>>(),
            &expected,
        );
        for ((agent, seq), delivery) in &self.deliveries {
            let place = format!("delivery {seq} of agent {agent}: {delivery:?}");
            assert_eq!(
                delivery.state.ended(),
                delivery.ended_ms.is_some(),
                "{place}"
            );
            assert!(delivery.due_ms <= delivery.deadline_ms, "{place}");
            let message = message::get(read, FLEET, delivery.message).unwrap();
            assert!(message.is_some(), "without its message: {place}");
            let body = message::body(read, FLEET, delivery.message).unwrap();
            assert!(body.is_some(), "without its body: {place}");
        }
    }

    /// The ready index holds the ready deliveries; the inbox knows how many and where they begin.
    fn inboxes(&self, read: &impl Read) {
        for agent in &self.agents {
            let rows = delivery::ready(read, FLEET, agent.no, 0, usize::MAX).unwrap();
            let expected: Vec<(u64, String)> = self
                .deliveries
                .range((agent.no, 0)..=(agent.no, u64::MAX))
                .filter(|(_, delivery)| delivery.state == DeliveryState::Ready)
                .map(|((_, seq), delivery)| (*seq, delivery.message_type.clone()))
                .collect();
            same("ready rows", &rows, &expected);
            let queue = delivery::queue(read, FLEET, agent.no).unwrap();
            assert_eq!(
                queue.ready,
                rows.len() as u64,
                "count of ready rows: {queue:?}"
            );
            if let Some((first, _)) = rows.first() {
                assert!(queue.head <= *first, "{queue:?} begins behind row {first}");
            }
            let last = self
                .deliveries
                .range((agent.no, 0)..=(agent.no, u64::MAX))
                .next_back();
            assert!(
                last.is_none_or(|((_, seq), _)| *seq <= queue.last_seq),
                "{queue:?}"
            );
        }
    }

    /// A message and its deliveries know of each other; one that is over waits for its removal.
    fn messages(&self, read: &impl Read) {
        let mut retention = BTreeMap::new();
        for (at, due) in &self.due {
            if let Due::Retention { message, .. } = due {
                assert_eq!(
                    retention.insert(*message, *at),
                    None,
                    "removed twice: {message}"
                );
            }
        }
        let stored: BTreeSet<u128> = self.messages.iter().map(|message| message.uuid).collect();
        for message in retention.keys() {
            assert!(
                stored.contains(message),
                "{message} is to be removed but not there"
            );
        }
        for message in &self.messages {
            let places = self.places.get(&message.uuid).cloned().unwrap_or_default();
            let listed = match message.single {
                Some(place) => vec![place],
                None => delivery::fan_out_list(read, FLEET, message.uuid, 0, usize::MAX).unwrap(),
            };
            same("places of a message", &listed, &places);
            let open = places
                .iter()
                .filter(|place| !self.deliveries[place].state.ended())
                .count();
            let over = retention.contains_key(&message.uuid);
            assert_eq!(over, open == 0, "{open} open deliveries: {message:?}");
            if message.single.is_none() {
                assert_eq!(
                    message.open as usize, open,
                    "open deliveries of {message:?}"
                );
            }
        }
    }

    /// Holds and heartbeats have the due entries that their agents say.
    fn agents(&self, read: &impl Read) {
        let mut expected = BTreeSet::new();
        for agent in &self.agents {
            if let Some(at) = agent.hold.as_ref().and_then(|hold| hold.expires_ms) {
                expected.insert((at, "hold", agent.no));
            }
            let live = agent::live(read, FLEET, agent.no).unwrap();
            if live.due_ms != 0 {
                expected.insert((live.due_ms, "heartbeat", agent.no));
            }
            assert!(!agent.revoked || agent.credentials.is_empty(), "{agent:?}");
            assert!(agent.credentials.len() <= 2, "{agent:?}");
        }
        self.orders(read);
        self.approval_orders(read);
        let entries = self.due.iter().filter_map(|(at, due)| match due {
            Due::Hold { agent, .. } => Some((*at, "hold", *agent)),
            Due::Heartbeat { agent, .. } => Some((*at, "heartbeat", *agent)),
            _ => None,
        });
        same(
            "due entries of agents",
            &entries.collect::<BTreeSet<_>>(),
            &expected,
        );
    }

    /// Everything due belongs to something, and nothing is due where no tick looks any more.
    fn due(&self, read: &impl Read) {
        let system = system::get(read).unwrap();
        let mut letters = BTreeSet::new();
        for (at, due) in &self.due {
            assert!(
                *at >= system.due_low_ms,
                "{due:?} at {at} lies below {}",
                system.due_low_ms
            );
            let there = match due {
                Due::Delivery { .. } | Due::Retention { .. } => true,
                Due::Heartbeat { .. } | Due::Hold { .. } => true,
                Due::Control { agent, seq, .. } => {
                    let controls = control::list_rev(read, FLEET, *agent, usize::MAX).unwrap();
                    controls
                        .iter()
                        .any(|(found, control)| found == seq && control.expires_ms == Some(*at))
                }
                Due::Floor { conversation, .. } => floor::get(read, FLEET, conversation)
                    .unwrap()
                    .is_some_and(|floor| floor.expires_ms == *at),
                Due::Idempotency { agent, key, .. } => idempotency::get(read, FLEET, *agent, key)
                    .unwrap()
                    .is_some(),
                Due::Violation {
                    agent, at_ms, seq, ..
                } => {
                    let row = Key::table(VIOLATIONS)
                        .u32(FLEET)
                        .u32(*agent)
                        .u64(*at_ms)
                        .u64(*seq);
                    read.exists(Cf::Registry, row.bytes()).unwrap()
                }
                Due::Session { token_hash } => session::get(read, token_hash)
                    .unwrap()
                    .is_some_and(|session| session.expires_ms == Some(*at)),
                Due::EnrollmentToken { token_hash } => token::get(read, token_hash)
                    .unwrap()
                    .is_some_and(|token| token.expires_ms == *at),
                Due::DeadLetter { seq, .. } => letters.insert(*seq),
                Due::Events { .. } | Due::License | Due::Task { .. } | Due::Attachment { .. } => {
                    true
                }
                Due::Approval { approval, .. } => self.approvals.iter().any(|one| {
                    let pending = one.status == ApprovalStatus::Pending;
                    let expected = if pending {
                        one.expires_ms
                    } else {
                        Some(one.removed_ms)
                    };
                    one.uuid == *approval && expected == Some(*at)
                }),
                Due::PairRate {
                    policy,
                    sender,
                    recipient,
                    ..
                } => {
                    let pair = rate::Pair {
                        fleet: FLEET,
                        policy,
                        sender: *sender,
                        recipient: *recipient,
                    };
                    rate::pair(read, &pair).unwrap().count > 0
                }
                Due::Login(source) => login::get(read, source).unwrap().until_ms == *at,
                Due::Notice {
                    agent,
                    conversation,
                    ..
                } => notice::get(read, FLEET, *agent, conversation)
                    .unwrap()
                    .is_some(),
            };
            assert!(
                there,
                "{due:?} at {at} belongs to nothing, or is there twice"
            );
        }
        same("due entries of dead letters", &letters, &self.dead_letters);
    }

    /// Every order of approvals lists each once, in that order; and each status its own.
    fn approval_orders(&self, read: &impl Read) {
        let list = |by, status, descending| -> Vec<Approval> {
            let rows =
                approval::list(read, FLEET, (by, status), descending, None, usize::MAX).unwrap();
            rows.into_iter().map(|(_, row)| row).collect()
        };
        let sorted = |key: &dyn Fn(&Approval) -> (u8, String, u128)| {
            let mut rows = self.approvals.clone();
            rows.sort_by_key(|row| key(row));
            rows
        };
        for (by, expected) in [
            (
                approval::Order::Requested,
                sorted(&|row| (0, String::new(), row.uuid)),
            ),
            (
                approval::Order::Risk,
                sorted(&|row| (row.risk as u8, String::new(), row.uuid)),
            ),
            (
                approval::Order::Summary,
                sorted(&|row| (0, row.summary.to_lowercase(), row.uuid)),
            ),
        ] {
            assert_eq!(list(by, None, false), expected, "{by:?}");
            let mut backwards = list(by, None, true);
            backwards.reverse();
            assert_eq!(backwards, expected, "{by:?} backwards");
        }
        for status in ApprovalStatus::ALL {
            let expected = sorted(&|row| (0, String::new(), row.uuid)).into_iter();
            let expected: Vec<Approval> = expected.filter(|row| row.status == status).collect();
            let found = list(approval::Order::Requested, Some(status), false);
            assert_eq!(found, expected, "{status:?}");
        }
    }

    /// Every order of agents lists each once, in that order; over all and by status.
    fn orders(&self, read: &impl Read) {
        let statuses = AgentStatus::ALL.map(Some);
        for status in statuses.into_iter().chain([None]) {
            for order in [Order::Created, Order::Name, Order::Seen, Order::Status] {
                let of = |agent: &&agent::Agent| {
                    let live = agent::live(read, FLEET, agent.no).unwrap();
                    let is = agent.status(&live);
                    let place = match order {
                        Order::Created => String::new(),
                        Order::Name => agent.display_name.to_lowercase(),
                        Order::Seen => format!("{:020}", live.last_seen_ms),
                        Order::Status => is.as_str().into(),
                    };
                    status
                        .is_none_or(|status| status == is)
                        .then_some((place, agent.no))
                };
                let mut expected: Vec<_> = self.agents.iter().filter_map(|one| of(&one)).collect();
                expected.sort();
                let expected: Vec<AgentNo> = expected.into_iter().map(|(_, no)| no).collect();
                let found =
                    agent_index::list(read, FLEET, (order, status), false, None, usize::MAX);
                let found: Vec<AgentNo> = found.unwrap().into_iter().map(|(_, no)| no).collect();
                same(&format!("{order:?} of {status:?}"), &found, &expected);
            }
        }
    }

    fn counters(&self, read: &impl Read) {
        let in_state = |states: &[DeliveryState]| {
            self.deliveries
                .values()
                .filter(|delivery| states.contains(&delivery.state))
                .count()
        };
        let open = self.messages.iter().filter(|message| {
            let places = self.places.get(&message.uuid);
            places.is_some_and(|places| {
                places
                    .iter()
                    .any(|place| !self.deliveries[place].state.ended())
            })
        });
        let status = |wanted: AgentStatus| {
            let is = |agent: &&agent::Agent| {
                agent.status(&agent::live(read, FLEET, agent.no).unwrap()) == wanted
            };
            self.agents.iter().filter(is).count()
        };
        let violations = Key::table(VIOLATIONS).u32(FLEET);
        let violations = read
            .prefix(Cf::Registry, violations.bytes(), usize::MAX)
            .unwrap();
        let pending = self
            .approvals
            .iter()
            .filter(|approval| approval.status == ApprovalStatus::Pending);
        let expected = [
            (
                Counter::DeliveryQueued,
                in_state(&[DeliveryState::Ready, DeliveryState::Waiting]),
            ),
            (
                Counter::DeliveryDelivered,
                in_state(&[DeliveryState::Delivered]),
            ),
            (Counter::MessageOpen, open.count()),
            (Counter::AgentHealthy, status(AgentStatus::Healthy)),
            (Counter::AgentDegraded, status(AgentStatus::Degraded)),
            (Counter::AgentPaused, status(AgentStatus::Paused)),
            (Counter::AgentQuarantined, status(AgentStatus::Quarantined)),
            (Counter::AgentRevoked, status(AgentStatus::Revoked)),
            (Counter::DeadLetters, self.dead_letters.len()),
            (Counter::RateViolations, violations.len()),
            (Counter::ApprovalsPending, pending.count()),
            (Counter::Approvals, self.approvals.len()),
        ];
        for (counter, expected) in expected {
            let kept = counter::get(read, FLEET, counter).unwrap();
            assert_eq!(kept, expected as u64, "{counter:?} against a recount");
        }
        let count = |counter| counter::get(read, FLEET, counter).unwrap();
        assert_eq!(
            count(Counter::MessageAccepted),
            count(Counter::MessageOpen)
                + count(Counter::MessageDone)
                + count(Counter::MessageCancelled),
            "accepted messages are open, done or cancelled"
        );
        assert_eq!(
            sequence::last(read, FLEET, Sequence::Message).unwrap(),
            count(Counter::MessageAccepted)
        );
        let limit = settings::get(read).unwrap().max_agents;
        assert!(self.agents.len() as u64 <= limit);
    }
}

fn same<T: PartialEq + Debug>(what: &str, found: &T, expected: &T) {
    assert!(
        found == expected,
        "{what}:\n   found {found:?}\nexpected {expected:?}"
    );
}
