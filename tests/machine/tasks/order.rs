//! Any order of what clients, agents and operators do, against what a task promises: it ends at
//! most once, nothing follows its end, and whoever reads its updates, from wherever and whenever,
//! reads the same sequence. The recount after every command checks the rest.

use std::collections::BTreeMap;

use ekho::machine::command::{AgentRequest, OperatorRequest, TaskRequest};
use ekho::machine::outcome::{Outcome, Refusal};
use ekho_storage::tables::settings::Settings;
use ekho_storage::tables::task::{self, Change, TaskState, Update};
use ekho_storage::{State, StateOptions};
use proptest::prelude::*;

use crate::determinism;
use crate::property::config;
use crate::rig::{DAY, FLEET, HOUR, MINUTE, Peer, Relay, nack};

/// One of the tasks, counted from the newest.
type Pick = usize;

#[derive(Clone, Debug)]
enum Step {
    Ask {
        agent: usize,
        approval: bool,
    },
    AskAsAgent,
    Further(Pick),
    Cancel {
        task: Pick,
        by_agent: bool,
    },
    Status {
        task: Pick,
        state: TaskState,
        said: bool,
    },
    Artifact {
        task: Pick,
        id: u8,
        append: bool,
    },
    Take {
        agent: usize,
    },
    Ack(Pick),
    Nack(Pick),
    Decide {
        task: Pick,
        approve: bool,
    },
    TakeBack(Pick),
    Redirect {
        task: Pick,
    },
    Pass(u64),
}

