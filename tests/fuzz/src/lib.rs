//! One fuzz target for each parser that reads from outside. A target panics when the parser does, or when what it
//! read does not hold what the parser promises.

mod push;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use windlass_serve::Authenticator;
use windlass_serve::auth::LinkKey;
use windlass_task::{Alias, Event, Metadata, Owner, Record, TaskId, Tenant, UnixMillis};
use windlass_upload::digest::Expected;
use windlass_upload::ietf;
use windlass_upload::range::{self, Range};
use windlass_upload::tus::{self, Command, Head};
use windlass_upload::tusd::info;

/// A target: its name, which is also its corpus' folder, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("names", names),
    ("metadata", metadata),
    ("stored", stored),
    ("tus-head", tus_head),
    ("range", byte_range),
    ("token", token),
    ("link", link),
    ("tusd-info", tusd_info),
    ("ietf-head", ietf_head),
    ("digest", digest),
    ("websocket", push::websocket),
    ("centrifuge", push::centrifuge),
    ("centrifuge-protobuf", push::centrifuge_protobuf),
    ("plain", push::plain),
    ("delta", push::delta),
];

/// The target of this name.
#[must_use]
pub fn find(name: &str) -> Option<Target> {
    TARGETS.iter().copied().find(|(target, _)| *target == name)
}

fn names(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(id) = text.parse::<TaskId>() {
        assert_eq!(id.to_string(), text, "one task, one spelling");
        assert!(
            !text.contains(['/', '\\', '\0']) && !text.contains(".."),
            "an id becomes part of a path"
        );
    }
    if let Ok(tenant) = text.parse::<Tenant>() {
        assert!(tenant.as_str().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
    }
    let _ = (
        text.parse::<Owner>(),
        text.parse::<Alias>(),
        text.parse::<windlass_serve::guard::Origin>(),
    );
}

fn metadata(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(metadata) = Metadata::parse(text) {
        let header = metadata.to_header();
        assert!(
            HeaderValue::from_str(&header).is_ok(),
            "metadata goes back into a header"
        );
        assert_eq!(Metadata::parse(&header).as_ref(), Ok(&metadata));
    }
}

fn stored(data: &[u8]) {
    if let Ok(record) = serde_json::from_slice::<Record>(data) {
        let text = serde_json::to_string(&record).expect("a record is written as it was read");
        assert_eq!(serde_json::from_str::<Record>(&text).ok(), Some(record));
    }
    if let Ok(event) = serde_json::from_slice::<Event>(data) {
        let text = serde_json::to_string(&event).expect("an event is written as it was read");
        assert_eq!(serde_json::from_str::<Event>(&text).ok(), Some(event));
    }
}

/// A request's head: the first line is `METHOD names-upload has-body`, the others are `name: value`.
struct RequestHead {
    method: Method,
    headers: HeaderMap,
    names_upload: bool,
    has_body: bool,
}

impl RequestHead {
    fn read(data: &[u8]) -> Option<Self> {
        let mut lines = data.split(|b| *b == b'\n');
        let first: Vec<_> = lines.next().unwrap_or_default().split(|b| *b == b' ').collect();
        let method = Method::from_bytes(first.first()?).ok()?;
        let mut headers = HeaderMap::new();
        for line in lines.take(100) {
            let Some(colon) = line.iter().position(|b| *b == b':') else {
                continue;
            };
            let name = HeaderName::from_bytes(&line[..colon]);
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii())) {
                headers.append(name, value);
            }
        }
        let is = |index: usize| first.get(index) == Some(&&b"1"[..]);
        Some(Self {
            method,
            headers,
            names_upload: is(1),
            has_body: is(2),
        })
    }
}

/// The largest upload that the targets take.
const MAX_SIZE: u64 = 1 << 40;

fn tus_head(data: &[u8]) {
    let Some(RequestHead {
        method,
        headers,
        names_upload,
        has_body,
    }) = RequestHead::read(data)
    else {
        return;
    };
    let method = match tus::meant_method(&method, &headers) {
        Ok(method) => method,
        Err(rejection) => return assert!(rejection.status().0.is_client_error()),
    };
    match tus::parse(
        Head {
            method: &method,
            headers: &headers,
            names_upload,
            has_body,
        },
        Some(MAX_SIZE),
    ) {
        Ok(Command::Create(create)) => assert!(create.length.is_none_or(|length| length <= MAX_SIZE)),
        Ok(Command::Append(append)) => assert!(i64::try_from(append.offset).is_ok()),
        Ok(Command::Describe | Command::Retrieve | Command::Terminate) => {}
        Err(rejection) => {
            assert!(rejection.status().0.is_client_error());
            assert!(!rejection.to_string().is_empty());
        }
    }
}

fn ietf_head(data: &[u8]) {
    let Some(RequestHead {
        method,
        headers,
        names_upload,
        ..
    }) = RequestHead::read(data)
    else {
        return;
    };
    let head = ietf::Head {
        method: &method,
        headers: &headers,
        names_upload,
    };
    match ietf::parse(head, ietf::Row::of(&headers), Some(MAX_SIZE)) {
        Ok(ietf::Command::Create(create)) => assert!(create.length.is_none_or(|length| length <= MAX_SIZE)),
        Ok(ietf::Command::Append(append)) => assert!(i64::try_from(append.offset).is_ok()),
        Ok(ietf::Command::Retrieve | ietf::Command::Cancel) => {}
        Err(rejection) => assert!(rejection.status().0.is_client_error()),
    }
}

fn digest(data: &[u8]) {
    for expected in ietf::fields::digests(data).unwrap_or_default() {
        assert_eq!(expected.digest.len(), expected.algorithm.size());
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(expected) = Expected::parse(text) {
        assert_eq!(expected.digest.len(), expected.algorithm.size());
    }
    assert!(ietf::fields::filename(text).is_none_or(|name| !name.is_empty()));
}

fn byte_range(data: &[u8]) {
    let Some((length, text)) = data.split_first_chunk::<8>() else {
        return;
    };
    let (length, Ok(text)) = (u64::from_le_bytes(*length), std::str::from_utf8(text)) else {
        return;
    };
    match range::parse(text, length) {
        Range::Inside(start, end) => assert!(start < end && end <= length),
        Range::Ignored | Range::Outside => {}
    }
}

fn token(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    assert!(
        Authenticator::hs256(&[7; 32]).verify(text).is_err(),
        "nobody signed this"
    );
}

fn link(data: &[u8]) {
    let Ok(uri) = Uri::try_from(data) else { return };
    let permitted = LinkKey::new(&[7; 32]).verify(&uri, UnixMillis(0));
    assert!(!matches!(permitted, Ok(Some(_))), "nobody signed this");
}

/// The first line is the file's name, the rest is the file.
fn tusd_info(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (name, text) = data.split_at(end);
    let Some(id) = std::str::from_utf8(name)
        .ok()
        .and_then(|name| name.parse::<Alias>().ok())
    else {
        return;
    };
    if let Ok(info) = info::read(text, &id) {
        let header = info.metadata.to_header();
        assert!(
            HeaderValue::from_str(&header).is_ok(),
            "metadata goes back into a header"
        );
    }
}
