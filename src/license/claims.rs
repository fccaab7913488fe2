//! The claims of a licence, and the facts they stand for.

use ekho_storage::tables::TimeMs;
use ekho_storage::tables::license::{FREE_FLEETS, License, Tier};
use serde::{Deserialize, Serialize};

use super::LicenseError;
use crate::clock::parse_iso;

const ORG_BYTES: usize = 200;
const FEATURES_MAX: usize = 64;
const FEATURE_BYTES: usize = 64;
const SECOND_MS: u64 = 1000;
/// The year 5138: a number beyond is not one of seconds.
const LAST_SECOND: f64 = 1e11;

/// What is asked of a new licence.
#[derive(Clone, Debug)]
pub struct Terms {
    /// What it is for.
    pub tier: Tier,
    /// To whom.
    pub org: String,
    /// Fleets it allows.
    pub max_fleets: u64,
    /// What it allows; empty for all of its tier.
    pub features: Vec<String>,
    /// How long it holds.
    pub duration_ms: u64,
}

/// The claims as they stand in the token. Those of other tools are passed over.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Claims {
    tier: Option<String>,
    org: Option<String>,
    max_fleets: Option<u64>,
    #[serde(default)]
    features: Vec<String>,
    issued_at: Option<Moment>,
    expires_at: Option<Moment>,
}

/// Seconds since the Unix epoch, or ISO 8601.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Moment {
    Seconds(f64),
    Text(String),
}

impl Moment {
    fn ms(&self) -> Option<TimeMs> {
        match self {
            Moment::Seconds(seconds) if (0.0..=LAST_SECOND).contains(seconds) => {
                Some((seconds * SECOND_MS as f64) as TimeMs)
            }
            Moment::Seconds(_) => None,
            Moment::Text(text) => parse_iso(text),
        }
    }
}

impl Claims {
    /// The claims that say this.
    pub(super) fn of(terms: &Terms, now_ms: TimeMs) -> Self {
        let seconds = |ms: TimeMs| Some(Moment::Seconds((ms / SECOND_MS) as f64));
        Claims {
            tier: Some(terms.tier.as_str().into()),
            org: Some(terms.org.clone()),
            max_fleets: Some(terms.max_fleets),
            features: terms.features.clone(),
            issued_at: seconds(now_ms),
            expires_at: seconds(now_ms.saturating_add(terms.duration_ms)),
        }
    }

    /// What they stand for, or which of them makes no sense.
    pub(super) fn facts(self, fingerprint: [u8; 32]) -> Result<License, LicenseError> {
        let wrong = |claim, why: &str| LicenseError::Claim {
            claim,
            why: why.into(),
        };
        let time = |claim, moment: Option<Moment>| {
            let moment = moment.ok_or_else(|| wrong(claim, "missing"))?;
            let ms = moment.ms();
            ms.ok_or_else(|| wrong(claim, "seconds since 1970, or a time in ISO 8601"))
        };
        let named = self.tier.ok_or_else(|| wrong("tier", "missing"))?;
        let tier = Tier::ALL.into_iter().find(|tier| tier.as_str() == named);
        let tier = tier.ok_or_else(|| wrong("tier", "oss or pro"))?;
        let org = self.org.ok_or_else(|| wrong("org", "missing"))?;
        let is_shown = !org.trim().is_empty() && !org.chars().any(char::is_control);
        if !is_shown || org.len() > ORG_BYTES {
            return Err(wrong("org", "a text of 1 to 200 bytes"));
        }
        let max_fleets = match (self.max_fleets, tier) {
            (Some(count), _) if count >= 1 => count,
            (Some(_), _) => return Err(wrong("max_fleets", "a whole number from 1")),
            (None, Tier::Oss) => FREE_FLEETS,
            (None, Tier::Pro) => return Err(wrong("max_fleets", "missing")),
        };
        let too_long = |name: &String| name.is_empty() || name.len() > FEATURE_BYTES;
        if self.features.len() > FEATURES_MAX || self.features.iter().any(too_long) {
            return Err(wrong("features", "at most 64 texts of 1 to 64 bytes"));
        }
        let issued_ms = time("issued_at", self.issued_at)?;
        let expires_ms = time("expires_at", self.expires_at)?;
        if expires_ms <= issued_ms {
            return Err(wrong("expires_at", "it has to lie behind issued_at"));
        }
        Ok(License {
            tier,
            org,
            max_fleets,
            features: self.features,
            issued_ms,
            expires_ms,
            fingerprint,
        })
    }
}
