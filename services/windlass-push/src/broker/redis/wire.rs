//! What travels through Redis and is remembered there, as bytes.
//!
//! A body is a version, flags, and what they announce, each with its length; the data are the rest, and are not
//! looked into. A message on a channel has the position before the body, in text, for it is the script that knows it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::broker::Outgoing;
use crate::client::ClientInfo;
use crate::payload::Payload;
use crate::position::{StreamEpoch, StreamPosition};
use crate::publication::{Message, Publication};

/// The form of a body. One of another form is not understood: its subscribers have a gap and are told so.
const FORM: u8 = 1;

const DATA_IS_JSON: u8 = 1;
const HAS_INFO: u8 = 2;
const HAS_TAGS: u8 = 4;

/// What a message on a channel begins with.
const MESSAGE: u8 = b'm';
const UNPOSITIONED: u8 = b'u';
pub(super) const JOINED: u8 = b'j';
pub(super) const LEFT: u8 = b'l';
const TOP: u8 = b't';

/// The body of what is to be published.
pub(super) fn body(outgoing: &Outgoing) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(outgoing.data.len() + 64);
    write_body(&mut bytes, outgoing);
    bytes
}

/// The message of a publication without position.
pub(super) fn unpositioned(outgoing: &Outgoing) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(outgoing.data.len() + 64);
    bytes.push(UNPOSITIONED);
    write_body(&mut bytes, outgoing);
    bytes
}

/// What a message on a channel says.
#[expect(
    clippy::large_enum_variant,
    reason = "one at a time is on the stack; a box would be an allocation a delivery"
)]
#[derive(Debug, PartialEq)]
pub(super) enum Said {
    /// Something that the channel carries.
    Publication(Publication),
    /// Where the stream's top is.
    Top(StreamPosition),
}

/// What a message on a channel says; `None` when it is not understood.
pub(super) fn read(message: &[u8]) -> Option<Said> {
    match message.split_first()? {
        (&TOP, rest) => read_position(rest).map(Said::Top),
        (kind, rest) => read_publication(*kind, rest).map(Said::Publication),
    }
}

fn read_publication(kind: u8, rest: &[u8]) -> Option<Publication> {
    match kind {
        MESSAGE => read_message(rest),
        UNPOSITIONED => Some(Publication::Message {
            message: read_body(rest, None)?,
            before: None,
        }),
        JOINED => Some(Publication::Joined(read_info(&mut Reader(rest))?)),
        LEFT => Some(Publication::Left(read_info(&mut Reader(rest))?)),
        _ => None,
    }
}

fn read_message(rest: &[u8]) -> Option<Publication> {
    let (offset, rest) = word(rest)?;
    let (epoch, rest) = word(rest)?;
    let (length, rest) = word(rest)?;
    let position = StreamPosition {
        offset: offset.parse().ok()?,
        epoch: StreamEpoch(epoch.parse().ok()?),
    };
    let (before, body) = rest.split_at_checked(length.parse().ok()?)?;
    Some(Publication::Message {
        message: read_body(body, Some(position))?,
        before: if before.is_empty() {
            None
        } else {
            Some(read_body(before, None)?.data)
        },
    })
}

/// A position as scripts write it.
pub(super) fn read_position(text: &[u8]) -> Option<StreamPosition> {
    let (offset, epoch) = std::str::from_utf8(text).ok()?.split_once(' ')?;
    Some(StreamPosition {
        offset: offset.parse().ok()?,
        epoch: StreamEpoch(epoch.parse().ok()?),
    })
}

/// The text up to the next space, and what follows that.
fn word(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b' ')?;
    let text = std::str::from_utf8(&bytes[..end]).ok()?;
    Some((text, &bytes[end + 1..]))
}

fn write_body(bytes: &mut Vec<u8>, outgoing: &Outgoing) {
    let mut flags = 0;
    for (flag, is_set) in [
        (DATA_IS_JSON, outgoing.data.text().is_some()),
        (HAS_INFO, outgoing.info.is_some()),
        (HAS_TAGS, !outgoing.tags.is_empty()),
    ] {
        flags |= if is_set { flag } else { 0 };
    }
    bytes.extend([FORM, flags]);
    if let Some(info) = &outgoing.info {
        write_info(bytes, info);
    }
    if !outgoing.tags.is_empty() {
        write_length(bytes, outgoing.tags.len());
        for (name, value) in &outgoing.tags {
            write(bytes, name.as_bytes());
            write(bytes, value.as_bytes());
        }
    }
    bytes.extend_from_slice(outgoing.data.bytes());
}

/// A remembered publication.
pub(super) fn read_body(bytes: &[u8], position: Option<StreamPosition>) -> Option<Message> {
    let ([FORM, flags], rest) = bytes.split_first_chunk()? else {
        return None;
    };
    let mut reader = Reader(rest);
    let info = if flags & HAS_INFO == 0 {
        None
    } else {
        Some(read_info(&mut reader)?)
    };
    let mut tags = BTreeMap::new();
    if flags & HAS_TAGS != 0 {
        for _ in 0..reader.length()? {
            tags.insert(reader.text()?, reader.text()?);
        }
    }
    Some(Message {
        data: read_payload(reader.0, flags & DATA_IS_JSON != 0)?,
        info,
        tags: (!tags.is_empty()).then(|| Arc::new(tags)),
        position,
    })
}

