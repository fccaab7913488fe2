//! Attachments: uploads are stored on a majority before anything is said of them; what is read is
//! checked, and fetched from another node where it is missing.
//!
//! - `upload`: from a file that was written here to an answer
//! - `fetch`: from a row to an open file

mod fetch;
mod upload;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ekho_raft::blobs::BlobHash;
use ekho_storage::tables::attachment::{self, Attachment, AttachmentSettings, Content, Uploader};
use ekho_storage::tables::{FleetNo, agent, fleet};
use ekho_storage::{Read, View};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::operators::Caller as OperatorCaller;
use super::{Caller, Service, ServiceError};
use crate::clock::now_ms;
use crate::machine::command::{Command, OperatorRequest};
use crate::machine::outcome::{HeldStatus, Refusal};
use crate::machine::{FLEETS_MAX, attachment as rules};

pub use upload::{NewFile, Uploaded, Uploading};

/// Whole files read at once to compare them with their names: each takes a core for a moment.
const CHECKS_AT_ONCE: usize = 2;
/// Nodes that are late may still be sent that many files after an upload was answered.
const STRAGGLERS: usize = 16;

/// What a node has for attachments, besides their files.
pub struct Attachments {
    uploads: Arc<Semaphore>,
    stragglers: Arc<Semaphore>,
    checks: Semaphore,
    /// Files that are being fetched: one after the other, of each.
    fetching: Mutex<HashMap<BlobHash, Arc<tokio::sync::Mutex<()>>>>,
    /// Settings to begin with.
    seed: AttachmentSettings,
    /// What this node lacks and holds, as it was last counted.
    pub files: FileCounts,
}

/// Files of this node.
#[derive(Default)]
pub struct FileCounts {
    /// Files that attachments name and that are not here.
    pub missing: AtomicU64,
    /// Files that are here.
    pub stored: AtomicU64,
    /// Their bytes.
    pub stored_bytes: AtomicU64,
}

impl FileCounts {
    /// Files that are missing.
    pub fn missing(&self) -> u64 {
        self.missing.load(Ordering::Relaxed)
    }

    /// Files that are here.
    pub fn stored(&self) -> u64 {
        self.stored.load(Ordering::Relaxed)
    }

    /// Their bytes.
    pub fn stored_bytes(&self) -> u64 {
        self.stored_bytes.load(Ordering::Relaxed)
    }
}

impl Attachments {
    /// With room for so many uploads at once.
    pub fn new(uploads: usize, seed: AttachmentSettings) -> Self {
        Attachments {
            uploads: Arc::new(Semaphore::new(uploads)),
            stragglers: Arc::new(Semaphore::new(STRAGGLERS)),
            checks: Semaphore::new(CHECKS_AT_ONCE),
            fetching: Mutex::default(),
            seed,
            files: FileCounts::default(),
        }
    }
}

impl Service {
    /// What decides about attachments.
    pub fn attachment_settings(&self) -> Result<AttachmentSettings, ServiceError> {
        Ok(rules::settings(&self.view())?)
    }

    /// Changes what decides about attachments.
    pub async fn change_attachment_settings(
        &self,
        by: &OperatorCaller,
        before: AttachmentSettings,
        after: AttachmentSettings,
    ) -> Result<(), ServiceError> {
        let request = OperatorRequest::ChangeAttachmentSettings { before, after };
        self.order(by, request).await.map(|_| ())
    }

    /// The leader puts the settings in place that it is configured with, where there are none and
    /// every node understands them.
    pub async fn seed_attachments(&self) -> Result<(), ServiceError> {
        let command = Command::SeedAttachments(self.attachments.seed.clone());
        let is_done = attachment::settings(&self.view())?.is_some();
        if is_done || !self.is_set_up()? || self.check_level(&command).is_err() {
            return Ok(());
        }
        self.propose(&command).await.map(|_| ())
    }

