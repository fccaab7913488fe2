//! How many deliveries waited when: looked at as events come in, by five minutes. Part of what is
//! [`derived`](super::derived), but seen rather than worked out: what is thrown away is not known
//! again.

use super::FleetNo;
use super::derived::table;
use super::rollup::{Span, span_key};
use crate::{Cf, KeyReader, Read, StorageError, Txn};

/// How long one row is.
pub const SPAN: Span = Span::FiveMinutes;
/// Spans for which rows are kept.
const SPANS_MAX: usize = 600;

/// Deliveries that waited within a span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// The most at once.
    pub most: u64,
    /// When the span was looked at last. Until somebody looks again, so many wait.
    pub last: u64,
}

fn read_depth(bytes: &[u8]) -> Result<Depth, StorageError> {
    let mut reader = KeyReader::new("depth", bytes);
    Ok(Depth {
        most: reader.u64()?,
        last: reader.u64()?,
    })
}

/// Notes how many deliveries wait now, in the span that is under way.
pub fn note(txn: &mut Txn, fleet: FleetNo, number: u32, queued: u64) -> Result<(), StorageError> {
    let key = span_key(table::DEPTH, fleet, SPAN, number);
    let most = match txn.get(Cf::Derived, key.bytes())? {
        Some(bytes) => read_depth(&bytes)?.most,
        // What waited when the span began was there within it as well.
        None => before(txn, fleet, number)?.map_or(0, |depth| depth.last),
    };
    let mut bytes = Vec::with_capacity(16);
    bytes.extend(most.max(queued).to_be_bytes());
    bytes.extend(queued.to_be_bytes());
    txn.put(Cf::Derived, key, bytes);
    Ok(())
}

/// The newest depth of the spans before this one.
fn before(read: &impl Read, fleet: FleetNo, number: u32) -> Result<Option<Depth>, StorageError> {
    let lower = span_key(table::DEPTH, fleet, SPAN, 0);
    let upper = span_key(table::DEPTH, fleet, SPAN, number);
    let rows = read.scan_rev(Cf::Derived, lower.bytes(), upper.bytes(), 1)?;
    rows.first().map(|(_, value)| read_depth(value)).transpose()
}

/// The most that waited at once in each span from `from` to `to`, both included: at most 600 spans.
/// Where nothing happened, what waited before still did; none where nothing is known.
pub fn between(
    read: &impl Read,
    fleet: FleetNo,
    from: u32,
    to: u32,
) -> Result<Vec<Option<u64>>, StorageError> {
    let mut waiting = before(read, fleet, from)?.map(|depth| depth.last);
    let lower = span_key(table::DEPTH, fleet, SPAN, from);
    let upper = span_key(table::DEPTH, fleet, SPAN, to.saturating_add(1));
    let rows = read.scan(Cf::Derived, lower.bytes(), upper.bytes(), SPANS_MAX)?;
    let mut rows = rows.iter().peekable();
    let mut found = Vec::new();
    for number in (from..=to).take(SPANS_MAX) {
        let key = span_key(table::DEPTH, fleet, SPAN, number);
        match rows.next_if(|(at, _)| at.as_slice() == key.bytes()) {
            Some((_, value)) => {
                let depth = read_depth(value)?;
                found.push(Some(depth.most));
                waiting = Some(depth.last);
            }
            None => found.push(waiting),
        }
    }
    Ok(found)
}
