//! One page of a list: rows in the order of a key, of which some are wanted.

use super::ServiceError;

/// Rows that one page looks at, however few are wanted.
pub const SCANNED: usize = 1000;
/// Rows read at once, at least, where a first page's worth was not enough.
const CHUNK: usize = 50;

/// A page of a list with a filter.
pub struct Page<T, C> {
    /// What was wanted.
    pub rows: Vec<T>,
    /// The last row that was looked at, from which to go on; none at the end.
    pub next: Option<C>,
}

/// Reads rows from `from` on, chunk by chunk, until `limit` of them were wanted or enough were
/// looked at. `read` returns up to so many rows behind a place; `take` says what becomes of one.
pub fn fill<R, T, C: Clone>(
    from: C,
    limit: usize,
    read: impl Fn(&C, usize) -> Result<Vec<(C, R)>, ServiceError>,
    mut take: impl FnMut(&C, R) -> Result<Option<T>, ServiceError>,
) -> Result<Page<T, C>, ServiceError> {
    let mut rows = Vec::new();
    let mut last_wanted = from.clone();
    let mut place = from;
    let mut looked_at = 0;
    while looked_at < SCANNED {
        let wants = match looked_at {
            0 => limit + 1,
            _ => (limit + 1).clamp(CHUNK, SCANNED - looked_at + CHUNK),
        };
        let chunk = read(&place, wants)?;
        let is_last = chunk.len() < wants;
        looked_at += chunk.len();
        for (at, row) in chunk {
            place = at;
            let Some(row) = take(&place, row)? else {
                continue;
            };
            if rows.len() == limit {
                // One more than fits: there is a next page, behind the last one that did.
                return Ok(Page {
                    rows,
                    next: Some(last_wanted),
                });
            }
            last_wanted = place.clone();
            rows.push(row);
        }
        if is_last {
            return Ok(Page { rows, next: None });
        }
    }
    Ok(Page {
        rows,
        next: Some(place),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers up to `count` that `wanted` admits, all pages together, and how many those were.
    fn all(count: u64, limit: usize, wanted: impl Fn(u64) -> bool) -> (Vec<u64>, usize) {
        let (mut from, mut found, mut pages) = (0, Vec::new(), 0);
        loop {
            let read = |from: &u64, wants| {
                let rows = (*from + 1..=count).take(wants).map(|n| (n, n));
                Ok(rows.collect::<Vec<_>>())
            };
            let page = fill(from, limit, read, |_, n: u64| Ok(wanted(n).then_some(n)));
            let Ok(page) = page else {
                panic!("nothing fails here")
            };
            assert!(page.rows.len() <= limit);
            found.extend(page.rows);
            pages += 1;
            match page.next {
                Some(next) => from = next,
                None => return (found, pages),
            }
        }
    }

    #[test]
    fn pages_hold_every_wanted_row_once() {
        for (count, limit) in [(0, 1), (1, 1), (49, 7), (50, 50), (3000, 100), (3001, 20)] {
            for step in [1, 2, 3, 700, 5000] {
                let wanted = |n: u64| n.is_multiple_of(step);
                let expected: Vec<u64> = (1..=count).filter(|n| wanted(*n)).collect();
                let (found, pages) = all(count, limit, wanted);
                assert_eq!(found, expected, "{count} rows by {limit}, every {step}th");
                assert!(pages <= expected.len() / limit + count as usize / SCANNED + 1);
            }
        }
    }
}
