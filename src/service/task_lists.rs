//! Lists of A2A tasks: those of a party, as the protocol asks for them, and those of a fleet, for
//! its operators.

use ekho_storage::View;
use ekho_storage::tables::task::{self, Listed, Place, Task, TaskState, WHOLE_FLEET};
use ekho_storage::tables::{AgentNo, FleetNo, agent};

use super::activity::public_id;
use super::page::{Page, fill};
use super::tasks::{Party, TaskText, UpdateText, Wanted};
use super::{Service, ServiceError};
use crate::machine::outcome::Refusal;

/// Tasks that one page looks at, so that a filter that matches nothing costs a bounded time.
const SCAN_LIMIT: usize = 20_000;
/// Rows read at once.
const ROWS: usize = 500;

/// Which tasks are listed.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Those of this context.
    pub context_id: Option<String>,
    /// Those in this state.
    pub state: Option<TaskState>,
    /// Those whose status is newer.
    pub after_ms: Option<u64>,
    /// Those that this agent was asked for.
    pub asked: Option<AgentNo>,
}

/// A page of tasks.
pub struct TaskPage {
    /// In order: the latest status first.
    pub tasks: Vec<Task>,
    /// Where the next page begins; none at the end.
    pub next: Option<Place>,
    /// How many there are on all pages, counted so far as [`SCAN_LIMIT`] reaches.
    pub total: usize,
}

/// Which tasks of a fleet an operator looks for.
#[derive(Clone, Debug, Default)]
pub struct FleetFilter {
    /// Those that the agent with this public id is a party of.
    pub agent_id: Option<String>,
    /// Those of this context.
    pub context_id: Option<String>,
    /// Those in this state.
    pub state: Option<TaskState>,
}

/// A task with the public ids of its parties.
pub struct ShownTask {
    /// The task.
    pub task: Task,
    /// Who asked.
    pub client: String,
    /// Who works on it.
    pub agent: String,
}

/// A task with all that happened to it.
pub struct WholeTask {
    /// The task.
    pub shown: ShownTask,
    /// Its texts.
    pub text: TaskText,
    /// Its first updates, in order, with their numbers.
    pub updates: Vec<(u64, UpdateText)>,
}

impl Service {
    /// A page of the tasks that the caller is a party of.
    pub fn tasks_of(
        &self,
        view: &View,
        by: &Party,
        filter: &Filter,
        after: Option<Place>,
        limit: usize,
    ) -> Result<TaskPage, ServiceError> {
        let (fleet, no) = (by.fleet(), by.agent().no);
        let mut page = TaskPage {
            tasks: Vec::new(),
            next: None,
            total: 0,
        };
        let mut looked_at = 0;
        let mut last = None;
        'rows: while looked_at < SCAN_LIMIT {
            let rows = task::list(view, fleet, no, last, ROWS)?;
            let is_end = rows.len() < ROWS;
            for (place, listed) in rows {
                looked_at += 1;
                last = Some(place);
                if filter.after_ms.is_some_and(|after| place.0 <= after) {
                    break 'rows;
                }
                if !filter.matches(&listed) {
                    continue;
                }
                page.total += 1;
                if after.is_some_and(|after| !is_behind(place, after)) {
                    continue;
                }
                if page.tasks.len() < limit {
                    page.tasks.extend(task::get(view, fleet, place.1)?);
                } else if page.next.is_none() {
                    page.next = page.tasks.last().map(|task| (task.status_ms, task.uuid));
                }
            }
            if is_end {
                break;
            }
        }
        Ok(page)
    }

    /// Tasks of a fleet, the latest status first.
    pub async fn tasks_of_fleet(
        &self,
        fleet: FleetNo,
        wanted: &FleetFilter,
        after: Option<Place>,
        limit: usize,
    ) -> Result<Page<ShownTask, Option<Place>>, ServiceError> {
        let view = self.operator_view().await?;
        let list = match &wanted.agent_id {
            None => WHOLE_FLEET,
            Some(id) => {
                let found = agent::locate(&view, id)?.filter(|(of, _)| *of == fleet);
                found.ok_or(Refusal::NotFound)?.1
            }
        };
        let filter = Filter {
            context_id: wanted.context_id.clone(),
            state: wanted.state,
            ..Filter::default()
        };
        let read = |after: &Option<Place>, wants| {
            let rows = task::list(&view, fleet, list, *after, wants)?;
            let rows = rows.into_iter();
            Ok(rows.map(|(place, row)| (Some(place), row)).collect())
        };
        fill(after, limit, read, |place, listed: Listed| {
            let (Some((_, uuid)), true) = (place, filter.matches(&listed)) else {
                return Ok(None);
            };
            let found = task::get(&view, fleet, *uuid)?;
            found.map(|task| shown(&view, fleet, task)).transpose()
        })
    }

    /// A task of a fleet with its texts, and its updates behind a number.
    pub async fn task_of_fleet(
        &self,
        fleet: FleetNo,
        uuid: u128,
        after: u64,
    ) -> Result<WholeTask, ServiceError> {
        let view = self.operator_view().await?;
        let found = task::get(&view, fleet, uuid)?.ok_or(Refusal::NotFound)?;
        Ok(WholeTask {
            text: self.task_text(&view, fleet, found.clone(), Wanted::ALL)?,
            updates: self.updates(&view, fleet, uuid, after)?,
            shown: shown(&view, fleet, found)?,
        })
    }
}

fn shown(view: &View, fleet: FleetNo, task: Task) -> Result<ShownTask, ServiceError> {
    Ok(ShownTask {
        client: public_id(view, fleet, task.client)?,
        agent: public_id(view, fleet, task.agent)?,
        task,
    })
}

impl Filter {
    fn matches(&self, listed: &Listed) -> bool {
        let is = |wanted: &Option<String>| {
            wanted
                .as_ref()
                .is_none_or(|wanted| *wanted == listed.context_id)
        };
        is(&self.context_id)
            && self.state.is_none_or(|state| state == listed.state)
            && self.asked.is_none_or(|asked| asked == listed.asked)
    }
}

/// Whether a place is behind another one in a list: the latest first, then by UUID.
fn is_behind(place: Place, after: Place) -> bool {
    place.0 < after.0 || place.0 == after.0 && place.1 > after.1
}
