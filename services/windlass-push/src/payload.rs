//! The opaque data that clients publish and receive.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

/// Data that this service carries and never looks into. What is known to be one JSON value is embedded in messages as it
/// is, however many they are: it was read once, where it came in.
#[derive(Clone, Default)]
pub struct Payload(Kind);

#[derive(Clone, Default)]
enum Kind {
    /// No data was given.
    #[default]
    Absent,
    /// The text of one JSON value, without line feeds.
    Json(Arc<RawValue>),
    /// Data of an encoding that does not look into it.
    Opaque(Bytes),
}

impl Payload {
    /// The data as it is to be embedded in a JSON message.
    ///
    /// Messages of the JSON codec are separated by line feeds, so those between a value's tokens become spaces;
    /// inside a JSON string there is none.
    #[must_use]
    pub fn from_json(value: &RawValue) -> Self {
        Self(Kind::Json(one_line(value.to_owned()).into()))
    }

    /// Data of an encoding that does not look into it.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        if bytes.is_empty() {
            return Self::default();
        }
        Self(Kind::Opaque(Bytes::copy_from_slice(bytes)))
    }

    /// The same data as it is to be embedded in a JSON message; `None` when it is no JSON.
    #[must_use]
    pub fn as_json(&self) -> Option<Self> {
        match &self.0 {
            Kind::Absent => None,
            Kind::Json(_) => Some(self.clone()),
            Kind::Opaque(bytes) => {
                let value: &RawValue = serde_json::from_slice(bytes).ok()?;
                Some(Self::from_json(value))
            }
        }
    }

    /// The JSON text of `value`.
    ///
    /// # Errors
    /// When `value` has no JSON form, such as a map whose keys are not strings.
    pub fn of(value: &impl Serialize) -> Result<Self, serde_json::Error> {
        Ok(Self(Kind::Json(to_raw_value(value)?.into())))
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match &self.0 {
            Kind::Absent => &[],
            Kind::Json(value) => value.get().as_bytes(),
            Kind::Opaque(bytes) => bytes,
        }
    }

    /// The text of the JSON value that it is known to be.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.0 {
            Kind::Absent | Kind::Opaque(_) => None,
            Kind::Json(value) => Some(value.get()),
        }
    }

    /// How many bytes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes().len()
    }

    /// Whether there are none: no data was given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes().is_empty()
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Payload {}

impl fmt::Debug for Payload {
    /// The size only: a payload is never logged.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.len())
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Kind::Json(value) => value.serialize(serializer),
            Kind::Absent | Kind::Opaque(_) => {
                let value: &RawValue = serde_json::from_slice(self.bytes()).map_err(S::Error::custom)?;
                value.serialize(serializer)
            }
        }
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer).map_err(D::Error::custom)?;
        Ok(Self::from_json(raw))
    }
}

fn one_line(value: Box<RawValue>) -> Box<RawValue> {
    let breaks = ['\n', '\r'];
    if !value.get().contains(breaks) {
        return value;
    }
    RawValue::from_string(value.get().replace(breaks, " ")).expect("blanks between tokens are all alike to JSON")
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
        assert!(serde_json::to_string(&Payload::from_bytes(b"\x00")).is_err());
        assert!(serde_json::to_string(&Payload::from_bytes(b"1,\"x\":2")).is_err());
    }
}
