//! The forms in which a publication goes out. Each is made at most once for all who receive it.

use bytes::Bytes;

use crate::centrifuge::dialect::Dialect;
use crate::centrifuge::push;
use crate::channel::ChannelKey;
use crate::publication::Publication;
use crate::socket::frame;
use crate::{events, plain};

/// One form: what a subscription's connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// The Centrifuge protocol.
    Centrifuge(Dialect),
    /// The plain protocol over WebSocket.
    Plain,
    /// Server-sent events.
    Events,
}

impl Variant {
    /// How many there are.
    pub const COUNT: usize = Dialect::COUNT + 2;

    /// Its place among them.
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Self::Centrifuge(dialect) => dialect.index(),
            Self::Plain => Dialect::COUNT,
            Self::Events => Dialect::COUNT + 1,
        }
    }

    /// The bytes to write for `publication`, ready with everything round them; `None` when it has no such form, as
    /// data that is not JSON has none in a JSON protocol.
    #[must_use]
    pub fn encode(self, channel: &ChannelKey, publication: &Publication) -> Option<Bytes> {
        match self {
            Self::Centrifuge(dialect) => dialect.encode(&push::publication(channel.name(), publication)).ok(),
            Self::Plain => plain::encode_publication(publication).map(|text| frame::text(&text)),
            Self::Events => events::encode_publication(publication),
        }
    }
}
