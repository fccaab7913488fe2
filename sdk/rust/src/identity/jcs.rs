//! JSON Canonicalization Scheme (RFC 8785): the one text of a JSON value that every language agrees
//! on, whatever the order of keys, the spaces and the way numbers were written.

use serde_json::{Number, Value};

use crate::error::EkhoError;

/// As deep as the relay lets JSON be.
const MAX_DEPTH: usize = 100;

/// The canonical text of a value.
///
/// Errors: [`EkhoError::InvalidArgument`] where it is nested too deeply.
pub fn canonical_json(value: &Value) -> Result<String, EkhoError> {
    let mut text = String::new();
    write(value, 0, &mut text)?;
    Ok(text)
}

fn write(value: &Value, depth: usize, text: &mut String) -> Result<(), EkhoError> {
    if depth > MAX_DEPTH {
        return Err(EkhoError::invalid("JSON nested too deeply to be signed"));
    }
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(holds) => text.push_str(if *holds { "true" } else { "false" }),
        Value::Number(number) => text.push_str(&number_text(number)?),
        Value::String(words) => write_text(words, text)?,
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write(item, depth + 1, text)?;
            }
            text.push(']');
        }
        Value::Object(members) => {
            let mut members: Vec<(&String, &Value)> = members.iter().collect();
            // By UTF-16 code units, as the scheme says; UTF-8 orders some characters otherwise.
            members.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            text.push('{');
            for (index, (key, member)) in members.into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_text(key, text)?;
                text.push(':');
                write(member, depth + 1, text)?;
            }
            text.push('}');
        }
    }
    Ok(())
}

/// serde_json escapes what ECMAScript escapes, and in the same way.
fn write_text(words: &str, text: &mut String) -> Result<(), EkhoError> {
    let quoted = serde_json::to_string(words)
        .map_err(|error| EkhoError::invalid(format!("no JSON text: {error}")))?;
    text.push_str(&quoted);
    Ok(())
}

/// As ECMAScript writes a double (ECMA-262, Number::toString): from the shortest digits that are
/// read back as the same one, which is also what Rust finds.
fn number_text(number: &Number) -> Result<String, EkhoError> {
    let double = number
        .as_f64()
        .filter(|double| double.is_finite())
        .ok_or_else(|| EkhoError::invalid("a number beyond a double cannot be signed"))?;
    if double == 0.0 {
        return Ok("0".to_owned());
    }
    let sign = if double < 0.0 { "-" } else { "" };
    let scientific = format!("{:e}", double.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits = mantissa.replace('.', "");
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    // value = 0.DIGITS * 10 ^ point
    let point = exponent + 1;
    let zeros = |count: i32| "0".repeat(usize::try_from(count).unwrap_or(0));
    let (head, tail) = digits.split_at(usize::try_from(point.clamp(0, count)).unwrap_or(0));
    Ok(if count <= point && point <= 21 {
        format!("{sign}{digits}{}", zeros(point - count))
    } else if 0 < point && point <= 21 {
        format!("{sign}{head}.{tail}")
    } else if -6 < point && point <= 0 {
        format!("{sign}0.{}{digits}", zeros(-point))
    } else {
        let (first, rest) = digits.split_at(1);
        let dot = if rest.is_empty() { "" } else { "." };
        format!("{sign}{first}{dot}{rest}e{:+}", point - 1)
    })
}
