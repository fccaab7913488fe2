//! Licences as their holder has them: a JWT (RFC 7519) signed with RS256, verified offline.
//!
//! Turns the text into the facts that are replicated, or says why not; and makes one, for whoever
//! has the private key. Reads the files that configuration names; knows nothing of the state.

mod claims;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};

use ekho_storage::tables::TimeMs;
use ekho_storage::tables::license::{License, SKEW_MS};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use sha2::{Digest, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

pub use self::claims::Terms;

use self::claims::Claims;
use crate::clock::Iso;
use crate::config::LicenseConfig;

/// The vendor's public key. The private one is no part of the source.
const VENDOR_PUBLIC_KEY: &str = include_str!("vendor.pub.pem");

/// The one algorithm that is accepted, whatever the token says of itself (RFC 8725, 3.1).
const ALGORITHM: Algorithm = Algorithm::RS256;

/// A longer text is no licence, a larger file no key.
pub const MAX_BYTES: usize = 16 << 10;

/// Why there is no licence. Each says what is wrong with which part.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LicenseError {
    /// A file cannot be read.
    #[error("{path}: {why}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Not a key for RS256.
    #[error("not a usable RSA key in PEM form: {0}")]
    Key(String),
    /// Not three parts of base64url with JSON in them.
    #[error("not a licence: {0}")]
    Form(String),
    /// Signed in another way.
    #[error("signed with {0}; only RS256 is accepted")]
    Algorithm(String),
    /// Not signed by the key.
    #[error("the signature is not one of the key that licences are checked with")]
    Signature,
    /// A claim is missing or makes no sense.
    #[error("{claim}: {why}")]
    Claim {
        /// Its name.
        claim: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// It has ended.
    #[error("it ended at {}", Iso(*.0))]
    Expired(TimeMs),
    /// Its time has not come.
    #[error("it is issued for {}, which is in the future; is the clock right?", Iso(*.0))]
    NotYet(TimeMs),
}

impl LicenseError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            LicenseError::File { .. } => "file",
            LicenseError::Key(_) => "key",
            LicenseError::Form(_) => "form",
            LicenseError::Algorithm(_) => "algorithm",
            LicenseError::Signature => "signature",
            LicenseError::Claim { .. } => "claim",
            LicenseError::Expired(_) => "expired",
            LicenseError::NotYet(_) => "not_yet",
        }
    }
}

/// Checks signatures of licences.
#[derive(Clone)]
pub struct Verifier(DecodingKey);

impl Verifier {
    /// With the vendor's key.
    pub fn vendor() -> Result<Self, LicenseError> {
        Self::from_pem(VENDOR_PUBLIC_KEY.as_bytes())
    }

    /// With the key in a file, or the vendor's.
    pub fn open(path: Option<&Path>) -> Result<Self, LicenseError> {
        match path {
            Some(path) => Self::from_pem(&read(path)?),
            None => Self::vendor(),
        }
    }

    /// With an RSA public key in PEM form (PKCS#1 or SPKI).
    pub fn from_pem(pem: &[u8]) -> Result<Self, LicenseError> {
        let is_public = [&b"BEGIN PUBLIC KEY"[..], b"BEGIN RSA PUBLIC KEY"]
            .iter()
            .any(|tag| pem.windows(tag.len()).any(|part| part == *tag));
        if !is_public {
            return Err(LicenseError::Key("no public key in it".into()));
        }
        let key = DecodingKey::from_rsa_pem(pem);
        key.map(Verifier)
            .map_err(|error| LicenseError::Key(error.to_string()))
    }

    /// The facts of a licence that is signed as it must be and holds now.
    pub fn verify(&self, text: &str, now_ms: TimeMs) -> Result<License, LicenseError> {
        let license = self.facts(text)?;
        if !license.holds(now_ms) {
            return Err(LicenseError::Expired(license.expires_ms));
        }
        if license.issued_ms > now_ms.saturating_add(SKEW_MS) {
            return Err(LicenseError::NotYet(license.issued_ms));
        }
        Ok(license)
    }

