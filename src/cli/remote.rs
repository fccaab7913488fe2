//! Which relay a command talks to, and as whom.
//!
//! In this order: an API token in the file that `--token-file` names or in `EKHO_TOKEN`; the
//! credentials that `--credentials` names, or those in the directory that `--data-dir` names; the
//! session that `ekho login` keeps; the credentials in the data directory. A token never stands on
//! the command line, where others could read it in the list of processes.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;
use zeroize::Zeroizing;

use super::client::{Client, Query};
use super::credentials::{self, Credentials};
use super::session::StoredSession;
use super::show::{self, Columns};
use super::{CliError, print, print_json, say, warn_all};
use crate::config::{Config, Flags};
use crate::tailnet;

/// Holds an API token.
const TOKEN_VARIABLE: &str = "EKHO_TOKEN";

/// The relay, as whom to act, and how to print.
#[derive(Debug, Clone, Args)]
pub(super) struct Remote {
    /// Print the relay's answer, as JSON
    #[arg(long, global = true)]
    json: bool,

    /// The relay [default: that of the login or as configured, else the one in the credentials]
    #[arg(long, value_name = "URL", global = true, help_heading = "Relay")]
    url: Option<String>,

    /// Trust the certificates in this PEM file as well as the system's
    #[arg(long, value_name = "FILE", global = true, help_heading = "Relay")]
    ca_file: Option<PathBuf>,

    /// Act with the API token in this file [default: the one in EKHO_TOKEN]
    #[arg(long, value_name = "FILE", global = true, help_heading = "Relay")]
    token_file: Option<PathBuf>,

    /// Act as whom these credentials name [default: the session of `ekho login`, else
    /// credentials.json in the data directory]
    #[arg(long, value_name = "FILE", global = true, help_heading = "Relay")]
    credentials: Option<PathBuf>,

    /// Configuration file [default: EKHO_CONFIG, else ./ekho.toml, else ekho.toml in the data
    /// directory]
    #[arg(long, value_name = "FILE", global = true, help_heading = "Relay")]
    config: Option<PathBuf>,

    /// Data directory with credentials.json [default: EKHO_DATA_DIR, else ./data]
    #[arg(long, value_name = "DIR", global = true, help_heading = "Relay")]
    data_dir: Option<PathBuf>,
}

/// A relay, and somebody who is signed in to it.
pub(super) struct Relay {
    client: Client,
    /// The fleet, where it is known without asking.
    fleet_id: Option<String>,
    /// Whether the session was begun for this command.
    is_ours: bool,
    json: bool,
}

impl Remote {
    /// Does `work` with the relay, signed in.
    pub async fn run(
        self,
        work: impl AsyncFnOnce(&Relay) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        let relay = self.connect().await?;
        let outcome = work(&relay).await;
        relay.close().await;
        outcome
    }

    /// Signs in. [`Relay::close`] signs out again.
    pub async fn connect(&self) -> Result<Relay, CliError> {
        let config = self.configuration().await?;
        if let Some(token) = self.token()? {
            // A token says nothing of where it is good; a login on this machine may.
            let stored = match self.url.is_none() && !config.names_an_address() {
                true => StoredSession::read()?,
                false => None,
            };
            let (url, ca_file) = match &stored {
                Some(stored) => (stored.relay_url.as_str(), stored.ca_file.as_deref()),
                None => (self.address(&config), None),
            };
            let mut client = self.client(url, ca_file)?;
            client.set_token(token);
            return Ok(self.relay(client, None, false));
        }
        let path = match (&self.credentials, &self.data_dir) {
            (Some(path), _) => Some(path.clone()),
            (None, Some(dir)) => Some(credentials::path(dir)),
            (None, None) => None,
        };
        if path.is_none()
            && let Some(stored) = StoredSession::read()?
            && self
                .url
                .as_ref()
                .is_none_or(|url| is_same(url, &stored.relay_url))
        {
            if stored.is_over() {
                let email = &stored.email;
                let why =
                    format!("the session of {email} is over: sign in again with `ekho login`");
                return Err(CliError::SignIn(why));
            }
            let mut client = self.client(&stored.relay_url, stored.ca_file.as_deref())?;
            client.set_token(Zeroizing::new(stored.token.clone()));
            return Ok(self.relay(client, Some(stored.fleet_id.clone()), false));
        }
        let is_own = self.credentials.is_none();
        let path = path.unwrap_or_else(|| credentials::path(&config.data_dir));
        let owner = Credentials::read(&path)?.ok_or_else(|| CliError::Content {
            path: path.clone(),
            why: "it is not there: run `ekho setup` or `ekho login`, or pass --credentials".into(),
        })?;
        // Settings may have changed since setup wrote the credentials; foreign credentials know
        // better.
        let default = if config.names_an_address() && is_own {
            &config.base_url
        } else {
            &owner.relay_url
        };
        let mut client = self.client(self.url.as_deref().unwrap_or(default), None)?;
        let signed_in = client.sign_in(&owner).await?;
        Ok(self.relay(client, Some(signed_in.fleet_id), true))
    }

