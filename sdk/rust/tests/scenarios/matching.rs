//! Values in scenarios: names filled in, and what an answer has to be like (sdk/scenarios/README.md).

use serde_json::{Map, Value};

/// `${name.path.0}`: as the whole text it is the value itself, within a text it is written into it.
pub fn fill(value: &Value, known: &Map<String, Value>) -> Result<Value, String> {
    match value {
        Value::String(text) => fill_text(text, known),
        Value::Array(items) => items.iter().map(|item| fill(item, known)).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(key, item)| Ok((key.clone(), fill(item, known)?)))
            .collect::<Result<Map<_, _>, String>>()
            .map(Value::Object),
        other => Ok(other.clone()),
    }
}

fn fill_text(text: &str, known: &Map<String, Value>) -> Result<Value, String> {
    let whole = text
        .strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'));
    if let Some(path) = whole.filter(|path| !path.contains('}')) {
        return look_up(path, known);
    }
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (path, behind) = after.split_once('}').ok_or("an open ${")?;
        filled.push_str(before);
        match look_up(path, known)? {
            Value::String(value) => filled.push_str(&value),
            value => filled.push_str(&value.to_string()),
        }
        rest = behind;
    }
    Ok(Value::String(filled + rest))
}

fn look_up(path: &str, known: &Map<String, Value>) -> Result<Value, String> {
    let mut names = path.split('.');
    let first = known.get(names.next().unwrap_or_default());
    let found = names.fold(first, |at, name| match name.parse::<usize>() {
        Ok(index) if at?.is_array() => at?.get(index),
        _ => at?.get(name),
    });
    found
        .cloned()
        .ok_or_else(|| format!("nothing is known as {path}"))
}

/// The first difference in words; None where the value is as expected.
pub fn mismatch(expected: &Value, value: &Value, at: &str) -> Option<String> {
    match expected {
        Value::Array(items) => {
            let found = value.as_array().filter(|found| found.len() == items.len());
            let Some(found) = found else {
                return Some(format!("{at} has not {} items", items.len()));
            };
            let pairs = items.iter().zip(found).enumerate();
            pairs
                .filter_map(|(index, (item, value))| {
                    mismatch(item, value, &format!("{at}.{index}"))
                })
                .next()
        }
        Value::Object(members) => match members.iter().next() {
            Some((word, wanted)) if word.starts_with('$') => special(word, wanted, value, at),
            _ if !value.is_object() => Some(format!("{at} is no object")),
            _ => members
                .iter()
                .filter_map(|(key, item)| mismatch(item, &value[key], &format!("{at}.{key}")))
                .next(),
        },
        other => {
            // 1 and 1.0 are the same number.
            let same = other == value || (other.is_number() && other.as_f64() == value.as_f64());
            (!same).then(|| format!("{at} is not {other}"))
        }
    }
}

fn special(word: &str, wanted: &Value, value: &Value, at: &str) -> Option<String> {
    let holds = match word {
        "$present" => !value.is_null(),
        "$length" => value.as_array().map(|items| items.len() as u64) == wanted.as_u64(),
        "$text" => value
            .as_str()
            .is_some_and(|text| text.contains(wanted.as_str().unwrap_or_default())),
        "$any" => value.as_array().is_some_and(|items| {
            items
                .iter()
                .any(|item| mismatch(wanted, item, at).is_none())
        }),
        _ => false,
    };
    (!holds).then(|| format!("{at} is not {word} {wanted}"))
}
