//! Operators' passwords: argon2id in PHC string form.

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash};
use sha2::{Digest, Sha256};

/// Shortest password accepted, in characters.
pub const MIN_CHARS: usize = 8;
/// Longest password accepted, in bytes.
pub const MAX_BYTES: usize = 1024;

/// Hashes a password. Takes tens of milliseconds and 19 MiB; not for async threads.
pub fn hash(password: &str) -> Result<String, argon2::password_hash::Error> {
    Ok(Argon2::default()
        .hash_password(password.as_bytes())?
        .to_string())
}

/// Before the hash of an imported password, of which only the SHA-256 was known.
const OF_SHA256: &str = "sha256";

/// Hashes the SHA-256 of a password that nobody here knows. As costly as hashing.
pub fn hash_sha256(digest: &[u8; 32]) -> Result<String, argon2::password_hash::Error> {
    Ok(format!("{OF_SHA256}{}", hash(&hex::encode(digest))?))
}

/// Whether the password is the one that was hashed. As costly as hashing.
pub fn verify(password: &str, hash: &str) -> bool {
    let matches = |text: &[u8], hash: &str| {
        PasswordHash::new(hash)
            .is_ok_and(|parsed| Argon2::default().verify_password(text, &parsed).is_ok())
    };
    match hash.strip_prefix(OF_SHA256) {
        Some(hash) => matches(hex::encode(Sha256::digest(password)).as_bytes(), hash),
        None => matches(password.as_bytes(), hash),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_argon2id_and_tells_passwords_apart() -> Result<(), argon2::password_hash::Error> {
        let hashed = hash("correct horse")?;
        assert!(hashed.starts_with("$argon2id$"));
        assert!(verify("correct horse", &hashed));
        assert!(!verify("correct horse ", &hashed));
        assert!(!verify("correct horse", "not a hash"));
        assert_ne!(hashed, hash("correct horse")?);
        Ok(())
    }

    #[test]
    fn an_imported_password_is_known_by_its_digest_and_the_digest_opens_nothing()
    -> Result<(), argon2::password_hash::Error> {
        let digest: [u8; 32] = Sha256::digest("correct horse").into();
        let hashed = hash_sha256(&digest)?;
        assert!(verify("correct horse", &hashed));
        assert!(!verify("correct horse ", &hashed));
        assert!(!verify(&hex::encode(digest), &hashed));
        assert!(!verify("anything", OF_SHA256));
        Ok(())
    }
}
