//! The relay's licence: what it allows, what is wrong with it, installing and removing one.

use ekho_storage::Read;
use ekho_storage::tables::license::{self, Feature, License, Licenses, Origin, Tier};
use ekho_storage::tables::operator::Scope;
use ekho_storage::tables::{TimeMs, fleet, system};

use super::operators::Caller;
use super::{Service, ServiceError};
use crate::clock::{Iso, now_ms};
use crate::license::LicenseError;
use crate::machine::access::Need;
use crate::machine::command::{Command, OperatorRequest};
use crate::machine::outcome::Refusal;

/// From when on it is said that a licence will end.
const NOTICE_MS: u64 = 14 * 24 * 3_600_000;

/// How the relay stands with its licence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The tier.
    pub tier: Tier,
    /// The licence in force, and where it comes from.
    pub license: Option<(License, Origin)>,
    /// Fleets allowed.
    pub max_fleets: u64,
    /// Fleets there are.
    pub fleets: u64,
    /// What is wrong, or soon will be.
    pub problems: Vec<Problem>,
}

/// Something wrong with a licence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Stable.
    pub code: &'static str,
    /// A sentence.
    pub text: String,
}

impl Service {
    /// How the relay stands with its licence, as this node knows.
    pub fn license_standing(&self) -> Result<Standing, ServiceError> {
        let view = self.view();
        let now_ms = relay_now_ms(&view)?;
        let licenses = license::get(&view)?;
        let fleets = fleet::in_use(&view)?;
        let mut standing = standing(&licenses, fleets, now_ms);
        if let Some(problem) = self.license.problem() {
            let problem = Problem {
                code: problem.code(),
                text: format!("the configured licence does not count: {problem}"),
            };
            standing.problems.insert(0, problem);
        }
        Ok(standing)
    }

    /// Refuses where the licence does not allow a feature now. For what only reads; what changes
    /// something is decided in apply.
    pub fn require_feature(&self, read: &impl Read, feature: Feature) -> Result<(), ServiceError> {
        match license::allows(&license::get(read)?, feature, relay_now_ms(read)?) {
            true => Ok(()),
            false => Err(Refusal::LicenseRequired { feature }.into()),
        }
    }

    /// Makes known to all nodes what this one, which leads, is configured with.
    pub async fn pass_on_license(&self) -> Result<(), ServiceError> {
        let configured = self.license.facts().cloned();
        if license::get(&self.view())?.configured == configured {
            return Ok(());
        }
        let license = configured.map(Box::new);
        self.propose(&Command::ConfigureLicense { license })
            .await
            .map(|_| ())
    }

    /// Installs a licence; the error says what is wrong with the text.
    pub async fn install_license(
        &self,
        by: &Caller,
        text: &str,
    ) -> Result<Result<(), LicenseError>, ServiceError> {
        let request = |license| OperatorRequest::InstallLicense(Some(Box::new(license)));
        let verified = match &self.license.verifier {
            Ok(verifier) => verifier.verify(text, now_ms()),
            Err(error) => Err(error.clone()),
        };
        match verified {
            Ok(license) => self.order(by, request(license)).await.map(|_| Ok(())),
            Err(error) => {
                // Whoever may not install one learns nothing about the key either.
                by.principal.require(Need::Scope(Scope::Settings))?;
                Ok(Err(error))
            }
        }
    }

    /// Removes the licence that was installed.
    pub async fn remove_license(&self, by: &Caller) -> Result<(), ServiceError> {
        self.order(by, OperatorRequest::InstallLicense(None))
            .await
            .map(|_| ())
    }
}

/// The relay's time: the clock's, and never before what the state has seen.
fn relay_now_ms(read: &impl Read) -> Result<TimeMs, ServiceError> {
    Ok(system::get(read)?.now_ms.max(now_ms()))
}

fn standing(licenses: &Licenses, fleets: u64, now_ms: TimeMs) -> Standing {
    let in_force = licenses.in_force(now_ms);
    let mut problems = Vec::new();
    for (slot, name) in [
        (&licenses.installed, "installed"),
        (&licenses.configured, "configured"),
    ] {
        if let Some(over) = slot.as_ref().filter(|license| !license.holds(now_ms)) {
            let ended = Iso(over.expires_ms);
            problems.push(Problem {
                code: "expired",
                text: format!("the {name} licence of {} ended at {ended}", over.org),
            });
        }
    }
    if let Some((license, _)) = in_force
        && license.expires_ms <= now_ms.saturating_add(NOTICE_MS)
    {
        let ends = Iso(license.expires_ms);
        problems.push(Problem {
            code: "ends_soon",
            text: format!("the licence of {} ends at {ends}", license.org),
        });
    }
    let max_fleets = licenses.max_fleets(now_ms);
    if fleets > max_fleets {
        problems.push(Problem {
            code: "too_many_fleets",
            text: format!(
                "there are {fleets} fleets and {max_fleets} are licensed; all go on working, and \
                 none can be added"
            ),
        });
    }
    Standing {
        tier: licenses.tier(now_ms),
        license: in_force.map(|(license, origin)| (license.clone(), origin)),
        max_fleets,
        fleets,
        problems,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: TimeMs = 1_795_000_000_000;
    const DAY_MS: u64 = 24 * 3_600_000;

    fn license(expires_ms: TimeMs) -> Option<License> {
        Some(License {
            tier: Tier::Pro,
            org: "Acme".into(),
            max_fleets: 3,
            features: vec![],
            issued_ms: NOW_MS - 400 * DAY_MS,
            expires_ms,
            fingerprint: [0; 32],
        })
    }

    fn codes(
        installed: Option<License>,
        configured: Option<License>,
        fleets: u64,
    ) -> Vec<&'static str> {
        let licenses = Licenses {
            installed,
            configured,
        };
        let found = standing(&licenses, fleets, NOW_MS);
        found.problems.iter().map(|problem| problem.code).collect()
    }

    #[test]
    fn what_is_wrong_is_said_and_nothing_else() {
        let (good, soon, over) = (
            || license(NOW_MS + 365 * DAY_MS),
            || license(NOW_MS + DAY_MS),
            || license(NOW_MS - DAY_MS),
        );
        let none: [&str; 0] = [];
        assert_eq!(codes(None, None, 1), none);
        assert_eq!(codes(good(), None, 3), none);
        assert_eq!(codes(soon(), None, 3), ["ends_soon"]);
        assert_eq!(codes(over(), good(), 3), ["expired"]);
        assert_eq!(codes(None, over(), 2), ["expired", "too_many_fleets"]);
        assert_eq!(codes(None, good(), 4), ["too_many_fleets"]);
    }

    #[test]
    fn the_installed_one_counts_first_as_long_as_it_holds() {
        let origin = |installed, configured| {
            let licenses = Licenses {
                installed,
                configured,
            };
            standing(&licenses, 1, NOW_MS)
                .license
                .map(|(_, origin)| origin)
        };
        let (good, over) = (|| license(NOW_MS + DAY_MS), || license(NOW_MS - DAY_MS));
        assert_eq!(origin(good(), good()), Some(Origin::Installed));
        assert_eq!(origin(over(), good()), Some(Origin::Configured));
        assert_eq!(origin(over(), over()), None);
        assert_eq!(origin(None, None), None);
    }
}
