//! Reading a JSON object field by field, collecting what is wrong with each.
//!
//! Values that are only passed on (message bodies, payloads) stay the bytes that were received.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::readable;

/// What is wrong with a request, by field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invalid {
    /// What concerns the whole.
    pub form: Vec<String>,
    /// What concerns a field.
    pub fields: BTreeMap<String, Vec<String>>,
}

impl Invalid {
    /// One thing wrong with the whole.
    pub fn form(text: impl Into<String>) -> Self {
        Invalid {
            form: vec![text.into()],
            ..Invalid::default()
        }
    }

    /// One thing wrong with one field.
    pub fn field(name: &str, text: impl Into<String>) -> Self {
        let mut invalid = Invalid::default();
        invalid.add(name, text);
        invalid
    }

    fn add(&mut self, name: &str, text: impl Into<String>) {
        self.fields
            .entry(name.to_string())
            .or_default()
            .push(text.into());
    }

    fn is_empty(&self) -> bool {
        self.form.is_empty() && self.fields.is_empty()
    }
}

/// A JSON object being read.
pub struct Fields<'a> {
    entries: Entries<'a>,
    /// Names of fields in errors begin with this: the place of an array's item.
    place: String,
    invalid: Invalid,
}

struct Entries<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Entries<'de>;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::with_capacity(16);
                while let Some(Name(name)) = map.next_key()? {
                    entries.push((name, map.next_value()?));
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// A text that borrows where the JSON has no escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Fields<'a> {
    /// Reads an object. An empty body is an empty object.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Invalid> {
        let entries = if bytes.is_empty() {
            Entries(Vec::new())
        } else {
            serde_json::from_slice(bytes)
                .map_err(|error| Invalid::form(format!("invalid JSON: {error}")))?
        };
        Ok(Fields {
            entries,
            place: String::new(),
            invalid: Invalid::default(),
        })
    }

    fn nested(raw: &'a RawValue, place: String) -> Result<Self, String> {
        let entries =
            serde_json::from_str(raw.get()).map_err(|_| "expected an object".to_string())?;
        Ok(Fields {
            entries,
            place,
            invalid: Invalid::default(),
        })
    }

    /// The last value of a name, as JavaScript reads it. `null` counts as absent.
    fn raw(&self, name: &str) -> Option<&'a RawValue> {
        let entry = self.entries.0.iter().rev().find(|(known, _)| known == name);
        entry.map(|(_, raw)| *raw).filter(|raw| raw.get() != "null")
    }

    /// Notes something wrong with a field.
    pub fn wrong(&mut self, name: &str, text: impl Into<String>) {
        let name = format!("{}{name}", self.place);
        self.invalid.add(&name, text);
    }

    fn typed<T: Deserialize<'a>>(&mut self, name: &str, expected: &str) -> Option<T> {
        let raw = self.raw(name)?;
        match serde_json::from_str(raw.get()) {
            Ok(value) => Some(value),
            Err(_) => {
                self.wrong(name, format!("expected {expected}"));
                None
            }
        }
    }

    /// Whether a field is there and not null.
    pub fn has(&self, name: &str) -> bool {
        self.raw(name).is_some()
    }

    /// A text of 1 to `max_bytes` bytes that must be there.
    pub fn text(&mut self, name: &str, max_bytes: usize) -> String {
        match self.optional_text(name, max_bytes) {
            Some(text) => text,
            None => {
                self.required(name);
                String::new()
            }
        }
    }

    /// A text of 1 to `max_bytes` bytes.
    pub fn optional_text(&mut self, name: &str, max_bytes: usize) -> Option<String> {
        let Name(text) = self.typed(name, "a string")?;
        if text.is_empty() {
            self.wrong(name, "must not be empty");
            return None;
        }
        if text.len() > max_bytes {
            self.wrong(name, format!("at most {max_bytes} bytes"));
            return None;
        }
        Some(text.into_owned())
    }

    /// A text of at most `max_bytes` bytes that must be there and may be empty.
    pub fn text_or_empty(&mut self, name: &str, max_bytes: usize) -> String {
        match self.raw(name).is_some_and(|raw| raw.get() == "\"\"") {
            true => String::new(),
            false => self.text(name, max_bytes),
        }
    }

    /// One of the given words; `default` where it is absent, required where there is none.
    pub fn choice<T: Copy>(
        &mut self,
        name: &str,
        choices: &[(&str, T)],
        default: Option<T>,
    ) -> Option<T> {
        if !self.has(name) {
            if default.is_none() {
                self.required(name);
            }
            return default;
        }
        let Name(text) = self.typed(name, "a string")?;
        let found = choices
            .iter()
            .find(|(word, _)| *word == text)
            .map(|(_, value)| *value);
        if found.is_none() {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            self.wrong(name, format!("one of {}", words.join(", ")));
        }
        found
    }

    /// A whole number in a range.
    pub fn number(&mut self, name: &str, range: RangeInclusive<u64>) -> Option<u64> {
        let value: f64 = self.typed(name, "a number")?;
        // JavaScript has one kind of number: 5.0 is a whole one.
        if value.fract() != 0.0 || value < *range.start() as f64 || value > *range.end() as f64 {
            self.wrong(
                name,
                format!("a whole number from {} to {}", range.start(), range.end()),
            );
            return None;
        }
        Some(value as u64)
    }

    /// true or false.
    pub fn boolean(&mut self, name: &str, default: bool) -> bool {
        self.typed(name, "true or false").unwrap_or(default)
    }

    /// A time in ISO 8601 with offset.
    pub fn time(&mut self, name: &str) -> Option<u64> {
        let Name(text) = self.typed(name, "a time in ISO 8601")?;
        let time = crate::clock::parse_iso(&text);
        if time.is_none() {
            self.wrong(
                name,
                "expected a time in ISO 8601 with an offset, such as 2026-01-31T12:00:00.000Z",
            );
        }
        time
    }

    /// An object, as received.
    pub fn object(&mut self, name: &str, max_bytes: usize) -> Option<&'a str> {
        let raw = self.any(name, max_bytes)?;
        if !raw.starts_with('{') {
            self.wrong(name, "expected an object");
            return None;
        }
        Some(raw)
    }

    /// Any value, as received, where every client can read it.
    pub fn any(&mut self, name: &str, max_bytes: usize) -> Option<&'a str> {
        let raw = self.raw(name)?;
        if raw.get().len() > max_bytes {
            self.wrong(name, format!("at most {max_bytes} bytes"));
            return None;
        }
        if let Err(error) = readable::check(raw) {
            self.wrong(name, format!("not readable by every client: {error}"));
            return None;
        }
        Some(raw.get())
    }

    /// Names of all fields, in the order given.
    pub fn names(&self) -> Vec<String> {
        let names = self.entries.0.iter().map(|(name, _)| name.to_string());
        names.collect()
    }

    /// A text, or a list of texts.
    pub fn text_or_texts(&mut self, name: &str, max_items: usize, max_bytes: usize) -> Vec<String> {
        match self.raw(name).is_some_and(|raw| raw.get().starts_with('"')) {
            true => vec![self.text(name, max_bytes)],
            false => self.texts(name, max_items, max_bytes),
        }
    }

    /// A list of texts.
    pub fn texts(&mut self, name: &str, max_items: usize, max_bytes: usize) -> Vec<String> {
        let Some(items): Option<Vec<Name<'a>>> = self.typed(name, "a list of strings") else {
            return Vec::new();
        };
        if items.len() > max_items {
            self.wrong(name, format!("at most {max_items} items"));
            return Vec::new();
        }
        if items
            .iter()
            .any(|Name(text)| text.is_empty() || text.len() > max_bytes)
        {
            self.wrong(name, format!("each item has 1 to {max_bytes} bytes"));
            return Vec::new();
        }
        items
            .into_iter()
            .map(|Name(text)| text.into_owned())
            .collect()
    }

    /// A nested object, read by `read`; what is wrong with it is noted here.
    pub fn nested_object<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&mut Fields<'a>) -> T,
    ) -> Option<T> {
        let Some(raw) = self.raw(name) else {
            self.required(name);
            return None;
        };
        self.read_nested(name, raw, format!("{}{name}.", self.place), read)
    }

    /// A list of 1 to `max_items` objects, each read by `read`.
    pub fn list<T>(
        &mut self,
        name: &str,
        max_items: usize,
        read: impl FnMut(&mut Fields<'a>, &'a str) -> T,
    ) -> Vec<T> {
        self.items(name, 1, max_items, read)
    }

    /// A list of at most `max_items` objects, each read by `read`.
    pub fn list_or_empty<T>(
        &mut self,
        name: &str,
        max_items: usize,
        read: impl FnMut(&mut Fields<'a>, &'a str) -> T,
    ) -> Vec<T> {
        self.items(name, 0, max_items, read)
    }

    fn items<T>(
        &mut self,
        name: &str,
        min_items: usize,
        max_items: usize,
        mut read: impl FnMut(&mut Fields<'a>, &'a str) -> T,
    ) -> Vec<T> {
        if !self.has(name) {
            self.required(name);
            return Vec::new();
        }
        let Some(items): Option<Vec<&'a RawValue>> = self.typed(name, "a list of objects") else {
            return Vec::new();
        };
        if !(min_items..=max_items).contains(&items.len()) {
            self.wrong(name, format!("{min_items} to {max_items} items"));
            return Vec::new();
        }
        let mut values = Vec::with_capacity(items.len());
        for (position, raw) in items.into_iter().enumerate() {
            let place = format!("{}{name}.{position}.", self.place);
            values.extend(self.read_nested(name, raw, place, |fields| read(fields, raw.get())));
        }
        values
    }

    fn read_nested<T>(
        &mut self,
        name: &str,
        raw: &'a RawValue,
        place: String,
        read: impl FnOnce(&mut Fields<'a>) -> T,
    ) -> Option<T> {
        match Fields::nested(raw, place) {
            Ok(mut fields) => {
                let value = read(&mut fields);
                for (field, texts) in fields.invalid.fields {
                    self.invalid.fields.entry(field).or_default().extend(texts);
                }
                Some(value)
            }
            Err(text) => {
                self.wrong(name, text);
                None
            }
        }
    }

    /// Notes that a field is missing.
    pub fn required(&mut self, name: &str) {
        let full = format!("{}{name}", self.place);
        // A field of the wrong kind was already complained about.
        if !self.invalid.fields.contains_key(&full) {
            self.invalid.add(&full, "required");
        }
    }

    /// What is wrong, if anything is.
    pub fn finish(self) -> Result<(), Invalid> {
        if self.invalid.is_empty() {
            Ok(())
        } else {
            Err(self.invalid)
        }
    }
}
