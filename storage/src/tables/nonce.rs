//! Nonces already used, kept in time buckets so that old ones are dropped as whole ranges.

use super::{AgentNo, FleetNo, TimeMs};
use crate::{Cf, Key, Read, StorageError, Txn};

/// Length of a bucket. Fixed for ever: the bucket is part of the key.
pub const BUCKET_MS: u64 = 600_000;

/// The bucket of a time.
pub fn bucket(at_ms: TimeMs) -> u32 {
    u32::try_from(at_ms / BUCKET_MS).unwrap_or(u32::MAX)
}

pub(crate) fn key(bucket: u32, fleet: FleetNo, agent: AgentNo, nonce: &str) -> Key {
    let key = Key::new().u32(bucket).u32(fleet).u32(agent);
    // SDKs send a UUID in its usual form: 16 bytes instead of 36.
    match uuid_bytes(nonce) {
        Some(uuid) => key.u8(1).raw(&uuid),
        None => key.u8(0).raw(nonce.as_bytes()),
    }
}

/// The bytes of a lower-case hyphenated UUID. Any other spelling is another nonce.
fn uuid_bytes(text: &str) -> Option<[u8; 16]> {
    let text = text.as_bytes();
    if text.len() != 36 {
        return None;
    }
    let mut out = [0u8; 16];
    let mut digits = 0;
    for (position, byte) in text.iter().enumerate() {
        if matches!(position, 8 | 13 | 18 | 23) {
            if *byte != b'-' {
                return None;
            }
            continue;
        }
        let value = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        out[digits / 2] |= value << (4 * (1 - digits % 2));
        digits += 1;
    }
    Some(out)
}

/// Whether the agent used this nonce at a time not earlier than `since_ms` (to the bucket) and
/// not later than `now_ms`.
pub fn used(
    read: &impl Read,
    fleet: FleetNo,
    agent: AgentNo,
    nonce: &str,
    since_ms: TimeMs,
    now_ms: TimeMs,
) -> Result<bool, StorageError> {
    for bucket in (bucket(since_ms)..=bucket(now_ms)).rev() {
        if read.exists(Cf::Nonce, key(bucket, fleet, agent, nonce).bytes())? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Records a nonce used at `now_ms`.
pub fn put(txn: &mut Txn, fleet: FleetNo, agent: AgentNo, nonce: &str, now_ms: TimeMs) {
    txn.put(
        Cf::Nonce,
        key(bucket(now_ms), fleet, agent, nonce),
        Vec::new(),
    );
}

/// Drops the buckets `from <= bucket < to`.
pub fn drop_buckets(txn: &mut Txn, from: u32, to: u32) {
    txn.delete_range(
        Cf::Nonce,
        Key::new().u32(from).into_bytes(),
        Key::new().u32(to).into_bytes(),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuid_spellings_other_than_the_canonical_one_stay_apart() {
        let canonical = "6c7f2f1e-1111-4222-8333-944455556666";
        let bytes = uuid_bytes(canonical).map(|bytes| bytes.to_vec());
        assert_eq!(bytes, hex::decode("6c7f2f1e111142228333944455556666").ok());
        for other in [
            &canonical.to_uppercase(),
            "6c7f2f1e111142228333944455556666",
            "",
            "nonce",
        ] {
            assert_eq!(uuid_bytes(other), None, "{other}");
        }
        assert_ne!(
            key(1, 1, 1, canonical),
            key(1, 1, 1, &canonical.to_uppercase())
        );
    }
}
