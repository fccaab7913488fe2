//! Gets the agents a run needs: from the agents file of an earlier run, or by enrolling new ones
//! with an operator's login or given tokens. Touches the credentials, token and agents files and
//! the relay's login, token and enrolment calls.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::args::BenchArgs;
use super::client::Client;
use super::clock::Clock;
use super::error::BenchError;
use super::http::Target;
use super::progress::Progress;
use super::sign::{Call, Signer};

/// Enrolments in flight at once.
const CONCURRENCY: usize = 8;
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
const DEFAULT_URL: &str = "http://127.0.0.1:4000";

/// An enrolled agent and what it signs with.
#[derive(Clone, Serialize, Deserialize)]
pub struct Agent {
    /// The relay's id of it.
    pub agent_id: String,
    /// Its signing secret.
    pub secret: String,
}

impl std::fmt::Debug for Agent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Agent")
            .field("agent_id", &self.agent_id)
            .finish_non_exhaustive()
    }
}

/// What the agents file holds.
#[derive(Serialize, Deserialize)]
struct AgentsFile {
    relay_url: String,
    agents: Vec<Agent>,
}

/// What setup leaves in the data directory.
#[derive(Deserialize)]
struct Credentials {
    relay_url: Option<String>,
    fleet_name: String,
    email: String,
    password: String,
}

/// Where enrolment tokens come from.
enum Tokens {
    /// Made one by one with an operator's session.
    Operator { session: String, fleet_id: String },
    /// Made before.
    Given {
        tokens: Vec<String>,
        fleet_id: String,
    },
}

/// The relay and exactly `wanted` enrolled agents. New agents are kept in the agents file, where
/// one is named, even when a later enrolment fails.
pub async fn agents(
    args: &BenchArgs,
    wanted: usize,
    progress: &Progress,
) -> Result<(Arc<Target>, Vec<Agent>), BenchError> {
    let kept = match &args.agents_file {
        Some(path) => read_agents(path)?,
        None => None,
    };
    let url = match (&args.url, &kept) {
        (Some(url), _) => url.clone(),
        (None, Some(kept)) => kept.relay_url.clone(),
        (None, None) if args.token_file.is_some() => DEFAULT_URL.to_owned(),
        (None, None) => read_credentials(args)?
            .relay_url
            .unwrap_or_else(|| DEFAULT_URL.to_owned()),
    };
    let target = Arc::new(Target::resolve(&url).await?);
    let mut agents = match kept {
        Some(kept) if kept.relay_url != target.url => {
            return Err(BenchError::usage(format!(
                "--agents-file: its agents belong to {}, not {}; name another file",
                kept.relay_url, target.url
            )));
        }
        Some(kept) => kept.agents,
        None => Vec::new(),
    };
    if let Some(first) = agents.first()
        && !is_known(&target, first).await?
    {
        progress.note("the relay does not know the agents in the agents file (a new data directory?); enrolling new ones");
        agents.clear();
    }
    if agents.len() < wanted {
        let (enrolled, outcome) = enrol(args, &target, agents.len(), wanted, progress).await?;
        agents.extend(enrolled);
        if let Some(path) = &args.agents_file {
            write_agents(
                path,
                &AgentsFile {
                    relay_url: target.url.clone(),
                    agents: agents.clone(),
                },
            )?;
        }
        outcome?;
    }
    agents.truncate(wanted);
    Ok((target, agents))
}

/// Asks for a message that does not exist: 404 to a known agent, 401 to an unknown one, and
/// without the effects of a poll or a heartbeat.
async fn is_known(target: &Arc<Target>, agent: &Agent) -> Result<bool, BenchError> {
    let mut client = Client::new(Arc::clone(target), CALL_TIMEOUT);
    let mut signer = Signer::new(agent)?;
    let mut request = Vec::new();
    let call = Call {
        host: &target.host,
        method: "GET",
        target: "/v1/messages/msg_none",
        body: b"",
    };
    signer.write_request(&mut request, &call, Clock::start().now_us());
    match client.call(&request).await {
        Ok(status) => Ok(status != 401),
        Err(failure) => Err(BenchError::Setup {
            call: "GET /v1/messages/msg_none".into(),
            why: format!("no answer from {} ({})", target.url, failure.name()),
        }),
    }
}

/// Enrols agents numbered `from..to`; returns those that were enrolled and whether that is all.
async fn enrol(
    args: &BenchArgs,
    target: &Arc<Target>,
    from: usize,
    to: usize,
    progress: &Progress,
) -> Result<(Vec<Agent>, Result<(), BenchError>), BenchError> {
    let tokens = Arc::new(tokens(args, target, to - from).await?);
    let next = Arc::new(AtomicUsize::new(from));
    let enrolled = Arc::new(Mutex::new(Vec::with_capacity(to - from)));
    let mut tasks = JoinSet::new();
    for _ in 0..CONCURRENCY.min(to - from) {
        let (tokens, next, enrolled, target) = (
            Arc::clone(&tokens),
            Arc::clone(&next),
            Arc::clone(&enrolled),
            Arc::clone(target),
        );
        tasks.spawn(async move {
            let mut client = Client::new(target, CALL_TIMEOUT);
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= to {
                    return Ok(());
                }
                let agent = enrol_one(&mut client, &tokens, number, number - from).await?;
                enrolled.lock().push(agent);
            }
        });
    }
    let mut outcome = Ok(());
    let mut ticks = tokio::time::interval(Duration::from_millis(250));
    loop {
        tokio::select! {
            finished = tasks.join_next() => match finished {
                None => break,
                Some(Ok(Ok(()))) => {}
                Some(Ok(Err(error))) => {
                    // The others stop after the agent they are at.
                    next.store(to, Ordering::Relaxed);
                    outcome = Err(error);
                }
                Some(Err(error)) => outcome = Err(BenchError::Thread(error.to_string())),
            },
            _ = ticks.tick() => progress.show(format!("enrolling agents: {} of {}", enrolled.lock().len(), to - from)),
        }
    }
    let agents = std::mem::take(&mut *enrolled.lock());
    Ok((agents, outcome))
}

