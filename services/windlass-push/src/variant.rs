//! The forms in which a publication goes out. Each is made at most once for all who receive it.

use bytes::Bytes;

use crate::centrifuge::codec::Codec;
use crate::centrifuge::push;
use crate::channel::ChannelKey;
use crate::publication::Publication;
use crate::socket::frame;
use crate::{events, plain};

/// One form: what a subscription's connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// The Centrifuge protocol over WebSocket.
    Centrifuge(Codec),
    /// The plain protocol over WebSocket.
    Plain,
    /// Server-sent events.
    Events,
}

impl Variant {
    /// How many there are.
    pub const COUNT: usize = 3;

    /// Its place among them.
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Self::Centrifuge(Codec::Json) => 0,
            Self::Plain => 1,
            Self::Events => 2,
        }
    }

    /// The bytes to write for `publication`, ready with everything round them; `None` when it has no such form, as
    /// data that is not JSON has none in a JSON protocol.
    #[must_use]
    pub fn encode(self, channel: &ChannelKey, publication: &Publication) -> Option<Bytes> {
        match self {
            Self::Centrifuge(codec) => {
                let mut document = Vec::new();
                codec
                    .encode(&push::publication(channel.name(), publication), &mut document)
                    .ok()?;
                Some(frame::text(&document))
            }
            Self::Plain => plain::encode_publication(publication).map(|text| frame::text(&text)),
            Self::Events => events::encode_publication(publication),
        }
    }
}
