//! One list of all record types, with examples that use every field and every variant.
//!
//! The order of fields and variants is the format. An appended variant needs an example at the
//! end of its list, so that its number is pinned as well.

use ekho_storage::tables::a2a_client::{A2aClient, ClientToken};
use ekho_storage::tables::a2a_remote::{A2aRemote, RemoteTask};
use ekho_storage::tables::agent::{
    Agent, AgentLive, AutoHold, Credential, Hold, HoldKind, IdentityKey,
};
use ekho_storage::tables::agent_card::AgentCard;
use ekho_storage::tables::approval::{Approval, ApprovalStatus, Risk};
use ekho_storage::tables::attachment::{Attachment, AttachmentSettings, Bound, Content, Uploader};
use ekho_storage::tables::cluster::{Cluster, JoinToken, NodeEntry, Part};
use ekho_storage::tables::control::Control;
use ekho_storage::tables::dead_letter::DeadLetter;
use ekho_storage::tables::delivery::{Delivery, DeliveryState, Queue};
use ekho_storage::tables::derived::Conversation;
use ekho_storage::tables::edge::{EdgeDone, FleetSettings};
use ekho_storage::tables::encryption_key::{
    EncryptionKey, EncryptionKeys, KeyRevoked, KeySignature,
};
use ekho_storage::tables::event::{Actor, Event, EventKind, Resource};
use ekho_storage::tables::fleet::Fleet;
use ekho_storage::tables::floor::Floor;
use ekho_storage::tables::hook::{Hook, HookDraft, HookEvent, HookSecret, OnFailure};
use ekho_storage::tables::idempotency::Idempotency;
use ekho_storage::tables::imported_secret::{ImportedHash, ImportedSecrets};
use ekho_storage::tables::license::{License, Licenses, Tier};
use ekho_storage::tables::login::Failures;
use ekho_storage::tables::message::{Envelope, Message, MessageState, Priority, Recipient};
use ekho_storage::tables::notice::Notice;
use ekho_storage::tables::operator::{Operator, Role, Scope, Scopes};
use ekho_storage::tables::outbox::{OutboxEntry, OutboxHead};
use ekho_storage::tables::policy::{
    Action, BodyRule, BodyTest, Conditions, Draft, PairRate, Policy, TimeWindow, TimeWindows,
};
use ekho_storage::tables::rate::RateWindow;
use ekho_storage::tables::rollup::{AgentTotals, Pair, Totals};
use ekho_storage::tables::room::Room;
use ekho_storage::tables::rotation::Rotation;
use ekho_storage::tables::session::{Method, Origin, Session};
use ekho_storage::tables::settings::Settings;
use ekho_storage::tables::signing_key::{AgentKey, Endorsement, KeyOwner, OperatorKey, RevokedKey};
use ekho_storage::tables::system::System;
use ekho_storage::tables::task::{Artifact, Change, Party, Said, Task, TaskState, Update};
use ekho_storage::tables::task_push::Push;
use ekho_storage::tables::token::EnrollmentToken;
use ekho_storage::tables::totp::Totp;

use crate::golden::{Entry, entry};

const NOW_MS: u64 = 1_795_000_000_000;
const UUID: u128 = 0x0192_f0aa_bbcc_7ddd_8eee_0011_2233_4455;

