//! The relay the example talks to: one that runs already, or one of its own, stopped at the end.
//! Touches the environment.

use std::error::Error;

use crate::own_relay::OwnRelay;

/// A relay and what is needed to enrol two agents with it.
pub struct Relay {
    url: String,
    fleet_id: String,
    writer_token: String,
    reviewer_token: String,
    own: Option<OwnRelay>,
}

impl Relay {
    /// The relay named by the environment, else a new one.
    pub async fn from_environment_or_start() -> Result<Self, Box<dyn Error>> {
        let Ok(url) = std::env::var("EKHO_RELAY_URL") else {
            return Self::start().await;
        };
        let variable = |name: &str| {
            std::env::var(name).map_err(|_| format!("EKHO_RELAY_URL is set, so {name} has to be"))
        };
        Ok(Self {
            url,
            fleet_id: variable("EKHO_FLEET_ID")?,
            writer_token: variable("EKHO_WRITER_TOKEN")?,
            reviewer_token: variable("EKHO_REVIEWER_TOKEN")?,
            own: None,
        })
    }

    async fn start() -> Result<Self, Box<dyn Error>> {
        let own = OwnRelay::start().await?;
        Ok(Self {
            url: own.url().into(),
            fleet_id: own.fleet_id().into(),
            writer_token: own.enrollment_token().await?,
            reviewer_token: own.enrollment_token().await?,
            own: Some(own),
        })
    }

    /// Where it is reached.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The fleet to enrol in.
    pub fn fleet_id(&self) -> &str {
        &self.fleet_id
    }

    /// The writer's enrolment token.
    pub fn writer_token(&self) -> &str {
        &self.writer_token
    }

    /// The reviewer's enrolment token.
    pub fn reviewer_token(&self) -> &str {
        &self.reviewer_token
    }

    /// Stops a relay that was started here; another one is left alone.
    pub async fn stop(self) -> Result<(), Box<dyn Error>> {
        match self.own {
            Some(own) => own.stop().await,
            None => Ok(()),
        }
    }
}
