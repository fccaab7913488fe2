//! Licences: which one counts, until when, and what the log says of it.

use ekho::machine::command::{Command, OperatorRequest};
use ekho::machine::outcome::{Outcome, Refusal};
use ekho_storage::tables::event::{self, EventKind};
use ekho_storage::tables::license::{self, Feature, License, Origin, SKEW_MS, Tier, allows};

use crate::rig::{DAY, FLEET, HOUR, Relay, START_MS};

/// A licence for everything that ends so long after the clock's start.
pub fn pro(max_fleets: u64, lasts_ms: u64) -> License {
    License {
        tier: Tier::Pro,
        org: "Acme".into(),
        max_fleets,
        features: vec![],
        issued_ms: START_MS,
        expires_ms: START_MS + lasts_ms,
        fingerprint: [1; 32],
    }
}

pub fn configure(relay: &mut Relay, license: Option<License>) {
    let license = license.map(Box::new);
    let done = relay.apply(Command::ConfigureLicense { license });
    assert_eq!(done, Outcome::Done);
}

fn install(relay: &mut Relay, license: Option<License>) -> Outcome {
    relay.operator(OperatorRequest::InstallLicense(license.map(Box::new)))
}

fn in_force(relay: &Relay) -> Option<(u64, Origin)> {
    let licenses = license::get(&relay.txn).unwrap();
    let found = licenses.in_force(relay.now_ms);
    found.map(|(license, origin)| (license.max_fleets, origin))
}

fn events_of(relay: &Relay, kind: EventKind) -> usize {
    let events = event::list_rev(&relay.txn, FLEET, u64::MAX, 1000).unwrap();
    events
        .iter()
        .filter(|(_, event)| event.kind == kind)
        .count()
}

#[test]
fn the_installed_licence_counts_first_and_the_configured_one_after_it() {
    let mut relay = Relay::new();
    assert_eq!(in_force(&relay), None);
    configure(&mut relay, Some(pro(2, 10 * DAY)));
    assert_eq!(in_force(&relay), Some((2, Origin::Configured)));
    assert_eq!(install(&mut relay, Some(pro(3, DAY))), Outcome::Done);
    assert_eq!(in_force(&relay), Some((3, Origin::Installed)));
    relay.pass(DAY + SKEW_MS - 1);
    assert_eq!(in_force(&relay), Some((3, Origin::Installed)));
    relay.pass(1);
    assert_eq!(in_force(&relay), Some((2, Origin::Configured)));
    configure(&mut relay, None);
    assert_eq!(in_force(&relay), None);
}

#[test]
fn the_log_says_when_licences_change_and_end() {
    let mut relay = Relay::new();
    configure(&mut relay, Some(pro(2, DAY)));
    configure(&mut relay, Some(pro(2, DAY)));
    assert_eq!(
        events_of(&relay, EventKind::LicenseChanged),
        1,
        "the same again"
    );
    install(&mut relay, Some(pro(3, DAY)));
    relay.pass(DAY + SKEW_MS - 1);
    assert_eq!(events_of(&relay, EventKind::LicenseExpired), 0);
    relay.pass(1);
    assert_eq!(
        events_of(&relay, EventKind::LicenseExpired),
        1,
        "both at one time"
    );
    let removed = install(&mut relay, None);
    assert_eq!(removed, Outcome::Done);
    assert_eq!(
        install(&mut relay, None),
        Outcome::Refused(Refusal::NotFound)
    );
    assert_eq!(events_of(&relay, EventKind::LicenseChanged), 3);
}

#[test]
fn a_licence_that_was_replaced_does_not_end() {
    let mut relay = Relay::new();
    configure(&mut relay, Some(pro(2, HOUR)));
    configure(&mut relay, Some(pro(2, DAY)));
    relay.pass(2 * HOUR);
    assert_eq!(events_of(&relay, EventKind::LicenseExpired), 0);
    assert_eq!(in_force(&relay), Some((2, Origin::Configured)));
}

#[test]
fn one_that_has_ended_is_not_installed() {
    let mut relay = Relay::new();
    relay.pass(DAY);
    let refused = install(&mut relay, Some(pro(2, HOUR)));
    assert!(
        matches!(refused, Outcome::Refused(Refusal::Conflict(_))),
        "{refused:?}"
    );
    assert_eq!(in_force(&relay), None);
}

#[test]
fn a_licence_allows_what_it_names() {
    let mut relay = Relay::new();
    let allowed = |relay: &Relay| -> Vec<Feature> {
        let licenses = license::get(&relay.txn).unwrap();
        let mut all = Feature::ALL.to_vec();
        all.retain(|feature| allows(&licenses, *feature, relay.now_ms));
        all
    };
    assert_eq!(allowed(&relay), []);
    configure(&mut relay, Some(pro(2, DAY)));
    assert_eq!(
        allowed(&relay),
        Feature::ALL,
        "one that names none allows all"
    );
    let named = License {
        features: vec!["analytics".into(), "of a later release".into()],
        ..pro(2, DAY)
    };
    configure(&mut relay, Some(named.clone()));
    assert_eq!(allowed(&relay), [Feature::Analytics]);
    assert_eq!(
        license::get(&relay.txn).unwrap().max_fleets(relay.now_ms),
        1
    );
    let free = License {
        tier: Tier::Oss,
        ..named
    };
    configure(&mut relay, Some(free));
    assert_eq!(allowed(&relay), []);
}
