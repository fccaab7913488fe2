//! Which agent a command acts as, and by which relays.
//!
//! `EKHO_AGENT_ID` and `EKHO_AGENT_SECRET`, else the file that `ekho agent enroll` wrote. A secret
//! never stands on the command line, where others could read it in the list of processes.

use std::fs;
use std::path::PathBuf;

use clap::Args;
use ekho_client::EkhoAgentClient;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::cli::{CliError, private};

const FILE_VARIABLE: &str = "EKHO_AGENT_FILE";
const ID_VARIABLE: &str = "EKHO_AGENT_ID";
const SECRET_VARIABLE: &str = "EKHO_AGENT_SECRET";
const RELAYS_VARIABLE: &str = "EKHO_RELAY_URL";
const LOCAL_RELAY: &str = "http://127.0.0.1:4000";

/// The agent to act as.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct As {
    /// The agent's file [default: EKHO_AGENT_FILE, else ~/.config/ekho/agent.json]
    #[arg(long, value_name = "FILE", help_heading = "Agent")]
    agent: Option<PathBuf>,

    /// The relay; several nodes of a cluster with commas between them [default: EKHO_RELAY_URL,
    /// else the one in the file]
    #[arg(long, value_name = "URL", help_heading = "Agent")]
    url: Option<String>,

    /// Trust the certificates in this PEM file as well as the system's
    #[arg(long, value_name = "FILE", help_heading = "Agent")]
    ca_file: Option<PathBuf>,
}

/// An agent's credentials, and where they hold.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
pub(super) struct Identity {
    pub agent_id: String,
    pub secret: String,
    pub relay_urls: Vec<String>,
    /// Certificates to trust there, as an absolute path.
    #[zeroize(skip)]
    pub ca_file: Option<PathBuf>,
}

impl As {
    /// Where the agent's file is.
    pub fn file(&self) -> Result<PathBuf, CliError> {
        let usual = || private::path(FILE_VARIABLE, "agent.json");
        self.agent.clone().or_else(usual).ok_or_else(|| {
            CliError::Usage(format!(
                "there is no home directory: pass --agent or set {FILE_VARIABLE}"
            ))
        })
    }

    /// The relays that flags or the environment name.
    pub fn relays(&self) -> Option<Vec<String>> {
        let named = self.url.clone().or_else(|| variable(RELAYS_VARIABLE))?;
        let urls = named.split(',').map(str::trim);
        Some(
            urls.filter(|url| !url.is_empty())
                .map(str::to_string)
                .collect(),
        )
    }

    /// The certificates that flags name, as an absolute path.
    pub fn ca_file(&self) -> Result<Option<PathBuf>, CliError> {
        let file = self.ca_file.as_ref().map(fs::canonicalize);
        Ok(file.transpose()?)
    }

    /// A client that acts as the agent.
    pub fn client(&self) -> Result<EkhoAgentClient, CliError> {
        let identity = self.identity()?;
        let relays = self.relays().unwrap_or_else(|| identity.relay_urls.clone());
        let client = EkhoAgentClient::builder(&identity.agent_id, &identity.secret).relays(relays);
        let client = match self.ca_file()?.or_else(|| identity.ca_file.clone()) {
            Some(file) => client.root_certificate_pem(
                fs::read(&file).map_err(|source| CliError::File { path: file, source })?,
            ),
            None => client,
        };
        Ok(client.build()?)
    }

    fn identity(&self) -> Result<Identity, CliError> {
        match (variable(ID_VARIABLE), variable(SECRET_VARIABLE)) {
            (Some(agent_id), Some(secret)) if self.agent.is_none() => {
                return Ok(Identity {
                    agent_id,
                    secret,
                    relay_urls: vec![LOCAL_RELAY.into()],
                    ca_file: None,
                });
            }
            (Some(_), None) | (None, Some(_)) if self.agent.is_none() => {
                let why = format!("{ID_VARIABLE} and {SECRET_VARIABLE} go together: set both");
                return Err(CliError::Usage(why));
            }
            _ => {}
        }
        let path = self.file()?;
        let advice = "chmod 600, or enrol anew with `ekho agent enroll`";
        private::read(&path, advice)?.ok_or_else(|| CliError::Content {
            path,
            why: format!(
                "it is not there: run `ekho agent enroll`, or set {ID_VARIABLE} and {SECRET_VARIABLE}"
            ),
        })
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
