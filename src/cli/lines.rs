//! Exports: JSON lines out of a running relay into a file or standard output, with a bar that shows
//! how far they are. The last line of an export says so; where it is missing, it was cut short.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;

use super::CliError;
use super::client::Query;
use super::remote::Relay;

/// Writes the lines of a GET of `path` to `out` or standard output, and returns the last one.
/// `total` reads from the first line how many come between it and the last.
pub(super) async fn download(
    relay: &Relay,
    path: &str,
    query: &Query,
    out: Option<&Path>,
    total: impl Fn(&Value) -> u64,
) -> Result<Value, CliError> {
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        move |source| CliError::File { path, source }
    };
    let name = out.unwrap_or(Path::new("standard output"));
    let client = relay.client();
    let mut answer = client.download(path, query).await?;
    let mut sink: Box<dyn Write + Send> = match out {
        Some(path) => Box::new(BufWriter::new(File::create(path).map_err(failed(path))?)),
        None => Box::new(std::io::stdout()),
    };
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(4));
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos} of {len}, {eta} left") {
        bar.set_style(style);
    }
    let mut lines = Lines::default();
    while let Some(chunk) = client.next_chunk(&mut answer).await? {
        sink.write_all(&chunk).map_err(CliError::Output)?;
        lines.take(&chunk);
        bar.set_length(total(&lines.first));
        bar.set_position(lines.count.saturating_sub(1));
    }
    sink.flush().map_err(failed(name))?;
    bar.finish_and_clear();
    let last: Value = serde_json::from_slice(&lines.last).unwrap_or_default();
    match last["end"] == true {
        true => Ok(last),
        false => Err(CliError::Content {
            path: name.to_path_buf(),
            why: "the export ended early: look at the relay's log, then try again".into(),
        }),
    }
}

/// The lines of an export as they arrive in pieces. What is in them is for whoever reads it.
#[derive(Default)]
struct Lines {
    count: u64,
    first: Value,
    last: Vec<u8>,
    pending: Vec<u8>,
}

impl Lines {
    fn take(&mut self, chunk: &[u8]) {
        for byte in chunk {
            if *byte != b'\n' {
                self.pending.push(*byte);
                continue;
            }
            self.count += 1;
            self.last = std::mem::take(&mut self.pending);
            if self.count == 1 {
                self.first = serde_json::from_slice(&self.last).unwrap_or_default();
            }
        }
    }
}