async fn enrol_one(
    client: &mut Client,
    tokens: &Tokens,
    number: usize,
    index: usize,
) -> Result<Agent, BenchError> {
    let (token, fleet_id) = match tokens {
        Tokens::Operator { session, fleet_id } => {
            let path = "/v1/operator/enrollment-tokens";
            let answer = client.post_json(path, Some(session), &json!({})).await?;
            (text(&answer, "token", path)?, fleet_id)
        }
        Tokens::Given { tokens, fleet_id } => {
            let token = tokens
                .get(index)
                .ok_or_else(|| BenchError::usage("--token-file: too few tokens"))?;
            (token.clone(), fleet_id)
        }
    };
    let request = json!({
        "fleet_id": fleet_id,
        "token": token,
        "display_name": format!("bench-{number}"),
        "runtime": "custom",
    });
    let answer = client.post_json("/v1/enroll", None, &request).await?;
    Ok(Agent {
        agent_id: text(&answer, "agent_id", "/v1/enroll")?,
        secret: text(&answer, "secret", "/v1/enroll")?,
    })
}

async fn tokens(
    args: &BenchArgs,
    target: &Arc<Target>,
    count: usize,
) -> Result<Tokens, BenchError> {
    if let (Some(path), Some(fleet_id)) = (&args.token_file, &args.fleet_id) {
        let content = fs::read_to_string(path).map_err(|source| BenchError::File {
            path: path.clone(),
            source,
        })?;
        let tokens: Vec<String> = content
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect();
        if tokens.len() < count {
            return Err(BenchError::usage(format!(
                "--token-file: {count} tokens needed, {} there",
                tokens.len()
            )));
        }
        return Ok(Tokens::Given {
            tokens,
            fleet_id: fleet_id.clone(),
        });
    }
    let credentials = read_credentials(args)?;
    let path = "/v1/operator/login";
    let request = json!({
        "fleet_name": credentials.fleet_name,
        "email": credentials.email,
        "password": credentials.password,
    });
    let answer = Client::new(Arc::clone(target), CALL_TIMEOUT)
        .post_json(path, None, &request)
        .await?;
    Ok(Tokens::Operator {
        session: text(&answer, "token", path)?,
        fleet_id: text(&answer, "fleet_id", path)?,
    })
}

fn text(answer: &Value, field: &str, path: &str) -> Result<String, BenchError> {
    answer
        .get(field)
        .and_then(Value::as_str)
        .map(str::to_owned)
        .ok_or_else(|| BenchError::Setup {
            call: format!("POST {path}"),
            why: format!("the answer has no {field}"),
        })
}

fn read_credentials(args: &BenchArgs) -> Result<Credentials, BenchError> {
    let path = args
        .credentials
        .clone()
        .unwrap_or_else(|| args.data_dir.join("credentials.json"));
    let read = fs::read(&path).map_err(|e| e.to_string());
    read.and_then(|bytes| serde_json::from_slice(&bytes).map_err(|e| e.to_string()))
        .map_err(|why| BenchError::Credentials { path, why })
}

fn read_agents(path: &Path) -> Result<Option<AgentsFile>, BenchError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(BenchError::File {
                path: path.to_owned(),
                source,
            });
        }
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|e| {
        BenchError::usage(format!(
            "--agents-file: {} is not an agents file: {e}",
            path.display()
        ))
    })
}

/// Replaces the file as a whole, readable by its owner only: it holds secrets.
fn write_agents(path: &Path, content: &AgentsFile) -> Result<(), BenchError> {
    let temporary = path.with_extension("new");
    let write = || {
        let _ = fs::remove_file(&temporary);
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(&serde_json::to_vec_pretty(content)?)?;
        fs::rename(&temporary, path)
    };
    write().map_err(|source| BenchError::File {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_agents_file_is_private_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agents.json");
        assert!(read_agents(&path).unwrap().is_none());
        for count in [1, 2] {
            let agents = vec![
                Agent {
                    agent_id: "agent_1".into(),
                    secret: "secret_1".into()
                };
                count
            ];
            write_agents(
                &path,
                &AgentsFile {
                    relay_url: "http://a:1".into(),
                    agents,
                },
            )
            .unwrap();
            assert_eq!(
                fs::metadata(&path).unwrap().permissions().mode() & 0o777,
                0o600
            );
            let read = read_agents(&path).unwrap().unwrap();
            assert_eq!(
                (read.relay_url.as_str(), read.agents.len()),
                ("http://a:1", count)
            );
        }
        fs::write(&path, "not json").unwrap();
        assert!(read_agents(&path).is_err());
    }

    #[test]
    fn secrets_do_not_reach_debug_output() {
        let agent = Agent {
            agent_id: "agent_1".into(),
            secret: "hush".into(),
        };
        assert!(!format!("{agent:?}").contains("hush"));
    }
}
