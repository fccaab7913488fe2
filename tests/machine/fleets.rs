//! Fleets: who makes them, how many there may be, and that a shut one lets nobody in.

use ekho::machine::access;
use ekho::machine::command::{
    AgentRequest, Auth, Command, CreateSession, NewFleet, OperatorRequest, Proof,
};
use ekho::machine::outcome::{Outcome, Refusal};
use ekho_storage::tables::event::{self, Actor, EventKind};
use ekho_storage::tables::fleet;
use ekho_storage::tables::license::Feature;
use ekho_storage::tables::operator::Scope;

use crate::licenses::{configure, pro};
use crate::rig::{DAY, FLEET, FLEET_ID, MINUTE, Relay, agent_id, enroll_with};

fn new(name: &str) -> NewFleet {
    NewFleet {
        fleet_id: format!("flt_{name}"),
        name: name.into(),
        operator_id: format!("opr_{name}"),
        email: format!("{name}@example.org"),
        password_hash: format!("hash of {name}"),
    }
}

fn create(relay: &mut Relay, name: &str) -> Outcome {
    relay.operator(OperatorRequest::CreateFleet(Box::new(new(name))))
}

/// A relay with this many fleets allowed. The recount knows of one fleet only.
fn licensed(max_fleets: u64) -> Relay {
    let mut relay = Relay::new();
    relay.recount = false;
    configure(&mut relay, Some(pro(max_fleets, DAY)));
    relay
}

fn sign_in(relay: &mut Relay, fleet: u32, name: &str) -> Outcome {
    relay.apply(Command::CreateSession(CreateSession {
        fleet,
        proof: Proof::Password {
            operator_id: format!("opr_{name}"),
            password_hash: format!("hash of {name}"),
            second: None,
        },
        token_hash: [fleet as u8; 32],
        session_id: format!("ses_{name}"),
        address: "::1".into(),
        user_agent: String::new(),
    }))
}

fn order(relay: &mut Relay, fleet: u32, request: OperatorRequest) -> Outcome {
    relay.apply(Command::Operator {
        token_hash: [fleet as u8; 32],
        request_id: "req_other".into(),
        request,
    })
}

fn archive(relay: &mut Relay, name: &str) -> Outcome {
    relay.operator(OperatorRequest::ArchiveFleet {
        fleet_id: format!("flt_{name}"),
        name: name.into(),
    })
}

fn restore(relay: &mut Relay, name: &str) -> Outcome {
    let fleet_id = format!("flt_{name}");
    relay.operator(OperatorRequest::RestoreFleet { fleet_id })
}

#[test]
fn the_licence_says_how_many_fleets_there_may_be() {
    let mut relay = Relay::new();
    relay.recount = false;
    let feature = Feature::ManyFleets;
    let unlicensed = Outcome::Refused(Refusal::LicenseRequired { feature });
    assert_eq!(create(&mut relay, "second"), unlicensed);
    configure(&mut relay, Some(pro(2, DAY)));
    assert_eq!(create(&mut relay, "second"), Outcome::Done);
    let full = Outcome::Refused(Refusal::LimitReached { limit: 2 });
    assert_eq!(create(&mut relay, "third"), full);
    assert_eq!(archive(&mut relay, "second"), Outcome::Done);
    assert_eq!(
        create(&mut relay, "third"),
        Outcome::Done,
        "an archived one does not count"
    );
    assert_eq!(restore(&mut relay, "second"), full);
    assert_eq!(fleet::in_use(&relay.txn).unwrap(), 2);
    relay.pass(2 * DAY);
    assert_eq!(
        archive(&mut relay, "third"),
        Outcome::Done,
        "without a licence too"
    );
    assert_eq!(restore(&mut relay, "third"), unlicensed);
}

#[test]
fn only_the_first_fleet_steers_fleets_and_settings() {
    let mut relay = licensed(3);
    create(&mut relay, "second");
    assert!(matches!(
        sign_in(&mut relay, 2, "second"),
        Outcome::SessionCreated { .. }
    ));
    let by = access::principal(&relay.txn, [2; 32], relay.now_ms)
        .unwrap()
        .unwrap();
    assert!(by.scopes.has(Scope::Operators));
    for scope in Scope::RELAY {
        assert!(!by.scopes.has(scope), "{scope:?}");
    }
    let forbidden = |scope| Outcome::Refused(Refusal::Forbidden(scope));
    let requests = [
        OperatorRequest::CreateFleet(Box::new(new("third"))),
        OperatorRequest::RenameFleet {
            fleet_id: "flt_second".into(),
            name: "mine".into(),
        },
        OperatorRequest::ArchiveFleet {
            fleet_id: FLEET_ID.into(),
            name: "test".into(),
        },
        OperatorRequest::RestoreFleet {
            fleet_id: "flt_second".into(),
        },
    ];
    for request in requests {
        assert_eq!(order(&mut relay, 2, request), forbidden(Scope::Fleets));
    }
    let install = OperatorRequest::InstallLicense(None);
    assert_eq!(order(&mut relay, 2, install), forbidden(Scope::Settings));
}

