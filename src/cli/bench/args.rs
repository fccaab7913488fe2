//! The flags of `ekho bench` and the plan they make: defaults by mode, limits, contradictions.
//! Pure: no network, no files.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::error::BenchError;
use super::payload::MIN_PAYLOAD_BYTES;

/// Most connections one run opens; a port range ends near 28,000 towards one address.
const MAX_CONNECTIONS: usize = 20_000;
/// Most agents one run enrols.
const MAX_AGENTS: usize = 100_000;
/// Most generator threads.
const MAX_THREADS: usize = 64;
/// Largest message body, well above the relay's own default limit of 1 MiB.
const MAX_PAYLOAD_BYTES: usize = 8 * 1024 * 1024;
/// Longest measurement, in seconds.
const MAX_DURATION_SECONDS: u64 = 24 * 3600;
/// What bounds a run given only as a number of messages.
const COUNTED_RUN_LIMIT: Duration = Duration::from_secs(3600);
/// Highest offered rate, in messages per second.
const MAX_RATE: f64 = 10_000_000.0;

/// What the generator does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// POST /v1/messages (or the batch call) from every connection
    Send,
    /// Drain inboxes: poll, acknowledge, until they are empty
    Receive,
    /// Senders, long polls and acknowledgements at once, with delivery latency
    Mixed,
    /// Hold a long poll for every agent, with nothing to receive
    IdlePoll,
    /// Send over one connection, one message at a time
    Single,
    /// One sender, one long-polling receiver, low rate: delivery latency
    Roundtrip,
}

impl Mode {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Receive => "receive",
            Self::Mixed => "mixed",
            Self::IdlePoll => "idle-poll",
            Self::Single => "single",
            Self::Roundtrip => "roundtrip",
        }
    }
}

/// Whom a sender writes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recipients {
    /// Any other agent, at random
    Random,
    /// Every other agent in turn
    Spread,
    /// All to the last agent: one hot inbox
    One,
}

/// Load a running relay over HTTP with signed requests, and measure it.
///
/// The relay limits every agent to 30 messages in 60 s unless it was first started with a higher
/// EKHO_RATE_LIMIT_MAX_MESSAGES; refusals (429) are counted as failures. Plain http only.
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// What to do
    #[arg(long, value_enum, default_value = "send")]
    pub mode: Mode,

    /// The relay, http://HOST:PORT [default: from the agents file or the credentials, else
    /// http://127.0.0.1:4000]
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,

    /// Sending (or, for receive, draining) connections [default: 64; single and roundtrip: 1]
    #[arg(long, short = 'c', value_name = "N")]
    pub connections: Option<usize>,

    /// Generator threads; each runs its share of the connections
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub threads: usize,

    /// Measured time [default: 30; with --messages: until they are sent, at most an hour]
    #[arg(long, value_name = "SECONDS")]
    pub duration_seconds: Option<u64>,

    /// Stop after this many measured messages
    #[arg(long, value_name = "N")]
    pub messages: Option<u64>,

    /// Unmeasured time at the start [default: 2; with --messages or receive: 0]
    #[arg(long, value_name = "SECONDS")]
    pub warmup_seconds: Option<u64>,

    /// Open loop: offer this many messages a second in total, and measure from the intended start
    /// [default: closed loop; roundtrip: 20]
    #[arg(long, value_name = "PER_SECOND")]
    pub rate: Option<f64>,

    /// Size of each message's body object
    #[arg(long, value_name = "BYTES", default_value_t = 512)]
    pub payload_bytes: usize,

    /// Agents to enrol: senders and recipients [default: 64; idle-poll: 1000; roundtrip: 2]
    #[arg(long, value_name = "N")]
    pub agents: Option<usize>,

    /// Whom senders write to
    #[arg(long, value_enum, default_value = "random")]
    pub recipients: Recipients,

    /// Time to live of the messages sent
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    pub ttl_seconds: u32,

    /// Messages a request: above 1, POST /v1/messages/batch
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub batch: usize,

    /// How long a long poll waits (mixed, roundtrip, idle-poll)
    #[arg(long, value_name = "SECONDS", default_value_t = 25)]
    pub wait: u64,

    /// Send this many messages before measuring, unmeasured
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub fill: u64,

    /// Give up on an answer after this long (long polls: after their wait)
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub timeout_seconds: u64,

    /// Operator credentials written by setup [default: credentials.json in the data directory]
    #[arg(long, value_name = "FILE")]
    pub credentials: Option<PathBuf>,

    /// The relay's data directory, where credentials.json is
    #[arg(
        long,
        value_name = "DIR",
        env = "EKHO_DATA_DIR",
        default_value = "./data"
    )]
    pub data_dir: PathBuf,

    /// Enrolment tokens, one a line, instead of an operator login; needs --fleet-id
    #[arg(long, value_name = "FILE", requires = "fleet_id")]
    pub token_file: Option<PathBuf>,

    /// The fleet of the tokens in --token-file
    #[arg(long, value_name = "ID")]
    pub fleet_id: Option<String>,

    /// Keep the enrolled agents here (0600) and use them again
    #[arg(long, value_name = "FILE")]
    pub agents_file: Option<PathBuf>,

    /// Process id of the relay on this machine: report its CPU, memory and disk writes
    #[arg(long, value_name = "PID")]
    pub relay_pid: Option<u32>,

    /// Print the result as JSON on stdout; the table goes to stderr
    #[arg(long)]
    pub json: bool,

    /// No progress line
    #[arg(long, short = 'q')]
    pub quiet: bool,
}

