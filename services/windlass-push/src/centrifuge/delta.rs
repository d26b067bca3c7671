//! Publications for those who take them as the difference from the one before. In JSON all data is a text then: what
//! would have stood there as a value, or the difference of one such text from another.

use super::codec::Codec;
use super::reply::Publication;
use crate::payload::Payload;

/// A publication with all of its data.
#[must_use]
pub fn whole(shown: Publication, codec: Codec) -> Publication {
    let data = match (codec, shown.data.text()) {
        (Codec::Json, Some(text)) => quoted(text),
        // What is no JSON has no form in JSON, here or elsewhere.
        (Codec::Json, None) | (Codec::Protobuf, _) => shown.data,
    };
    Publication { data, ..shown }
}

/// A publication with the difference instead.
#[must_use]
pub fn next(shown: Publication, difference: &str, codec: Codec) -> Publication {
    let data = match codec {
        Codec::Json => quoted(difference),
        Codec::Protobuf => Payload::from_bytes(difference.as_bytes()),
    };
    Publication {
        data,
        delta: true,
        ..shown
    }
}

fn quoted(text: &str) -> Payload {
    Payload::of(&text).expect("a text has a JSON form")
}
