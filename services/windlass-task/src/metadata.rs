//! What a client says of its file: ordered pairs of an ASCII key and any bytes, as tus' `Upload-Metadata` has them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// The most bytes of metadata a task may carry, keys and values together. Headers are bounded before this; the
/// figure keeps a record, which is read and written at each checkpoint, small.
pub const METADATA_MAX_BYTES: usize = 8 * 1024;

/// Metadata outside its grammar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A key is empty or has a space, a comma or a character outside visible ASCII.
    #[error("metadata pair {position} has a key that is empty or not visible ASCII")]
    ParseKey {
        /// Counted from 1.
        position: usize,
    },
    /// A value is not padded standard base64 (RFC 4648 section 4).
    #[error("metadata pair {position} has a value that is not padded standard base64")]
    ParseValue {
        /// Counted from 1.
        position: usize,
    },
    /// A key stands twice.
    #[error("metadata pair {position} repeats a key")]
    RepeatKey {
        /// Counted from 1.
        position: usize,
    },
    /// Everything together is too much.
    #[error("metadata is longer than {METADATA_MAX_BYTES} bytes")]
    ExceedLimit,
}

/// Ordered, unique keys, each with its value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    pairs: Vec<(Box<str>, Box<[u8]>)>,
}

impl Metadata {
    /// Reads the value of an `Upload-Metadata` header (tus 1.0.0, Creation): comma-separated `key[ SP base64]`.
    ///
    /// # Errors
    /// [`Error`] names the first pair outside the grammar; nothing is dropped silently.
    pub fn parse(header: &str) -> Result<Self, Error> {
        let mut metadata = Self::default();
        if header.trim().is_empty() {
            return Ok(metadata);
        }
        for (index, pair) in header.split(',').enumerate() {
            let position = index + 1;
            let pair = pair.trim_matches(' ');
            let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
            let value = STANDARD
                .decode(value.trim_start_matches(' '))
                .map_err(|_| Error::ParseValue { position })?;
            metadata.push(key, &value, position)?;
        }
        Ok(metadata)
    }

    /// Builds metadata from plain pairs, as a form gives them.
    ///
    /// # Errors
    /// As [`Metadata::parse`].
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<Self, Error> {
        let mut metadata = Self::default();
        for (index, (key, value)) in pairs.into_iter().enumerate() {
            metadata.push(key, value, index + 1)?;
        }
        Ok(metadata)
    }

    fn push(&mut self, key: &str, value: &[u8], position: usize) -> Result<(), Error> {
        if key.is_empty() || !key.bytes().all(|b| b.is_ascii_graphic() && b != b',') {
            return Err(Error::ParseKey { position });
        }
        if self.value(key).is_some() {
            return Err(Error::RepeatKey { position });
        }
        if self.size() + key.len() + value.len() > METADATA_MAX_BYTES {
            return Err(Error::ExceedLimit);
        }
        self.pairs.push((key.into(), value.into()));
        Ok(())
    }

    /// The value of `key`.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&[u8]> {
        self.pairs
            .iter()
            .find(|(name, _)| &**name == key)
            .map(|(_, value)| &**value)
    }

    /// The value of `key`, when it is UTF-8 and not empty.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.value(key)
            .and_then(|value| std::str::from_utf8(value).ok())
            .filter(|text| !text.is_empty())
    }

    /// The pairs in their order.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.pairs.iter().map(|(key, value)| (&**key, &**value))
    }

    /// The file's name as its owner knows it: for display, never a path.
    #[must_use]
    pub fn filename(&self) -> Option<&str> {
        self.text("filename").or_else(|| self.text("name"))
    }

    /// The file's media type as the client states it.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.text("filetype").or_else(|| self.text("type"))
    }

    /// Whether there is no pair.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// The bytes of all keys and values.
    #[must_use]
    pub fn size(&self) -> usize {
        self.pairs.iter().map(|(key, value)| key.len() + value.len()).sum()
    }

    /// The header's text: what [`Metadata::parse`] reads back to the same pairs.
    #[must_use]
    pub fn to_header(&self) -> String {
        let mut header = String::new();
        for (key, value) in &self.pairs {
            if !header.is_empty() {
                header.push(',');
            }
            header.push_str(key);
            if !value.is_empty() {
                header.push(' ');
                STANDARD.encode_string(value, &mut header);
            }
        }
        header
    }
}

impl Serialize for Metadata {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_header())
    }
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let header = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::parse(&header).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_protocols_own_example_is_read() {
        let metadata = Metadata::parse("filename d29ybGRfZG9taW5hdGlvbl9wbGFuLnBkZg==,is_confidential").unwrap();
        assert_eq!(metadata.filename(), Some("world_domination_plan.pdf"));
        assert_eq!(metadata.value("is_confidential"), Some(&b""[..]));
        assert_eq!(
            metadata.to_header(),
            "filename d29ybGRfZG9taW5hdGlvbl9wbGFuLnBkZg==,is_confidential"
        );
    }

    #[test]
    fn what_is_outside_the_grammar_names_its_pair() {
        assert_eq!(Metadata::parse("a YQ==,, b"), Err(Error::ParseKey { position: 2 }));
        assert_eq!(Metadata::parse("a YQ"), Err(Error::ParseValue { position: 1 }));
        assert_eq!(Metadata::parse("a Y*=="), Err(Error::ParseValue { position: 1 }));
        assert_eq!(Metadata::parse("a YQ== YQ=="), Err(Error::ParseValue { position: 1 }));
        assert_eq!(Metadata::parse("a YQ==,a YQ=="), Err(Error::RepeatKey { position: 2 }));
        assert_eq!(Metadata::parse("é YQ=="), Err(Error::ParseKey { position: 1 }));
        let long = STANDARD.encode(vec![0; METADATA_MAX_BYTES]);
        assert_eq!(Metadata::parse(&format!("a {long}")), Err(Error::ExceedLimit));
    }

    proptest! {
        #[test]
        fn a_header_is_read_back_or_refused(header in "\\PC{0,60}") {
            if let Ok(metadata) = Metadata::parse(&header) {
                prop_assert_eq!(Metadata::parse(&metadata.to_header()), Ok(metadata));
            }
        }

        #[test]
        fn any_value_survives(value in prop::collection::vec(any::<u8>(), 0..100)) {
            let metadata = Metadata::from_pairs([("k", &value[..])]).unwrap();
            let read = Metadata::parse(&metadata.to_header()).unwrap();
            prop_assert_eq!(read.value("k"), Some(&value[..]));
        }
    }
}