fn steps(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Step>> {
    let pick = || prop_oneof![4 => 0..2usize, 1 => 2..8usize];
    let agent = || 0..2usize;
    // What agents may set; a task is made submitted.
    let state = prop_oneof![
        3 => prop::sample::select(&TaskState::ALL[1..4]),
        1 => prop::sample::select(&TaskState::ALL[4..]),
    ];
    let time = prop::sample::select(vec![0, MINUTE, 10 * MINUTE, HOUR, 8 * DAY, 31 * DAY]);
    let step = prop_oneof![
        3 => (agent(), prop::bool::weighted(0.2))
            .prop_map(|(agent, approval)| Step::Ask { agent, approval }),
        1 => Just(Step::AskAsAgent),
        3 => pick().prop_map(Step::Further),
        2 => (pick(), any::<bool>()).prop_map(|(task, by_agent)| Step::Cancel { task, by_agent }),
        5 => (pick(), state, any::<bool>())
            .prop_map(|(task, state, said)| Step::Status { task, state, said }),
        3 => (pick(), 0..3u8, any::<bool>())
            .prop_map(|(task, id, append)| Step::Artifact { task, id, append }),
        4 => agent().prop_map(|agent| Step::Take { agent }),
        3 => pick().prop_map(Step::Ack),
        2 => pick().prop_map(Step::Nack),
        1 => (pick(), any::<bool>()).prop_map(|(task, approve)| Step::Decide { task, approve }),
        1 => pick().prop_map(Step::TakeBack),
        1 => pick().prop_map(|task| Step::Redirect { task }),
        2 => time.prop_map(Step::Pass),
    ];
    prop::collection::vec(step, count)
}

struct Run {
    relay: Relay,
    agents: [Peer; 2],
    tasks: Vec<u128>,
    /// What was read of each task so far.
    read: BTreeMap<u128, Vec<Update>>,
}

impl Run {
    fn new(state: &State) -> Self {
        let mut relay = Relay::over(
            state,
            Settings {
                rate_max_messages: 10_000,
                retry_backoff_ms: vec![MINUTE],
                ..Settings::default()
            },
        );
        let agents = ["first", "second"].map(|name| relay.enroll(name));
        relay.client(&[]);
        Run {
            relay,
            agents,
            tasks: Vec::new(),
            read: BTreeMap::new(),
        }
    }

    fn stored(&self, pick: Pick) -> Option<task::Task> {
        let place = self.tasks.len().checked_sub(1 + pick)?;
        task::get(&self.relay.txn, FLEET, self.tasks[place]).unwrap()
    }

    /// Who works on it.
    fn agent_of(&self, task: &task::Task) -> Peer {
        let found = self.agents.iter().find(|agent| agent.no == task.agent);
        found.unwrap().clone()
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Ask { agent, approval } => {
                let agent = self.agents[agent].clone();
                let mut send = self.relay.begin(&agent);
                send.message.requires_approval = approval;
                self.tasks.push(send.task);
                self.relay.by_token(TaskRequest::Send(Box::new(send)));
            }
            Step::AskAsAgent => {
                let [first, second] = self.agents.clone();
                let send = self.relay.begin(&second);
                self.tasks.push(send.task);
                let request = AgentRequest::Task(TaskRequest::Send(Box::new(send)));
                self.relay.sign(&first, request);
            }
            Step::Further(pick) => self.on(pick, |relay, agent, task| {
                let send = relay.further(agent, task.uuid, false);
                relay.by_token(TaskRequest::Send(Box::new(send)))
            }),
            Step::Cancel { task, by_agent } => self.on(task, |relay, agent, task| {
                let cancel = TaskRequest::Cancel { task: task.uuid };
                match by_agent {
                    true => relay.sign(agent, AgentRequest::Task(cancel)),
                    false => relay.by_token(cancel),
                }
            }),
            Step::Status { task, state, said } => self.on(task, |relay, agent, task| {
                relay.set(agent, task.uuid, state, said.then_some("so"))
            }),
            Step::Artifact { task, id, append } => self.on(task, |relay, agent, task| {
                relay.chunk(agent, task.uuid, (&id.to_string(), append))
            }),
            Step::Take { agent } => {
                let agent = self.agents[agent].clone();
                self.relay.take(&agent);
            }
            Step::Ack(pick) => self.on(pick, |relay, agent, task| {
                Outcome::Updated(relay.ack(agent, task.message))
            }),
            Step::Nack(pick) => self.on(pick, |relay, agent, task| {
                Outcome::Updated(relay.nack(agent, nack(task.message)))
            }),
            Step::Decide { task, approve } => self.on(task, |relay, _, task| {
                let message = relay.message(task.message);
                let Some(approval) = message.and_then(|message| message.approval) else {
                    return Outcome::Done;
                };
                let reason = None;
                relay.operator(OperatorRequest::DecideApproval {
                    approval,
                    approve,
                    reason,
                })
            }),
            Step::TakeBack(pick) => self.on(pick, |relay, _, task| {
                let message = task.message;
                relay.operator(OperatorRequest::Cancel { message })
            }),
            Step::Redirect { task } => {
                let agents = self.agents.clone();
                self.on(task, |relay, agent, task| {
                    let other = agents.iter().find(|other| *other != agent).unwrap();
                    let message = relay.message(task.message);
                    let single = message.and_then(|message| message.single);
                    let Some((_, seq)) = single else {
                        return Outcome::Done;
                    };
                    relay.operator(OperatorRequest::Redirect {
                        from_agent_id: agent.id.clone(),
                        to_agent_id: other.id.clone(),
                        seqs: vec![seq],
                        reason: "away".into(),
                    })
                });
            }
            Step::Pass(ms) => self.relay.pass(ms),
        }
        self.readers_agree();
    }

    /// Does something with a task: where that is over, nothing more is accepted of it.
    fn on(&mut self, pick: Pick, what: impl FnOnce(&mut Relay, &Peer, &task::Task) -> Outcome) {
        let Some(task) = self.stored(pick) else {
            return;
        };
        let agent = self.agent_of(&task);
        let outcome = what(&mut self.relay, &agent, &task);
        let is_taken = matches!(
            outcome,
            Outcome::TaskSent { .. } | Outcome::TaskChanged { .. }
        );
        if task.state.is_terminal() {
            assert!(!is_taken, "{outcome:?} of {task:?}");
            assert_eq!(self.relay.task(task.uuid), task, "after {outcome:?}");
        } else if let Outcome::Refused(Refusal::TaskOver(_)) = outcome {
            panic!("{outcome:?} of {task:?}");
        }
    }

    /// What was read stays so; from every point the rest is the rest, in pages of any size.
    fn readers_agree(&mut self) {
        for uuid in &self.tasks {
            let stored = task::get(&self.relay.txn, FLEET, *uuid).unwrap();
            if stored.is_none() {
                // Its time is over.
                self.read.remove(uuid);
                continue;
            }
            let all = self.relay.updates(*uuid);
            let before = self.read.entry(*uuid).or_default();
            assert!(all.starts_with(before), "{before:?} became {all:?}");
            for from in 0..=all.len() {
                let limit = 1 + from % 3;
                let mut rest = Vec::new();
                let mut after = from as u64;
                loop {
                    let page = task::updates(&self.relay.txn, FLEET, *uuid, after, limit).unwrap();
                    let Some((last, _)) = page.last() else { break };
                    after = *last;
                    rest.extend(page.into_iter().map(|(_, update)| update));
                }
                assert_eq!(rest, all[from..], "read from {from}");
            }
            let ends = all.iter().filter(|update| {
                matches!(&update.what, Change::Status { state, .. } if state.is_terminal())
            });
            assert!(ends.count() <= 1, "{all:?}");
            *before = all;
        }
    }
}

#[test]
fn a_task_ends_once_and_everybody_reads_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(dir.path(), &StateOptions::default()).unwrap();
    proptest!(config(150), |(steps in steps(1..80))| {
        let mut run = Run::new(&state);
        steps.into_iter().for_each(|step| run.step(step));
    });
}

#[test]
fn tasks_come_out_the_same_however_the_log_is_cut_into_batches() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(dir.path(), &StateOptions::default()).unwrap();
    let sizes = prop::collection::vec(1..9usize, 1..5);
    proptest!(config(12), |(steps in steps(40..120), sizes in sizes)| {
        let mut run = Run::new(&state);
        run.relay.recount = false;
        steps.into_iter().for_each(|step| run.step(step));
        determinism::same(&run.relay.log, &sizes);
    });
}
