//! Second factors: codes of an authenticator (TOTP, RFC 6238) and recovery codes.
//!
//! SHA-1, six digits, 30 seconds: what every authenticator does. Whether a code was used before
//! is for apply to decide.

use totp_rs::{Builder, Totp, TotpError};
use zeroize::Zeroizing;

/// Digits of a code.
pub const CODE_BYTES: usize = 6;
/// Most of a recovery code as somebody types it, blanks included.
pub const RECOVERY_BYTES_MAX: usize = 64;
/// Recovery codes of an operator.
pub const RECOVERY_CODES: usize = 10;

/// RFC 4226, section 4: 160 bits are recommended.
const SECRET_BYTES: usize = 20;
/// Steps that a client's clock may be off, either way.
const SKEW_STEPS: u16 = 1;

/// A new secret.
pub fn new_secret() -> Zeroizing<[u8; SECRET_BYTES]> {
    Zeroizing::new(rand::random())
}

/// What an authenticator is given: the secret in base 32 to type, and the same as an `otpauth` URL
/// to show as a picture.
pub struct Enrolment {
    /// The secret.
    pub secret: Zeroizing<String>,
    /// The URL.
    pub url: Zeroizing<String>,
}

impl Enrolment {
    /// For the account of `email` in the fleet of that name.
    pub fn new(secret: &[u8], fleet_name: &str, email: &str) -> Result<Self, TotpError> {
        // A colon separates the two in the URL's label.
        let plain = |text: &str| text.replace(':', " ");
        let totp = builder(secret)
            .with_issuer(Some(format!("Ekho {}", plain(fleet_name))))
            .with_account_name(plain(email))
            .build()?;
        Ok(Enrolment {
            secret: Zeroizing::new(totp.secret().to_base32()),
            url: Zeroizing::new(totp.to_url()?),
        })
    }
}

/// The step whose code this is, where it is one of the present moment's.
pub fn check(secret: &[u8], code: &str, now_ms: u64) -> Result<Option<u64>, TotpError> {
    let totp: Totp = builder(secret).build()?;
    Ok(totp.check(code, now_ms / 1000))
}

fn builder(secret: &[u8]) -> Builder {
    Builder::new()
        .with_secret(secret.to_vec())
        .with_skew(SKEW_STEPS)
}

/// New recovery codes: 80 random bits each, in groups that can be read out.
pub fn new_recovery_codes() -> Vec<Zeroizing<String>> {
    let one = |_| {
        let digits = Zeroizing::new(hex::encode(rand::random::<[u8; 10]>()));
        let (a, rest) = digits.split_at(5);
        let (b, rest) = rest.split_at(5);
        let (c, d) = rest.split_at(5);
        Zeroizing::new(format!("{a}-{b}-{c}-{d}"))
    };
    (0..RECOVERY_CODES).map(one).collect()
}

/// A recovery code in the one form that is hashed, however it was typed.
pub fn plain_recovery_code(typed: &str) -> Zeroizing<String> {
    let digits = typed.chars().filter(|c| c.is_ascii_alphanumeric());
    let digits: String = digits.map(|c| c.to_ascii_lowercase()).collect();
    Zeroizing::new(format!("recovery code {digits}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238, appendix B: the secret, and codes at a time (their last six digits).
    const SECRET: &[u8; 20] = b"12345678901234567890";

    #[test]
    fn codes_are_those_of_the_rfc() -> Result<(), TotpError> {
        for (at_s, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_234_567_890, "005924"),
            (20_000_000_000, "353130"),
        ] {
            let step = at_s / 30;
            assert_eq!(check(SECRET, code, at_s * 1000)?, Some(step), "{code}");
            // A clock may be one step off, and no more.
            assert_eq!(check(SECRET, code, (at_s + 30) * 1000)?, Some(step));
            assert_eq!(check(SECRET, code, (at_s + 60) * 1000)?, None);
            if step > 1 {
                assert_eq!(check(SECRET, code, (at_s - 30) * 1000)?, Some(step));
                assert_eq!(check(SECRET, code, (at_s - 60) * 1000)?, None);
            }
        }
        for not_a_code in ["", "28708", "2870822", "+87082", "28708a", "２87082"] {
            assert_eq!(check(SECRET, not_a_code, 59_000)?, None, "{not_a_code}");
        }
        Ok(())
    }

    #[test]
    fn an_enrolment_can_be_scanned_or_typed() -> Result<(), TotpError> {
        let enrolment = Enrolment::new(SECRET, "north: sea", "a@example.org")?;
        assert_eq!(
            enrolment.secret.as_str(),
            "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
        );
        assert_eq!(
            enrolment.url.as_str(),
            "otpauth://totp/Ekho%20north%20%20sea:a%40example.org\
             ?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Ekho%20north%20%20sea"
        );
        Ok(())
    }

    #[test]
    fn a_recovery_code_is_the_same_however_it_is_typed() {
        let codes = new_recovery_codes();
        assert_eq!(codes.len(), RECOVERY_CODES);
        let code = &codes[0];
        assert_eq!(code.len(), 23);
        let plain = plain_recovery_code(code);
        assert_eq!(plain, plain_recovery_code(&code.to_uppercase()));
        assert_eq!(plain, plain_recovery_code(&code.replace('-', " ")));
        assert_ne!(plain, plain_recovery_code(&codes[1]));
    }
}
