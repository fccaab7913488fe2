//! Dead letters as operators see them.

use std::collections::HashMap;

use ekho_storage::tables::agent::{self, Agent};
use ekho_storage::tables::counter::{self, Counter};
use ekho_storage::tables::dead_letter::{self, DeadLetter};
use ekho_storage::tables::message::{self, Message};
use ekho_storage::tables::{AgentNo, FleetNo, TimeMs};
use ekho_storage::{StorageError, View};

use super::operators::Caller;
use super::page::{Page, fill};
use super::{Service, ServiceError};
use crate::machine::command::OperatorRequest;
use crate::machine::outcome::{Outcome, Refusal};

/// Dead letters dealt with in one command.
const STEP: usize = 100;
/// Dead letters looked at for their reasons, and how many of them at once.
const LOOKED_AT_MAX: usize = 10_000;
const ROWS: usize = 500;
/// Reasons told.
const REASONS_MAX: usize = 100;

/// A dead letter with what it is about.
pub struct Shown {
    /// Its number.
    pub number: u64,
    /// The dead letter.
    pub letter: DeadLetter,
    /// The message.
    pub message: Message,
    /// Public id of the recipient.
    pub recipient_id: String,
}

/// Dead letters by why they were given up.
pub struct Reasons {
    /// The most frequent first.
    pub reasons: Vec<Reason>,
    /// Dead letters looked at, the newest ones.
    pub looked_at: usize,
    /// Whether those were all.
    pub complete: bool,
}

/// Why dead letters were given up.
pub struct Reason {
    /// In words.
    pub text: String,
    /// How many of them.
    pub count: u64,
    /// When the newest of them was.
    pub newest_ms: TimeMs,
}

/// How many dead letters there are by reason, and when the newest of them was.
type Counted = HashMap<String, (u64, TimeMs)>;

/// What is to happen to dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Handed out once more.
    Redrive,
    /// Thrown away.
    Purge,
}

impl Order {
    fn request(self, dead_letters: Vec<u64>) -> OperatorRequest {
        match self {
            Order::Redrive => OperatorRequest::Redrive { dead_letters },
            Order::Purge => OperatorRequest::Purge { dead_letters },
        }
    }
}

impl Service {
    /// Dead letters behind a number that are wanted, and how many there are in all.
    pub async fn dead_letters(
        &self,
        fleet: FleetNo,
        (from, descending): (Option<u64>, bool),
        limit: usize,
        wanted: impl Fn(&Shown) -> bool,
    ) -> Result<(Page<Shown, Option<u64>>, u64), ServiceError> {
        let view = self.operator_view().await?;
        let read = |from: &Option<u64>, wants| {
            let rows = dead_letter::list(&view, fleet, descending, *from, wants)?;
            let row = |(number, letter)| (Some(number), (number, letter));
            Ok(rows.into_iter().map(row).collect())
        };
        let page = fill(from, limit, read, |_, (number, letter)| {
            let shown = self.shown(&view, fleet, number, letter)?;
            Ok(shown.filter(|shown| wanted(shown)))
        })?;
        let total = counter::get(&view, fleet, Counter::DeadLetters)?;
        Ok((page, total))
    }

    /// Why the newest dead letters were given up.
    pub async fn dead_letter_reasons(&self, fleet: FleetNo) -> Result<Reasons, ServiceError> {
        let view = self.operator_view().await?;
        let counted = self.in_background(move || count_reasons(&view, fleet));
        let (counted, looked_at, complete) = counted.await?;
        let reason = |(text, (count, newest_ms))| Reason {
            text,
            count,
            newest_ms,
        };
        let mut reasons: Vec<Reason> = counted.into_iter().map(reason).collect();
        reasons.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.text.cmp(&b.text)));
        reasons.truncate(REASONS_MAX);
        Ok(Reasons {
            reasons,
            looked_at,
            complete,
        })
    }

    /// One dead letter with its message's body.
    pub async fn dead_letter(
        &self,
        fleet: FleetNo,
        number: u64,
    ) -> Result<(Shown, Vec<u8>), ServiceError> {
        let view = self.operator_view().await?;
        let letter = dead_letter::get(&view, fleet, number)?.ok_or(Refusal::NotFound)?;
        let shown = self.shown(&view, fleet, number, letter)?;
        let shown = shown.ok_or(Refusal::NotFound)?;
        let body = self.dead_letter_body(fleet, &shown)?;
        Ok((shown, body))
    }

    /// The body of a dead letter's message.
    pub fn dead_letter_body(&self, fleet: FleetNo, shown: &Shown) -> Result<Vec<u8>, ServiceError> {
        let body = message::body(&self.view(), fleet, shown.letter.message)?;
        Ok(body.unwrap_or_default())
    }

    fn shown(
        &self,
        view: &View,
        fleet: FleetNo,
        number: u64,
        letter: DeadLetter,
    ) -> Result<Option<Shown>, ServiceError> {
        let id = |no: AgentNo| -> Result<String, ServiceError> {
            let found: Option<Agent> = agent::get(view, fleet, no)?;
            Ok(found.map(|agent| agent.id).unwrap_or_default())
        };
        // A letter goes before its message does, so that one without is about to go.
        let Some(message) = message::get(view, fleet, letter.message)? else {
            return Ok(None);
        };
        Ok(Some(Shown {
            number,
            recipient_id: id(letter.recipient)?,
            message,
            letter,
        }))
    }

    /// Redrives or purges these; how many it happened to.
    pub async fn order_dead_letters(
        &self,
        by: &Caller,
        order: Order,
        numbers: Vec<u64>,
    ) -> Result<u64, ServiceError> {
        match self.order(by, order.request(numbers)).await? {
            Outcome::Updated(count) => Ok(count),
            outcome => Err(ServiceError::unexpected(&outcome)),
        }
    }

    /// Redrives or purges all that are wanted, step by step; how many it happened to.
    pub async fn order_all_dead_letters(
        &self,
        by: &Caller,
        order: Order,
        wanted: impl Fn(&Shown) -> bool,
    ) -> Result<u64, ServiceError> {
        let mut from = None;
        let mut count = 0;
        loop {
            let fleet = by.principal.fleet;
            let (page, _) = self
                .dead_letters(fleet, (from, true), STEP, &wanted)
                .await?;
            let numbers: Vec<u64> = page.rows.iter().map(|shown| shown.number).collect();
            if !numbers.is_empty() {
                count += self.order_dead_letters(by, order, numbers).await?;
            }
            match page.next {
                Some(next) => from = next,
                None => return Ok(count),
            }
        }
    }
}

/// Counts why the newest dead letters were given up; how many were looked at, and whether those
/// were all.
fn count_reasons(view: &View, fleet: FleetNo) -> Result<(Counted, usize, bool), StorageError> {
    let mut counted = Counted::new();
    let (mut from, mut looked_at) = (None, 0);
    let complete = loop {
        let rows = dead_letter::list(view, fleet, true, from, ROWS)?;
        let is_end = rows.len() < ROWS;
        looked_at += rows.len();
        from = rows.last().map(|(number, _)| *number);
        for (_, letter) in rows {
            let (count, newest_ms) = counted.entry(letter.failure_reason).or_default();
            *count += 1;
            *newest_ms = (*newest_ms).max(letter.at_ms);
        }
        if is_end || looked_at >= LOOKED_AT_MAX {
            break is_end;
        }
    };
    Ok((counted, looked_at, complete))
}
