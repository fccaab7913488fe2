//! Reads a `text/event-stream` (HTML Living Standard, section 9.2.6) from chunks of bytes. Pure: it
//! holds the unfinished event and a limit on its size, and knows nothing of what events mean.

/// One event of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SseEvent {
    /// `event:`; "message" where the stream names none.
    pub name: String,
    /// `data:`; several lines are joined by a line feed.
    pub data: String,
    /// The last `id:` seen up to and with this event.
    pub id: Option<String>,
}

/// The event grew over the limit; the stream cannot be read on.
#[derive(Debug, PartialEq, Eq)]
pub struct EventTooLarge;

/// Parser state between chunks.
#[derive(Debug)]
pub struct SseParser {
    line: Vec<u8>,
    /// The line before ended with CR: a following LF belongs to it.
    after_cr: bool,
    first_line: bool,
    name: String,
    data: String,
    has_data: bool,
    last_id: Option<String>,
    max_event_bytes: usize,
}

impl SseParser {
    /// A parser that gives up at an event larger than this.
    pub fn new(max_event_bytes: usize) -> Self {
        Self {
            line: Vec::new(),
            after_cr: false,
            first_line: true,
            name: String::new(),
            data: String::new(),
            has_data: false,
            last_id: None,
            max_event_bytes,
        }
    }

    /// Takes the next bytes and returns the events they complete.
    pub fn push(&mut self, chunk: &[u8]) -> Result<Vec<SseEvent>, EventTooLarge> {
        let mut events = Vec::new();
        for &byte in chunk {
            let after_cr = std::mem::take(&mut self.after_cr);
            match byte {
                b'\n' if after_cr => {}
                b'\r' | b'\n' => {
                    self.after_cr = byte == b'\r';
                    events.extend(self.end_line());
                }
                _ => {
                    if self.line.len() + self.data.len() >= self.max_event_bytes {
                        return Err(EventTooLarge);
                    }
                    self.line.push(byte);
                }
            }
        }
        Ok(events)
    }

    fn end_line(&mut self) -> Option<SseEvent> {
        let bytes = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&bytes);
        let mut line = text.as_ref();
        if std::mem::take(&mut self.first_line) {
            line = line.strip_prefix('\u{feff}').unwrap_or(line);
        }
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => {
                if self.has_data {
                    self.data.push('\n');
                }
                self.has_data = true;
                self.data.push_str(value);
            }
            "id" if !value.contains('\0') => self.last_id = Some(value.to_owned()),
            // A comment has an empty field name; `retry` is left to this client's own backoff.
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<SseEvent> {
        let name = std::mem::take(&mut self.name);
        let data = std::mem::take(&mut self.data);
        std::mem::take(&mut self.has_data).then(|| SseEvent {
            name: if name.is_empty() {
                "message".to_owned()
            } else {
                name
            },
            data,
            id: self.last_id.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{EventTooLarge, SseEvent, SseParser};

    fn event(name: &str, data: &str, id: Option<&str>) -> SseEvent {
        SseEvent {
            name: name.to_owned(),
            data: data.to_owned(),
            id: id.map(str::to_owned),
        }
    }

    #[test]
    fn the_same_events_however_the_bytes_are_cut() {
        let text = "\u{feff}: keep-alive\n\nid: 7\nevent: message\ndata: {\"a\":\ndata: \"ü\"}\n\n\
                    event: control\r\ndata:x\r\n\r\nid\rdata\r\rretry: 5\nevent: lost\n\n"
            .as_bytes();
        let expected = [
            event("message", "{\"a\":\n\"ü\"}", Some("7")),
            event("control", "x", Some("7")),
            event("message", "", Some("")),
        ];
        for size in 1..=text.len() {
            let mut parser = SseParser::new(1024);
            let mut events = Vec::new();
            for chunk in text.chunks(size) {
                events.extend(parser.push(chunk).unwrap());
            }
            assert_eq!(events, expected, "chunks of {size} bytes");
        }
    }

    #[test]
    fn an_unfinished_event_is_not_handed_out() {
        let mut parser = SseParser::new(1024);
        assert_eq!(parser.push(b"id: 1\ndata: half\n").unwrap(), []);
        assert_eq!(
            parser.push(b"\n").unwrap(),
            [event("message", "half", Some("1"))]
        );
    }

    #[test]
    fn events_are_limited_in_size() {
        let mut one_line = SseParser::new(16);
        assert_eq!(one_line.push(&[b'x'; 17]), Err(EventTooLarge));
        let mut many_lines = SseParser::new(16);
        assert_eq!(
            many_lines.push(&b"data: 1234\n".repeat(5)),
            Err(EventTooLarge)
        );
        let mut small_events = SseParser::new(16);
        assert_eq!(
            small_events
                .push(&b"data: 1234\n\n".repeat(50))
                .unwrap()
                .len(),
            50
        );
    }
}
