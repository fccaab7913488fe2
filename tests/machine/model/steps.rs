//! Random steps. Numbers pick among what exists when the step is run, so that every sequence
//! of steps means something, also after shrinking.

use ekho_storage::tables::agent::HoldKind;
use proptest::prelude::*;

use crate::rig::{DAY, HOUR, MINUTE, SECOND};

/// Message types that sends and filters choose from.
pub const TYPES: [&str; 3] = ["direct", "alert", "handoff"];

/// Which agent, message or delivery is meant: this one, counted from the newest.
pub type Pick = usize;

/// Most picks are below this.
pub const OFTEN: Pick = 4;

#[derive(Clone, Debug)]
pub enum Step {
    Enroll,
    Room {
        creator: Pick,
        members: u8,
    },
    Send {
        from: Pick,
        drafts: Vec<Draft>,
    },
    Poll {
        agent: Pick,
        limit: u32,
        types: Vec<&'static str>,
        resume_after: Option<u64>,
    },
    /// Takes everything and gives it back at once, so many times.
    GiveBack {
        agent: Pick,
        times: u32,
    },
    /// By the recipient, or by somebody else who has no business with it.
    Ack {
        deliveries: Vec<Pick>,
        stranger: bool,
    },
    Nack {
        delivery: Pick,
        delay_ms: Option<u64>,
        stranger: bool,
    },
    Lease {
        delivery: Pick,
        extend_ms: u64,
        stranger: bool,
    },
    Cancel {
        message: Pick,
        stranger: bool,
    },
    Decide {
        message: Pick,
        approve: bool,
    },
    /// Turns the clock.
    Wait {
        ms: u64,
    },
    Tick {
        limit: u32,
    },
    Hold {
        agent: Pick,
        kind: HoldKind,
        for_ms: Option<u64>,
        redirect: Option<Pick>,
    },
    Resume {
        agent: Pick,
    },
    Revoke {
        agent: Pick,
    },
    Heartbeat {
        agent: Pick,
        status: &'static str,
    },
    HeartbeatSeen {
        agent: Pick,
        ago_ms: u64,
    },
    LeadershipBegan,
    Rotate {
        agent: Pick,
        overlap_ms: u64,
    },
    /// Signs with the credential that many rotations ago, and a clock that is off.
    Sign {
        agent: Pick,
        rotations_ago: u32,
        clock_ms: i64,
    },
    /// A request that was accepted before, once more, to the byte.
    Replay {
        request: Pick,
    },
}

/// A message to be sent.
#[derive(Clone, Debug)]
pub struct Draft {
    pub to: To,
    pub message_type: &'static str,
    pub ttl_ms: u64,
    pub delay_ms: Option<u64>,
    pub requires_approval: bool,
    /// Idempotency key, and which of two requests it is used for.
    pub key: Option<(u8, bool)>,
}

#[derive(Clone, Copy, Debug)]
pub enum To {
    Agent(Pick),
    Room(Pick),
    Broadcast,
    Nobody,
}

fn pick() -> impl Strategy<Value = Pick> {
    // Mostly something recent.
    prop_oneof![3 => 0..OFTEN, 1 => OFTEN..40]
}

fn draft() -> impl Strategy<Value = Draft> {
    let to = prop_oneof![
        6 => pick().prop_map(To::Agent),
        2 => pick().prop_map(To::Room),
        2 => Just(To::Broadcast),
        1 => Just(To::Nobody),
    ];
    let ttl_ms = prop::sample::select(vec![SECOND, MINUTE, 15 * MINUTE, HOUR, DAY]);
    let delay_ms = prop::option::weighted(0.2, prop::sample::select(vec![0, SECOND, MINUTE, HOUR]));
    let key = prop::option::weighted(0.2, (0..3u8, prop::bool::weighted(0.2)));
    (
        to,
        prop::sample::select(&TYPES[..]),
        ttl_ms,
        delay_ms,
        prop::bool::weighted(0.15),
        key,
    )
        .prop_map(
            |(to, message_type, ttl_ms, delay_ms, requires_approval, key)| Draft {
                to,
                message_type,
                ttl_ms,
                delay_ms,
                requires_approval,
                key,
            },
        )
}

