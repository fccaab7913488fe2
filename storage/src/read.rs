//! The reading side that [`Txn`](crate::Txn) and [`View`](crate::View) share.

use crate::{Cf, Record, StorageError, decode};

/// One key and its value.
pub type Row = (Vec<u8>, Vec<u8>);

/// Reads from the state. Every scan is bounded by its caller.
pub trait Read {
    /// The value under `key`.
    fn get(&self, cf: Cf, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError>;

    /// Up to `limit` rows with `lower <= key < upper`, in key order.
    fn scan(
        &self,
        cf: Cf,
        lower: &[u8],
        upper: &[u8],
        limit: usize,
    ) -> Result<Vec<Row>, StorageError>;

    /// Up to `limit` rows with `lower <= key < upper`, in reverse key order.
    fn scan_rev(
        &self,
        cf: Cf,
        lower: &[u8],
        upper: &[u8],
        limit: usize,
    ) -> Result<Vec<Row>, StorageError>;

    /// Whether `key` has a value.
    fn exists(&self, cf: Cf, key: &[u8]) -> Result<bool, StorageError> {
        Ok(self.get(cf, key)?.is_some())
    }

    /// The record under `key`.
    fn record<R: Record>(&self, cf: Cf, key: &[u8]) -> Result<Option<R>, StorageError> {
        self.get(cf, key)?.map(|bytes| decode(&bytes)).transpose()
    }

    /// Up to `limit` rows whose key begins with `prefix`, in key order.
    fn prefix(&self, cf: Cf, prefix: &[u8], limit: usize) -> Result<Vec<Row>, StorageError> {
        self.scan(cf, prefix, &prefix_end(prefix), limit)
    }
}

/// The first key after all keys that begin with `prefix`.
pub fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.last_mut() {
        if *last < u8::MAX {
            *last += 1;
            return end;
        }
        end.pop();
    }
    // Only 0xff bytes: nothing we write sorts above this.
    vec![u8::MAX; prefix.len() + 1]
}

/// A place in an order, from which a listing goes on: what its key has behind the prefix.
pub type Place = Vec<u8>;

/// Rows whose key begins with `prefix`, with their places, at most `limit`; behind `from` where it
/// is given.
pub fn page(
    read: &impl Read,
    cf: Cf,
    prefix: &[u8],
    descending: bool,
    from: Option<&[u8]>,
    limit: usize,
) -> Result<Vec<(Place, Vec<u8>)>, StorageError> {
    let (mut lower, mut upper) = (prefix.to_vec(), prefix_end(prefix));
    if let Some(place) = from {
        let at = [prefix, place].concat();
        match descending {
            true => upper = at,
            // The first key after it.
            false => lower = [at.as_slice(), &[0]].concat(),
        }
    }
    let rows = match descending {
        true => read.scan_rev(cf, &lower, &upper, limit)?,
        false => read.scan(cf, &lower, &upper, limit)?,
    };
    let place = |(key, value): Row| (key[prefix.len()..].to_vec(), value);
    Ok(rows.into_iter().map(place).collect())
}