    /// An attachment that the agent may read.
    pub async fn attachment(
        &self,
        caller: &Caller,
        uuid: u128,
    ) -> Result<Attachment, ServiceError> {
        let view = self.read(caller).await?;
        let (fleet, no) = (caller.agent.fleet, caller.agent.no);
        // As it is now, which the caller's row need not be.
        let agent = agent::get(&view, fleet, no)?.ok_or(Refusal::InvalidCredentials)?;
        if let Some(held) = HeldStatus::of(agent.status(&agent::live(&view, fleet, no)?)) {
            return Err(Refusal::Held(held).into());
        }
        let found = attachment::get(&view, fleet, uuid)?.ok_or(Refusal::NotFound)?;
        match rules::may_read(&view, fleet, &found, no, now_ms())? {
            true => Ok(found),
            false => Err(Refusal::NotFound.into()),
        }
    }

    /// An attachment of the fleet.
    pub async fn any_attachment(
        &self,
        fleet: FleetNo,
        uuid: u128,
    ) -> Result<Attachment, ServiceError> {
        let view = self.operator_view().await?;
        Ok(attachment::get(&view, fleet, uuid)?.ok_or(Refusal::NotFound)?)
    }

    /// Attachments of a fleet with who uploaded each, the newest first, behind one of them; at most
    /// `limit`.
    pub async fn attachments(
        &self,
        fleet: FleetNo,
        after: Option<u128>,
        limit: usize,
    ) -> Result<Vec<(Attachment, Option<String>)>, ServiceError> {
        let view = self.operator_view().await?;
        let found = attachment::list_rev(&view, fleet, after, limit)?;
        let with_uploader = |one: Attachment| {
            let by = match &one.by {
                Uploader::Agent(no) => agent::get(&view, fleet, *no)?.map(|agent| agent.id),
                Uploader::Operator(id) => Some(id.clone()),
            };
            Ok((one, by))
        };
        found.into_iter().map(with_uploader).collect()
    }

    /// Whether any fleet has an attachment with this content.
    pub fn is_needed(&self, view: &View, hash: &BlobHash) -> Result<bool, ServiceError> {
        Ok(self.needed_bytes(view, hash)?.is_some())
    }

    /// The length of a content, where any fleet has an attachment with it.
    pub fn needed_bytes(&self, view: &View, hash: &BlobHash) -> Result<Option<u64>, ServiceError> {
        for fleet in fleet::list(view, FLEETS_MAX as usize)? {
            if let Some(content) = attachment::content(view, fleet.no, hash)? {
                return Ok(Some(content.size_bytes));
            }
        }
        Ok(None)
    }

    /// Looks at every content that any fleet has, in steps.
    pub fn each_content(
        &self,
        view: &View,
        look: impl FnMut(BlobHash, Content) -> Result<(), ServiceError>,
    ) -> Result<(), ServiceError> {
        each_content(view, look)
    }
}

/// Looks at every content that any fleet has, in steps; one that several have comes as often.
pub fn each_content(
    view: &View,
    mut look: impl FnMut(BlobHash, Content) -> Result<(), ServiceError>,
) -> Result<(), ServiceError> {
    const STEP: usize = 256;
    for fleet in fleet::list(view, FLEETS_MAX as usize)? {
        let mut after = None;
        loop {
            let step = attachment::contents(view, fleet.no, after.as_ref(), STEP)?;
            after = step.last().map(|(hash, _)| *hash);
            let is_last = step.len() < STEP;
            for (hash, content) in step {
                look(hash, content)?;
            }
            if is_last {
                break;
            }
        }
    }
    Ok(())
}

/// What a message binds, as it is shown.
pub fn of_message(
    read: &impl Read,
    fleet: FleetNo,
    message: u128,
) -> Result<Vec<Attachment>, ServiceError> {
    let mut found = Vec::new();
    for uuid in attachment::of_message(read, fleet, message)? {
        found.extend(attachment::get(read, fleet, uuid)?);
    }
    Ok(found)
}
