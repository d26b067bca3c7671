//! Answers in XML, as S3 and Azure give them.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::exchange::Refusal;

/// Reads a whole answer.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    quick_xml::de::from_reader(body).ok()
}

/// The refusal that a body is, if it is one.
pub(super) fn error(body: &[u8]) -> Option<Refusal> {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "PascalCase", default)]
    struct Error {
        code: String,
        message: String,
    }
    let text = std::str::from_utf8(body).ok()?;
    let root = text.trim_start_matches('\u{feff}').trim_start();
    let root = match root.strip_prefix("<?xml") {
        Some(rest) => rest.split_once("?>")?.1.trim_start(),
        None => root,
    };
    let named = root.strip_prefix("<Error")?;
    named.starts_with(['>', ' ', '/']).then(|| {
        let Error { code, message } = read(root.as_bytes()).unwrap_or_default();
        Refusal { code, message }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_known_by_its_root_whatever_stands_before_it() {
        let body = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\n <Error><Code>InternalError</Code>\
            <Message>We &amp; you</Message><RequestId>1</RequestId></Error>";
        for body in [body.to_owned(), format!("\u{feff}{body}")] {
            let refusal = error(body.as_bytes()).unwrap();
            assert_eq!(
                (refusal.code.as_str(), refusal.message.as_str()),
                ("InternalError", "We & you")
            );
        }
        assert_eq!(error(b"<Error/>"), Some(Refusal::default()));
        for other in [
            &b"<ErrorList><Code>x</Code></ErrorList>"[..],
            b"",
            b"text",
            b"<CompleteMultipartUploadResult/>",
        ] {
            assert_eq!(error(other), None);
        }
    }
}
