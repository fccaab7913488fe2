//! A relay of an example's own: set up in a temporary directory, started, and stopped at the end.
//! Touches the environment, child processes and that directory.

#![allow(dead_code, reason = "each example uses its own part")]

use std::error::Error;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// How long a new relay may take until it is ready.
const READY_DEADLINE: Duration = Duration::from_secs(20);
/// How long it may take to stop before it is killed.
const STOP_DEADLINE: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A relay of our own, and its owner's session.
pub struct OwnRelay {
    url: String,
    fleet_id: String,
    http: reqwest::Client,
    session: String,
    process: Process,
}

/// The directory goes when this is dropped, and the process with it.
struct Process {
    child: Child,
    directory: TempDir,
}

/// What `ekho setup` leaves in the data directory.
#[derive(Deserialize)]
struct Credentials {
    fleet_id: String,
    fleet_name: String,
    email: String,
    password: String,
}

impl OwnRelay {
    /// Sets one up and starts it, on a free port.
    pub async fn start() -> Result<Self, Box<dyn Error>> {
        let ekho = binary()?;
        let directory = TempDir::new()?;
        let data = directory.path().join("data");
        set_up(&ekho, directory.path(), &data).await?;
        let text = std::fs::read_to_string(data.join("credentials.json"))?;
        let credentials: Credentials = serde_json::from_str(&text)?;

        let port = free_port()?;
        let url = format!("http://127.0.0.1:{port}");
        let log = std::fs::File::create(directory.path().join("relay.log"))?;
        let child = command(&ekho, directory.path())
            .arg("serve")
            .env("EKHO_DATA_DIR", &data)
            .env("EKHO_PORT", port.to_string())
            .env("EKHO_BASE_URL", &url)
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut process = Process { child, directory };

        let http = http_client()?;
        process.until_ready(&http, &url).await?;
        let login = json!({
            "fleet_name": credentials.fleet_name,
            "email": credentials.email,
            "password": credentials.password,
        });
        let answer = post(&http, format!("{url}/v1/operator/login"), None, &login).await?;
        Ok(Self {
            session: token_of(&answer)?,
            fleet_id: credentials.fleet_id,
            url,
            http,
            process,
        })
    }

    /// Where it is reached.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its only fleet.
    pub fn fleet_id(&self) -> &str {
        &self.fleet_id
    }

    /// A call of the operator API, in the owner's name.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, Box<dyn Error>> {
        let url = format!("{}{path}", self.url);
        post(&self.http, url, Some(&self.session), body).await
    }

    /// A token that admits one agent.
    pub async fn enrollment_token(&self) -> Result<String, Box<dyn Error>> {
        let answer = self
            .post("/v1/operator/enrollment-tokens", &json!({}))
            .await?;
        token_of(&answer)
    }

    /// Stops it.
    pub async fn stop(mut self) -> Result<(), Box<dyn Error>> {
        let process = &mut self.process;
        let pid = process
            .child
            .id()
            .and_then(|id| Pid::from_raw(id.cast_signed()));
        if let Some(pid) = pid {
            kill_process(pid, Signal::TERM)?;
        }
        match tokio::time::timeout(STOP_DEADLINE, process.child.wait()).await {
            Ok(status) if status.as_ref().is_ok_and(|status| status.success()) => Ok(()),
            Ok(status) => {
                Err(format!("the relay ended with {:?}{}", status?, process.log()).into())
            }
            Err(_) => Err(format!("the relay did not stop{}", process.log()).into()),
        }
    }
}

impl Process {
    async fn until_ready(
        &mut self,
        http: &reqwest::Client,
        url: &str,
    ) -> Result<(), Box<dyn Error>> {
        let began = Instant::now();
        while began.elapsed() < READY_DEADLINE {
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("the relay ended with {status}{}", self.log()).into());
            }
            let answer = http.get(format!("{url}/readyz")).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        Err(format!(
            "the relay was not ready within {READY_DEADLINE:?}{}",
            self.log()
        )
        .into())
    }

    /// What the relay wrote, to be put after an error.
    fn log(&self) -> String {
        let path = self.directory.path().join("relay.log");
        let text = std::fs::read_to_string(path).unwrap_or_default();
        format!("; its log:\n{text}")
    }
}

/// The `ekho` built beside this example: target/release/ekho for target/release/examples/….
fn binary() -> Result<PathBuf, Box<dyn Error>> {
    let example = std::env::current_exe()?;
    let beside = example.parent().and_then(Path::parent);
    let binary = beside
        .map(|directory| directory.join(format!("ekho{}", std::env::consts::EXE_SUFFIX)))
        .filter(|binary| binary.is_file());
    binary.ok_or_else(|| "ekho is not built yet: run `cargo build --release` first".into())
}

/// A command that knows nothing of the caller's own relay: neither its variables nor its file.
fn command(ekho: &Path, directory: &Path) -> Command {
    let mut command = Command::new(ekho);
    command
        .current_dir(directory)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("EKHO_") {
            command.env_remove(name);
        }
    }
    command
}

async fn set_up(ekho: &Path, directory: &Path, data: &Path) -> Result<(), Box<dyn Error>> {
    let output = command(ekho, directory)
        .args(["setup", "--non-interactive", "--data-dir"])
        .arg(data)
        .output()
        .await?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("ekho setup failed: {said}").into());
    }
    Ok(())
}

/// A port that was free a moment ago.
fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// An HTTP client for the operator's calls, which are not the SDK's business.
fn http_client() -> Result<reqwest::Client, Box<dyn Error>> {
    // Fails only where a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Ok(reqwest::Client::builder()
        .timeout(Duration::from_secs(10))
        .build()?)
}

async fn post(
    http: &reqwest::Client,
    url: String,
    session: Option<&str>,
    body: &Value,
) -> Result<Value, Box<dyn Error>> {
    let mut request = http.post(&url).json(body);
    if let Some(session) = session {
        request = request.bearer_auth(session);
    }
    let answer = request.send().await?;
    if !answer.status().is_success() {
        let status = answer.status();
        return Err(format!("{url}: {status} {}", answer.text().await?).into());
    }
    Ok(answer.json().await?)
}

fn token_of(answer: &Value) -> Result<String, Box<dyn Error>> {
    let token = answer["token"].as_str();
    Ok(token.ok_or("the relay's answer has no token")?.to_owned())
}
