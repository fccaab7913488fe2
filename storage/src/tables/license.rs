//! The licences in force, as facts that a node has verified: what the relay may do beyond the free
//! tier, the same on all nodes. Belongs to no fleet.
//!
//! Nothing here looks at a signature. Whoever proposes a licence has checked it; from then on only
//! these facts count, so that every node decides alike.

use bincode::{Decode, Encode};

use super::{TimeMs, meta, record};
use crate::{Cf, Key, Read, StorageError, Txn};

/// How far the clock that signed a licence may be from the relay's: a licence holds this long
/// after its end, and this long before it was issued.
pub const SKEW_MS: u64 = 300_000;

/// Fleets of a relay without a licence.
pub const FREE_FLEETS: u64 = 1;

/// What a licence is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Tier {
    /// The free one.
    Oss,
    /// The paid one.
    Pro,
}

/// Something that needs a licence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Feature {
    /// Policies with conditions and actions beyond the basic ones.
    AdvancedPolicies,
    /// More than one fleet.
    ManyFleets,
    /// Counts over long times.
    Analytics,
}

impl Tier {
    /// Both.
    pub const ALL: [Tier; 2] = [Tier::Oss, Tier::Pro];

    /// The word used on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Tier::Oss => "oss",
            Tier::Pro => "pro",
        }
    }
}

impl Feature {
    /// All of them.
    pub const ALL: [Feature; 3] = [
        Feature::AdvancedPolicies,
        Feature::ManyFleets,
        Feature::Analytics,
    ];

    /// The word used in licences and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Feature::AdvancedPolicies => "advanced_policies",
            Feature::ManyFleets => "many_fleets",
            Feature::Analytics => "analytics",
        }
    }
}

/// What a verified licence says.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct License {
    /// What it is for.
    pub tier: Tier,
    /// To whom it was issued.
    pub org: String,
    /// Fleets it allows.
    pub max_fleets: u64,
    /// What it names; names that this release does not know are kept and mean nothing.
    pub features: Vec<String>,
    /// When it was issued.
    pub issued_ms: TimeMs,
    /// When it ends.
    pub expires_ms: TimeMs,
    /// SHA-256 of the licence as text, to tell one from another.
    pub fingerprint: [u8; 32],
}

impl License {
    /// Whether it holds at a time.
    pub fn holds(&self, now_ms: TimeMs) -> bool {
        now_ms < self.expires_ms.saturating_add(SKEW_MS)
    }

    /// Whether it allows a feature, while it holds. One that names no features allows all of its
    /// tier.
    pub fn allows(&self, feature: Feature) -> bool {
        self.tier == Tier::Pro
            && (self.features.is_empty()
                || self.features.iter().any(|name| name == feature.as_str()))
    }
}

/// Where a licence comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An operator installed it.
    Installed,
    /// It is in the configuration of the node that leads.
    Configured,
}

/// The licences there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Licenses {
    /// Installed by an operator. Counts first.
    pub installed: Option<License>,
    /// In the configuration of the node that leads.
    pub configured: Option<License>,
}
record!(Licenses, "licenses");

impl Licenses {
    /// The licence that counts at a time, if one does.
    pub fn in_force(&self, now_ms: TimeMs) -> Option<(&License, Origin)> {
        let slots = [
            (&self.installed, Origin::Installed),
            (&self.configured, Origin::Configured),
        ];
        slots
            .into_iter()
            .filter_map(|(slot, origin)| Some((slot.as_ref()?, origin)))
            .find(|(license, _)| license.holds(now_ms))
    }

    /// The tier at a time.
    pub fn tier(&self, now_ms: TimeMs) -> Tier {
        self.in_force(now_ms)
            .map_or(Tier::Oss, |(license, _)| license.tier)
    }

    /// Fleets allowed at a time.
    pub fn max_fleets(&self, now_ms: TimeMs) -> u64 {
        match self.in_force(now_ms) {
            Some((license, _)) if license.allows(Feature::ManyFleets) => {
                license.max_fleets.max(FREE_FLEETS)
            }
            _ => FREE_FLEETS,
        }
    }
}

/// Whether a feature is allowed at a time.
pub fn allows(licenses: &Licenses, feature: Feature, now_ms: TimeMs) -> bool {
    licenses
        .in_force(now_ms)
        .is_some_and(|(license, _)| license.allows(feature))
}

/// Reads the licences.
pub fn get(read: &impl Read) -> Result<Licenses, StorageError> {
    Ok(read
        .record(Cf::Meta, Key::table(meta::LICENSES).bytes())?
        .unwrap_or_default())
}

/// Writes the licences.
pub fn put(txn: &mut Txn, licenses: &Licenses) {
    txn.put_record(Cf::Meta, Key::table(meta::LICENSES), licenses);
}
