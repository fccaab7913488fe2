//! Which relay a command talks to, and as whom.

use std::path::PathBuf;

use clap::Args;

use super::credentials::{self, Credentials};
use super::operator::{Operator, Session};
use super::{CliError, Place, say, warn_all};
use crate::config::Config;

/// The relay, and the credentials for it.
#[derive(Debug, Args)]
pub(super) struct Remote {
    #[command(flatten)]
    place: Place,

    /// The owner's credentials, as setup wrote them [default: credentials.json in the data
    /// directory]
    #[arg(long, value_name = "FILE")]
    credentials: Option<PathBuf>,

    /// The relay [default: as configured, where that says where it is, else the one in the
    /// credentials]
    #[arg(long, value_name = "URL")]
    url: Option<String>,

    /// Trust the certificates in this PEM file as well as the system's
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

/// A relay that somebody is signed in to.
pub(super) struct Connected {
    pub operator: Operator,
    pub session: Session,
    pub url: String,
}

impl Remote {
    /// Signs in. [`Connected::close`] signs out again.
    pub async fn connect(self) -> Result<Connected, CliError> {
        let config = Config::load(&self.place.flags())?;
        warn_all(&config.warnings);
        let is_own = self.credentials.is_none();
        let path = self
            .credentials
            .unwrap_or_else(|| credentials::path(&config.data_dir));
        let owner = Credentials::read(&path)?.ok_or_else(|| CliError::Content {
            path: path.clone(),
            why: "it is not there: run `ekho setup`, or pass --credentials".into(),
        })?;
        // Settings may have changed since setup wrote the credentials; foreign credentials know
        // better.
        let default = if config.names_an_address() && is_own {
            &config.base_url
        } else {
            &owner.relay_url
        };
        let url = self.url.as_deref().unwrap_or(default).to_string();
        let operator = Operator::new(&url, self.ca_file.as_deref())?;
        let session = operator.sign_in(&owner).await?;
        Ok(Connected {
            operator,
            session,
            url,
        })
    }
}

impl Connected {
    /// Signs out. The session has served; what it was for is worth more than a failure to end it.
    pub async fn close(&self) {
        if let Err(error) = self.operator.sign_out(&self.session).await {
            say(&format!("warning: {error}"));
        }
    }
}
