//! Between bytes and typed messages of the Centrifuge protocol. Each encoding is a module of its own.

pub mod json;
pub mod protobuf;

use crate::centrifuge::command::Command;
use crate::centrifuge::reply::Reply;

/// Bytes that are no command. The connection is closed for it, so nobody is told more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a command of the protocol")]
pub struct Malformed;

/// A reply that has no form in an encoding, such as data that is not JSON in a JSON message.
#[derive(Debug, thiserror::Error)]
#[error("encode a reply")]
pub struct Error(#[from] serde_json::Error);

/// An encoding of the protocol, agreed at the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// JSON documents, one a line.
    Json,
    /// Messages of Protocol Buffers, each preceded by its length.
    Protobuf,
}

impl Codec {
    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Protobuf => "protobuf",
        }
    }

    /// The commands of one frame, in order.
    #[cfg(test)]
    pub(crate) fn decode(self, frame: &[u8]) -> Vec<Result<Command, Malformed>> {
        let mut commands = Commands::of(frame.to_vec());
        std::iter::from_fn(|| commands.take(self)).collect()
    }

    /// Appends a reply to the frame that is being made; several go into one frame.
    ///
    /// # Errors
    /// [`Error`]; the frame is then as it was before.
    pub fn encode(self, reply: &Reply, frame: &mut Vec<u8>) -> Result<(), Error> {
        match self {
            Self::Json => json::encode(reply, frame),
            Self::Protobuf => {
                protobuf::encode(reply, frame);
                Ok(())
            }
        }
    }
}

/// The commands of one frame, each typed only when it is taken: an empty one is a byte on the wire and some two hundred
/// typed, and all wait while the first is performed.
#[derive(Debug, Default)]
pub struct Commands {
    /// The frame, and where in it the next command begins; `None` when no command is left.
    rest: Option<(Vec<u8>, usize)>,
}

impl Commands {
    /// Those of this frame.
    #[must_use]
    pub fn of(frame: Vec<u8>) -> Self {
        Self { rest: Some((frame, 0)) }
    }

    /// Whether it is known that none is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rest.is_none()
    }

    /// The next command. The first that is malformed is the last; a frame without any is malformed.
    pub fn take(&mut self, codec: Codec) -> Option<Result<Command, Malformed>> {
        let (frame, at) = self.rest.as_mut()?;
        let next = match codec {
            Codec::Json => json::next(frame, *at),
            Codec::Protobuf => protobuf::next(frame, *at),
        };
        match next {
            Ok(Some((command, end))) => {
                *at = end;
                Some(Ok(command))
            }
            Ok(None) => {
                self.rest = None;
                None
            }
            Err(malformed) => {
                self.rest = None;
                Some(Err(malformed))
            }
        }
    }
}