/// Adds what others see of a connection.
pub(super) fn write_info(bytes: &mut Vec<u8>, info: &ClientInfo) {
    write(bytes, info.user.as_bytes());
    write(bytes, info.client.as_bytes());
    for payload in [&info.conn_info, &info.chan_info] {
        bytes.push(u8::from(payload.text().is_some()));
        write(bytes, payload.bytes());
    }
}

/// What others see of a connection, from all of `bytes`.
pub(super) fn info(bytes: &[u8]) -> Option<ClientInfo> {
    read_info(&mut Reader(bytes))
}

fn read_info(reader: &mut Reader<'_>) -> Option<ClientInfo> {
    Some(ClientInfo {
        user: reader.text()?,
        client: reader.text()?,
        conn_info: reader.payload()?,
        chan_info: reader.payload()?,
    })
}

/// What is embedded in messages must be known to be JSON, whoever wrote it here.
fn read_payload(bytes: &[u8], is_json: bool) -> Option<Payload> {
    if is_json {
        let value: &RawValue = serde_json::from_slice(bytes).ok()?;
        Some(Payload::from_json(value))
    } else {
        Some(Payload::from_bytes(bytes))
    }
}

fn write(bytes: &mut Vec<u8>, part: &[u8]) {
    write_length(bytes, part.len());
    bytes.extend_from_slice(part);
}

fn write_length(bytes: &mut Vec<u8>, length: usize) {
    let length = u32::try_from(length).expect("a part of a message is shorter than a message, which has a bound");
    bytes.extend(length.to_le_bytes());
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn length(&mut self) -> Option<usize> {
        let (length, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        usize::try_from(u32::from_le_bytes(*length)).ok()
    }

    fn part(&mut self) -> Option<&'a [u8]> {
        let length = self.length()?;
        let (part, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(part)
    }

    fn text(&mut self) -> Option<String> {
        Some(std::str::from_utf8(self.part()?).ok()?.to_owned())
    }

    fn payload(&mut self) -> Option<Payload> {
        let (is_json, rest) = self.0.split_first()?;
        self.0 = rest;
        read_payload(self.part()?, *is_json == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn outgoing() -> Outgoing {
        let client = ClientInfo {
            user: "ada".to_owned(),
            client: "c".to_owned(),
            conn_info: Payload::of(&[1]).unwrap(),
            chan_info: Payload::from_bytes(&[0, 255]),
        };
        Outgoing {
            data: Payload::of(&"grüß").unwrap(),
            info: Some(client),
            tags: [("a".to_owned(), "b".to_owned()), ("c".to_owned(), String::new())].into(),
            ..Outgoing::default()
        }
    }

    #[test]
    fn a_publication_reads_back_with_its_position_and_the_one_before() {
        let before = Outgoing {
            data: Payload::of(&7).unwrap(),
            ..Outgoing::default()
        };
        let (before, body) = (body(&before), body(&outgoing()));
        let mut message = format!("m12 34 {} ", before.len()).into_bytes();
        message.extend(before);
        message.extend(body);
        let Some(Said::Publication(Publication::Message { message, before })) = read(&message) else {
            panic!("not understood");
        };
        let expected = Message {
            data: outgoing().data,
            info: outgoing().info,
            tags: Some(Arc::new(outgoing().tags)),
            position: Some(StreamPosition {
                offset: 12,
                epoch: StreamEpoch(34),
            }),
        };
        assert_eq!(message, expected);
        assert_eq!(before.unwrap().text(), Some("7"));
        assert!(expected.data.text().is_some(), "it is still known to be JSON");
    }

    #[test]
    fn who_comes_and_goes_reads_back() {
        let info = outgoing().info.unwrap();
        let said = |publication| Some(Said::Publication(publication));
        let told = |kind: u8| {
            let mut bytes = vec![kind];
            write_info(&mut bytes, &info);
            read(&bytes)
        };
        assert_eq!(told(JOINED), said(Publication::Joined(info.clone())));
        assert_eq!(told(LEFT), said(Publication::Left(info.clone())));
    }

    #[test]
    fn what_is_said_to_be_json_and_is_not_is_not_taken() {
        let mut bytes = vec![UNPOSITIONED, FORM, DATA_IS_JSON];
        bytes.extend(b"1,\"x\":2");
        assert_eq!(read(&bytes), None);
    }

    proptest! {
        #[test]
        fn no_message_makes_it_fail(bytes: Vec<u8>, cut: usize) {
            let _ = read(&bytes);
            let whole = unpositioned(&outgoing());
            let _ = read(&whole[..cut % whole.len()]);
            let text = [b"m1 2 ".as_slice(), &bytes].concat();
            let _ = read(&text);
        }
    }
}
