//! `ekho serve`: opens the relay, listens, and stops in order.

use std::sync::Arc;

use clap::Args;
use ekho_storage::breakage::{Break, is_broken};
use futures::FutureExt;
use rustix::process::{getpid, kill_process};
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::files::{FileLimit, make_data_dir};
use super::{CliError, Place, renewal, setup};
use crate::config::{Config, Flags, Scope, Source};
use crate::identity::is_node;
use crate::joining::{self, Became};
use crate::metrics::Metrics;
use crate::relay::Relay;
use crate::server::Server;
use crate::telemetry::otlp::{Otlp, Who};
use crate::{secrets, tailnet, telemetry};

const EXAMPLES: &str = "\
Examples:
  ekho serve
  ekho serve --data-dir /var/lib/ekho --host 0.0.0.0 --port 443
  ekho serve --setup        sets up first where that was not done; `ekho credentials` then shows
                            the owner's password
  ekho serve --host tailscale                     at this machine's address in its tailnet
  EKHO_LOG=debug ekho serve

Signals:
  TERM, INT    finish what was accepted and stop; a second one stops at once
  HUP          read the TLS certificate and key again, where TLS is served; ten seconds after they
               have changed that happens by itself";

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

    /// Set up as `ekho setup --non-interactive` does, where nobody has and no other node is there
    #[arg(long)]
    setup: bool,

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
    let hangup = renewal::hear_hangup()?;
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
    tailnet::wait(&mut config).await?;
    let became = joining::become_member(&config).await?;
    // Its membership is known a moment after it is open: a node that begins alone is set up whatever
    // that says.
    let begins = became == Became::Itself && !is_node(&config.data_dir);
    if args.setup && became == Became::Itself {
        secrets::ensure(&config)?;
    }
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
    let stopped = async {
        let sets_up = args.setup && (begins || relay.is_alone()) && !relay.is_set_up()?;
        if sets_up || became == Became::First {
            setup::set_up_first(&relay, &config).await?;
        }
        until_stopped(&relay, &config, server, hangup, metrics).await
    };
    let stop = match stopped.await {
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

/// Begins to send traces and metrics, where a collector is configured.
fn send_by_otlp(
    relay: &Relay,
    config: &Config,
    metrics: &Arc<Metrics>,
) -> Result<Option<Otlp>, CliError> {
    let Some(config) = &config.otlp else {
        return Ok(None);
    };
    let service = Arc::clone(relay.service());
    let who = Who {
        cluster_id: service.cluster_id.clone(),
        node_id: service.node.status().node_id,
    };
    let gather = move || {
        let service = Arc::clone(&service);
        let gathered = async move {
            match service.gather_metrics().await {
                Ok(families) => Some(families),
                Err(error) => {
                    tracing::warn!(%error, "metrics are not sent this time");
                    None
                }
            }
        };
        gathered.boxed()
    };
    Ok(Some(Otlp::start(
        config,
        &who,
        Arc::clone(metrics),
        Box::new(gather),
    )?))
}

/// Serves until something says to stop, then stops in order.
async fn until_stopped(
    relay: &Relay,
    config: &Config,
    server: Server,
    hangup: Signal,
    metrics: Arc<Metrics>,
) -> Result<Stop, CliError> {
    look_at_settings(relay, config)?;
    let mut signals = Signals::new()?;
    match server.tls() {
        Some(tls) => renewal::follow(hangup, tls, Arc::clone(&metrics)),
        None => renewal::ignore(hangup),
    }
    // Last of what can fail: whatever it began is ended in order below.
    let otlp = send_by_otlp(relay, config, &metrics)?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        address = %server.address(),
        base_url = config.base_url,
        data_dir = %config.data_dir.display(),
        tls = config.tls.is_some(),
        "listening"
    );
    tell_systemd(NotifyState::Ready);
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
    tell_systemd(NotifyState::Stopping);
    let in_order = async {
        // Long polls and streams first, or the listener would wait for them.
        relay.drain().await;
        shutdown.cancel();
        if let Err(error) = serving.await {
            tracing::error!(%error, "the listener failed");
        }
        relay.shutdown().await;
        // Now all has happened that there is to tell.
        if let Some(otlp) = otlp {
            otlp.shutdown().await;
        }
    };
    tokio::select! {
        () = in_order => tracing::info!("stopped"),
        name = signals.next() => stop_at_once(name),
    }
    Ok(stop)
}

/// Tells systemd how far the relay is, where a unit of the type notify started it.
fn tell_systemd(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "systemd cannot be told");
    }
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