#[test]
fn a_name_belongs_to_one_fleet() {
    let mut relay = licensed(5);
    create(&mut relay, "second");
    let taken = |outcome| matches!(outcome, Outcome::Refused(Refusal::Conflict(_)));
    assert!(taken(create(&mut relay, "test")));
    let rename = |relay: &mut Relay, to: &str| {
        relay.operator(OperatorRequest::RenameFleet {
            fleet_id: "flt_second".into(),
            name: to.into(),
        })
    };
    assert!(taken(rename(&mut relay, "test")));
    assert_eq!(rename(&mut relay, "other"), Outcome::Done);
    assert!(fleet::by_name(&relay.txn, "second").unwrap().is_none());
    assert_eq!(fleet::by_name(&relay.txn, "other").unwrap().unwrap().no, 2);
    let mut again = new("second");
    again.fleet_id = "flt_again".into();
    let made = relay.operator(OperatorRequest::CreateFleet(Box::new(again)));
    assert_eq!(made, Outcome::Done, "the old name is free");
    assert!(
        taken(archive(&mut relay, "second")),
        "flt_second has another name now"
    );
}

#[test]
fn a_shut_fleet_lets_nobody_in_until_it_is_restored() {
    let mut relay = licensed(3);
    create(&mut relay, "second");
    sign_in(&mut relay, 2, "second");
    let token_hash = [7; 32];
    let token = OperatorRequest::CreateEnrollmentToken { token_hash };
    assert_eq!(order(&mut relay, 2, token.clone()), Outcome::Done);
    let mut enroll = enroll_with(token_hash, "a");
    enroll.fleet_id = "flt_second".into();
    let enrolled = relay.apply(Command::Enroll(enroll.clone()));
    assert!(matches!(enrolled, Outcome::Enrolled { .. }));
    let unused = [8; 32];
    let another = OperatorRequest::CreateEnrollmentToken { token_hash: unused };
    assert_eq!(order(&mut relay, 2, another), Outcome::Done);
    let signed = |relay: &mut Relay| {
        let auth = Auth {
            fleet: 2,
            agent: 1,
            credential: 1,
            nonce: Some(format!("n-{}", relay.next_id())),
            timestamp_ms: relay.now_ms,
        };
        let request = AgentRequest::RecordNonce;
        relay.apply(Command::Signed { auth, request })
    };
    assert_eq!(signed(&mut relay), Outcome::Done);

    assert_eq!(archive(&mut relay, "second"), Outcome::Done);
    let invalid = Outcome::Refused(Refusal::InvalidCredentials);
    assert_eq!(signed(&mut relay), invalid);
    assert_eq!(sign_in(&mut relay, 2, "second"), invalid);
    assert_eq!(
        order(&mut relay, 2, token.clone()),
        Outcome::Refused(Refusal::NotSignedIn)
    );
    enroll.token_hash = unused;
    enroll.agent_id = agent_id("b");
    let refused = relay.apply(Command::Enroll(enroll.clone()));
    assert_eq!(refused, Outcome::Refused(Refusal::InvalidToken));

    relay.pass(MINUTE);
    assert_eq!(restore(&mut relay, "second"), Outcome::Done);
    assert_eq!(signed(&mut relay), Outcome::Done);
    assert_eq!(order(&mut relay, 2, token), Outcome::Done);
    let enrolled = relay.apply(Command::Enroll(enroll));
    assert!(matches!(enrolled, Outcome::Enrolled { .. }));
}

#[test]
fn the_first_fleet_is_never_shut_and_none_without_its_name() {
    let mut relay = licensed(3);
    create(&mut relay, "second");
    for (fleet_id, name) in [
        (FLEET_ID, "test"),
        ("flt_second", "test"),
        ("flt_second", "Second"),
    ] {
        let refused = relay.operator(OperatorRequest::ArchiveFleet {
            fleet_id: fleet_id.into(),
            name: name.into(),
        });
        assert!(
            matches!(refused, Outcome::Refused(Refusal::Conflict(_))),
            "{refused:?}"
        );
    }
    let unknown = archive(&mut relay, "nobody");
    assert_eq!(unknown, Outcome::Refused(Refusal::NotFound));
    assert!(matches!(
        restore(&mut relay, "second"),
        Outcome::Refused(Refusal::Conflict(_))
    ));
}

#[test]
fn both_logs_tell_and_only_the_first_says_who() {
    let mut relay = licensed(3);
    create(&mut relay, "second");
    archive(&mut relay, "second");
    restore(&mut relay, "second");
    let told = |fleet| -> Vec<(EventKind, Actor, String)> {
        let events = event::list_rev(&relay.txn, fleet, u64::MAX, 3).unwrap();
        let told = events.into_iter().rev();
        told.map(|(_, event)| (event.kind, event.actor, event.request_id))
            .collect()
    };
    let kinds = [
        EventKind::FleetCreated,
        EventKind::FleetArchived,
        EventKind::FleetRestored,
    ];
    for (told, kind) in told(FLEET).into_iter().zip(kinds) {
        let admin = Actor::Operator("opr_test".into());
        assert_eq!(told, (kind, admin, "req_test".into()));
    }
    let own = Actor::Operator("opr_second".into());
    let actors = [own, Actor::System, Actor::System];
    for ((told, kind), actor) in told(2).into_iter().zip(kinds).zip(actors) {
        assert_eq!(told, (kind, actor, String::new()));
    }
}
