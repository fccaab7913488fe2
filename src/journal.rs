//! Log lines as the systemd journal takes them: it has the time and the unit already, and reads a
//! line's priority from `<N>` at its beginning (sd-daemon(3)).

use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

/// Says what is connected to the journal: `DEVICE:INODE` of its socket.
const VARIABLE: &str = "JOURNAL_STREAM";
const STDERR: &str = "/proc/self/fd/2";

/// Whether standard error goes to the journal. The variable alone does not say so: whoever a unit
/// starts inherits it, with other files.
pub fn takes_stderr() -> bool {
    let Ok(named) = std::env::var(VARIABLE) else {
        return false;
    };
    is_stream(&named, std::fs::metadata(STDERR))
}

fn is_stream(named: &str, file: io::Result<std::fs::Metadata>) -> bool {
    file.is_ok_and(|file| named == format!("{}:{}", file.dev(), file.ino()))
}

/// Puts the priority before what another format writes.
pub struct WithPriority<F>(pub F);

impl<S, N, F> FormatEvent<S, N> for WithPriority<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        write!(writer, "<{}>", priority(event.metadata().level()))?;
        self.0.format_event(context, writer, event)
    }
}

/// The priority of syslog(3).
fn priority(level: &Level) -> u8 {
    match *level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_file_that_is_named_is_the_journal() -> io::Result<()> {
        let (one, other) = (
            tempfile::NamedTempFile::new()?,
            tempfile::NamedTempFile::new()?,
        );
        let metadata = one.as_file().metadata()?;
        let named = format!("{}:{}", metadata.dev(), metadata.ino());
        assert!(is_stream(&named, one.as_file().metadata()));
        assert!(!is_stream(&named, other.as_file().metadata()));
        assert!(!is_stream("", one.as_file().metadata()));
        Ok(())
    }
}
