//! What nodes say to each other, beside publications. The text of a message is JSON, so that two releases on one broker
//! understand each other; what a node does not know it ignores.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::api::UserControl;

/// A message from one node to another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Control {
    /// Commands of a client whose session the receiving node has.
    Commands {
        /// Which session.
        session: String,
        /// Whether they are of the binary encoding.
        binary: bool,
        /// The commands as the client sent them.
        #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
        commands: Vec<u8>,
    },
    /// Something to be done with connections of a user.
    User(UserControl),
}

impl Control {
    /// The message as it travels.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let text = serde_json::to_vec(self).expect("a message has only texts for keys");
        text.into()
    }

    /// Reads a message; `None` for what another release says and this one does not know.
    #[must_use]
    pub fn decode(message: &[u8]) -> Option<Self> {
        serde_json::from_slice(message).ok()
    }
}

fn to_base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(bytes))
}

fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    STANDARD.decode(text).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_it_was_written_and_what_is_unknown_is_ignored() {
        let control = Control::Commands {
            session: "s".into(),
            binary: true,
            commands: vec![0, 255],
        };
        assert_eq!(Control::decode(&control.encode()), Some(control));
        for unknown in [&b"{\"later\":{}}"[..], b"", b"\xFF", b"{\"commands\":{}}"] {
            assert_eq!(Control::decode(unknown), None);
        }
    }
}
