//! Whether an ID token is one of the provider's, for us, for this sign-in (OpenID Connect Core
//! 1.0, section 3.1.3.7).

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, decode, decode_header};
use serde_json::{Map, Value};
use subtle::ConstantTimeEq;

use super::OidcError;

/// How far the provider's clock may be off.
const LEEWAY_SECONDS: u64 = 60;

/// The claims of a token.
pub type Claims = Map<String, Value>;

/// What a token must say.
pub struct Expected<'a> {
    /// Who made it.
    pub issuer: &'a str,
    /// For whom.
    pub client_id: &'a str,
    /// For which sign-in.
    pub nonce: &'a str,
}

/// What a token says of its signature, provided it is one that counts.
pub fn header(token: &str) -> Result<Header, OidcError> {
    let header = decode_header(token).map_err(|_| OidcError::refused("the ID token is damaged"))?;
    // Never `none`, and never one whose key the client has too.
    if !matches!(header.alg, Algorithm::RS256 | Algorithm::ES256) {
        let why = "the ID token is signed with another algorithm than RS256 or ES256";
        return Err(OidcError::refused(why));
    }
    if header.crit.is_some() {
        return Err(OidcError::refused(
            "the ID token asks for something that is not understood here",
        ));
    }
    Ok(header)
}

/// The key that a token is signed with.
pub fn pick<'a>(keys: &'a [Jwk], header: &Header) -> Option<&'a Jwk> {
    let mut fitting = keys.iter().filter(|key| {
        let is_kind = match (&key.algorithm, header.alg) {
            (AlgorithmParameters::RSA(_), Algorithm::RS256) => true,
            (AlgorithmParameters::EllipticCurve(curve), Algorithm::ES256) => {
                curve.curve == EllipticCurve::P256
            }
            _ => false,
        };
        let is_for_signing = !matches!(key.common.public_key_use, Some(PublicKeyUse::Encryption));
        let is_for_this = match key.common.key_algorithm {
            None => true,
            Some(KeyAlgorithm::RS256) => header.alg == Algorithm::RS256,
            Some(KeyAlgorithm::ES256) => header.alg == Algorithm::ES256,
            Some(_) => false,
        };
        let is_named = header.kid.is_none() || key.common.key_id == header.kid;
        is_kind && is_for_signing && is_for_this && is_named
    });
    // Without a name there must be no choice.
    let found = fitting.next()?;
    fitting.next().is_none().then_some(found)
}

/// The claims of a token that is what it must be.
pub fn verify(
    token: &str,
    key: &Jwk,
    header: &Header,
    expected: &Expected<'_>,
) -> Result<Claims, OidcError> {
    let refused = |error: jsonwebtoken::errors::Error| {
        OidcError::refused(format!("the ID token does not count: {error}"))
    };
    let key = DecodingKey::from_jwk(key).map_err(refused)?;
    let mut validation = Validation::new(header.alg);
    validation.leeway = LEEWAY_SECONDS;
    validation.validate_nbf = true;
    validation.set_issuer(&[expected.issuer]);
    validation.set_audience(&[expected.client_id]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    let claims: Claims = decode(token, &key, &validation).map_err(refused)?.claims;
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    // Of several for whom it is, one got it.
    let is_for_several = claims
        .get("aud")
        .and_then(Value::as_array)
        .is_some_and(|audiences| audiences.len() > 1);
    let is_ours = match text("azp") {
        Some(party) => party == expected.client_id,
        None => !is_for_several && !claims.contains_key("azp"),
    };
    if !is_ours {
        return Err(OidcError::refused(
            "the ID token was made for another client",
        ));
    }
    let is_for_this = text("nonce")
        .is_some_and(|nonce| bool::from(nonce.as_bytes().ct_eq(expected.nonce.as_bytes())));
    if !is_for_this {
        return Err(OidcError::refused(
            "the ID token was made for another sign-in",
        ));
    }
    if text("sub").is_none_or(str::is_empty) {
        return Err(OidcError::refused("the ID token is about nobody"));
    }
    Ok(claims)
}