    /// The facts of a licence that is signed as it must be, whenever it holds.
    pub fn facts(&self, text: &str) -> Result<License, LicenseError> {
        let text = text.trim();
        if text.len() > MAX_BYTES {
            let why = format!("longer than {MAX_BYTES} bytes");
            return Err(LicenseError::Form(why));
        }
        let mut validation = Validation::new(ALGORITHM);
        // Times are ours to judge, by the relay's clock and our own claims.
        validation.validate_exp = false;
        validation.required_spec_claims.clear();
        let token = jsonwebtoken::decode::<Claims>(text, &self.0, &validation);
        let claims = token.map_err(|error| refusal(text, &error))?.claims;
        claims.facts(Sha256::digest(text).into())
    }
}

fn refusal(text: &str, error: &jsonwebtoken::errors::Error) -> LicenseError {
    match error.kind() {
        ErrorKind::InvalidSignature => LicenseError::Signature,
        ErrorKind::InvalidAlgorithm => {
            let named = jsonwebtoken::decode_header(text).map(|header| format!("{:?}", header.alg));
            LicenseError::Algorithm(named.unwrap_or_else(|_| "an unknown algorithm".into()))
        }
        ErrorKind::InvalidAudience => LicenseError::Claim {
            claim: "aud",
            why: "it is meant for something else".into(),
        },
        // Also what names an algorithm that does not exist, such as none.
        _ => LicenseError::Form(error.to_string()),
    }
}

/// Makes a licence with an RSA private key in PEM form (PKCS#1 or PKCS#8).
pub fn issue(private_pem: &[u8], terms: &Terms, now_ms: TimeMs) -> Result<String, LicenseError> {
    let key = |error: jsonwebtoken::errors::Error| LicenseError::Key(error.to_string());
    let claims = Claims::of(terms, now_ms);
    // What would not be accepted is not made.
    claims.clone().facts([0; 32])?;
    let encoding = EncodingKey::from_rsa_pem(private_pem).map_err(key)?;
    jsonwebtoken::encode(&Header::new(ALGORITHM), &claims, &encoding).map_err(key)
}

/// What a node is configured with.
pub struct Configured {
    /// Checks licences; an error where its key is not usable.
    pub verifier: Result<Verifier, LicenseError>,
    /// The licence, or why it is none; nothing where none is configured.
    pub license: Option<Result<License, LicenseError>>,
}

impl Configured {
    /// Reads and checks what the configuration names. Nothing here is a reason not to start.
    pub fn resolve(config: &LicenseConfig, now_ms: TimeMs) -> Self {
        let verifier = Verifier::open(config.public_key_path.as_deref());
        let text = match (&config.key, &config.path) {
            (Some(key), _) => Some(Ok(key.clone())),
            (None, Some(path)) => Some(read_text(path)),
            (None, None) => None,
        };
        let license = text.map(|text| verifier.clone()?.verify(&text?, now_ms));
        Configured { verifier, license }
    }

    /// The facts of the licence, where it was good.
    pub fn facts(&self) -> Option<&License> {
        self.license.as_ref()?.as_ref().ok()
    }

    /// Why a configured licence, or key, does not count.
    pub fn problem(&self) -> Option<&LicenseError> {
        match &self.license {
            Some(license) => license.as_ref().err(),
            None => self.verifier.as_ref().err(),
        }
    }
}

/// Reads a licence from a file.
pub fn read_text(path: &Path) -> Result<Zeroizing<String>, LicenseError> {
    let bytes = read(path)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| LicenseError::File {
        path: path.to_path_buf(),
        why: "not text".into(),
    })?;
    Ok(Zeroizing::new(text.trim().to_string()))
}

/// Reads a small file: a licence or a key.
pub fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, LicenseError> {
    let refuse = |why: String| LicenseError::File {
        path: path.to_path_buf(),
        why,
    };
    let metadata = fs::metadata(path).map_err(|error| refuse(error.to_string()))?;
    if !metadata.is_file() || metadata.len() > MAX_BYTES as u64 {
        return Err(refuse(format!("not a file of at most {MAX_BYTES} bytes")));
    }
    let bytes = fs::read(path).map_err(|error| refuse(error.to_string()))?;
    Ok(Zeroizing::new(bytes))
}
