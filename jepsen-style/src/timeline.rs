//! What was done to the nodes and how they were, with times, for the report.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::book::Book;
use crate::history::Micros;

/// What an event is, which decides where and how it is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something that the run did.
    Fault,
    /// A node was seen not to be ready.
    NotReady,
    /// A node was seen to lead.
    Leads,
}

/// Something that lasted.
#[derive(Clone, Debug)]
pub struct Event {
    /// What.
    pub kind: Kind,
    /// Which nodes.
    pub nodes: Vec<usize>,
    /// In words.
    pub what: String,
    /// From then on.
    pub began: Micros,
    /// Until then; none while it lasts.
    pub ended: Option<Micros>,
}

/// Events, as they are added.
#[derive(Clone)]
pub struct Timeline {
    book: Arc<Book>,
    events: Arc<Mutex<Vec<Event>>>,
    say: fn(&str),
}

impl Timeline {
    /// With the clock of this book. `say` is told of every fault when it begins.
    pub fn new(book: Arc<Book>, say: fn(&str)) -> Self {
        Timeline {
            book,
            events: Arc::default(),
            say,
        }
    }

    /// Something begins; what to end it by.
    pub fn begin(&self, kind: Kind, nodes: &[usize], what: impl Into<String>) -> usize {
        let (what, began) = (what.into(), self.book.now());
        if kind == Kind::Fault {
            let second = began / 1_000_000;
            let at = format!("{}:{:02}", second / 60, second % 60);
            (self.say)(&format!("{at:>6}  {what}: nodes {nodes:?}"));
        }
        let mut events = self.events.lock();
        events.push(Event {
            kind,
            nodes: nodes.to_vec(),
            what,
            began,
            ended: None,
        });
        events.len() - 1
    }

    /// Something ends.
    pub fn end(&self, event: usize) {
        let now = self.book.now();
        self.events.lock()[event].ended = Some(now);
    }

    /// Everything so far.
    pub fn events(&self) -> Vec<Event> {
        self.events.lock().clone()
    }
}
