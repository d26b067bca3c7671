//! From a client's bytes to its messages, however the network cuts them. Sans-I/O.

use crate::codes::Disconnect;

use super::deflate;
use super::frame::{Header, Opcode, unmask};

/// What a client sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A text message.
    Text(String),
    /// A message of bytes.
    Binary(Vec<u8>),
    /// It wants a pong with this payload.
    Ping(Vec<u8>),
    /// The answer to a ping of ours.
    Pong,
    /// It closes, with its code if it gave one.
    Close(Option<u16>),
}

/// Why the connection cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The bytes break RFC 6455.
    #[error("not a WebSocket frame: {0}")]
    Protocol(&'static str),
    /// A text or a close reason is not UTF-8.
    #[error("a text is not UTF-8")]
    Text,
    /// A message is over the limit.
    #[error("a message is over the limit")]
    TooLarge,
}

impl Violation {
    /// How the connection is closed for it.
    #[must_use]
    pub fn disconnect(self) -> Disconnect {
        match self {
            Self::Protocol(_) => Disconnect::ProtocolError,
            Self::Text => Disconnect::InvalidText,
            Self::TooLarge => Disconnect::TooLarge,
        }
    }
}

/// Collects messages from bytes. Between messages it holds no memory; inside one, no more than the message limit
/// and what was read beyond it.
#[derive(Debug)]
pub struct Reader {
    /// Bytes that no whole frame has been made of yet, from `start` on.
    bytes: Vec<u8>,
    start: usize,
    /// The message whose first frames have come.
    partial: Option<Partial>,
    message_bytes_max: usize,
    /// Whether messages may be compressed.
    inflates: bool,
}

#[derive(Debug)]
struct Partial {
    opcode: Opcode,
    compressed: bool,
    payload: Vec<u8>,
}

impl Reader {
    /// A reader that refuses messages over `message_bytes_max`.
    #[must_use]
    pub fn new(message_bytes_max: usize) -> Self {
        Self {
            bytes: Vec::new(),
            start: 0,
            partial: None,
            message_bytes_max,
            inflates: false,
        }
    }

    /// The same, of messages that may be compressed. The limit holds for what comes and for what it becomes.
    #[must_use]
    pub fn inflating(self) -> Self {
        Self { inflates: true, ..self }
    }

    /// Takes bytes of the connection, in order.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next message, or `None` when more bytes are needed. After a violation nothing further can be read.
    ///
    /// # Errors
    /// The [`Violation`] for which the connection must be closed.
    pub fn next_message(&mut self) -> Result<Option<Message>, Violation> {
        while let Some((header, payload)) = self.next_frame()? {
            if header.opcode.is_control() {
                return control(header.opcode, payload).map(Some);
            }
            if let Some(message) = self.continue_message(header, payload)? {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    fn next_frame(&mut self) -> Result<Option<(Header, Vec<u8>)>, Violation> {
        let waiting = &mut self.bytes[self.start..];
        let Some(header) = Header::parse(waiting).map_err(Violation::Protocol)? else {
            self.compact();
            return Ok(None);
        };
        if header.compressed && (!self.inflates || header.opcode.is_control() || header.opcode == Opcode::Continuation)
        {
            return Err(Violation::Protocol("reserved bits are set"));
        }
        // Checked by the header alone, before the payload is waited for and stored.
        let begun = self.partial.as_ref().map_or(0, |begun| begun.payload.len());
        let length = usize::try_from(header.length).map_err(|_| Violation::TooLarge)?;
        if !header.opcode.is_control() && length.saturating_add(begun) > self.message_bytes_max {
            return Err(Violation::TooLarge);
        }
        let Some(payload) = waiting.get_mut(header.size..header.size + length) else {
            self.compact();
            return Ok(None);
        };
        unmask(payload, header.mask);
        let payload = payload.to_vec();
        self.start += header.size + length;
        Ok(Some((header, payload)))
    }

    fn continue_message(&mut self, header: Header, payload: Vec<u8>) -> Result<Option<Message>, Violation> {
        let message = match (header.opcode, self.partial.take()) {
            (Opcode::Continuation, Some(mut begun)) => {
                begun.payload.extend_from_slice(&payload);
                begun
            }
            (Opcode::Continuation, None) => return Err(Violation::Protocol("nothing to continue")),
            (_, Some(_)) => return Err(Violation::Protocol("a message begins inside another")),
            (opcode, None) => Partial {
                opcode,
                compressed: header.compressed,
                payload,
            },
        };
        if !header.last {
            self.partial = Some(message);
            return Ok(None);
        }
        let whole = if message.compressed {
            deflate::inflate(&message.payload, self.message_bytes_max)?
        } else {
            message.payload
        };
        if message.opcode == Opcode::Binary {
            return Ok(Some(Message::Binary(whole)));
        }
        String::from_utf8(whole)
            .map(|text| Some(Message::Text(text)))
            .map_err(|_| Violation::Text)
    }

    /// Gives back what has been read.
    fn compact(&mut self) {
        if self.start == self.bytes.len() {
            self.bytes = Vec::new();
        } else {
            self.bytes.drain(..self.start);
        }
        self.start = 0;
    }
}

fn control(opcode: Opcode, payload: Vec<u8>) -> Result<Message, Violation> {
    Ok(match opcode {
        Opcode::Ping => Message::Ping(payload),
        Opcode::Close => Message::Close(close_code(&payload)?),
        Opcode::Pong | Opcode::Continuation | Opcode::Text | Opcode::Binary => Message::Pong,
    })
}

/// The code of a close frame: none, or two bytes that may stand on the wire (RFC 6455 section 7.4) and a reason.
fn close_code(payload: &[u8]) -> Result<Option<u16>, Violation> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return if payload.is_empty() {
            Ok(None)
        } else {
            Err(Violation::Protocol("half a close code"))
        };
    };
    let code = u16::from_be_bytes(*code);
    match code {
        1000..=1003 | 1007..=1014 | 3000..=4999 => {}
        _ => return Err(Violation::Protocol("a close code that may not be sent")),
    }
    std::str::from_utf8(reason).map_err(|_| Violation::Text)?;
    Ok(Some(code))
}

#[cfg(test)]
mod tests;
