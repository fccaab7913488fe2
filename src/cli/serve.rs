//! `ekho serve`: opens the relay, listens, and stops in order.

use std::sync::Arc;

use clap::Args;
use ekho_storage::breakage::{Break, is_broken};
use rustix::process::{getpid, kill_process};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::files::{FileLimit, make_data_dir};
use super::{CliError, Place, setup};
use crate::config::{Config, Flags, Scope, Source};
use crate::joining::{self, Became};
use crate::metrics::Metrics;
use crate::relay::Relay;
use crate::server::{Server, Tls};
use crate::{secrets, telemetry};

const EXAMPLES: &str = "\
Examples:
  ekho serve
  ekho serve --data-dir /var/lib/ekho --host 0.0.0.0 --port 443
  EKHO_LOG=debug ekho serve

Signals:
  TERM, INT    finish what was accepted and stop; a second one stops at once
  HUP          read the TLS certificate and key again, where TLS is served";

/// Start the relay.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    place: Place,

    /// Address to listen on [default: EKHO_HOST, else 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    host: Option<String>,

    /// Port to listen on; 0 takes a free one [default: EKHO_PORT, else 4000]
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,

    /// Node-to-node address of a cluster to join, while there is no data here; several with
    /// commas between [default: EKHO_JOIN]
    #[arg(long, value_name = "HOST:PORT")]
    join: Option<String>,

    /// What `ekho cluster token create` printed, to join with [default: EKHO_JOIN_TOKEN]
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
}

/// Why the relay stops.
enum Stop {
    Signal(&'static str),
    Fatal(String),
}

pub(super) async fn run(args: ServeArgs) -> Result<(), CliError> {
    let flags = Flags {
        host: args.host,
        port: args.port,
        join: args.join,
        join_token: args.token,
        ..args.place.flags()
    };
    let mut config = Config::load(&flags)?;
    telemetry::init(config.log_format, &config.log_filter)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    FileLimit::of(&config).raise();
    make_data_dir(&config.data_dir)?;
    let became = joining::become_member(&config).await?;
    let resolved = secrets::resolve(&config)?;
    for warning in &resolved.warnings {
        tracing::warn!("{warning}");
    }
    // The address first: where it is taken, nothing has been touched yet. Clients that come while
    // the log is replayed wait in the kernel.
    let server = Server::bind(&config).await?;
    config.listening_on(server.address().port());
    let metrics = Arc::new(Metrics::new()?);
    let relay = Relay::open(&config, &resolved.secrets, Arc::clone(&metrics)).await?;
    if became == Became::First
        && let Err(error) = setup::set_up_first(&relay, &config).await
    {
        relay.shutdown().await;
        return Err(error);
    }
    let stop = match until_stopped(&relay, &config, server, metrics).await {
        Ok(stop) => stop,
        Err(error) => {
            relay.shutdown().await;
            return Err(error);
        }
    };
    match stop {
        Stop::Signal(name) if is_broken(Break::FailStop) => Err(CliError::Fatal(name.into())),
        Stop::Signal(_) => Ok(()),
        Stop::Fatal(why) => Err(CliError::Fatal(why)),
    }
}

/// Serves until something says to stop, then stops in order.
async fn until_stopped(
    relay: &Relay,
    config: &Config,
    server: Server,
    metrics: Arc<Metrics>,
) -> Result<Stop, CliError> {
    look_at_settings(relay, config)?;
    let mut signals = Signals::new()?;
    if let Some(tls) = server.tls() {
        reload_on_hangup(tls)?;
    }
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        address = %server.address(),
        base_url = config.base_url,
        data_dir = %config.data_dir.display(),
        tls = config.tls.is_some(),
        "listening"
    );
    let shutdown = CancellationToken::new();
    // On the runtime's own threads: connections are accepted where they are served.
    let serving = tokio::spawn(server.run(relay.router(config), metrics, shutdown.clone()));
    let stop = tokio::select! {
        name = signals.next() => Stop::Signal(name),
        why = relay.fatal() => Stop::Fatal(why),
    };
    match &stop {
        Stop::Signal(name) => tracing::info!(signal = name, "stopping"),
        Stop::Fatal(why) => tracing::error!("{why}"),
    }
    let in_order = async {
        // Long polls and streams first, or the listener would wait for them.
        relay.drain().await;
        shutdown.cancel();
        if let Err(error) = serving.await {
            tracing::error!(%error, "the listener failed");
        }
        relay.shutdown().await;
    };
    tokio::select! {
        () = in_order => tracing::info!("stopped"),
        name = signals.next() => stop_at_once(name),
    }
    Ok(stop)
}

/// Ends the process here and now. Nothing that was answered is lost: that is on disk.
fn stop_at_once(signal: &str) {
    tracing::warn!(
        signal,
        "a second signal: stopping before everything is finished"
    );
    // Leaving main would run the databases' destructors under their own threads' feet.
    if let Err(error) = kill_process(getpid(), rustix::process::Signal::KILL) {
        tracing::error!(%error, "cannot stop at once");
    }
}

/// Says what an operator may not expect of the state that was opened.
fn look_at_settings(relay: &Relay, config: &Config) -> Result<(), CliError> {
    if !relay.is_set_up()? && relay.leads() {
        tracing::warn!("not set up: stop the relay, run `ekho setup`, and start it again");
    }
    let is_seeded = config
        .entries
        .iter()
        .any(|entry| entry.scope == Scope::Setup && entry.source != Source::Default);
    if is_seeded && relay.service().settings_differ(&config.settings)? {
        tracing::warn!(
            "some settings given here differ from those of the cluster, which decide; they only \
             count at setup (see `ekho config`)"
        );
    }
    Ok(())
}

/// The signals that ask the relay to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, CliError> {
        let listen = |kind| signal(kind).map_err(CliError::Runtime);
        Ok(Signals {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "TERM",
            _ = self.interrupt.recv() => "INT",
        }
    }
}

/// A certificate is renewed while the relay runs.
fn reload_on_hangup(tls: Arc<Tls>) -> Result<(), CliError> {
    let mut hangup = signal(SignalKind::hangup()).map_err(CliError::Runtime)?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            let tls = Arc::clone(&tls);
            // Reads files.
            match tokio::task::spawn_blocking(move || tls.reload()).await {
                Ok(Ok(())) => tracing::info!("certificate and key read again"),
                Ok(Err(error)) => tracing::error!(%error, "keeping the certificate in use"),
                Err(error) => tracing::error!(%error, "keeping the certificate in use"),
            }
        }
    });
    Ok(())
}
