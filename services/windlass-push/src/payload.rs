//! The opaque data that clients publish and receive.

use std::fmt;

use bytes::Bytes;
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// Data that this service carries and never looks into: with the JSON codec the text of one JSON value, embedded
/// in a message as it is.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Payload(Bytes);

impl Payload {
    /// The data as it is to be embedded in a JSON message.
    ///
    /// Messages of the JSON codec are separated by line feeds, so those between a value's tokens become spaces;
    /// inside a JSON string there is none.
    #[must_use]
    pub fn from_json(value: &RawValue) -> Self {
        Self(one_line(value.get().as_bytes()))
    }

    /// Data of an encoding that does not look into it.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(bytes))
    }

    /// The same data as it is to be embedded in a JSON message; `None` when it is no JSON.
    #[must_use]
    pub fn as_json(&self) -> Option<Self> {
        let value: &RawValue = serde_json::from_slice(&self.0).ok()?;
        Some(Self::from_json(value))
    }

    /// The JSON text of `value`.
    ///
    /// # Errors
    /// When `value` has no JSON form, such as a map whose keys are not strings.
    pub fn of(value: &impl Serialize) -> Result<Self, serde_json::Error> {
        Ok(Self(serde_json::to_vec(value)?.into()))
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// How many bytes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none: no data was given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Payload {
    /// The size only: a payload is never logged.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.0.len())
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_slice(&self.0).map_err(S::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer).map_err(D::Error::custom)?;
        Ok(Self::from_json(raw))
    }
}

fn one_line(json: &[u8]) -> Bytes {
    let breaks = |byte: &u8| matches!(byte, b'\n' | b'\r');
    if !json.iter().any(breaks) {
        return Bytes::copy_from_slice(json);
    }
    json.iter()
        .map(|byte| if breaks(byte) { b' ' } else { *byte })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_several_lines_becomes_one_line_of_the_same_value() {
        let text = "{\r\n  \"a\": \"x\\ny\",\n  \"b\": [1,\n2]\n}";
        let payload: Payload = serde_json::from_str(text).unwrap();
        assert!(!payload.bytes().contains(&b'\n') && !payload.bytes().contains(&b'\r'));
        let before: serde_json::Value = serde_json::from_str(text).unwrap();
        let after: serde_json::Value = serde_json::from_slice(payload.bytes()).unwrap();
        assert_eq!(before, after);
    }

    #[test]
    fn what_is_not_json_is_not_embedded_in_json() {
        assert!(serde_json::to_string(&Payload(Bytes::from_static(b"\x00"))).is_err());
        assert!(serde_json::to_string(&Payload(Bytes::from_static(b"1,\"x\":2"))).is_err());
    }
}
