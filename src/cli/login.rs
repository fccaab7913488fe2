//! `ekho login` and `ekho logout`: a session that later commands use.

use std::io::{self, IsTerminal, Write};

use clap::Args;
use serde_json::json;

use super::ask::password;
use super::client::ClientError;
use super::credentials::Credentials;
use super::remote::Remote;
use super::session::{self, StoredSession};
use super::{CliError, print, print_json, say};

const LOGIN_EXAMPLES: &str = "\
Examples:
  ekho login --fleet acme --email ada@acme.example
  ekho login --url https://relay.example.org --fleet acme --email ada@acme.example
  pass show relay | ekho login --fleet acme --email ada@acme.example --password-stdin
  ekho login --fleet acme --email ada@acme.example --totp-code 123456

Later commands act as you until the session ends, as the relay's settings say, or `ekho logout`.
The session lies in ~/.config/ekho/session.json (EKHO_SESSION_FILE), readable only by you; the
password is not kept.";

const LOGOUT_EXAMPLES: &str = "\
Examples:
  ekho logout";

/// Sign in, for the commands that follow.
#[derive(Debug, Args)]
#[command(after_help = LOGIN_EXAMPLES)]
pub(super) struct LoginArgs {
    /// Name of the fleet
    #[arg(long, value_name = "NAME")]
    fleet: Option<String>,

    /// Your email
    #[arg(long, value_name = "EMAIL")]
    email: Option<String>,

    /// Read the password from the first line of standard input
    #[arg(long)]
    password_stdin: bool,

    /// Code of your authenticator, where you have a second factor [default: asked for]
    #[arg(long, value_name = "CODE")]
    totp_code: Option<String>,

    /// A recovery code in place of one of your authenticator
    #[arg(long, value_name = "CODE", conflicts_with = "totp_code")]
    recovery_code: Option<String>,

    #[command(flatten)]
    remote: Remote,
}

/// End the session of `ekho login`.
#[derive(Debug, Args)]
#[command(after_help = LOGOUT_EXAMPLES)]
pub(super) struct LogoutArgs {
    #[command(flatten)]
    remote: Remote,
}

pub(super) async fn login(args: LoginArgs) -> Result<(), CliError> {
    let path = session::path().ok_or_else(|| {
        CliError::Usage("there is no home directory: set EKHO_SESSION_FILE".into())
    })?;
    let config = args.remote.configuration().await?;
    let url = args.remote.address(&config).to_string();
    let who = Credentials {
        relay_url: url.clone(),
        fleet_id: String::new(),
        fleet_name: given(args.fleet, "fleet", "Fleet")?,
        email: given(args.email, "email", "Email")?,
        password: password(args.password_stdin, "Password")?.to_string(),
    };
    let mut client = args.remote.client(&url, None)?;
    let given_code = match (&args.totp_code, &args.recovery_code) {
        (Some(code), _) => Some(("totp_code", code.as_str())),
        (None, Some(code)) => Some(("recovery_code", code.as_str())),
        (None, None) => None,
    };
    let signed_in = match client.sign_in_with(&who, given_code).await {
        Err(ClientError::Refused(refused))
            if refused.code == "totp_required" && io::stdin().is_terminal() =>
        {
            let code = given(None, "totp-code", "Code of your authenticator")?;
            let second = Some(("totp_code", code.as_str()));
            client.sign_in_with(&who, second).await?
        }
        other => other?,
    };
    let ca_file = args.remote.ca_file().map(|file| file.canonicalize());
    let stored = StoredSession {
        relay_url: client.url().to_string(),
        fleet_id: signed_in.fleet_id,
        email: who.email.clone(),
        token: signed_in.token.to_string(),
        expires_at: signed_in.expires_at,
        ca_file: ca_file.transpose()?,
    };
    stored.write(&path)?;
    if args.remote.is_json() {
        return print_json(&json!({
            "relay_url": stored.relay_url,
            "fleet_id": stored.fleet_id,
            "email": stored.email,
            "expires_at": stored.expires_at,
        }));
    }
    let until = stored.expires_at.as_deref().unwrap_or("you log out");
    print(&format!(
        "signed in to {} as {} until {until}",
        stored.relay_url, stored.email
    ))
}

pub(super) async fn logout(args: LogoutArgs) -> Result<(), CliError> {
    if let Ok(Some(stored)) = StoredSession::read()
        && !stored.is_over()
    {
        // Forgotten here in any case; it is no use to keep what could not be ended.
        if let Err(error) = end(&args.remote, &stored).await {
            say(&format!("warning: the session could not be ended: {error}"));
        }
    }
    let was_there = session::forget()?;
    if args.remote.is_json() {
        return print_json(&json!({ "ok": true, "was_signed_in": was_there }));
    }
    print(match was_there {
        true => "signed out",
        false => "nobody was signed in",
    })
}

async fn end(remote: &Remote, stored: &StoredSession) -> Result<(), CliError> {
    let mut client = remote.client(&stored.relay_url, stored.ca_file.as_deref())?;
    client.set_token(stored.token.clone().into());
    Ok(client.sign_out().await?)
}

/// What a flag gives, else the answer to a question.
fn given(flag: Option<String>, name: &str, question: &str) -> Result<String, CliError> {
    if let Some(value) = flag {
        return Ok(value);
    }
    if !io::stdin().is_terminal() {
        return Err(CliError::Usage(format!("--{name} is needed")));
    }
    write!(io::stderr(), "{question}: ")?;
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    Ok(line.trim().to_string())
}
