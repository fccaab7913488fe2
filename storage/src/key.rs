//! Building and reading ordered keys.
//!
//! Numbers are big-endian so that byte order is number order. A text inside a key carries its
//! length in one byte, which keeps keys prefix-free; callers limit such texts to 255 bytes.

use crate::StorageError;

/// A key under construction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Key(Vec<u8>);

impl Key {
    /// A key of the table marked by `table` within its column family.
    pub fn table(table: u8) -> Self {
        let mut bytes = Vec::with_capacity(48);
        bytes.push(table);
        Key(bytes)
    }

    /// An empty key, for families that hold one table.
    pub fn new() -> Self {
        Key(Vec::with_capacity(40))
    }

    /// Appends one byte.
    pub fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    /// Appends a 32-bit number.
    pub fn u32(mut self, value: u32) -> Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// Appends a 64-bit number.
    pub fn u64(mut self, value: u64) -> Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// Appends a 128-bit number, such as a UUID.
    pub fn u128(mut self, value: u128) -> Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// Appends a text with its length. Texts beyond 255 bytes are refused where requests are
    /// read; here they are cut, because a key must never be able to stop the state machine.
    pub fn text(mut self, value: &str) -> Self {
        let length = value.floor_char_boundary(255);
        self.0.push(length as u8);
        self.0.extend_from_slice(&value.as_bytes()[..length]);
        self
    }

    /// Appends bytes as they are; only as the last part of a key.
    pub fn raw(mut self, value: &[u8]) -> Self {
        self.0.extend_from_slice(value);
        self
    }

    /// The finished key.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The finished key, owned.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Reads a key part by part, in the order it was built.
#[derive(Debug)]
pub struct KeyReader<'a> {
    table: &'static str,
    rest: &'a [u8],
}

impl<'a> KeyReader<'a> {
    /// Starts reading `bytes` as a key of `table` (named in errors).
    pub fn new(table: &'static str, bytes: &'a [u8]) -> Self {
        KeyReader { table, rest: bytes }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], StorageError> {
        if self.rest.len() < length {
            return Err(StorageError::Corrupt {
                table: self.table,
                detail: format!("key ends {} bytes early", length - self.rest.len()),
            });
        }
        let (head, rest) = self.rest.split_at(length);
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], StorageError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    /// The next byte.
    pub fn u8(&mut self) -> Result<u8, StorageError> {
        Ok(self.take(1)?[0])
    }

    /// The next 32-bit number.
    pub fn u32(&mut self) -> Result<u32, StorageError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    /// The next 64-bit number.
    pub fn u64(&mut self) -> Result<u64, StorageError> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    /// The next 128-bit number.
    pub fn u128(&mut self) -> Result<u128, StorageError> {
        Ok(u128::from_be_bytes(self.array()?))
    }

    /// The next text.
    pub fn text(&mut self) -> Result<&'a str, StorageError> {
        let length = self.u8()? as usize;
        let table = self.table;
        std::str::from_utf8(self.take(length)?).map_err(|error| StorageError::Corrupt {
            table,
            detail: error.to_string(),
        })
    }

    /// Everything not read yet.
    pub fn rest(self) -> &'a [u8] {
        self.rest
    }
}
