//! What an upload is, by its first bytes and not by what its uploader calls it; and which of that is taken.

use serde::Deserialize;

/// How many of the first bytes are looked at. The signatures that are told apart lie within them.
pub(crate) const HEAD_BYTES: usize = 8 * 1024;

/// What bytes of no known kind are.
const OCTETS: &str = "application/octet-stream";
/// What text of no known kind is.
const TEXT: &str = "text/plain";

/// A media type, or all of a kind: `application/pdf`, `image/*`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct MediaRange(String);

/// A text that is no media range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is neither a media type such as application/pdf nor all of a kind such as image/*")]
pub struct Error {
    /// The text.
    pub text: String,
}

impl TryFrom<String> for MediaRange {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        // RFC 6838 section 4.2, without the rarer signs.
        let is_name =
            |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-+._".contains(&b));
        match text.split_once('/') {
            Some((kind, subtype)) if is_name(kind) && (subtype == "*" || is_name(subtype)) => {
                Ok(Self(text.to_ascii_lowercase()))
            }
            _ => Err(Error { text }),
        }
    }
}

impl MediaRange {
    fn contains(&self, media_type: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(kind) => media_type.starts_with(kind),
            None => media_type == self.0,
        }
    }
}

/// Which content is taken.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules {
    /// `None`: any.
    allowed: Option<Vec<MediaRange>>,
}

impl Rules {
    pub(crate) fn new(allowed: Option<Vec<MediaRange>>) -> Self {
        Self { allowed }
    }

    /// Whether anybody has to look at the bytes.
    pub(crate) fn are_there(&self) -> bool {
        self.allowed.is_some()
    }

    /// What an upload is that begins with these bytes, if that is not taken. `head` is as much of it as there is, at
    /// most [`HEAD_BYTES`].
    pub(crate) fn unwanted(&self, head: &[u8]) -> Option<&'static str> {
        let allowed = self.allowed.as_ref()?;
        let found = sniff(head);
        let is_wanted = allowed.iter().any(|range| range.contains(found));
        (!is_wanted).then_some(found)
    }
}

/// What the client is told of content that is not taken.
pub(crate) fn refusal(found: &str) -> String {
    format!("the content is {found}, which is not taken here")
}

/// The media type of what begins with these bytes.
fn sniff(head: &[u8]) -> &'static str {
    match infer::get(head) {
        Some(kind) => kind.mime_type(),
        None if is_text(head) => TEXT,
        None => OCTETS,
    }
}

/// Whether it is UTF-8 without control characters but those of text; a character that the end cuts counts.
fn is_text(head: &[u8]) -> bool {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            let (whole, _) = head.split_at(error.valid_up_to());
            std::str::from_utf8(whole).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !text
        .chars()
        .any(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\x0c'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(ranges: &[&str]) -> Rules {
        let ranges = ranges
            .iter()
            .map(|text| MediaRange::try_from((*text).to_owned()).unwrap());
        Rules::new(Some(ranges.collect()))
    }

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";

    #[test]
    fn content_is_what_its_bytes_are() {
        assert_eq!(sniff(PNG), "image/png");
        assert_eq!(sniff(b"%PDF-1.7\n"), "application/pdf");
        let mut program = b"\x7fELF\x02\x01\x01".to_vec();
        program.resize(64, 0);
        assert_eq!(sniff(&program), "application/x-executable");
        assert_eq!(sniff("gr\u{fc}ne Tinte\n".as_bytes()), TEXT);
        assert_eq!(sniff(&"gr\u{fc}n".as_bytes()[..3]), TEXT);
        assert_eq!(sniff(b"ab\0cd"), OCTETS);
        assert_eq!(sniff(b"ab\xffcd"), OCTETS);
        assert_eq!(sniff(b""), TEXT);
    }

    #[test]
    fn only_what_is_listed_is_taken_and_without_a_list_everything() {
        assert_eq!(rules(&["image/*"]).unwanted(PNG), None);
        assert_eq!(rules(&["IMAGE/PNG"]).unwanted(PNG), None);
        assert_eq!(rules(&["image/jpeg", "text/*"]).unwanted(PNG), Some("image/png"));
        assert_eq!(rules(&[]).unwanted(b"text"), Some(TEXT));
        assert_eq!(Rules::default().unwanted(PNG), None);
    }

    #[test]
    fn what_is_no_media_range_is_refused() {
        for text in [
            "",
            "image",
            "image/",
            "/png",
            "*/*",
            "image/p*",
            "image/png; q=1",
            "a b/c",
        ] {
            assert!(MediaRange::try_from(text.to_owned()).is_err(), "{text:?}");
        }
    }
}
