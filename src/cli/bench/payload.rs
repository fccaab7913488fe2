//! The messages that are sent: JSON of an exact size whose text does not compress and does not
//! repeat, so that the relay's disk does the work that real messages would give it. Pure.

use std::io::Write;
use std::sync::Arc;

use rand::RngExt;

/// `{"sent_us":1763908800000000,"text":""}`: the smallest body object.
pub const MIN_PAYLOAD_BYTES: usize = 38;

/// Text is cut from here at a random place each time.
const POOL_BYTES: usize = 1 << 20;

/// What all messages of one run share.
#[derive(Debug, Clone)]
pub struct Messages {
    /// Begins the conversation id of every message of this run, and of no other run.
    pub run_prefix: Arc<str>,
    pool: Arc<[u8]>,
    text_len: usize,
    ttl_seconds: u32,
}

impl Messages {
    /// Messages whose body object has `payload_bytes` (at least [`MIN_PAYLOAD_BYTES`]).
    pub fn new(payload_bytes: usize, ttl_seconds: u32) -> Self {
        const LETTERS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 .";
        let text_len = payload_bytes.saturating_sub(MIN_PAYLOAD_BYTES);
        let mut random = vec![0_u8; POOL_BYTES + text_len];
        rand::rng().fill(random.as_mut_slice());
        let pool = random
            .iter()
            .map(|byte| LETTERS[usize::from(byte & 63)])
            .collect();
        Self {
            run_prefix: format!("bench-{:08x}-", rand::random::<u32>()).into(),
            pool,
            text_len,
            ttl_seconds,
        }
    }

    /// Appends one message. `number` is unique in the run, `random` any random number, `sent_us`
    /// the sending time (16 digits: microseconds since the epoch).
    pub fn write(
        &self,
        out: &mut Vec<u8>,
        recipient: &str,
        conversation: &str,
        number: u64,
        random: u64,
        sent_us: u64,
    ) {
        let from = usize::try_from(random % POOL_BYTES as u64).unwrap_or(0);
        let text = &self.pool[from..from + self.text_len];
        // Writing to a Vec cannot fail.
        let _ = write!(
            out,
            r#"{{"recipient":{{"kind":"agent","id":"{recipient}"}},"message_type":"direct","priority":"normal","ttl_seconds":{},"conversation_id":"{conversation}","correlation_id":"{}{number}","body":{{"sent_us":{sent_us:016},"text":""#,
            self.ttl_seconds, self.run_prefix,
        );
        out.extend_from_slice(text);
        out.extend_from_slice(b"\"}}");
    }
}

/// A small generator of random numbers (SplitMix64): choosing a recipient must not cost a system
/// call or a lock. Not for secrets.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Seeded from the system.
    pub fn new() -> Self {
        Self(rand::random())
    }

    /// The next 64 random bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound` (0 where that is 0).
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = bound as u64;
        usize::try_from(self.next().checked_rem(bound).unwrap_or(0)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use serde_json::Value;
    use serde_json::value::RawValue;

    use super::*;

    #[derive(serde::Deserialize)]
    struct Sent<'a> {
        #[serde(borrow)]
        body: &'a RawValue,
    }

    #[test]
    fn the_body_object_has_exactly_the_size_asked_for() {
        for size in [MIN_PAYLOAD_BYTES, 39, 512, 70_000] {
            let messages = Messages::new(size, 900);
            for random in [0, 1, u64::MAX] {
                let mut out = Vec::new();
                messages.write(
                    &mut out,
                    "agent_2",
                    "bench-0-1",
                    7,
                    random,
                    1_795_404_960_007_000,
                );
                let sent: Sent<'_> = serde_json::from_slice(&out).unwrap();
                assert_eq!(sent.body.get().len(), size);
            }
        }
    }

    #[test]
    fn a_message_has_the_fields_of_the_contract() {
        let mut out = Vec::new();
        Messages::new(64, 900).write(&mut out, "agent_2", "c", 7, 5, 1_795_404_960_007_000);
        let value: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(
            value["recipient"],
            serde_json::json!({"kind": "agent", "id": "agent_2"})
        );
        assert_eq!(
            (&value["message_type"], &value["ttl_seconds"]),
            (&"direct".into(), &900.into())
        );
        assert_eq!(value["conversation_id"], "c");
        assert!(value["correlation_id"].as_str().unwrap().ends_with("-7"));
        assert_eq!(value["body"]["sent_us"], 1_795_404_960_007_000_u64);
    }

    #[test]
    fn dice_stay_below_their_bound_and_reach_everything() {
        let mut dice = Dice::new();
        let mut seen = [0; 5];
        for _ in 0..10_000 {
            seen[dice.below(5)] += 1;
        }
        assert!(seen.iter().all(|&n| n > 1000), "{seen:?}");
        assert_eq!(dice.below(0), 0);
    }
}
