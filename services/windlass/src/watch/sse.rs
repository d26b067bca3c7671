//! Server-sent events out of bytes, as the HTML standard reads them (section 9.2.6). No I/O.

/// The longest event that is taken, bytes. Ours have some hundred.
const EVENT_BYTES: usize = 64 * 1024;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its type; `message` when none was given.
    pub(crate) name: String,
    /// Its data, lines joined by newlines.
    pub(crate) data: String,
}

/// An event longer than [`EVENT_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server sent an event longer than {EVENT_BYTES} bytes")]
pub(crate) struct TooLong;

/// Takes bytes in pieces of any size and gives events.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    name: String,
    data: String,
    /// Whether the last byte was CR, so that an LF now belongs to it.
    after_return: bool,
    begun: bool,
}

impl Parser {
    /// Takes the next bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Event>, TooLong> {
        let mut events = Vec::new();
        for &byte in bytes {
            let ends = match byte {
                b'\r' => true,
                b'\n' => !self.after_return,
                _ => false,
            };
            self.after_return = byte == b'\r';
            if ends {
                events.extend(self.end_line());
            } else if byte != b'\n' {
                self.line.push(byte);
                if self.line.len() + self.data.len() > EVENT_BYTES {
                    return Err(TooLong);
                }
            }
        }
        Ok(events)
    }

    fn end_line(&mut self) -> Option<Event> {
        let line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned();
        let line = if self.begun {
            &line[..]
        } else {
            line.strip_prefix('\u{feff}').unwrap_or(&line)
        };
        self.begun = true;
        if line.is_empty() {
            let (name, data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
            let data = data.strip_suffix('\n')?.to_owned();
            return Some(Event {
                name: if name.is_empty() { "message".to_owned() } else { name },
                data,
            });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            // Comments (heartbeats), ids and retry times: a reconnect asks for the present state anyway.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event(name: &str, data: &str) -> Event {
        Event {
            name: name.into(),
            data: data.into(),
        }
    }

    #[test]
    fn events_are_read_with_any_line_end() {
        for end in ["\n", "\r\n", "\r"] {
            let text = "\u{feff}: ping\nid: 1\nevent: progress\ndata: {\"a\"\ndata:1}\n\n\n: x\n\ndata\n\nevent: lost";
            let events = Parser::default().push(text.replace('\n', end).as_bytes()).unwrap();
            assert_eq!(
                events,
                [event("progress", "{\"a\"\n1}"), event("message", "")],
                "{end:?}"
            );
        }
    }

    #[test]
    fn an_event_without_an_end_is_refused_at_the_bound() {
        let mut parser = Parser::default();
        let many = "data: x\n".repeat(EVENT_BYTES);
        assert_eq!(parser.push(many.as_bytes()), Err(TooLong));
        assert_eq!(Parser::default().push(&vec![b'x'; EVENT_BYTES + 1]), Err(TooLong));
    }

    proptest! {
        #[test]
        fn where_the_bytes_are_cut_changes_nothing(
            text in "((event|data|id)?: ?[a-z\u{e9}]{0,4}[\r\n]{0,3}){0,20}", cuts in proptest::collection::vec(0..200_usize, 0..8),
        ) {
            let bytes = text.as_bytes();
            let whole = Parser::default().push(bytes).unwrap();
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let mut parser = Parser::default();
            let pieces: Vec<_> =
                cuts.windows(2).flat_map(|pair| parser.push(&bytes[pair[0]..pair[1]]).unwrap()).collect();
            prop_assert_eq!(whole, pieces);
        }
    }
}
