//! A certificate that is renewed while the relay runs: its files are read again on SIGHUP, and once
//! they are other ones than before, as when a mounted secret changes and there is nobody to send a
//! signal.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::CliError;
use crate::metrics::Metrics;
use crate::server::Tls;

/// Between two looks at the files.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Hears SIGHUP from now on. The signal would end the process while nobody does; one that comes
/// before it is followed waits.
pub(super) fn hear_hangup() -> Result<Signal, CliError> {
    signal(SignalKind::hangup()).map_err(CliError::Runtime)
}

/// Has the files read again whenever that is asked for, or they have changed.
pub(super) fn follow(mut hangup: Signal, tls: Arc<Tls>, metrics: Arc<Metrics>) {
    tokio::spawn(async move {
        loop {
            let is_asked = tokio::select! {
                asked = hangup.recv() => match asked {
                    Some(()) => true,
                    None => return,
                },
                () = tokio::time::sleep(LOOK_EVERY) => false,
            };
            let reread = Arc::clone(&tls);
            // Reads files.
            let read = tokio::task::spawn_blocking(move || match is_asked {
                true => Some(reread.reload()),
                false => reread.reload_changed(),
            });
            match read.await {
                Ok(None) => {}
                Ok(Some(Ok(()))) => {
                    metrics.certificate_served(tls.expires_seconds());
                    tracing::info!("certificate and key read again");
                }
                Ok(Some(Err(error))) => tracing::error!(%error, "keeping the certificate in use"),
                Err(error) => tracing::error!(%error, "keeping the certificate in use"),
            }
        }
    });
}

/// Without TLS there is nothing to read again; the signal would end the process all the same.
pub(super) fn ignore(mut hangup: Signal) {
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            tracing::info!("SIGHUP: there is no certificate to read again");
        }
    });
}
