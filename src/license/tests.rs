//! Licences as friends and foes would write them.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::*;
use ekho_storage::tables::license::{Feature, Tier};

type Test = Result<(), Box<dyn std::error::Error>>;

const NOW_MS: TimeMs = 1_795_000_000_000;
const NOW: u64 = NOW_MS / 1000;
const DAY: u64 = 24 * 3600;

struct Keys {
    private_pem: String,
    public_pem: String,
}

fn pem(tag: &str, der: &[u8]) -> String {
    format!(
        "-----BEGIN {tag}-----\n{}\n-----END {tag}-----\n",
        STANDARD.encode(der)
    )
}

impl Keys {
    fn new() -> Result<Self, Box<dyn std::error::Error>> {
        let pair = KeyPair::generate(KeySize::Rsa2048)?;
        let private = AsDer::<Pkcs8V1Der>::as_der(&pair)?;
        let public = AsDer::<PublicKeyX509Der>::as_der(pair.public_key())?;
        Ok(Keys {
            private_pem: pem("PRIVATE KEY", private.as_ref()),
            public_pem: pem("PUBLIC KEY", public.as_ref()),
        })
    }

    fn verifier(&self) -> Result<Verifier, LicenseError> {
        Verifier::from_pem(self.public_pem.as_bytes())
    }

    fn sign(
        &self,
        algorithm: Algorithm,
        claims: &Value,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let key = EncodingKey::from_rsa_pem(self.private_pem.as_bytes())?;
        jsonwebtoken::encode(&Header::new(algorithm), claims, &key)
    }
}

fn claims() -> Value {
    json!({
        "tier": "pro", "org": "Acme", "max_fleets": 3, "features": ["analytics", "time travel"],
        "issued_at": NOW - DAY, "expires_at": NOW + DAY,
    })
}

#[test]
fn a_good_licence_says_what_it_allows() -> Test {
    let keys = Keys::new()?;
    let text = keys.sign(Algorithm::RS256, &claims())?;
    let license = keys.verifier()?.verify(&format!(" {text}\n"), NOW_MS)?;
    assert_eq!(license.tier, Tier::Pro);
    assert_eq!((license.org.as_str(), license.max_fleets), ("Acme", 3));
    assert_eq!(license.issued_ms, NOW_MS - DAY * 1000);
    assert_eq!(license.expires_ms, NOW_MS + DAY * 1000);
    assert!(license.allows(Feature::Analytics));
    assert!(!license.allows(Feature::ManyFleets), "it is not named");
    let mut all = claims();
    all["features"] = json!([]);
    let all = keys
        .verifier()?
        .verify(&keys.sign(Algorithm::RS256, &all)?, NOW_MS)?;
    assert!(Feature::ALL.iter().all(|feature| all.allows(*feature)));
    Ok(())
}

#[test]
fn times_may_be_iso_texts() -> Test {
    let keys = Keys::new()?;
    let mut claims = claims();
    claims["issued_at"] = json!("2026-11-17T00:00:00Z");
    claims["expires_at"] = json!("2026-11-19T00:00:00+00:00");
    let license = keys
        .verifier()?
        .verify(&keys.sign(Algorithm::RS256, &claims)?, NOW_MS)?;
    assert_eq!(
        Iso(license.expires_ms).to_string(),
        "2026-11-19T00:00:00.000Z"
    );
    Ok(())
}

#[test]
fn only_rs256_counts() -> Test {
    let keys = Keys::new()?;
    let verifier = keys.verifier()?;
    for algorithm in [Algorithm::RS384, Algorithm::RS512, Algorithm::PS256] {
        let text = keys.sign(algorithm, &claims())?;
        let named = format!("{algorithm:?}");
        assert_eq!(
            verifier.verify(&text, NOW_MS),
            Err(LicenseError::Algorithm(named))
        );
    }
    // The public key as if it were a shared secret.
    let secret = EncodingKey::from_secret(keys.public_pem.as_bytes());
    let text = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims(), &secret)?;
    let refused = verifier.verify(&text, NOW_MS);
    assert_eq!(refused, Err(LicenseError::Algorithm("HS256".into())));
    // No signature at all, in several spellings.
    let good = keys.sign(Algorithm::RS256, &claims())?;
    let body = good.split('.').nth(1).unwrap_or_default();
    for name in ["none", "None", "NONE", ""] {
        let header = URL_SAFE_NO_PAD.encode(json!({ "alg": name, "typ": "JWT" }).to_string());
        for text in [format!("{header}.{body}."), format!("{header}.{body}")] {
            let refused = verifier.verify(&text, NOW_MS);
            assert!(
                matches!(refused, Err(LicenseError::Form(_))),
                "{name}: {refused:?}"
            );
        }
    }
    Ok(())
}

