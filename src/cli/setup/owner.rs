//! The fleet and its owner: what they may be called, and the password, given or made.

use std::io::{self, BufRead};

use zeroize::Zeroizing;

use super::wizard;
use crate::cli::CliError;
use crate::cli::credentials::Credentials;
use crate::ingress::password::{MAX_BYTES, MIN_CHARS};

pub(super) const DEFAULT_FLEET: &str = "main";
pub(super) const DEFAULT_EMAIL: &str = "owner@localhost";
const MAX_FLEET_CHARS: usize = 120;
const MAX_EMAIL_CHARS: usize = 255;
/// 32 letters and digits that are not taken for one another: five bits each.
pub(super) const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
pub(super) const GROUPS: usize = 5;
pub(super) const GROUP_CHARS: usize = 5;

/// An owner, and whether the password was made here.
pub(super) type Owner = (Credentials, bool);

/// What flags say of the owner.
#[derive(Debug, Default)]
pub(super) struct Given {
    pub fleet: Option<String>,
    pub email: Option<String>,
    pub password_stdin: bool,
    /// Whether what is not said is asked for.
    pub asks: bool,
}

/// The owner to be, from flags, standard input, the terminal or defaults.
pub(super) fn choose(given: &Given, relay_url: &str) -> Result<Owner, CliError> {
    let field = |said: &Option<String>, question: &str, default: &str, check: Check| match said {
        Some(said) => Ok(said.clone()),
        None if given.asks => wizard::text(question, default, check),
        None => Ok(default.to_string()),
    };
    let fleet_name = field(
        &given.fleet,
        "Name of the fleet",
        DEFAULT_FLEET,
        check_fleet,
    )?;
    let email = field(&given.email, "Owner's email", DEFAULT_EMAIL, check_email)?;
    let password = if given.password_stdin {
        let mut line = Zeroizing::new(String::new());
        io::stdin().lock().read_line(&mut line)?;
        let password = line.trim_end_matches(['\r', '\n']);
        check_password(password)?;
        Some(password.to_string())
    } else if given.asks {
        wizard::password(check_password)?
    } else {
        None
    };
    let is_made = password.is_none();
    let password = password.unwrap_or_else(make_password);
    let relay_url = relay_url.to_string();
    Ok((
        Credentials {
            relay_url,
            fleet_id: String::new(),
            fleet_name,
            email,
            password,
        },
        is_made,
    ))
}

/// Says what is wrong with an answer.
pub(super) type Check = fn(&str) -> Result<(), CliError>;

pub(super) fn check_fleet(name: &str) -> Result<(), CliError> {
    let is_good = (1..=MAX_FLEET_CHARS).contains(&name.chars().count())
        && name.trim() == name
        && !name.chars().any(char::is_control);
    if is_good {
        return Ok(());
    }
    Err(CliError::Usage(format!(
        "the fleet's name: 1 to {MAX_FLEET_CHARS} characters, no blanks around it"
    )))
}

pub(super) fn check_email(email: &str) -> Result<(), CliError> {
    let parts = email.split_once('@');
    let is_good = email.chars().count() <= MAX_EMAIL_CHARS
        && parts.is_some_and(|(name, host)| !name.is_empty() && !host.is_empty())
        && !email.chars().any(|c| c.is_control() || c.is_whitespace());
    if is_good {
        Ok(())
    } else {
        Err(CliError::Usage("the owner's email: NAME@HOST".into()))
    }
}

pub(super) fn check_password(password: &str) -> Result<(), CliError> {
    if password.chars().count() >= MIN_CHARS && password.len() <= MAX_BYTES {
        return Ok(());
    }
    Err(CliError::Usage(format!(
        "the password: at least {MIN_CHARS} characters, at most {MAX_BYTES} bytes"
    )))
}

/// A password of 125 random bits, in groups that can be read out.
pub(super) fn make_password() -> String {
    let letters: Vec<u8> = rand::random_iter::<u8>()
        .map(|byte| ALPHABET[usize::from(byte) % ALPHABET.len()])
        .take(GROUPS * GROUP_CHARS)
        .collect();
    let groups: Vec<String> = letters
        .chunks(GROUP_CHARS)
        .map(|group| String::from_utf8_lossy(group).into_owned())
        .collect();
    groups.join("-")
}
