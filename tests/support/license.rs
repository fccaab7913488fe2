//! Licences signed by a key of the tests, and relays that go by that key.

use std::sync::OnceLock;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::{RelayBuilder, now_ms};

/// A vendor of the tests' own.
pub struct Vendor {
    /// PEM.
    pub private_key: String,
    /// PEM.
    pub public_key: String,
}

impl Vendor {
    /// The one of this test process.
    pub fn get() -> &'static Vendor {
        static VENDOR: OnceLock<Vendor> = OnceLock::new();
        VENDOR.get_or_init(|| {
            let pair = KeyPair::generate(KeySize::Rsa2048).expect("a key");
            let private = AsDer::<Pkcs8V1Der>::as_der(&pair).expect("a private key");
            let public = AsDer::<PublicKeyX509Der>::as_der(pair.public_key()).expect("a key");
            Vendor {
                private_key: pem("PRIVATE KEY", private.as_ref()),
                public_key: pem("PUBLIC KEY", public.as_ref()),
            }
        })
    }

    /// Signs these claims.
    pub fn sign(&self, claims: &Value) -> String {
        let key = EncodingKey::from_rsa_pem(self.private_key.as_bytes()).expect("a key");
        jsonwebtoken::encode(&Header::new(Algorithm::RS256), claims, &key).expect("a licence")
    }
}

fn pem(tag: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    format!("-----BEGIN {tag}-----\n{body}\n-----END {tag}-----\n")
}

/// Claims of a licence for everything, for a year.
pub fn pro_claims() -> Value {
    let now = now_ms() / 1000;
    json!({
        "tier": "pro",
        "org": "Test Inc.",
        "max_fleets": 10,
        "features": ["advanced_policies", "many_fleets", "analytics"],
        "issued_at": now - 60,
        "expires_at": now + 365 * 24 * 3600,
    })
}

impl RelayBuilder {
    /// A relay that goes by the tests' vendor, configured with this licence.
    pub fn licensed(self, license: &str) -> Self {
        self.vendor().env("EKHO_LICENSE_KEY", license)
    }

    /// A relay with a licence for everything.
    pub fn pro(self) -> Self {
        // The same text each time, so that such relays can be shared.
        static LICENSE: OnceLock<String> = OnceLock::new();
        self.licensed(LICENSE.get_or_init(|| Vendor::get().sign(&pro_claims())))
    }

    /// A relay without a licence that goes by the tests' vendor.
    pub fn vendor(self) -> Self {
        self.file("vendor.pub.pem", &Vendor::get().public_key)
            .env("EKHO_LICENSE_PUBLIC_KEY_PATH", "vendor.pub.pem")
    }
}
