//! The query of a request, as pairs of texts.

use std::collections::HashMap;

use percent_encoding::percent_decode_str;

use super::fields::Invalid;

/// Names and their values. A name that is given twice is refused: one of the two would be passed
/// over in silence.
pub fn pairs(query: Option<&str>) -> Result<HashMap<String, String>, Invalid> {
    let mut pairs = HashMap::new();
    let given = query.unwrap_or_default().split('&');
    for pair in given.filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decoded(name)?;
        let value = decoded(value).map_err(|_| Invalid::field(&name, "expected UTF-8"))?;
        if pairs.insert(name.clone(), value).is_some() {
            return Err(Invalid::field(&name, "given twice"));
        }
    }
    Ok(pairs)
}

fn decoded(text: &str) -> Result<String, Invalid> {
    let text = text.replace('+', " ");
    let text = percent_decode_str(&text).decode_utf8();
    Ok(text
        .map_err(|_| Invalid::form("the query is not UTF-8"))?
        .into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Vec<(String, String)>, Invalid> {
        let mut found: Vec<_> = pairs(Some(query))?.into_iter().collect();
        found.sort();
        Ok(found)
    }

    #[test]
    fn pairs_are_decoded_and_each_is_given_once() {
        let pair = |name: &str, value: &str| (name.to_string(), value.to_string());
        assert_eq!(read(""), Ok(vec![]));
        assert_eq!(
            read("&a=1%262&b=x+y&c&=d&"),
            Ok(vec![
                pair("", "d"),
                pair("a", "1&2"),
                pair("b", "x y"),
                pair("c", "")
            ])
        );
        assert_eq!(read("a=1&%61=2"), Err(Invalid::field("a", "given twice")));
        assert_eq!(read("a=%ff"), Err(Invalid::field("a", "expected UTF-8")));
    }
}
