//! Whether every client can read a JSON value that the relay only passes on.
//!
//! Valid JSON is more than what libraries read: many stop at some depth, refuse half a surrogate
//! pair (RFC 8259, section 8.2) or a number beyond a double (section 6). One such body in an
//! inbox would keep its reader from all the others, so it is refused where it is sent.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Levels of objects and arrays. Libraries that stop early stop at 128, and an answer puts a
/// body some levels down.
pub const NESTING_MAX: usize = 100;

/// Reads a value once and keeps nothing of it; the error says what is wrong and where.
pub fn check(value: &RawValue) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(value.get());
    Check {
        levels_left: NESTING_MAX,
    }
    .deserialize(&mut deserializer)
}

#[derive(Clone, Copy)]
struct Check {
    levels_left: usize,
}

impl Check {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        match self.levels_left.checked_sub(1) {
            Some(levels_left) => Ok(Check { levels_left }),
            None => Err(E::custom(format_args!(
                "more than {NESTING_MAX} levels of nesting"
            ))),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Check {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Check {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        while items.next_element_seed(inner)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        while entries.next_key_seed(inner)?.is_some() {
            entries.next_value_seed(inner)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why_not(json: &str) -> Option<String> {
        let Ok(raw) = RawValue::from_string(json.into()) else {
            panic!("not even JSON: {json}")
        };
        check(&raw).err().map(|error| error.to_string())
    }

    fn nested(levels: usize) -> String {
        format!("{}1{}", "[".repeat(levels), "]".repeat(levels))
    }

    #[test]
    fn what_every_library_reads_passes() {
        for json in [
            r#"{"a":[1,-2,1.5e300,true,null,"\u00e9\ud83d\ude00\u0000"]}"#,
            r#"{"a":1,"a":2}"#,
            "18446744073709551616",
            &nested(NESTING_MAX),
        ] {
            assert_eq!(why_not(json), None, "{json}");
        }
    }

    #[test]
    fn what_some_do_not_read_is_named() {
        for (json, why) in [
            (r#"{"a":"\ud800"}"#.to_string(), "hex escape"),
            (r#"{"\ud800":1}"#.to_string(), "hex escape"),
            (r#"[1e999]"#.to_string(), "number out of range"),
            (nested(NESTING_MAX + 1), "levels of nesting"),
            (nested(100_000), "levels of nesting"),
        ] {
            let said = why_not(&json).unwrap_or_default();
            assert!(said.contains(why), "{said}");
        }
    }
}
