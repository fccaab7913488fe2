//! The rig that runs this program: what it says of the relays, and what it can be asked.

use serde_json::{Value, json};

pub struct Rig {
    pub relays: Vec<String>,
    pub fleet_id: String,
    url: String,
    http: reqwest::Client,
}

impl Rig {
    pub fn from_environment() -> Self {
        let variable = |name: &str| std::env::var(name).expect("run by the rig");
        // The one that the client would install, which has not been made yet.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self {
            relays: variable("EKHO_RELAY_URL")
                .split(',')
                .map(str::to_owned)
                .collect(),
            fleet_id: variable("EKHO_FLEET_ID"),
            url: variable("EKHO_RIG"),
            http: reqwest::Client::builder()
                .no_proxy()
                .build()
                .expect("a client"),
        }
    }

    pub async fn ask(&self, path: &str, body: &Value) -> Result<Value, String> {
        let request = self.http.post(format!("{}{path}", self.url)).json(body);
        let answer = request.send().await.map_err(|error| error.to_string())?;
        let status = answer.status();
        let value: Value = answer.json().await.map_err(|error| error.to_string())?;
        if status.is_success() {
            Ok(value)
        } else {
            Err(format!("the rig: {value}"))
        }
    }

    pub async fn token(&self) -> Result<String, String> {
        let answer = self.ask("/token", &json!({})).await?;
        Ok(answer["token"].as_str().unwrap_or_default().to_owned())
    }

    /// Whether the relay's description has this path.
    pub async fn offers(&self, path: &str) -> bool {
        let url = format!("{}/openapi.json", self.relays[0]);
        let answer = self.http.get(url).send().await.expect("a relay");
        let description: Value = answer.json().await.expect("a description");
        description["paths"].get(path).is_some()
    }
}
