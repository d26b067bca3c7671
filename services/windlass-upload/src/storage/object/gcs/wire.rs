//! The bodies of the JSON API's answers and of the one request that has one.

use serde::{Deserialize, Serialize};

use crate::storage::object::exchange::Refusal;

/// A page of a listing.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Listing {
    pub(super) items: Vec<Item>,
    pub(super) next_page_token: Option<String>,
}

/// An object in a listing.
#[derive(Debug, Deserialize)]
pub(super) struct Item {
    pub(super) name: String,
    /// In digits.
    pub(super) size: String,
    pub(super) updated: String,
}

/// An object by itself.
#[derive(Debug, Deserialize)]
pub(super) struct Described {
    /// In digits.
    pub(super) size: String,
    /// CRC32C, big-endian, in Base64.
    #[serde(default)]
    pub(super) crc32c: String,
}

/// The request that composes an object of others.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Compose<'a> {
    destination: Destination,
    source_objects: Vec<Component<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Destination {
    content_type: &'static str,
}

#[derive(Debug, Serialize)]
struct Component<'a> {
    name: &'a str,
}

impl<'a> Compose<'a> {
    pub(super) fn of(keys: &'a [String]) -> Self {
        let components = keys.iter().map(|name| Component { name });
        Self {
            destination: Destination {
                content_type: super::requests::CONTENT_TYPE,
            },
            source_objects: components.collect(),
        }
    }
}

/// Why a request was refused; downloads are refused in plain words.
pub(super) fn refusal(body: &[u8]) -> Refusal {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Answer {
        error: Error,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Error {
        message: String,
        errors: Vec<Reason>,
    }
    #[derive(Deserialize)]
    struct Reason {
        #[serde(default)]
        reason: String,
    }
    let Ok(Answer { error }) = serde_json::from_slice(body) else {
        let text: String = String::from_utf8_lossy(body).chars().take(WORDS_MAX).collect();
        return Refusal {
            code: code(&text, ""),
            message: text,
        };
    };
    let reason = error.errors.first().map(|error| error.reason.as_str());
    Refusal {
        code: code(&error.message, reason.unwrap_or_default()),
        message: error.message,
    }
}

/// The most of a refusal in plain words that is kept, characters.
const WORDS_MAX: usize = 200;

/// A missing object and a missing bucket have one reason: a bucket's is told by its words. No code means an object.
fn code(message: &str, reason: &str) -> String {
    match reason {
        _ if message.contains("bucket does not exist") => "NoSuchBucket".to_owned(),
        "notFound" => String::new(),
        reason => reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_bucket_is_told_from_a_missing_object() {
        let body = |message: &str| {
            format!(
                r#"{{"error":{{"code":404,"message":"{message}","errors":[{{"reason":"notFound","domain":"global"}}]}}}}"#
            )
        };
        let object = refusal(body("No such object: b/k").as_bytes());
        assert_eq!(
            (object.code.as_str(), object.message.as_str()),
            ("", "No such object: b/k")
        );
        let bucket = refusal(body("The specified bucket does not exist.").as_bytes());
        assert_eq!(bucket.code, "NoSuchBucket");
        assert_eq!(refusal(b"No such object: b/k").code, "");
        assert_eq!(refusal(b"").code, "");
        let limited = refusal(br#"{"error":{"code":429,"errors":[{"reason":"rateLimitExceeded"}]}}"#);
        assert_eq!(limited.code, "rateLimitExceeded");
    }

    #[test]
    fn components_are_named_in_their_order() {
        let keys = ["b".to_owned(), "a".to_owned()];
        let text = serde_json::to_string(&Compose::of(&keys)).unwrap();
        assert!(
            text.contains(r#""sourceObjects":[{"name":"b"},{"name":"a"}]"#),
            "{text}"
        );
    }
}
