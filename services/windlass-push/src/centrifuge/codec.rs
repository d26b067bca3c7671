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

    /// The commands of one frame, in order. The first that is malformed is the last.
    #[must_use]
    pub fn decode(self, frame: &[u8]) -> Vec<Result<Command, Malformed>> {
        match self {
            Self::Json => json::decode(frame),
            Self::Protobuf => protobuf::decode(frame),
        }
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
