//! What commands ask at the terminal: whether somebody is sure, and passwords, which never stand
//! on the command line.

use std::io::{self, BufRead, IsTerminal, Write};

use clap::Args;
use zeroize::Zeroizing;

use super::CliError;

/// Consent to what cannot be taken back.
#[derive(Debug, Clone, Args)]
pub(super) struct Sure {
    /// Do not ask whether you are sure
    #[arg(long, short)]
    yes: bool,
}

impl Sure {
    /// Asks, unless `--yes` was given. Where there is nobody to ask, that is needed.
    pub fn check(&self, what: &str) -> Result<(), CliError> {
        if self.yes {
            return Ok(());
        }
        if !io::stdin().is_terminal() {
            return Err(CliError::Usage(format!(
                "{what}: there is no terminal to ask in; pass --yes"
            )));
        }
        write!(io::stderr(), "{what}? [y/N] ")?;
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line)?;
        match line.trim().to_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => Err(CliError::NotSure),
        }
    }
}

/// A password from the next line of standard input, or asked for at the terminal.
pub(super) fn password(stdin: bool, question: &str) -> Result<Zeroizing<String>, CliError> {
    if stdin {
        let mut line = Zeroizing::new(String::new());
        io::stdin().lock().read_line(&mut line)?;
        let password = Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_string());
        if password.is_empty() {
            let why = "a password is expected on a line of standard input";
            return Err(CliError::Usage(why.into()));
        }
        return Ok(password);
    }
    if !io::stdin().is_terminal() {
        return Err(CliError::Usage(
            "there is no terminal to ask for the password in: pass --password-stdin".into(),
        ));
    }
    let password = rpassword::prompt_password(format!("{question}: "))?;
    Ok(Zeroizing::new(password))
}

/// A new password: asked for twice, or a line of standard input.
pub(super) fn new_password(stdin: bool, question: &str) -> Result<Zeroizing<String>, CliError> {
    let first = password(stdin, question)?;
    if !stdin && first != password(false, "The same again")? {
        return Err(CliError::Usage("the two passwords differ".into()));
    }
    Ok(first)
}