/// Every version of every record. A type that is missing here fails the golden test.
pub fn all() -> Vec<Entry> {
    vec![
        entry(1, rotations()),
        entry(1, agents()),
        entry(1, agents_live()),
        entry(1, approvals()),
        entry(1, controls()),
        entry(1, dead_letters()),
        entry(1, deliveries()),
        entry(
            1,
            vec![EnrollmentToken {
                fleet: 1,
                created_by: "opr_1".into(),
                expires_ms: NOW_MS,
            }],
        ),
        entry(1, events()),
        entry(
            1,
            vec![
                fleet(),
                Fleet {
                    archived_ms: Some(NOW_MS),
                    ..fleet()
                },
            ],
        ),
        entry(
            1,
            vec![Floor {
                holder: 7,
                expires_ms: NOW_MS,
            }],
        ),
        entry(
            1,
            vec![Idempotency {
                request_hash: [0xab; 32],
                message: UUID,
                queued_ms: NOW_MS,
                deliver_at_ms: NOW_MS + 60_000,
            }],
        ),
        entry(1, hooks()),
        entry(
            1,
            vec![ImportedSecrets {
                hashes: vec![
                    ImportedHash {
                        sealed_hash: vec![1, 2, 3],
                        expires_ms: None,
                    },
                    ImportedHash {
                        sealed_hash: vec![4],
                        expires_ms: Some(NOW_MS),
                    },
                ],
            }],
        ),
        entry(1, messages()),
        entry(
            1,
            vec![Notice {
                message_seq: 300,
                at_ms: NOW_MS,
            }],
        ),
        entry(1, operators()),
        entry(
            1,
            vec![
                Queue::default(),
                Queue {
                    last_seq: 70_000,
                    head: 251,
                    ready: 3,
                },
            ],
        ),
        entry(
            1,
            vec![
                RateWindow::default(),
                RateWindow {
                    start_ms: NOW_MS,
                    count: 30,
                },
            ],
        ),
        entry(1, vec![room()]),
        entry(1, policies()),
        entry(1, sessions()),
        entry(1, totps()),
        entry(
            1,
            vec![Failures {
                count: 3,
                until_ms: NOW_MS,
            }],
        ),
        entry(1, vec![Settings::default()]),
        entry(1, systems()),
        entry(
            1,
            vec![Pair {
                messages: 300,
                failed: 1,
            }],
        ),
        entry(1, vec![Totals::default(), totals()]),
        entry(
            1,
            vec![Conversation {
                id: "c-1".into(),
                last_seq: 70_000,
                messages: 2,
                first_ms: NOW_MS,
                last_ms: NOW_MS + 1,
                participants: vec![1, 2],
            }],
        ),
        entry(1, licenses()),
        entry(1, clusters()),
        entry(1, vec![FleetSettings { edge_outbox: true }]),
        entry(1, attachments()),
        entry(
            1,
            vec![Content {
                size_bytes: 26_214_400,
                attachments: 2,
            }],
        ),
        entry(
            1,
            vec![Bound {
                attachments: vec![UUID, UUID + 1],
            }],
        ),
        entry(1, vec![AttachmentSettings::default()]),
        entry(
            1,
            vec![EdgeDone {
                outbox: UUID,
                seq: 300,
            }],
        ),
        entry(
            1,
            vec![OutboxHead {
                id: UUID,
                removed_seq: 300,
            }],
        ),
        entry(
            1,
            vec![OutboxEntry {
                fleet: 1,
                agent: 300,
                credential: 2,
                nonce: "nonce".into(),
                timestamp_ms: NOW_MS - 1,
                stored_ms: NOW_MS,
                key: "key".into(),
                request_hash: [7; 32],
                message: UUID,
                content: vec![1, 2, 3],
            }],
        ),
        entry(
            1,
            vec![AgentTotals {
                sent: 1,
                sent_bytes: 300,
                received: 2,
                failed: 3,
                denied: 4,
                rate_limited: 5,
            }],
        ),
        entry(1, vec![operator_key()]),
        entry(
            1,
            vec![AgentKey {
                key_id: "key_2".into(),
                public_key: "MCow".into(),
                registered_ms: NOW_MS,
            }],
        ),
        entry(1, revoked_keys()),
        entry(1, encryption_keys()),
        entry(1, a2a_clients()),
        entry(1, a2a_remotes()),
        entry(1, remote_tasks()),
        entry(1, pushes()),
        entry(
            1,
            vec![AgentCard {
                card: r#"{"name":"Writer"}"#.into(),
                updated_ms: NOW_MS,
            }],
        ),
        entry(1, tasks()),
        entry(1, updates()),
        entry(
            1,
            vec![Artifact {
                id: "report".into(),
                first_chunk: 2,
                next_chunk: 300,
            }],
        ),
        entry(
            1,
            vec![
                Party::default(),
                Party {
                    tasks: 300,
                    open: 2,
                },
            ],
        ),
    ]
}