/// A run with every default filled in and every limit checked.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// What to do.
    pub mode: Mode,
    /// Sending, draining or polling connections.
    pub connections: usize,
    /// Long-polling connections beside the senders (mixed, roundtrip).
    pub receivers: usize,
    /// Generator threads.
    pub threads: usize,
    /// Measured time at most.
    #[serde(rename = "duration_seconds", serialize_with = "seconds")]
    pub duration: Duration,
    /// Measured messages at most.
    pub messages: Option<u64>,
    /// Unmeasured time before.
    #[serde(rename = "warmup_seconds", serialize_with = "seconds")]
    pub warmup: Duration,
    /// Messages a second offered; absent in a closed loop.
    pub rate: Option<f64>,
    /// Size of the body object of each message.
    pub payload_bytes: usize,
    /// Agents taking part.
    pub agents: usize,
    /// Whom senders write to.
    pub recipients: Recipients,
    /// Time to live of the messages.
    pub ttl_seconds: u32,
    /// Messages a request.
    pub batch: usize,
    /// How long a long poll waits.
    pub wait_seconds: u64,
    /// Messages sent before measuring.
    pub fill: u64,
    /// Longest wait for an answer.
    #[serde(rename = "timeout_seconds", serialize_with = "seconds")]
    pub timeout: Duration,
}

fn seconds<S: serde::Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(value.as_secs())
}

impl Plan {
    /// The plan of a command line, or the first thing in it that cannot be done.
    pub fn from_args(args: &BenchArgs) -> Result<Self, BenchError> {
        let mode = args.mode;
        let agents = args.agents.unwrap_or(match mode {
            Mode::IdlePoll => 1000,
            Mode::Roundtrip => 2,
            _ => 64,
        });
        within("--agents", agents, 1, MAX_AGENTS)?;
        if agents < 2 && mode != Mode::IdlePoll && mode != Mode::Receive {
            return Err(BenchError::usage(
                "--agents: a sender needs another agent to write to; at least 2",
            ));
        }
        let connections = match mode {
            Mode::Single | Mode::Roundtrip => match args.connections {
                None | Some(1) => 1,
                Some(_) => {
                    return Err(BenchError::usage("--connections: this mode has one sender"));
                }
            },
            // One long poll an agent is what this mode means.
            Mode::IdlePoll => agents,
            _ => args.connections.unwrap_or(64),
        };
        within("--connections", connections, 1, MAX_CONNECTIONS)?;
        let receivers = match mode {
            Mode::Mixed => agents,
            Mode::Roundtrip => 1,
            _ => 0,
        };
        within("--agents", receivers, 0, MAX_CONNECTIONS)?;
        within("--threads", args.threads, 1, MAX_THREADS)?;
        within(
            "--payload-bytes",
            args.payload_bytes,
            MIN_PAYLOAD_BYTES,
            MAX_PAYLOAD_BYTES,
        )?;
        within("--batch", args.batch, 1, 100)?;
        within("--wait", args.wait, 0, 60)?;
        within("--ttl-seconds", args.ttl_seconds, 1, 86_400)?;
        within("--timeout-seconds", args.timeout_seconds, 1, 600)?;
        if args.messages == Some(0) {
            return Err(BenchError::usage("--messages: at least 1"));
        }
        let rate = match (mode, args.rate) {
            (Mode::Roundtrip, None) => Some(20.0),
            (Mode::Receive | Mode::IdlePoll, Some(_)) => {
                return Err(BenchError::usage("--rate: this mode sends nothing"));
            }
            (_, rate) => rate,
        };
        if let Some(rate) = rate
            && !(rate.is_finite() && rate > 0.0 && rate <= MAX_RATE)
        {
            return Err(BenchError::usage(format!(
                "--rate: above 0 and at most {MAX_RATE}"
            )));
        }
        let duration_seconds = args.duration_seconds.unwrap_or(30);
        within(
            "--duration-seconds",
            duration_seconds,
            1,
            MAX_DURATION_SECONDS,
        )?;
        let counted = args.messages.is_some() || mode == Mode::Receive;
        let duration = if counted && args.duration_seconds.is_none() {
            COUNTED_RUN_LIMIT
        } else {
            Duration::from_secs(duration_seconds)
        };
        let warmup_seconds = args.warmup_seconds.unwrap_or(if counted { 0 } else { 2 });
        within("--warmup-seconds", warmup_seconds, 0, 3600)?;
        Ok(Self {
            mode,
            connections,
            receivers,
            threads: args.threads.min(connections + receivers),
            duration,
            messages: args.messages,
            warmup: Duration::from_secs(warmup_seconds),
            rate,
            payload_bytes: args.payload_bytes,
            agents,
            recipients: args.recipients,
            ttl_seconds: args.ttl_seconds,
            batch: args.batch,
            wait_seconds: args.wait,
            fill: args.fill,
            timeout: Duration::from_secs(args.timeout_seconds),
        })
    }

    /// The plan that sends `--fill` messages first: as fast as the relay takes them.
    pub fn filling(&self) -> Self {
        Self {
            mode: Mode::Send,
            connections: self.connections.clamp(1, 64),
            receivers: 0,
            duration: COUNTED_RUN_LIMIT,
            messages: Some(self.fill),
            warmup: Duration::ZERO,
            rate: None,
            fill: 0,
            ..self.clone()
        }
    }
}

fn within<T: PartialOrd + std::fmt::Display>(
    flag: &str,
    value: T,
    least: T,
    most: T,
) -> Result<(), BenchError> {
    if value < least || value > most {
        return Err(BenchError::usage(format!(
            "{flag}: between {least} and {most}, not {value}"
        )));
    }
    Ok(())
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