    /// The configuration of this machine, for where the relay and its directory are.
    pub async fn configuration(&self) -> Result<Config, CliError> {
        let mut config = Config::load(&Flags {
            config: self.config.clone(),
            data_dir: self.data_dir.clone(),
            ..Flags::default()
        })?;
        warn_all(&config.warnings);
        // Who names the relay need not know where this machine's own would be.
        if let Err(error) = tailnet::settle(&mut config).await
            && self.url.is_none()
        {
            say(&format!("warning: {error}"));
        }
        Ok(config)
    }

    /// The relay that flags name, else the configuration.
    pub fn address<'a>(&'a self, config: &'a Config) -> &'a str {
        self.url.as_deref().unwrap_or(&config.base_url)
    }

    /// The file of certificates that flags name.
    pub fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_deref()
    }

    /// A client that is not signed in yet.
    pub fn client(&self, url: &str, ca_file: Option<&Path>) -> Result<Client, CliError> {
        Ok(Client::new(url, self.ca_file.as_deref().or(ca_file))?)
    }

    /// Whether answers are to be printed as JSON.
    pub fn is_json(&self) -> bool {
        self.json
    }

    fn relay(&self, client: Client, fleet_id: Option<String>, is_ours: bool) -> Relay {
        Relay {
            client,
            fleet_id,
            is_ours,
            json: self.json,
        }
    }

    fn token(&self) -> Result<Option<Zeroizing<String>>, CliError> {
        let Some(path) = &self.token_file else {
            // Who names credentials means those.
            if self.credentials.is_some() {
                return Ok(None);
            }
            let token = std::env::var(TOKEN_VARIABLE).map(Zeroizing::new).ok();
            return Ok(token.filter(|token| !token.is_empty()));
        };
        let text = fs::read_to_string(path).map(Zeroizing::new);
        let text = text.map_err(|source| CliError::File {
            path: path.clone(),
            source,
        })?;
        let token = text.trim();
        if token.is_empty() || token.len() > 255 || token.contains(char::is_whitespace) {
            return Err(CliError::Content {
                path: path.clone(),
                why: "an API token and nothing else is expected in it".into(),
            });
        }
        Ok(Some(Zeroizing::new(token.to_string())))
    }
}

fn is_same(one: &str, other: &str) -> bool {
    one.trim_end_matches('/') == other.trim_end_matches('/')
}

impl Relay {
    /// The calls themselves.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The fleet; where a token says nothing of it, the relay is asked.
    pub async fn fleet_id(&self) -> Result<String, CliError> {
        if let Some(id) = &self.fleet_id {
            return Ok(id.clone());
        }
        let head = self.get("/v1/operator/audit").await?;
        Ok(head["fleet_id"].as_str().unwrap_or_default().to_string())
    }

    /// Whether answers are to be printed as JSON.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Signs out. The session has served; what it was for is worth more than a failure to end it.
    pub async fn close(&self) {
        if self.is_ours
            && let Err(error) = self.client.sign_out().await
        {
            say(&format!("warning: {error}"));
        }
    }

    /// GET without a query.
    pub async fn get(&self, path: &str) -> Result<Value, CliError> {
        Ok(self.client.get(path, &Query::new()).await?)
    }

    /// POST
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, CliError> {
        Ok(self.client.post(path, body).await?)
    }

    /// PUT
    pub async fn put(&self, path: &str, body: &Value) -> Result<Value, CliError> {
        Ok(self.client.put(path, body).await?)
    }

    /// DELETE
    pub async fn delete(&self, path: &str) -> Result<Value, CliError> {
        Ok(self.client.delete(path).await?)
    }

    /// Prints the rows under `items` as a table, or the answer as JSON.
    pub fn rows(&self, answer: &Value, items: &str, columns: Columns<'_>) -> Result<(), CliError> {
        if self.json {
            return print_json(answer);
        }
        let rows = answer[items].as_array().map(Vec::as_slice);
        print(&show::table(columns, rows.unwrap_or_default()))?;
        if let Some(cursor) = answer["next_cursor"].as_str() {
            say(&format!("there are more: --cursor {cursor}, or --all"));
        }
        Ok(())
    }

    /// Prints a thing field by field, or the answer as JSON.
    pub fn one(&self, answer: &Value, thing: &Value) -> Result<(), CliError> {
        match self.json {
            true => print_json(answer),
            false => print(&show::fields(thing)),
        }
    }

    /// Prints what was done in a sentence, or the answer as JSON.
    pub fn done(&self, answer: &Value, sentence: &str) -> Result<(), CliError> {
        match self.json {
            true => print_json(answer),
            false => print(&show::clean(sentence)),
        }
    }
}