fn a2a_clients() -> Vec<A2aClient> {
    let token = ClientToken {
        id: "tok_1".into(),
        hash: [0xab; 32],
        created_ms: NOW_MS,
        expires_ms: None,
    };
    let open = A2aClient {
        agents: vec![],
        rate_max_messages: None,
        tokens: vec![],
        created_by: "opr_1".into(),
    };
    let limited = A2aClient {
        agents: vec!["agent_2".into(), "agent_3".into()],
        rate_max_messages: Some(300),
        tokens: vec![
            token.clone(),
            ClientToken {
                id: "tok_2".into(),
                hash: [0xcd; 32],
                expires_ms: Some(NOW_MS + 1),
                ..token
            },
        ],
        ..open.clone()
    };
    vec![open, limited]
}

fn a2a_remotes() -> Vec<A2aRemote> {
    let open = A2aRemote {
        card_url: "https://example.com/.well-known/agent-card.json".into(),
        scheme: None,
        sealed: None,
        created_by: "opr_1".into(),
    };
    let guarded = A2aRemote {
        scheme: Some("Bearer".into()),
        sealed: Some(vec![1, 2, 3]),
        ..open.clone()
    };
    vec![open, guarded]
}

fn remote_tasks() -> Vec<RemoteTask> {
    vec![RemoteTask {
        agent: 70_000,
        task_id: "task-elsewhere".into(),
        context_id: "context-elsewhere".into(),
    }]
}

fn pushes() -> Vec<Push> {
    let new = Push {
        url: "https://example.com/hook".into(),
        scheme: None,
        sealed: vec![1, 2, 3],
        created_ms: NOW_MS,
        told: 0,
        attempts: 0,
        open_ms: 0,
        last_error: None,
        gave_up_ms: None,
    };
    let failing = Push {
        scheme: Some("Bearer".into()),
        told: 300,
        attempts: 3,
        open_ms: NOW_MS + 30_000,
        last_error: Some("answered 503".into()),
        ..new.clone()
    };
    let given_up = Push {
        attempts: 10,
        open_ms: 0,
        gave_up_ms: Some(NOW_MS + 1),
        ..failing.clone()
    };
    vec![new, failing, given_up]
}