fn wait() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3 * SECOND).boxed(),
        // Right before, at and after the moments that matter.
        6 => (
            prop::sample::select(vec![MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, HOUR]),
            0..3u64,
        )
            .prop_map(|(ms, after)| ms - 1 + after)
            .boxed(),
        1 => prop::sample::select(vec![2 * HOUR, 12 * HOUR, DAY, 7 * DAY, 31 * DAY]).boxed(),
    ]
    .prop_map(|ms| Step::Wait { ms })
}

fn poll() -> impl Strategy<Value = Step> {
    let types = prop_oneof![
        3 => Just(vec![]),
        1 => prop::sample::subsequence(TYPES.to_vec(), 1..3),
    ];
    let limit = prop_oneof![1 => 1..4u32, 2 => Just(100u32)];
    (pick(), limit, types, prop::option::weighted(0.1, 0..8u64)).prop_map(
        |(agent, limit, types, resume_after)| Step::Poll {
            agent,
            limit,
            types,
            resume_after,
        },
    )
}

fn hold() -> impl Strategy<Value = Step> {
    let kind = prop_oneof![Just(HoldKind::Pause), Just(HoldKind::Quarantine)];
    let for_ms = prop::option::of(prop::sample::select(vec![0, MINUTE, HOUR]));
    (pick(), kind, for_ms, prop::option::weighted(0.3, pick())).prop_map(
        |(agent, kind, for_ms, redirect)| Step::Hold {
            agent,
            kind,
            for_ms,
            redirect,
        },
    )
}

/// One step.
pub fn step() -> impl Strategy<Value = Step> {
    let stranger = || prop::bool::weighted(0.1);
    let delay_ms = prop::option::of(prop::sample::select(vec![0, 0, SECOND, 10 * MINUTE]));
    let status = prop::sample::select(vec!["healthy", "degraded", "busy", "idle"]);
    let clock_ms = prop_oneof![
        2 => Just(0i64),
        1 => -300_001..300_002i64,
        1 => prop::sample::select(vec![-300_001i64, -300_000, 300_000, 300_001]),
    ];
    prop_oneof![
        4 => Just(Step::Enroll),
        2 => (pick(), any::<u8>()).prop_map(|(creator, members)| Step::Room { creator, members }),
        24 => (pick(), prop::collection::vec(draft(), 1..4))
            .prop_map(|(from, drafts)| Step::Send { from, drafts }),
        18 => poll(),
        3 => (pick(), 1..5u32).prop_map(|(agent, times)| Step::GiveBack { agent, times }),
        5 => (prop::collection::vec(pick(), 1..3), stranger())
            .prop_map(|(deliveries, stranger)| Step::Ack { deliveries, stranger }),
        9 => (pick(), delay_ms, stranger())
            .prop_map(|(delivery, delay_ms, stranger)| Step::Nack { delivery, delay_ms, stranger }),
        3 => (pick(), prop::sample::select(vec![0, MINUTE, HOUR]), stranger())
            .prop_map(|(delivery, extend_ms, stranger)| Step::Lease { delivery, extend_ms, stranger }),
        4 => (pick(), stranger()).prop_map(|(message, stranger)| Step::Cancel { message, stranger }),
        5 => (pick(), any::<bool>()).prop_map(|(message, approve)| Step::Decide { message, approve }),
        12 => wait(),
        12 => prop_oneof![Just(1u32), 2..6u32, Just(1000)].prop_map(|limit| Step::Tick { limit }),
        3 => hold(),
        3 => pick().prop_map(|agent| Step::Resume { agent }),
        1 => pick().prop_map(|agent| Step::Revoke { agent }),
        2 => (pick(), status).prop_map(|(agent, status)| Step::Heartbeat { agent, status }),
        1 => (pick(), prop::sample::select(vec![0, MINUTE, HOUR]))
            .prop_map(|(agent, ago_ms)| Step::HeartbeatSeen { agent, ago_ms }),
        1 => Just(Step::LeadershipBegan),
        1 => (pick(), prop::sample::select(vec![0, HOUR]))
            .prop_map(|(agent, overlap_ms)| Step::Rotate { agent, overlap_ms }),
        3 => (pick(), 0..3u32, clock_ms).prop_map(|(agent, rotations_ago, clock_ms)| {
            Step::Sign { agent, rotations_ago, clock_ms }
        }),
        4 => (0..20usize).prop_map(|request| Step::Replay { request }),
    ]
}

/// A whole history.
pub fn history(steps: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), steps)
}