#[test]
fn what_was_changed_or_signed_by_others_does_not_count() -> Test {
    let keys = Keys::new()?;
    let verifier = keys.verifier()?;
    let foreign = Keys::new()?.sign(Algorithm::RS256, &claims())?;
    assert_eq!(
        verifier.verify(&foreign, NOW_MS),
        Err(LicenseError::Signature)
    );
    let good = keys.sign(Algorithm::RS256, &claims())?;
    let parts: Vec<&str> = good.split('.').collect();
    let mut more = claims();
    more["max_fleets"] = json!(1000);
    let more = URL_SAFE_NO_PAD.encode(more.to_string());
    let forged = [parts[0], &more, parts[2]].join(".");
    assert_eq!(
        verifier.verify(&forged, NOW_MS),
        Err(LicenseError::Signature)
    );
    for text in ["", "x", "a.b.c", &"x".repeat(MAX_BYTES + 1)] {
        let refused = verifier.verify(text, NOW_MS);
        assert!(matches!(refused, Err(LicenseError::Form(_))), "{refused:?}");
    }
    assert!(Verifier::vendor()?.verify(&good, NOW_MS).is_err());
    Ok(())
}

#[test]
fn it_holds_from_its_issue_to_its_end_with_room_for_clocks() -> Test {
    let keys = Keys::new()?;
    let verifier = keys.verifier()?;
    let text = keys.sign(Algorithm::RS256, &claims())?;
    let (from_ms, to_ms) = (NOW_MS - DAY * 1000, NOW_MS + DAY * 1000);
    for (now_ms, expected) in [
        (from_ms - SKEW_MS - 1, Err(LicenseError::NotYet(from_ms))),
        (from_ms - SKEW_MS, Ok(())),
        (to_ms + SKEW_MS - 1, Ok(())),
        (to_ms + SKEW_MS, Err(LicenseError::Expired(to_ms))),
    ] {
        assert_eq!(
            verifier.verify(&text, now_ms).map(|_| ()),
            expected,
            "{now_ms}"
        );
    }
    Ok(())
}

#[test]
fn a_claim_that_makes_no_sense_is_named() -> Test {
    let keys = Keys::new()?;
    let verifier = keys.verifier()?;
    for (claim, value) in [
        ("tier", json!("gold")),
        ("tier", Value::Null),
        ("org", json!("")),
        ("org", json!("a\nb")),
        ("org", json!("x".repeat(201))),
        ("max_fleets", json!(0)),
        ("max_fleets", Value::Null),
        ("features", json!([""])),
        ("features", json!(vec!["x"; 65])),
        ("issued_at", Value::Null),
        ("issued_at", json!("yesterday")),
        ("issued_at", json!(-1)),
        ("expires_at", json!(1e300)),
        ("expires_at", json!(NOW - 2 * DAY)),
    ] {
        let mut claims = claims();
        claims[claim] = value.clone();
        let refused = verifier.verify(&keys.sign(Algorithm::RS256, &claims)?, NOW_MS);
        let named =
            matches!(&refused, Err(LicenseError::Claim { claim: named, .. }) if *named == claim);
        assert!(named, "{claim} {value}: {refused:?}");
    }
    Ok(())
}

#[test]
fn what_is_issued_is_accepted() -> Test {
    let keys = Keys::new()?;
    let terms = Terms {
        tier: Tier::Pro,
        org: "Acme".into(),
        max_fleets: 7,
        features: vec![],
        duration_ms: 30 * DAY * 1000,
    };
    let text = issue(keys.private_pem.as_bytes(), &terms, NOW_MS)?;
    let license = keys.verifier()?.verify(&text, NOW_MS)?;
    assert_eq!(license.max_fleets, 7);
    assert_eq!(license.expires_ms, NOW_MS + 30 * DAY * 1000);
    let nobody = Terms {
        org: String::new(),
        ..terms.clone()
    };
    assert!(issue(keys.private_pem.as_bytes(), &nobody, NOW_MS).is_err());
    assert!(issue(keys.public_pem.as_bytes(), &terms, NOW_MS).is_err());
    // A private key does not serve to check with, nor does anything else.
    for pem in [
        keys.private_pem.as_str(),
        "",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
    ] {
        let refused = Verifier::from_pem(pem.as_bytes());
        assert!(matches!(refused, Err(LicenseError::Key(_))));
    }
    Ok(())
}