fn tasks() -> Vec<Task> {
    let new = Task {
        uuid: UUID,
        client: 1,
        agent: 2,
        asked: 2,
        context_id: "ctx_1".into(),
        state: TaskState::Submitted,
        status_ms: NOW_MS,
        status_message: None,
        created_ms: NOW_MS,
        message: UUID + 1,
        metadata: None,
        updates: 0,
        messages: 1,
        artifacts: 0,
        size_bytes: 40,
        pushes: 0,
        due_ms: NOW_MS + 2_592_000_000,
    };
    let mut all = vec![new.clone()];
    all.extend(
        TaskState::ALL
            .into_iter()
            .enumerate()
            .map(|(number, state)| Task {
                agent: 70_000,
                state,
                status_ms: NOW_MS + number as u64,
                status_message: Some(match number % 2 {
                    0 => Said::Content(UUID + 2),
                    _ => Said::Reason("called off by the client".into()),
                }),
                metadata: Some(r#"{"k":1}"#.into()),
                updates: 300,
                messages: 3,
                artifacts: 2,
                size_bytes: 70_000,
                pushes: 2,
                ..new.clone()
            }),
    );
    all
}

fn updates() -> Vec<Update> {
    let status = |state, message| Change::Status { state, message };
    let artifact = |append, last_chunk| Change::Artifact {
        content: UUID,
        append,
        last_chunk,
    };
    let changes = [
        status(TaskState::Working, None),
        status(TaskState::Completed, Some(Said::Content(UUID))),
        status(TaskState::Failed, Some(Said::Reason("idle".into()))),
        artifact(false, false),
        artifact(true, true),
    ];
    let updates = changes.into_iter().map(|what| Update {
        at_ms: NOW_MS,
        what,
    });
    updates.collect()
}

fn operator_key() -> OperatorKey {
    OperatorKey {
        key_id: "key_1".into(),
        public_key: [0xab; 32],
        name: "offline root".into(),
        operator_id: "opr_1".into(),
        is_root: true,
        created_ms: NOW_MS,
        endorsements: vec![Endorsement {
            by_key_id: "key_0".into(),
            signature: [0xcd; 64],
            operator_id: "opr_2".into(),
            at_ms: NOW_MS + 1,
        }],
    }
}

fn encryption_keys() -> Vec<EncryptionKeys> {
    let replaced = EncryptionKey {
        key_id: "xkey_1".into(),
        public_key: [0xcd; 32],
        signed: None,
        published_ms: NOW_MS,
        revoked: Some(KeyRevoked {
            by: "opr_1".into(),
            reason: "lost".into(),
            at_ms: NOW_MS + 1,
        }),
    };
    let present = EncryptionKey {
        key_id: "xkey_2".into(),
        public_key: [0xef; 32],
        signed: Some(KeySignature {
            key_id: "key_2".into(),
            signature: [0xab; 64],
        }),
        published_ms: NOW_MS + 2,
        revoked: None,
    };
    let keys = vec![present, replaced];
    vec![EncryptionKeys::default(), EncryptionKeys { keys }]
}

fn revoked_keys() -> Vec<RevokedKey> {
    let of = |owner| RevokedKey {
        key_id: "key_3".into(),
        owner,
        revoked_by: "opr_1".into(),
        reason: "lost".into(),
        at_ms: NOW_MS,
    };
    vec![
        of(KeyOwner::Operator("opr_2".into(), [0xab; 32])),
        of(KeyOwner::Agent(7, "MCow".into())),
    ]
}

fn totals() -> Totals {
    let mut totals = Totals {
        accepted: 1,
        delivered: 2,
        acked: 3,
        expired: 4,
        dead_lettered: 5,
        retried: 6,
        denied: 7,
        rate_limited: 300,
        accepted_bytes: 9,
        dead_lettered_timeout: 10,
        retried_timeout: 11,
        cancelled: 12,
        ..Totals::default()
    };
    totals.acked_after(5);
    totals.acked_after(u64::MAX);
    totals
}

pub fn fleet() -> Fleet {
    Fleet {
        no: 1,
        id: "flt_1".into(),
        name: "Möwe".into(),
        created_ms: NOW_MS,
        archived_ms: None,
    }
}

pub fn room() -> Room {
    Room {
        id: "room_1".into(),
        name: "Review".into(),
        created_by: 1,
        created_ms: NOW_MS,
        members: vec![1, 2, 70_000],
    }
}

pub fn agents() -> Vec<Agent> {
    let plain = Agent {
        fleet: 1,
        no: 2,
        id: "agent_2".into(),
        display_name: "Writer".into(),
        runtime: "custom".into(),
        hostname: None,
        capabilities: vec![],
        labels: vec![],
        created_ms: NOW_MS,
        credentials: vec![Credential {
            id: 1,
            sealed_secret: vec![1, 2, 3],
            valid_until_ms: None,
        }],
        identity_key: None,
        hold: None,
        auto_hold: None,
        revoked: false,
    };
    let full = Agent {
        hostname: Some("host".into()),
        capabilities: vec!["draft".into(), "review".into()],
        labels: vec!["external".into()],
        credentials: vec![
            Credential {
                id: 3,
                sealed_secret: vec![0; 60],
                valid_until_ms: None,
            },
            Credential {
                id: 2,
                sealed_secret: vec![0xff; 60],
                valid_until_ms: Some(NOW_MS),
            },
        ],
        identity_key: Some(IdentityKey {
            key_id: "key_1".into(),
            public_key: "MCow".into(),
        }),
        hold: Some(Hold {
            kind: HoldKind::Pause,
            reason: "maintenance".into(),
            expires_ms: Some(NOW_MS),
            redirect_to: Some(9),
        }),
        auto_hold: Some(AutoHold::HeartbeatTimeout),
        ..plain.clone()
    };
    let revoked = Agent {
        hold: Some(Hold {
            kind: HoldKind::Quarantine,
            reason: String::new(),
            expires_ms: None,
            redirect_to: None,
        }),
        auto_hold: Some(AutoHold::RateLimitAbuse),
        revoked: true,
        ..plain.clone()
    };
    vec![plain, full, revoked]
}

fn agents_live() -> Vec<AgentLive> {
    let heard = AgentLive {
        last_seen_ms: NOW_MS,
        degraded: true,
        reported: "degraded".into(),
        due_ms: NOW_MS + 270_000,
    };
    vec![AgentLive::default(), heard]
}

fn approvals() -> Vec<Approval> {
    let asked = Approval {
        uuid: UUID,
        agent: 2,
        conversation_id: "c-1".into(),
        action_type: "deploy".into(),
        summary: "Deploy build 7".into(),
        risk: Risk::Low,
        payload: r#"{"build":7}"#.into(),
        status: ApprovalStatus::Pending,
        message: None,
        requested_ms: NOW_MS,
        resolved_ms: None,
        resolved_by: None,
        output: None,
        reason: None,
        expires_ms: Some(NOW_MS + 86_400_000),
        first_yes: Some("opr_2".into()),
        removed_ms: 0,
    };
    let mut all = vec![asked.clone()];
    all.extend(
        [Risk::Medium, Risk::High, Risk::Critical].map(|risk| Approval {
            risk,
            message: Some(UUID),
            ..asked.clone()
        }),
    );
    let decided = [
        ApprovalStatus::Approved,
        ApprovalStatus::Rejected,
        ApprovalStatus::Executed,
        ApprovalStatus::Cancelled,
        ApprovalStatus::Failed,
        ApprovalStatus::Expired,
    ];
    all.extend(decided.map(|status| Approval {
        status,
        resolved_ms: Some(NOW_MS + 5),
        resolved_by: Some("opr_1".into()),
        output: Some("{}".into()),
        reason: Some("tested".into()),
        removed_ms: NOW_MS + 90,
        ..asked.clone()
    }));
    all
}

fn controls() -> Vec<Control> {
    let stays = Control {
        action: "pause".into(),
        reason: "why".into(),
        created_ms: NOW_MS,
        expires_ms: None,
        approval: None,
    };
    vec![
        stays.clone(),
        Control {
            expires_ms: Some(NOW_MS + 1),
            approval: Some(UUID),
            ..stays
        },
    ]
}

fn dead_letters() -> Vec<DeadLetter> {
    vec![DeadLetter {
        message: UUID,
        recipient: 3,
        seq: 12,
        sender: 2,
        retry_count: 5,
        failure_reason: "max_retries_exceeded".into(),
        at_ms: NOW_MS,
        until_ms: NOW_MS + 2_592_000_000,
    }]
}

pub fn deliveries() -> Vec<Delivery> {
    let new = Delivery {
        message: UUID,
        state: DeliveryState::Ready,
        attempts: 0,
        retries: 0,
        deadline_ms: NOW_MS + 900_000,
        due_ms: NOW_MS + 900_000,
        delivered_ms: None,
        ended_ms: None,
        last_failure_reason: None,
        message_type: "direct".into(),
    };
    let mut all = vec![new.clone()];
    all.extend(
        [
            DeliveryState::Waiting,
            DeliveryState::Delivered,
            DeliveryState::Acked,
            DeliveryState::Expired,
            DeliveryState::DeadLettered,
            DeliveryState::Cancelled,
        ]
        .map(|state| Delivery {
            state,
            attempts: 6,
            retries: 5,
            due_ms: 0,
            delivered_ms: Some(NOW_MS + 1),
            ended_ms: Some(NOW_MS + 2),
            last_failure_reason: Some("timeout".into()),
            ..new.clone()
        }),
    );
    all
}

fn clusters() -> Vec<Cluster> {
    let entry = NodeEntry {
        node_id: 2,
        part: Part::Removed,
        key_hash: [1; 32],
        address: "10.0.0.2:4001".into(),
        joined_ms: NOW_MS,
    };
    let token = JoinToken {
        id: "jtk_1".into(),
        hash: [2; 32],
        part: Part::Learner,
        created_by: "opr_1".into(),
        created_ms: NOW_MS,
        expires_ms: NOW_MS + 1,
        used_by: Some(2),
    };
    let edge = Cluster {
        last_node_id: 3,
        nodes: vec![NodeEntry {
            part: Part::Edge,
            ..entry.clone()
        }],
        tokens: Vec::new(),
        feature_level: 2,
    };
    vec![
        Cluster::default(),
        Cluster {
            last_node_id: 2,
            nodes: vec![entry],
            tokens: vec![token],
            feature_level: 1,
        },
        edge,
    ]
}

fn licenses() -> Vec<Licenses> {
    let pro = License {
        tier: Tier::Pro,
        org: "Acme".into(),
        max_fleets: 5,
        features: vec!["analytics".into()],
        issued_ms: NOW_MS,
        expires_ms: NOW_MS + 1,
        fingerprint: [0xab; 32],
    };
    let free = License {
        tier: Tier::Oss,
        features: vec![],
        ..pro.clone()
    };
    vec![
        Licenses::default(),
        Licenses {
            installed: Some(pro),
            configured: Some(free),
        },
    ]
}

fn attachments() -> Vec<Attachment> {
    let unbound = Attachment {
        uuid: UUID,
        filename: "Übersicht.pdf".into(),
        mime: "application/pdf".into(),
        sniffed: "application/pdf".into(),
        size_bytes: 26_214_400,
        sha256: [0xcd; 32],
        by: Uploader::Agent(2),
        created_ms: NOW_MS,
        expires_ms: NOW_MS + 86_400_000,
        messages: 0,
    };
    let bound = Attachment {
        sniffed: String::new(),
        by: Uploader::Operator("opr_1".into()),
        expires_ms: 0,
        messages: 3,
        ..unbound.clone()
    };
    vec![unbound, bound]
}

/// Kinds of event there were before the example of a task, which is none of them.
const KINDS_BEFORE_TASK: usize = 89;

fn events() -> Vec<Event> {
    let actors = [
        Actor::System,
        Actor::Agent(2),
        Actor::Operator("opr_1".into()),
    ];
    let resources = [
        Resource::Message(UUID),
        Resource::Delivery(UUID, 3),
        Resource::Agent(2),
        Resource::Approval(UUID),
        Resource::Conversation("c-1".into()),
        Resource::Other("room".into(), "room_1".into()),
    ];
    let of_task = Event {
        kind: EventKind::TaskStatus,
        actor: Actor::System,
        resource: Resource::Task(UUID),
        conversation_id: None,
        payload: String::new(),
        request_id: String::new(),
        at_ms: NOW_MS,
    };
    let of_kinds = EventKind::ALL
        .iter()
        .enumerate()
        .map(|(number, kind)| Event {
            kind: *kind,
            actor: actors[number % actors.len()].clone(),
            resource: resources[number % resources.len()].clone(),
            conversation_id: (number % 2 == 1).then(|| "c-1".to_string()),
            payload: if number % 3 == 2 {
                r#"{"reason":"why"}"#.into()
            } else {
                String::new()
            },
            request_id: if number % 3 == 1 {
                "req_1".into()
            } else {
                String::new()
            },
            at_ms: NOW_MS + number as u64,
        });
    let mut events: Vec<Event> = of_kinds.collect();
    events.insert(KINDS_BEFORE_TASK, of_task);
    events
}

pub fn messages() -> Vec<Message> {
    let single = Message {
        uuid: UUID,
        seq: 1,
        sender: 2,
        sender_id: "agent_2".into(),
        recipient: Recipient::Agent("agent_3".into()),
        message_type: "direct".into(),
        priority: Priority::Normal,
        approval: None,
        metadata: None,
        tags: vec![],
        conversation_id: "c-1".into(),
        correlation_id: "r-1".into(),
        envelope: None,
        created_ms: NOW_MS,
        deliver_at_ms: NOW_MS,
        deadline_ms: NOW_MS + 900_000,
        state: MessageState::Open,
        single: Some((3, 12)),
        delivery_count: 1,
        open: 1,
        dead: false,
        dead_until_ms: 0,
    };
    let room = Message {
        recipient: Recipient::Group("room_1".into()),
        priority: Priority::Low,
        approval: Some(UUID + 1),
        metadata: Some(r#"{"k":1}"#.into()),
        tags: vec!["pii".into(), "review".into()],
        envelope: Some(Envelope {
            agent_sig: "sig".into(),
            key_id: "key_1".into(),
            sig_canonical: "text".into(),
        }),
        state: MessageState::PendingApproval,
        single: None,
        delivery_count: 1200,
        open: 700,
        ..single.clone()
    };
    let ended = [
        (MessageState::Rejected, Priority::High),
        (MessageState::Cancelled, Priority::Urgent),
        (MessageState::Done, Priority::Normal),
    ];
    let mut all = vec![single, room.clone()];
    all.extend(ended.map(|(state, priority)| Message {
        recipient: Recipient::Broadcast,
        state,
        priority,
        open: 0,
        dead: true,
        dead_until_ms: NOW_MS + 2_592_000_000,
        ..room.clone()
    }));
    all
}

fn operators() -> Vec<Operator> {
    [Role::Owner, Role::Operator, Role::Viewer]
        .map(|role| Operator {
            id: "opr_1".into(),
            email: "owner@example.org".into(),
            password_hash: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA".into(),
            role,
            created_ms: NOW_MS,
        })
        .to_vec()
}

fn policies() -> Vec<Policy> {
    let plain = Policy {
        id: "pol_1".into(),
        version: 1,
        draft: Draft {
            name: "all are welcome".into(),
            scope_agent: None,
            action: Action::Allow,
            conditions: Conditions::default(),
            enabled: true,
            dry_run: false,
            priority: 100,
        },
        created_ms: NOW_MS,
        updated_ms: NOW_MS,
        updated_by: "opr_1".into(),
    };
    let full = Policy {
        version: 7,
        draft: Draft {
            name: "no shouting".into(),
            scope_agent: Some("agent_1".into()),
            action: Action::Deny,
            conditions: Conditions {
                sender_agent_id: Some(vec!["agent_1".into()]),
                recipient_agent_id: Some(vec!["agent_2".into(), "agent_3".into()]),
                message_type: Some(vec!["alert".into()]),
                priority: Some(vec![Priority::High, Priority::Urgent]),
                conversation_id: Some(vec!["c-1".into()]),
                sender_labels: Some(vec!["external".into()]),
                sender_capabilities: Some(vec!["draft".into()]),
                recipient_labels: Some(vec!["internal".into()]),
                recipient_capabilities: Some(vec!["deploy".into()]),
                body: vec![
                    BodyTest {
                        pointer: "/amount".into(),
                        test: BodyRule::Equals("100".into()),
                    },
                    BodyTest {
                        pointer: String::new(),
                        test: BodyRule::Matches("sk-[a-z]+".into()),
                    },
                    BodyTest {
                        pointer: "/x".into(),
                        test: BodyRule::Exists(false),
                    },
                ],
                time: Some(TimeWindows {
                    time_zone: "Europe/Berlin".into(),
                    offsets: vec![(0, 3600), (NOW_MS, 7200)],
                    windows: vec![TimeWindow {
                        days: 0b1_1111,
                        from_minute: 1320,
                        to_minute: 360,
                    }],
                }),
                rate: Some(PairRate {
                    max_messages: 10,
                    window_ms: 60_000,
                }),
            },
            enabled: false,
            dry_run: true,
            priority: 1_000_000,
        },
        ..plain.clone()
    };
    let actions = [
        Action::RequireApproval,
        Action::Redirect("agent_2".into()),
        Action::Quarantine,
        Action::Tag(vec!["checked".into()]),
    ];
    let mut policies = vec![plain.clone(), full];
    policies.extend(actions.map(|action| Policy {
        draft: Draft {
            action,
            ..plain.draft.clone()
        },
        ..plain.clone()
    }));
    policies
}

fn hooks() -> Vec<Hook> {
    let plain = Hook {
        id: "hook_1".into(),
        version: 1,
        draft: HookDraft {
            name: "scanner".into(),
            url: "http://127.0.0.1:4100/".into(),
            events: vec![HookEvent::BeforeMessage],
            enabled: true,
            timeout_ms: 1000,
            on_failure: OnFailure::Closed,
            priority: 100,
            retry_ms: 3_600_000,
        },
        secrets: vec![HookSecret {
            sealed: vec![1, 2, 3],
            valid_until_ms: None,
        }],
        created_ms: NOW_MS,
        updated_ms: NOW_MS,
        updated_by: "opr_1".into(),
    };
    let full = Hook {
        version: 300,
        draft: HookDraft {
            events: HookEvent::ALL.to_vec(),
            enabled: false,
            on_failure: OnFailure::Open,
            ..plain.draft.clone()
        },
        secrets: vec![
            HookSecret {
                sealed: vec![0; 73],
                valid_until_ms: None,
            },
            HookSecret {
                sealed: vec![0xff; 73],
                valid_until_ms: Some(NOW_MS + 86_400_000),
            },
        ],
        updated_ms: NOW_MS + 5,
        ..plain.clone()
    };
    vec![plain, full]
}

fn sessions() -> Vec<Session> {
    let login = Session {
        fleet: 1,
        operator_id: "opr_1".into(),
        id: "ses_1".into(),
        created_ms: NOW_MS,
        expires_ms: Some(NOW_MS + 43_200_000),
        origin: Origin::Login {
            method: Method::Password,
            address: "192.0.2.1".into(),
            user_agent: "curl/8".into(),
        },
    };
    let api_token = Session {
        id: "tok_1".into(),
        expires_ms: None,
        origin: Origin::ApiToken {
            name: "ci".into(),
            scopes: Scopes::of(&[Scope::Read, Scope::Operators]),
        },
        ..login.clone()
    };
    let by = |method| Session {
        origin: Origin::Login {
            method,
            address: "192.0.2.1".into(),
            user_agent: "curl/8".into(),
        },
        ..login.clone()
    };
    let (oidc, tailnet) = (by(Method::Oidc), by(Method::Tailnet));
    vec![login, api_token, oidc, tailnet]
}

fn totps() -> Vec<Totp> {
    let begun = Totp {
        secret_id: "otp_1".into(),
        sealed_secret: vec![1, 0xab, 0xcd],
        confirmed_ms: None,
        last_step: 0,
        recovery_hashes: vec![],
    };
    let confirmed = Totp {
        confirmed_ms: Some(NOW_MS),
        last_step: 59_833_333,
        recovery_hashes: vec![[0xaa; 32], [0xbb; 32]],
        ..begun.clone()
    };
    vec![begun, confirmed]
}

fn systems() -> Vec<System> {
    let used = System {
        now_ms: NOW_MS,
        due_low_ms: NOW_MS - 10,
        leader_since_ms: NOW_MS - 60_000,
        nonce_floor_bucket: 2_991_665,
        timestamp_floor_ms: 1_695_000_000_000,
        wide_skew_ms: 600_000,
        wide_until_ms: NOW_MS + 1_200_000,
        sealing_key_id: "k1".into(),
    };
    vec![System::default(), used]
}

fn rotations() -> Vec<Rotation> {
    let under_way = Rotation {
        from_key_id: "0011223344556677".into(),
        to_key_id: "8899aabbccddeeff".into(),
        began_by: "opr_1".into(),
        began_ms: NOW_MS,
        resealed: 300,
        done_ms: None,
    };
    let done = Rotation {
        done_ms: Some(NOW_MS + 1),
        ..under_way.clone()
    };
    vec![under_way, done]
}
