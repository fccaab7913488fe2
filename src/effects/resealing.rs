//! The leader seals everything anew while the master secret is changed. Whoever leads next goes on.

use std::sync::Arc;
use std::time::Duration;

use ekho_storage::tables::rotation::{self, Rotation};
use ekho_storage::tables::sealed::{self, Sealed};

use crate::machine::command::{Command, Reseal};
use crate::service::{Service, ServiceError};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// Rows that are read at a time.
const ROWS: usize = 100;
/// Sealed bytes from which on a command is full; the last one of it may bring some thousands more.
const COMMAND_BYTES: usize = 32 << 10;

/// Runs until the node stops. Does something only while this node leads.
pub async fn run(service: Arc<Service>) {
    let mut leadership = service.node.leadership();
    loop {
        tokio::select! {
            led = leadership.wait_for(|leadership| leadership.is_self) => {
                if led.is_err() {
                    return;
                }
            }
            () = service.stopping.cancelled() => return,
        }
        if let Err(error) = go_on(&service).await {
            tracing::warn!(%error, "not everything is sealed under the new key yet");
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = service.stopping.cancelled() => return,
        }
    }
}

async fn go_on(service: &Service) -> Result<(), ServiceError> {
    let Some(rotation) = rotation::under_way(&service.view())? else {
        return Ok(());
    };
    // What it could not open would be left behind.
    if !service.holds_keys()? {
        return Err(ServiceError::Stopping);
    }
    // What was written since it began is under the new key, so a walk that finds nothing has seen
    // all there was.
    while walk(service, &rotation).await? {}
    let to_key_id = rotation.to_key_id;
    tracing::info!(to_key_id, "everything is sealed under the new key");
    service
        .propose(&Command::RotationDone { to_key_id })
        .await?;
    Ok(())
}

/// Walks through everything once; whether something was still sealed under another key.
async fn walk(service: &Service, rotation: &Rotation) -> Result<bool, ServiceError> {
    let mut found = false;
    let mut from = sealed::start(&service.view())?;
    while let Some(place) = from {
        let leads = service.node.leadership().borrow().is_self;
        if !leads || service.stopping.is_cancelled() {
            return Err(ServiceError::Stopping);
        }
        let (rows, next) = sealed::page(&service.view(), place, ROWS)?;
        from = next;
        found |= reseal(service, rotation, rows).await?;
    }
    Ok(found)
}

/// Seals rows of one fleet anew; whether there was anything to do.
async fn reseal(
    service: &Service,
    rotation: &Rotation,
    rows: Vec<Sealed>,
) -> Result<bool, ServiceError> {
    let mut found = false;
    let mut full = Vec::new();
    let mut size_bytes = 0;
    let last = rows.len();
    for (number, row) in (1..).zip(rows) {
        if let Some(after) = service.resealed(&rotation.to_key_id, &row) {
            size_bytes += row.sealed.len() + after.len();
            full.push((row.place, row.sealed, after));
        }
        if full.is_empty() || (size_bytes < COMMAND_BYTES && number < last) {
            continue;
        }
        size_bytes = 0;
        found = true;
        let reseal = Reseal {
            to_key_id: rotation.to_key_id.clone(),
            fleet: row.fleet,
            secrets: std::mem::take(&mut full),
        };
        service.propose(&Command::Reseal(reseal)).await?;
    }
    Ok(found)
}
