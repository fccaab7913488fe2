//! Lists as long as somebody wants them: follows `next_cursor` from answer to answer.

use clap::Args;
use serde_json::Value;

use super::CliError;
use super::client::Query;
use super::remote::Relay;

/// Rows that one answer has at most.
const AT_ONCE: u64 = 100;

/// How many rows, and from where.
#[derive(Debug, Clone, Args)]
pub(super) struct Paging {
    /// Rows to show
    #[arg(long, value_name = "ROWS", default_value_t = 20)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,

    /// Show every row, however many there are
    #[arg(long, conflicts_with = "limit")]
    all: bool,

    /// Go on where an earlier list ended
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

impl Paging {
    /// Every row, from the first one.
    pub fn whole() -> Self {
        Paging {
            limit: AT_ONCE,
            all: true,
            cursor: None,
        }
    }

    /// The answer to a GET of `path`, with the rows of as many answers as it takes under `items`.
    pub async fn get(
        &self,
        relay: &Relay,
        path: &str,
        filters: Query,
        items: &str,
    ) -> Result<Value, CliError> {
        let wanted = if self.all { u64::MAX } else { self.limit };
        let mut rows = Vec::new();
        let mut cursor = self.cursor.clone();
        loop {
            let left = wanted - rows.len() as u64;
            let mut query = filters.clone();
            query.push(("limit", left.min(AT_ONCE).to_string()));
            query.extend(cursor.map(|cursor| ("cursor", cursor)));
            let mut answer = relay.client().get(path, &query).await?;
            if let Value::Array(more) = answer[items].take() {
                rows.extend(more);
            }
            // With a filter an answer may hold fewer rows than wanted, and there still be more.
            cursor = answer["next_cursor"].as_str().map(str::to_string);
            if cursor.is_none() || rows.len() as u64 >= wanted {
                answer[items] = Value::Array(rows);
                return Ok(answer);
            }
        }
    }
}

/// Names and values that are there.
pub(super) fn filters(given: &[(&'static str, &Option<String>)]) -> Query {
    let given = given.iter();
    given
        .filter_map(|(name, value)| Some((*name, (*value).clone()?)))
        .collect()
}
