//! How one connection speaks the Centrifuge protocol: an encoding, and what carries it.

use bytes::Bytes;

use super::codec::{Codec, Error};
use super::reply::{Push, Reply};
use crate::codes::Disconnect;
use crate::socket::deflate;
use crate::socket::frame::{self, Opcode};

/// An encoding and its carrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// The encoding.
    pub codec: Codec,
    /// What carries it.
    pub carrier: Carrier,
}

/// What carries encoded replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// WebSocket: each batch is one frame, a text for JSON, binary otherwise.
    WebSocket,
    /// WebSocket with compressed messages (RFC 7692).
    Deflated,
    /// The body of a response: one document a line, or messages one after the other.
    Stream,
    /// Server-sent events (HTML Living Standard section 9.2), JSON only.
    Events,
}

impl Dialect {
    /// How many there are.
    pub const COUNT: usize = 7;

    /// This encoding over WebSocket.
    #[must_use]
    pub const fn websocket(codec: Codec) -> Self {
        Self {
            codec,
            carrier: Carrier::WebSocket,
        }
    }

    /// Its place among them.
    #[must_use]
    pub fn index(self) -> usize {
        match (self.carrier, self.codec) {
            (Carrier::WebSocket, Codec::Json) => 0,
            (Carrier::WebSocket, Codec::Protobuf) => 1,
            (Carrier::Stream, Codec::Json) => 2,
            (Carrier::Stream, Codec::Protobuf) => 3,
            (Carrier::Events, Codec::Json | Codec::Protobuf) => 4,
            (Carrier::Deflated, Codec::Json) => 5,
            (Carrier::Deflated, Codec::Protobuf) => 6,
        }
    }

    /// Encoded replies as they are written: with everything round them.
    #[must_use]
    pub fn wrap(self, replies: &[u8]) -> Bytes {
        match (self.carrier, self.codec) {
            (Carrier::WebSocket, Codec::Json) => frame::text(replies),
            (Carrier::WebSocket, Codec::Protobuf) => frame::build(Opcode::Binary, replies),
            (Carrier::Deflated, Codec::Json) => deflate::build(Opcode::Text, replies),
            (Carrier::Deflated, Codec::Protobuf) => deflate::build(Opcode::Binary, replies),
            (Carrier::Stream, Codec::Json) => [replies, b"\n"].concat().into(),
            (Carrier::Stream, Codec::Protobuf) => Bytes::copy_from_slice(replies),
            (Carrier::Events, Codec::Json | Codec::Protobuf) => event(replies),
        }
    }

    /// The last that a client is sent: a close frame where there are frames, otherwise a push that says the same.
    #[must_use]
    pub fn farewell(self, disconnect: &Disconnect) -> Bytes {
        match self.carrier {
            Carrier::WebSocket | Carrier::Deflated => {
                let (code, reason) = disconnect.parts();
                frame::close(code, reason)
            }
            Carrier::Stream | Carrier::Events => self
                .encode(&Reply::Push(Push::Disconnect(disconnect.clone())))
                .unwrap_or_default(),
        }
    }

    /// One reply as it is written.
    ///
    /// # Errors
    /// [`Error`] when it has no form in this encoding.
    pub fn encode(self, reply: &Reply) -> Result<Bytes, Error> {
        let mut encoded = Vec::new();
        self.codec.encode(reply, &mut encoded)?;
        Ok(self.wrap(&encoded))
    }
}

/// One event: each document is a line of its data, which an `EventSource` joins by line feeds again.
fn event(documents: &[u8]) -> Bytes {
    let mut event = Vec::with_capacity(documents.len() + 8);
    for document in documents.split(|byte| *byte == b'\n') {
        event.extend_from_slice(b"data: ");
        event.extend_from_slice(document);
        event.push(b'\n');
    }
    event.push(b'\n');
    event.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::centrifuge::reply::Outcome;

    const STREAM: Dialect = Dialect {
        codec: Codec::Json,
        carrier: Carrier::Stream,
    };

    const EVENTS: Dialect = Dialect {
        carrier: Carrier::Events,
        ..STREAM
    };

    #[test]
    fn each_carrier_puts_its_own_round_the_documents() {
        let mut replies = Vec::new();
        for id in [1, 2] {
            let done = Reply::Done(id, Outcome::Publish);
            STREAM.codec.encode(&done, &mut replies).expect("it has a form");
        }
        let (first, second) = (r#"{"id":1,"publish":{}}"#, r#"{"id":2,"publish":{}}"#);
        assert_eq!(STREAM.wrap(&replies), format!("{first}\n{second}\n"));
        assert_eq!(EVENTS.wrap(&replies), format!("data: {first}\ndata: {second}\n\n"));
        let websocket = Dialect::websocket(Codec::Json).wrap(&replies);
        assert_eq!(websocket[2..], *format!("{first}\n{second}").as_bytes());
        assert_eq!(Dialect::websocket(Codec::Protobuf).wrap(&[7]).as_ref(), [0x82, 1, 7]);
    }

    #[test]
    fn a_farewell_without_frames_says_whether_to_come_back() {
        assert_eq!(
            STREAM.farewell(&Disconnect::Shutdown),
            "{\"push\":{\"disconnect\":{\"code\":3001,\"reason\":\"shutdown\",\"reconnect\":true}}}\n"
        );
        assert_eq!(
            EVENTS.farewell(&Disconnect::BadRequest),
            "data: {\"push\":{\"disconnect\":{\"code\":3501,\"reason\":\"bad request\"}}}\n\n"
        );
    }
}
